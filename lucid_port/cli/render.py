"""`lucid-port render`: what a unit of a model looks for, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli.console import Source


def command(
    source: Source,
    objective: Annotated[str, typer.Argument(metavar="LAYER:UNIT", help="The layer's name and the channel's number.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Picture to write (.png, .jpg, ...).")],
    size: Annotated[int, typer.Option(min=1, help="Height and width of the picture, in pixels.")] = 128,
    steps: Annotated[int, typer.Option(min=1, help="Number of updates; Lucid's default makes 513.")] = 513,
    lr: Annotated[float, typer.Option(help="Learning rate of Adam.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    transforms: Annotated[
        bool, typer.Option(help="Jitter, scale and rotate the picture at each step, as Lucid does.")
    ] = True,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps, ...; the CPU where not given.")] = None,
    value_range: Annotated[
        str | None, typer.Option(metavar="LO,HI", help="Values of black and white, for a graph that does not say.")
    ] = None,
    bgr: Annotated[
        bool | None, typer.Option("--bgr/--rgb", help="Order of the channels, for a graph that does not say.")
    ] = None,
) -> None:
    """Render what maximises one channel, as Lucid renders it by default.

    Example: lucid-port render InceptionV1_caffe inception_4a_output:300 -o eyes.png
    """
    from lucid_port.misc.io.saving import check_picture_path, save
    from lucid_port.modelzoo.nets_factory import open_model
    from lucid_port.optvis import param, render
    from lucid_port.optvis.objectives import parse_unit
    from lucid_port.optvis.optimizer import TFAdam
    from lucid_port.optvis.progress import ProgressBar

    check_picture_path(output)
    layer, unit = parse_unit(objective)
    model = open_model(source, image_value_range=_value_range(value_range), is_BGR=bgr)
    channels = model.network.layers[layer].channels  # a wrong name or number fails before the work
    if channels is not None and not 0 <= unit < channels:
        raise ValueError(f"Layer {layer!r} has no unit {unit}: its units are 0 to {channels - 1}.")
    pictures = render.render_vis(
        model.to(device or model.device),
        objective,
        lambda: param.image(size),
        optimizer=lambda parameters: TFAdam(parameters, lr=lr),
        transforms=None if transforms else [],
        thresholds=(steps - 1,),
        verbose=False,
        callbacks=[ProgressBar(steps)],
        seed=seed,
    )
    if not pictures:
        raise KeyboardInterrupt
    save(pictures[-1][0], output, domain=(0, 1))
    typer.echo(f"{output}: {objective}, {size}x{size}, {pictures.steps} steps, objective {pictures.losses[-1]:.2f}")


def _value_range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--value-range takes two numbers, such as -117,138, not {text!r}.") from None
    return low, high
