"""Figures, their parts, and their catalogue."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters import checks
from converters.errors import nearest_names
from converters.signatures import checked
from lucid_port.optvis.engine.coerce import Model

__all__ = [
    "ARTICLES",
    "Article",
    "Figure",
    "Head",
    "Options",
    "Panel",
    "Result",
    "Settings",
    "Table",
    "Takes",
    "catalogue",
    "figure",
    "find_figure",
]


@checked
@dataclass(frozen=True)
class Article:
    """A Distill article.

    Attributes:
        title: title.
        authors: names, separated by commas.
        year: year of publication.
        url: address.
    """

    title: str
    authors: str
    year: int
    url: str


CIRCUITS = "Chris Olah, Nick Cammarata, Ludwig Schubert, Gabriel Goh, Michael Petrov, Shan Carter"
ARTICLES: Mapping[str, Article] = {
    "fv": Article(
        "Feature Visualization",
        "Chris Olah, Alexander Mordvintsev, Ludwig Schubert",
        2017,
        "https://distill.pub/2017/feature-visualization",
    ),
    "bb": Article(
        "The Building Blocks of Interpretability",
        "Chris Olah, Arvind Satyanarayan, Ian Johnson, Shan Carter, Ludwig Schubert, Katherine Ye, "
        "Alexander Mordvintsev",
        2018,
        "https://distill.pub/2018/building-blocks",
    ),
    "dp": Article(
        "Differentiable Image Parameterizations",
        "Alexander Mordvintsev, Nicola Pezzotti, Ludwig Schubert, Chris Olah",
        2018,
        "https://distill.pub/2018/differentiable-parameterizations",
    ),
    "aa": Article(
        "Activation Atlas",
        "Shan Carter, Zan Armstrong, Ludwig Schubert, Ian Johnson, Chris Olah",
        2019,
        "https://distill.pub/2019/activation-atlas",
    ),
    "zi": Article("Zoom In: An Introduction to Circuits", CIRCUITS, 2020, "https://distill.pub/2020/circuits/zoom-in"),
    "ev": Article(
        "An Overview of Early Vision in InceptionV1", CIRCUITS, 2020, "https://distill.pub/2020/circuits/early-vision"
    ),
    "cd": Article(
        "Curve Detectors",
        "Nick Cammarata, Gabriel Goh, Shan Carter, Ludwig Schubert, Michael Petrov, Chris Olah",
        2020,
        "https://distill.pub/2020/circuits/curve-detectors",
    ),
    "cc": Article(
        "Curve Circuits",
        "Nick Cammarata, Gabriel Goh, Shan Carter, Chelsea Voss, Ludwig Schubert, Chris Olah",
        2021,
        "https://distill.pub/2020/circuits/curve-circuits",
    ),
    "fe": Article(
        "High-Low Frequency Detectors",
        "Ludwig Schubert, Chelsea Voss, Nick Cammarata, Gabriel Goh, Chris Olah",
        2021,
        "https://distill.pub/2020/circuits/frequency-edges",
    ),
    "vw": Article(
        "Visualizing Weights",
        "Chelsea Voss, Nick Cammarata, Gabriel Goh, Michael Petrov, Ludwig Schubert, Ben Egan, Swee Kiat Lim, "
        "Chris Olah",
        2021,
        "https://distill.pub/2020/circuits/visualizing-weights",
    ),
}


@checked
@dataclass(frozen=True)
class Head:
    """The head of a row or a column: a text, a picture, or a picture above its text.

    Attributes:
        text: a few words; a row's head breaks them into lines.
        picture: [H, W, C] in [0, 1].
    """

    text: str = ""
    picture: np.ndarray | None = None


@checked
@dataclass(frozen=True)
class Panel:
    """A group of pictures.

    Attributes:
        pictures: [H, W, C] in [0, 1] each; sizes may differ.
        captions: one for each picture, or empty.
        title: text above the pictures.
        columns: number of pictures in a row; all by default.
        scale: whole factor by which the pictures are enlarged, for pictures of few pixels.
    """

    pictures: Sequence[np.ndarray] | np.ndarray
    captions: Sequence[str] = ()
    title: str = ""
    columns: int | None = None
    scale: int = 1


@checked
@dataclass(frozen=True)
class Table(Panel):
    """A panel whose columns and rows have heads.

    Attributes:
        pictures, captions, title, columns, scale: as for `Panel`.
        heads: one for each column, or empty.
        sides: the heads of the rows, left of them, or empty.
        framed: numbers of the pictures with a thin frame.

    Example:
        >>> gray = np.full((8, 8, 3), 0.5)
        >>> sides = [Head("mixed4a:1", gray), "mixed4b:2"]
        >>> table = Table([gray] * 4, columns=2, heads=["no blur", "blur"], sides=sides)
        >>> table.columns, table.framed
        (2, ())
    """

    heads: Sequence[str | Head] = ()
    sides: Sequence[str | Head] = ()
    framed: Sequence[int] = ()


@checked
@dataclass(frozen=True)
class Result:
    """The result of making a figure.

    Attributes:
        panels: the panels, from top to bottom.
        data: the numbers of the figure, which can be written as JSON.
        files: ending, such as "-turning.webp" -> a function that writes a further file of the figure to a path.

    Example:
        >>> Result([Panel([np.zeros((8, 8, 3))], ["black"])], {"mean": 0.0}).data
        {'mean': 0.0}
    """

    panels: Sequence[Panel]
    data: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)


class Options(dict[str, Any]):
    """Options of a figure by name. A missing option raises an error that tells how to supply it.

    Example:
        >>> Options(units=["mixed3a:1"])["units"]
        ['mixed3a:1']
    """

    def __missing__(self, name: str) -> Any:
        raise ValueError(
            f"The figure needs more than --units for this model: its option {name!r} is missing. Name a model that the "
            "figure has options for by --model or --like; 'lucid-port figure list' prints them."
        )


@checked
@dataclass(frozen=True)
class Settings:
    """The settings with which a figure is made.

    Attributes:
        model: the model.
        options: the figure's units, layers and other options for this model, overridden by the user's.
        steps: number of updates of each picture.
        seed: seed of all random draws.
        image: path of the user's picture, for figures that start from a picture; None for the figure's own.
        fast: make a draft.
        verbose: show progress.
    """

    model: Model
    options: Mapping[str, Any]
    steps: int
    seed: int = 0
    image: str | None = None
    fast: bool = False
    verbose: bool = False

    @property
    def units(self) -> list[str]:
        """The units of the figure.

        Raises:
            ValueError: the options name no units.
        """
        return [str(unit) for unit in self.options["units"]]


Make = Callable[[Settings], Result]
Kind = Callable[[Model, str], Any]
"""A function that resolves the name of a unit, a layer or a class, and raises an error if it does not exist."""


@checked
@dataclass(frozen=True)
class Takes:
    """Number and kinds of the units of a figure.

    Attributes:
        words: description, for the list of figures and for error messages.
        kinds: kind of each unit, in order; the last kind applies to all following units.
        least, most: bounds of the number of units.
        even: require an even number.
        pairs: units come in pairs, and each pair may occur once; otherwise, each unit may occur once.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> from lucid_port.recipes.inputs import named_unit
        >>> Takes("two units, layer:channel", [named_unit], least=2, most=2).check(TinyInceptionV1(), ["mixed3a:1"])
        Traceback (most recent call last):
        ValueError: The figure takes two units, layer:channel; 1 given: mixed3a:1.
    """

    words: str
    kinds: Sequence[Kind]
    least: int = 1
    most: int | None = None
    even: bool = False
    pairs: bool = False

    @checked
    def check(self, model: Model, units: Sequence[str]) -> None:
        """Checks units before anything is rendered.

        Raises:
            ValueError: there are too few or too many units, a unit occurs twice, or a unit is of the wrong kind.
            converters.LayerNotFoundError: a layer does not exist.
        """
        count = len(units)
        uneven = (self.even or self.pairs) and count % 2
        if count < self.least or (self.most is not None and count > self.most) or uneven:
            raise ValueError(f"The figure takes {self.words}; {count} given: {', '.join(units) or 'none'}.")
        kinds = [*self.kinds, *[self.kinds[-1]] * count]
        meant = [kind(model, unit) for kind, unit in zip(kinds, units, strict=False)]
        if not self.pairs:
            _each_once(units, meant)
            return
        for start in range(0, count, 2):
            _each_once(units[start : start + 2], meant[start : start + 2])
        names = [f"the pair {first}, {second}" for first, second in zip(units[::2], units[1::2], strict=True)]
        _each_once(names, list(zip(meant[::2], meant[1::2], strict=True)))


def _each_once(names: Sequence[str], meant: Sequence[Any]) -> None:
    for number, (name, one) in enumerate(zip(names, meant, strict=True)):
        if one in meant[:number]:
            first = names[meant.index(one)]
            how = "is given twice" if name == first else f"is {first} again"
            raise ValueError(f"The figure takes each unit once: {name} {how}.")


@checked
@dataclass(frozen=True)
class Figure:
    """A figure of the catalogue.

    Attributes:
        name: name on the command line.
        title: one line.
        article: key in `ARTICLES`.
        figure: which figure of the article it reproduces.
        make: function that makes it.
        steps: updates of each picture in the article; 0 if nothing is optimized.
        fast_steps: updates of each picture in a draft.
        options: model's name -> options of the figure for this model.
        fast_options: options that override `options` in a draft.
        see: description of the figure.
        takes: number and kinds of the units in the option `units`; `make` checks them.
        without: model's name -> a sentence that says why the figure has no options for this model.
        of_picture: whether the figure starts from a picture. The user can pass another picture.
    """

    name: str
    title: str
    article: str
    figure: str
    make: Make
    steps: int
    fast_steps: int
    options: Mapping[str, Mapping[str, Any]]
    fast_options: Mapping[str, Any]
    see: str
    takes: Takes
    without: Mapping[str, str] = field(default_factory=dict)
    of_picture: bool = False

    @checked
    def options_for(self, model: str | None, fast: bool = False) -> dict[str, Any]:
        """The options for a model.

        Raises:
            ValueError: the figure has no options for it. The error gives the reason, and the models that have options.
        """
        if model is None or model not in self.options:
            missing = f"The figure {self.name} names no units for {model}."
            why = self.without.get(model or "", "")
            choice = f"Choose one of {', '.join(self.options)}, or pass --units."
            raise ValueError(" ".join(part for part in (missing, why, choice) if part))
        return {**self.options[model], **(self.fast_options if fast else {})}


_FIGURES: dict[str, Figure] = {}


@checked
def figure(
    name: str,
    title: str,
    *,
    of: str,
    steps: int,
    options: Mapping[str, Mapping[str, Any]],
    takes: Takes,
    see: str,
    fast_steps: int = 64,
    fast_options: Mapping[str, Any] | None = None,
    without: Mapping[str, str] | None = None,
    of_picture: bool = False,
) -> Callable[[Make], Make]:
    """Decorates a function that makes a figure, and registers the figure in the catalogue.

    Args:
        name: name on the command line; the part before the first hyphen is the article's key.
        title: one line.
        of: which figure of the article it reproduces.
        steps: updates of each picture in the article.
        options: model's name -> units, layers and other options.
        takes: number and kinds of the units in the option `units`, checked before the function is called.
        see: description of the figure.
        fast_steps, fast_options: steps and options of a draft, which takes less than a minute on two cores.
        without: model's name -> a sentence that says why the figure has no options for this model.
        of_picture: whether the figure starts from a picture. The user can pass another picture.

    Raises:
        ValueError: the name is taken.
    """
    if name in _FIGURES:
        raise ValueError(f"Two figures are called {name!r}.")

    def decorate(make: Make) -> Make:
        article = name.split("-")[0]

        @functools.wraps(make)
        def checked(settings: Settings) -> Result:
            if "units" in settings.options:  # some figures have groups of units instead
                takes.check(settings.model, settings.units)
            return make(settings)

        _FIGURES[name] = Figure(
            name=name,
            title=title,
            article=article,
            figure=of,
            make=checked,
            steps=steps,
            fast_steps=fast_steps,
            options=options,
            fast_options=dict(fast_options or {}),
            see=see,
            takes=takes,
            without=dict(without or {}),
            of_picture=of_picture,
        )
        return checked

    return decorate


@functools.cache
def catalogue() -> Mapping[str, Figure]:
    """All figures by name, in the order of the articles.

    Example:
        >>> catalogue()["fv-channel"].article
        'fv'
    """
    package = importlib.import_module("lucid_port.figures.distill")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    order = list(ARTICLES)
    return dict(sorted(_FIGURES.items(), key=lambda item: order.index(item[1].article)))


@checked
def find_figure(name: str) -> Figure:
    """A figure by its name.

    Raises:
        ValueError: no figure has this name; the error suggests similar names.

    Example:
        >>> find_figure("fv-channel").takes.words
        'units, layer:channel'
    """
    found = catalogue().get(name)
    if found is None:
        hint = nearest_names(name, catalogue()) or " 'lucid-port figure list' prints their names."
        raise ValueError(f"No figure is called {checks.shown(name)}.{hint}")
    return found
