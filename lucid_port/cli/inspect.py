"""`lucid-port inspect`: writes a page that shows the inside of a network for a picture."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import Device, Json, Quiet, Seed, Source, names_in, print_result, remarks
from lucid_port.cli.limits import limited

if TYPE_CHECKING:
    from lucid_port.inspection import Inspection

Photo = Annotated[Path, typer.Argument(metavar="PHOTO", help="Picture to look at, resized and cropped as in training.")]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="UNIT",
        help="Unit of the gradients: a label, 'LAYER:LABEL', 'LAYER:NUMBER' or 'LAYER:NUMBER[ROW,COLUMN]'; default: "
        "top class.",
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(metavar="NAME,...", help="Layers; by default Lucid's list, or the outputs of blocks."),
]
Channels = Annotated[int, typer.Option(min=1, help="Channels of each layer on the page.")]
Icons = Annotated[bool, typer.Option("--icons", help="Also render these channels.")]
IconSteps = Annotated[int | None, typer.Option(min=1, help="Updates of each render of --icons; 64 by default.")]
Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="PATH", help="Page to write: a .html file, or a folder.")
]


@sources.takes_options
def command(
    source: Source,
    photo: Photo,
    opening: sources.ModelOptions,
    target: Target = None,
    layers: Layers = None,
    channels: Channels = 6,
    icons: Icons = False,
    icon_steps: IconSteps = None,
    output: Output = Path("inspection.html"),
    seed: Seed = 0,
    device: Device = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file even if it is not an earlier page.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Look inside a network with a picture: top classes, feature maps, gradients, activations, weights; one page.

    docs/inspection.md explains the page.

    Examples: lucid-port inspect InceptionV1_caffe dog.jpg -o page.html

    lucid-port inspect TinyInceptionV1 dog.jpg --target spiral --layers conv2d2,mixed4a --icons -o page

    lucid-port inspect --timm resnet18 dog.jpg --target 207 -o page.html
    """
    from lucid_port.inspection.page import page_path
    from lucid_port.optvis.engine.devices import find_device

    if icon_steps is not None and not icons:
        raise typer.BadParameter("it belongs to --icons", param_hint="'--icon-steps'")
    page_path(output, overwrite)
    if not photo.is_file():
        raise FileNotFoundError(f"There is no picture {photo}.")
    model = opening.model(source).to(find_device(device or "cpu"))
    from lucid_port.attribution.result import ICON_STEPS
    from lucid_port.inspection import inspect

    with remarks(json):
        found = inspect(model, photo, target, None if layers is None else names_in(layers))
        steps = limited(icon_steps or ICON_STEPS)
        written = found.save(
            output,
            icons=icons,
            count=channels,
            steps=steps,
            seed=seed,
            title=_title(source, found),
            command=_line(source, photo, opening, target=target, layers=layers, icons=icons),
            overwrite=overwrite,
        )
    print_result(_sentence(found, written), {"output": written, **_facts(found)}, json)


def _title(source: str, found: Inspection) -> str:
    """Returns the network's name, without the folders of a file and the options of a library."""
    if found.model.name != "Model":
        return found.model.name
    library, colon, name = source.partition(":")
    return Path(name.partition("?")[0] if colon and name else library).name


def _line(
    source: str, photo: Path, opening: sources.ModelOptions, *, target: str | None, layers: str | None, icons: bool
) -> str:
    """Returns the command line for the foot of the page, without the folder of the picture."""
    words = ["lucid-port", "inspect", source, photo.name, *opening.words()]
    words += [] if target is None else ["--target", target]
    words += [] if layers is None else ["--layers", layers]
    return shlex.join([*words, *(["--icons"] if icons else [])])


def _facts(found: Inspection) -> dict[str, Any]:
    """Returns the results for scripts."""
    gradients = found.gradients
    means = {} if gradients is None else gradients.means
    return {
        "classes": [asdict(one) for one in found.top_classes],
        "target": None if gradients is None else gradients.target,
        "score": None if gradients is None else gradients.score,
        "no_gradients": found.no_gradients or None,
        "layers": [
            {"name": name, **asdict(found.statistics[name]), "gradient": means.get(name)} for name in found.layers
        ],
    }


def _sentence(found: Inspection, output: Path) -> str:
    lines = [f"{output}: {len(found.layers)} layers"]
    if found.top_classes:
        top = found.top_classes[0]
        lines.append(f"Top class: {top.label or top.number} ({top.probability:.1%})")
    if found.gradients is None:
        lines.append(found.no_gradients)
    elif found.gradients.missing:
        lines += [f"No gradient: {one}" for one in found.gradients.missing.values()]
    return "\n".join(lines)
