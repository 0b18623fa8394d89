"""The input of a graph: its layout and shape, and the image behind an input that is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.errors import GraphError
from converters.frozen.graph import NCHW, NHWC, Graph, Node
from converters.frozen.placeholders import OPS as PLACEHOLDERS
from converters.frozen.placeholders import is_text, stated_shape
from converters.lowering.ops.registry import image
from converters.program.program import Metadata

# Ops whose data_format is the layout of the graph's input.
LAYOUT_OPS = frozenset(
    {"Conv2D", "DepthwiseConv2dNative", "BiasAdd", "MaxPool", "AvgPool"}
    | {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
)
WINDOW_OPS = frozenset({"Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"})
BEFORE_WINDOWS = frozenset({"Identity", "Pad", "PadV2", "MirrorPad"})  # pass an image to a window
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
# Order of a transposition -> layout of the value that it reads.
TRANSPOSED_LAYOUTS = {TO_NCHW: NHWC, TO_NHWC: NCHW}


def input_layout(graph: Graph, reached: Sequence[str]) -> str:
    """Returns the layout of the input, according to the first op that determines it."""
    for node in (graph.nodes[name] for name in reached):
        if node.op in LAYOUT_OPS:
            return NCHW if node.attrs.get("data_format") == NCHW else NHWC
        if node.op == "Transpose" and len(node.inputs) == 2:
            constant = graph.nodes[node.inputs[1].node].constant
            order = tuple(constant().ravel().tolist()) if constant is not None else ()
            if order in TRANSPOSED_LAYOUTS:
                return TRANSPOSED_LAYOUTS[order]
    return NHWC


def input_shape(graph: Graph, entry: Node, layout: str, reached: Sequence[str]) -> tuple[int | None, ...]:
    """Returns the input's shape; height and width are unknown even if the graph states them, as in Lucid."""
    if is_text(entry):
        raise GraphError(
            f"The input {entry.name!r} is text (an encoded picture or an example), not an image."
            + (before_windows(graph, reached) or " Name the image behind it with input_name (--input-name).")
        )
    shape = entry.attrs.get("shape") if entry.op in PLACEHOLDERS else None
    if not shape:  # absent, unknown, or the empty shape that old versions wrote for "unknown"
        return (None, None, None, None)
    if not isinstance(shape, tuple) or len(shape) != 4 or any(isinstance(size, (str, float)) for size in shape):
        raise GraphError(
            f"The input {entry.name!r} has shape {shape!r}; an image network reads (batch, height, width, channels)"
            f" or (batch, channels, height, width).{before_windows(graph, reached)}"
        )
    return image(shape[1] if layout == NCHW else shape[3], layout)


def before_windows(graph: Graph, reached: Sequence[str]) -> str:
    """Returns a sentence, after a space, that names the first image as the input; empty if there is none."""
    name = first_image(graph, reached)
    return f" Name the image behind it with input_name={name!r} (--input-name {name})." if name else ""


def first_image(graph: Graph, reached: Sequence[str]) -> str | None:
    """Returns the first image of a graph whose input is none: what the first convolution or pool reads.

    Args:
        graph: the graph.
        reached: the nodes behind the input.

    Returns:
        The name of the node; None if there is no such node behind the input.
    """
    node = next((graph.nodes[name] for name in reached if graph.nodes[name].op in WINDOW_OPS), None)
    while node is not None and node.inputs:
        source = node.inputs[0]
        node = graph.nodes[source.node]
        if source.node in reached and not source.index and node.op not in BEFORE_WINDOWS:
            return source.node
        if source.node not in reached or source.index:
            return None
    return None


def with_image_shape(metadata: Metadata, channels: int | None, entry: Node, layout: str) -> Metadata:
    """Returns metadata with the image shape that the input's placeholder states, unless the metadata have one."""
    shape = (stated_shape(entry) or ()) if entry.op in PLACEHOLDERS else ()
    height, width = (shape[2:] if layout == NCHW else shape[1:3]) if len(shape) == 4 else (None, None)
    if metadata.image_shape is not None or not (height and width):
        return metadata
    return replace(metadata, image_shape=(height, width, channels))
