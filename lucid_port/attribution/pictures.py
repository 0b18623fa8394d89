"""Photographs as a network's evaluation prepares them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image

from converters import checks
from lucid_port.misc.io.pictures import check_range, unit_floats
from lucid_port.misc.io.serialize_array import to_array
from lucid_port.modelzoo.preprocessing import Preprocessing
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.coerce import image_shape
from lucid_port.recipes.inputs import as_batch, load_image

__all__ = ["PhotoLike", "load_photos"]

PhotoLike: TypeAlias = (
    str | os.PathLike[str] | Image.Image | np.ndarray | torch.Tensor | Sequence[str | os.PathLike[str]]
)
"""A path, several paths, Pillow's image, [H, W, C] or [N, H, W, C] in [0, 1], or a tensor (N, C, H, W)."""

ORDINARY = (1, 3)
"""Numbers of channels of networks that take photographs."""


def load_photos(model: Model, photo: PhotoLike, prepare: bool, what: str = "The picture") -> torch.Tensor:
    """Returns photographs as a batch (N, C, H, W) in [0, 1] on the model's device.

    Args:
        model: the model.
        photo: the photographs.
        prepare: whether to resize and crop arrays of another size, too; see `attribute`.
        what: name of the argument in errors.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file is not a picture, or the pictures have another number of channels or values outside [0, 1].
        TypeError: `photo` is neither a path nor an array.
    """
    if isinstance(photo, (str, os.PathLike, Image.Image)):
        return _batch(model, [_from_file(model, photo, prepare)])
    if isinstance(photo, (list, tuple)) and photo and all(isinstance(one, (str, os.PathLike)) for one in photo):
        return _batch(model, [_from_file(model, one, prepare) for one in photo])
    if isinstance(photo, torch.Tensor):
        images = photo[None] if photo.dim() == 3 else photo
        if images.dim() != 4 or not images.numel():
            raise ValueError(f"{what} is a tensor (N, C, H, W) with pixels, not {checks.shown(photo)}.")
        array = to_array(images.detach().movedim(1, -1))
    else:
        array = to_array(photo)
        array = array[None] if array.ndim == 3 else array
        if array.ndim != 4 or not array.size:
            raise ValueError(f"{what} is an array [H, W, C] or [N, H, W, C] with pixels, not {checks.shown(photo)}.")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{what} is an array of numbers, not {checks.shown(photo)}.")
    return _from_array(model, array, prepare, what)


def _from_file(model: Model, photo: str | os.PathLike[str] | Image.Image, prepare: bool) -> np.ndarray:
    _check_takes_colors(model)
    return _fitted(model, load_image(photo), prepare, is_file=True)


def _check_takes_colors(model: Model) -> None:
    channels = image_shape(model)[2]
    if channels is not None and channels not in ORDINARY:
        raise ValueError(f"The network takes images of {channels} channels, which a picture file does not have.")


def _from_array(model: Model, array: np.ndarray, prepare: bool, what: str) -> torch.Tensor:
    wanted, channels = image_shape(model)[2], array.shape[-1]
    fits = channels in (1, 3, 4) if wanted in ORDINARY else wanted in (None, channels)
    if not fits:
        is_first = wanted is not None and array.shape[1] == wanted
        hint = ": arrays have the channels last, and tensors (N, C, H, W) first" if is_first else ""
        raise ValueError(f"{what} has {channels} channels, and the network takes {wanted}{hint}.")
    pixels = unit_floats(array)
    check_range(float(pixels.min()), float(pixels.max()), what)
    if wanted not in ORDINARY:
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(model.device)
    return _batch(model, [_fitted(model, load_image(one), prepare) for one in pixels])


def _fitted(model: Model, pixels: np.ndarray, prepare: bool, is_file: bool = False) -> np.ndarray:
    """Returns a picture [H, W, 3] in the size of the model's images."""
    height, width, _ = image_shape(model)
    stated = model.preprocessing
    is_own = height is None or width is None or pixels.shape[:2] == (height, width)
    if not prepare or (stated is None and is_own) or (is_own and not is_file):
        return pixels
    if stated is None:
        assert height is not None
        assert width is not None
        stated = Preprocessing((height, width), resize=max(height, width))
    image = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
    return np.ascontiguousarray(stated(image).permute(1, 2, 0).numpy())


def _batch(model: Model, pictures: Sequence[np.ndarray]) -> torch.Tensor:
    if len({picture.shape for picture in pictures}) > 1:
        raise ValueError("The pictures differ in size: leave out prepare=False, or pass them one by one.")
    return as_batch(model, np.stack(pictures))
