"""How the operations of a network are connected, and histograms of their weights: what a site's first page draws."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from converters.network.model import ConvertedModel
from converters.signatures import checked
from lucid_port.modelzoo.torch_network import TorchNetwork
from lucid_port.modelzoo.tracing import Trace
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.coerce import layer_info
from lucid_port.recipes.inputs import before_relu

__all__ = ["Operation", "before_activation", "operations", "weight_histogram"]

BINS = 48
"""Bins of a histogram of weights."""

RELU = re.compile(r"relu6?_?", re.IGNORECASE)
"""Types of operations behind which no value is negative."""

LEAST_RANK = 2
"""Rank from which on a parameter is a weight; biases and scales have one axis."""


@checked
@dataclass(frozen=True)
class Operation:
    """An operation of a network.

    Attributes:
        name: Its name, as of a layer.
        op: Its type.
        inputs: Names of the operations that it reads.
        module: The module that computes it; None if there is none.
        last: Type of the last operation inside, such as the ReLU at the end of a block.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    module: torch.nn.Module | None = None
    last: str = ""


@checked
def operations(model: Model, layers: Sequence[str] = ()) -> list[Operation]:
    """Returns the operations of a network in the order of execution.

    Lucid's joins before the ReLUs, such as `mixed4a_pre_relu`, are there if they are named. Of a network whose code
    cannot be traced, the named layers are returned, each behind the one before.

    Args:
        model: The model.
        layers: Names of layers, which operations are named after.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> [(one.name, one.inputs) for one in operations(TinyInceptionV1())[:2]]
        [('input', ()), ('conv2d0_pre_relu/conv', ('input',))]
    """
    network: Any = model.network
    if isinstance(network, ConvertedModel):
        return _of_program(network, layers)
    trace = network.traced if isinstance(network, TorchNetwork) else None
    if trace is not None:
        return _of_trace(network, trace, layers)
    chain = ["input", *layers]
    ops = [""] + [_op(model, layer) for layer in layers]
    modules = [None, *(_module(network, layer) for layer in layers)]
    return [
        Operation(name, op, tuple(chain[max(0, at - 1) : at]), module)
        for at, (name, op, module) in enumerate(zip(chain, ops, modules, strict=True))
    ]


def _op(model: Model, layer: str) -> str:
    info = layer_info(model, layer)
    return "" if info is None else info.op


def _module(network: Any, layer: str) -> torch.nn.Module | None:
    try:
        found: torch.nn.Module = network.layer_module(layer)
    except (AttributeError, ValueError, LookupError):
        return None
    return found


def _of_program(network: ConvertedModel, layers: Sequence[str]) -> list[Operation]:
    own = {network.layers[layer].name: layer for layer in layers if layer in network.layers}
    steps = {step.name: step for step in network.program.steps}
    read = {source.node for step in network.program.steps for source in step.inputs}
    entry = network.program.metadata.input_name
    shown = {
        name
        for name, step in steps.items()
        if not step.hidden and (name in read or name in own or not name.endswith("_pre_relu"))
    }

    def sources(name: str) -> Iterable[str]:
        """Yields the shown operations that an operation reads, also through hidden ones."""
        for source in steps[name].inputs:
            if source.node in shown or source.node not in steps:
                yield source.node
            else:
                yield from sources(source.node)

    found = [Operation(entry, "input", ())]
    for name in (name for name in steps if name in shown):
        inputs = dict.fromkeys(own.get(source, source) for source in sources(name))
        module = network.get_submodule(steps[name].module) if steps[name].module else None
        found.append(Operation(own.get(name, name), steps[name].op, tuple(inputs), module))
    return found


def _of_trace(network: TorchNetwork, trace: Trace, layers: Sequence[str]) -> list[Operation]:
    named: dict[str, list[str]] = {}
    for name, node in trace.nodes.items():
        named.setdefault(node, []).append(name)
    wanted = set(layers)
    found: list[Operation] = []
    ends: dict[Any, tuple[str, ...]] = {}  # node -> the named operations that its value stands for
    for node in trace.graph.graph.nodes:
        before = tuple(dict.fromkeys(end for source in node.all_input_nodes for end in ends.get(source, ())))
        if node.op == "placeholder":
            found.append(Operation("input", "input", ()))
            ends[node] = ("input",)
            continue
        names = named.get(node.name, [])
        if not names or not before:
            ends[node] = before
            continue
        own = [name for name in names if name in wanted] or names[:1]  # names[0] is the innermost
        for name in own:
            info = network.layers[name]
            module = network.module.get_submodule(info.module) if info.module else None
            found.append(Operation(name, info.op, before, module, network.layers[names[0]].op))
            before = (name,)
        ends[node] = before
    return found


@checked
def before_activation(model: Model, layer: str) -> str:
    """Returns the layer whose values a ReLU cuts off, if a layer ends in one; otherwise the layer itself.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> before_activation(TinyInceptionV1(), "mixed3a")
        'mixed3a_pre_relu'
    """
    named = before_relu(model, layer)
    if named != layer or not isinstance(model.network, TorchNetwork):
        return named
    own = next((one for one in operations(model, [layer]) if one.name == layer), None)
    if own is None or len(own.inputs) != 1 or not RELU.fullmatch(own.last):
        return layer
    info = layer_info(model, own.inputs[0])
    return layer if info is None or info.channels is None else info.name


# Weights ----------------------------------------------------------------------------------------


@checked
def weight_histogram(found: Sequence[Operation], layer: str) -> dict[str, Any] | None:
    """Returns a histogram of the weights of a layer: its own, or those of the operations whose values it joins.

    Args:
        found: The operations, as from `operations`, with the layer among them.
        layer: Name of the layer.

    Returns:
        "counts" in `BINS` bins, "low" and "high"; None if the layer has no weights.
    """
    weights = _weights({one.name: one for one in found}, layer)
    values = np.concatenate([one.detach().float().cpu().numpy().ravel() for one in weights]) if weights else np.zeros(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    counts, edges = np.histogram(values, BINS)
    return {"counts": counts.tolist(), "low": float(edges[0]), "high": float(edges[-1])}


def _weights(named: Mapping[str, Operation], layer: str) -> list[torch.Tensor]:
    """Returns the weights that are met first on all ways back from a layer."""
    found: list[torch.Tensor] = []
    waiting, seen = [layer], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in named:
            continue
        seen.add(name)
        module = named[name].module
        own: list[torch.Tensor] = []
        if module is not None:
            own += [one for one in module.parameters() if one.ndim >= LEAST_RANK]
            own += [one for one in module.buffers() if one.ndim > LEAST_RANK]
        found += own
        if not own:
            waiting += named[name].inputs
    return found
