"""Frozen graphs with Lucid's metadata (input name, image shape, value range), and manifests that hold it in a file."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.types_pb2 import DT_STRING

from converters.atomic import write_bytes
from converters.dependencies import with_dependencies
from converters.documents import parse_json
from converters.frozen.graph import Graph, Node
from converters.frozen.graphdef import Source, parse_graphdef, read_graph
from converters.lowering.lower import LUCID_METADATA_NODE
from converters.paths import naming_file, user_path
from lucid_port.modelzoo.catalogue import ValueRange

REQUIRED = ("input_name", "image_shape", "image_value_range")
FLOATS = ("float16", "float32", "float64", "DT_BFLOAT16")
EXAMPLES: Mapping[str, str] = {
    "input_name": "'input'",
    "image_shape": "[224, 224, 3]",
    "output_names": "['logits']",
    "image_value_range": "[-1, 1], [0, 1], [0, 255] or [-117, 138]",
}


# -- guessing the metadata of a graph ---------------------------------------------------------------------------------


def suggest_save_args(graph: Source) -> dict[str, Any]:
    """Guesses the arguments of `Model.save` for a graph, and prints the call.

    Lucid's rules: a graph with one placeholder of floating point has it as input. If the placeholder holds integers and
    one division by 255 follows within five nodes, the division is the input, with the value range (0, 1). All softmaxes
    are outputs. The image shape is that of the input. The value range of other graphs cannot be guessed.

    Args:
        graph: a frozen graph: a path, its bytes, or a GraphDef.

    Returns:
        `input_name`, `image_shape`, `output_names` and `image_value_range`; None, with a warning, for values that
        cannot be guessed.

    Raises:
        GraphError: the source is not a frozen graph.
        FileNotFoundError: the file does not exist.
    """
    read = read_graph(graph)
    input_name, image_value_range = _guess_input(read)
    found = {
        "input_name": input_name,
        "image_shape": None if input_name is None else _guess_shape(read, input_name),
        "output_names": [node.name for node in read.nodes.values() if node.op == "Softmax"] or None,
        "image_value_range": image_value_range,
    }
    wanted = ("input_name", "output_names") if input_name is None else ("image_shape", "output_names")
    for key in wanted:
        if found[key] is None:
            warnings.warn(f"The graph does not state its {key}.", stacklevel=2)
    print("\n".join(_call(found)))
    return found


def _guess_input(graph: Graph) -> tuple[str | None, tuple[int, int] | None]:
    """Guesses the input's name and value range; None for each that cannot be guessed."""
    placeholders = [node for node in graph.nodes.values() if node.op == "Placeholder"]
    if len(placeholders) != 1:
        return None, None
    if placeholders[0].attrs.get("dtype") in FLOATS:
        return placeholders[0].name, None
    near = [graph[name] for name in _neighbourhood(graph, placeholders[0].name, 5)]
    divisions = [node.name for node in near if node.op == "RealDiv"]
    if len(divisions) == 1 and any(_holds_255(node) for node in near):
        return divisions[0], (0, 1)
    return None, None


def _neighbourhood(graph: Graph, name: str, distance: int) -> set[str]:
    """Returns the nodes within a number of edges of a node, in either direction."""
    edges = [(node.name, source.node) for node in graph.nodes.values() for source in node.inputs]
    near = {name}
    for _ in range(distance):
        near |= {end for edge in edges if not near.isdisjoint(edge) for end in edge}
    return near


def _holds_255(node: Node) -> bool:
    """Returns whether a node is a constant that contains 255, also as a float; Lucid checks integers only."""
    return node.constant is not None and bool(np.any(node.constant() == 255))


def _guess_shape(graph: Graph, name: str) -> list[int] | None:
    """Returns [height, width, channels] from the shape attribute of the input; None if it is incomplete."""
    shape = graph[name].attrs.get("shape")
    if shape is None or len(shape) not in (3, 4):
        return None
    sizes = list(shape[-3:])
    return None if None in sizes else sizes


def _call(found: Mapping[str, Any]) -> Iterator[str]:
    yield "# Check each value: with a wrong image_value_range everything runs, and every picture is wrong."
    yield "Model.save("
    yield '    "model.pb",'
    for key, value in found.items():
        yield f"    {key}={value!r}," if value is not None else f"    {key}=...,  # such as {EXAMPLES[key]}"
    yield "    graph=...,"
    yield ")"


# -- graphs with metadata ---------------------------------------------------------------------------------------------


def save_graph(
    path: str | os.PathLike[str],
    graph: Source,
    input_name: str,
    output_names: Sequence[str],
    image_shape: Sequence[int | None] | None,
    image_value_range: ValueRange,
) -> Path:
    """Writes the part of a frozen graph that some outputs need, with Lucid's metadata node.

    Args:
        path: the file to write; Lucid's convention is the extension .pb.
        graph: a frozen graph: a path, its bytes, or a GraphDef.
        input_name: the op that images replace.
        output_names: the ops to keep, with their transitive inputs.
        image_shape: (height, width, channels).
        image_value_range: (value of black, value of white).

    Raises:
        ValueError: a name is that of a tensor ("x:0"), a name is not in the graph, or `output_names` is empty.
        GraphError: the source is not a frozen graph.
    """
    names = [input_name, *output_names]
    tensor = next((name for name in names if ":" in name), None)
    if tensor is not None:
        raise ValueError(f"Model.save takes the names of ops; {tensor!r} is a tensor's: leave out the ':'.")
    if not output_names:
        raise ValueError("Model.save needs at least one output's name.")
    read = read_graph(graph)
    kept = with_dependencies(names, lambda name: [source.node for source in read[name].inputs])
    original = parse_graphdef(graph)
    result = GraphDef(versions=original.versions)
    for node in original.node:
        if node.name in kept and node.name != LUCID_METADATA_NODE:
            copied = result.node.add()
            copied.CopyFrom(node)
            copied.ClearField("device")
            del copied.input[:]
            copied.input.extend(text for text in node.input if not text.startswith("^"))
    add_metadata(result, dict(zip(REQUIRED, (input_name, image_shape, image_value_range), strict=True)))
    return write_bytes(user_path(path), result.SerializeToString())


def add_metadata(graph_def: GraphDef, metadata: Mapping[str, Any]) -> None:
    """Adds Lucid's string constant `lucid_metadata_json` to a graph."""
    node = graph_def.node.add(name=LUCID_METADATA_NODE, op="Const")
    node.attr["dtype"].type = DT_STRING
    tensor = node.attr["value"].tensor
    tensor.dtype = DT_STRING
    tensor.tensor_shape.SetInParent()
    tensor.string_val.append(json.dumps(metadata).encode())


# -- manifests --------------------------------------------------------------------------------------------------------


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a manifest.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file does not hold a JSON object.
    """
    if not user_path(path).is_file():
        raise FileNotFoundError(f"There is no manifest {path}.")
    with naming_file(path):
        data = user_path(path).read_bytes()
    try:
        manifest = parse_json(data)
    except ValueError as error:
        raise ValueError(f"{path} is no manifest: it is not JSON ({error}).") from error
    if not isinstance(manifest, dict):
        raise ValueError(f"{path} is no manifest: it holds {type(manifest).__name__}, not an object.")
    return manifest


def required(stated: Mapping[str, Any], what: str, *more: str) -> dict[str, Any]:
    """Returns the values of `REQUIRED`, the metadata that every model needs.

    Args:
        stated: a manifest, or metadata.
        what: its name in the error.
        *more: further required keys.

    Raises:
        ValueError: a key is missing.
    """
    keys = (*more, *REQUIRED)
    missing = [key for key in keys if stated.get(key) is None]
    if missing:
        raise ValueError(f"{what} lacks {', '.join(missing)}; it needs {', '.join(keys)}.")
    return {key: stated[key] for key in keys}
