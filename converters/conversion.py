"""From a frozen graph to a PyTorch model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import numpy as np
import torch

from converters.graphdef import Source, parse_graphdef, read_file, read_graph
from converters.lower import Tensors, infer_metadata, lower
from converters.model import ConvertedModel, State
from converters.program import Metadata, Program


def convert(source: Source, *, input_name: str | None = None, metadata: Metadata | None = None) -> ConvertedModel:
    """Converts a frozen TensorFlow graph.

    Args:
        source: a path, the bytes of a serialised GraphDef, or a GraphDef.
        input_name: the input, where the graph has several or its input is not a placeholder.
        metadata: what the model wants to be fed, where the caller knows it; otherwise the graph's own
            `lucid_metadata_json` node says, where it has one.

    Returns:
        The model, in evaluation mode, float32, on the CPU, with frozen weights.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: the source is none of these.
        GraphError: the source is not a frozen graph that can be converted; the sentence says what is wrong.
        UnsupportedOpsError: the graph has ops that the registry lacks; it names all of them and their nodes.
    """
    graph_def = parse_graphdef(source)
    graph = read_graph(graph_def)
    program, tensors = lower(graph, metadata or infer_metadata(graph, input_name))
    if isinstance(source, (str, os.PathLike, bytes)):
        data = source if isinstance(source, bytes) else read_file(source)
        program = program.from_source(hashlib.sha256(data).hexdigest())
    return ConvertedModel(program, _state(program, tensors))


def _state(program: Program, tensors: Tensors) -> State:
    """The model's `state_dict`: float32 copies, so that nothing of the source is kept alive."""
    named: dict[str, Mapping[str, np.ndarray]] = {step.module: tensors.get(step.name, {}) for step in program.steps}
    return {
        f"{module}.{key}": torch.from_numpy(np.array(value, dtype=np.float32, order="C"))
        for module, values in named.items()
        for key, value in values.items()
    }
