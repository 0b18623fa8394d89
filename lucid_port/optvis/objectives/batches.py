"""Objectives of a batch: what its images have in common, and in what they differ."""

from __future__ import annotations

import torch

from lucid_port.misc import checks
from lucid_port.optvis.objectives.base import Activations, ObjectiveFunction, Value
from lucid_port.optvis.objectives.reading import channel_in, check_layer
from lucid_port.optvis.objectives.wrapping import wrap_objective

__all__ = ["alignment", "channel_interpolate", "diversity"]


@wrap_objective(require_format="NHWC")
def channel_interpolate(layer1: str, n_channel1: int, layer2: str, n_channel2: int) -> ObjectiveFunction:
    """From the first channel to the second along the batch; summed over the images.

    Raises:
        ValueError: (when evaluated) the batch has one image only.
        IndexError: (when evaluated) a layer has no such channel.
    """
    check_layer(layer1, "channel_interpolate")
    check_layer(layer2, "channel_interpolate")
    number1 = checks.whole(n_channel1, "channel_interpolate's n_channel1")
    number2 = checks.whole(n_channel2, "channel_interpolate's n_channel2")

    def inner(T: Activations) -> Value:
        first, second = channel_in(T(layer1), number1, layer1), channel_in(T(layer2), number2, layer2)
        count = first.shape[0]
        if count < 2:
            raise ValueError("channel_interpolate needs a batch of at least 2 images.")
        weight = torch.arange(count, dtype=first.dtype, device=first.device) / (count - 1)
        means = [t.flatten(1).mean(1) for t in (first, second)]
        return ((1 - weight) * means[0] + weight * means[1]).sum()

    return inner


@wrap_objective()
def alignment(layer: str, decay_ratio: float = 2) -> ObjectiveFunction:
    """Minus the difference of each image's activation to those of the next four images.

    It is negative: **add** it to keep neighbours in the batch alike.
    """
    check_layer(layer, "alignment")
    checks.number(decay_ratio, "alignment's decay_ratio", above=0)

    def inner(T: Activations) -> Value:
        activation = T(layer)
        count = activation.shape[0]
        total: Value = torch.zeros((), dtype=activation.dtype, device=activation.device)
        for distance in range(1, min(5, count)):
            squares = (activation[:-distance] - activation[distance:]) ** 2
            means = squares.flatten(1).mean(1)
            total = total - means.sum() / decay_ratio**distance
        return total

    return inner


@wrap_objective(require_format="NHWC")
def diversity(layer: str) -> ObjectiveFunction:
    """Similarity of the images' normalised Gram matrices, summed over pairs.

    It is positive: **subtract** it to make the images of a batch differ.
    """
    check_layer(layer, "diversity")

    def inner(T: Activations) -> Value:
        activation = T(layer)
        count, channels = activation.shape[0], activation.shape[-1]
        flat = activation.reshape(count, -1, channels)
        grams = (flat.transpose(1, 2) @ flat).reshape(count, -1)
        lengths = (grams * grams).sum(1, keepdim=True).clamp(min=1e-10).sqrt()
        unit = grams / lengths
        pairs = unit @ unit.T
        return (pairs.sum() - pairs.diagonal().sum()) / count

    return inner
