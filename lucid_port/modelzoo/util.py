"""Helpers for frozen graphs, as in Lucid's `modelzoo.util`, without TensorFlow."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef

from converters.documents import parse_json
from converters.frozen.graphdef import Source, parse_graphdef
from converters.lowering.lower import LUCID_METADATA_NODE
from converters.signatures import checked
from lucid_port.misc.io.arguments import PathOrFile
from lucid_port.misc.io.loading import load
from lucid_port.modelzoo.saving import add_metadata

__all__ = [
    "GraphDefHelper",
    "extract_metadata",
    "infuse_metadata",
    "load_graphdef",
    "load_text_labels",
    "metadata_node_name",
]

metadata_node_name = LUCID_METADATA_NODE


@checked
def load_text_labels(labels_path: PathOrFile) -> list[str]:
    """Loads a text file with one label per line.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file's extension is not that of a text.

    Example:
        >>> import tempfile
        >>> from lucid_port.misc.io import save
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save(["kit fox", "spiral"], f"{folder}/labels.txt")
        ...     load_text_labels(f"{folder}/labels.txt")
        ['kit fox', 'spiral']
    """
    labels: list[str] = load(labels_path, split=True)
    return labels


@checked
def load_graphdef(model_url: Source, reset_device: bool = True) -> GraphDef:
    """Reads a GraphDef.

    Args:
        model_url: the path of a .pb file, the bytes of a GraphDef, or a GraphDef, which is not changed.
        reset_device: whether to remove the devices of the nodes.

    Raises:
        FileNotFoundError: the file does not exist.
        converters.GraphError: the file is not a GraphDef.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import graph_file
        >>> graph = load_graphdef(graph_file("TinyInceptionV1"))
        >>> graph.node[0].op
        'Placeholder'
    """
    graph = GraphDef()
    graph.CopyFrom(parse_graphdef(model_url))
    if reset_device:
        for node in graph.node:
            node.device = ""
    return graph


@checked
def infuse_metadata(graph_def: GraphDef, info: Mapping[str, Any]) -> None:
    """Adds data to a graph, as JSON in a string constant; see `extract_metadata`.

    Raises:
        TypeError: JSON cannot hold the data.

    Example:
        >>> graph = GraphDef()
        >>> infuse_metadata(graph, {"input_name": "input"})
        >>> extract_metadata(graph)
        {'input_name': 'input'}
    """
    add_metadata(graph_def, json.loads(json.dumps(info)))


@checked
def extract_metadata(graph_def: GraphDef) -> Any:
    """Returns the data that `infuse_metadata` or Lucid added to a graph; None if there are none.

    Raises:
        ValueError: the graph has several constants of this name, or one without JSON.
    """
    found = [node for node in graph_def.node if node.name == metadata_node_name]
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(f"The graph has {len(found)} nodes {metadata_node_name!r}, not one.")
    values = found[0].attr["value"].tensor.string_val
    if len(values) != 1:
        raise ValueError(f"The graph's node {metadata_node_name!r} holds no text.")
    return parse_json(values[0])


class GraphDefHelper:
    """Nodes of a graph by name, op and input.

    Attributes:
        graph_def: the graph.
        by_name: name -> node.
        by_op: op -> nodes.
        by_input: name of an input as the nodes state it -> nodes that have it.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import graph_file
        >>> helper = GraphDefHelper(load_graphdef(graph_file("TinyInceptionV1")))
        >>> [node.name for node in helper.by_op["Placeholder"]]
        ['input']
    """

    @checked
    def __init__(self, graph_def: GraphDef) -> None:
        self.graph_def = graph_def
        self.by_name: dict[str, NodeDef] = {}
        self.by_op: defaultdict[str, list[NodeDef]] = defaultdict(list)
        self.by_input: defaultdict[str, list[NodeDef]] = defaultdict(list)
        for node in graph_def.node:
            if node.name in self.by_name:
                raise ValueError(f"The graph has two nodes {node.name!r}.")
            self.by_name[node.name] = node
            self.by_op[node.op].append(node)
            for source in node.input:
                self.by_input[source].append(node)

    @checked
    def neighborhood(self, node: NodeDef, degree: int = 4) -> list[NodeDef]:
        """Returns the nodes within `degree` edges of a node in either direction, including it, in the graph's order.

        Raises:
            ValueError: the graph has no such node.

        Example:
            >>> from lucid_port.modelzoo.nets_factory import graph_file
            >>> helper = GraphDefHelper(load_graphdef(graph_file("TinyInceptionV1")))
            >>> [node.name for node in helper.neighborhood(helper.by_name["input"], degree=1)]
            ['input', 'conv2d0_pre_relu/conv']
        """
        if self.by_name.get(node.name) != node:
            raise ValueError(f"{node.name!r} is no node of this graph.")
        edges = [(one.name, _op_of(source)) for one in self.graph_def.node for source in one.input]
        near = {node.name}
        for _ in range(degree):
            near |= {end for edge in edges if not near.isdisjoint(edge) for end in edge}
        return [one for name, one in self.by_name.items() if name in near]


def _op_of(source: str) -> str:
    """Returns the name of the node that an input states, as in "^node" and "node:1"."""
    return source.removeprefix("^").split(":")[0]
