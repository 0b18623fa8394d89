"""What a figure is, and the catalogue of them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.errors import nearest_names
from lucid_port.optvis.engine.coerce import Model

__all__ = [
    "ARTICLES",
    "Article",
    "Figure",
    "Options",
    "Panel",
    "Result",
    "Settings",
    "Takes",
    "catalogue",
    "figure",
    "find_figure",
]


@dataclass(frozen=True)
class Article:
    """A Distill article.

    Attributes:
        title: its title.
        authors: of it.
        year: of publication.
        url: where it is.
    """

    title: str
    authors: str
    year: int
    url: str


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
    "zi": Article(
        "Zoom In: An Introduction to Circuits",
        "Chris Olah, Nick Cammarata, Ludwig Schubert, Gabriel Goh, Michael Petrov, Shan Carter",
        2020,
        "https://distill.pub/2020/circuits/zoom-in",
    ),
    "ev": Article(
        "An Overview of Early Vision in InceptionV1",
        "Chris Olah, Nick Cammarata, Ludwig Schubert, Gabriel Goh, Michael Petrov, Shan Carter",
        2020,
        "https://distill.pub/2020/circuits/early-vision",
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

OMITTED: Mapping[str, str] = {
    "dp-3d-texture": "textured models (Differentiable Image Parameterizations, figures 13 to 17) take meshes, which "
    "are others', and a renderer of surfaces. For a renderer of your own there is param.bilinearly_sampled_image.",
}
"""Figures of the articles that the catalogue has not, and why."""


@dataclass(frozen=True)
class Panel:
    """Some pictures that belong together.

    Attributes:
        pictures: [H, W, C] in [0, 1] each, of any sizes.
        captions: one for each, or none.
        title: above them.
        columns: how many stand in a row; all by default.
        scale: how many times larger each is shown, for pictures of few pixels.
    """

    pictures: Sequence[np.ndarray] | np.ndarray
    captions: Sequence[str] = ()
    title: str = ""
    columns: int | None = None
    scale: int = 1


@dataclass(frozen=True)
class Result:
    """What a figure gives.

    Attributes:
        panels: what is shown, from top to bottom.
        data: the numbers behind it, JSON-able.
    """

    panels: Sequence[Panel]
    data: Mapping[str, Any] = field(default_factory=dict)


class Options(dict[str, Any]):
    """What a figure shows by name. One that is asked for and not there is the user's to say, or of a model it knows."""

    def __missing__(self, name: str) -> Any:
        raise ValueError(
            f"The figure needs more than --units for this model: nothing says its {name!r}. Take a model that it "
            "names units for, by --model or --like; 'lucid-port figure list' prints which."
        )


@dataclass(frozen=True)
class Settings:
    """What a figure is made with.

    Attributes:
        model: the model.
        options: what the figure says of units, layers and classes for this model, with the user's own in their place.
        steps: number of updates of each picture.
        seed: of all random draws.
        image: path of the user's picture, for figures that start from one; None for the figure's own.
        fast: whether a draft will do.
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
        """What the figure shows, which its `Takes` has checked.

        Raises:
            ValueError: nothing says what it shows for this model.
        """
        return [str(unit) for unit in self.options["units"]]


Make = Callable[[Settings], Result]
Kind = Callable[[Model, str], Any]
"""From the name of a unit, a layer or a class to what it means; raises where there is none of it."""


@dataclass(frozen=True)
class Takes:
    """What the units of a figure are: how many of what.

    Attributes:
        words: for the list of figures, and for who gave others.
        kinds: what each is, in order; the last is of all that follow, too.
        least, most: how many.
        even: whether their number is.
        pairs: whether they come in pairs, of which each is given once; else each unit is.
    """

    words: str
    kinds: Sequence[Kind]
    least: int = 1
    most: int | None = None
    even: bool = False
    pairs: bool = False

    def check(self, model: Model, units: Sequence[str]) -> None:
        """Refuses units that the figure cannot be made of, before anything is rendered.

        Raises:
            ValueError: they are too few or too many, one is given twice, or one is no such thing as it should be.
            converters.LayerNotFoundError: there is no such layer.
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


@dataclass(frozen=True)
class Figure:
    """A figure of the catalogue.

    Attributes:
        name: of the command.
        title: one line.
        article: key of `ARTICLES`.
        figure: which figure of the article.
        make: makes it.
        steps: updates of each picture in the article; 0 where nothing is optimised.
        fast_steps: of a draft.
        options: model's name -> what the figure shows for it.
        fast_options: what a draft has instead.
        see: what to see in it.
        takes: what `units` of the options are; `make` refuses others.
        without: model's name -> a sentence that says why it cannot make the figure's point.
        of_picture: whether it starts from a picture, in whose place the user's may be.
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

    def options_for(self, model: str | None, fast: bool = False) -> dict[str, Any]:
        """What the figure shows for a model.

        Raises:
            ValueError: nothing is known for it; the error says for which it is, and why it is not for this one.
        """
        if model is None or model not in self.options:
            missing = f"The figure {self.name} names no units for {model}."
            why = self.without.get(model or "", "")
            choice = f"Choose one of {', '.join(self.options)}, or give --units."
            raise ValueError(" ".join(part for part in (missing, why, choice) if part))
        return {**self.options[model], **(self.fast_options if fast else {})}


_FIGURES: dict[str, Figure] = {}


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
    """Adds a function to the catalogue.

    Args:
        name: of the command; its first part is the article's key.
        title: one line.
        of: which figure of the article.
        steps: updates of each picture in the article.
        options: model's name -> units, layers and classes.
        takes: what `units` of the options are. They are checked before the function is called.
        see: what to see in it.
        fast_steps, fast_options: of a draft that takes less than a minute on two cores.
        without: model's name -> a sentence that says why it cannot make the figure's point.
        of_picture: whether it starts from a picture, in whose place the user's may be.
    """
    if name in _FIGURES:
        raise ValueError(f"Two figures are called {name!r}.")

    def decorate(make: Make) -> Make:
        article = name.split("-")[0]

        @functools.wraps(make)
        def checked(settings: Settings) -> Result:
            if "units" in settings.options:  # some figures show groups of their own where there are none
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
    """All figures by name, in the order of the articles."""
    package = importlib.import_module("lucid_port.figures.distill")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    order = list(ARTICLES)
    return dict(sorted(_FIGURES.items(), key=lambda item: order.index(item[1].article)))


def find_figure(name: str) -> Figure:
    """A figure by its name.

    Raises:
        ValueError: there is none of this name; the error offers the nearest.
    """
    if name in OMITTED:
        raise ValueError(f"The figure {name} is left out: {OMITTED[name]}")
    found = catalogue().get(name)
    if found is None:
        hint = nearest_names(name, catalogue()) or " 'lucid-port figure list' prints their names."
        raise ValueError(f"No figure is called {name!r}.{hint}")
    return found
