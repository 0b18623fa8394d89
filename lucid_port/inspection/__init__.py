"""The inside of a network with a picture in hand: feature maps, gradients, weights and statistics of layers.

- `passes`: one forward and one backward pass over the picture, for all layers.
- `measures`: the arrays of feature maps, statistics and gradients, and the functions that return them.
- `weights`: histograms of weights, and the filters of the first layer.
- `run`, `result`: `inspect`, which puts these together, and its result.
- `charts`, `page`: the page of a result.
- `figures`: the same as Matplotlib's figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converters.on_use import import_on_use

__all__ = [
    "FeatureMaps",
    "Inspection",
    "activation_statistics",
    "draw_feature_maps",
    "draw_filters",
    "feature_maps",
    "first_layer_filters",
    "gradient_magnitudes",
    "inspect",
    "plot_classes",
    "plot_gradients",
    "plot_statistics",
    "plot_weights",
    "weight_histograms",
]

if TYPE_CHECKING:
    from lucid_port.inspection.figures import (
        draw_feature_maps,
        draw_filters,
        plot_classes,
        plot_gradients,
        plot_statistics,
        plot_weights,
    )
    from lucid_port.inspection.measures import FeatureMaps
    from lucid_port.inspection.result import Inspection
    from lucid_port.inspection.run import activation_statistics, feature_maps, gradient_magnitudes, inspect
    from lucid_port.inspection.weights import first_layer_filters, weight_histograms

__getattr__, __dir__ = import_on_use(
    __name__,
    {
        "figures": [
            "draw_feature_maps",
            "draw_filters",
            "plot_classes",
            "plot_gradients",
            "plot_statistics",
            "plot_weights",
        ],
        "measures": ["FeatureMaps"],
        "result": ["Inspection"],
        "run": ["activation_statistics", "feature_maps", "gradient_magnitudes", "inspect"],
        "weights": ["first_layer_filters", "weight_histograms"],
    },
)
