"""Makes the files that are derived from what was published, from what was published.

Each function takes the bytes at the public address and the SHA-256 that the result is to have, None where it depends on
who writes the file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable

REBUILDERS: dict[str, Callable[[bytes, str | None], bytes]] = {}

_PICTURE = re.compile(rb"data:image/(?:png|PNG);base64,([A-Za-z0-9+/=]+)")
_ENTRY = re.compile(r"[\"']?(\d+-\d+)[\"']?\s*:\s*(\[\s*\[.*?\]\s*\])", re.DOTALL)


def _rebuilder(function: Callable[[bytes, str | None], bytes]) -> Callable[[bytes, str | None], bytes]:
    REBUILDERS[function.__name__] = function
    return function


@_rebuilder
def embedded_picture(source: bytes, sha256: str | None) -> bytes:
    """The one picture with this hash, of those that a notebook embeds as data addresses.

    Raises:
        ValueError: there is none.
    """
    for match in _PICTURE.finditer(source):
        data = base64.b64decode(match[1])
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
    raise ValueError(f"No picture in the notebook has the SHA-256 {sha256}.")


@_rebuilder
def circuit_without_pictures(source: bytes, sha256: str | None) -> bytes:
    """The weights and units of Curve Circuits' artificial network, without the pictures between them."""
    whole = json.loads(source)
    return json.dumps({name: whole[name] for name in ("weights", "naturalWeights", "naturalNeurons")}).encode()


@_rebuilder
def matrices_of_script(source: bytes, sha256: str | None) -> bytes:
    """The matrices that a JavaScript file assigns by `"from-to"`, as JSON.

    Raises:
        ValueError: there is none.
    """
    found = {name: json.loads(values) for name, values in _ENTRY.findall(source.decode())}
    if not found:
        raise ValueError("The script has no matrix by the name of two units.")
    return json.dumps(found).encode()
