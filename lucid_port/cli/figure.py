"""`lucid-port figure`: a figure of a Distill article."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli.console import Device, Json, Seed, model_names, print_result, print_table


def figure_names(incomplete: str) -> list[str]:
    """Names of figures that begin so, for completion by the shell."""
    from lucid_port.figures.base import catalogue

    return [name for name in ("list", *catalogue()) if name.startswith(incomplete)]


def command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The figure, or 'list' for all of them.", autocompletion=figure_names),
    ],
    model: Annotated[
        str,
        typer.Option(help="A model's name, a frozen graph, or a converted folder.", autocompletion=model_names),
    ] = "InceptionV1",
    like: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Feed a model from a file as this one, and take its units.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(metavar="UNITS", help="Own units in place of the figure's, with commas between.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Own picture, for figures that start from one.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates of each picture; the article's by default.")] = None,
    seed: Seed = 0,
    fast: Annotated[bool, typer.Option("--fast", help="A draft, in less than a minute on two cores.")] = False,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write to.")] = Path(
        "figures"
    ),
    device: Device = None,
    json: Json = False,
) -> None:
    """Make a figure of a Distill article: a picture, a page and its recipe.

    Examples: lucid-port figure list

    lucid-port figure fv-channel --model InceptionV1_caffe --fast -o figures
    """
    from lucid_port.figures.base import ARTICLES, catalogue, find_figure
    from lucid_port.figures.run import Request, open_request, write
    from lucid_port.optvis.engine.devices import find_device

    if name == "list":
        rows = [
            (one.name, ARTICLES[one.article].title, one.title, one.takes.words, ", ".join(one.options))
            for one in catalogue().values()
        ]
        print_table(("name", "article", "shows", "--units takes", "units named for"), rows, json)
        return
    find_figure(name)  # a wrong name fails before the model is opened
    options = None if units is None else {"units": _split(units)}
    request = Request(name, model, like, options, steps, seed, None if image is None else str(image.absolute()), fast)
    place = None if device is None else find_device(device)
    opened = open_request(request)
    paths = write(request, opened if place is None else opened.to(place), output, verbose=True)
    print_result("\n".join(map(str, paths)), {"figure": name, "files": list(paths)}, json)


def _split(units: str) -> list[str]:
    own = [unit.strip() for unit in units.split(",") if unit.strip()]
    if not own:
        raise typer.BadParameter("it names no unit", param_hint="'--units'")
    return own
