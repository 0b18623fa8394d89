"""The memory that files of unknown authors may use, and unpacking within it."""

from __future__ import annotations

import io
import lzma

__all__ = ["MEMORY", "MEMORY_TIMES", "allowed_memory", "unpack_xz"]

MEMORY = 450_000_000
MEMORY_TIMES = 100
"""Bytes of memory that the content of a packed file may use, and how many bytes more for each byte of the file.

A photograph has 0.2 to 1 bytes of JPEG for each of its pixels, which need 16 bytes: 16 to 80 times its file. Pixels of
one color, or an array of zeros, can need 10,000 times their file."""


_PIECE = 2**20  # bytes that are unpacked at a time


def allowed_memory(size: int) -> int:
    """Returns the number of bytes of memory that the content of a packed file of `size` bytes may use."""
    return MEMORY + MEMORY_TIMES * size


def unpack_xz(data: bytes) -> bytes:
    """Unpacks an .xz file, as `lzma.decompress` does, which has no limit.

    Raises:
        lzma.LZMAError: it is damaged.
        ValueError: it is cut short, or unpacks to more bytes than `allowed_memory`.

    Example:
        >>> unpack_xz(lzma.compress(b"text"))
        b'text'
    """
    most, content = allowed_memory(len(data)), io.BytesIO()
    rest = _unpack(data, content, most)
    while rest:
        place = content.tell()
        try:
            rest = _unpack(rest, content, most)
        except lzma.LZMAError:  # bytes of another kind after the last stream
            content.truncate(place)
            break
    return content.getvalue()


def _unpack(data: bytes, content: io.BytesIO, most: int) -> bytes:
    """Unpacks one stream to the end of `content`, and returns the bytes that follow it."""
    unpacker = lzma.LZMADecompressor(memlimit=MEMORY)
    while not unpacker.eof:
        content.write(unpacker.decompress(data, max_length=_PIECE))
        data = b""  # the unpacker keeps the bytes that it has not read
        if content.tell() > most:
            raise ValueError(f"it unpacks to more than {most / 1e6:.0f} MB; xz --decompress has no limit")
        if unpacker.needs_input and not unpacker.eof:
            raise ValueError("it is cut short")
    return unpacker.unused_data
