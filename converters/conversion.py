"""From a frozen graph to a PyTorch model."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from converters.frozen.graph import Graph
from converters.frozen.graphdef import Source, read_file, read_graph
from converters.frozen.placeholders import set_placeholders
from converters.lowering.lower import Tensors, infer_metadata, lower
from converters.network.model import ConvertedModel
from converters.program.program import Metadata, Program, State
from converters.program.storage import damaged_weights, read_program
from converters.progress import Progress, silent


def convert(
    source: Source | Graph,
    *,
    input_name: str | None = None,
    metadata: Metadata | None = None,
    fold: bool = False,
    constants: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> ConvertedModel:
    """Converts a frozen TensorFlow graph.

    Args:
        source: a path, the bytes of a serialised GraphDef, a GraphDef, or a `Graph`.
        input_name: the input, where the graph has several or its input is not a placeholder.
        metadata: what the model wants to be fed, where the caller knows it; otherwise the graph's own
            `lucid_metadata_json` node says, where it has one.
        fold: whether evaluations fold batch norms into the convolutions before them, where nobody asks for what lies
            between. Values then differ by rounding.
        constants: name of a placeholder that is not the image -> its value, such as {"is_training": False}.
        progress: told how far it has come.

    Returns:
        The model, in evaluation mode, float32, on the CPU, with frozen weights.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: the source is none of these.
        GraphError: the source is not a frozen graph that can be converted; the sentence says what is wrong.
        UnsupportedOpsError: the graph has ops that the registry lacks; it names all of them and their nodes.
    """
    # One copy of the file is held at a time: large constants are views of its bytes until they become weights.
    progress("reading", None)
    data = read_file(source) if isinstance(source, (str, os.PathLike)) else source
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else "The data"
    sha256 = hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else None
    graph = data if isinstance(data, Graph) else read_graph(data, name)
    if constants is not None:
        graph = set_placeholders(graph, constants, input_name if metadata is None else metadata.input_name)
    program, state = _lower(graph, input_name, metadata, progress)
    del data
    program = program.from_source(sha256) if sha256 else program
    return ConvertedModel(program.folded() if fold else program, state)


def save(
    model: ConvertedModel,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    standalone: bool = False,
    progress: Progress = silent,
) -> None:
    """Writes a model into a folder of its own: safetensors for the weights, JSON for everything else.

    The folder appears only when everything in it is written: an interrupted or failed save leaves nothing behind
    and changes nothing that was there.

    Args:
        model: a converted model.
        folder: created by this call.
        overwrite: replace the folder if it holds a saved model.
        standalone: also write the model as one Python module that needs only torch and safetensors.
        progress: called with the stage and the share that is done.

    Raises:
        SaveError: the folder exists and may not be overwritten, or cannot be written; or a layer was replaced by
            another module.
        TypeError: the model is not a converted one.
    """
    if not isinstance(model, ConvertedModel):
        raise TypeError(f"Only converted models are saved here, not a {type(model).__name__}.")
    model.save(folder, overwrite=overwrite, standalone=standalone, progress=progress)


def load(folder: str | os.PathLike[str]) -> ConvertedModel:
    """Loads a model that `save` wrote.

    Raises:
        FileNotFoundError: the folder holds no saved model.
        GraphError: its description or its weights are damaged.
    """
    program, state = read_program(folder)
    try:
        return ConvertedModel(program, state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise damaged_weights(folder, error) from error


def _lower(
    graph: Graph, input_name: str | None, metadata: Metadata | None, progress: Progress
) -> tuple[Program, State]:
    progress("converting", None)
    program, tensors = lower(graph, metadata or infer_metadata(graph, input_name))
    return program, _state(program, tensors, progress)


def _state(program: Program, tensors: Tensors, progress: Progress) -> State:
    """The model's `state_dict`: float32, of which nothing else knows. Empties `tensors`: none is there twice."""
    state: dict[str, Tensor] = {}
    taken: set[int] = set()
    for number, step in enumerate(program.steps):
        progress("converting", number / len(program.steps))
        values = dict(tensors.pop(step.name, {}))
        for key in list(values):
            state[f"{step.module}.{key}"] = _weights(values.pop(key), taken)
    return state


def _weights(value: np.ndarray, taken: set[int]) -> Tensor:
    """Values as a tensor of their own; kernels lie in memory channels last, as the model wants them.

    Args:
        value: the values, of any type.
        taken: arrays that are tensors already; an array that this conversion made becomes one without a copy, once.
    """
    own = value.dtype == np.float32 and value.flags.owndata and value.flags.carray and id(value) not in taken
    if own and value.ndim != 4:
        taken.add(id(value))
        return torch.from_numpy(value)
    copied = _readable(np.asarray(value, np.float32))
    layout = torch.channels_last if value.ndim == 4 else torch.contiguous_format
    return torch.empty(value.shape, memory_format=layout).copy_(copied)


def _readable(value: np.ndarray) -> Tensor:
    """An array's values as a tensor that is only read: torch turns matrices round in blocks, which numpy does not."""
    if any(stride < 0 for stride in value.strides):  # which torch does not have
        value = value.copy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(value)
