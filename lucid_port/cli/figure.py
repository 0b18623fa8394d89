"""`lucid-port figure`: makes a figure of a Distill article."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import (
    Device,
    Json,
    LogDir,
    Quiet,
    Seed,
    check_log,
    model_names,
    names_in,
    print_result,
    print_table,
)
from lucid_port.cli.limits import limited

if TYPE_CHECKING:
    from lucid_port.figures.options import FigureOptions
    from lucid_port.figures.run import Request
    from lucid_port.modelzoo.vision_base import Model


def figure_names(incomplete: str) -> list[str]:
    """Returns the figures whose names start with a text, for shell completion."""
    from lucid_port.figures.base import catalogue

    return [name for name in ("list", *catalogue()) if name.startswith(incomplete)]


@sources.takes_options
def command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of the figure, or 'list'.", autocompletion=figure_names),
    ],
    opening: sources.ModelOptions,
    model: Annotated[
        str,
        typer.Option(
            metavar="SOURCE", help="The model: a name, a file, or module:function.", autocompletion=model_names
        ),
    ] = "InceptionV1",
    like: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="For a model from a file: take preprocessing and units from this model."),
    ] = None,
    units: Annotated[
        str | None, typer.Option(metavar="UNITS", help="Units in place of the figure's own, comma-separated.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Picture for figures that start from one.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates of each picture; by default as in the article.")
    ] = None,
    seed: Seed = 0,
    fast: Annotated[bool, typer.Option("--fast", help="Make a draft, in less than a minute on two cores.")] = False,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write to.")] = Path(
        "figures"
    ),
    device: Device = None,
    log_dir: LogDir = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a figure of a Distill article.

    Writes a picture, a page and a recipe.

    Examples: lucid-port figure list

    lucid-port figure fv-channel --model InceptionV1_caffe --fast -o figures

    lucid-port figure fv-channel --timm resnet18 --units layer3.1.add:5 --fast -o figures
    """
    from lucid_port.figures.base import ARTICLES, catalogue, find_figure
    from lucid_port.figures.run import Request

    if name == "list":
        rows = [
            (one.name, ARTICLES[one.article].title, one.title, one.takes.words, ", ".join(one.options))
            for one in catalogue().values()
        ]
        columns = ("name", "article", "shows", "--units takes", "units named for")
        print_table(columns, rows, json, brief=(columns[:3], [row[:3] for row in rows]))
        return
    find_figure(name)  # a wrong name fails before the model is opened
    options: FigureOptions | None = None if units is None else {"units": names_in(units)}
    if options == {"units": []}:
        raise typer.BadParameter("it names no unit", param_hint="'--units'")
    request = Request(name, model, like, options, steps, seed, None if image is None else str(image.absolute()), fast)
    paths = make_figure(request, output, device, opening, log_dir)
    print_result("\n".join(map(str, paths)), {"figure": name, "files": paths}, json)


def make_figure(
    request: Request, output: Path, device: str | None, opening: sources.ModelOptions, log_dir: Path | None = None
) -> list[Path]:
    """Makes a figure on a device, or on the CPU by default, and returns the files written to the folder.

    Raises:
        typer.BadParameter: `like` is given beside options of the model, which it replaces.
    """
    from converters.atomic import check_writable
    from lucid_port.figures.run import check_picture, open_request, write
    from lucid_port.optvis.engine.devices import find_device

    place = find_device(device or "cpu")  # a wrong name or folder fails before the model is opened
    check_writable(output / f"{request.figure}.png")
    check_log(log_dir)
    if request.like is None:
        check_picture(request)
        model = _open(request, opening)
    elif opening.given():
        raise typer.BadParameter("--like takes the inputs of another model: give it without options of the model.")
    else:
        model = open_request(request)
    made = write(_limited(request), model.to(place), output, verbose=True, opening=opening.words(), log_dir=log_dir)
    return list(made)


def _limited(request: Request) -> Request:
    """Returns a request with the number of updates that `LUCID_PORT_MOST_STEPS` allows."""
    from lucid_port.figures.base import find_figure

    figure = find_figure(request.figure)
    steps = request.steps or (figure.fast_steps if request.fast else figure.steps)
    most = limited(steps)
    return request if most == steps else replace(request, steps=most)


def _open(request: Request, opening: sources.ModelOptions) -> Model:
    """Opens the model of a figure.

    Raises:
        FileNotFoundError: its weights are missing; the error names models at hand that can make the figure.
    """
    from lucid_port.modelzoo.catalogue import catalogue

    try:
        return opening.model(request.model)
    except FileNotFoundError as error:
        there = _at_hand(request.figure) if request.model in catalogue() else []
        if not there:
            raise
        others = f" ({', '.join(there[1:])} can make it, too)" if len(there) > 1 else ""
        raise FileNotFoundError(
            f"The weights of {request.model} are not on this machine and cannot be downloaded. A model at hand makes "
            f"this figure with units of its own{others}: lucid-port figure {request.figure} --model {there[0]}. "
            f"lucid-port models {request.model} says how to get the weights."
        ) from error


def _at_hand(name: str) -> list[str]:
    """Models whose weights are on this machine and that have units for a figure; trained ones first."""
    from lucid_port.figures.base import find_figure
    from lucid_port.modelzoo.catalogue import catalogue
    from lucid_port.modelzoo.files import local_graph

    known = [catalogue()[model] for model in find_figure(name).options if model in catalogue()]
    trained = [entry.name for entry in known if local_graph(entry) is not None]
    return [*trained, *(entry.name for entry in known if entry.generator and entry.name not in trained)]
