"""Reads the stand-in networks: committed structures, filled with the constants that they describe."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef

from parity_tests.zoo.draws import draw

STRUCTURES = Path(__file__).resolve().parent / "structures"
SUFFIX = ".pb.gz"
DRAWS = "_draws"


def names() -> list[str]:
    """Lucid's names of the networks that have a stand-in."""
    return sorted(path.name.removesuffix(SUFFIX) for path in STRUCTURES.glob(f"*{SUFFIX}"))


def structure(name: str) -> GraphDef:
    """Returns a network's graph, in which large constants have no values yet.

    Raises:
        FileNotFoundError: there is no stand-in of that name.
    """
    return GraphDef.FromString(gzip.decompress((STRUCTURES / f"{name}{SUFFIX}").read_bytes()))


def stand_in(name: str) -> GraphDef:
    """Returns a network with its seeded constants: a frozen graph like Lucid's of that name.

    Raises:
        FileNotFoundError: there is no stand-in of that name.
    """
    graph_def = structure(name)
    for node in described(graph_def):
        fill(node)
    return graph_def


def described(graph_def: GraphDef) -> Iterator[NodeDef]:
    """Returns the constants that have a description instead of values."""
    return (node for node in graph_def.node if DRAWS in node.attr)


def fill(node: NodeDef) -> None:
    """Replaces the description of a constant by its values."""
    tensor = node.attr["value"].tensor
    values = draw([dim.size for dim in tensor.tensor_shape.dim], **json.loads(node.attr[DRAWS].s))
    tensor.tensor_content = values.astype(np.dtype("<f4"), copy=False).tobytes()
    del node.attr[DRAWS]


def outside_branches(graph_def: GraphDef, input_name: str) -> list[str]:
    """Returns the names of nodes that depend on the input and are computed for any value of a predicate.

    Between a Switch and its Merge, only one of two branches is computed, and TensorFlow cannot fetch the other.
    """
    nodes = {node.name: node for node in graph_def.node}
    dependent, conditional = {input_name: True}, {input_name: False}
    found = []
    for name in _ordered(nodes):
        node = nodes[name]
        sources = [_source(text) for text in node.input if not text.startswith("^")]
        dependent.setdefault(name, any(dependent[source] for source in sources))
        inside = any(conditional[source] for source in sources)
        conditional.setdefault(name, node.op == "Switch" or (inside and node.op != "Merge"))
        if name != input_name and dependent[name] and not conditional[name]:
            found.append(name)
    return found


def _source(text: str) -> str:
    return text.partition(":")[0]


def _ordered(nodes: dict[str, NodeDef]) -> list[str]:
    """Returns names in topological order: the inputs of a node come first."""
    order: list[str] = []
    done: set[str] = set()
    stack = list(reversed(nodes))
    while stack:
        name = stack[-1]
        waiting = [_source(text) for text in nodes[name].input if not text.startswith("^")]
        waiting = [source for source in waiting if source not in done]
        if waiting and name not in done:
            stack += waiting
            continue
        stack.pop()
        if name not in done:
            done.add(name)
            order.append(name)
    return order
