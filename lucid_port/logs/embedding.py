"""Pictures as points of TensorBoard's projector: each by its activations of a layer."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.attribution.pictures import PhotoLike
from lucid_port.logs.histograms import BATCH, named_layers
from lucid_port.logs.pictures import load_pictures
from lucid_port.misc.event_writers import check_log_dir, open_writer, register_writer
from lucid_port.misc.tensors import as_tensor
from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.inputs import read_layers

__all__ = ["log_embedding"]

SPRITE = 8192
"""Largest width and height of the image of all pictures that the projector shows."""

LARGEST = 64
"""Width and height of a picture in it."""


class EmbeddingWriter(Protocol):
    """The method that embeddings need of a writer."""

    def add_embedding(
        self,
        mat: np.ndarray,
        /,
        *,
        metadata: list[str],
        label_img: torch.Tensor,
        global_step: int,
        tag: str,
    ) -> object:
        """Writes points with labels and pictures."""


METHODS = ("add_embedding",)

EmbeddingDir: TypeAlias = str | os.PathLike[str] | EmbeddingWriter
"""A folder, or a writer, which stays open."""


register_writer(EmbeddingWriter, METHODS)


@checked
def log_embedding(
    model: Model,
    pictures: PhotoLike,
    log_dir: EmbeddingDir,
    layers: str | Sequence[str],
    labels: Sequence[str] | None = None,
    step: int = 0,
    batch_size: int = BATCH,
) -> None:
    """Writes pictures as points for TensorBoard's projector: their activations of layers, with the pictures and labels.

    A point is the mean of a layer over its places or tokens, one number for each channel. A folder holds one set of
    points for each layer; another call replaces them.

    Args:
        model: The model.
        pictures: As for `log_activations`.
        log_dir: Folder, or a writer with `add_embedding`.
        layers: Names of layers.
        labels: A label for each picture; by default the names of files with those of their folders, or numbers.
        step: Step of the log.
        batch_size: Number of pictures in a pass.

    Raises:
        converters.LayerNotFoundError: A layer does not exist.
        converters.ChannelAxisError: The axes of a layer are not known.
        FileNotFoundError: A picture does not exist.
        TypeError, ValueError: As for `log_activations`, or the labels are not one for each picture.
        OSError: The folder cannot be written to.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> pictures = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
        >>> log_embedding(TinyInceptionV1(), pictures, "runs/tiny", "mixed4a", labels=["a", "b", "a", "b"])
    """
    step, size = checks.whole(step, "step", 0), checks.whole(batch_size, "batch_size", 1)
    check_log_dir(log_dir, METHODS)
    wanted = named_layers(model, layers)
    found = load_pictures(model, pictures)
    named = list(found.labels) if labels is None else checks.items(labels, "labels", "a list of texts")
    if len(named) != len(found.images):
        raise ValueError(f"{len(named)} labels are given for {len(found.images)} pictures: give one for each.")
    points = _points(model, found.images, wanted, size)
    sprites = _sprites(found.images)
    with contextlib.closing(open_writer(log_dir)) as writer:
        for name in wanted:
            texts = [" ".join(str(label).split()) for label in named]  # a line of the table for each
            writer.add_embedding(points[name], metadata=texts, label_img=sprites, global_step=step, tag=name)


def _points(model: Model, images: torch.Tensor, layers: Sequence[str], size: int) -> dict[str, np.ndarray]:
    """Returns layer -> [N, channels]: means over places or tokens."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    for start in range(0, len(images), size):
        with torch.no_grad():
            values = read_layers(model, images[start : start + size].to(model.device), layers)
        for name, one in values.items():
            parts[name].append(_means(name, one.first.float(), one.images).cpu().numpy())
    return {name: np.concatenate(part) for name, part in parts.items()}


def _means(name: str, first: torch.Tensor, images: int) -> torch.Tensor:
    """Returns the mean of a layer (rows, C, ...) for each image, (N, C)."""
    if len(first) % images:
        raise ValueError(
            f"Layer {name!r} gives {len(first)} values for {images} images: its values belong to no image."
        )
    return first.reshape(images, len(first) // images, first.shape[1], -1).mean((1, 3))


def _sprites(images: torch.Tensor) -> torch.Tensor:
    """Returns small square pictures (N, 3, S, S), float32 in [0, 1]; the projector takes no others."""
    side = _side(len(images))
    drawn = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    small = torch.nn.functional.interpolate(drawn.float().cpu(), (side, side), mode="bilinear", antialias=True)
    return as_tensor(small.clamp(0, 1).numpy())


def _side(count: int) -> int:
    """Returns the width and height with which pictures fit into the image of all."""
    return max(1, min(LARGEST, SPRITE // math.ceil(math.sqrt(count))))
