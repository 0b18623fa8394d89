"""Objectives that compare the images of a batch."""

from __future__ import annotations

import torch

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.layouts import channels_last
from lucid_port.optvis.objectives.base import ObjectiveFunction, Value
from lucid_port.optvis.objectives.readers import Activations, as_reader, by_image, channel_in
from lucid_port.optvis.objectives.reading import check_layer
from lucid_port.optvis.objectives.wrapping import wrap_objective

__all__ = ["alignment", "channel_interpolate", "diversity"]


def _by_image(T: Activations, layer: str) -> torch.Tensor:
    """Returns an activation of N images with the channels last, [N, ..., C]."""
    return channels_last(by_image(as_reader(T), layer))


@wrap_objective()
@checked
def channel_interpolate(layer1: str, n_channel1: int, layer2: str, n_channel2: int) -> ObjectiveFunction:
    """Interpolates between two channels along the batch axis.

    The first image maximizes the mean of the first channel, the last image that of the second; the
    values are summed over the images.

    Args:
        layer1: Layer of the first channel.
        n_channel1: First channel.
        layer2: Layer of the second channel.
        n_channel2: Second channel.

    Raises:
        ValueError: (on evaluation) The batch has only one image.
        IndexError: (on evaluation) A layer does not have the channel.

    Example:
        >>> T = {"mixed3a": torch.ones(3, 4, 9, 9), "mixed4a": 2 * torch.ones(3, 8, 5, 5)}.get
        >>> channel_interpolate("mixed3a", 0, "mixed4a", 1)(T)  # 1 + 1.5 + 2
        tensor(4.5000)
    """
    check_layer(layer1, "channel_interpolate")
    check_layer(layer2, "channel_interpolate")
    number1 = checks.whole(n_channel1, "channel_interpolate's n_channel1")
    number2 = checks.whole(n_channel2, "channel_interpolate's n_channel2")

    def inner(T: Activations) -> Value:
        first = channel_in(_by_image(T, layer1), number1, layer1)
        second = channel_in(_by_image(T, layer2), number2, layer2)
        count = first.shape[0]
        if count < 2:
            raise ValueError("channel_interpolate needs a batch of at least 2 images.")
        weight = torch.arange(count, dtype=first.dtype, device=first.device) / (count - 1)
        means = [t.flatten(1).mean(1) for t in (first, second)]
        return ((1 - weight) * means[0] + weight * means[1]).sum()

    return inner


@wrap_objective()
@checked
def alignment(layer: str, decay_ratio: float = 2) -> ObjectiveFunction:
    """Penalizes differences between the activations of neighboring images of a batch.

    The value is minus the mean squared difference of each image to the next four, divided by
    `decay_ratio ** distance`. It is negative: **add** it to keep neighbors alike.

    Args:
        layer: Name of the layer.
        decay_ratio: Factor, above 0, by which the weight falls with each step of distance.

    Example:
        >>> T = {"mixed4a": torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 8, 5, 5)}.get
        >>> alignment("mixed4a")(T)
        tensor(-0.5000)
    """
    check_layer(layer, "alignment")
    checks.number(decay_ratio, "alignment's decay_ratio", above=0)

    def inner(T: Activations) -> Value:
        activation = by_image(as_reader(T), layer)
        total = torch.zeros((), dtype=activation.dtype, device=activation.device)
        for distance in range(1, min(5, activation.shape[0])):
            squares = (activation[:-distance] - activation[distance:]) ** 2
            total = total - squares.flatten(1).mean(1).sum() / decay_ratio**distance
        return total

    return inner


@wrap_objective()
@checked
def diversity(layer: str) -> ObjectiveFunction:
    """Measures how similar the images of a batch are.

    The value is the sum over ordered pairs of images of the dot product of their normalized Gram
    matrices, divided by the number of images. It is positive: **subtract** it to make the images
    differ.

    Args:
        layer: Name of the layer.

    Example:
        >>> T = {"mixed4a": torch.ones(2, 8, 5, 5)}.get
        >>> diversity("mixed4a")(T).round(decimals=3)  # two equal images
        tensor(1.)
    """
    check_layer(layer, "diversity")

    def inner(T: Activations) -> Value:
        activation = _by_image(T, layer)
        count, channels = activation.shape[0], activation.shape[-1]
        flat = activation.reshape(count, -1, channels)
        grams = (flat.transpose(1, 2) @ flat).reshape(count, -1)
        lengths = (grams * grams).sum(1, keepdim=True).clamp(min=1e-10).sqrt()
        unit = grams / lengths
        pairs = unit @ unit.T
        return (pairs.sum() - pairs.diagonal().sum()) / count

    return inner
