"""`lucid-port convert`: a frozen TensorFlow graph becomes a folder with a PyTorch model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli.console import Source


def command(
    source: Source,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write; must not exist.")],
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Also write model.py, which needs only torch and safetensors.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare every layer with TensorFlow's values; fail beyond the bound.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model saved there before.")] = False,
    input_name: Annotated[str | None, typer.Option(help="The graph's input, where it has several.")] = None,
) -> None:
    """Convert a frozen TensorFlow graph to PyTorch.

    Example: lucid-port convert InceptionV1.pb -o inceptionv1 --standalone --check
    """
    from converters.storage import check_target
    from lucid_port.cli.checking import check_network
    from lucid_port.modelzoo.nets_factory import graph_file, open_network

    check_target(output, overwrite)
    network = open_network(source, input_name)
    if check:
        check_network(network, graph_file(source))
    network.save(output, overwrite=overwrite, standalone=standalone)
    typer.echo(f"{output}: {len(network.layers)} layers, outputs {', '.join(network.outputs)}")
