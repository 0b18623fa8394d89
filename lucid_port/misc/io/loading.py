"""Loading of images, arrays and data by file extension."""

from __future__ import annotations

import contextlib
import functools
import io
import lzma
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from converters import checks
from converters.documents import parse_json
from converters.paths import naming_file
from converters.signatures import checked
from lucid_port.misc.io.arguments import PathOrFile, binary_file, check_options, file_name, path_name
from lucid_port.misc.io.arrays import load_array
from lucid_port.misc.io.pictures import Use, decode_picture, pixels_of
from lucid_port.misc.io.serialize_array import PICTURES
from lucid_port.misc.io.unpacking import unpack_xz

__all__ = ["load", "open_picture"]


@checked
def load(url_or_handle: PathOrFile | Sequence[PathOrFile], allow_unsafe_formats: bool = False, **kwargs: Any) -> Any:
    """Loads a file by its extension: png, jpg, jpeg, webp, npy, npz, json, txt, md, and each of these with `.xz`.

    Args:
        url_or_handle: path, http(s) URL, open file that has a name, or a list of these, which are loaded in parallel.
        allow_unsafe_formats: allow pickle files, which can run arbitrary code.
        **kwargs: options of the format: `size=(width, height)` for images, `split=True` (a list of lines) and
            `encoding` for text, those of `np.load` for arrays.

    Returns:
        An image as float32 [H, W, C] in [0, 1] (C is 3, or 4 or 2 with alpha), an array, the content of a JSON file,
        or text. A list of these, in order, for a list.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: the file or URL cannot be read.
        TypeError: the format lacks an option.
        ValueError: the format is unknown, or unsafe and not allowed, or the file is corrupt.

    Example:
        >>> import tempfile
        >>> from lucid_port.misc.io import save
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/grey.png"
        ...     _ = save(np.full((4, 6), 0.5), path, domain=(0, 1))
        ...     load(path).shape, load(path, size=(3, 2)).shape
        ((4, 6, 3), (2, 3, 3))
    """
    if isinstance(url_or_handle, (list, tuple)):
        with ThreadPoolExecutor(8) as pool:
            one = partial(load, allow_unsafe_formats=allow_unsafe_formats, **kwargs)
            jobs = [pool.submit(partial(copy_context().run, one, item)) for item in url_or_handle]
            return [job.result() for job in jobs]
    if hasattr(url_or_handle, "read"):
        name = file_name(url_or_handle)
        return _decode(binary_file(url_or_handle), name, allow_unsafe_formats, kwargs)
    url = path_name(url_or_handle)
    return _decode(io.BytesIO(_read(url)), url, allow_unsafe_formats, kwargs)


def open_picture(path: str | os.PathLike[str], use: Use) -> Image.Image:
    """Reads a picture from a path or URL as Pillow's image.

    Args:
        path: the path or URL.
        use: the next operation; see `decode_picture`.

    Raises:
        FileNotFoundError, OSError, ValueError: as for `load`.
    """
    name = path_name(path)
    with _naming(name, os.path.splitext(name)[1].lower()):
        return decode_picture(io.BytesIO(_read(name)), use)


def _read(url: str) -> bytes:
    if url.startswith(("http://", "https://")):
        from lucid_port.misc import downloads  # imported on use, because importing requests is slow

        return downloads.read(url)
    if "://" in url:
        raise ValueError(f"{url} is a URL that cannot be read: only http and https are supported.")
    if os.path.isdir(url):
        raise IsADirectoryError(f"{url} is a folder: name a file.")
    if os.path.exists(url) and not (os.path.isfile(url) or os.path.isdir(url)):
        raise ValueError(f"{url} is a pipe or a device, and reading it may never end: name a file.")
    with naming_file(url), open(url, "rb") as file:
        return file.read()


def _decode(handle: BinaryIO, name: str, unsafe: bool, kwargs: dict[str, Any]) -> Any:
    stem, extension = os.path.splitext(name)
    extension = extension.lower()
    if extension == ".xz":
        return _decode(io.BytesIO(_decompress(handle.read(), name)), stem, unsafe, kwargs)
    if extension in (".pickle", ".pkl") and not unsafe:
        raise ValueError(f"{name} is a pickle, which can run any code: pass allow_unsafe_formats=True.")
    loader = _LOADERS.get(extension)
    if loader is None:
        raise ValueError(f"Cannot load {checks.shown(name)}: known extensions are {', '.join(sorted(_LOADERS))}.")
    check_options(loader, kwargs, extension)
    if kwargs.get("allow_pickle") and not unsafe:
        raise ValueError(f"allow_pickle lets {name} run any code: pass allow_unsafe_formats=True, too.")
    with _naming(name, extension):
        return loader(handle, **kwargs)


@contextlib.contextmanager
def _naming(name: str, extension: str) -> Iterator[None]:
    """Context in which a decoder's errors become a sentence that names the file."""
    try:
        yield
    except _BROKEN as error:
        raise ValueError(f"{name} cannot be read as {extension}: {str(error).rstrip('.')}.") from error


def _decompress(data: bytes, name: str) -> bytes:
    try:
        return unpack_xz(data)
    except (lzma.LZMAError, ValueError) as error:
        raise ValueError(f"{name} cannot be read as .xz: {str(error).rstrip('.')}.") from error


# Errors of the decoders for files that are corrupt or of another format. Pillow's own error is an OSError.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError)


def _load_image(handle: BinaryIO, size: tuple[int, int] | None = None) -> np.ndarray:
    if size is not None:
        size = checks.sizes(size, "size", 2)  # type: ignore[assignment]
    return pixels_of(decode_picture(handle, "floats" if size is None else "resized"), size)


@functools.wraps(load_array)
def _load_array(handle: BinaryIO, **kwargs: Any) -> Any:
    try:
        return load_array(handle, **kwargs)
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        advice = "if you trust the file, pass allow_pickle=True and allow_unsafe_formats=True"
        raise ValueError(f"it holds Python objects, which can run any code: {advice}") from error


def _load_text(handle: BinaryIO, split: bool = False, encoding: str = "utf-8") -> str | list[str]:
    text = handle.read().decode(encoding)
    return text.splitlines() if split else text


def _load_json(handle: BinaryIO, encoding: str = "utf-8") -> Any:
    return parse_json(handle.read().decode(encoding))


_LOADERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(PICTURES, _load_image),
    ".npy": _load_array,
    ".npz": _load_array,
    ".json": _load_json,
    ".txt": _load_text,
    ".md": _load_text,
    ".pickle": pickle.load,
    ".pkl": pickle.load,
}
