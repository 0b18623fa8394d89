"""`lucid-port attribute`: draws which parts of a picture a score depends on."""

from __future__ import annotations

import json as plain_json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import Device, Json, Quiet, Seed, Source, pairs_of, print_result, remarks
from lucid_port.cli.limits import limited

if TYPE_CHECKING:
    from lucid_port.attribution import Attribution

TOP = 6
"""Channels that are printed."""

Photo = Annotated[Path, typer.Argument(metavar="PHOTO", help="Picture to explain, resized and cropped as in training.")]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="UNIT", help="A label, 'LAYER:LABEL', 'LAYER:NUMBER' or 'LAYER:NUMBER[ROW,COLUMN]'; default: top class."
    ),
]
Layer = Annotated[
    str | None,
    typer.Option(
        metavar="LAYER[:UNIT]", help="Explain a layer's values, or pixels by way of a neuron; default: pixels."
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="Method of Captum: for pixels integrated_gradients (the default), saliency, occlusion, grad_cam, ...; for "
        "layers conductance (the default), gradient_x_activation, ...; a wrong name lists all."
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="NAME=VALUE", help="Argument of the method, such as n_steps=100. Can be repeated."
    ),
]
Baseline = Annotated[
    str | None, typer.Option(metavar="VALUE|PICTURE", help="Gray value from 0 to 1, or a picture; default: black.")
]
Noise = Annotated[str | None, typer.Option(help="Average over noisy pictures: smoothgrad, smoothgrad_sq or vargrad.")]
Icons = Annotated[bool, typer.Option("--icons", help="Also render the channels that mattered most.")]
IconSteps = Annotated[int | None, typer.Option(min=1, help="Updates of each render of --icons; 64 by default.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="PATH", help="Picture to write (.png, .jpg, .webp), or numbers (.npz, .npy, .json)."
    ),
]


@sources.takes_options
def command(
    photo: Photo,
    source: Source,
    opening: sources.ModelOptions,
    target: Target = None,
    layer: Layer = None,
    method: Method = None,
    options: Options = None,
    baseline: Baseline = None,
    noise: Noise = None,
    icons: Icons = False,
    icon_steps: IconSteps = None,
    output: Output = None,
    seed: Seed = 0,
    device: Device = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Draw which parts of a picture, or which channels of a layer, a network's score depends on.

    Needs Captum: pip install -e '.[captum]'. docs/attribution.md explains the methods.

    Examples: lucid-port attribute dog.jpg InceptionV1_caffe --target 'Labrador retriever' -o dog.png

    lucid-port attribute dog.jpg InceptionV1_caffe --layer inception_4d_output --icons -o channels.png

    lucid-port attribute dog.jpg --torchvision resnet50 --method occlusion --option strides=8 -o dog.npz
    """
    from lucid_port.attribution.isolation import need_captum
    from lucid_port.misc.io.saving import is_picture_name
    from lucid_port.optvis.engine.devices import find_device

    if output is None:
        raise typer.BadParameter("name a picture to write, as in -o out.png", param_hint="'-o'")
    if icon_steps is not None and not icons:
        raise typer.BadParameter("it belongs to --icons", param_hint="'--icon-steps'")
    if icons and not is_picture_name(output.name):
        raise typer.BadParameter(f"icons are drawn in pictures, not in {output.name}", param_hint="'--icons'")
    _check_output(output, overwrite)
    if not photo.is_file():
        raise FileNotFoundError(f"There is no picture {photo}.")
    need_captum()
    given = _options_of(options, baseline)
    chosen = method or ("integrated_gradients" if layer is None else "conductance")
    model = opening.model(source).to(find_device(device or "cpu"))
    from lucid_port.attribution import attribute
    from lucid_port.attribution.result import ICON_STEPS

    with remarks(json):
        found = attribute(model, photo, target, layer, chosen, noise=noise, seed=seed, **given)
        drawn = {"steps": limited(icon_steps or ICON_STEPS)} if icons else {}
        found.save(output, icons=icons, **drawn)
    print_result(_sentence(found, output), {"output": output, **_facts(found)}, json)


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuses a file that exists, or cannot be written.

    Raises:
        ValueError: the extension is unknown.
        OSError: the file exists, or cannot be written.
    """
    from lucid_port.optvis.recipe_files import check_save_path

    check_save_path(output, arrays=True)
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists: name another file, or pass --overwrite to replace it.")


def _options_of(options: list[str] | None, baseline: str | None) -> dict[str, Any]:
    """Returns the arguments of the method.

    Raises:
        typer.BadParameter: a text has another form.
    """
    texts = pairs_of(options, "--option", "NAME=VALUE, as in n_steps=100") or {}
    found: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            found[name] = plain_json.loads(text.lower())
        except ValueError:
            found[name] = text
    if baseline is not None:
        if "baselines" in found:
            raise typer.BadParameter("--baseline and --option baselines= are the same: give one of them.")
        try:
            found["baselines"] = float(baseline)
        except ValueError:
            found["baselines"] = baseline
    return found


def _facts(found: Attribution) -> dict[str, Any]:
    """Returns the results for scripts."""
    numbers = {"scores": found.scores, "baseline_scores": found.baseline_scores, "delta": found.delta}
    facts: dict[str, Any] = {
        "method": found.method,
        "layer": found.layer,
        "targets": found.targets,
        "labels": found.labels,
        **{name: None if values is None else values.tolist() for name, values in numbers.items()},
    }
    if found.gives_channels:
        facts["channels"] = [[one.name, one.value] for one in found.ranked(TOP)[0]]
    return facts


def _sentence(found: Attribution, output: Path) -> str:
    lines = [f"{output}: {found.titles[0]}"]
    if found.delta is not None:
        lines.append(f"The values sum to the change of the score but for {found.delta[0]:.3g}.")
    if found.gives_channels:
        ranked = ", ".join(f"{one.name} ({one.value:+.3g})" for one in found.ranked(TOP)[0])
        lines.append(f"Strongest channels: {ranked}")
    return "\n".join(lines)
