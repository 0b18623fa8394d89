"""A layer's activations for many images, such as families of synthetic stimuli."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from lucid_port.misc.iter_nd_utils import batch_iter, dict_to_ndarray, recursive_enumerate_nd
from lucid_port.modelzoo.layer import Layer

__all__ = ["get_activations", "get_activations_iter"]

Index: TypeAlias = tuple[int, ...]


class Model(Protocol):
    """A model whose layers can be read."""

    @property
    def device(self) -> torch.device: ...

    def activations(self, image: torch.Tensor, names: Sequence[str]) -> Mapping[str, torch.Tensor]: ...


@dataclass(frozen=True)
class Reducer:
    """How several images of one index become one value.

    Attributes:
        prepare: applied to each image's activations.
        combine: joins two of these.
        finish: makes the result of what was joined and of how many there were.
    """

    prepare: Callable[[np.ndarray], np.ndarray]
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray]
    finish: Callable[[np.ndarray, Any], np.ndarray]


REDUCERS: Mapping[str, Reducer] = {
    "mean": Reducer(np.asarray, np.add, lambda total, count: total / count),
    "rms": Reducer(np.square, np.add, lambda total, count: np.sqrt(total / count)),
    "max": Reducer(np.asarray, np.maximum, lambda largest, count: largest),
}


def get_activations(
    model: Model,
    layer: str | Layer,
    examples: Any,
    batch_size: int = 64,
    dtype: Any = None,
    ind_shape: Sequence[int] | None = None,
    center_only: bool = False,
) -> np.ndarray:
    """A layer's activations for an array of images with any number of axes.

    Args:
        model: the model.
        layer: a layer's name, or one of `model.layers`.
        examples: (..., height, width, 3), values in [0, 1]; or nested iterables, generators too, of such arrays of one
            image each.
        batch_size: how many images are computed at once. They have to be equally large.
        dtype: of the result, and of what is kept on the way; the network's own where it is left out.
        ind_shape: the sizes of the axes before the images'. It saves memory where `examples` is no array.
        center_only: whether only the central position, [height // 2, width // 2] of the layer, is wanted.

    Returns:
        (*ind_shape, channels) with `center_only` and for fully connected layers, else
        (*ind_shape, height, width, channels).

    Raises:
        ValueError: there are no images, or they are not images of one size.
        converters.LayerNotFoundError: there is no such layer.
    """
    if ind_shape is None and isinstance(examples, np.ndarray):
        ind_shape = examples.shape[:-3]
    images = recursive_enumerate_nd(examples, stop_iter=lambda part: isinstance(part, np.ndarray) and part.ndim <= 3)
    return get_activations_iter(
        model, layer, images, batch_size=batch_size, dtype=dtype, ind_shape=ind_shape, center_only=center_only
    )


def get_activations_iter(
    model: Model,
    layer: str | Layer,
    generator: Iterable[tuple[int | Index, np.ndarray]],
    reducer: str = "mean",
    batch_size: int = 64,
    dtype: Any = None,
    ind_shape: Sequence[int] | None = None,
    center_only: bool = False,
) -> np.ndarray:
    """As `get_activations`, for images that come with their index, in any order and any number to an index.

    Args:
        model, layer, batch_size, dtype, ind_shape, center_only: as for `get_activations`.
        generator: pairs of an index (a number or a tuple) and an image (height, width, 3) in [0, 1].
        reducer: what becomes of several images with one index: "mean", "max" or "rms" (root of the mean square).

    Returns:
        As `get_activations`; zero at an index without an image.

    Raises:
        ValueError: there is no such reducer; there are no images, or they are not images of one size.
        IndexError: an index lies outside of `ind_shape`.
        converters.LayerNotFoundError: there is no such layer.
    """
    if reducer not in REDUCERS:
        raise ValueError(f"reducer is one of {', '.join(REDUCERS)}, not {reducer!r}.")
    name = layer.name if isinstance(layer, Layer) else layer
    responses = _responses(model, name, generator, batch_size, dtype, center_only)
    gather = _into_dict if ind_shape is None else _into_array
    return gather(responses, REDUCERS[reducer], tuple(ind_shape or ()))


def _responses(
    model: Model, name: str, generator: Iterable[tuple[Any, Any]], batch_size: int, dtype: Any, center_only: bool
) -> Iterator[tuple[Index, np.ndarray]]:
    """Index and activations, (height, width, channels) or (channels), of each image."""
    for batch in batch_iter(generator, batch_size):
        images = _stack([image for _, image in batch]).to(model.device)
        with torch.no_grad():
            values = model.activations(images, [name])[name].cpu().numpy()
        if values.ndim == 4:
            values = values.transpose(0, 2, 3, 1)
            values = values[:, values.shape[1] // 2, values.shape[2] // 2] if center_only else values
        values = values if dtype is None else values.astype(dtype)
        for (index, _), value in zip(batch, values, strict=True):
            yield (index if isinstance(index, tuple) else (int(index),)), value


def _stack(images: Sequence[Any]) -> torch.Tensor:
    """Images as one NCHW batch."""
    arrays = [np.asarray(image, np.float32) for image in images]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"The images of a batch are equally large; these are {sorted(shapes)}: give batch_size=1.")
    if arrays[0].ndim != 3:
        raise ValueError(f"An image is an array (height, width, channels), not one of shape {list(arrays[0].shape)}.")
    return torch.from_numpy(np.ascontiguousarray(np.stack(arrays).transpose(0, 3, 1, 2)))


def _into_dict(responses: Iterable[tuple[Index, np.ndarray]], reducer: Reducer, shape: Index) -> np.ndarray:
    """The result where nothing is known of the indices before."""
    totals: dict[Index, np.ndarray] = {}
    counts: dict[Index, int] = {}
    for index, value in responses:
        prepared = reducer.prepare(value)
        totals[index] = reducer.combine(totals[index], prepared) if index in totals else prepared
        counts[index] = counts.get(index, 0) + 1
    if not totals:
        raise ValueError("There are no images.")
    return dict_to_ndarray(
        {index: _same(reducer.finish(total, counts[index]), total) for index, total in totals.items()}
    )


def _into_array(responses: Iterable[tuple[Index, np.ndarray]], reducer: Reducer, shape: Index) -> np.ndarray:
    """The result in an array whose size is known, filled as the images come."""
    counts = np.zeros(shape, np.int64)
    totals: np.ndarray | None = None
    for index, value in responses:
        prepared = reducer.prepare(value)
        if totals is None:
            totals = np.zeros((*shape, *prepared.shape), prepared.dtype)
        totals[index] = reducer.combine(totals[index], prepared) if counts[index] else prepared
        counts[index] += 1
    if totals is None:
        raise ValueError("There are no images.")
    per_value = np.maximum(counts, 1).reshape(*shape, *[1] * (totals.ndim - len(shape)))
    return _same(reducer.finish(totals, per_value), totals)


def _same(result: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A result in the precision that was asked for, which dividing by a count may have widened."""
    return result.astype(like.dtype, copy=False)
