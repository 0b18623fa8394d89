"""`lucid-port layers`: lists the layers of a model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import Json, Quiet, Source, print_table

SIZES = ("name", "op", "channels, size", "stride", "receptive field")
"""Columns of `lucid_port.modelzoo.summary.Summary`."""


@sources.takes_options
def command(
    source: Source,
    opening: sources.NetworkOptions,
    grep: Annotated[str | None, typer.Option(help="List only names that contain this text; case is ignored.")] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Also list sizes, strides and receptive fields, from a pass on one image.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List the layers of a model: name, op, channels.

    Examples: lucid-port layers InceptionV1_seeded --grep pre_relu

    lucid-port layers --torchvision resnet50 --weights none --sizes
    """
    from converters.errors import left_out_sentence

    if sizes:
        columns: tuple[str, ...] = SIZES
        model = opening.sized(source)
        network: Any = model.network
        found: list[tuple[Any, ...]] = list(model.summary().rows())
    else:
        columns = ("name", "op", "channels")
        network = opening.network(source)
        found = [(info.name, info.op, None if info.unknown else info.channels) for info in network.layers.values()]
    rows = [row for row in found if grep is None or grep.lower() in row[0].lower()]
    if not rows:
        raise typer.BadParameter(f"no layer's name contains {grep!r}; {source} has {len(found)} layers.")
    print_table(columns, rows, json)
    if network.left_out:
        typer.echo(left_out_sentence(network.left_out), err=True)
