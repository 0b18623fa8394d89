"""Feature maps, statistics, gradients and classes of one picture, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.attribution.drawing import enlarged
from lucid_port.optvis import grammar
from lucid_port.recipes.inputs import LayerValue

__all__ = ["FeatureMaps", "Gradients", "Statistics", "TopClass", "feature_maps_of", "statistics_of"]


def unit_name(layer: str, channel: int) -> str:
    """Returns the name of a channel as `render_many` takes it.

    Example:
        >>> unit_name("mixed4d", 8)
        'mixed4d:8'
    """
    return f"{grammar.quoted(layer)}:{channel}"


@dataclass(frozen=True)
class TopClass:
    """A class, and its probability.

    Attributes:
        number: the class.
        label: its name; None if the model has no labels.
        probability: from 0 to 1.
        logit: the value before the softmax; None if the network gives probabilities only.
    """

    number: int
    label: str | None
    probability: float
    logit: float | None


@checked
@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The activations of a layer.

    Attributes:
        layer: name of the layer.
        values: float32 [rows, columns, C]; [L, C] for L tokens that have no places, [C] for fully connected layers. A
            layer of patches leaves out the class token and other tokens without a place.
        covers_picture: whether rows and columns are places in the picture; in attention maps, they are tokens.

    Example:
        >>> values = np.zeros((2, 3, 5), np.float32)
        >>> values[0, 1, 3] = 2
        >>> found = FeatureMaps("mixed4d", values, True)
        >>> found.strongest(1), found.heat_map(3, (4, 6)).shape
        ([3], (4, 6))
    """

    layer: str
    values: np.ndarray
    covers_picture: bool

    @property
    def has_maps(self) -> bool:
        """Whether the layer has rows and columns."""
        return self.values.ndim == 3

    @property
    def peaks(self) -> np.ndarray:
        """The largest activation of each channel, float32 [C]."""
        return self.values.reshape(-1, self.values.shape[-1]).max(0)

    @checked
    def strongest(self, count: int = 6) -> list[int]:
        """Returns the channels with the largest activations, the largest first.

        Args:
            count: number of channels.
        """
        count = checks.whole(count, "count", 1)
        return np.argsort(-np.nan_to_num(self.peaks, nan=-np.inf), kind="stable")[:count].tolist()

    @checked
    def heat_map(self, channel: int, size: tuple[int, int]) -> np.ndarray:
        """Returns a channel in the size of a picture, by bilinear sampling.

        Args:
            channel: the channel.
            size: (height, width) in pixels.

        Returns:
            float32 [height, width].

        Raises:
            ValueError: the layer has no rows and columns, or no such channel.
        """
        if not self.has_maps:
            raise ValueError(f"Layer {self.layer!r} has no rows and columns: plot its channels' values.")
        count = self.values.shape[-1]
        if not 0 <= checks.whole(channel, "channel") < count:
            raise ValueError(f"Layer {self.layer!r} has no channel {channel}: its channels are 0 to {count - 1}.")
        map_ = torch.from_numpy(np.ascontiguousarray(self.values[None, None, ..., channel]))
        return enlarged(map_, (size[0], size[1]))[0, 0].numpy()


@dataclass(frozen=True)
class Statistics:
    """The scale of a layer's activations, over all its values for one picture.

    Attributes:
        shape: sizes of the layer's axes: channels, then rows and columns or tokens.
        mean: mean.
        std: standard deviation, the root of the mean squared deviation.
        maximum: largest value.
        minimum: smallest value.
        zeros: share of values that are exactly 0, from 0 to 1.
        dead: share of channels that are 0 at every place, from 0 to 1.
        not_finite: share of values that are NaN or infinite, which the others leave out.
    """

    shape: tuple[int, ...]
    mean: float
    std: float
    maximum: float
    minimum: float
    zeros: float
    dead: float
    not_finite: float


@dataclass(frozen=True, eq=False)
class Gradients:
    """Magnitudes of the gradient of a unit, with respect to layers and to the picture.

    Attributes:
        target: the unit, as `LAYER:NUMBER`.
        label: name of the class; None for other units.
        score: the unit's value.
        picture: float32 [H, W, C], the gradient with respect to the picture in [0, 1].
        channels: layer -> float32 [C], the mean |gradient| of each channel over its places.
        missing: layer -> the reason why it has no gradient.
    """

    target: str
    label: str | None
    score: float
    picture: np.ndarray
    channels: Mapping[str, np.ndarray]
    missing: Mapping[str, str]

    @property
    def means(self) -> dict[str, float]:
        """The mean |gradient| of each layer."""
        return {layer: float(values.mean()) for layer, values in self.channels.items()}

    @property
    def magnitude(self) -> np.ndarray:
        """The gradient's magnitude at each pixel, the largest over the colors: float32 [H, W]."""
        return np.abs(self.picture).max(-1)

    @checked
    def strongest(self, layer: str, count: int = 6) -> list[int]:
        """Returns the channels of a layer with the largest mean |gradient|, the largest first.

        Args:
            layer: name of the layer.
            count: number of channels.

        Raises:
            ValueError: the layer has no gradient.
        """
        if layer not in self.channels:
            raise ValueError(self.missing.get(layer, f"Layer {layer!r} was not inspected: name it in layers."))
        return np.argsort(-self.channels[layer], kind="stable")[: checks.whole(count, "count", 1)].tolist()


def feature_maps_of(layer: str, value: LayerValue) -> FeatureMaps:
    """Returns the feature maps of a layer for one picture."""
    try:
        return FeatureMaps(layer, _last(value.places()), value.layout.positions != "LL")
    except ValueError:  # fully connected, tokens without places, more axes than rows and columns, or windows
        last = _last(value.first)
        return FeatureMaps(layer, last if last.ndim < 3 else last.reshape(-1, last.shape[-1]), False)


def _last(first: torch.Tensor) -> np.ndarray:
    """Returns a value (rows, C, ...) as float32 [..., C], without the axis of rows if there is one row."""
    last = first.detach().movedim(1, -1).float().cpu().numpy()
    return np.ascontiguousarray(last[0] if len(last) == 1 else last)


def statistics_of(value: LayerValue) -> Statistics:
    """Returns the statistics of a layer for one picture."""
    first = value.first.detach().float().cpu().numpy()
    by_channel = first.swapaxes(0, 1).reshape(first.shape[1], -1)
    is_finite = np.isfinite(by_channel)
    finite = by_channel[is_finite] if not is_finite.all() else by_channel
    if not finite.size:
        finite = np.full(1, np.nan, np.float32)
    return Statistics(
        shape=first.shape[1:] if len(first) == 1 else (first.shape[1], len(first), *first.shape[2:]),
        mean=float(finite.mean(dtype=np.float64)),
        std=float(finite.std(dtype=np.float64)),
        maximum=float(finite.max()),
        minimum=float(finite.min()),
        zeros=float((by_channel == 0).mean()),
        dead=float((by_channel == 0).all(1).mean()),
        not_finite=float(1 - is_finite.mean()),
    )
