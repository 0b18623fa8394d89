"""`lucid-port convert`: a network from elsewhere becomes a folder with a PyTorch model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lucid_port.cli.console import (
    Constants,
    InputName,
    Json,
    constants_of,
    model_names,
    print_result,
    progress_bar,
    remarks,
)

if TYPE_CHECKING:
    from converters import ConvertedModel


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            autocompletion=model_names,
            help="A model's name, or a file: frozen graph, SavedModel, checkpoint, Caffe. (ONNX files are used as they "
            "are, by every other command.)",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write; must not exist.")],
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Also write model.py, which needs only torch and safetensors.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare every layer with TensorFlow's values; fail beyond the bound.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model saved there before.")] = False,
    input_name: InputName = None,
    constants: Constants = None,
    fold: Annotated[bool, typer.Option("--fold", help="Fold batch norm into the convolutions before it.")] = False,
    outputs: Annotated[
        str | None,
        typer.Option(metavar="NODE,...", help="Nodes of a checkpoint or SavedModel to keep, and all they need."),
    ] = None,
    signature: Annotated[str | None, typer.Option(help="One of a SavedModel's signatures.")] = None,
    tags: Annotated[str | None, typer.Option(metavar="TAG,...", help="Tags of one of a SavedModel's graphs.")] = None,
    tensorflow_python: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="A Python that has TensorFlow, for checkpoints, SavedModels and --check."),
    ] = None,
    keep_pb: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the frozen graph of a checkpoint or SavedModel.")
    ] = None,
    prototxt: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The description of a Caffe network, where there is one.")
    ] = None,
    geometry: Annotated[
        str | None, typer.Option(help="How a Caffe network's windows lie: as in tensorflow (the default) or in caffe.")
    ] = None,
    json: Json = False,
) -> None:
    """Convert a network to PyTorch: a frozen TensorFlow graph, a SavedModel, a checkpoint, or a Caffe network.

    Examples: lucid-port convert InceptionV1.pb -o inceptionv1 --standalone --check

    lucid-port convert model.ckpt-1000.meta -o model --keep-pb model.pb

    lucid-port convert graph.pb -o model --set is_training=false --set keep_prob=1
    """
    from converters.program.storage import check_target

    check_target(output, overwrite)
    told = {
        "constants": constants_of(constants),
        "fold": fold or None,
        "outputs": _names(outputs),
        "signature": signature,
        "tags": _names(tags),
        "tensorflow_python": tensorflow_python,
        "keep_pb": keep_pb,
        "prototxt": prototxt,
        "geometry": geometry,
    }
    options = {key: value for key, value in told.items() if value is not None}
    with remarks(json), progress_bar() as progress:
        network = _open(source, input_name, {**options, "progress": progress}, check)
        network.save(output, overwrite=overwrite, standalone=standalone, progress=progress)
    print_result(
        f"{output}: {len(network.layers)} layers, outputs {', '.join(network.outputs)}",
        {"output": output, "layers": len(network.layers), "outputs": network.outputs, "checked": check},
        json,
    )


def _open(source: str, input_name: str | None, options: dict[str, Any], check: bool) -> ConvertedModel:
    """The network, compared with TensorFlow where that is asked for."""
    from converters.sources import is_frozen_here
    from lucid_port.cli.checking import check_network
    from lucid_port.modelzoo.nets_factory import graph_file

    if not check:
        return _converted(source, input_name, options)
    python, constants = options.get("tensorflow_python"), options.get("constants")
    with tempfile.TemporaryDirectory() as folder:
        graph: Path | None
        if is_frozen_here(source):
            graph = options.setdefault("keep_pb", Path(folder) / "frozen.pb")
        else:
            options.pop("tensorflow_python", None)  # which only the comparison needs
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
        raise ValueError(f"{source} needs no conversion: the other commands take it as it is, lucid-port render too.")
    return network


def _names(text: str | None) -> list[str] | None:
    """The names in a list with commas."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
