"""From Caffe's files to a frozen graph, and to a PyTorch model."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, get_args

from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.caffe import layers as _layers  # noqa: F401  (importing registers the layers)
from converters.caffe.blobs import detach_blobs
from converters.caffe.messages import parse_binary, parse_text
from converters.caffe.net import Net, Node, build_net, definitions, read_layers
from converters.caffe.registry import CaffeWriter, Geometry, Operation, Value, lookup
from converters.conversion import convert
from converters.errors import GraphError, UnsupportedOpsError
from converters.frozen.graph import Graph, Output
from converters.frozen.graphdef import read_file, read_graph
from converters.network.model import ConvertedModel
from converters.program.program import Metadata
from converters.progress import Progress, silent

Source: TypeAlias = str | os.PathLike[str] | bytes

HDF5 = b"\x89HDF"

# Black and white as Caffe's ImageNet networks see them, in their own order of channels: the mean of ImageNet that
# Lucid subtracts for all of its models from Caffe (its Appendix's range "B"), from 0 and from 255.
IMAGENET_RANGE = ((-103.939, -116.779, -123.68), (151.061, 138.221, 131.32))


def from_caffe(
    caffemodel: Source,
    prototxt: Source | None = None,
    geometry: Geometry = "tensorflow",
    *,
    input_name: str | None = None,
    metadata: Metadata | None = None,
    progress: Progress = silent,
) -> ConvertedModel:
    """Converts a network of Caffe's to the model that `converters.convert` makes of caffe-tensorflow's graph.

    Args:
        caffemodel: the weights: a path, or the file's bytes.
        prototxt: the definition of the layers, where it is another than the one that was trained, which the weights'
            file usually holds, too: a path, or the file's bytes. Layers find their weights by their names.
        geometry: "tensorflow" for windows padded as caffe-tensorflow has them, SAME or VALID, whichever makes values
            of Caffe's size at the definition's input size; this is what Lucid's files have. "caffe" for Caffe's own
            windows at every size: padded alike on both sides, pools rounded up, averages that count what is padded.
        input_name: the input, where the definition has several.
        metadata: what the model wants to be fed, where the caller knows it; its `input_name` is what the graph's input
            is called, and its `image_shape` stands in for an input size that the definition does not say. Otherwise
            the input keeps Caffe's name, and the definition's input size is the image's shape.
        progress: told how far it has come.

    Returns:
        The model; `metadata.image_value_range` is only known where `metadata` says it (`imagenet_metadata`).

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: a source is neither a path nor bytes.
        ValueError: the geometry is neither of the two.
        GraphError: the files are no network of Caffe's, do not fit each other, or have no graph that can be converted.
        UnsupportedOpsError: the network has types of layers that cannot be converted; it names all of them.
    """
    _check_geometry(geometry)
    progress("reading", None)
    data = _read(caffemodel, "caffemodel")
    net = _parse(data, _title(caffemodel, "The data"), prototxt, input_name)
    name = None if metadata is None else metadata.input_name
    writer, stated = _write(_completed(net, metadata), geometry, name, apart=True)
    model = convert(_with_weights(writer), metadata=metadata or stated, progress=progress)
    model.program = model.program.from_source(hashlib.sha256(data).hexdigest())
    return model


def caffe_graph(
    caffemodel: Source,
    prototxt: Source | None = None,
    geometry: Geometry = "tensorflow",
    *,
    input_name: str | None = None,
) -> GraphDef:
    """The frozen TensorFlow graph of a network of Caffe's, which TensorFlow can read, too.

    Args:
        caffemodel, prototxt, geometry, input_name: as for `from_caffe`.

    Raises:
        FileNotFoundError, TypeError, ValueError, GraphError, UnsupportedOpsError: as `from_caffe` does.
    """
    _check_geometry(geometry)
    net = _parse(_read(caffemodel, "caffemodel"), _title(caffemodel, "The data"), prototxt, input_name)
    return _write(net, geometry, None, apart=False)[0].graph_def()


def imagenet_metadata(input_name: str = "data", side: int = 224) -> Metadata:
    """What Lucid feeds its ImageNet networks from Caffe: blue, green, red, from 0 to 255 minus ImageNet's mean.

    Args:
        input_name: what the graph's input is to be called.
        side: rows and columns of a picture.
    """
    return Metadata(input_name, (side, side, 3), IMAGENET_RANGE, is_BGR=True)


def _check_geometry(geometry: Geometry) -> None:
    if geometry not in get_args(Geometry):
        raise ValueError(f'The geometry is "tensorflow" or "caffe", not {geometry!r}.')


def _read(source: Source, what: str) -> bytes:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"A {what} is a path or bytes, not {type(source).__name__}.")
    return read_file(source)


def _title(source: Source, otherwise: str) -> str:
    return otherwise if isinstance(source, bytes) else os.fspath(source)


def _parse(data: bytes, title: str, prototxt: Source | None, input_name: str | None) -> Net:
    if data.startswith(HDF5):
        raise GraphError(
            f"{title} is an HDF5 file; save the model as a binary .caffemodel (snapshot_format: BINARYPROTO)."
        )
    structure, contents = detach_blobs(data)
    message = parse_binary(structure, title)
    layers = read_layers(message, contents)
    if prototxt is not None:
        text = _read(prototxt, "prototxt")
        message = parse_text(text, _title(prototxt, "The text"))
        layers = definitions(message, layers)
    elif not any(layer.bottoms for layer in layers):
        raise GraphError(f"{title} has weights but no definition of the layers: give the network's .prototxt, too.")
    return build_net(message, layers, input_name)


# -- writing --------------------------------------------------------------------------------------------------------


def _write(net: Net, geometry: Geometry, input_name: str | None, apart: bool) -> tuple[CaffeWriter, Metadata]:
    """The graph of a network, and what the definition says of its input."""
    _require_supported(net.nodes)
    names = _tensorflow_names([net.entry.name, *(node.layer.name for node in net.nodes)], input_name)
    entry = names[net.entry.name]
    channels, height, width = net.entry.shape
    graph = CaffeWriter(apart)
    values = {net.entry.output: Value(graph.placeholder(entry, [None, None, None, channels]), net.entry.shape)}
    for node in net.nodes:
        operation = Operation(node, names[node.layer.name], _inputs(node, values), graph, geometry)
        for index, value in enumerate(_write_layer(operation)):
            values[Output(node.layer.name, index)] = value
    known = None not in net.entry.shape
    return graph, Metadata(entry, (height, width, channels) if known else None)


def _with_weights(writer: CaffeWriter) -> Graph:
    """The graph that was written, its weights still in the file's bytes."""
    nodes = read_graph(writer.graph_def()).nodes.values()
    return Graph(replace(node, constant=writer.weights.get(node.name, node.constant)) for node in nodes)


def _completed(net: Net, metadata: Metadata | None) -> Net:
    """The network, with sizes of its input that the definition does not say."""
    if metadata is None or metadata.image_shape is None:
        return net
    height, width, channels = metadata.image_shape
    shape = tuple(known or given for known, given in zip(net.entry.shape, (channels, height, width), strict=True))
    return replace(net, entry=replace(net.entry, shape=shape))


def _inputs(node: Node, values: Mapping[Output, Value]) -> list[Value]:
    missing = [source for source in node.inputs if source not in values]
    if missing:
        raise GraphError(
            f"Layer {node.layer.name!r} ({node.layer.type}) reads {str(missing[0])!r}, which the picture does "
            "not reach."
        )
    return [values[source] for source in node.inputs]


def _write_layer(operation: Operation) -> Iterable[Value]:
    write = lookup(operation.layer.type)
    if write is None:
        raise UnsupportedOpsError({operation.layer.type: [operation.layer.name]})
    return write(operation)


def _require_supported(nodes: Iterable[Node]) -> None:
    missing: dict[str, list[str]] = {}
    for node in nodes:
        if lookup(node.layer.type) is None:
            missing.setdefault(node.layer.type, []).append(node.layer.name)
    if missing:
        raise UnsupportedOpsError(missing)


def _tensorflow_names(names: Sequence[str], first: str | None) -> dict[str, str]:
    """Names that TensorFlow takes: underscores for slashes, as caffe-tensorflow has them, and for what else it refuses.

    A name that is there already gets TensorFlow's `_1`, `_2`, ...

    Args:
        names: Caffe's, all different.
        first: what the first one is to be called, where that is said.
    """
    found = {} if first is None else {names[0]: first}
    used = set(found.values())
    for name in names[len(found) :]:
        base = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        base = base if base[:1].isalnum() or base[:1] == "." else f"layer{base}"
        candidate, number = base, 1
        while candidate in used:
            candidate, number = f"{base}_{number}", number + 1
        used.add(candidate)
        found[name] = candidate
    return found
