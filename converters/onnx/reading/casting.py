"""Makes all floating-point types of a model float32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.onnx.packages import import_onnx

if TYPE_CHECKING:
    import onnx

_TYPES = ("to", "dtype", "output_dtype")  # attributes that name a type


def to_float32(model: onnx.ModelProto) -> None:
    """Replaces float16, bfloat16 and float64 by float32: constants, casts, inputs, and the types of values.

    Args:
        model: modified in place.
    """
    onnx = import_onnx()
    kinds = onnx.TensorProto
    others = {kinds.FLOAT16, kinds.BFLOAT16, kinds.DOUBLE}
    for graph in graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type in others:
                value.type.tensor_type.elem_type = kinds.FLOAT
        for tensor in graph.initializer:
            _convert(tensor, others)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in _TYPES and attribute.i in others:
                    attribute.i = kinds.FLOAT
                for tensor in (*([attribute.t] if attribute.HasField("t") else ()), *attribute.tensors):
                    _convert(tensor, others)


def _convert(tensor: onnx.TensorProto, others: Iterable[int]) -> None:
    if tensor.data_type in others:
        onnx = import_onnx()
        with np.errstate(over="ignore"):
            value = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yields a graph and the graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def subgraphs(node: Any) -> Iterator[onnx.GraphProto]:
    """Yields the graphs that a node contains, such as the branches of an If."""
    kinds = import_onnx().AttributeProto
    for attribute in node.attribute:
        if attribute.type == kinds.GRAPH:
            yield attribute.g
        yield from attribute.graphs
