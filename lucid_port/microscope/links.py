"""Links between units: the strongest weights in and out, expanded over bottlenecks, and the most similar units.

A link's weights are those of Voss et al.: Visualizing Weights (2021): the gradient between two layers without the
non-linearities between them, a kernel for each pair of units. Over a bottleneck, a weight is a sum of products along
paths. Where these cancel, the sum says little about the units: such links are marked.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from converters import checks
from converters.errors import ChannelAxisError, InputSizeError
from converters.signatures import checked
from lucid_port.microscope import statistics
from lucid_port.microscope.examples import PooledLayer
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.recipes.weights import Expansion

__all__ = ["LinkSet", "Links", "Similar", "links_between", "links_of", "similar_units"]

EACH_SIGN = 5
"""Links in each direction of each sign."""

SIMILAR = 5
"""Similar units of the same layer, and of the others."""

CANCELS = 0.25
"""Links whose sum of the products along paths is below this share of the sum of their magnitudes are marked."""

LARGEST = 7
"""Height and width of the largest kernel that is kept; the middle of larger ones is."""

BLOCK = 64
"""Units whose weights are held at once."""

FOUND = 3
"""Significant digits of kernels in `details.json`: they are drawn as pictures."""


@checked
@dataclass(frozen=True)
class LinkSet:
    """The strongest links of each unit of a layer to another layer; positive and negative ones, by magnitude.

    Attributes:
        units: int32 [units, k]: units of the other layer; -1 where there are fewer.
        weights: float32 [units, k]: the Euclidean norm of the link's kernel, with the sign of the kernel's sum.
        cancels: bool [units, k]: whether excitation and inhibition cancel along the paths of the link.
        kernels: float32 [units, k, size, size]: the kernel; the position of the later unit is in the middle.
    """

    units: np.ndarray
    weights: np.ndarray
    cancels: np.ndarray
    kernels: np.ndarray

    @checked
    def rows(self, layer: str, unit: int) -> list[list[object]]:
        """Returns the links of a unit as `details.json` has them: [layer, unit, weight, cancels, kernel]."""
        checks.whole(unit, "unit", 0, len(self.units) - 1)
        found = []
        for at in np.flatnonzero(self.units[unit] >= 0):
            kernel = [[float(f"{value:.{FOUND}g}") for value in row] for row in self.kernels[unit, at].tolist()]
            weight, cancels = float(self.weights[unit, at]), bool(self.cancels[unit, at])
            found.append([layer, int(self.units[unit, at]), weight, cancels, kernel])
        return found


@checked
@dataclass(frozen=True)
class Links:
    """The links between two layers.

    Attributes:
        layers: Names of the earlier and the later layer.
        incoming: Links of the later layer's units to units of the earlier.
        outgoing: Links of the earlier layer's units to units of the later.
        weights: float32 [later units, earlier units]: signed norms of all kernels, as in `LinkSet`.
        shares: float32 [later units, earlier units]: |sum of products along paths| / sum of their magnitudes, both
            summed over positions; 1 if no paths cancel, NaN if there are none.
    """

    layers: tuple[str, str]
    incoming: LinkSet
    outgoing: LinkSet
    weights: np.ndarray
    shares: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns name -> array, to keep what was found."""
        found = {"weights": self.weights, "shares": self.shares}
        for side, one in (("incoming", self.incoming), ("outgoing", self.outgoing)):
            found |= {f"{side}.{name}": np.ascontiguousarray(array) for name, array in vars(one).items()}
        return found

    @classmethod
    def from_arrays(cls, layers: tuple[str, str], arrays: Mapping[str, np.ndarray]) -> Links:
        """Returns the links of `to_arrays`."""
        incoming, outgoing = (
            LinkSet(**{name: arrays[f"{side}.{name}"] for name in ("units", "weights", "cancels", "kernels")})
            for side in ("incoming", "outgoing")
        )
        return cls(layers, incoming, outgoing, arrays["weights"], arrays["shares"])


@strictly
@checked
def links_between(model: Model, earlier: str, later: str, each_sign: int = EACH_SIGN) -> Links:
    """Finds the strongest links between the units of two layers.

    ReLUs and response norms between the layers are taken as the identity, and max pools as average pools.

    Args:
        model: The model.
        earlier, later: Names of the layers.
        each_sign: Number of positive and of negative links of each unit in each direction.

    Raises:
        converters.LayerNotFoundError: The model has no such layer.
        ValueError: The later layer does not depend linearly on the earlier.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> links = links_between(TinyInceptionV1(), "conv2d1", "conv2d2", 2)
        >>> links.incoming.units.shape, links.outgoing.units.shape, links.incoming.kernels.shape
        ((48, 4), (16, 4), (48, 4, 3, 3))
    """
    count = checks.whole(each_sign, "each_sign", 1)
    plain = Expansion(_absolute(model), earlier, later)  # no paths cancel, so that its reach is that of all
    signed = Expansion(model, earlier, later, plain)
    incoming: list[_Strongest] = []
    outgoing: _Strongest | None = None
    weights, shares = [], []
    for first in range(0, signed.units, BLOCK):
        units = range(first, min(first + BLOCK, signed.units))
        kernels = signed.weights(units)
        strength, share = _strength(kernels), _share(kernels, plain.weights(units))
        weights.append(strength)
        shares.append(share)
        kernels = _middle(kernels)
        incoming.append(_strongest(strength, share, kernels, count, 0))
        mine = _strongest(strength.T, share.T, kernels.swapaxes(0, 1), count, first)
        outgoing = mine if outgoing is None else outgoing.merged(mine, count)
    assert outgoing is not None
    joined = [np.concatenate(parts) for parts in zip(*(one.arrays for one in incoming), strict=True)]
    return Links(
        (earlier, later), _Strongest(*joined).links(), outgoing.links(), np.concatenate(weights), np.concatenate(shares)
    )


@checked
def links_of(
    model: Model, layers: Sequence[str], each_sign: int = EACH_SIGN
) -> tuple[dict[tuple[str, str], Links], dict[tuple[str, str], str]]:
    """Finds the strongest links between each layer and the next.

    Returns:
        (earlier, later) -> the links, and (earlier, later) -> the reason as a sentence, where there are none.
    """
    found: dict[tuple[str, str], Links] = {}
    problems: dict[tuple[str, str], str] = {}
    for pair in itertools.pairwise(layers):
        try:
            found[pair] = links_between(model, *pair, each_sign)
        except (ValueError, ChannelAxisError, InputSizeError) as error:
            problems[pair] = str(error)
    return found, problems


def _absolute(model: Model) -> Model:
    """Returns a copy of a model whose weights are magnitudes, so that none of its paths cancel."""
    copied = copy.deepcopy(model)
    network = cast(torch.nn.Module, copied.network)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.abs_()
    return copied


def _strength(kernels: np.ndarray) -> np.ndarray:
    """Returns the signed norm of kernels [units, sources, size, size], float32 [units, sources]."""
    sums = kernels.sum((2, 3))
    found: np.ndarray = np.where(sums < 0, -1, 1) * np.sqrt(np.square(kernels).sum((2, 3)))
    return found.astype(np.float32)


def _share(kernels: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Returns how much of the magnitudes along paths is left in their sum, float32 [units, sources]."""
    total = plain.sum((2, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = np.abs(kernels).sum((2, 3)) / np.where(total > 0, total, np.nan)
    return found.astype(np.float32)


def _middle(kernels: np.ndarray) -> np.ndarray:
    size = kernels.shape[-1]
    edge = max(0, size - LARGEST) // 2
    return kernels[..., edge : size - edge, edge : size - edge]


@dataclass(frozen=True)
class _Strongest:
    """The strongest links of some units, positive ones before negative ones; a weight of 0 is no link."""

    units: np.ndarray
    weights: np.ndarray
    shares: np.ndarray
    kernels: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.units, self.weights, self.shares, self.kernels

    def merged(self, other: _Strongest, count: int) -> _Strongest:
        pairs = zip(self.arrays, other.arrays, strict=True)
        return _Strongest(*(np.concatenate(pair, 1) for pair in pairs))._best(count)

    def _best(self, count: int) -> _Strongest:
        columns = [_greatest(sign * self.weights, count) for sign in (1, -1)]
        chosen = np.concatenate(columns, 1)
        kernels = np.take_along_axis(self.kernels, chosen[..., None, None], 1)
        units, weights, shares = (np.take_along_axis(one, chosen, 1) for one in self.arrays[:3])
        # With few links, the greatest of one sign are of the other.
        signs = np.repeat([1, -1], [column.shape[1] for column in columns])
        weights = np.where(weights * signs > 0, weights, 0)
        return _Strongest(np.where(weights != 0, units, -1), weights, shares, kernels)

    def links(self) -> LinkSet:
        """Returns the links by magnitude."""
        order = np.argsort(-np.abs(self.weights), 1, kind="stable")
        units, weights, shares = (np.take_along_axis(one, order, 1) for one in self.arrays[:3])
        kernels = np.take_along_axis(self.kernels, order[..., None, None], 1)
        return LinkSet(units.astype(np.int32), weights, shares < CANCELS, kernels)


def _greatest(values: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-values, 1, kind="stable")[:, :count]


def _strongest(strength: np.ndarray, share: np.ndarray, kernels: np.ndarray, count: int, first: int) -> _Strongest:
    units = np.broadcast_to(np.arange(first, first + strength.shape[1]), strength.shape)
    return _Strongest(units, strength, share, kernels)._best(count)


# Similar units ----------------------------------------------------------------------------------


@checked
@dataclass(frozen=True)
class Similar:
    """The units that correlate most with each unit of a layer over pictures, the greatest first.

    Attributes:
        layers: Names of all layers.
        numbers: int32 [units, k]: index of the similar unit's layer in `layers`; -1 where there are fewer.
        units: int32 [units, k]: the similar unit.
        values: float32 [units, k]: Pearson's correlation.
        same: Number of columns, the first, whose units are of the same layer.
    """

    layers: tuple[str, ...]
    numbers: np.ndarray
    units: np.ndarray
    values: np.ndarray
    same: int

    @checked
    def rows(self, unit: int) -> list[list[object]]:
        """Returns the similar units of a unit as `details.json` has them: [layer, unit, correlation]."""
        checks.whole(unit, "unit", 0, len(self.units) - 1)
        triples = zip(self.numbers[unit].tolist(), self.units[unit].tolist(), self.values[unit].tolist(), strict=True)
        return [[self.layers[number], other, value] for number, other, value in triples if number >= 0]


@checked
def similar_units(
    pooled: Mapping[str, PooledLayer],
    here: int = SIMILAR,
    elsewhere: int = SIMILAR,
    units: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Similar]:
    """Finds the units of the same layer, and of the other layers, that respond to the same pictures.

    Args:
        pooled: Layer -> its pooled activations, over the same pictures.
        here, elsewhere: Numbers of units.
        units: Layer -> the units to choose from; all by default.

    Returns:
        Layer -> the similar units of each of its units.
    """
    layers = tuple(pooled)
    same = {layer: _Ranked(here) for layer in layers}
    other = {layer: _Ranked(elsewhere) for layer in layers}
    for one, (layer, mine) in enumerate(pooled.items()):
        for two, (further, theirs) in enumerate(pooled.items()):
            if two < one:
                continue
            values = statistics.correlations(mine, theirs)
            shown = [
                np.isin(np.arange(n), units[name]) if units is not None and name in units else np.ones(n, bool)
                for n, name in zip(values.shape, (layer, further), strict=True)
            ]
            if two == one:
                np.fill_diagonal(values, np.nan)
                same[layer].add(one, np.where(shown[1], values, np.nan))
            else:
                other[layer].add(two, np.where(shown[1], values, np.nan))
                other[further].add(one, np.where(shown[0], values.T, np.nan))
    found = {}
    for layer in layers:
        parts = [ranked.arrays(pooled[layer].array("max").shape[1]) for ranked in (same[layer], other[layer])]
        numbers, chosen, values = (np.concatenate(pair, 1) for pair in zip(*parts, strict=True))
        found[layer] = Similar(layers, numbers, chosen, values, parts[0][0].shape[1])
    return found


class _Ranked:
    """The units with the greatest correlations so far."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._kept: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, layer: int, values: np.ndarray) -> None:
        """Adds the correlations with the units of a layer, [units, other units]; NaN is left out."""
        known = np.where(np.isnan(values), -np.inf, values)
        best = _greatest(known, self.count)
        numbers = np.full(best.shape, layer, np.int32)
        new = (numbers, best.astype(np.int32), np.take_along_axis(known, best, 1).astype(np.float32))
        joined = (
            new if self._kept is None else tuple(np.concatenate(pair, 1) for pair in zip(self._kept, new, strict=True))
        )
        order = np.lexsort((joined[1], joined[0], -joined[2]), 1)[:, : self.count]
        self._kept = tuple(np.take_along_axis(one, order, 1) for one in joined)  # type: ignore[assignment]

    def arrays(self, units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._kept is None:
            none = np.zeros((units, 0), np.int32)
            return none, none, none.astype(np.float32)
        numbers, chosen, values = self._kept
        lost = np.isinf(values)
        return (
            np.where(lost, -1, numbers),
            np.where(lost, -1, chosen),
            np.where(lost, np.nan, values).astype(np.float32),
        )
