"""The axes of an ONNX network's layers, as its ops tell them: Conv has channels on axis 1, MatMul on the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, fx

from converters.program.layer_info import AXES_OF_RANK, LayerInfo
from converters.tracing.axes import FoundAxes, Report, find_axes

SIDE = 224
"""Height and width of the image if the file states none."""


def is_clear(ops: Mapping[str, str], sizes: Mapping[str, Sequence[int | None]]) -> bool:
    """Returns whether the axes of all values follow from their ranks: (N, C, H, W) and (N, features).

    Args:
        ops: name of a value -> op of its node.
        sizes: name of a value -> its shape, if its rank is known.
    """
    ranks = {len(sizes[name]) if name in sizes else 0 for name in ops}
    return ranks <= set(AXES_OF_RANK) and "Transpose" not in ops.values()


def with_axes(
    infos: Sequence[LayerInfo], graph: fx.GraphModule, names: Mapping[str, str], shape: Sequence[int], is_single: bool
) -> list[LayerInfo]:
    """Returns the descriptions of layers with their axes, from a pass on an image without values.

    Args:
        infos: the layers, without their axes.
        graph: the network.
        names: name of a layer -> name of its node.
        shape: shape of the image.
        is_single: whether the graph computes one image at a time.
    """
    run = _Run(graph, names)
    found = find_axes(graph, run, shape, batches=(1,) if is_single else (2, 1))
    why = found.failure or "the network's forward pass does not use it"
    return [_with_axes(info, found.values.get(info.name), why) for info in infos]


def _with_axes(info: LayerInfo, one: FoundAxes | None, why: str) -> LayerInfo:
    if one is None:
        return replace(info, unknown=why)
    if one.axes and one.axes == AXES_OF_RANK.get(len(one.shape)):
        return info  # the number of features of an image may depend on its size
    return replace(info, axes=one.axes, channels=one.channels, tokens=one.tokens, unknown=one.unknown)


class _Run:
    """Runs a graph, and reports the values of its nodes by the names of their layers.

    Args:
        graph: the graph.
        names: name of a layer -> name of its node.
    """

    def __init__(self, graph: fx.GraphModule, names: Mapping[str, str]) -> None:
        self._graph = graph
        self._layers: dict[str, list[str]] = {}
        for layer, node in names.items():
            self._layers.setdefault(node, []).append(layer)

    def __call__(self, image: Tensor, report: Report) -> Any:
        layers = self._layers

        class Reporting(fx.Interpreter):
            def run_node(self, n: fx.Node) -> Any:
                value = super().run_node(n)
                for layer in layers.get(n.name, ()):
                    report(layer, value)
                return value

        return Reporting(self._graph).run(image)
