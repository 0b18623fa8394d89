"""`lucid-port layers`: lists the layers of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from lucid_port.cli.console import (
    Constants,
    InputName,
    Json,
    Layout,
    Source,
    constants_of,
    names_in,
    print_table,
)


def command(
    source: Source,
    grep: Annotated[str | None, typer.Option(help="List only names that contain this text; case is ignored.")] = None,
    json: Json = False,
    input_name: InputName = None,
    constants: Constants = None,
    layout: Layout = None,
    outputs: Annotated[
        str | None, typer.Option(metavar="NODE,...", help="Outputs of the network; only what they need is read.")
    ] = None,
) -> None:
    """List the layers of a model: name, op, channels.

    Example: lucid-port layers InceptionV1_seeded --grep pre_relu
    """
    from converters.errors import left_out_sentence
    from lucid_port.modelzoo.nets_factory import open_network

    wanted = None if outputs is None else names_in(outputs)
    network = open_network(source, input_name, constants=constants_of(constants), layout=layout, outputs=wanted)
    rows = [
        (info.name, info.op, None if info.unknown else info.channels)
        for info in network.layers.values()
        if grep is None or grep.lower() in info.name.lower()
    ]
    if not rows:
        raise typer.BadParameter(f"no layer's name contains {grep!r}; {source} has {len(network.layers)} layers.")
    print_table(("name", "op", "channels"), rows, json)
    if network.left_out:
        typer.echo(left_out_sentence(network.left_out), err=True)
