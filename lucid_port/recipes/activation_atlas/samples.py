"""Activation vectors of a layer at random positions of many pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lucid_port.misc import checks
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import load_folder, load_image, model_size, spatial_activations

__all__ = ["Samples", "check_activations", "sample_activations"]


@dataclass(frozen=True)
class Samples:
    """Activation vectors, and where they are from.

    Attributes:
        activations: [N, C], float32.
        origins: [N, 3], number of the picture, row and column of the layer.
        grids: [pictures, 2], rows and columns that the layer has for each.
        skipped: a sentence for each file of a folder that could not be read.
    """

    activations: np.ndarray
    origins: np.ndarray
    grids: np.ndarray
    skipped: tuple[str, ...] = ()


def sample_activations(
    model: Model, images: Any, layer: str, per_image: int | None = 1, *, seed: int = 0, size: Any = None
) -> Samples:
    """A layer's vectors at random positions, drawn without replacement for each picture.

    The first row and column are left out, as the article leaves them out: they see the padding. So are the last ones
    here, which see as much of it.

    Args:
        model: the model.
        images: a folder, or a list or array of pictures (paths, or arrays as for `load_image`).
        layer: a convolutional layer.
        per_image: how many positions of each picture; fewer where it has fewer. None takes all.
        seed: of the positions. A picture's are the same whatever pictures come after it.
        size: (height, width) that pictures are resized to. By default a folder's are resized to the model's own size,
            and a list's keep theirs, which may differ.

    Raises:
        FileNotFoundError: there is no such folder, or no such file.
        ValueError: a folder has no picture that can be read, the layer is fully connected, or it is too small to have
            a position that is not at its edge.
        TypeError: the pictures are none.
        converters.LayerNotFoundError: there is no such layer.
    """
    count = None if per_image is None else checks.whole(per_image, "per_image", 1)
    pictures, skipped = _pictures(model, images, size)
    found, origins, grids = [], [], []
    for number, picture in enumerate(pictures):
        activations = spatial_activations(model, load_image(picture, size), layer)
        places = _places(activations, layer, count, RandomSource(seed).scope(f"picture {number}"))
        found.append(activations[places[:, 0], places[:, 1]])
        grids.append(activations.shape[:2])
        origins.append(np.column_stack([np.full(len(places), number), places]))
    return Samples(np.concatenate(found), np.concatenate(origins), np.array(grids), tuple(skipped))


def _pictures(model: Model, images: Any, size: Any) -> tuple[Sequence[Any], list[str]]:
    if isinstance(images, (str, os.PathLike)):
        return load_folder(images, model_size(model) if size is None else size)  # type: ignore[return-value]
    pictures = list(images) if isinstance(images, np.ndarray) and images.ndim == 4 else images
    pictures = checks.items(pictures, "images", "a folder, or a list or array [N, H, W, 3] of pictures")
    if not pictures:
        raise ValueError("images has no pictures.")
    return pictures, []


def _places(activations: np.ndarray, layer: str, count: int | None, source: RandomSource) -> np.ndarray:
    """(row, column) of positions that are not at the edge, in order of rows."""
    height, width = activations.shape[:2]
    inner = np.argwhere(np.ones((max(0, height - 2), max(0, width - 2)), bool)) + 1
    if not len(inner):
        raise ValueError(
            f"Layer {layer!r} has {height} x {width} positions, all at the edge: take larger pictures or an earlier "
            "layer."
        )
    if count is None or count >= len(inner):
        return inner
    order = np.argsort(source.uniform("places", len(inner)), kind="stable")
    return inner[np.sort(order[:count])]


def check_activations(activations: Any, least: int = 1) -> np.ndarray:
    """Activation vectors as float32 [N, C].

    Raises:
        ValueError: they have another rank, are too few, or hold NaN.
        TypeError: they are no numbers.
    """
    found = np.asarray(activations)
    if found.dtype.kind not in "iuf":
        raise TypeError(f"Activations are an array of numbers, not {checks.shown(activations)}.")
    if found.ndim != 2:
        hint = " Take positions from them first: sample_activations does." if found.ndim == 4 else ""
        raise ValueError(f"Activations are vectors, [N, channels]; these have the shape {list(found.shape)}.{hint}")
    if not np.isfinite(found).all():
        raise ValueError("The activations have values that are NaN or infinite.")
    if len(found) < least:
        raise ValueError(f"{len(found)} activations are too few: at least {least} are needed.")
    return found.astype(np.float32)
