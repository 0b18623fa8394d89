"""Converts frozen graphs to PyTorch models, and saves and loads these."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from converters.frozen.graph import Graph
from converters.frozen.graphdef import Source, read_file, read_graph
from converters.frozen.placeholders import set_placeholders
from converters.lowering.lower import Tensors, infer_metadata, lower
from converters.network.model import ConvertedModel
from converters.program.program import Metadata, Program, State
from converters.program.storage import damaged_weights, read_program
from converters.progress import Progress, silent
from converters.signatures import checked


@checked
def convert(
    source: Source | Graph,
    *,
    input_name: str | None = None,
    metadata: Metadata | None = None,
    fold: bool = False,
    constants: Mapping[str, ArrayLike] | None = None,
    outputs: Sequence[str] | None = None,
    progress: Progress = silent,
) -> ConvertedModel:
    """Converts a frozen TensorFlow graph to a PyTorch model.

    Nodes that depend on an op that cannot be converted are left out; `model.left_out` names them with the reasons.

    Args:
        source: the path of a .pb file, the bytes of a serialized GraphDef, a GraphDef, or a `Graph`.
        input_name: name of the input node, with or without `:0`; required if the graph has several inputs, or if its
            input is not a placeholder.
        metadata: describes the model's input. By default it is read from the graph's `lucid_metadata_json` node, if
            the graph has one.
        fold: fold each batch norm into the convolution before it if no layer between them is requested. This changes
            values by rounding errors.
        constants: values of placeholders other than the image, by name, such as {"is_training": False}. A number fills
            the placeholder's shape, with 1 for each unknown size.
        outputs: names of the model's outputs. Only the nodes that they need are converted, and all of these have to be
            convertible. By default all nodes that depend on the input are converted.
        progress: called with the current stage and the finished share of it.

    Returns:
        The model in evaluation mode on the CPU, with frozen float32 weights. Its input is (N, C, H, W) of any height
        and width.

    Raises:
        FileNotFoundError: the file does not exist.
        TypeError: the source has another type.
        GraphError: the source is not a frozen graph, an op has invalid inputs or attributes, or each output depends on
            a placeholder that has to be set.
        UnsupportedOpsError: ops cannot be converted, and no other layer is left, or one of `outputs` depends on them;
            the error lists all of them and their nodes.

    Example:
        >>> import numpy as np
        >>> from converters.frozen.writer import GraphWriter
        >>> graph = GraphWriter()
        >>> x = graph.placeholder("input", [None, None, None, 3])
        >>> conv = graph.conv2d("conv", x, graph.const("kernel", np.ones((3, 3, 3, 8), np.float32)))
        >>> model = convert(graph.graph_def())
        >>> model.activations(torch.ones(1, 3, 16, 16), ["conv"])["conv"].shape
        torch.Size([1, 8, 16, 16])
    """
    # Only one copy of the file is in memory: large constants are views of its bytes until they become weights.
    progress("reading", None)
    data = read_file(source) if isinstance(source, (str, os.PathLike)) else source
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else "The data"
    sha256 = hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else None
    graph = data if isinstance(data, Graph) else read_graph(data, name)
    if constants is not None:
        graph = set_placeholders(graph, constants, input_name if metadata is None else metadata.input_name)
    progress("converting", None)
    program, tensors = lower(graph, metadata or infer_metadata(graph, input_name), outputs)
    del data, graph
    state = _state(program, tensors, progress)
    program = program.from_source(sha256) if sha256 else program
    return ConvertedModel(program.folded() if fold else program, state)


@checked
def save(
    model: ConvertedModel,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    standalone: bool = False,
    progress: Progress = silent,
) -> None:
    """Writes a model to a new folder: the weights as safetensors, everything else as JSON.

    The folder is written atomically: if saving fails or is interrupted, nothing changes on disk.

    Args:
        model: a converted model.
        folder: the folder to create.
        overwrite: replace the folder if it holds a saved model.
        standalone: also write the model as a Python module that needs only torch and safetensors.
        progress: called with the current stage and the finished share of it.

    Raises:
        SaveError: the folder exists and may not be overwritten, it cannot be written, or one of the model's layers was
            replaced by another module.
        TypeError: the model is not a `ConvertedModel`.

    Example:
        >>> import tempfile
        >>> from converters.frozen.writer import GraphWriter
        >>> graph = GraphWriter()
        >>> relu = graph.op("relu", "Relu", [graph.placeholder("input", [None, None, None, 3])])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(convert(graph.graph_def()), f"{folder}/model")
        ...     print(list(load(f"{folder}/model").layers))
        ['input', 'relu']
    """
    if not isinstance(model, ConvertedModel):
        raise TypeError(f"Only converted models can be saved, not a {type(model).__name__}.")
    model.save(folder, overwrite=overwrite, standalone=standalone, progress=progress)


@checked
def load(folder: str | os.PathLike[str]) -> ConvertedModel:
    """Loads a model that `save` wrote; see `save` for an example.

    Returns:
        The model in evaluation mode on the CPU, with frozen float32 weights.

    Raises:
        FileNotFoundError: the folder holds no saved model.
        GraphError: the model's description or its weights are damaged.
    """
    program, state = read_program(folder)
    try:
        return ConvertedModel(program, state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise damaged_weights(folder, error) from error


def _state(program: Program, tensors: Tensors, progress: Progress) -> State:
    """Returns the model's `state_dict`: unshared float32 tensors. Consumes `tensors` to halve the peak memory."""
    state: dict[str, Tensor] = {}
    taken: set[int] = set()
    for number, step in enumerate(program.steps):
        progress("converting", number / len(program.steps))
        values = dict(tensors.pop(step.name, {}))
        for key in list(values):
            state[f"{step.module}.{key}"] = _weights(values.pop(key), taken)
    return state


def _weights(value: np.ndarray, taken: set[int]) -> Tensor:
    """Returns an unshared float32 tensor; kernels (rank 4) are channels_last in memory, as the model expects.

    Args:
        value: an array of any dtype.
        taken: ids of the arrays whose memory a tensor uses already. Other float32 arrays that own their memory become
            tensors without a copy.
    """
    own = value.dtype == np.float32 and value.flags.owndata and value.flags.carray and id(value) not in taken
    if own and value.ndim != 4:
        taken.add(id(value))
        return torch.from_numpy(value)
    source = np.asarray(value, np.float32)
    if any(stride < 0 for stride in source.strides):  # torch has no negative strides
        source = source.copy()
    layout = torch.channels_last if value.ndim == 4 else torch.contiguous_format
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # torch only reads it
        # torch's copy_ transposes in blocks and is faster than numpy's.
        return torch.empty(value.shape, memory_format=layout).copy_(torch.from_numpy(source))
