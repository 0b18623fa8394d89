"""Loading of NumPy's files whose authors are not known."""

from __future__ import annotations

import functools
import math
import os
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

__all__ = ["load_array"]

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0, (3, 0): npy.read_array_header_2_0}
"""Version of the format -> reader of its header. The third differs from the second in the encoding of names only."""


@functools.wraps(np.load)
def load_array(file: BinaryIO, *args: Any, **kwargs: Any) -> Any:
    """Loads a file as `np.load` does, after a check that it has as many bytes as its header states.

    `np.load` allocates the stated array before it reads values, so that a file of 100 bytes could ask for terabytes.

    Raises:
        ValueError: the file states more values than it has.
    """
    _check_size(file)
    return np.load(file, *args, **kwargs)


def _check_size(file: BinaryIO) -> None:
    start = file.tell()
    is_array = file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX
    file.seek(start)
    if not is_array:  # an archive, whose arrays are loaded when they are used, or no file of NumPy
        return
    header = _HEADERS.get(npy.read_magic(file))
    if header is not None:
        shape, _, dtype = header(file)
        place = file.tell()
        stated, there = math.prod(shape) * dtype.itemsize, file.seek(0, os.SEEK_END) - place
        if stated > there and not dtype.hasobject:
            raise ValueError(f"its header states {stated} bytes of values, and it has {there}")
    file.seek(start)
