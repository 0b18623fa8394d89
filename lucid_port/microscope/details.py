"""Gathers what the pages show of each unit: rows of `units.parquet`, and the lists of `details.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.signatures import checked
from lucid_port.microscope import statistics
from lucid_port.microscope.crops import CropLayer, crop_boxes
from lucid_port.microscope.curves import Curves
from lucid_port.microscope.examples import PooledLayer
from lucid_port.microscope.links import Links, Similar

__all__ = ["LayerDetails", "details_of", "details_without_pictures"]

BINS = 32
"""Bins of a unit's histogram."""

CLASSES = 8
"""Classes whose means are kept."""


@checked
@dataclass(frozen=True)
class LayerDetails:
    """What the pages show of a layer's units.

    Attributes:
        details: Unit -> its lists, for `write_details`.
        rows: Its rows for `write_units`, without the activations of renders.
    """

    details: Mapping[int, Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]


@checked
def details_of(
    pooled: PooledLayer,
    crops: CropLayer,
    prepare: object,
    sizes: Mapping[int, tuple[int, int]],
    *,
    labels: Sequence[str | None] | None = None,
    links: Mapping[tuple[str, str], Links] | None = None,
    similar: Similar | None = None,
    curves: Curves | None = None,
) -> LayerDetails:
    """Gathers the statistics, crops, links and curves of a layer's units.

    Args:
        pooled: The layer's pooled activations.
        crops: Its examples, receptive fields, and the units to gather.
        prepare: How the pictures are prepared.
        sizes: Picture's number -> (width, height), as in `Crops`.
        labels: The class of each picture, or None.
        links: (earlier, later) -> links, as from `links_of`; those of this layer are taken.
        similar: The units that are similar to those of this layer, as from `similar_units`.
        curves: The tuning curves of this layer, as from `tuning_curves`.

    Raises:
        ValueError: There is not one label for each picture.

    Example:
        >>> import tempfile
        >>> from lucid_port.microscope.examples import find_examples, pool_activations
        >>> from lucid_port.microscope.fields import effective_fields
        >>> from lucid_port.microscope.pictures import Pictures, preparation
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> model = TinyInceptionV1()
        >>> pictures = Pictures(np.random.default_rng(0).random((5, 96, 96, 3)), preparation(model))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pooled = pool_activations(model, pictures, ["conv2d0"], folder, verbose=False)["conv2d0"]
        ...     fields = effective_fields(model, ["conv2d0"])["conv2d0"]
        ...     crops = CropLayer("conv2d0", find_examples(pooled), fields, [3])
        ...     found = details_of(pooled, crops, pictures.prepare, dict.fromkeys(range(5), (96, 96)))
        >>> sorted(found.details[3]), found.rows[0]["unit"], found.rows[0]["field"]
        (['box', 'cell', 'histogram'], 3, 7.0)
    """
    histograms = statistics.histograms(pooled, BINS)
    has_classes = labels is not None and any(label is not None for label in labels)
    classes = statistics.class_means(pooled, list(labels)) if has_classes and labels is not None else None
    numbers = _numbers(pooled, crops, classes)
    details: dict[int, dict[str, Any]] = {}
    for unit in crops.shown:
        boxes, cells = crop_boxes(crops, unit, prepare, sizes)
        low, high = histograms.low[unit], histograms.high[unit]
        one: dict[str, Any] = {"histogram": {"counts": histograms.counts[unit], "low": low, "high": high}}
        if classes is not None:
            one["classes"] = _best_classes(classes, unit)
        if curves is not None:
            one["tuning"] = curves.rows(unit)
        one |= _linked(links or {}, pooled.layer, unit)
        if similar is not None:
            one["similar"] = similar.rows(unit)
        details[unit] = {**one, "box": boxes, "cell": cells}
    rows = [
        {"layer": pooled.layer, "unit": unit, **{name: _at(numbers[name], unit) for name in numbers}}
        for unit in crops.shown
    ]
    return LayerDetails(details, rows)


@checked
def details_without_pictures(
    layer: str,
    units: Sequence[int],
    *,
    links: Mapping[tuple[str, str], Links] | None = None,
    curves: Curves | None = None,
) -> LayerDetails:
    """Gathers the links and curves of a layer's units, in a site that has no pictures.

    Args:
        layer: Name of the layer.
        units: The units.
        links, curves: As for `details_of`.

    Example:
        >>> found = details_without_pictures("conv2d0", [3])
        >>> found.details, found.rows[0]["maximum"]
        ({3: {}}, None)
    """
    details: dict[int, dict[str, Any]] = {}
    for unit in units:
        details[unit] = {} if curves is None else {"tuning": curves.rows(unit)}
        details[unit] |= _linked(links or {}, layer, unit)
    unknown = dict.fromkeys(("maximum", "mean", "minimum", "selectivity", "best_class", "sparseness", "field"))
    rows = [{"layer": layer, "unit": unit, **unknown, "dead": False, "dropped": 0} for unit in units]
    return LayerDetails(details, rows)


def _at(values: np.ndarray | list[Any], unit: int) -> Any:
    return values[unit].item() if isinstance(values, np.ndarray) else values[unit]


def _numbers(
    pooled: PooledLayer, crops: CropLayer, classes: statistics.ClassMeans | None
) -> dict[str, np.ndarray | list[Any]]:
    """Returns column of `units.parquet` -> a value for each unit of the layer."""
    low, mean, high = _extremes(pooled)
    units = len(high)
    if classes is None:
        selectivity: np.ndarray = np.full(units, np.nan)
        best: list[Any] = [None] * units
    else:
        selectivity = classes.selectivity()
        known = np.where(np.isnan(classes.means), -np.inf, classes.means)
        best = [
            classes.labels[at] if np.isfinite(row[at]) else None for at, row in zip(known.argmax(1), known, strict=True)
        ]
    fields = crops.fields.sizes if crops.fields.kind != "whole" else np.full(units, np.nan)
    return {
        "maximum": high,
        "mean": mean,
        "minimum": low,
        "selectivity": selectivity,
        "best_class": best,
        "sparseness": statistics.sparseness(pooled),
        "dead": ~(high > 0) & ~(high > low),
        "dropped": crops.examples.dropped,
        "field": fields,
    }


def _extremes(pooled: PooledLayer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the least, mean and greatest of each unit's strongest activations; NaN if no picture has a finite one."""
    low, high, total, count = np.float64(np.inf), np.float64(-np.inf), np.float64(0), np.int64(0)
    for _, block in pooled.blocks():
        values = block["max"].astype(np.float64)
        there = np.isfinite(values)
        low = np.minimum(low, np.where(there, values, np.inf).min(0))
        high = np.maximum(high, np.where(there, values, -np.inf).max(0))
        total, count = total + np.where(there, values, 0).sum(0), count + there.sum(0)
    known = count > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
    return np.where(known, low, np.nan), np.asarray(mean), np.where(known, high, np.nan)


def _best_classes(classes: statistics.ClassMeans, unit: int) -> list[tuple[str, float]]:
    means = classes.means[unit]
    order = np.argsort(-np.where(np.isnan(means), -np.inf, means), kind="stable")[:CLASSES]
    return [(classes.labels[at], float(means[at])) for at in order if not np.isnan(means[at])]


def _linked(links: Mapping[tuple[str, str], Links], layer: str, unit: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (earlier, later), one in links.items():
        if later == layer:
            found.setdefault("in", []).extend(one.incoming.rows(earlier, unit))
        if earlier == layer:
            found.setdefault("out", []).extend(one.outgoing.rows(later, unit))
    return {name: sorted(rows, key=lambda row: -abs(row[2])) for name, rows in found.items()}
