"""An inspection as Matplotlib's figures, for notebooks and papers.

The functions return `matplotlib.figure.Figure` without `pyplot`, so that the user's open figures stay as they
are. Notebooks show them after `%matplotlib inline`, or an import of `matplotlib.pyplot`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from converters import checks
from converters.errors import LayerNotFoundError, MissingPackageError
from converters.signatures import checked
from lucid_port.attribution.drawing import over
from lucid_port.inspection.result import CHANNELS, Inspection
from lucid_port.misc.convert_matplotlib import Figure

__all__ = [
    "draw_feature_maps",
    "draw_filters",
    "plot_classes",
    "plot_gradients",
    "plot_statistics",
    "plot_weights",
]

COLORS = ("#b4541a", "#1d5fb8", "#5f8a4c")
GRAY = "#9aa7b5"

FEW = 4
"""Plots in a row."""

MOST_NAMES = 40
"""Number of layers up to which the axis has all their names."""


def _figure(width: float, height: float) -> Any:
    """Returns an empty figure; sizes are in inches.

    Raises:
        MissingPackageError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure as Made
    except ImportError:
        raise MissingPackageError(
            "Figures need the package matplotlib: pip install -e '.[plots]'. Inspection.save writes a page without it."
        ) from None
    return Made(figsize=(width, height), layout="constrained")


def _grid(count: int, columns: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """Returns a figure with `count` plots in rows."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = _figure(columns * width, rows * height)
    plots = [figure.add_subplot(rows, columns, at + 1) for at in range(count)]
    return figure, plots


@checked
def plot_classes(found: Inspection) -> Figure:
    """Draws the probabilities of the top classes as bars.

    Args:
        found: the inspection.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: the network has no single score for each class.
        converters.MissingPackageError: Matplotlib is not installed.

    Example:
        >>> from lucid_port.inspection import inspect, plot_classes
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = inspect(TinyInceptionV1(), np.zeros((96, 96, 3)), layers=["mixed4d"])
        >>> len(plot_classes(found).axes[0].patches)
        5
    """
    if not found.top_classes:
        raise ValueError("The network has no single score for each class, so there are no top classes.")
    figure, (plot,) = _grid(1, 1, 5, 0.6 + 0.35 * len(found.top_classes))
    names = [str(one.number) if one.label is None else one.label.split(", ")[0] for one in found.top_classes]
    places = range(len(names))
    plot.barh(places, [one.probability for one in found.top_classes], color=[COLORS[0], *[GRAY] * (len(names) - 1)])
    plot.set_yticks(places, names)
    plot.invert_yaxis()
    plot.set_xlim(0, 1)
    plot.set_xlabel("probability")
    return figure


@checked
def draw_feature_maps(found: Inspection, layer: str, count: int = CHANNELS) -> Figure:
    """Draws the strongest channels of a layer over the picture: red above 0, blue below.

    Args:
        found: the inspection.
        layer: name of the layer.
        count: number of channels.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        converters.LayerNotFoundError: the layer was not inspected.
        ValueError: the layer has no rows and columns.
        converters.MissingPackageError: Matplotlib is not installed.

    Example:
        >>> from lucid_port.inspection import draw_feature_maps, inspect
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = inspect(TinyInceptionV1(), np.zeros((96, 96, 3)), layers=["mixed4d"])
        >>> len(draw_feature_maps(found, "mixed4d", 3).axes)
        3
    """
    if layer not in found.feature_maps:
        raise LayerNotFoundError(layer, found.feature_maps)
    maps = found.feature_maps[layer]
    channels = maps.strongest(count)
    size = (found.photo.shape[0], found.photo.shape[1])
    pictures = [maps.heat_map(one, size) for one in channels]
    figure, plots = _grid(len(channels), CHANNELS, 1.7, 1.9)
    for plot, channel, values in zip(plots, channels, pictures, strict=True):
        if maps.covers_picture:
            plot.imshow(over(found.photo, np.nan_to_num(values)))
        else:
            plot.imshow(maps.values[..., channel], cmap="viridis")
        plot.set_title(f"{channel}: {maps.peaks[channel]:.3g}", fontsize=9)
        plot.set_axis_off()
    figure.suptitle(layer)
    return figure


@checked
def plot_statistics(found: Inspection) -> Figure:
    """Plots the scale of the activations along the layers, and the shares of zeros and of dead channels.

    Args:
        found: the inspection.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        converters.MissingPackageError: Matplotlib is not installed.

    Example:
        >>> from lucid_port.inspection import inspect, plot_statistics
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = inspect(TinyInceptionV1(), np.zeros((96, 96, 3)), layers=["mixed3a", "mixed4d"])
        >>> [len(plot.lines) for plot in plot_statistics(found).axes]
        [3, 2]
    """
    rows = [found.statistics[name] for name in found.layers]
    figure, (scale, silence) = _grid(2, 2, 5.5, 3.6)
    series = {"maximum": [one.maximum for one in rows], "standard deviation": [one.std for one in rows]}
    series["mean"] = [one.mean for one in rows]
    for color, (name, values) in zip(COLORS, series.items(), strict=True):
        scale.plot(values, "o-", color=color, label=name, markersize=3)
    scale.set_yscale("symlog", linthresh=_least_scale(series["standard deviation"]))
    scale.set_title("Scale of the activations")
    for color, (name, shares) in zip(COLORS, _shares(found).items(), strict=False):
        silence.plot(shares, "o-", color=color, label=name, markersize=3)
    silence.set_ylim(-2, 102)
    silence.set_title("Silence, in percent")
    for plot in (scale, silence):
        _name_layers(plot, found)
        plot.legend(frameon=False, fontsize=8)
    return figure


def _least_scale(values: list[float]) -> float:
    known = [value for value in values if value > 0]
    return min(known) / 10 if known else 1.0


def _shares(found: Inspection) -> dict[str, list[float]]:
    rows = [found.statistics[name] for name in found.layers]
    return {"zeros": [100 * one.zeros for one in rows], "dead channels": [100 * one.dead for one in rows]}


def _name_layers(plot: Any, found: Inspection) -> None:
    step = -(-len(found.layers) // MOST_NAMES)
    places = range(0, len(found.layers), step)
    plot.set_xticks(places, [found.layers[at] for at in places], rotation=90, fontsize=7)


@checked
def plot_gradients(found: Inspection) -> Figure:
    """Draws the gradient over the picture, and plots the mean |gradient| of each layer.

    Args:
        found: the inspection.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: the inspection has no gradients.
        converters.MissingPackageError: Matplotlib is not installed.

    Example:
        >>> from lucid_port.inspection import inspect, plot_gradients
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = inspect(TinyInceptionV1(), np.zeros((96, 96, 3)), layers=["mixed3a", "mixed4d"])
        >>> len(plot_gradients(found).axes)
        2
    """
    if found.gradients is None:
        raise ValueError(found.no_gradients)
    means = found.gradients.means
    figure, (picture, plot) = _grid(2, 2, 4.6, 3.6)
    picture.imshow(over(found.photo, np.nan_to_num(found.gradients.magnitude)))
    picture.set_axis_off()
    picture.set_title(f"|gradient| of {found.gradients.label or found.gradients.target}", fontsize=9)
    values = [means.get(name, np.nan) for name in found.layers]
    plot.plot(values, "o-", color=COLORS[0], markersize=3)
    if any(value > 0 for value in values):
        plot.set_yscale("log")
    plot.set_title("Mean |gradient|", fontsize=9)
    _name_layers(plot, found)
    return figure


@checked
def plot_weights(found: Inspection, layers: Iterable[str] | None = None) -> Figure:
    """Draws the histograms of weights.

    Args:
        found: the inspection.
        layers: names in `found.weights`; all by default.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        converters.LayerNotFoundError: a layer has no weights.
        ValueError: there are no weights.
        converters.MissingPackageError: Matplotlib is not installed.

    Example:
        >>> from lucid_port.inspection import inspect, plot_weights
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = inspect(TinyInceptionV1(), np.zeros((96, 96, 3)), layers=["mixed4d"])
        >>> len(plot_weights(found, ["conv2d0_pre_relu/conv", "conv2d1_pre_relu/conv"]).axes)
        2
    """
    names = list(found.weights) if layers is None else checks.items(layers, "layers", "a list of names of layers")
    for name in names:
        if name not in found.weights:
            raise LayerNotFoundError(str(name), found.weights)
    if not names:
        raise ValueError("There are no weights to draw: the network has none, or layers is empty.")
    figure, plots = _grid(len(names), FEW, 2.6, 1.7)
    for plot, name in zip(plots, names, strict=True):
        one = found.weights[name]
        plot.stairs(one.counts, one.edges, fill=True, color=GRAY)
        plot.set_title(name, fontsize=7)
        plot.set_yticks([])
        plot.tick_params(labelsize=7)
    return figure


@checked
def draw_filters(found: Inspection) -> Figure:
    """Draws the filters of the first convolution.

    Args:
        found: the inspection.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: no convolution reads the picture.
        converters.MissingPackageError: Matplotlib is not installed.

    Example:
        >>> from lucid_port.inspection import draw_filters, inspect
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = inspect(TinyInceptionV1(), np.zeros((96, 96, 3)), layers=["mixed4d"])
        >>> len(draw_filters(found).axes)
        16
    """
    if found.filters is None:
        raise ValueError(found.no_filters)
    figure, plots = _grid(len(found.filters), 16, 0.6, 0.6)
    for plot, kernel in zip(plots, found.filters, strict=True):
        plot.imshow(kernel, cmap="gray", vmin=0, vmax=1)
        plot.set_axis_off()
    return figure
