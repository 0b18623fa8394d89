"""The units of a command: the words of the grammar, and the options that change them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lucid_port.optvis.grammar import Picture
    from lucid_port.optvis.objectives import Objective

_SIGNED = re.compile(r"-(?![-o]).*[:@]")
"""A unit with a minus sign, such as `-mixed4a:45`; options have no colon in their name."""


def protected(words: Sequence[str]) -> list[str]:
    """Returns the words of a command line, with a space before units that start with a minus sign.

    Otherwise they would be read as options.

    Example:
        >>> protected(["render", "-mixed4a:45", "-o", "x.png", "--mean=0:1"])
        ['render', ' -mixed4a:45', '-o', 'x.png', '--mean=0:1']
    """
    return [f" {word}" if _SIGNED.match(word) else word for word in words]


Negative = Annotated[bool, typer.Option("--negative", help="Minimize the units, as a minus sign before each does.")]
Neuron = Annotated[bool, typer.Option("--neuron", help="Render the neuron in the middle of each channel.")]
Deepdream = Annotated[
    bool,
    typer.Option("--deepdream", help="Render whole layers: the mean of their squared activation. UNITS are layers."),
]
Diversity = Annotated[
    int | None,
    typer.Option(min=2, metavar="N", help="Render N pictures of each unit that differ in style, into a folder."),
]
Alpha = Annotated[
    bool, typer.Option("--alpha", help="Render with transparency, over random backgrounds (.png or .webp).")
]


@dataclass(frozen=True)
class Changes:
    """Options that change what is rendered for each unit; see `Negative`, `Neuron`, `Deepdream` and `Alpha`."""

    negative: bool = False
    neuron: bool = False
    deepdream: bool = False
    alpha: bool = False

    def pictures(self, words: Sequence[str]) -> list[Picture]:
        """Parses the units of a command.

        Raises:
            grammar.GrammarError: a text has another form.
            typer.BadParameter: an option does not fit a unit.
        """
        from lucid_port.optvis import grammar

        found: list[Picture] = []
        for word in words:
            text = word.strip()
            if self.deepdream and ":" not in text and "@" not in text:
                text = f"{grammar.DREAM}:{text}"
            found += grammar.parse(text)
        if self.deepdream and not all(_is_dream(picture) for picture in found):
            raise typer.BadParameter("it takes names of layers, as in mixed4a", param_hint="'--deepdream'")
        found = [_at_center(picture) for picture in found] if self.neuron else found
        return [-picture for picture in found] if self.negative else found

    def units(self, pictures: Sequence[Picture], model: Any) -> list[str | Objective]:
        """Returns the units for `render_many`, or the only one for `render_vis`."""
        if not self.alpha:
            return [str(picture) for picture in pictures]
        from lucid_port.optvis.objectives.from_text import objective_of, single_pictures
        from lucid_port.recipes.feature_visualization import transparent_objective
        from lucid_port.recipes.inputs import channels_of

        count = functools.partial(channels_of, model)
        singles = [one for picture in pictures for one in single_pictures(picture, model, count)]
        return [transparent_objective(objective_of(one, model)) for one in singles]


def _is_dream(picture: Picture) -> bool:
    from lucid_port.optvis.grammar import Dream

    return all(isinstance(term.target, Dream) for term in picture.terms)


def _at_center(picture: Picture) -> Picture:
    from lucid_port.optvis.grammar import CENTER, Channels, Picture

    terms = []
    for term in picture.terms:
        if not isinstance(term.target, Channels):
            raise typer.BadParameter(f"{picture} is not a channel, which has neurons", param_hint="'--neuron'")
        place = CENTER if term.target.place is None else term.target.place
        terms.append(replace(term, target=replace(term.target, place=place)))
    return Picture(tuple(terms))
