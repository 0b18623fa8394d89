"""Loading of NumPy's files whose authors are not known."""

from __future__ import annotations

import functools
import lzma
import math
import os
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy

from converters import checks
from converters.errors import reason
from lucid_port.misc.io.unpacking import allowed_memory

__all__ = ["load_array"]

_HEADERS: Mapping[tuple[int, ...], Any] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
    (3, 0): npy.read_array_header_2_0,
}
"""Version of the format -> reader of its header. The third differs from the second in the encoding of names only."""


@functools.wraps(np.load)
def load_array(file: BinaryIO, *args: Any, **kwargs: Any) -> Any:
    """Loads a file as `np.load` does, after a check that it has as many bytes as its headers state.

    `np.load` allocates the stated array before it reads values, so that a file of 100 bytes could ask for terabytes.
    The arrays of an archive (.npz) are checked here, and loaded when they are used.

    Raises:
        ValueError: the file or a member of an archive is damaged, states more values than it has, or unpacks to too
            much.
    """
    start, size = file.tell(), _left(file)
    is_archive = file.read(len(_ARCHIVES[0])) in _ARCHIVES
    file.seek(start)
    longest = sys.maxsize if kwargs.get("allow_pickle") else kwargs.get("max_header_size", _LONGEST)  # as in np.load
    if is_archive:
        _check_members(file, size, longest)
    else:
        _check_array(file, size, longest, "its header")
    file.seek(start)
    return np.load(file, *args, **kwargs)


_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")  # first bytes; the second are those of an empty archive
_LONGEST = 10_000  # characters of a header that numpy reads by default
_LENGTHS: Mapping[tuple[int, ...], int] = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
"""Version of the format -> bytes of the number that states the length of its header."""


def _left(file: BinaryIO) -> int:
    place = file.tell()
    size = file.seek(0, os.SEEK_END) - place
    file.seek(place)
    return size


def _check_members(file: BinaryIO, size: int, longest: int) -> None:
    name = ""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                name = f"its member {checks.shown(member.filename)}"
                if member.file_size > allowed_memory(size):
                    raise ValueError(
                        f"{name} has {member.file_size / 1e6:.0f} MB, and a file of {size / 1e6:.1f} MB may unpack to "
                        f"{allowed_memory(size) / 1e6:.0f} MB; numpy.load has no limit"
                    )
                with archive.open(member) as opened:
                    _check_array(cast(BinaryIO, opened), member.file_size, longest, f"the header of {name}")
    except _DAMAGE as error:
        raise ValueError(f"{name or 'it'} cannot be unpacked: {reason(error)}") from error


_DAMAGE = (zipfile.BadZipFile, RuntimeError, zlib.error, lzma.LZMAError)
"""Errors of archives that are damaged, or have a password or an unknown method."""


def _check_array(file: BinaryIO, size: int, longest: int, what: str) -> None:
    """Checks the header of an array.

    Args:
        file: the file, at the array's start; it is left elsewhere.
        size: number of bytes from there on.
        longest: number of characters that its header may have.
        what: name of the header in the message.

    Raises:
        ValueError: it states more bytes than there are.
    """
    start = file.read(len(npy.MAGIC_PREFIX) + 2 + 4)
    version = tuple(start[len(npy.MAGIC_PREFIX) : len(npy.MAGIC_PREFIX) + 2])
    if not start.startswith(npy.MAGIC_PREFIX) or version not in _LENGTHS:
        return  # no array, or a later version, which np.load refuses
    length = _LENGTHS[version]
    place = len(npy.MAGIC_PREFIX) + 2 + length
    stated = int.from_bytes(start[place - length : place], "little")
    if place + stated > size:
        raise ValueError(f"{what} states a length of {stated} bytes, and {max(0, size - place)} follow")
    if stated > longest:
        raise ValueError(f"{what} has {stated} bytes, more than {longest}: pass max_header_size={stated} to read it")
    file.seek(place - len(start) - length, os.SEEK_CUR)  # the reader begins with the length
    try:
        shape, _, dtype = _HEADERS[version](file, max_header_size=longest)
    except (ValueError, SyntaxError, TypeError, RecursionError, tokenize.TokenError) as error:
        raise ValueError(f"{what} cannot be read: {reason(error)}") from error
    needed, there = math.prod(shape) * dtype.itemsize, size - place - stated
    if needed > there and not dtype.hasobject:  # objects are pickled
        raise ValueError(f"{what} states {needed} bytes of values, and {there} follow")
