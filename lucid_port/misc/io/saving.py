"""Saving of images, arrays and data by file extension."""

from __future__ import annotations

import io
import json
import lzma
import os
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.atomic import check_writable, write_bytes
from converters.signatures import checked
from lucid_port.misc.io.arguments import PathOrFile, binary_file, check_options, file_name, path_name
from lucid_port.misc.io.serialize_array import PICTURES, Domain, as_picture, serialize_array, to_array
from lucid_port.misc.tensors import ArrayLike

__all__ = ["CaptureSaveContext", "batch_save", "check_picture_path", "is_picture_name", "save"]

Saver = Callable[..., tuple[bytes, dict]]

_captures: ContextVar[tuple[CaptureSaveContext, ...]] = ContextVar("lucid_port_save_captures", default=())


class CaptureSaveContext:
    """A context that collects the results of `save`.

    Attributes:
        captured_saves: the results, in order.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, CaptureSaveContext() as context:
        ...     _ = save([1, 2], f"{folder}/numbers.json")
        >>> [result["type"] for result in context.captured_saves]
        ['json']
    """

    def __init__(self) -> None:
        self.captured_saves: list[dict[str, Any]] = []

    def __enter__(self) -> CaptureSaveContext:
        self._token = _captures.set((*_captures.get(), self))
        return self

    def __exit__(self, *_: Any) -> None:
        _captures.reset(self._token)


@checked
def save(
    thing: Any,
    url_or_handle: PathOrFile,
    allow_unsafe_formats: bool = False,
    save_context: CaptureSaveContext | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Saves a file by its extension: png, jpg, jpeg, webp, npy, npz, json, txt, and each of these with `.xz`.

    Args:
        thing: an array or tensor for images (channels last) and npy; an array, or a list or dict of arrays, for npz;
            data that JSON can hold; a string or a list of lines for txt.
        url_or_handle: path, or open file that has a name. Missing folders are created.
        allow_unsafe_formats: allow pickle files.
        save_context: also add the result to this context.
        **kwargs: options of the format. Images take `domain`, the range of the values; **the default is the range of
            the image itself**, which stretches the contrast as in Lucid. Pass `(0, 1)` to keep the values. Images
            also take `quality` (0 to 100) and `metadata`, a text to store in the file.

    Returns:
        A description of the file: `type`, `url`, and values of the format, such as `shape`.

    Raises:
        TypeError: the format cannot hold `thing`, or lacks an option.
        ValueError: the format is unknown, or unsafe and not allowed, or the path is a URL.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(np.zeros((4, 6, 3)), f"{folder}/black.png", domain=(0, 1))
        {'type': 'image', 'shape': (6, 4, 3), 'url': '...black.png'}
    """
    is_handle = hasattr(url_or_handle, "write")
    name = file_name(url_or_handle) if is_handle else path_name(url_or_handle)
    _refuse_address(name)
    data, result = _encode(thing, name, allow_unsafe_formats, kwargs)
    if is_handle:
        binary_file(url_or_handle).write(data)
    else:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        write_bytes(name, data)
    result["url"] = name
    for context in (*_captures.get(), *([save_context] if save_context else [])):
        context.captured_saves.append(result)
    return result


def _refuse_address(name: str) -> None:
    if "://" in name:
        raise ValueError(f"{name} is a URL, and files cannot be saved to URLs: give the path of a file.")


def _encode(thing: Any, name: str, unsafe: bool, kwargs: dict[str, Any]) -> tuple[bytes, dict]:
    stem, extension = os.path.splitext(name.lower())
    if extension == ".xz":
        data, result = _encode(thing, stem, unsafe, kwargs)
        return lzma.compress(data), result
    if extension in (".pickle", ".pkl") and not unsafe:
        raise ValueError(f"{name} is a pickle: pass allow_unsafe_formats=True to write one.")
    saver = _saver(name, extension)
    check_options(saver, kwargs, extension)
    return saver(thing, extension[1:], **kwargs)


def _saver(name: str, extension: str) -> Saver:
    saver = _SAVERS.get(extension)
    if saver is None:
        raise ValueError(f"Cannot save {name!r}: known extensions are {', '.join(sorted(_SAVERS))}.")
    return saver


def check_picture_path(path: str | os.PathLike[str], arrays: bool = False) -> None:
    """Checks that an image can be saved under a path. Call it before a long computation.

    Args:
        path: the path.
        arrays: also allow the formats of arrays.

    Raises:
        ValueError: the extension is not that of an image, or the path is a URL.
        OSError: the path is a folder, a name in it is too long, or its folder is not writable.
    """
    name = os.fspath(path)
    _refuse_address(name)
    saver = _saver(name, _extension(name))
    if saver is not _save_image and not (arrays and saver in _ARRAY_SAVERS):
        pictures = ", ".join(extension for extension, saver in sorted(_SAVERS.items()) if saver is _save_image)
        others = ", ".join(extension for extension, saver in sorted(_SAVERS.items()) if saver in _ARRAY_SAVERS)
        raise ValueError(
            f"{name} is no picture's name: pictures end in {pictures}{f', and arrays in {others}' if arrays else ''}."
        )
    if os.path.isdir(name):
        raise IsADirectoryError(f"{name} is a folder, not a picture.")
    check_writable(name)


def is_picture_name(name: str) -> bool:
    """Returns whether `save` writes an image under a name."""
    return _SAVERS.get(_extension(name)) is _save_image


def _extension(name: str) -> str:
    """Returns the extension that decides on the format: the one before `.xz`, if there is one."""
    stem, extension = os.path.splitext(name.lower())
    return os.path.splitext(stem)[1] if extension == ".xz" else extension


def _save_image(
    thing: ArrayLike, fmt: str, domain: Domain | None = None, quality: int = 90, metadata: str | None = None
) -> tuple[bytes, dict]:
    array = as_picture(thing)
    height, width = array.shape[:2]
    bands = array.shape[2] if array.ndim == 3 else 1
    data = serialize_array(array, domain, fmt, quality, metadata)
    return data, {"type": "image", "shape": (width, height, bands)}


def _save_npy(thing: ArrayLike, fmt: str) -> tuple[bytes, dict]:
    array, buffer = _storable(thing), io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue(), {"type": "array", "shape": array.shape, "dtype": str(array.dtype)}


def _storable(thing: ArrayLike) -> np.ndarray:
    array = to_array(thing)
    if array.dtype.hasobject:
        raise TypeError(
            f"{checks.shown(thing)} is no array of numbers or text, which npy and npz files hold: convert it, as with "
            "array.astype('float32'), save lists and dicts as .json, or any object as .pickle with "
            "allow_unsafe_formats=True."
        )
    return array


def _save_npz(thing: Any, fmt: str) -> tuple[bytes, dict]:
    buffer = io.BytesIO()
    if isinstance(thing, dict):
        for key in thing:
            if not isinstance(key, str) or key in ("", "file", "allow_pickle"):  # parameters of np.savez
                raise ValueError(f"An array in an npz file cannot have the name {key!r}: use another string.")
        named: dict[str, Any] = {key: _storable(value) for key, value in thing.items()}
        np.savez(buffer, **named)
    else:
        things = thing if isinstance(thing, (list, tuple)) else [thing]
        np.savez(buffer, *map(_storable, things))
    return buffer.getvalue(), {"type": "compressed_array"}


def _plain(thing: Any) -> Any:
    if hasattr(thing, "to_json"):
        return thing.to_json()
    if isinstance(thing, torch.Tensor):
        thing = to_array(thing)
    if isinstance(thing, (np.ndarray, np.generic)):
        return thing.tolist()
    if isinstance(thing, (set, frozenset)):
        return list(thing)
    raise TypeError(f"{type(thing).__name__} cannot be written as JSON.")


def _save_json(thing: Any, fmt: str, indent: int | None = 2) -> tuple[bytes, dict]:
    return json.dumps(thing, default=_plain, indent=indent).encode(), {"type": "json"}


def _save_text(thing: Any, fmt: str, encoding: str = "utf-8") -> tuple[bytes, dict]:
    if not isinstance(thing, str):
        lines = checks.items(thing, "The content of a text file", "a string or a list of lines")
        thing = "".join(f"{line}\n" for line in lines)
    return thing.encode(encoding), {"type": "txt"}


def _save_pickle(thing: Any, fmt: str) -> tuple[bytes, dict]:
    return pickle.dumps(thing), {"type": "pickle"}


_SAVERS: dict[str, Saver] = {
    **dict.fromkeys(PICTURES, _save_image),
    ".npy": _save_npy,
    ".npz": _save_npz,
    ".json": _save_json,
    ".txt": _save_text,
    ".pickle": _save_pickle,
    ".pkl": _save_pickle,
}

_ARRAY_SAVERS = (_save_npy, _save_npz, _save_json)


@checked
def batch_save(save_ops: Iterable[tuple[Any, ...]], num_workers: int = 16) -> list[dict[str, Any]]:
    """Saves many files in parallel.

    Args:
        save_ops: tuples (thing, path), or (thing, path, dict of further arguments of `save`).
        num_workers: number of threads.

    Returns:
        The results of `save`, in order.

    Raises:
        TypeError, ValueError: `save_ops` or `num_workers` is of another form, or `save` raises the error.

    Example:
        >>> import tempfile
        >>> from lucid_port.misc.io import io_scope
        >>> with tempfile.TemporaryDirectory() as folder, io_scope(folder):
        ...     results = batch_save([([1], "one.json"), (["a line"], "two.txt")])
        >>> [result["type"] for result in results]
        ['json', 'txt']
    """
    wanted = "a list of (thing, path), or (thing, path, arguments)"
    operations = checks.items(save_ops, "batch_save's save_ops", wanted)
    for operation in operations:
        if not isinstance(operation, (list, tuple)) or len(operation) not in (2, 3):
            raise ValueError(f"batch_save's save_ops is {wanted}; one is {checks.shown(operation)}.")
    with ThreadPoolExecutor(checks.whole(num_workers, "batch_save's num_workers", 1)) as pool:
        jobs = []
        for thing, url, *rest in operations:
            options = rest[0] if rest else {}
            jobs.append(pool.submit(partial(copy_context().run, save, thing, url, **options)))
        return [job.result() for job in jobs]
