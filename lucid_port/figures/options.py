"""The options of figures, by name. A figure reads some of them; recipes may hold no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from converters.schema import Natural, Positive

__all__ = ["FigureOptions"]


class _Others(TypedDict):
    """Units of another layer, and the radius of the curves that they see."""

    units: Sequence[Natural]
    radius: float


class _Sources(TypedDict):
    """Units of an earlier layer, and the stimulus that they are tested with."""

    units: Sequence[Natural]
    stimulus: str
    size: Positive


class FigureOptions(TypedDict, total=False):
    """Options of a figure.

    `style` is the path of a picture; no other option names a file.
    """

    units: Sequence[str | int]
    size: Positive
    batch_size: Positive
    bottleneck: str
    channels: Positive
    classes: Positive
    content_weight: float
    count: Positive
    damping: float
    drawings: Positive
    early_curves: Sequence[Natural]
    facets: Positive
    factors: Positive
    families: Mapping[str, Sequence[str]]
    frames: Positive
    grid: Positive
    groups: Positive | Mapping[str, Sequence[Natural]]
    kernels: str
    layer: str
    layers: Mapping[str, Positive | Sequence[Natural]]
    layout: Literal["umap", "tsne"]
    layout_options: Mapping[str, bool | float | str | None]
    mesh: Literal["bunny", "torus"]
    most: Positive
    naive: bool
    next: Sequence[str]
    orientations: Positive
    others: Mapping[str, _Others]
    parts: Sequence[str]
    per_image: Positive
    period: float
    places: Positive
    radii: Sequence[float]
    radius: float
    rates: Sequence[float]
    reach: Positive
    rows: Positive
    shown: Positive
    sources: Mapping[str, _Sources]
    stimulus_size: Positive
    style: str
    style_layers: Sequence[str]
    texture_size: Positive
    threshold: Natural
    tuned: Positive
    whiten: bool
    whole: str
