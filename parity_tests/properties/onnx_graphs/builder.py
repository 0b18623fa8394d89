"""Builds a model of ONNX from random choices."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from parity_tests.properties.graphs.choosing import SIDES, Chooser, Steps, Value, grow

INPUT = "x"
OPSETS = range(7, min(onnx.defs.onnx_opset_version(), 23) + 1)
"""Opsets that are drawn; onnxruntime promises no later ones than 23."""


@dataclass(frozen=True)
class RandomModel:
    """A model and its input.

    Attributes:
        model: the model, whose nodes are in any order, with one to three outputs.
        all_values: the same nodes, sorted, with each value of float32 as an output.
        image: the input, NCHW.
    """

    model: onnx.ModelProto
    all_values: onnx.ModelProto
    image: np.ndarray


class Builder(Chooser):
    """Adds random nodes to a model.

    Args:
        choices: source of all choices.
        opset: version of the operator set.

    Attributes:
        nodes: the nodes, sorted.
        constants: the initializers.
    """

    def __init__(self, choices: random.Random, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shape = (choices.randint(1, 3), choices.randint(1, 6), choices.randint(*SIDES), choices.randint(*SIDES))
        super().__init__(choices, Value(INPUT, self.shape, exact=True))
        self.stated: list[int | str] = ["n", *self.shape[1:]]
        if choices.random() < 0.3:
            self.stated[2:] = ["h", "w"]

    def numbers(self, shape: Sequence[int], low: float = -1.0, high: float = 1.0) -> str:
        """Adds a float32 constant of uniform draws, or returns one that other nodes read."""
        same = [
            name
            for name, array in self.constants.items()
            if array.dtype == np.float32 and array.shape == tuple(shape) and low <= array.min() and array.max() <= high
        ]
        if same and self.choices.random() < 0.5:
            return self.choices.choice(same)
        draws = [self.choices.uniform(low, high) for _ in range(int(np.prod(shape)))]
        return self.constant(np.array(draws, np.float32).reshape(shape))

    def weights(self, shape: Sequence[int], terms: int) -> str:
        """Adds a constant whose sums of products of so many terms do not grow."""
        limit = (3 / terms) ** 0.5
        return self.numbers(shape, -limit, limit)

    def integers(self, numbers: int | Sequence[int]) -> str:
        """Adds an int64 constant."""
        return self.constant(np.array(numbers, np.int64))

    def constant(self, array: np.ndarray) -> str:
        """Adds a constant: an initializer, or now and then the output of a node."""
        name = self.name("constant")
        if self.choices.random() < 0.2:
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array)))
        else:
            self.constants[name] = array
        return name

    def op(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: object) -> str:
        """Adds a node; returns the name of its first output, of which the others' names are made by `+1`."""
        name = self.name(op)
        names = [name, *(f"{name}+{index}" for index in range(1, outputs))]
        own_name = {"name": name} if self.choices.random() < 0.5 else {}
        self.nodes.append(helper.make_node(op, list(inputs), names, **own_name, **attributes))
        return name

    def may(self, since: int, chance: float = 0.4) -> bool:
        """Draws whether to use an attribute or op that exists since an opset."""
        return self.opset >= since and self.choices.random() < chance


STEPS: Steps[Builder] = Steps()
SINCE: dict[str, int] = {}
"""Op -> first opset that has it, if later than 7."""


def step(*ops: str, since: int = 7, until: int = 10**6):
    """Registers a function for some ops of the opsets from `since` to `until`."""
    return _StepOf(ops, since, until).register


@dataclass(frozen=True)
class _StepOf:
    ops: tuple[str, ...]
    since: int
    until: int

    def register(self, function):
        SINCE.update(dict.fromkeys(self.ops, (self.since, self.until)))
        return STEPS.register(*self.ops)(function)


def random_model(choices: random.Random, opset: int | None = None) -> RandomModel:
    """Returns a random model; equal sources of choices give equal models."""
    opset = choices.choice(OPSETS) if opset is None else opset
    builder = Builder(choices, opset)
    while len(builder.values) == 1:
        grow(builder, {op: STEPS[op] for op, (since, until) in SINCE.items() if since <= opset <= until})
    names = [value.name for value in builder.values[1:]]
    outputs = {names[-1], *choices.sample(names, min(len(names), choices.randint(0, 2)))}
    shuffled = choices.sample(builder.nodes, len(builder.nodes))
    image = np.random.RandomState(choices.randrange(1000)).uniform(-2, 2, builder.shape).astype(np.float32)
    ordered = [name for name in names if name in outputs]
    return RandomModel(_model(builder, shuffled, ordered), _model(builder, builder.nodes, names), image)


def _model(builder: Builder, nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> onnx.ModelProto:
    entry = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, builder.stated)
    ranks = {value.name: value.rank for value in builder.values}
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * ranks[name]) for name in outputs]
    constants = [numpy_helper.from_array(array, name) for name, array in builder.constants.items()]
    imports = [helper.make_opsetid("", builder.opset)]
    version = helper.find_min_ir_version_for(imports)
    inputs = [entry]
    if version < 4:  # initializers were inputs as well
        inputs += [helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in constants]
    graph = helper.make_graph(list(nodes), "random", inputs, found, constants)
    return helper.make_model(graph, opset_imports=imports, ir_version=version)
