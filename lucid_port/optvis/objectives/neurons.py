"""Objectives of units: neurons, channels, directions, classes and layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from converters.stack_level import stack_level
from lucid_port.misc.tensors import ArrayLike
from lucid_port.modelzoo.layouts import Layout
from lucid_port.optvis.objectives.base import ObjectiveFunction, Value
from lucid_port.optvis.objectives.readers import Activations, Reader, as_reader, channel_in, check_index
from lucid_port.optvis.objectives.reading import (
    as_index,
    as_place,
    channel_of,
    channels_at_places,
    channels_at_the_end,
    channels_of_head,
    channels_of_part,
    check_direction,
    check_layer,
    direction_in,
    dot_product,
    position_in,
)
from lucid_port.optvis.objectives.wrapping import handle_batch, wrap_objective

__all__ = [
    "channel",
    "class_logit",
    "class_probability",
    "deepdream",
    "direction",
    "direction_cossim",
    "direction_neuron",
    "neuron",
    "tensor_direction",
    "token",
]


FROM_LUCENT = {"direction": "vec is its name here"}
"""Keywords of Lucent's functions that have other names here."""


def _mean(
    layer: str,
    batch: int | None,
    read: Callable[[torch.Tensor], torch.Tensor],
    activation: Callable[[Activations, str], torch.Tensor] = channels_at_the_end,
) -> ObjectiveFunction:
    """Returns the mean of a part of a layer's activation, which has the channels last, as a function of `T`."""
    return handle_batch(batch)(lambda T: read(activation(T, layer)).mean())


def _of_head(head: int) -> Callable[[Activations, str], torch.Tensor]:
    return lambda T, layer: channels_of_head(T, layer, head)


@wrap_objective()
@checked
def neuron(
    layer_name: str,
    channel_n: int,
    x: int | None = None,
    y: int | None = None,
    batch: int | None = None,
    *,
    head: int | None = None,
    t: int | None = None,
) -> ObjectiveFunction:
    """Activation of one neuron, averaged over the batch.

    Args:
        layer_name: Name of the layer.
        channel_n: Channel of the neuron.
        x: **Row** of the neuron, `height // 2` by default. In a layer of tokens, the row in the grid of patches.
        y: **Column** of the neuron, `width // 2` by default.
        batch: Index of one image of the batch; None for all.
        head: Attention head, or another group of a layer with an axis G, such as NGLC; negative numbers count from the
            end.
        t: Time of the neuron in a layer of a video (axis T), `times // 2` by default.

    Raises:
        IndexError: (on evaluation) The position, time, channel, head or image does not exist.
        ValueError: (on evaluation) The layer has no rows and columns, or no axis for `head` or `t`; or it has heads,
            and `head` names none of them.

    Example:
        >>> T = {"mixed4a": torch.arange(9.0).reshape(1, 1, 3, 3)}.get
        >>> neuron("mixed4a", 0)(T), neuron("mixed4a", 0, x=2, y=0)(T)
        (tensor(4.), tensor(6.))
    """
    check_layer(layer_name, "neuron")
    number = checks.whole(channel_n, "neuron's channel_n")
    row, column = as_place(x, "neuron's x"), as_place(y, "neuron's y")
    at_head, at_time = as_index(head, "neuron's head"), as_index(t, "neuron's t")

    def read(activation: torch.Tensor) -> torch.Tensor:
        return channel_in(position_in(activation, row, column), number, layer_name)

    return _mean(layer_name, batch, read, lambda T, layer: channels_of_part(T, layer, at_head, at_time))


@wrap_objective()
@checked
def token(
    layer: str, n_channel: int, token: int | str, batch: int | None = None, *, head: int | None = None
) -> ObjectiveFunction:
    """Activation of one channel of one token, averaged over the batch.

    Args:
        layer: Name of a layer of tokens, as in a transformer.
        n_channel: Channel; negative numbers count from the end.
        token: Number of the token among all tokens of the layer (negative numbers count from the end), its name, as in
            "dist_token", or "class" for the class token under any of its usual names.
        batch: Index of one image of the batch; None for all.
        head: Attention head, as in `neuron`.

    Raises:
        IndexError: (on evaluation) The token's number, the channel, the head or the image does not exist.
        ValueError: (on evaluation) The layer has no token of this name, or no tokens; or it has heads, and `head` is
            missing.

    Example:
        >>> T = {"blocks.0": torch.arange(6.0).reshape(1, 2, 3)}.get  # 2 channels of 3 tokens
        >>> token("blocks.0", 1, 0)(T), token("blocks.0", 1, -1)(T)
        (tensor(3.), tensor(5.))
    """
    check_layer(layer, "token")
    number = checks.whole(n_channel, "token's n_channel")
    which = token if isinstance(token, str) else checks.whole(token, "token's token, if it is not a name,")
    at_head = as_index(head, "token's head")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        reader = as_reader(T)
        value, layout = reader.layout(layer).at_head(reader(layer), at_head)
        if len(layout.positions) != 1:
            axes = f"its activation has the shape {list(value.shape)} (images, channels, ...)"
            raise ValueError(f"Layer {layer!r} has no tokens: {axes}. Read it with {_readers(layout)}.")
        return channel_of(value[:, :, layout.token(which, value.shape[2])], number, layer).mean()

    return inner


def _readers(layout: Layout) -> str:
    """Returns the names of the objectives that read a layer without tokens."""
    if layout.has_places or layout.positions == "THW":
        return "objectives.neuron or objectives.channel"
    return "objectives.channel"


@wrap_objective()
@checked
def channel(layer: str, n_channel: int, batch: int | None = None, *, head: int | None = None) -> ObjectiveFunction:
    """Activation of one channel, averaged over batch and positions; in a layer of tokens, over all tokens.

    Args:
        layer: Name of the layer.
        n_channel: Channel; negative numbers count from the end.
        batch: Index of one image of the batch; None for all.
        head: Attention head, or another group of a layer with an axis G, such as NGLC; negative numbers count from the
            end. By default, the mean over all heads.

    Raises:
        IndexError: (on evaluation) The channel, the head or the image does not exist.
        ValueError: (on evaluation) `head` is given, and the layer has no heads.

    Example:
        >>> T = {"mixed4a": torch.arange(4.0).reshape(1, 4, 1, 1).expand(1, 4, 5, 5)}.get
        >>> channel("mixed4a", 3)(T)
        tensor(3.)
    """
    check_layer(layer, "channel")
    number = checks.whole(n_channel, "channel's n_channel")
    at_head = as_index(head, "channel's head")
    if at_head is not None:
        return _mean(layer, batch, lambda part: channel_in(part, number, layer), _of_head(at_head))
    if batch is None:
        return lambda T: cast(Reader, T).channel(layer, number).mean()  # objectives get a Reader
    return _mean(layer, batch, lambda activation: channel_in(activation, number, layer))


@wrap_objective()
@checked(instead=FROM_LUCENT)
def direction(
    layer: str, vec: ArrayLike, cossim_pow: float = 0, batch: int | None = None, *, head: int | None = None
) -> ObjectiveFunction:
    """Activation along a direction: the mean of `dot * max(0.1, cosine) ** cossim_pow`.

    Args:
        layer: Name of the layer.
        vec: Direction, [C].
        cossim_pow: Power of the cosine. With 0 the value is the dot product; larger powers favor
            activations that point in the direction.
        batch: Index of one image of the batch; None for all.
        head: Attention head, as in `channel`.

    Raises:
        ValueError: `vec` contains NaN, or (on evaluation) its length is not the number of channels.

    Example:
        >>> T = {"mixed4a": torch.ones(1, 2, 5, 5)}.get
        >>> direction("mixed4a", [2.0, 1.0])(T)
        tensor(3.)
    """
    check_direction(layer, vec, cossim_pow, "direction")
    at_head = as_index(head, "direction's head")
    part = channels_at_the_end if at_head is None else _of_head(at_head)
    return _mean(layer, batch, lambda a: dot_product(a, direction_in(vec, a, layer), cossim_pow), part)


direction_cossim = direction
"""Alias of `direction`, as in Lucid 0.3.10: it does not use the cosine by default."""


@wrap_objective()
@checked(instead=FROM_LUCENT)
def direction_neuron(
    layer_name: str,
    vec: ArrayLike,
    x: int | None = None,
    y: int | None = None,
    cossim_pow: float = 0,
    batch: int | None = None,
    *,
    head: int | None = None,
    t: int | None = None,
) -> ObjectiveFunction:
    """Activation along a direction at one position; see `direction`.

    Args:
        layer_name: Name of the layer.
        vec: Direction, [C].
        x: **Row**, `height // 2` by default.
        y: **Column**, `width // 2` by default.
        cossim_pow: Power of the cosine.
        batch: Index of one image of the batch; None for all.
        head, t: Attention head, and time, as in `neuron`.

    Raises:
        ValueError: `vec` contains NaN, or (on evaluation) its length is not the number of channels.
        IndexError: (on evaluation) The position or the image does not exist.

    Example:
        >>> T = {"mixed4a": torch.arange(9.0).reshape(1, 1, 3, 3)}.get
        >>> direction_neuron("mixed4a", [2.0], x=0, y=1)(T)
        tensor(2.)
    """
    check_direction(layer_name, vec, cossim_pow, "direction_neuron")
    row, column = as_place(x, "direction_neuron's x"), as_place(y, "direction_neuron's y")
    at_head, at_time = as_index(head, "direction_neuron's head"), as_index(t, "direction_neuron's t")

    def read(layer: torch.Tensor) -> torch.Tensor:
        activation = position_in(layer, row, column)
        return dot_product(activation, direction_in(vec, activation, layer_name), cossim_pow)

    return _mean(layer_name, batch, read, lambda T, layer: channels_of_part(T, layer, at_head, at_time))


@wrap_objective()
@checked
def tensor_direction(layer: str, vec: ArrayLike, cossim_pow: float = 0, batch: int | None = None) -> ObjectiveFunction:
    """Activation along a patch of directions in the center of the layer; see `direction`.

    Args:
        layer: Name of the layer.
        vec: Directions, [h, w, C] or [N, h, w, C].
        cossim_pow: Power of the cosine.
        batch: Index of one image of the batch; None for all.

    Raises:
        ValueError: `vec` has another rank, or (on evaluation) is larger than the layer or has
            another number of channels.

    Example:
        >>> T = {"mixed4a": torch.ones(1, 2, 5, 5)}.get
        >>> tensor_direction("mixed4a", torch.ones(3, 3, 2))(T)
        tensor(2.)
    """
    check_direction(layer, vec, cossim_pow, "tensor_direction")
    if np.ndim(vec) not in (3, 4):
        raise ValueError(f"tensor_direction needs vec of [h, w, C] or [N, h, w, C], not of rank {np.ndim(vec)}.")

    def read(activation: torch.Tensor) -> torch.Tensor:
        height, width = np.shape(vec)[-3:-1]
        top, left = (activation.shape[1] - height) // 2, (activation.shape[2] - width) // 2
        if top < 0 or left < 0:
            raise ValueError(
                f"The patch of {height} x {width} is larger than layer {layer!r} "
                f"({activation.shape[1]} x {activation.shape[2]})."
            )
        window = activation[:, top : top + height, left : left + width]
        return dot_product(window, direction_in(vec, window, layer), cossim_pow)

    return _mean(layer, batch, read, channels_at_places)


@wrap_objective()
@checked
def deepdream(layer: str) -> ObjectiveFunction:
    """Mean of the squared activation of a whole layer, whose channel axis need not be known.

    Args:
        layer: Name of the layer.

    Example:
        >>> deepdream("mixed4a")({"mixed4a": 3 * torch.ones(1, 2, 5, 5)}.get)
        tensor(9.)
    """
    check_layer(layer, "deepdream")
    return lambda T: (as_reader(T).raw(layer) ** 2).mean()  # needs no channel axis


_WITH_UNUSED = {1001: 1008}
"""Labels of Lucid's InceptionV1 -> classes of its layers, of which the last ones are unused."""


def _label_indices(labels: Sequence[str], label: int | str) -> list[int]:
    """Returns the indices of a label.

    Raises:
        ValueError: it is not among the labels.
    """
    found = [index for index, name in enumerate(labels) if name == label]
    if not found:
        raise ValueError(f"The model has no label {checks.shown(label)} among its {len(labels)}.")
    return found


def _warn_of_twins(label: int | str, found: Sequence[int]) -> None:
    """Warns if several classes have a label. As in Lucid, the first of them is read."""
    if len(found) > 1:
        warnings.warn(
            f"The model has the label {label!r} {len(found)} times, for the classes {', '.join(map(str, found))}: as "
            f"in Lucid, the first of them, {found[0]}, is rendered. Give the number to render another one.",
            stacklevel=stack_level(),
        )


@wrap_objective()
@checked
def class_logit(layer: str, label: int | str, batch: int | None = None) -> ObjectiveFunction:
    """Activation of one class of a dense layer, summed over the batch.

    Args:
        layer: Name of a layer of shape [N, classes], before or after the softmax.
        label: Index of the class, or one of the model's labels. If several classes have the label, the first of them is
            read, as in Lucid, and a warning names them.
        batch: Index of one image of the batch; None for all.

    Raises:
        ValueError: (on evaluation) The model does not have this label, or does not have one label for each class of
            the layer.
        IndexError: (on evaluation) The layer does not have this class.

    Example:
        >>> T = {"softmax2": torch.tensor([[0.25, 0.75]]), "labels": ["cat", "dog"]}.get
        >>> class_logit("softmax2", "dog")(T)
        tensor(0.7500)
    """
    check_layer(layer, "class_logit")
    number = None if isinstance(label, str) else checks.whole(label, "class_logit's label, if it is not a name,")
    told: set[tuple[int, ...]] = set()  # warnings are for a render, not for each of its steps

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        labels = [] if number is not None else list(T("labels"))
        found = _label_indices(labels, label) if number is None else [number]
        index = found[0]
        classes = T(layer)
        count = classes.shape[1]
        check_index(index, count, layer, "class", "classes")
        if number is None and count not in (len(labels), _WITH_UNUSED.get(len(labels))):
            raise ValueError(
                f"Layer {layer!r} has {count} classes, and the model has {len(labels)} labels, so that the class of "
                f"{label!r} is not certain: give its number, or labels= with one name for each class."
            )
        if tuple(found) not in told:
            told.add(tuple(found))
            _warn_of_twins(label, found)
        return classes[:, index].sum()

    return inner


@wrap_objective()
@checked
def class_probability(layer: str, label: int | str, batch: int | None = None) -> ObjectiveFunction:
    """Probability of one class, summed over the batch: the softmax of a layer that has the classes' logits.

    Args:
        layer: Name of a layer of shape [N, classes] before the softmax. `class_logit` reads the layer of a softmax.
        label: Index of the class, or one of the model's labels.
        batch: Index of one image of the batch; None for all.

    Raises:
        ValueError, IndexError: As for `class_logit`.

    Example:
        >>> T = {"fc": torch.tensor([[0.0, 0.0]]), "labels": ["cat", "dog"]}.get
        >>> class_probability("fc", "dog")(T)
        tensor(0.5000)
    """
    read = class_logit(layer, label, batch)

    def softmax(T: Activations) -> Value:
        return read(lambda name: T(name).softmax(1) if name == layer else T(name))

    return softmax
