"""Compares a converted model with TensorFlow's values."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import Tensor

from converters.errors import InputSizeError
from converters.frozen.graphdef import Source, parse_graphdef, read_graph
from converters.frozen.placeholders import placeholder_values
from converters.frozen.writer import GraphWriter, write_graph_def
from converters.functional import from_tensorflow_order, to_tensorflow_order
from converters.network.model import ConvertedModel
from converters.reference.references import (
    GradientReference,
    InputReference,
    Recipe,
    References,
    ReferenceWriter,
    read_references,
)
from converters.tensorflow.process import oracle_job, run_oracle

# Float32 on a CPU: the two libraries add the same numbers in different orders, which measures up to 2e-6 of a layer's
# maximum in these networks; a wrong formula, padding or order shows at 1e-3 and more.
ACTIVATION_BOUND = 1e-5
GRADIENT_BOUND = 1e-5


@dataclass(frozen=True)
class LayerCheck:
    """One layer compared for one input.

    Attributes:
        input: name of the input.
        layer: TensorFlow's name, with `:channel` for a gradient.
        kind: `activation`, `gradient`, or `refused` where TensorFlow refuses the layer at this input's size.
        error: greatest difference, relative to TensorFlow's greatest absolute value in the layer.
        bound: greatest error that passes.
        shape: the port's shape, in TensorFlow's order; None where it did not compute the layer.
        expected: TensorFlow's shape; None where it refuses.
        moved: for a gradient, how far TensorFlow's own moves when the input moves by its last bit.
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
        what = f"error {self.error:.2e} of the maximum (bound {self.bound:.0e})"
        return f"{self.kind} {self.layer} at {self.input}: {what if self.shape == self.expected else sizes}"


def check_model(
    model: ConvertedModel, references: References, bound: float = ACTIVATION_BOUND, gradients: bool = False
) -> list[LayerCheck]:
    """Compares every layer with TensorFlow's, for every input of the references that can be made here.

    Args:
        model: on any device.
        references: of the same graph.
        bound: greatest error that passes.
        gradients: also compare the recorded gradients.

    Returns:
        The comparisons, worst first.
    """
    rows: list[LayerCheck] = []
    for reference in references.inputs.values():
        try:
            image = reference.make_input()
        except ImportError:  # a photo, without the library that ships it
            continue
        rows += check_activations(model, reference, image, bound)
        rows += check_refusals(model, reference, image)
        if gradients:
            rows += check_gradients(model, reference, image)
    return sorted(rows, key=lambda row: (row.passed, -row.error))


def check_activations(
    model: ConvertedModel, reference: InputReference, image: np.ndarray, bound: float = ACTIVATION_BOUND
) -> list[LayerCheck]:
    """Compares the layers that TensorFlow computes for one input, all from one run of the model.

    Args:
        model: on any device.
        reference: TensorFlow's values.
        image: `reference.make_input()`.
        bound: greatest error that passes.
    """
    with torch.no_grad():
        values = model.activations(model_input(model, image), list(reference.shapes))
    rows = []
    for name, sample in reference.layers.items():
        array = tensorflow_array(model, name, values[name])
        same = array.shape == sample.shape
        error = sample.error(array) if same else math.inf
        rows.append(LayerCheck(reference.name, name, "activation", error, bound, array.shape, sample.shape))
    return rows


def check_refusals(model: ConvertedModel, reference: InputReference, image: np.ndarray) -> list[LayerCheck]:
    """Checks that the model refuses, with InputSizeError, the layers that TensorFlow refuses for one input.

    A layer that reads a refused one cannot be computed either, so only the first of each branch is tried.
    """
    reads = {step.name: {source.node for source in step.inputs} for step in model.program.steps}
    first = [name for name in reference.refused if not reads.get(name, set()) & set(reference.refused)]
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
    """Compares gradients of channels' means with TensorFlow's, image by image.

    Args:
        model: on any device.
        reference: TensorFlow's gradients.
        image: `reference.make_input()`.
        bound: greatest error that passes.
    """
    gradients = channel_gradients(model, image, reference.gradient_of)
    pairs = zip(reference.gradients, gradients, strict=True)
    return [row for wanted, gradient in pairs for row in _gradient_rows(reference, wanted, gradient, bound)]


def _gradient_rows(
    reference: InputReference, wanted: GradientReference, gradient: np.ndarray, bound: float
) -> Iterator[LayerCheck]:
    for index, (sample, moved) in enumerate(zip(wanted.images, wanted.moved, strict=True)):
        one = gradient[index : index + 1]
        error = sample.error(one) if one.shape == sample.shape else math.inf
        name = f"{reference.name}[{index}]"
        yield LayerCheck(name, sample.name, "gradient", error, bound, one.shape, sample.shape, moved)


def channel_gradients(
    model: ConvertedModel, image: np.ndarray, pairs: Sequence[tuple[str, int]]
) -> Iterator[np.ndarray]:
    """d mean(layer[..., channel]) / d image for several layers, from one run of the model.

    Args:
        model: on any device.
        image: (N, H, W, C) float32, in the model's own value range.
        pairs: TensorFlow's name of a layer, and an index on its last axis (TensorFlow's order).

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
        else:  # an op such as StopGradient stands between
            yield np.zeros_like(image)


def tensorflow_array(model: ConvertedModel, name: str, value: Tensor) -> np.ndarray:
    """A layer's value, or its gradient, in TensorFlow's order."""
    return to_tensorflow_order(value.detach(), model.layers[name].layout).contiguous().cpu().numpy()


def model_input(model: ConvertedModel, image: np.ndarray) -> Tensor:
    """An array in the order of the graph's input as the NCHW tensor that the model takes, on the model's device."""
    device = next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))
    return from_tensorflow_order(torch.from_numpy(image), model.program.input_layout).contiguous().to(device)


def make_references(
    source: Source,
    input_name: str,
    recipes: Mapping[str, Recipe],
    python: str | Path = sys.executable,
    constants: Mapping[str, Any] | None = None,
) -> References:
    """Makes references of any graph on the fly, by running it in TensorFlow in a process of its own.

    Args:
        source: the graph.
        input_name: its placeholder.
        recipes: inputs by name, such as `default_recipes` gives.
        python: a Python that has TensorFlow.
        constants: values for other placeholders, as for `converters.convert`.

    Returns:
        The references, in memory.

    Raises:
        OracleError: TensorFlow's process failed.
        GraphError: the source is not a frozen graph, or has no such placeholders.
    """
    graph_def = _with_constants(parse_graphdef(source), constants or {}, input_name)
    fingerprint = read_graph(graph_def).fingerprint()
    graph_def = _of_any_size(graph_def, input_name)
    title = str(source) if isinstance(source, (str, os.PathLike)) else "a graph"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, inputs = write_graph_def(graph_def, folder / "graph.pb"), folder / "inputs.npz"
        np.savez(inputs, **{key: recipe.make() for key, recipe in recipes.items()})  # type: ignore[arg-type]
        jobs = [oracle_job(path, inputs, (input_name, key), folder / f"{key}.npz") for key in recipes]
        run_oracle(python, jobs, folder)
        writer = ReferenceWriter(folder / "references")
        for key, recipe in recipes.items():
            with np.load(folder / f"{key}.npz") as result:
                writer.add("graph", fingerprint, title, key, recipe, result, f"{key}.npz")
        writer.save()
        references = read_references(writer.folder)["graph"]
        for reference in references.inputs.values():
            reference.read()
    return references


def _with_constants(graph_def: GraphDef, constants: Mapping[str, Any], image: str) -> GraphDef:
    """A graph with constants in the place of some placeholders: the one that `converters.convert` makes of it, too."""
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


def _of_any_size(graph_def: GraphDef, image: str) -> GraphDef:
    """A graph whose image may have any height and width, as in a converted model."""
    opened = GraphDef()
    opened.CopyFrom(graph_def)
    for node in opened.node:
        shape = node.attr["shape"].shape if node.name == image and "shape" in node.attr else None
        if shape is not None and len(shape.dim) == 4:
            for dim in shape.dim:
                dim.size = -1
        node.attr.pop("_output_shapes", None)  # what was known of a fixed size
    return opened


def default_recipes(
    low: Sequence[float], high: Sequence[float], channels: int = 3, stated: tuple[int, int] | None = None
) -> dict[str, Recipe]:
    """Inputs that between them meet every kind of padding: even, odd and non-square.

    Args:
        low: least value of the input, or of each of its channels.
        high: greatest value.
        channels: how many channels the input has.
        stated: height and width that the model says it was trained on: those, too.
    """
    sizes = {"224": (1, 224, 224), "225": (1, 225, 225), "97x161": (2, 97, 161)}
    if stated is not None and (1, *stated) not in sizes.values():
        sizes[f"{stated[0]}x{stated[1]}"] = (1, *stated)
    return {
        name: Recipe("texture", (*size, channels), tuple(low), tuple(high), seed=index)
        for index, (name, size) in enumerate(sizes.items())
    }
