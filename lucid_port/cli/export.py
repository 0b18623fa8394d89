"""`lucid-port export`: writes layers of a model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli import sources
from lucid_port.cli.console import Constants, InputName, Json, Source, constants_of, names_in, print_result


def command(
    source: Source,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="File to write, such as model.onnx.")],
    layers: Annotated[
        str | None, typer.Option(help="Outputs of the file, comma-separated; by default the graph's outputs.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    torchvision: sources.Torchvision = None,
    timm: sources.Timm = None,
    huggingface: sources.Huggingface = None,
    weights: sources.Weights = None,
    input_name: InputName = None,
    constants: Constants = None,
    json: Json = False,
) -> None:
    """Write layers of a model as an ONNX file.

    Example: lucid-port export InceptionV1 -o inceptionv1.onnx --layers mixed4a,softmax2
    """
    from converters import ConvertedModel
    from converters.onnx.writing.export import check_file

    check_file(output, overwrite)
    network = sources.open_network(source, input_name=input_name, constants=constants_of(constants))
    if not isinstance(network, ConvertedModel):
        raise typer.BadParameter(f"{source} is not a TensorFlow graph: only converted graphs can be exported.")
    names = None if layers is None else names_in(layers)
    network.to_onnx(output, names, properties={"name": Path(source).stem}, overwrite=overwrite)
    given = list(network.outputs if names is None else names)
    print_result(f"{output}: {', '.join(given)}", {"output": output, "layers": given}, json)
