"""Read and write pictures that contain their recipe, in the file and as JSON beside it.

Images with other numbers of channels than a picture's are written as `.npy` arrays, with their recipe beside them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.atomic import check_writable, write_bytes
from converters.documents import parse_json, read_json, read_toml
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.misc.io.films import check_film_path, save_film
from lucid_port.misc.io.loading import load
from lucid_port.misc.io.pictures import read_picture
from lucid_port.misc.io.saving import check_picture_path, is_picture_name, save
from lucid_port.misc.io.serialize_array import METADATA_KEY, PICTURES, normalize_array, to_array
from lucid_port.misc.tensors import ArrayLike
from lucid_port.optvis.many.picture_folder import MANIFEST
from lucid_port.optvis.recipe import Recipe, is_recipe

__all__ = [
    "OUTPUTS",
    "check_channels",
    "check_output",
    "check_save_path",
    "compare_pictures",
    "read_document",
    "read_recipe",
    "refuse_another",
    "save_film_with_recipe",
    "save_picture",
    "sidecar",
]

ARRAY = ".npy"

OUTPUTS = (*PICTURES, ARRAY)
"""File extensions of a rendered image: pictures, and arrays [H, W, C] in float32."""

PICTURE_CHANNELS = (1, 3, 4)
"""Numbers of channels of a picture: gray, RGB, and RGB with alpha."""


@checked
def check_output(path: str | os.PathLike[str], channels: int | None = None) -> None:
    """Checks that a rendered image can be saved under a path. Call it before the render.

    Args:
        path: The path.
        channels: Number of channels of the image; None if it is not known.

    Raises:
        ValueError: The extension is not that of a picture or an array, or a picture has other numbers of channels.
        OSError: The path is a folder, or its folder is not writable.
    """
    path = user_path(path)
    suffix = path.suffix.lower()
    if suffix not in OUTPUTS:
        raise ValueError(
            f"{path} is no picture's name: pictures end in {', '.join(PICTURES)}, and arrays, which hold images of any "
            f"number of channels, in {ARRAY}."
        )
    check_save_path(path, arrays=True)
    if suffix != ARRAY:
        check_channels(channels, f"name an array, as in {path.with_suffix(ARRAY)}")


@checked
def check_channels(channels: int | None, advice: str) -> None:
    """Checks that an image can be a picture.

    Args:
        channels: Number of channels of the image; None if it is not known.
        advice: What to do otherwise, as a clause.

    Raises:
        ValueError: Pictures have other numbers of channels.
    """
    if channels is not None and channels not in PICTURE_CHANNELS:
        raise ValueError(f"The image has {channels} channels, and a picture has 1, 3 or 4: {advice}.")


@checked
def sidecar(path: str | os.PathLike[str]) -> Path:
    """Returns the path of the recipe beside a picture: `eyes.png.json` for `eyes.png`."""
    path = user_path(path)
    return path.with_name(f"{path.name}.json")


@checked
def check_save_path(path: str | os.PathLike[str], arrays: bool = False) -> None:
    """Checks that a picture and its recipe can be saved under a path. Call it before a long computation.

    Args:
        path: Path of the picture.
        arrays: Also allow the formats of arrays.

    Raises:
        ValueError: The extension is unknown.
        OSError: The picture or the recipe beside it cannot be written.
    """
    check_picture_path(path, arrays)
    beside = sidecar(path)
    if beside.is_dir():
        raise IsADirectoryError(f"The recipe of {path} cannot be written: {beside} is a folder.")
    check_writable(beside)


@checked
def save_picture(picture: ArrayLike, path: str | os.PathLike[str], recipe: Recipe) -> Path:
    """Saves a picture with its recipe, beside it and, unless it is saved as an array, in the file.

    Args:
        picture: [H, W, C] in [0, 1].
        path: File name with the extension of a picture format or of an array (.npy, .npz, .json). Missing folders are
            created.
        recipe: Recipe of the picture.

    Returns:
        The path.

    Raises:
        TypeError, ValueError: `picture` is not a picture, or the extension is unknown.
    """
    path = user_path(path)
    text = json.dumps(recipe.to_data(), indent=1)
    check_save_path(path, arrays=True)
    if is_picture_name(path.name):
        save(picture, path, domain=(0, 1), metadata=text)
    else:
        save(np.asarray(to_array(picture), np.float32), path)
    write_bytes(sidecar(path), text.encode())
    return path


@checked
def save_film_with_recipe(frames: Sequence[np.ndarray], path: str | os.PathLike[str], recipe: Recipe) -> Path:
    """Saves a film, with the recipe of its last picture beside it.

    Args:
        frames: As for `save_film`.
        path: File name with the extension of a film.
        recipe: Recipe of the last picture.

    Returns:
        The path.

    Raises:
        ValueError, converters.MissingPackageError, OSError: As for `save_film`.
    """
    check_film_path(path)
    made = save_film(frames, path)
    write_bytes(sidecar(made), json.dumps(recipe.to_data(), indent=1).encode())
    return made


@checked
def refuse_another(path: str | os.PathLike[str], recipe: Recipe) -> None:
    """Checks that a file that exists has a recipe of the same model and settings. Call it before the render.

    Versions, the reached value and the index in the batch do not matter.

    Raises:
        FileExistsError: The file is another one.
    """
    path = user_path(path)
    if not path.exists():
        return
    try:
        is_same = _settings(read_recipe(path)) == _settings(recipe)
    except (ValueError, OSError):
        is_same = False
    if not is_same:
        raise FileExistsError(
            f"{path} exists, and this command did not make it: name another file, or pass --overwrite to replace it."
        )


def _settings(recipe: Recipe) -> str:
    return json.dumps({**recipe.to_data(), "value": None, "made_with": {}, "picture": 0}, sort_keys=True)


@checked
def read_document(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Reads a document from a picture, from the file beside it, or from a .json or .toml file.

    Raises:
        FileNotFoundError: The file does not exist.
        IsADirectoryError: The path is a folder.
        ValueError: The picture does not contain a document, or the file cannot be read.
    """
    path = user_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a picture, or a recipe.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"{path} is neither a picture nor a recipe: recipes are in {', '.join(sorted(_READERS))} files."
        )
    data = reader(path)
    if not isinstance(data, Mapping):
        raise ValueError(f"{path} contains a {type(data).__name__}, not a recipe.")
    return data


@checked
def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Reads the recipe of a picture from the picture, from the file beside it, or from a .json file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: There is no recipe, or it is corrupt.
    """
    data = read_document(path)
    if not is_recipe(data):
        raise ValueError(f"{path} contains no recipe of one picture: use 'lucid-port run' for figures and plans.")
    return Recipe.from_data(data)


@checked
def compare_pictures(path: str | os.PathLike[str], picture: ArrayLike) -> str:
    """Describes the difference between a picture file and a rendered picture.

    Args:
        path: The file. All formats but PNG are lossy.
        picture: [H, W, C] in [0, 1].

    Returns:
        One sentence, without a full stop.

    Raises:
        OSError, ValueError: The file cannot be read.
    """
    path = user_path(path)
    if path.suffix.lower() == ARRAY:
        return _compare_arrays(load(path), to_array(picture))
    there = np.asarray(read_picture(path))
    here = normalize_array(picture)
    if there.shape != here.shape:
        return f"another size, {list(here.shape)} instead of {list(there.shape)}"
    difference = np.abs(there.astype(int) - here)
    if not difference.any():
        return "the same, bit for bit"
    share = (difference > 0).mean()
    suffix = path.suffix[1:].upper()
    lossy = "" if suffix == "PNG" else f"; part of this comes from the {suffix} compression"
    return (
        f"{share:.1%} of the values differ, by up to {difference.max()} of 255 ({difference.mean():.2g} on average)"
        f"{lossy}"
    )


def _compare_arrays(there: np.ndarray, here: np.ndarray) -> str:
    if there.shape != here.shape:
        return f"another size, {list(here.shape)} instead of {list(there.shape)}"
    if there.dtype.kind not in "biuf":
        return f"another type, {here.dtype} instead of {there.dtype}"
    difference = np.abs(there.astype(np.float64) - here)
    if not difference.any():
        return "the same, bit for bit"
    return f"{(difference > 0).mean():.1%} of the values differ, by up to {difference.max():.2g}"


def _from_picture(path: Path) -> Any:
    try:
        info = read_picture(path).info
    except OSError as error:
        raise ValueError(str(error)) from error
    text = info.get(METADATA_KEY) or info.get("comment") or info.get("xmp")
    if text:
        try:
            return parse_json(text)
        except ValueError:
            pass  # the comment of another program
    if sidecar(path).is_file():
        return _READERS[".json"](sidecar(path))
    if (path.parent / MANIFEST).is_file():
        raise ValueError(f"{path} is a sheet of pictures; their recipes are in {path.parent / MANIFEST}.")
    raise ValueError(
        f"{path} carries no recipe, and there is none beside it ({sidecar(path).name}): it was not made by lucid_port, "
        "or another program has saved it since."
    )


def _beside_array(path: Path) -> Any:
    if not sidecar(path).is_file():
        raise ValueError(f"{path} carries no recipe, and there is none beside it ({sidecar(path).name}).")
    return _READERS[".json"](sidecar(path))


_READERS: Mapping[str, Callable[[Path], Any]] = {
    ".json": read_json,
    ".toml": read_toml,
    **dict.fromkeys((ARRAY, ".gif", ".mp4"), _beside_array),
    **dict.fromkeys(PICTURES, _from_picture),
}
