"""`lucid-port export`: writes layers of a model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import (
    Constants,
    InputName,
    Json,
    Outputs,
    Quiet,
    model_names,
    names_in,
    print_result,
)

Graph = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        autocompletion=model_names,
        help="A model's name, a converted folder, or a file: frozen graph, SavedModel, checkpoint or Caffe network.",
    ),
]


def command(
    source: Graph,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="File to write, such as model.onnx.")],
    layers: Annotated[
        str | None, typer.Option(help="Outputs of the file, comma-separated; by default the graph's outputs.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    input_name: InputName = None,
    constants: Constants = None,
    outputs: Outputs = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write layers of a model as an ONNX file.

    Example: lucid-port export InceptionV1 -o inceptionv1.onnx --layers mixed4a,softmax2
    """
    from converters import ConvertedModel
    from converters.onnx.writing.export import check_file

    sources.require_file(source, "lucid-port export")
    check_file(output, overwrite)
    network = sources.NetworkOptions(input_name=input_name, constants=constants, outputs=outputs).network(source)
    if not isinstance(network, ConvertedModel):
        raise typer.BadParameter(
            f"{source} is no graph of TensorFlow or Caffe: only these are exported. For a PyTorch module, use "
            "torch.onnx.export."
        )
    names = None if layers is None else names_in(layers)
    network.to_onnx(output, names, properties={"name": Path(source).stem}, overwrite=overwrite)
    given = list(network.outputs if names is None else names)
    print_result(f"{output}: {', '.join(given)}", {"output": output, "layers": given}, json)
