"""`lucid-port rerender`: a picture again, from the recipe that it carries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli.console import Device, Json, print_result


def command(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A picture that lucid-port wrote, or its .json.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PATH", help="Write it there; else it is only compared.")
    ] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Make a picture again from its recipe, and say how it compares.

    On the same processor, versions and number of threads, every bit is the same. Elsewhere it starts from the same
    image with the same draws, and rounding does the rest.

    Example: lucid-port rerender eyes.png -o again.png
    """
    import torch

    from lucid_port.misc.io.saving import check_picture_path
    from lucid_port.optvis.engine.devices import find_device
    from lucid_port.optvis.progress import ProgressBar
    from lucid_port.optvis.recipe_files import PICTURES, compare_pictures, read_recipe, save_picture

    if output is not None:
        check_picture_path(output)
    recipe = read_recipe(picture)
    place = find_device(device or "cpu")
    before, threads = torch.get_num_threads(), recipe.made_with.get("threads")
    bar = ProgressBar(recipe.steps)
    try:
        if isinstance(threads, int) and threads > 0:
            torch.set_num_threads(threads)  # sums are split among them, which decides their last bits
        again = recipe.render(device=place, callbacks=[bar])
        differences = list(recipe.differences(place))
    finally:
        bar.close()
        torch.set_num_threads(before)
    is_picture = picture.suffix.lower() in PICTURES
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
