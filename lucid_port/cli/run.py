"""`lucid-port run`: renders a recipe file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import (
    Constants,
    Device,
    InputName,
    Json,
    Layout,
    Outputs,
    Quiet,
    files_options,
    print_result,
)
from lucid_port.cli.figure import make_figure


def command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file, .toml or .json.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PATH", help="Picture to write, or folder for several.")
    ] = None,
    model: sources.Model_ = None,
    torchvision: sources.Torchvision = None,
    timm: sources.Timm = None,
    huggingface: sources.Huggingface = None,
    weights: sources.Weights = None,
    value_range: sources.ValueRange = None,
    mean: sources.Mean = None,
    std: sources.Std = None,
    image_shape: sources.ImageShape = None,
    bgr: sources.BGR = None,
    input_name: InputName = None,
    constants: Constants = None,
    layout: Layout = None,
    outputs: Outputs = None,
    device: Device = None,
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
    from lucid_port.optvis.progress import ProgressBar
    from lucid_port.optvis.recipe import missing_model
    from lucid_port.optvis.recipe_files import read_document
    from lucid_port.optvis.recipe_plan import run_document

    place = None if device is None else str(find_device(device))
    document = read_document(recipe)
    given = {
        **sources.stated_by(value_range, mean, std, image_shape, bgr),
        **files_options(input_name, constants, layout, outputs),
    }
    if is_request(document):
        if model is not None or any(value is not None for value in given.values()):
            raise typer.BadParameter(
                "--model and its options are for recipes of pictures: a figure's recipe names its model itself."
            )
        request = Request.from_data(document)
        with offline(missing_model(request.model)):
            paths = make_figure(request, output or Path("out"), place)
    else:
        used = sources.open_for_document(model, document, given)
        paths = run_document(document, output, place, lambda steps: [ProgressBar(steps)], used)
    print_result("\n".join(map(str, paths)), {"recipe": recipe, "files": paths}, json)
