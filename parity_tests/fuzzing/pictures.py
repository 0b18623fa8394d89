"""Pictures: small ones of every mode, files that pretend to be some, huge headers; and mutations of their parts."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from parity_tests.fuzzing.mutations import change_bytes

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZES = (0, 1, 2, 255, 4096, 12_000, 20_000, 65_500, 65_535, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1)
MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")
RECIPE = '{"lucid_port_recipe": 1, "model": {"name": "TinyInceptionV1", "fingerprint": "0"}}'


# -- small pictures ---------------------------------------------------------------------------------------------------


def _image(mode: str = "RGB") -> Image.Image:
    pixels = np.random.RandomState(0).randint(0, 256, (9, 14, 3)).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


def _encoded(form: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    _image(mode).save(buffer, form, **options)
    return buffer.getvalue()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a description"
    return exif


def _with_text(text: str, compress: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("lucid_port", text, zip=compress)
    info.add_itxt("comment", text, "de", "", compress)
    return _encoded("PNG", pnginfo=info)


def _animated(form: str) -> bytes:
    return _encoded(form, save_all=True, append_images=[_image("RGB").rotate(90 * turn) for turn in (1, 2, 3)])


# -- huge ones --------------------------------------------------------------------------------------------------------


def chunk(name: bytes, payload: bytes) -> bytes:
    """Returns one chunk of a PNG file with its checksum."""
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def png(width: int, height: int, rows: int, depth: int = 8, color: int = 0, *more: bytes) -> bytes:
    """Returns a black PNG file with any header.

    Args:
        width, height: stated size.
        rows: number of rows in the file.
        depth, color: bits of a value, and PNG's type of colors (0: gray, 2: RGB, 3: palette, 6: RGBA).
        *more: further chunks before the pixels.
    """
    values = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row = bytes(1 + (width * values * depth + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join([packer.compress(row) for _ in range(rows)]) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return SIGNATURE + head + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _zeros(name: bytes, head: bytes, size: int) -> bytes:
    """A chunk whose content unpacks to many zeros."""
    return chunk(name, head + zlib.compress(bytes(size), 9))


def _jpeg(width: int, height: int) -> bytes:
    """A JPEG file whose header states another size."""
    data = bytearray(_encoded("JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def _webp(width: int, height: int) -> bytes:
    """A lossless WebP file whose header states another size."""
    data = bytearray(_encoded("WEBP", lossless=True))
    place = data.index(b"VP8L") + 9
    bits = (width - 1) | (height - 1) << 14 | int.from_bytes(data[place : place + 4], "little") & ~0xFFFFFFF
    data[place : place + 4] = struct.pack("<I", bits & 0xFFFFFFFF)
    return bytes(data)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://localhost:9/a.png"/></svg>'

_BUILDERS: Mapping[str, Callable[[], bytes]] = {
    **{f"{mode}.png": functools.partial(_encoded, "PNG", mode) for mode in MODES},
    **{f"{mode}.jpg": functools.partial(_encoded, "JPEG", mode) for mode in ("RGB", "L", "CMYK")},
    **{f"{mode}.webp": functools.partial(_encoded, "WEBP", mode) for mode in ("RGB", "RGBA")},
    "lossless.webp": functools.partial(_encoded, "WEBP", lossless=True),
    "progressive.jpg": functools.partial(_encoded, "JPEG", progressive=True),
    "recipe.png": lambda: _with_text(RECIPE),
    "packed recipe.png": lambda: _with_text(RECIPE, True),
    "comment.jpg": lambda: _encoded("JPEG", comment=RECIPE),
    "recipe.webp": lambda: _encoded("WEBP", xmp=RECIPE.encode()),
    "palette.png": lambda: _encoded("PNG", "P", transparency=0),
    "turned 3.jpg": lambda: _encoded("JPEG", exif=_exif(3)),
    "turned 6.jpg": lambda: _encoded("JPEG", exif=_exif(6)),
    "turned.webp": lambda: _encoded("WEBP", exif=_exif(8)),
    "turned.png": lambda: _encoded("PNG", exif=_exif(5)),
    "animated.png": lambda: _animated("PNG"),
    "animated.webp": lambda: _animated("WEBP"),
    # Other formats with the names of pictures.
    **{f"{form}.png": functools.partial(_encoded, form) for form in ("EPS", "TIFF", "GIF", "ICO", "BMP", "PPM", "PDF")},
    **{f"{form}.jpg": functools.partial(_encoded, form) for form in ("PNG", "TGA", "TIFF", "JPEG2000", "MPO")},
    "EPS.webp": lambda: _encoded("EPS"),
    "svg.png": lambda: SVG,
    "empty.png": lambda: b"",
    "pickle.png": lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    # Headers and contents that ask for much memory.
    "header.png": lambda: png(2**31 - 1, 2**31 - 1, 0),
    "large header.png": lambda: png(12_000, 12_000, 1, 8, 6),
    "bits.png": lambda: png(13_000, 13_000, 13_000, 1),
    "gray.png": lambda: png(6_000, 6_000, 6_000),
    "colors.png": lambda: png(5_000, 6_000, 6_000, 8, 2),
    "thin.png": lambda: png(30_000_000, 1, 1),
    "text.png": lambda: png(4, 4, 4, 8, 0, _zeros(b"zTXt", b"a\0\0", 300_000_000)),
    "profile.png": lambda: png(4, 4, 4, 8, 0, _zeros(b"iCCP", b"a\0\0", 300_000_000)),
    "header.jpg": lambda: _jpeg(65_500, 65_500),
    "large header.jpg": lambda: _jpeg(12_000, 12_000),
    "header.webp": lambda: _webp(16_383, 16_383),
    "large header.webp": lambda: _webp(12_000, 12_000),
}  # fmt: skip


def names() -> list[str]:
    """The names of the pictures, which end as their files do."""
    return list(_BUILDERS)


@functools.cache
def picture(name: str) -> bytes:
    """The content of one of them."""
    return _BUILDERS[name]()


# -- mutations --------------------------------------------------------------------------------------------------------


def change_picture(data: bytes, random: Random) -> bytes:
    """Changes one to three parts of a PNG, JPEG or WebP file, with right checksums and lengths, or bytes; 5 % stay."""
    share = random.random()
    if share < 0.05:
        return data
    split = next((split for start, split in _SPLITS.items() if data.startswith(start)), None)
    if share < 0.35 or split is None:
        return change_bytes(data, random)
    start, parts, join = split(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        if parts:
            _change_part(parts, random)
    return start + b"".join(join(name, payload) for name, payload in parts)


Part = tuple[bytes, bytes]
Split = tuple[bytes, list[Part], Callable[[bytes, bytes], bytes]]


def _change_part(parts: list[Part], random: Random) -> None:
    here, there = random.randrange(len(parts)), random.randrange(len(parts))
    name, payload = parts[here]
    change = random.randrange(6)
    if change == 0:
        del parts[here]
    elif change == 1:
        parts[there:there] = [parts[here]] * random.choice((1, 2, 200))
    elif change == 2:
        parts[here], parts[there] = parts[there], parts[here]
    elif change == 3:
        parts[here] = name, change_bytes(payload, random)
    elif change == 4:
        parts[here] = parts[there][0], payload
    else:
        width = random.choice((1, 2, 4))
        place = random.randrange(max(1, min(32, len(payload) - width + 1)))
        value = (random.choice(SIZES) % 256**width).to_bytes(width, random.choice(("big", "little")))
        parts[here] = name, payload[:place] + value + payload[place + width :]


def _split_png(data: bytes) -> Split:
    parts, place = [], len(SIGNATURE)
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        parts.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    return SIGNATURE, parts, chunk


def _split_jpeg(data: bytes) -> Split:
    parts, place = [], 2
    while place + 4 <= len(data) and data[place + 1] != 0xDA:
        size = int.from_bytes(data[place + 2 : place + 4], "big")
        parts.append((data[place : place + 2], data[place + 4 : place + 2 + size]))
        place += 2 + size
    parts.append((b"", data[place:]))

    def join(name: bytes, payload: bytes) -> bytes:
        return name + ((len(payload) + 2) % 2**16).to_bytes(2, "big") + payload if name else payload

    return data[:2], parts, join


def _split_webp(data: bytes) -> Split:
    parts, place = [], 12
    while place + 8 <= len(data):
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        parts.append((data[place : place + 4], data[place + 8 : place + 8 + size]))
        place += 8 + size + size % 2

    def join(name: bytes, payload: bytes) -> bytes:
        return name + len(payload).to_bytes(4, "little") + payload + bytes(len(payload) % 2)

    return data[:12], parts, join


_SPLITS: Mapping[bytes, Callable[[bytes], Split]] = {
    SIGNATURE: _split_png,
    b"\xff\xd8": _split_jpeg,
    b"RIFF": _split_webp,
}
