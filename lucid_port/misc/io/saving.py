"""Save pictures, arrays and data by file extension."""

from __future__ import annotations

import io
import json
import lzma
import os
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch

from converters.atomic import write_bytes
from lucid_port.misc import checks
from lucid_port.misc.io.arguments import check_options, file_name, path_name
from lucid_port.misc.io.scoping import current_scopes, set_scopes
from lucid_port.misc.io.serialize_array import PICTURES, Domain, as_picture, serialize_array, to_array

__all__ = ["CaptureSaveContext", "batch_save", "check_picture_path", "save"]

Saver = Callable[..., tuple[bytes, dict]]

_captures: ContextVar[tuple[CaptureSaveContext, ...]] = ContextVar("lucid_port_save_captures", default=())


class CaptureSaveContext:
    """Within it, the results of `save` are collected in `captured_saves`."""

    def __init__(self) -> None:
        self.captured_saves: list[dict[str, Any]] = []

    def __enter__(self) -> CaptureSaveContext:
        self._token = _captures.set((*_captures.get(), self))
        return self

    def __exit__(self, *_: Any) -> None:
        _captures.reset(self._token)


def save(
    thing: Any,
    url_or_handle: Any,
    allow_unsafe_formats: bool = False,
    save_context: CaptureSaveContext | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Save by extension: png, jpg, jpeg, webp, npy, npz, json, txt, and any of these `.xz`.

    Args:
        thing: array or tensor for pictures (channels last) and arrays; a dict, list or array for
            npz; whatever JSON can write; text or a list of lines.
        url_or_handle: path (folders are made), or an open binary file with a name.
        allow_unsafe_formats: permit pickle files.
        save_context: collect the result there, too.
        **kwargs: for the format. Pictures: `domain`, the range of values; **by default it is
            the picture's own**, so that contrast is stretched as in Lucid. Pass `(0, 1)` to keep
            values. `metadata`: a text for the file to carry.

    Returns:
        A description: type, url, and what the format adds.

    Raises:
        TypeError: the thing is not what the format holds, or the format has no such option.
        ValueError: the format is unknown, or unsafe and not allowed; or the path is an address.
    """
    is_handle = hasattr(url_or_handle, "write")
    name = file_name(url_or_handle) if is_handle else path_name(url_or_handle)
    _refuse_address(name)
    data, result = _encode(thing, name, allow_unsafe_formats, kwargs)
    if is_handle:
        url_or_handle.write(data)
    else:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        write_bytes(name, data)
    result["url"] = name
    for context in (*_captures.get(), *([save_context] if save_context else [])):
        context.captured_saves.append(result)
    return result


def _refuse_address(name: str) -> None:
    if "://" in name:
        raise ValueError(f"{name} is an address, to which nothing can be saved: give the path of a file.")


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


def check_picture_path(path: str | os.PathLike[str]) -> None:
    """Refuses, before any work is done for it, a path under which no picture can be saved.

    Raises:
        ValueError: its extension is not a picture's, or it is an address.
        OSError: it is a folder, or its folder cannot be written to.
    """
    name = os.fspath(path)
    _refuse_address(name)
    if _saver(name, os.path.splitext(name.lower())[1]) is not _save_image:
        pictures = ", ".join(extension for extension, saver in sorted(_SAVERS.items()) if saver is _save_image)
        raise ValueError(f"{name} is no picture's name: pictures end in {pictures}.")
    if os.path.isdir(name):
        raise IsADirectoryError(f"{name} is a folder, not a picture.")
    folder = os.path.dirname(os.path.abspath(name))
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise NotADirectoryError(f"{name} cannot be written: {folder} is no folder that can be written to.")


def _save_image(
    thing: Any, fmt: str, domain: Domain | None = None, quality: int = 90, metadata: str | None = None
) -> tuple[bytes, dict]:
    array = as_picture(thing)
    height, width = array.shape[:2]
    bands = array.shape[2] if array.ndim == 3 else 1
    data = serialize_array(array, domain, fmt, quality, metadata)
    return data, {"type": "image", "shape": (width, height, bands)}


def _save_npy(thing: Any, fmt: str) -> tuple[bytes, dict]:
    array, buffer = _storable(thing), io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue(), {"type": "array", "shape": array.shape, "dtype": str(array.dtype)}


def _storable(thing: Any) -> np.ndarray:
    array = to_array(thing)
    if array.dtype.hasobject:
        raise TypeError(f"{checks.shown(thing)} is no array of numbers or text, which npy and npz files hold.")
    return array


def _save_npz(thing: Any, fmt: str) -> tuple[bytes, dict]:
    buffer = io.BytesIO()
    if isinstance(thing, dict):
        for key in thing:
            if not isinstance(key, str) or key in ("", "file", "allow_pickle"):  # the last two are np.savez's own
                raise ValueError(f"An array in an npz file cannot have the name {key!r}: use another string.")
        named: dict[str, Any] = {key: _storable(value) for key, value in thing.items()}
        np.savez(buffer, **named)
    elif isinstance(thing, (list, tuple)):
        np.savez(buffer, *(_storable(value) for value in thing))
    else:
        np.savez(buffer, _storable(thing))
    return buffer.getvalue(), {"type": "compressed_array"}


def _plain(thing: Any) -> Any:
    if hasattr(thing, "to_json"):
        return thing.to_json()
    if isinstance(thing, (np.ndarray, np.generic, torch.Tensor)):
        return to_array(thing).tolist()
    if isinstance(thing, (set, frozenset)):
        return list(thing)
    raise TypeError(f"{type(thing).__name__} cannot be written as JSON.")


def _save_json(thing: Any, fmt: str, indent: int | None = 2) -> tuple[bytes, dict]:
    return json.dumps(thing, default=_plain, indent=indent).encode(), {"type": "json"}


def _save_text(thing: Any, fmt: str, encoding: str = "utf-8") -> tuple[bytes, dict]:
    if not isinstance(thing, str):
        lines = checks.items(thing, "What is saved as text", "a string or a list of lines")
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


def batch_save(save_ops: Iterable[tuple[Any, ...]], num_workers: int = 16) -> list[dict[str, Any]]:
    """Save many things in parallel.

    Args:
        save_ops: (thing, path) or (thing, path, dict of further arguments).
        num_workers: number of threads.

    Returns:
        The results, in order.

    Raises:
        ValueError: an operation has another form. Besides, what `save` raises.
    """
    wanted = "a list of (thing, path), or (thing, path, arguments)"
    operations = checks.items(save_ops, "What batch_save saves", wanted)
    for operation in operations:
        if not isinstance(operation, (list, tuple)) or len(operation) not in (2, 3):
            raise ValueError(f"What batch_save saves is {wanted}; one is {checks.shown(operation)}.")
    workers = checks.whole(num_workers, "batch_save's num_workers", 1)
    scopes, captures = current_scopes(), _captures.get()

    def prepare() -> None:
        set_scopes(scopes)
        _captures.set(captures)

    def one(operation: tuple[Any, ...]) -> dict[str, Any]:
        thing, url, *rest = operation
        return save(thing, url, **(rest[0] if rest else {}))

    with ThreadPoolExecutor(workers, initializer=prepare) as pool:
        return list(pool.map(one, operations))
