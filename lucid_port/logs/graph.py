"""The graph of a model, under its layers' names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters import checks
from converters.network.model import ConvertedModel
from converters.paths import user_path
from converters.program.program import Program
from converters.signatures import checked
from lucid_port.microscope.wiring import operations
from lucid_port.misc.event_writers import check_log_dir, is_folder
from lucid_port.modelzoo.torch_network import TorchNetwork
from lucid_port.modelzoo.vision_base import Model

__all__ = ["graph_of", "log_graph"]

PRODUCER = 22
"""Version of the graph that `torch.utils.tensorboard` states."""


@checked
def graph_of(model: Model) -> GraphDef:
    """Returns the graph of a model, with a node for each layer, under the name that the layer has in `model.network`.

    The nodes of a converted graph have TensorFlow's names and ops, and Lucid's joins before the ReLUs, such as
    `mixed4a_pre_relu`, are there as well; weights are no nodes. Each node of a converted graph states the class and the
    arguments of its layer, and the shapes of its tensors.

    Raises:
        ValueError: The code of the network cannot be traced, so that it is not known how its layers are connected.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> graph = graph_of(TinyInceptionV1())
        >>> [(node.name, node.op, list(node.input)) for node in graph.node[:2]]
        [('input', 'Placeholder', []), ('conv2d0_pre_relu/conv', 'Conv2D', ['input'])]
    """
    network = model.network
    graph = GraphDef()
    graph.versions.producer = PRODUCER
    if isinstance(network, ConvertedModel):
        _add_program(graph, network)
    elif isinstance(network, TorchNetwork) and network.traced is not None:
        for one in operations(model):
            _add(graph, one.name, "Placeholder" if one.op == "input" else one.op, one.inputs)
    else:
        raise ValueError(
            "The network's graph is not known, because its code cannot be traced: log its weights and activations, or "
            "draw the module with SummaryWriter.add_graph of torch.utils.tensorboard."
        )
    return graph


def _add(
    graph: GraphDef, name: str, op: str, inputs: Iterable[str], attributes: Mapping[str, str] | None = None
) -> None:
    node = graph.node.add(name=name, op=op, input=list(inputs))
    for key, text in (attributes or {}).items():
        node.attr[key].s = text.encode()


def _add_program(graph: GraphDef, network: ConvertedModel) -> None:
    """Adds the input and the steps of a program; steps that only adapt an input to torch are passed over."""
    program: Program = network.program
    hidden = {step.name: step for step in program.steps if step.hidden}

    def sources(name: str, index: int) -> list[str]:
        if name not in hidden:
            return [f"{name}:{index}" if index else name]
        return [one for source in hidden[name].inputs for one in sources(source.node, source.index)]

    _add(graph, program.metadata.input_name, "Placeholder", ())
    for step in program.steps:
        if step.hidden:
            continue
        inputs = [one for source in step.inputs for one in sources(source.node, source.index)]
        tensors = network.get_submodule(step.module).state_dict() if step.module else {}
        about = {
            "layer": step.layer,
            "arguments": json.dumps(dict(step.arguments)),
            **{f"tensor.{key}": str(list(value.shape)) for key, value in tensors.items()},
        }
        _add(graph, step.name, step.op, dict.fromkeys(inputs), about)


@checked
def log_graph(model: Model, log_dir: str | os.PathLike[str]) -> None:
    """Writes the graph of a model for TensorBoard's page "Graphs".

    Args:
        model: The model; see `graph_of`.
        log_dir: Folder, which gets an event file.

    Raises:
        TypeError: `log_dir` is no path.
        ValueError: The graph is not known.
        OSError: The folder cannot be written to.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> log_graph(TinyInceptionV1(), "runs/tiny")
    """
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    if not is_folder(log_dir):
        raise TypeError(f"log_dir is a folder, as writers have no method for graphs, not {checks.shown(log_dir)}.")
    check_log_dir(log_dir)
    graph = graph_of(model)
    writer = EventFileWriter(str(user_path(log_dir)))
    try:
        writer.add_event(Event(graph_def=graph.SerializeToString()))
    finally:
        writer.close()
