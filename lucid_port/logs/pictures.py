"""Pictures that a log shows a model, and their labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from converters.paths import user_path
from lucid_port.attribution.pictures import PhotoLike, load_photos
from lucid_port.misc.io.serialize_array import PICTURES
from lucid_port.modelzoo.vision_base import Model

__all__ = ["LabelledPictures", "load_pictures"]


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures as a network's evaluation prepares them.

    Attributes:
        images: (N, C, H, W) in [0, 1], on the model's device.
        labels: Name of the class's folder and of the file, as in "cats/photo.jpg"; numbers without files.
    """

    images: torch.Tensor
    labels: tuple[str, ...]


def load_pictures(model: Model, pictures: PhotoLike) -> LabelledPictures:
    """Loads pictures; see `log_activations`.

    Raises:
        FileNotFoundError: A file does not exist, or a folder holds no picture.
        TypeError, ValueError: A file is no picture, or an array has other axes.
    """
    paths = _paths(pictures)
    if paths is None:
        images = load_photos(model, pictures, prepare=True, what="pictures")
        return LabelledPictures(images, tuple(map(str, range(len(images)))))
    labels = [f"{path.parent.name}/{path.name}" if path.parent.name else path.name for path in paths]
    if isinstance(pictures, (str, os.PathLike)) and user_path(pictures).is_dir():
        labels = [path.relative_to(user_path(pictures)).as_posix() for path in paths]
    return LabelledPictures(load_photos(model, paths, prepare=True), tuple(labels))


def _paths(pictures: PhotoLike) -> list[Path] | None:
    """Returns the files of pictures, those of a folder by class and name; None for arrays and images."""
    if isinstance(pictures, (str, os.PathLike)):
        place = user_path(pictures)
        if not place.is_dir():
            return [place]
        found = [path for path in place.rglob("*") if path.suffix.lower() in PICTURES and path.is_file()]
        if not found:
            raise FileNotFoundError(f"The folder {place} holds no picture: their names end in {', '.join(PICTURES)}.")
        return sorted(found)
    if (
        isinstance(pictures, (list, tuple))
        and pictures
        and all(isinstance(one, (str, os.PathLike)) for one in pictures)
    ):
        return [user_path(one) for one in pictures]
    return None
