"""Compares a converted model with TensorFlow's values."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import Tensor

from converters.atomic import scratch_folder
from converters.dependencies import with_dependencies
from converters.errors import InputSizeError
from converters.frozen.graph import Output
from converters.frozen.graphdef import Source, parse_graphdef, read_graph
from converters.frozen.placeholders import placeholder_values
from converters.frozen.writer import GraphWriter, write_graph_def
from converters.functional import from_tensorflow_order, to_tensorflow_order
from converters.network.model import ConvertedModel
from converters.reference.inputs import InputSpec
from converters.reference.samples import Sample
from converters.reference.store import InputReference, References, ReferenceWriter, read_references
from converters.tensorflow.process import oracle_job, run_oracle

# Float32 on a CPU: the two libraries add the same numbers in different orders. Measured differences are up to 2e-6 of a
# layer's maximum; a wrong formula, padding or order causes differences of 1e-3 or more.
ACTIVATION_BOUND = 1e-5
GRADIENT_BOUND = 1e-5


@dataclass(frozen=True)
class LayerCheck:
    """The comparison of one layer for one input.

    Attributes:
        input: name of the input.
        layer: TensorFlow's name, with `:channel` for a gradient.
        kind: `activation`, `gradient`, or `refused` if TensorFlow refuses the layer at this input's size.
        error: greatest difference, relative to TensorFlow's greatest absolute value in the layer.
        bound: greatest error that passes.
        shape: shape in the converted model, in TensorFlow's order; None if the model did not compute the layer.
        expected: shape in TensorFlow; None if TensorFlow refuses to compute the layer.
        moved: for a gradient, how much TensorFlow's own gradient changes if the last bit of the input changes.
    """

    input: str
    layer: str
    kind: str
    error: float
    bound: float
    shape: tuple[int, ...] | None
    expected: tuple[int, ...] | None
    moved: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether shapes agree and the error is within its bound."""
        return self.shape == self.expected and self.error <= self.bound

    def __str__(self) -> str:
        sizes = f"shape {self.shape} where TensorFlow has {self.expected}"
        error = f"error {self.error:.2e} of the maximum (bound {self.bound:.0e})"
        return f"{self.kind} {self.layer} at {self.input}: {error if self.shape == self.expected else sizes}"


def check_model(
    model: ConvertedModel, references: References, bound: float = ACTIVATION_BOUND, gradients: bool = False
) -> list[LayerCheck]:
    """Compares every layer with TensorFlow's. Photos are skipped if scikit-image is not installed.

    Args:
        model: on any device.
        references: recorded values of the same graph.
        bound: greatest error that passes.
        gradients: whether to compare the recorded gradients as well.

    Returns:
        The comparisons, worst first.
    """
    rows: list[LayerCheck] = []
    for reference in references.inputs.values():
        try:
            image = reference.make_input()
        except ImportError:
            continue
        rows += check_activations(model, reference, image, bound)
        rows += check_refusals(model, reference, image)
        if gradients:
            rows += check_gradients(model, reference, image)
    return sorted(rows, key=lambda row: (row.passed, -row.error))


def check_activations(
    model: ConvertedModel, reference: InputReference, image: np.ndarray, bound: float = ACTIVATION_BOUND
) -> list[LayerCheck]:
    """Compares the layers that TensorFlow computes for one input, in one run of the model.

    Args:
        model: on any device.
        reference: TensorFlow's values.
        image: `reference.make_input()`.
        bound: greatest error that passes.
    """
    with torch.no_grad():
        names = [name for name in reference.shapes if name not in model.left_out]
        values = model.activations(model_input(model, image), names)
    return [
        _compared(reference.name, "activation", sample, tensorflow_array(model, name, values[name]), bound)
        for name, sample in reference.layers.items()
        if name in values
    ]


def check_refusals(model: ConvertedModel, reference: InputReference, image: np.ndarray) -> list[LayerCheck]:
    """Checks that the model raises InputSizeError for the layers that TensorFlow refuses for one input.

    A layer that reads a refused layer fails as well, so only the first refused layer of each branch is checked.
    """
    reads = {step.name: {source.node for source in step.inputs} for step in model.program.steps}
    refused = set(reference.refused) - set(model.left_out)
    first = [name for name in reference.refused if name in refused and not reads.get(name, set()) & refused]
    x = model_input(model, image)
    return [_refusal(model, reference.name, name, x) for name in first]


def _refusal(model: ConvertedModel, input_name: str, name: str, x: Tensor) -> LayerCheck:
    try:
        with torch.no_grad():
            shape = tensorflow_array(model, name, model.activations(x, [name])[name]).shape
    except InputSizeError:
        return LayerCheck(input_name, name, "refused", 0.0, 0.0, None, None)
    return LayerCheck(input_name, name, "refused", math.inf, 0.0, shape, None)


def check_gradients(
    model: ConvertedModel, reference: InputReference, image: np.ndarray, bound: float = GRADIENT_BOUND
) -> list[LayerCheck]:
    """Compares gradients of channel means with TensorFlow's, image by image.

    Args:
        model: on any device.
        reference: TensorFlow's gradients.
        image: `reference.make_input()`.
        bound: greatest error that passes.
    """
    rows = []
    gradients = channel_gradients(model, image, reference.gradient_of)
    for wanted, gradient in zip(reference.gradients, gradients, strict=True):
        for index, (sample, moved) in enumerate(zip(wanted.images, wanted.moved, strict=True)):
            row = _compared(f"{reference.name}[{index}]", "gradient", sample, gradient[index : index + 1], bound)
            rows.append(replace(row, moved=moved))
    return rows


def _compared(input_name: str, kind: str, sample: Sample, array: np.ndarray, bound: float) -> LayerCheck:
    error = sample.error(array) if array.shape == sample.shape else math.inf
    return LayerCheck(input_name, sample.name, kind, error, bound, array.shape, sample.shape)


def channel_gradients(
    model: ConvertedModel, image: np.ndarray, pairs: Sequence[tuple[str, int]]
) -> Iterator[np.ndarray]:
    """Computes d mean(layer[..., channel]) / d image for several layers, in one run of the model.

    Args:
        model: on any device.
        image: (N, H, W, C) float32, in the model's own value range.
        pairs: (TensorFlow's name of a layer, index on its last axis in TensorFlow's order).

    Yields:
        (N, H, W, C) float32 for each pair.
    """
    x = model_input(model, image).requires_grad_()
    with torch.enable_grad():
        values = model.activations(x, [layer for layer, _ in pairs])
        orders = [(layer, channel, model.layers[layer].layout) for layer, channel in pairs]
        means = [to_tensorflow_order(values[layer], layout)[..., channel].mean() for layer, channel, layout in orders]
    for mean in means:
        if mean.requires_grad:
            (gradient,) = torch.autograd.grad(mean, x, retain_graph=True)
            yield tensorflow_array(model, model.metadata.input_name, gradient)
        else:  # an op such as StopGradient blocks the gradient
            yield np.zeros_like(image)


def tensorflow_array(model: ConvertedModel, name: str, value: Tensor) -> np.ndarray:
    """Returns a layer's value or gradient in TensorFlow's order."""
    return to_tensorflow_order(value.detach(), model.layers[name].layout).contiguous().cpu().numpy()


def model_input(model: ConvertedModel, image: np.ndarray) -> Tensor:
    """Returns an array, in the axis order of the graph's input, as the model's NCHW input on the model's device."""
    device = next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))
    return from_tensorflow_order(torch.from_numpy(image), model.program.input_layout).contiguous().to(device)


def make_references(
    source: Source,
    input_name: str,
    specs: Mapping[str, InputSpec],
    python: str | Path = sys.executable,
    constants: Mapping[str, ArrayLike] | None = None,
    layers: Iterable[str] | None = None,
) -> References:
    """Makes references of any graph by running it in TensorFlow in a separate process.

    Args:
        source: the graph.
        input_name: its placeholder, or a node inside the graph that is fed in place of its value.
        specs: inputs by name, as from `default_inputs`.
        python: a Python that has TensorFlow.
        constants: values for other placeholders, as for `converters.convert`.
        layers: names of the layers to compute; TensorFlow gets only the nodes that they need. None for the whole graph.

    Returns:
        The references, in memory.

    Raises:
        converters.tensorflow.process.OracleError: TensorFlow's process failed.
        GraphError: the source is not a frozen graph, or has no such placeholders.
    """
    graph_def = _with_constants(parse_graphdef(source), constants or {}, input_name)
    fingerprint = read_graph(graph_def).fingerprint()
    graph_def = _of_any_size(graph_def if layers is None else _part(graph_def, input_name, layers), input_name)
    title = str(source) if isinstance(source, (str, os.PathLike)) else "a graph"
    with scratch_folder() as folder:
        path, inputs = write_graph_def(graph_def, folder / "graph.pb"), folder / "inputs.npz"
        np.savez(inputs, **{key: spec.make() for key, spec in specs.items()})  # type: ignore[arg-type]
        jobs = [oracle_job(path, inputs, (input_name, key), folder / f"{key}.npz") for key in specs]
        run_oracle(python, jobs, folder)
        writer = ReferenceWriter(folder / "references")
        for key, spec in specs.items():
            with np.load(folder / f"{key}.npz") as result:
                writer.add("graph", fingerprint, title, key, spec, result, f"{key}.npz")
        writer.save()
        references = read_references(writer.folder)["graph"]
        for reference in references.inputs.values():
            reference.read()
    return references


def _with_constants(graph_def: GraphDef, constants: Mapping[str, ArrayLike], image: str) -> GraphDef:
    """Replaces placeholders by constants, as `converters.convert` does."""
    values = placeholder_values(read_graph(graph_def), constants, image)
    if not values:
        return graph_def
    writer = GraphWriter()
    for name, value in values.items():
        writer.const(name, value, value.dtype)
    made = writer.graph_def()
    made.node.extend(node for node in graph_def.node if node.name not in values)
    made.library.CopyFrom(graph_def.library)
    made.versions.CopyFrom(graph_def.versions)
    return made


def _part(graph_def: GraphDef, image: str, layers: Iterable[str]) -> GraphDef:
    """Returns the nodes that some layers need. The image reads nothing: a node inside the graph becomes a placeholder.

    TensorFlow may refuse the other nodes, such as the leftovers of training, even if no layer needs them.
    """
    nodes = {node.name: node for node in graph_def.node}
    start = nodes[image]
    if not start.op.startswith("Placeholder"):
        writer = GraphWriter()
        writer.placeholder(image, [None] * 4)
        start = writer.graph_def().node[0]
    nodes[image] = start
    updates = {f"^{node.name}" for node in graph_def.node if node.op.startswith("Assign")}  # of constants: cannot run
    reads = {name: [source for source in node.input if source not in updates] for name, node in nodes.items()}
    wanted = [image, *(name for name in layers if name in nodes)]
    needed = with_dependencies(wanted, lambda name: [Output.parse(source.lstrip("^")).node for source in reads[name]])
    made = GraphDef(library=graph_def.library, versions=graph_def.versions)
    for name in nodes:
        if name in needed:
            made.node.add().CopyFrom(nodes[name])
            made.node[-1].input[:] = reads[name]
    return made


def _of_any_size(graph_def: GraphDef, image: str) -> GraphDef:
    """Returns a copy of the graph whose image may have any height and width, as in a converted model."""
    opened = GraphDef()
    opened.CopyFrom(graph_def)
    for node in opened.node:
        shape = node.attr["shape"].shape if node.name == image and "shape" in node.attr else None
        if shape is not None and len(shape.dim) == 4:
            for dim in shape.dim:
                dim.size = -1
        node.attr.pop("_output_shapes", None)  # these shapes were inferred for one fixed size
    return opened


def default_inputs(
    low: Sequence[float], high: Sequence[float], channels: int = 3, stated: tuple[int, int] | None = None
) -> dict[str, InputSpec]:
    """Returns inputs of even, odd and non-square sizes, which exercise every kind of padding.

    Args:
        low: minimum of each channel, or one minimum for all.
        high: maximum of each channel, or one maximum for all.
        channels: number of channels of the input.
        stated: (height, width) in the model's metadata, for one more input.
    """
    sizes = {"224": (1, 224, 224), "225": (1, 225, 225), "97x161": (2, 97, 161)}
    if stated is not None and (1, *stated) not in sizes.values():
        sizes[f"{stated[0]}x{stated[1]}"] = (1, *stated)
    return {
        name: InputSpec("texture", (*size, channels), tuple(low), tuple(high), seed=index)
        for index, (name, size) in enumerate(sizes.items())
    }
