"""`lucid-port render`: renders units of a model as pictures."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lucid_port.cli import sources
from lucid_port.cli.completion import unit_names
from lucid_port.cli.console import (
    Constants,
    InputName,
    Json,
    Layout,
    Outputs,
    Quiet,
    Seed,
    Source,
    files_options,
    print_result,
    remarks,
)

if TYPE_CHECKING:
    from lucid_port.modelzoo.vision_base import Model

Result = tuple[str, dict[str, Any]]
"""A sentence for people, and its facts for scripts."""


def layer_names(context: typer.Context, incomplete: str) -> list[str]:
    """Layers and classes of a model of the catalogue, for shell completion."""
    return unit_names(str(context.params.get("source")), incomplete)


Units = Annotated[
    str,
    typer.Argument(
        metavar="LAYER:UNITS",
        autocompletion=layer_names,
        help="Layer and channel numbers: 'LAYER:3', 'LAYER:3,7,20-25', or 'LAYER:*' for all channels.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="Picture to write (.png, .jpg, .webp, or .npy for any number of channels), or folder for several.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        min=1, help="Height and width of the picture in pixels: 128, or the network's own size if it takes no other."
    ),
]
Transforms = Annotated[bool, typer.Option(help="Jitter, scale and rotate the picture in each step, as Lucid does.")]
Devices = Annotated[
    str | None, typer.Option(help="cpu, cuda (for several units: all GPUs), cuda:1, mps, ...; the CPU by default.")
]
Sheet = Annotated[bool, typer.Option("--sheet", help="Write one picture of all, sheet.png, in place of a file each.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Pictures in a batch; by default as many as fit in memory.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the folder's pictures instead of resuming.")]


def command(
    source: Source,
    units: Units,
    output: Output,
    size: Size = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of updates; the default is Lucid's.")] = 513,
    lr: Annotated[float, typer.Option(help="Learning rate of Adam.")] = 0.05,
    seed: Seed = 0,
    transforms: Transforms = True,
    device: Devices = None,
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
    sheet: Sheet = False,
    batch_size: BatchSize = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Render pictures that maximize channels of a layer.

    Uses Lucid's default settings. Several pictures go into a folder, with a list of them (manifest.json). If a run is
    interrupted, the same command resumes it.

    Examples: lucid-port render InceptionV1_caffe inception_4a_output:300 -o eyes.png

    lucid-port render InceptionV1_caffe 'inception_4a_output:*' -o 4a --sheet

    lucid-port render --torchvision resnet50 layer4.1.add:7 -o unit.png

    lucid-port render networks:small 'conv2:0-7' -o conv2 --value-range=0,1
    """
    from lucid_port.optvis.engine.devices import find_device
    from lucid_port.optvis.engine.diagnostics import refuse_failed
    from lucid_port.optvis.optimizer import TFAdam
    from lucid_port.optvis.recipe_files import check_output

    many = _wants_folder(units, output)
    if not many:
        check_output(output)
        _refuse_folder_options(sheet=sheet, batch_size=batch_size, overwrite=overwrite)
    place = find_device(device or "cpu")
    model = sources.open_to_render(
        source,
        units,
        value_range=value_range,
        mean=mean,
        std=std,
        image_shape=image_shape,
        is_BGR=bgr,
        **files_options(input_name, constants, layout, outputs),
    ).to(place)
    options: dict[str, Any] = {
        "optimizer": lambda parameters: TFAdam(parameters, lr=lr),
        "transforms": None if transforms else [],
        "seed": seed,
    }
    render = functools.partial(_render_many, sheet=sheet, batch_size=batch_size, overwrite=overwrite, device=device)
    with remarks(json):
        sentence, facts = (render if many else _render_one)(model, units, output, size, steps, options)
    facts = {"output": output, "units": units, "size": size, "steps": steps, "seed": seed, **facts}
    print_result(sentence, facts, json)
    if facts.get("unfinished"):
        raise KeyboardInterrupt
    refuse_failed(facts["failed"])


def _wants_folder(text: str, output: Path) -> bool:
    """Whether to write a folder: there are several units, or the path has no extension or is a folder.

    Raises:
        ValueError: there are several units, but the path is a picture's.
    """
    from lucid_port.optvis.many.unit_spec import names_several
    from lucid_port.optvis.recipe_files import OUTPUTS

    several = names_several(text)
    if several and output.suffix.lower() in OUTPUTS and not output.is_dir():
        raise ValueError(f"{text!r} names several units, which do not fit into the picture {output}: give a folder.")
    return several or output.is_dir() or not output.suffix


def _refuse_folder_options(**options: object) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        name = given[0].replace("_", "-")
        raise typer.BadParameter(f"--{name} is for folders: give a folder, or leave the option out for one picture.")


def _render_one(
    model: Model, objective: str, output: Path, size: int | None, steps: int, options: dict[str, Any]
) -> Result:
    import numpy as np

    from lucid_port.optvis import render
    from lucid_port.optvis.engine.diagnostics import refuse_failed
    from lucid_port.optvis.engine.formats import square
    from lucid_port.optvis.progress import ProgressBar
    from lucid_port.optvis.recipe_files import check_output
    from lucid_port.recipes.inputs import named_unit

    named_unit(model, objective)  # a wrong name or number fails before the render
    check_output(output, model.image_shape[-1])
    pictures = render.render_vis(
        model,
        objective,
        None if size is None else lambda: square(model, size).image(),
        thresholds=(steps - 1,),
        verbose=False,
        callbacks=[ProgressBar(steps)],
        **options,
    )
    if not pictures:
        raise KeyboardInterrupt
    if pictures.vis.format.note:
        typer.echo(pictures.vis.format.note)
    failed = {} if pictures.failed_at is None else {objective: pictures.failed_at}
    if np.isfinite(pictures[-1]).all():
        pictures.save(output)
    else:
        refuse_failed(failed)
    reached = float(pictures.losses[-1])
    height, width = pictures[-1].shape[1:3]
    sentence = f"{output}: {objective}, {height}x{width}, {pictures.steps} steps, objective {reached:.2f}"
    return sentence, {"steps": pictures.steps, "objective": reached, "size": _size(height, width), "failed": failed}


def _size(height: int, width: int) -> int | list[int]:
    return height if height == width else [height, width]


def _render_many(
    model: Model,
    units: str,
    output: Path,
    size: int | None,
    steps: int,
    options: dict[str, Any],
    *,
    device: str | None,
    **folder_options: Any,
) -> Result:
    from lucid_port.optvis.render_many import render_many

    renders = render_many(
        model,
        units,
        size=size,
        steps=steps,
        output=output,
        devices=None if device is None or device == "cuda" else [device],
        **folder_options,
        **options,
    )
    height, width = renders.size
    done = {"pictures": [one.path for one in renders], "reused": renders.reused, "size": _size(height, width)}
    done["failed"] = renders.failed
    if renders.interrupted:
        left = renders.asked - len(renders)
        sentence = f"{output}: {len(renders)} of {renders.asked} units; the same command resumes it"
        return sentence, {**done, "unfinished": left}
    place = renders[0].path if folder_options["sheet"] else output
    there = f", {renders.reused} of them were there" if renders.reused else ""
    count = f"{renders.asked} unit{'s' * (renders.asked != 1)}"
    return f"{place}: {count} of {units}, {height}x{width}, {steps} steps{there}", {**done, "unfinished": 0}
