"""`lucid-port convert`: converts a network and saves it as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lucid_port.cli import console
from lucid_port.cli.console import Constants, InputName, Json, Quiet, Source
from lucid_port.cli.sources import require_file

if TYPE_CHECKING:
    from converters import ConvertedModel


def command(
    source: Source,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to create.")],
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Also write model.py, which needs only torch and safetensors.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare every layer with TensorFlow's values; fail above the bound.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model in that folder.")] = False,
    input_name: InputName = None,
    constants: Constants = None,
    fold: Annotated[bool, typer.Option("--fold", help="Fold batch norm into the convolutions before it.")] = False,
    outputs: Annotated[
        str | None,
        typer.Option(metavar="NODE,...", help="Outputs of the network; only what they need is converted."),
    ] = None,
    signature: Annotated[str | None, typer.Option(help="Signature of a SavedModel.")] = None,
    tags: Annotated[str | None, typer.Option(metavar="TAG,...", help="Tags of a graph in a SavedModel.")] = None,
    tensorflow_python: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="A Python with TensorFlow, for checkpoints, SavedModels and --check."),
    ] = None,
    keep_pb: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the frozen graph of a checkpoint or SavedModel.")
    ] = None,
    prototxt: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Definition of a Caffe network, if the weights file has none.")
    ] = None,
    geometry: Annotated[
        str | None, typer.Option(help="Padding of a Caffe network: tensorflow (the default) or caffe.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Convert a TensorFlow or Caffe network to PyTorch.

    Reads frozen graphs, SavedModels, checkpoints and Caffe files. ONNX files need no conversion: the other commands
    read them. Layers that depend on an unsupported op are left out and reported.

    Examples: lucid-port convert InceptionV1.pb -o inceptionv1 --standalone --check

    lucid-port convert model.ckpt-1000.meta -o model --keep-pb model.pb

    lucid-port convert graph.pb -o model --set is_training=false --set keep_prob=1
    """
    from converters.errors import left_out_sentence
    from converters.program.storage import check_target

    require_file(source, "lucid-port convert")
    check_target(output, overwrite)
    if keep_pb is not None:
        console.check_file_path(keep_pb)
    stated = {
        "constants": console.constants_of(constants),
        "fold": fold or None,
        "outputs": None if outputs is None else console.names_in(outputs),
        "signature": signature,
        "tags": None if tags is None else console.names_in(tags),
        "tensorflow_python": tensorflow_python,
        "keep_pb": keep_pb,
        "prototxt": prototxt,
        "geometry": geometry,
    }
    options = {key: value for key, value in stated.items() if value is not None}
    with console.remarks(json), console.progress_bar() as progress:
        network = _open(source, input_name, {**options, "progress": progress}, check)
        network.save(output, overwrite=overwrite, standalone=standalone, progress=progress)
    facts = {"output": output, "layers": len(network.layers), "outputs": network.outputs, "checked": check}
    console.print_result(
        f"{output}: {len(network.layers)} layers, outputs {', '.join(network.outputs)}",
        {**facts, "left_out": dict(network.left_out)},
        json,
    )
    if network.left_out and not json:
        typer.echo(left_out_sentence(network.left_out))


def _open(source: str, input_name: str | None, options: dict[str, Any], check: bool) -> ConvertedModel:
    """Converts the network and, if asked to, compares it with TensorFlow."""
    from converters.atomic import scratch_folder
    from converters.sources import is_frozen_here
    from lucid_port.cli.comparison import check_network
    from lucid_port.modelzoo.nets_factory import graph_file

    if not check:
        return _converted(source, input_name, options)
    python, constants = options.get("tensorflow_python"), options.get("constants")
    with scratch_folder() as folder:
        graph: Path | None
        if is_frozen_here(source):
            graph = options.setdefault("keep_pb", folder / "frozen.pb")
        else:
            options.pop("tensorflow_python", None)  # only the comparison needs it
            graph = graph_file(source)
        network = _converted(source, input_name, options)
        options["progress"]("comparing with TensorFlow", None)
        check_network(network, graph, python=python, constants=constants)
    return network


def _converted(source: str, input_name: str | None, options: dict[str, Any]) -> ConvertedModel:
    from converters import ConvertedModel
    from lucid_port.modelzoo.nets_factory import open_network

    network = open_network(source, input_name, **options)
    if not isinstance(network, ConvertedModel):
        raise ValueError(f"{source} needs no conversion: give it to the other commands, such as lucid-port render.")
    return network
