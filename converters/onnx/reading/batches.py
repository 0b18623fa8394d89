"""Finds graphs whose images can be computed as a batch, because no op lets the images influence each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from converters.onnx.reading.validation import attributes

if TYPE_CHECKING:
    import onnx

_NO_END = 2**31 - 1  # ends of Slices that keep a whole axis are at least this


def keeps_images_apart(
    graph: onnx.GraphProto,
    constants: Mapping[str, np.ndarray],
    sizes: Mapping[str, Sequence[int | None]],
    opset: int,
) -> bool:
    """Returns whether each value of a graph provably has the rows of each image on axis 0, computed from it alone.

    Ops without a rule, and shapes and constants that state the number of images, count as joining the images.

    Args:
        graph: has one input, a batch of images; its nodes are in topological order.
        constants: name -> value of each constant.
        sizes: name -> shape of each value whose rank is known.
        opset: version of the op set.
    """
    values = _Values({graph.input[0].name}, constants, sizes, opset)
    for node in graph.node:
        if any(name in values.apart for name in node.input):
            if node.op_type in _OF_SIZES:
                continue
            rule = _RULES.get(node.op_type)
            if rule is None or not rule(_View(node, values)):
                return False
            values.apart |= {name for name in node.output if name}
    return True


@dataclass
class _Values:
    """The values of a graph.

    Attributes:
        apart: names of those that have the rows of each image on axis 0.
        constants, sizes, opset: as for `keeps_images_apart`.
    """

    apart: set[str]
    constants: Mapping[str, np.ndarray]
    sizes: Mapping[str, Sequence[int | None]]
    opset: int


@dataclass
class _View:
    """A node, as the rules see it."""

    node: onnx.NodeProto
    values: _Values
    stated: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.stated = attributes(self.node)
        self.inputs = [name for name in self.node.input if name]

    @property
    def opset(self) -> int:
        return self.values.opset

    @property
    def rank(self) -> int | None:
        return self.rank_of(self.node.input[0])

    def rank_of(self, name: str) -> int | None:
        shape = self.values.constants[name].shape if name in self.values.constants else self.values.sizes.get(name)
        return None if shape is None else len(shape)

    def is_apart(self, index: int = 0) -> bool:
        return index < len(self.node.input) and self.node.input[index] in self.values.apart

    def constant(self, index: int) -> list[Any] | None:
        """Returns the numbers of a constant input; None if it is missing or computed."""
        name = self.node.input[index] if index < len(self.node.input) else ""
        return self.values.constants[name].ravel().tolist() if name in self.values.constants else None

    def is_only_first_apart(self) -> bool:
        """Returns whether the first input has the images, and all others are constants."""
        return self.is_apart() and all(name in self.values.constants for name in self.inputs[1:])

    def has_other_axes(self, axes: Iterable[int], rank: int | None = None) -> bool:
        """Returns whether none of the axes is that of the images."""
        rank = self.rank if rank is None else rank
        return all(axis > 0 or (axis < 0 and rank is not None and axis + rank > 0) for axis in axes)

    def axes(self) -> list[int] | None:
        """Returns the axes of an attribute, or of the second input; None if there are none, or they are computed."""
        stated = self.stated.get("axes")
        found = self.constant(1) if stated is None else stated
        return None if found is None else [int(axis) for axis in found]


_Rule: TypeAlias = Callable[[_View], bool]


def _broadcasts(view: _View) -> bool:
    """Ops of elements: the images are on axis 0 of the result if all tensors of the greatest rank have them there."""
    ranks = [view.rank_of(name) for name in view.inputs]
    known = [rank for rank in ranks if rank is not None]
    if len(known) < len(ranks):
        return len(view.inputs) == 1
    most = max(known)
    for name, rank in zip(view.inputs, known, strict=True):
        constant = view.values.constants.get(name)
        if name in view.values.apart:
            if rank < most:
                return False
        elif constant is None or (rank == most and constant.shape[:1] != (1,)):
            return False
    return True


def _along(default: int | None, since_13: int | None = None) -> _Rule:
    """Ops along the attribute `axis`."""

    def rule(view: _View) -> bool:
        usual = since_13 if since_13 is not None and view.opset >= 13 else default
        axis = view.stated.get("axis", usual)
        return view.is_only_first_apart() and axis is not None and view.has_other_axes([int(axis)])

    return rule


def _reduces(view: _View) -> bool:
    axes = view.axes()
    if not axes:
        return bool(view.stated.get("noop_with_empty_axes")) and len(view.inputs) == 1
    return view.is_only_first_apart() and view.has_other_axes(axes)


def _squeezes(view: _View) -> bool:
    axes = view.axes()
    return axes is not None and view.is_only_first_apart() and view.has_other_axes(axes)


def _unsqueezes(view: _View) -> bool:
    axes = view.axes()
    if axes is None or not view.is_only_first_apart():
        return False
    return view.has_other_axes(axes, None if view.rank is None else view.rank + len(axes))


def _reshapes(view: _View) -> bool:
    shape = view.constant(1) or [1]
    return view.is_apart() and (shape[0] == -1 or (shape[0] == 0 and not view.stated.get("allowzero")))


def _transposes(view: _View) -> bool:
    return list(view.stated.get("perm", ()))[:1] == [0]


def _joins(view: _View) -> bool:
    all_apart = all(view.is_apart(index) for index in range(len(view.node.input)))
    return all_apart and view.has_other_axes([view.stated.get("axis", 1)])


def _slices(view: _View) -> bool:
    starts = view.stated.get("starts", view.constant(1))
    ends = view.stated.get("ends", view.constant(2))
    if starts is None or ends is None or not view.is_only_first_apart():
        return False
    stated = view.stated.get("axes", view.constant(3))
    steps = view.constant(4) or [1] * len(starts)
    axes = range(len(starts)) if stated is None else stated
    return all(
        view.has_other_axes([axis]) or (axis == 0 and start == 0 and end >= _NO_END and step == 1)
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)
    )


def _pads(view: _View) -> bool:
    pads = view.stated.get("pads", view.constant(1))
    if not pads or len(view.node.input) > 3 or not view.is_only_first_apart():
        return False
    return not pads[0] and not pads[len(pads) // 2]


def _resizes(view: _View) -> bool:
    if "axes" in view.stated or len(view.inputs) != len([name for name in view.node.input[:3] if name]):
        return False
    place = 1 if view.node.op_type == "Upsample" or view.opset < 11 else 2
    scales = view.stated.get("scales") or view.constant(place)
    return scales is not None and len(scales) > 0 and scales[0] == 1 and view.is_only_first_apart()


def _tiles(view: _View) -> bool:
    return (view.constant(1) or [0])[0] == 1 and view.is_only_first_apart()


def _multiplies(view: _View) -> bool:
    """Gemm of the images' rows and constants."""
    if view.stated.get("transA") or not view.is_only_first_apart():
        return False
    bias = view.values.constants.get(view.inputs[2]) if len(view.inputs) > 2 else None
    return bias is None or bias.ndim < 2 or bias.shape[0] == 1


def _matrix_products(view: _View) -> bool:
    ranks = [view.rank_of(name) for name in view.inputs]
    first, second = (-1 if rank is None else rank for rank in ranks)
    if view.is_apart(0) and view.is_apart(1):
        return first == second > 2
    if view.is_apart(0):
        other = view.values.constants.get(view.inputs[1])
        return other is not None and (second <= 2 <= first or (first >= second and other.shape[0] == 1))
    other = view.values.constants.get(view.inputs[0])
    return other is not None and (first == 2 < second or (2 < first <= second and other.shape[0] == 1))


def _each(view: _View) -> bool:
    return view.is_only_first_apart()


_OF_SIZES = frozenset({"Shape", "Size"})

_NAMES: Mapping[_Rule, str] = {
    _each: "AveragePool BatchNormalization Cast Clip Conv ConvInteger ConvTranspose DepthToSpace DequantizeLinear "
    "Dropout GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization Identity InstanceNormalization LRN LpPool "
    "MaxPool QLinearConv QuantizeLinear SpaceToDepth",
    _broadcasts: "Abs Add And Ceil Celu Cos Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid "
    "HardSwish LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round "
    "Selu Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum Tanh ThresholdedRelu Where",
    _reduces: "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare",
    _along(1, -1): "Hardmax LogSoftmax Softmax",
    _along(-1): "LayerNormalization LpNormalization TopK",
    _along(0): "ArgMax ArgMin Gather Split",
    _along(1): "Flatten",
    _joins: "Concat",
    _matrix_products: "MatMul",
    _multiplies: "Gemm",
    _pads: "Pad",
    _reshapes: "Reshape",
    _resizes: "Resize Upsample",
    _slices: "Slice",
    _squeezes: "Squeeze",
    _tiles: "Tile",
    _transposes: "Transpose",
    _unsqueezes: "Unsqueeze",
}
_RULES: Mapping[str, _Rule] = {name: rule for rule, names in _NAMES.items() for name in names.split()}
