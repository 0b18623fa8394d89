"""Rebuilds the files that are derived from published files.

Each function takes the published files by name and the expected digest of the result, and returns the bytes of a file.
Different programs write the same content as different bytes, so for some formats the digest is of the parsed content,
not of the bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

Sources = Mapping[str, bytes]
Rebuild = Callable[[Sources, str], bytes]

REBUILDERS: dict[str, Rebuild] = {}

_PICTURE = re.compile(rb"data:image/(?:png|PNG);base64,([A-Za-z0-9+/=]+)")
_TRAILING_COMMA = re.compile(r",(?=\s*[\]}])")  # JavaScript allows it, JSON does not
_ENTRY = re.compile(r"[\"']?(\d+-\d+)[\"']?\s*:\s*(\[\s*\[.*?\]\s*\])", re.DOTALL)


def digest(name: str, data: bytes) -> str:
    """Returns the SHA-256 of a file's content: sorted JSON without spaces, an npz's conv2d0, or else the bytes."""
    if name.endswith(".json"):
        data = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode()
    elif name.endswith(".npz"):
        with np.load(io.BytesIO(data)) as opened:
            data = np.ascontiguousarray(opened["conv2d0"]).tobytes()
    return hashlib.sha256(data).hexdigest()


def _rebuilder(function: Rebuild) -> Rebuild:
    REBUILDERS[function.__name__] = function
    return function


def _only(sources: Sources) -> bytes:
    (source,) = sources.values()
    return source


@_rebuilder
def embedded_picture(sources: Sources, expected: str) -> bytes:
    """Returns the picture with this digest among those that a notebook embeds as data URLs.

    Raises:
        ValueError: nothing was found.
    """
    for match in _PICTURE.finditer(_only(sources)):
        data = base64.b64decode(match[1])
        if hashlib.sha256(data).hexdigest() == expected:
            return data
    raise ValueError(f"No picture in the notebook has the SHA-256 {expected}.")


@_rebuilder
def circuit_without_pictures(sources: Sources, expected: str) -> bytes:
    """The weights and units of Curve Circuits' artificial network, without the pictures between them."""
    whole = json.loads(_only(sources))
    return json.dumps({name: whole[name] for name in ("weights", "naturalWeights", "naturalNeurons")}).encode()


@_rebuilder
def matrices_of_script(sources: Sources, expected: str) -> bytes:
    """Returns the matrices that a JavaScript file assigns to `"from-to"` keys, as JSON.

    Raises:
        ValueError: nothing was found.
    """
    script = _TRAILING_COMMA.sub("", _only(sources).decode())
    found = {name: json.loads(values) for name, values in _ENTRY.findall(script)}
    if not found:
        raise ValueError("The script has no matrix by the name of two units.")
    return json.dumps(found).encode()


@_rebuilder
def joined_objects(sources: Sources, expected: str) -> bytes:
    """Several JSON files as one object, by name."""
    return json.dumps({name: json.loads(data) for name, data in sources.items()}).encode()


@_rebuilder
def kernels_of_pictures(sources: Sources, expected: str) -> bytes:
    """The pictures of conv2d0's kernels in one array [64, 7, 7, 3]."""
    kernels = []
    for number in range(len(sources)):
        with Image.open(io.BytesIO(sources[str(number)])) as opened:
            kernels.append(np.asarray(opened.convert("RGB")))
    handle = io.BytesIO()
    np.savez(handle, conv2d0=np.stack(kernels))
    return handle.getvalue()
