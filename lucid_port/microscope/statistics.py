"""Statistics of units over pictures: histograms, sparseness, class selectivity and similarity.

All read pooled activations shard by shard, so that memory does not grow with the number of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.microscope.examples import PooledLayer

__all__ = ["ClassMeans", "Histograms", "class_means", "correlations", "histograms", "most_similar", "sparseness"]


@checked
@dataclass(frozen=True)
class Histograms:
    """Histograms of the strongest activations of a layer's units.

    Attributes:
        counts: int64 [units, bins]: number of pictures in each bin.
        low, high: float32 [units]: the least and the greatest activation; the bins between them have equal widths.
    """

    counts: np.ndarray
    low: np.ndarray
    high: np.ndarray


@checked
def histograms(pooled: PooledLayer, bins: int = 32) -> Histograms:
    """Counts the pictures by each unit's strongest activation; NaN and infinite values are left out.

    Args:
        pooled: Result of `pool_activations` for the layer.
        bins: Number of bins.
    """
    bins = checks.whole(bins, "bins", 1)
    lows, highs = [], []
    for _, block in pooled.blocks():
        values = _finite(block["max"])
        lows.append(np.where(np.isnan(values), np.inf, values).min(0))
        highs.append(np.where(np.isnan(values), -np.inf, values).max(0))
    low, high = np.min(lows, 0), np.max(highs, 0)
    known = low <= high
    low, high = np.where(known, low, 0).astype(np.float32), np.where(known, high, 0).astype(np.float32)
    width = np.where(high > low, high - low, 1)
    counts = np.zeros((len(low), bins), np.int64)
    units = np.arange(len(low))
    for _, block in pooled.blocks():
        values = _finite(block["max"])
        places = ((values - low) / width * bins).clip(0, bins - 1)
        for row, there in zip(places, ~np.isnan(values), strict=True):
            counts[units[there], row[there].astype(int)] += 1
    return Histograms(counts, low, high)


@checked
def sparseness(pooled: PooledLayer) -> np.ndarray:
    """Returns how few pictures a unit responds to, float64 [units]: 0 if to all alike, near 1 if to one of many.

    It is 1 - mean(a)^2 / mean(a^2) over pictures, where a is the strongest activation, or 0 if that is negative (after
    Treves and Rolls, 1991). A unit that never responds has NaN.
    """
    total = squares = count = np.float64(0)
    for _, block in pooled.blocks():
        values = _finite(block["max"]).astype(np.float64)
        there = ~np.isnan(values)
        active = np.where(there, values.clip(0), 0)
        total, squares, count = total + active.sum(0), squares + (active**2).sum(0), count + there.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = 1 - (total / count) ** 2 / (squares / count)
    return found


@checked
@dataclass(frozen=True)
class ClassMeans:
    """Activations of a layer's units by class.

    Attributes:
        labels: The classes, in alphabetical order.
        means: float64 [units, classes]: mean of the strongest activation over the pictures of a class.
        counts: int64 [classes]: number of pictures.
    """

    labels: tuple[str, ...]
    means: np.ndarray
    counts: np.ndarray

    def selectivity(self) -> np.ndarray:
        """Returns the class selectivity of each unit, float64 [units] (Morcos et al., 2018).

        It is (m - r) / (m + r), where m is the greatest of the classes' means and r is the mean of the others, both at
        least 0. NaN where both are 0.
        """
        active = np.nan_to_num(self.means).clip(0)
        best = active.max(1)
        rest = (active.sum(1) - best) / max(1, active.shape[1] - 1)
        with np.errstate(invalid="ignore"):
            found: np.ndarray = (best - rest) / (best + rest)
        return found


@checked
def class_means(pooled: PooledLayer, labels: Sequence[str | None]) -> ClassMeans:
    """Averages the strongest activations over the pictures of each class.

    Args:
        pooled: Result of `pool_activations` for the layer.
        labels: The class of each picture; None for pictures without one, which are left out.

    Raises:
        ValueError: There is not one label for each picture, or no picture has a class.
    """
    given = list(labels)
    count = sum(len(block["max"]) for _, block in pooled.blocks())
    if len(given) != count:
        raise ValueError(f"{count} pictures have {len(given)} labels: give one for each.")
    names = sorted({label for label in given if label is not None})
    if not names:
        raise ValueError("No picture has a class.")
    numbers = np.array([-1 if label is None else names.index(label) for label in given])
    sums = counts = np.float64(0)
    for first, block in pooled.blocks():
        values = _finite(block["max"]).astype(np.float64)
        belongs = (numbers[first : first + len(values), None] == np.arange(len(names))).astype(np.float64)
        there = ~np.isnan(values)
        sums = sums + np.where(there, values, 0).T @ belongs
        counts = counts + there.astype(np.float64).T @ belongs
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts
    return ClassMeans(tuple(names), means, np.bincount(numbers[numbers >= 0], minlength=len(names)))


@checked
def correlations(one: PooledLayer, other: PooledLayer) -> np.ndarray:
    """Returns Pearson's correlations over pictures between the units of two layers, float64 [units, other units].

    The layers may belong to different models, over the same pictures. Pictures in which all units of a layer have
    NaN or infinite values, such as those that cannot be read, are left out. Units that are constant, or have such a
    value in another picture, have NaN.

    Raises:
        ValueError: The layers were pooled over different numbers of pictures, or with different shards.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return _correlations(one, other)


def _correlations(one: PooledLayer, other: PooledLayer) -> np.ndarray:
    count = 0.0
    moments: list[np.ndarray] = []
    shift: tuple[np.ndarray, np.ndarray] | None = None
    pairs = zip(one.blocks(), other.blocks(), strict=False)
    if len(one.shards) != len(other.shards):
        raise ValueError("The layers were pooled over different pictures, or with different batch sizes.")
    for (_, first), (_, second) in pairs:
        x, y = first["max"].astype(np.float64), second["max"].astype(np.float64)
        if len(x) != len(y):
            raise ValueError("The layers were pooled over different pictures, or with different batch sizes.")
        there = np.isfinite(x).any(1) & np.isfinite(y).any(1)
        x, y = x[there], y[there]
        if not len(x):
            continue
        shift = (x.mean(0), y.mean(0)) if shift is None else shift  # sums of values near 0 lose fewer digits
        x, y = x - shift[0], y - shift[1]
        parts = [x.sum(0), y.sum(0), (x**2).sum(0), (y**2).sum(0), x.T @ y]
        moments = parts if not moments else [total + part for total, part in zip(moments, parts, strict=True)]
        count += len(x)
    if not moments:  # no picture can be read
        return np.full((one.array("max").shape[1], other.array("max").shape[1]), np.nan)
    sum_x, sum_y, squares_x, squares_y, products = moments
    covariance = products - np.outer(sum_x, sum_y) / count
    spread = np.sqrt(np.outer(squares_x - sum_x**2 / count, squares_y - sum_y**2 / count))
    found: np.ndarray = covariance / np.where(spread > 0, spread, np.nan)
    return found.clip(-1, 1)


@checked
def most_similar(found: np.ndarray, count: int = 8, same_layer: bool = False) -> np.ndarray:
    """Returns the other layer's units that correlate most with each unit, int64 [units, count], the greatest first.

    Args:
        found: Result of `correlations`.
        count: Number of units.
        same_layer: Whether both layers are the same, so that a unit is not similar to itself.

    Example:
        >>> most_similar(np.array([[1.0, 0.2, 0.9], [0.2, 1.0, -0.5], [0.9, -0.5, 1.0]]), 1, same_layer=True).ravel()
        array([2, 0, 0])
    """
    values = np.where(np.isnan(found), -np.inf, found)
    if same_layer:
        values = values.copy()
        np.fill_diagonal(values, -np.inf)
        count = min(count, values.shape[1] - 1)
    return np.argsort(-values, 1, kind="stable")[:, :count]


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.float32(np.nan))
