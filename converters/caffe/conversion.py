"""Converts Caffe's files to a frozen graph, and to a PyTorch model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias, get_args

from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.caffe import layers as _layers  # noqa: F401  (importing registers the layers)
from converters.caffe.blobs import detach_blobs
from converters.caffe.messages import parse_binary, parse_text
from converters.caffe.net import Net, build_net, definitions, read_layers
from converters.caffe.registry import Geometry
from converters.caffe.writing import Written, write
from converters.conversion import convert
from converters.errors import GraphError
from converters.frozen.graph import Graph
from converters.frozen.graphdef import read_file, read_graph
from converters.network.model import ConvertedModel
from converters.program.program import Metadata
from converters.progress import Progress, silent
from converters.signatures import checked

Source: TypeAlias = str | os.PathLike[str] | bytes

HDF5 = b"\x89HDF"

# Black and white for Caffe's ImageNet networks, in BGR order: 0 and 255 minus the ImageNet mean, which Lucid subtracts
# for all of its Caffe models (range "B" of its appendix).
IMAGENET_RANGE = ((-103.939, -116.779, -123.68), (151.061, 138.221, 131.32))


@checked
def from_caffe(
    caffemodel: Source,
    prototxt: Source | None = None,
    geometry: Geometry = "tensorflow",
    *,
    input_name: str | None = None,
    metadata: Metadata | None = None,
    outputs: Sequence[str] | None = None,
    progress: Progress = silent,
) -> ConvertedModel:
    """Converts a Caffe network to the model that `converters.convert` makes of caffe-tensorflow's graph.

    Layers that depend on a layer of an unsupported type, or on another input, are left out, and so are the layers of a
    training definition that the main loss does not depend on; `model.left_out` names them with the reasons.

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
        outputs: names of the model's outputs: layers or blobs as in Caffe, or layers as in the model. Only the layers
            that they need are converted, and all of these have to be convertible.
        progress: called with the current stage and the finished share of it.

    Returns:
        The model, as from `converters.convert`. Its `metadata.image_value_range` is None unless `metadata` sets it (see
        `imagenet_metadata`).

    Raises:
        FileNotFoundError: a file does not exist.
        TypeError: a source is neither a path nor bytes.
        ValueError: the geometry is unknown.
        GraphError: the files are not a Caffe network, do not fit each other, or cannot be converted.
        UnsupportedOpsError: layer types cannot be converted, and no other layer is left, or one of `outputs` depends on
            them; the error lists all of them.

    Example:
        >>> from converters.caffe.messages import net_parameter
        >>> net = net_parameter()(input=["data"], input_dim=[1, 3, 8, 8])
        >>> _ = net.layer.add(name="relu", type="ReLU", bottom=["data"], top=["relu"])
        >>> list(from_caffe(net.SerializeToString()).layers)
        ['data', 'relu']
    """
    progress("reading", None)
    data, net = _open(caffemodel, prototxt, geometry, input_name, complete=outputs is not None)
    name = None if metadata is None else metadata.input_name
    written = write(_completed(net, metadata), geometry, name, apart=True, outputs=outputs)
    model = convert(
        _with_weights(written), metadata=metadata or written.metadata, outputs=written.outputs, progress=progress
    )
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
    return write(net, geometry, None, apart=False).graph.graph_def()


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


def _open(
    caffemodel: Source, prototxt: Source | None, geometry: Geometry, input_name: str | None, complete: bool = False
) -> tuple[bytes, Net]:
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
    return data, build_net(message, layers, input_name, complete)


def _with_weights(written: Written) -> Graph:
    """Returns the written graph, whose weights are still views of the file's bytes."""
    weights, nodes = written.graph.weights, read_graph(written.graph.graph_def()).nodes.values()
    return Graph(
        (replace(node, constant=weights.get(node.name, node.constant)) for node in nodes), left_out=written.left_out
    )


def _completed(net: Net, metadata: Metadata | None) -> Net:
    """Returns the network, with unknown sizes of its input taken from the metadata."""
    if metadata is None or metadata.image_shape is None:
        return net
    height, width, channels = metadata.image_shape
    shape = tuple(known or given for known, given in zip(net.entry.shape, (channels, height, width), strict=True))
    return replace(net, entry=replace(net.entry, shape=shape))
