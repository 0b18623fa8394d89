"""Converts Caffe's files to a frozen graph, and to a PyTorch model."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, get_args

from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.caffe import layers as _layers  # noqa: F401  (importing registers the layers)
from converters.caffe.blobs import detach_blobs
from converters.caffe.messages import parse_binary, parse_text
from converters.caffe.net import Net, Node, build_net, definitions, read_layers
from converters.caffe.registry import WRITERS, CaffeWriter, Geometry, Operation, Value
from converters.conversion import convert
from converters.errors import GraphError, require_supported
from converters.frozen.graph import Graph, Output
from converters.frozen.graphdef import read_file, read_graph
from converters.network.model import ConvertedModel
from converters.program.program import Metadata
from converters.progress import Progress, silent

Source: TypeAlias = str | os.PathLike[str] | bytes

HDF5 = b"\x89HDF"

# Black and white for Caffe's ImageNet networks, in BGR order: 0 and 255 minus the ImageNet mean, which Lucid subtracts
# for all of its Caffe models (range "B" of its appendix).
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
    """Converts a Caffe network to the model that `converters.convert` makes of caffe-tensorflow's graph.

    Args:
        caffemodel: the weights: the path of a .caffemodel, or its bytes.
        prototxt: the definition of the layers: the path of a .prototxt, or its bytes. By default the definition that
            was trained, which most .caffemodel files contain. Weights are matched to layers by name.
        geometry: "tensorflow" pads windows as caffe-tensorflow does, by SAME or VALID, so that outputs have
            Caffe's size at the definition's input size. Lucid's files have this geometry. "caffe" pads as
            Caffe does at every size: equally on both sides, pools round up, and average pools count the padding.
        input_name: name of the input; required if the definition has several.
        metadata: describes the model's input. Its `input_name` becomes the name of the graph's input, and its
            `image_shape` the input size if the definition states none. By default the input keeps Caffe's name and the
            definition's size.
        progress: called with the current stage and the finished share of it.

    Returns:
        The model, as from `converters.convert`. Its `metadata.image_value_range` is None unless `metadata` sets it (see
        `imagenet_metadata`).

    Raises:
        FileNotFoundError: a file does not exist.
        TypeError: a source is neither a path nor bytes.
        ValueError: the geometry is unknown.
        GraphError: the files are not a Caffe network, do not fit each other, or cannot be converted.
        UnsupportedOpsError: the network has layer types that cannot be converted; the error lists all of them.

    Example:
        >>> from converters.caffe.messages import net_parameter
        >>> net = net_parameter()(input=["data"], input_dim=[1, 3, 8, 8])
        >>> _ = net.layer.add(name="relu", type="ReLU", bottom=["data"], top=["relu"])
        >>> list(from_caffe(net.SerializeToString()).layers)
        ['data', 'relu']
    """
    progress("reading", None)
    data, net = _open(caffemodel, prototxt, geometry, input_name)
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
    """Converts a Caffe network to a frozen graph, which TensorFlow can also read.

    Args:
        caffemodel, prototxt, geometry, input_name: as for `from_caffe`.

    Raises:
        FileNotFoundError, TypeError, ValueError, GraphError, UnsupportedOpsError: as for `from_caffe`.
    """
    _, net = _open(caffemodel, prototxt, geometry, input_name)
    return _write(net, geometry, None, apart=False)[0].graph_def()


def imagenet_metadata(input_name: str = "data", side: int = 224) -> Metadata:
    """Returns the metadata of Caffe's ImageNet networks: BGR images, with values from 0 to 255 minus the ImageNet mean.

    Args:
        input_name: name of the graph's input.
        side: height and width of an image.
    """
    return Metadata(input_name, (side, side, 3), IMAGENET_RANGE, is_BGR=True)


def _read(source: Source, kind: str, default_title: str) -> tuple[bytes, str]:
    """Returns the bytes of a source, and its name in errors."""
    if isinstance(source, bytes):
        return source, default_title
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"A {kind} is a path or bytes, not {type(source).__name__}.")
    return read_file(source), os.fspath(source)


def _open(caffemodel: Source, prototxt: Source | None, geometry: Geometry, input_name: str | None) -> tuple[bytes, Net]:
    """Returns the bytes of the weights' file, and the network."""
    if geometry not in get_args(Geometry):
        raise ValueError(f'The geometry is "tensorflow" or "caffe", not {geometry!r}.')
    data, title = _read(caffemodel, "caffemodel", "The data")
    if data.startswith(HDF5):
        raise GraphError(
            f"{title} is an HDF5 file; save the model as a binary .caffemodel (snapshot_format: BINARYPROTO)."
        )
    structure, contents = detach_blobs(data)
    message = parse_binary(structure, title)
    layers = read_layers(message, contents)
    if prototxt is not None:
        message = parse_text(*_read(prototxt, "prototxt", "The text"))
        layers = definitions(message, layers)
    elif not any(layer.bottoms for layer in layers):
        raise GraphError(f"{title} has weights but no definition of the layers: give the network's .prototxt, too.")
    return data, build_net(message, layers, input_name)


# -- writing --------------------------------------------------------------------------------------------------------


def _write(net: Net, geometry: Geometry, input_name: str | None, apart: bool) -> tuple[CaffeWriter, Metadata]:
    """Writes the graph of a network; returns it and the metadata that the definition states."""
    require_supported(((node.layer.name, node.layer.type) for node in net.nodes), WRITERS)
    names = _tensorflow_names([net.entry.name, *(node.layer.name for node in net.nodes)], input_name)
    entry = names[net.entry.name]
    channels, height, width = net.entry.shape
    graph = CaffeWriter(apart)
    values = {net.entry.output: Value(graph.placeholder(entry, [None, None, None, channels]), net.entry.shape)}
    for node in net.nodes:
        operation = Operation(node, names[node.layer.name], _inputs(node, values), graph, geometry)
        written = WRITERS[node.layer.type](operation)
        values.update((Output(node.layer.name, index), value) for index, value in enumerate(written))
    known = None not in net.entry.shape
    return graph, Metadata(entry, (height, width, channels) if known else None)


def _with_weights(writer: CaffeWriter) -> Graph:
    """Returns the written graph, whose weights are still views of the file's bytes."""
    nodes = read_graph(writer.graph_def()).nodes.values()
    return Graph(replace(node, constant=writer.weights.get(node.name, node.constant)) for node in nodes)


def _completed(net: Net, metadata: Metadata | None) -> Net:
    """Returns the network, with unknown sizes of its input taken from the metadata."""
    if metadata is None or metadata.image_shape is None:
        return net
    height, width, channels = metadata.image_shape
    shape = tuple(known or given for known, given in zip(net.entry.shape, (channels, height, width), strict=True))
    return replace(net, entry=replace(net.entry, shape=shape))


def _inputs(node: Node, values: Mapping[Output, Value]) -> list[Value]:
    missing = [source for source in node.inputs if source not in values]
    if missing:
        raise GraphError(
            f"Layer {node.layer.name!r} ({node.layer.type}) reads {str(missing[0])!r}, which does not depend on the "
            "network's image input."
        )
    return [values[source] for source in node.inputs]


def _tensorflow_names(names: Sequence[str], first: str | None) -> dict[str, str]:
    """Converts Caffe's names to TensorFlow's.

    Slashes and invalid characters become underscores, as in caffe-tensorflow. Taken names get a suffix `_1`, `_2`, ...
    as in TensorFlow.

    Args:
        names: Caffe's names, all different.
        first: TensorFlow's name for the first of them; None to convert it, too.
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
