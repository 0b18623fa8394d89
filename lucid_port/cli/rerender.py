"""`lucid-port rerender`: renders a picture again from the recipe that it carries."""

from __future__ import annotations

import os
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import Device, Json, Quiet, print_result
from lucid_port.misc.threads import torch_threads


@sources.takes_options
def command(
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="Picture written by lucid-port, or its .json file.")
    ],
    opening: sources.ModelOptions,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PATH", help="Picture to write; by default it is only compared."),
    ] = None,
    model: sources.Model_ = None,
    device: Device = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of other settings.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Render a picture again from its recipe and compare the two.

    On the same processor, with the same versions and number of threads, the pictures are equal bit for bit. Elsewhere
    the initial image and all random draws are the same, but rounding differs.

    Examples: lucid-port rerender eyes.png -o again.png

    lucid-port rerender conv2/conv2_0003.png --model networks:small
    """
    import numpy as np

    from lucid_port.optvis.engine.devices import find_device
    from lucid_port.optvis.engine.diagnostics import failed_at, refuse_failed
    from lucid_port.optvis.progress import ProgressBar
    from lucid_port.optvis.recipe_files import (
        OUTPUTS,
        check_output,
        compare_pictures,
        read_recipe,
        refuse_another,
        save_picture,
    )

    if output is not None:
        check_output(output)
    recipe = read_recipe(picture)
    if output is not None and not overwrite:
        refuse_another(output, recipe)
    place = find_device(device or "cpu")
    used = sources.open_for_recipe(model, recipe, opening.given())
    if output is not None:
        check_output(output, used.image_shape[-1])
    threads = recipe.made_with.get("threads")
    # The number of threads decides how sums are rounded. A recipe may name more than this machine can start.
    same_threads = nullcontext() if threads is None else torch_threads(min(threads, os.cpu_count() or 1))
    with closing(ProgressBar(recipe.steps)) as bar, same_threads:
        again, losses = recipe.render_with_losses(used, device=place, callbacks=[bar])
        differences = list(recipe.differences(place))
    failed = {str(picture): failed_at(losses, again)}
    if not np.isfinite(again).all():
        refuse_failed(failed)
    is_picture = picture.suffix.lower() in OUTPUTS
    compared = compare_pictures(picture, again) if is_picture else None
    lines = [f"{picture}: {compared or 'a recipe alone, with no picture to compare with'}"]
    if output is not None:
        save_picture(again, output, recipe)
        lines.insert(0, f"{output}: {recipe.steps} steps")
    facts = {
        "picture": picture,
        "output": output,
        "steps": recipe.steps,
        "compared": compared,
        "differences": differences,
    }
    print_result("\n".join([*lines, *differences]), facts, json)
    refuse_failed(failed)
