"""What the pages show: plain, frozen data without HTML.

Paths are relative to the root of the site. Numbers that are not known are None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "Believed",
    "Crop",
    "Curve",
    "ExampleGroup",
    "Histogram",
    "Icon",
    "LayerPage",
    "LayerSummary",
    "Link",
    "ModelPage",
    "Render",
    "Similar",
    "UnitPage",
    "UnitRef",
    "UnitSummary",
]

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 as fractions of a picture's width and height."""

WEAK = 0.5
"""Ratio to the data's maximum below which a page warns of a render."""


@dataclass(frozen=True)
class Histogram:
    """Numbers of pictures, or weights, in bins of equal width between `low` and `high`."""

    counts: Sequence[float]
    low: float
    high: float

    @property
    def total(self) -> float:
        """Sum of the counts."""
        return sum(self.counts)


@dataclass(frozen=True)
class Icon:
    """A cell of a sprite.

    Attributes:
        sprite: Path of the sprite.
        columns, rows: Number of cells in a row and in a column of the sprite.
        column, row: Place of the cell.
    """

    sprite: str
    columns: int
    rows: int
    column: int
    row: int


@dataclass(frozen=True)
class UnitRef:
    """A unit that another page leads to.

    Attributes:
        layer: Name of the layer.
        unit: Number of the unit.
        page: Path of its page; None if the site has no page for it.
        icon: Path of its icon; None if there is none.
        title: Title from `notes.toml`, or "".
    """

    layer: str
    unit: int
    page: str | None
    icon: str | None
    title: str = ""

    @property
    def name(self) -> str:
        """Layer and unit, as objectives spell them."""
        return f"{self.layer}:{self.unit}"


@dataclass(frozen=True)
class Render:
    """A picture that maximizes or minimizes a unit.

    Attributes:
        technique: Name of the technique.
        title: Its title.
        picture: Path of the picture.
        size: Width and height in pixels.
        value: The unit's activation on the picture; None if it was not measured.
        recipe: Path of the recipe; None if there is none.
        steps: Number of steps; None if it is not known.
    """

    technique: str
    title: str
    picture: str
    size: tuple[int, int]
    value: float | None
    recipe: str | None
    steps: int | None = None


@dataclass(frozen=True)
class Crop:
    """A dataset example, cropped around the strongest cell.

    Attributes:
        column: Place in the sprite of crops.
        number: Number of the picture.
        value: The unit's strongest activation in it.
        label: Class of the picture, or None.
        cell: The strongest cell within the crop; None for a token without a place.
        box: The crop within the whole picture; None if it is not known.
        token: Name of the strongest token if it has no place, or None.
        whole: Path of the whole picture; None if it is not published.
        credit: Credit and license, or "".
    """

    column: int
    number: int
    value: float
    label: str | None
    cell: Box | None
    box: Box | None
    token: str | None
    whole: str | None
    credit: str


@dataclass(frozen=True)
class ExampleGroup:
    """Examples at one end or one quantile of a unit's activations."""

    title: str
    crops: Sequence[Crop]


@dataclass(frozen=True)
class Curve:
    """Responses to synthetic stimuli of one family.

    Attributes:
        family: Name of the family.
        values: A response for each stimulus.
        polar: Whether the stimuli go round a circle.
        first, last: Labels of the ends of the axis.
    """

    family: str
    values: Sequence[float]
    polar: bool = False
    first: str = ""
    last: str = ""


@dataclass(frozen=True)
class Link:
    """A weight to or from another unit.

    Attributes:
        other: The other unit.
        weight: Strength of the link, with its sign.
        cancels: Whether excitation and inhibition over two steps cancel.
        kernel: `data:` address of the kernel as a picture, or None.
        shape: Rows and columns of the kernel.
    """

    other: UnitRef
    weight: float
    cancels: bool
    kernel: str | None
    shape: tuple[int, int]


@dataclass(frozen=True)
class Similar:
    """A unit that responds to the same pictures."""

    other: UnitRef
    correlation: float


@dataclass(frozen=True)
class Believed:
    """How far a render goes beyond the data.

    Attributes:
        title: Title of the render, or of the data's maximum.
        value: Activation.
        ratio: Activation over the data's maximum; None if that is not positive.
        is_data: Whether this is the data's maximum.
    """

    title: str
    value: float
    ratio: float | None
    is_data: bool = False

    @property
    def is_weak(self) -> bool:
        """Whether a render reaches less than half of the data's maximum."""
        return self.ratio is not None and self.ratio < WEAK


@dataclass(frozen=True)
class UnitSummary:
    """A unit on the page of its layer.

    Attributes:
        unit: Number.
        page: Path of its page.
        icon: Its cell in the sprites of the layer.
        maximum: Strongest activation over the pictures.
        sparseness, selectivity: From 0 to 1.
        best_class: Class with the greatest mean, or None.
        order: Rank in an order in which similar units are neighbors.
        dead: Whether it never responds.
        title: Title from `notes.toml`, or "".
    """

    unit: int
    page: str
    icon: Icon
    maximum: float | None
    sparseness: float | None
    selectivity: float | None
    best_class: str | None
    order: int
    dead: bool
    title: str


@dataclass(frozen=True)
class LayerSummary:
    """A layer on the index and in the navigation.

    Attributes:
        name, folder: Name, and name of its folder.
        units: Number of units that have pages.
        total: Number of units of the layer.
        grid: Rows and columns of places.
        tokens: Number of tokens if the layer has tokens, else None.
        field: Size and stride of the receptive field in pixels, or None.
        weights: Histogram of the weights, or None.
        deepdream: Path of its DeepDream, or None.
        caricatures: Name of a picture -> path of its caricature.
        shown: A few of its units.
        title, note: From `notes.toml`, or "".
    """

    name: str
    folder: str
    units: int
    total: int
    grid: tuple[int, int]
    tokens: int | None
    field: tuple[int, int] | None
    weights: Histogram | None
    deepdream: str | None
    caricatures: Mapping[str, str]
    shown: Sequence[UnitRef]
    title: str
    note: str

    @property
    def page(self) -> str:
        """Path of its page."""
        return f"{self.folder}/index.html"


@dataclass(frozen=True)
class ModelPage:
    """The index.

    Attributes:
        name, source, hash: The model.
        facts: Name -> text, about model, data and preprocessing.
        settings: Name -> text, of the settings that change results.
        layers: The layers, in order.
        pictures: Number of pictures.
        problems: Picture -> why it could not be read.
        credits: Picture -> credit and license.
        versions: Package -> version.
    """

    name: str
    source: str
    hash: str
    facts: Mapping[str, str]
    settings: Mapping[str, str]
    layers: Sequence[LayerSummary]
    pictures: int
    problems: Mapping[str, str]
    credits: Mapping[str, str]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class LayerPage:
    """The page of a layer."""

    layer: LayerSummary
    units: Sequence[UnitSummary]
    histogram: Histogram | None
    previous: LayerSummary | None
    next: LayerSummary | None
    has_classes: bool


@dataclass(frozen=True)
class UnitPage:
    """The page of a unit.

    Attributes:
        layer: Its layer.
        unit: Its number.
        title, note: From `notes.toml`, or "".
        dead: Whether it responds to no picture.
        maximum, mean, minimum: Of its strongest activations over the pictures.
        sparseness, selectivity: From 0 to 1.
        best_class: Class with the greatest mean, or None.
        dropped: Number of pictures whose activation is NaN.
        field: Width of the effective receptive field in pixels, or None.
        renders: The renders, the main one first.
        groups: Dataset examples.
        crops: Path of the sprite of crops, or None.
        crop_count: Number of cells in the sprite.
        maps: Address of the maps of the strongest examples, for units of tokens; None if there are none.
        histogram: Of its activations, or None.
        believed: The data's maximum and the renders' activations.
        classes: Class -> mean activation, the greatest first.
        curves: Tuning curves.
        incoming, outgoing: Strongest weights.
        similar: The most similar units.
        previous, next: Neighbors in the layer.
        previous_layer, next_layer: Neighbors of the layer.
        credits: Credits and licenses of the photographs.
    """

    layer: LayerSummary
    unit: int
    title: str
    note: str
    dead: bool
    maximum: float | None
    mean: float | None
    minimum: float | None
    sparseness: float | None
    selectivity: float | None
    best_class: str | None
    dropped: int
    field: float | None
    renders: Sequence[Render]
    groups: Sequence[ExampleGroup]
    crops: str | None
    crop_count: int
    maps: str | None
    histogram: Histogram | None
    believed: Sequence[Believed]
    classes: Mapping[str, float]
    curves: Sequence[Curve]
    incoming: Sequence[Link]
    outgoing: Sequence[Link]
    similar: Sequence[Similar]
    previous: UnitRef | None
    next: UnitRef | None
    previous_layer: LayerSummary | None
    next_layer: LayerSummary | None
    credits: Sequence[str]

    @property
    def name(self) -> str:
        """Layer and unit, as objectives spell them."""
        return f"{self.layer.name}:{self.unit}"

    @property
    def page(self) -> str:
        """Path of its page."""
        return f"{self.layer.folder}/{self.unit}.html"
