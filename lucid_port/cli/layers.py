"""`lucid-port layers`: lists the layers of a model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import (
    Constants,
    InputName,
    Json,
    Layout,
    Outputs,
    Quiet,
    Source,
    files_options,
    print_table,
)

SIZES = ("name", "op", "channels, size", "stride", "receptive field")
"""Columns of `lucid_port.modelzoo.summary.Summary`."""


def command(
    source: Source,
    torchvision: sources.Torchvision = None,
    timm: sources.Timm = None,
    huggingface: sources.Huggingface = None,
    weights: sources.Weights = None,
    grep: Annotated[str | None, typer.Option(help="List only names that contain this text; case is ignored.")] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Also list sizes, strides and receptive fields, from a pass on one image.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
    input_name: InputName = None,
    constants: Constants = None,
    layout: Layout = None,
    outputs: Outputs = None,
    image_shape: sources.ImageShape = None,
) -> None:
    """List the layers of a model: name, op, channels.

    Examples: lucid-port layers InceptionV1_seeded --grep pre_relu

    lucid-port layers --torchvision resnet50 --weights none --sizes
    """
    from converters.errors import left_out_sentence

    options = files_options(input_name, constants, layout, outputs)
    if sizes:
        columns: tuple[str, ...] = SIZES
        model = sources.open_for_sizes(source, image_shape, **options)
        network: Any = model.network
        found: list[tuple[Any, ...]] = list(model.summary().rows())
    else:
        columns = ("name", "op", "channels")
        network = sources.open_network(source, image_shape, **options)
        found = [(info.name, info.op, None if info.unknown else info.channels) for info in network.layers.values()]
    rows = [row for row in found if grep is None or grep.lower() in row[0].lower()]
    if not rows:
        raise typer.BadParameter(f"no layer's name contains {grep!r}; {source} has {len(found)} layers.")
    print_table(columns, rows, json)
    if network.left_out:
        typer.echo(left_out_sentence(network.left_out), err=True)
