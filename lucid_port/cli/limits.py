"""`LUCID_PORT_MOST_STEPS`: a limit on the updates of the pictures that commands make, to try commands quickly."""

from __future__ import annotations

import os

VARIABLE = "LUCID_PORT_MOST_STEPS"


def limited(steps: int) -> int:
    """Returns a number of updates, or the limit that the environment variable sets, if that is smaller.

    Args:
        steps: Number of updates that a command, a recipe or a default states.

    Raises:
        ValueError: The variable is no whole number from 1 on.

    Example:
        >>> limited(512)
        512
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return steps
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{VARIABLE} is the most updates of a picture, a whole number from 1 on, not {text!r}.")
    return min(steps, int(text))
