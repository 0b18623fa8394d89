"""`lucid-port run`: what a recipe file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli.console import Device, Json, print_result


def command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: .toml or .json.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PATH", help="The picture, or the folder for several.")
    ] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Render what a recipe file says, be it a render's or a figure's; docs/recipes.md lists its keys.

    Example: lucid-port run eyes.toml -o eyes.png
    """
    from lucid_port.figures.run import Request, is_request, open_request, write
    from lucid_port.optvis.engine.devices import find_device
    from lucid_port.optvis.progress import ProgressBar
    from lucid_port.optvis.recipe_files import read_document
    from lucid_port.optvis.recipe_plan import run_document

    place = None if device is None else str(find_device(device))
    document = read_document(recipe)
    if is_request(document):
        request = Request.from_data(document)
        model = open_request(request)
        paths = list(write(request, model if place is None else model.to(place), output or Path("out"), True))
    else:
        paths = run_document(document, output, place, lambda steps: [ProgressBar(steps)])
    print_result("\n".join(map(str, paths)), {"recipe": recipe, "files": paths}, json)
