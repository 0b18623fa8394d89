"""Samples activation vectors of a layer at random positions of many pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import ImageLike, SizeLike, load_folder, load_image, model_size, spatial_activations

__all__ = ["Samples", "check_activations", "sample_activations"]

PicturesLike = str | os.PathLike[str] | np.ndarray | Sequence[ImageLike]
"""A folder, or a list or array of pictures."""


@dataclass(frozen=True)
class Samples:
    """Activation vectors and their origins.

    Attributes:
        activations: [N, C], float32.
        origins: picture number, row and column of each vector, [N, 3].
        grids: numbers of rows and columns of the layer for each picture, [pictures, 2].
        skipped: one sentence for each file of a folder that could not be read.
    """

    activations: np.ndarray
    origins: np.ndarray
    grids: np.ndarray
    skipped: tuple[str, ...] = ()


@checked
def sample_activations(
    model: Model,
    images: PicturesLike,
    layer: str,
    per_image: int | None = 1,
    *,
    seed: int = 0,
    size: SizeLike | None = None,
) -> Samples:
    """Samples activation vectors at random positions, without replacement for each picture.

    The first row and column are excluded, as in the article, because they see the padding. The last row and column are
    excluded for the same reason, unlike in the article.

    Args:
        model: the model.
        images: a folder, or a list or array of pictures (paths, or arrays as for `load_image`).
        layer: name of a convolutional layer.
        per_image: number of positions of each picture, or all positions if it has fewer; None for all.
        seed: seed of the positions. The positions in a picture do not depend on the pictures after it.
        size: (height, width) to which pictures are resized. By default the pictures of a folder are resized to the
            model's own size, and those of a list keep their sizes, which may differ.

    Raises:
        FileNotFoundError: the folder or a file does not exist.
        ValueError: a folder has no readable picture, the layer is fully connected, or all its positions are at the
            edge.
        TypeError: `images` is neither a folder nor a list or array of pictures.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> samples = sample_activations(TinyInceptionV1(), np.zeros((3, 96, 96, 3)), "mixed3a", per_image=4)
        >>> samples.activations.shape, samples.origins.shape, samples.grids[0]
        ((12, 64), (12, 3), array([12, 12]))
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


def _pictures(model: Model, images: PicturesLike, size: SizeLike | None) -> tuple[Sequence[ImageLike], list[str]]:
    if isinstance(images, (str, os.PathLike)):
        return load_folder(images, model_size(model) if size is None else size)  # type: ignore[return-value]
    pictures = list(images) if isinstance(images, np.ndarray) and images.ndim == 4 else images
    pictures = checks.items(pictures, "images", "a folder, or a list or array [N, H, W, 3] of pictures")
    if not pictures:
        raise ValueError("images has no pictures: pass at least one.")
    return pictures, []


def _places(activations: np.ndarray, layer: str, count: int | None, source: RandomSource) -> np.ndarray:
    """(row, column) of sampled positions that are not at the edge, ordered by row."""
    height, width = activations.shape[:2]
    inner = np.argwhere(np.ones((max(0, height - 2), max(0, width - 2)), bool)) + 1
    if not len(inner):
        raise ValueError(
            f"Layer {layer!r} has {height} x {width} positions, all at the edge: pass larger pictures or an earlier "
            "layer."
        )
    if count is None or count >= len(inner):
        return inner
    order = np.argsort(source.uniform("places", len(inner)), kind="stable")
    return inner[np.sort(order[:count])]


def check_activations(activations: ArrayLike, least: int = 1) -> np.ndarray:
    """Converts activation vectors to float32 [N, C], and checks them.

    Raises:
        ValueError: they have another number of axes, are too few, or hold NaN or infinity.
        TypeError: they are not numbers.
    """
    found = np.asarray(activations)
    if found.dtype.kind not in "iuf":
        raise TypeError(f"Activations are an array of numbers, not {checks.shown(activations)}.")
    if found.ndim != 2:
        hint = " Sample positions from them first, as sample_activations does." if found.ndim == 4 else ""
        raise ValueError(f"Activations are vectors, [N, channels]; these have the shape {list(found.shape)}.{hint}")
    if not np.isfinite(found).all():
        raise ValueError("The activations have values that are NaN or infinite.")
    if len(found) < least:
        raise ValueError(f"{len(found)} activations are too few: at least {least} are needed.")
    return found.astype(np.float32)
