"""A record of every comparison that the tests make, for `lucid-port parity`.

Where the environment variable LUCID_PORT_PARITY_LOG names a file, each comparison is added to it as a line of JSON.
"""

from __future__ import annotations

import json
import os

LOG = "LUCID_PORT_PARITY_LOG"


def record(error: float, bound: float, what: str = "") -> None:
    """Adds a comparison of the running test.

    Args:
        error: measured error, relative to the reference's maximum.
        bound: largest error that passes.
        what: name of the comparison, if a test makes several.
    """
    path = os.environ.get(LOG)
    if path is None:
        return
    test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0]
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({"test": test, "what": what, "error": error, "bound": bound}) + "\n")
