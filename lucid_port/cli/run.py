"""`lucid-port run`: renders a recipe file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import Device, Json, LogDir, Quiet, check_log, print_result
from lucid_port.cli.figure import make_figure
from lucid_port.cli.limits import limited
from lucid_port.modelzoo.library_sources import names_function


@sources.takes_options
def command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file, .toml or .json.")],
    opening: sources.ModelOptions,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PATH", help="Picture to write, or folder for several.")
    ] = None,
    model: sources.Model_ = None,
    device: Device = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture of other settings.")] = False,
    log_dir: LogDir = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Render a recipe file, of a render or of a figure.

    docs/recipes.md lists its keys.

    Example: lucid-port run eyes.toml -o eyes.png
    """
    from lucid_port.figures.run import Request, is_request
    from lucid_port.misc.offline import offline
    from lucid_port.optvis.engine.devices import find_device
    from lucid_port.optvis.progress import ProgressBar, TensorBoardLog, logged
    from lucid_port.optvis.recipe import is_recipe, missing_model
    from lucid_port.optvis.recipe_files import read_document
    from lucid_port.optvis.recipe_plan import run_document

    place = None if device is None else str(find_device(device))
    document = read_document(recipe)
    check_log(log_dir)
    if is_request(document):
        request = Request.from_data(document)
        if model is not None:
            request = replace(request, model=model)
        elif names_function(request.model):
            raise ValueError(f"The recipe names the function {request.model}: give it with --model to run its code.")
        with offline(missing_model(request.model)):
            paths = make_figure(request, output or Path("out"), place, opening, log_dir)
    else:
        used = sources.open_for_document(model, document, opening.given())
        # A plan's renders are logged in the block; the recipe of a picture is a render of its own.
        logs = [] if log_dir is None or not is_recipe(document) else [TensorBoardLog(log_dir / recipe.stem)]
        with logged(log_dir):
            paths = run_document(
                _limited(document), output, place, lambda steps: [ProgressBar(steps), *logs], used, overwrite
            )
    print_result("\n".join(map(str, paths)), {"recipe": recipe, "files": paths}, json)


def _limited(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a document with the number of updates that `LUCID_PORT_MOST_STEPS` allows."""
    from lucid_port.optvis.render_many import STEPS

    steps = document.get("steps", STEPS)
    return {**document, "steps": limited(steps)} if type(steps) is int else document
