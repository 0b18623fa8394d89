"""Values of pictures: arrays and Pillow's images as float32 in [0, 1]."""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import BinaryIO, Literal, TypeAlias, cast

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lucid_port.misc.io.unpacking import MEMORY, MEMORY_TIMES

__all__ = [
    "LOWEST",
    "MOST",
    "check_range",
    "decode_picture",
    "gray",
    "picture_size",
    "pixels_of",
    "range_problem",
    "read_picture",
    "strips_of",
    "unit_floats",
    "upright",
    "without_alpha",
]

LOWEST, MOST = -0.5, 1.5
"""Limits of a picture's values. Resizing overshoots [0, 1] by at most 0.3; values in 0..255, or those that a mean and a
standard deviation have normalized, exceed the limits."""

FORMATS = ("PNG", "JPEG", "WEBP")
"""Pillow's formats of pictures. Its other formats are not tried: that of EPS starts Ghostscript."""

Use: TypeAlias = Literal["pixels", "resized", "floats"]
"""What follows the decoding: Pillow's pixels are kept; or resized in parts, by `strips_of`; or converted by `pixels_of`
to float32 in their own size."""

# Bytes for each pixel at the peak: of RGB and gray without alpha, and of modes that are converted first.
# `_PER_PIXEL` leaves out a strip of `_STRIP` pixels. A row with more pixels is one strip, which `_LONG_ROW` adds.
_PLAIN_MODES = ("RGB", "L", "YCbCr")
_PER_PIXEL: dict[Use, tuple[int, int]] = {"pixels": (8, 8), "resized": (8, 20), "floats": (16, 36)}
_TURNED = 4  # Pillow's second image if EXIF may turn it
_LONG_ROW = 48  # Pillow's part, its bytes, two arrays of floats, and three channels of gray
# Errors of Pillow's decoders for damaged files.
_ODD_ERRORS = (Image.DecompressionBombError, IndexError, KeyError, TypeError, OverflowError, ZeroDivisionError)

_STRIP = 2**18  # pixels
_WHITE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def read_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Reads a picture of one of `FORMATS`, whatever its name is.

    Args:
        path: path of the file.

    Returns:
        Pillow's image with all its pixels; the file is closed.

    Raises:
        OSError: the file is missing, damaged, too large, or of another format.
    """
    try:
        return decode_picture(path)
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(f"{path} cannot be read as a picture: {error}.") from error


def decode_picture(file: str | os.PathLike[str] | BinaryIO, use: Use = "pixels") -> Image.Image:
    """Reads a picture, as `read_picture` does.

    Args:
        file: path, or a file that is open in binary mode.
        use: the next operation, which needs memory, too.

    Raises:
        OSError: as for `read_picture`. Unless the system states the file's name, the message is a clause.
    """
    try:
        with _opened(file) as picture:
            problem = _lack_of_memory(picture, file, use)
            if problem is None:
                picture.load()
                return picture
    except UnidentifiedImageError:
        raise OSError("its content is no picture") from None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, *_ODD_ERRORS) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise OSError(f"its content is damaged or too large ({' '.join(str(error).split())})") from error
    raise OSError(problem)


def picture_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Returns the (width, height) of a picture, upright according to EXIF, from its header.

    Raises:
        OSError: the file cannot be read, or is no picture.
    """
    try:
        with _opened(path) as picture:
            is_turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return picture.size[::-1] if is_turned else picture.size
    except UnidentifiedImageError:
        raise OSError(f"{path} cannot be read as a picture: its content is no picture.") from None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, *_ODD_ERRORS) as error:
        raise OSError(f"{path} cannot be read as a picture: {error}.") from error


_FILTERS = threading.Lock()


@contextlib.contextmanager
def _opened(file: str | os.PathLike[str] | BinaryIO) -> Iterator[Image.Image]:
    with contextlib.ExitStack() as stack:
        if isinstance(file, (str, os.PathLike)):
            file = stack.enter_context(open(file, "rb"))
        bounded = cast(BinaryIO, _Bounded(file))
        # Pillow warns of more than 89 million pixels; `_lack_of_memory` decides. All threads share the filters.
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(bounded, formats=FORMATS)
        yield stack.enter_context(picture)


class _Bounded:
    """A file for Pillow, whose `read` allocates no more bytes than are left.

    Pillow asks for as many bytes as a PNG chunk states, up to 4 GB, and Python's files allocate all of them first.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, _size_of(file)
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, max(0, self._size - self.tell())) if size > io.DEFAULT_BUFFER_SIZE else size)


def _lack_of_memory(picture: Image.Image, file: str | os.PathLike[str] | BinaryIO, use: Use) -> str | None:
    """Returns a clause for a picture whose pixels need much more memory than its file has bytes, otherwise None.

    A file of a few kilobytes can hold 10,000 x 10,000 pixels of one color.
    """
    per_pixel = _PER_PIXEL[use][picture.mode not in _PLAIN_MODES]
    per_pixel += _TURNED if use != "pixels" and "exif" in picture.info else 0
    longest = max(picture.size) if use != "pixels" else 0  # EXIF may turn columns into rows
    needed, size = picture.width * picture.height * per_pixel, _size_of(file)
    needed += longest * _LONG_ROW if longest > _STRIP else 0
    allowed = MEMORY + MEMORY_TIMES * size
    if needed <= allowed:
        return None
    return (
        f"its {picture.width} x {picture.height} pixels need {needed / 1e6:.0f} MB of memory, and a file of "
        f"{size / 1e6:.1f} MB may use {allowed / 1e6:.0f} MB; make the picture smaller"
    )


def _size_of(file: str | os.PathLike[str] | BinaryIO) -> int:
    if isinstance(file, (str, os.PathLike)):
        return os.path.getsize(file)
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(place)
    return size


def pixels_of(picture: Image.Image, size: tuple[int, int] | None = None) -> np.ndarray:
    """Converts Pillow's image of any mode, upright according to EXIF.

    Args:
        picture: the image.
        size: (width, height) to resize it to.

    Returns:
        float32 [H, W, C] in [0, 1], C is 3, or 4 or 2 with alpha. Float images (mode F) keep their values.

    Example:
        >>> pixels_of(Image.new("CMYK", (6, 4))).shape
        (4, 6, 3)
    """
    picture = upright(picture)
    if size is not None:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    pixels = None
    for top, strip in strips_of(picture):
        if pixels is None:
            pixels = np.empty((picture.height, *strip.shape[1:]), np.float32)
        pixels[top : top + len(strip)] = strip
    return np.empty((picture.height, picture.width, 3), np.float32) if pixels is None else pixels


def upright(picture: Image.Image) -> Image.Image:
    """Turns Pillow's image according to EXIF, and converts it to gray or RGB, with alpha if it has any.

    Example:
        >>> upright(Image.new("CMYK", (6, 4))).mode
        'RGB'
    """
    with contextlib.suppress(SyntaxError):  # damaged metadata say nothing about the orientation
        if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        picture = picture.convert("RGB")
    if picture.mode in ("P", "1", "PA"):
        transparent = picture.mode == "PA" or "transparency" in picture.info
        picture = picture.convert("RGBA" if transparent else "RGB")
    if picture.mode in ("RGBa", "La"):  # colors multiplied by alpha
        picture = picture.convert("RGBA" if picture.mode == "RGBa" else "LA")
    if picture.mode.startswith("I"):
        picture = Image.fromarray(np.asarray(picture).astype(np.float32) / np.float32(65535))
    return picture


def as_rgb(picture: Image.Image) -> Image.Image:
    """Returns a picture of any mode as RGB, upright according to EXIF, with transparent parts on white.

    Example:
        >>> as_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if picture.mode == "RGB":
        return ImageOps.exif_transpose(picture)
    return levels_of(pixels_of(picture))


def levels_of(pixels: np.ndarray) -> Image.Image:
    """Returns pixels [H, W, C] in [0, 1], with 1 to 4 channels, as RGB with 8 bits, transparent parts on white.

    Raises:
        ValueError: There is another number of channels.
    """
    if pixels.shape[-1] in (2, 4):
        pixels = without_alpha(pixels, 1.0)
    if pixels.shape[-1] not in (1, 3):
        raise ValueError(f"it has {pixels.shape[-1]} channels")
    levels = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.repeat(levels, 3, -1) if levels.shape[-1] == 1 else levels)


def strips_of(picture: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """Converts an image from `upright` in parts, because Pillow's bytes of all pixels would be a further copy.

    Yields:
        The index of the first row, and the rows as `pixels_of` returns them.

    Example:
        >>> [(top, strip.shape) for top, strip in strips_of(Image.new("L", (6, 4)))]
        [(0, (4, 6, 3))]
    """
    rows = max(1, _STRIP // max(1, picture.width))
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        values = unit_floats(np.asarray(strip))
        yield top, np.repeat(values[..., None], 3, -1) if values.ndim == 2 else values


def unit_floats(values: np.ndarray) -> np.ndarray:
    """Converts the numbers of a picture to float32: integers are divided by their white, floats keep their values.

    Args:
        values: uint8 (white is 255), uint16 (65535), or floats.

    Raises:
        TypeError: the numbers have another type, whose white is not known.

    Example:
        >>> unit_floats(np.array([0, 51, 255], np.uint8)).tolist()
        [0.0, 0.20000000298023224, 1.0]
    """
    native = values.dtype.newbyteorder("=")
    if native in _WHITE:
        return values.astype(np.float32) / np.float32(_WHITE[native])
    if values.dtype.kind != "f":
        raise TypeError(
            f"A picture has numbers of type uint8 (0 to 255), uint16 (0 to 65535), or floats in [0, 1], not "
            f"{values.dtype}: convert it with astype(np.uint8), or divide it by its white."
        )
    return values.astype(np.float32)


def without_alpha(pixels: np.ndarray, background: float = 1.0) -> np.ndarray:
    """Mixes pixels [H, W, 2 or 4] with a gray background by their alpha, which is the last channel; others are kept.

    Example:
        >>> without_alpha(np.zeros((4, 6, 4), np.float32)).shape
        (4, 6, 3)
    """
    if pixels.shape[-1] not in (2, 4):
        return pixels
    alpha = pixels[..., -1:]
    mixed: np.ndarray = pixels[..., :-1] * alpha
    mixed += np.float32(background) * (1 - alpha)
    return mixed


def gray(pixels: np.ndarray) -> np.ndarray:
    """Converts RGB pixels [..., 3] to gray [..., 1], with the weights of Pillow's mode L.

    Example:
        >>> gray(np.ones((4, 6, 3), np.float32)).shape
        (4, 6, 1)
    """
    return pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)


def check_range(low: float, high: float, what: str) -> None:
    """Checks that values are those of a picture in [0, 1].

    Args:
        low, high: the least and the largest value.
        what: name of the picture in the message.

    Raises:
        ValueError: a value is below `LOWEST` or above `MOST`, or NaN.
    """
    if not (low >= LOWEST and high <= MOST):
        raise ValueError(range_problem(low, high, what))


def range_problem(low: float, high: float, what: str) -> str:
    """Returns a sentence about values outside of the limits."""
    if math.isnan(low) or math.isnan(high):
        return f"{what} has values that are NaN, but images are in [0, 1]: replace them, as with numpy.nan_to_num."
    if low >= 0 and MOST < high <= 255:
        advice = "divide them by 255"
    else:
        advice = "give the picture before it is normalized, as the model maps it to the network's input itself"
    return f"{what} has values from {low:.3g} to {high:.3g}, but images are in [0, 1]: {advice}."
