"""`lucid-port log`: writes a model for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import Device, Json, LogDir, Quiet, Source, check_log, names_in, print_result

Pictures = Annotated[
    Path | None,
    typer.Argument(
        metavar="PICTURES",
        help="Picture, or folder of pictures, with a subfolder for each class or without: also logs activations.",
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(metavar="NAME,...", help="Layers whose activations are logged; by default the model's main layers."),
]
Projector = Annotated[
    str | None,
    typer.Option(metavar="NAME,...", help="Layers in which the pictures are points of TensorBoard's projector."),
]


@sources.takes_options
def command(
    source: Source,
    opening: sources.ModelOptions,
    pictures: Pictures = None,
    log_dir: LogDir = None,
    layers: Layers = None,
    projector: Projector = None,
    device: Device = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write a model for TensorBoard.

    Writes the graph and histograms of the weights, and for pictures histograms of activations and points for the
    projector. docs/logs.md says where TensorBoard shows them.

    Examples: lucid-port log TinyInceptionV1 --log-dir runs/tiny

    lucid-port log InceptionV1_caffe photographs --log-dir runs/caffe --projector inception_4a_output
    """
    from lucid_port.optvis.engine.devices import find_device

    if log_dir is None:
        raise typer.BadParameter("name a folder, as in --log-dir runs", param_hint="'--log-dir'")
    if pictures is None and (layers is not None or projector is not None):
        name = "--layers" if layers is not None else "--projector"
        raise typer.BadParameter("it needs pictures: name a folder after the model", param_hint=f"'{name}'")
    check_log(log_dir)
    if pictures is not None and not pictures.exists():
        raise FileNotFoundError(f"There is no picture {pictures}.")
    model = opening.model(source).to(find_device(device or "cpu"))
    from lucid_port import logs

    done = ["weights"]
    try:
        logs.log_graph(model, log_dir)
        done.insert(0, "graph")
    except ValueError as error:
        typer.echo(str(error), err=True)
    logs.log_weights(model, log_dir)
    if pictures is not None:
        logs.log_activations(model, pictures, log_dir, None if layers is None else names_in(layers))
        done.append("activations")
        if projector is not None:
            logs.log_embedding(model, pictures, log_dir, names_in(projector))
            done.append("projector")
    print_result(f"{log_dir}: {', '.join(done)}", {"log_dir": log_dir, "logged": done}, json)
