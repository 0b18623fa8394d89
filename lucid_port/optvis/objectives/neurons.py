"""Objectives of units: neurons, channels, directions, classes, layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lucid_port.misc import checks
from lucid_port.optvis.objectives.base import Activations, ObjectiveFunction, Value
from lucid_port.optvis.objectives.reading import (
    as_place,
    channel_in,
    check_direction,
    check_index,
    check_layer,
    direction_in,
    dot_product,
    position_in,
    read_channel,
)
from lucid_port.optvis.objectives.wrapping import handle_batch, wrap_objective

__all__ = [
    "channel",
    "class_logit",
    "deepdream",
    "direction",
    "direction_cossim",
    "direction_neuron",
    "neuron",
    "tensor_direction",
]


@wrap_objective(require_format="NHWC")
def neuron(
    layer_name: str,
    channel_n: int,
    x: int | None = None,
    y: int | None = None,
    batch: int | None = None,
) -> ObjectiveFunction:
    """One neuron: mean over the batch of its activation.

    Args:
        layer_name: layer.
        channel_n: channel.
        x: row, by default `height // 2`.
        y: column, by default `width // 2`.
        batch: one image of the batch instead of all.

    Raises:
        IndexError: (when evaluated) position, channel or image do not exist.
    """
    check_layer(layer_name, "neuron")
    number, row, column = (
        checks.whole(channel_n, "neuron's channel_n"),
        as_place(x, "neuron's x"),
        as_place(y, "neuron's y"),
    )

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        return channel_in(position_in(T(layer_name), row, column), number, layer_name).mean()

    return inner


@wrap_objective(require_format="NHWC")
def channel(layer: str, n_channel: int, batch: int | None = None) -> ObjectiveFunction:
    """One channel: mean of its activation over batch and positions.

    Raises:
        IndexError: (when evaluated) the layer has no such channel, or the batch no such image.
    """
    check_layer(layer, "channel")
    number = checks.whole(n_channel, "channel's n_channel")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        return read_channel(T, layer, number).mean()

    return inner


@wrap_objective(require_format="NHWC")
def direction(layer: str, vec: Any, cossim_pow: float = 0, batch: int | None = None) -> ObjectiveFunction:
    """A direction in activation space: mean of `dot * max(0.1, cosine) ** cossim_pow`.

    Args:
        layer: layer.
        vec: [C], array, tensor or list.
        cossim_pow: 0 is the dot product alone; more asks for the direction to match.
        batch: one image of the batch instead of all.

    Raises:
        ValueError: `vec` holds NaN, or (when evaluated) has not one number for each channel.
    """
    check_layer(layer, "direction")
    check_direction(vec, cossim_pow, "direction")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        activation = T(layer)
        return dot_product(activation, direction_in(vec, activation, layer), cossim_pow).mean()

    return inner


direction_cossim = direction
"""The same as `direction`, without a cosine by default: Lucid 0.3.10 keeps only the name."""


@wrap_objective(require_format="NHWC")
def direction_neuron(
    layer_name: str,
    vec: Any,
    x: int | None = None,
    y: int | None = None,
    cossim_pow: float = 0,
    batch: int | None = None,
) -> ObjectiveFunction:
    """As `direction`, at one position only (rows `x`, columns `y`; the centre)."""
    check_layer(layer_name, "direction_neuron")
    check_direction(vec, cossim_pow, "direction_neuron")
    row, column = as_place(x, "direction_neuron's x"), as_place(y, "direction_neuron's y")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        activation = position_in(T(layer_name), row, column)
        return dot_product(activation, direction_in(vec, activation, layer_name), cossim_pow).mean()

    return inner


@wrap_objective(require_format="NHWC")
def tensor_direction(layer: str, vec: Any, cossim_pow: float = 0, batch: int | None = None) -> ObjectiveFunction:
    """As `direction`, for a patch of vectors in the centre of the layer.

    Args:
        layer: layer.
        vec: [h, w, C] or [N, h, w, C].
        cossim_pow: as in `direction`.
        batch: one image of the batch instead of all.

    Raises:
        ValueError: `vec` has another rank, or (when evaluated) is larger than the layer or has
            other channels.
    """
    check_layer(layer, "tensor_direction")
    check_direction(vec, cossim_pow, "tensor_direction")
    if np.ndim(vec) not in (3, 4):
        raise ValueError(f"tensor_direction needs vec of [h, w, C] or [N, h, w, C], not of rank {np.ndim(vec)}.")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        activation = T(layer)
        if activation.ndim != 4:
            raise ValueError(f"Layer {layer!r} of shape {list(activation.shape)} has no rows and columns for a patch.")
        height, width = np.shape(vec)[-3:-1]
        top, left = (activation.shape[1] - height) // 2, (activation.shape[2] - width) // 2
        if top < 0 or left < 0:
            raise ValueError(
                f"The patch of {height} x {width} is larger than layer {layer!r} "
                f"({activation.shape[1]} x {activation.shape[2]})."
            )
        window = activation[:, top : top + height, left : left + width]
        return dot_product(window, direction_in(vec, window, layer), cossim_pow).mean()

    return inner


@wrap_objective()
def deepdream(layer: str) -> ObjectiveFunction:
    """Everything the layer sees: mean of the squared activation."""
    check_layer(layer, "deepdream")
    return lambda T: (T(layer) ** 2).mean()


@wrap_objective()
def class_logit(layer: str, label: int | str, batch: int | None = None) -> ObjectiveFunction:
    """One class of a dense layer, by index or label, summed over the batch.

    Args:
        layer: a layer of [N, classes], before or after the softmax as you like.
        label: index, or one of the model's labels.
        batch: one image of the batch instead of all.

    Raises:
        ValueError: (when evaluated) the model has no such label.
        IndexError: (when evaluated) the layer has no such class.
    """
    check_layer(layer, "class_logit")
    number = None if isinstance(label, str) else checks.whole(label, "class_logit's label, where it is no name,")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        index = number
        if index is None:
            labels = list(T("labels"))
            if label not in labels:
                raise ValueError(f"The model has no label {label!r} among its {len(labels)}.")
            index = labels.index(label)
        classes = T(layer)
        check_index(index, classes.shape[1], layer, "class", "classes")
        return classes[:, index].sum()

    return inner
