"""Pictures that carry their recipe: in the file itself, and as JSON beside it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from converters.atomic import write_bytes
from lucid_port.misc.io.saving import save
from lucid_port.misc.io.serialize_array import METADATA_KEY, PICTURES, normalize_array
from lucid_port.optvis.many.picture_folder import MANIFEST
from lucid_port.optvis.recipe import Recipe, is_recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["compare_pictures", "read_document", "read_recipe", "save_picture", "sidecar"]


def sidecar(path: str | os.PathLike[str]) -> Path:
    """Where the recipe of a picture lies: `eyes.png.json` for `eyes.png`."""
    path = Path(path)
    return path.with_name(f"{path.name}.json")


def save_picture(picture: Any, path: str | os.PathLike[str], recipe: Recipe) -> Path:
    """Save a picture with its recipe, in the file and beside it.

    Args:
        picture: [H, W, C] in [0, 1].
        path: a picture's file name; folders are made.
        recipe: how it was made.

    Returns:
        The path.

    Raises:
        TypeError, ValueError: the picture is none, or the extension is not a picture's.
    """
    path = Path(path)
    text = json.dumps(recipe.to_data(), indent=1)
    save(picture, path, domain=(0, 1), metadata=text)
    write_bytes(sidecar(path), text.encode())
    return path


def read_document(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """The plain data that a picture carries, or that lie beside it, or that a .json or .toml file holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the picture carries nothing, or the file cannot be read.
    """
    path = Path(path)
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
        raise ValueError(f"{path} does not hold a recipe, but {type(data).__name__}.")
    return data


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """The recipe of a picture, from its file or from beside it, or of a .json file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no recipe, or it is damaged.
    """
    data = read_document(path)
    if not is_recipe(data):
        raise ValueError(f"{path} holds no recipe of one picture: 'lucid-port run' takes those of figures and others.")
    return Recipe.from_data(data)


def compare_pictures(path: str | os.PathLike[str], picture: Any) -> str:
    """How a rendered picture compares with a file: in words.

    Args:
        path: the file. In all but PNG, most values are not those that were rendered.
        picture: [H, W, C] in [0, 1].
    """
    with Image.open(path) as opened:
        there = np.asarray(opened)
    here = normalize_array(picture)
    if there.shape != here.shape:
        return f"another size, {list(here.shape)} instead of {list(there.shape)}"
    difference = np.abs(there.astype(int) - here)
    if not difference.any():
        return "the same, bit for bit"
    share = (difference > 0).mean()
    lossy = "" if Path(path).suffix.lower() == ".png" else f"; some of that is {Path(path).suffix[1:].upper()}'s"
    return (
        f"{share:.1%} of the values differ, by up to {difference.max()} of 255 ({difference.mean():.2g} on average)"
        f"{lossy}"
    )


def _from_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}.") from error


def _from_toml(path: Path) -> Any:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}.") from error


def _from_picture(path: Path) -> Any:
    try:
        with Image.open(path) as picture:
            picture.load()
            text = picture.info.get(METADATA_KEY) or picture.info.get("comment") or picture.info.get("xmp")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is no picture that can be read: {error}.") from error
    if text:
        try:
            return json.loads(text)
        except ValueError:
            pass  # somebody else's comment
    if sidecar(path).is_file():
        return _from_json(sidecar(path))
    if (path.parent / MANIFEST).is_file():
        raise ValueError(f"{path} is a sheet of pictures, whose recipes are in {path.parent / MANIFEST}.")
    raise ValueError(
        f"{path} carries no recipe, and there is none beside it ({sidecar(path).name}): it was not made by lucid_port, "
        "or another program has saved it since."
    )


_READERS = {".json": _from_json, ".toml": _from_toml, **dict.fromkeys(PICTURES, _from_picture)}
