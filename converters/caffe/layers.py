"""Writes Caffe's layers as TensorFlow ops, with the names that caffe-tensorflow gives them.

caffe-tensorflow (github.com/ethereon/caffe-tensorflow, kaffe/tensorflow/network.py) names an op after its layer, with
underscores for slashes. Convolutions, fully connected layers and batch norms have a scope: `conv1/Conv2D` and
`conv1/BiasAdd`; a ReLU that is fused into them is `conv1/conv1`. For layers that caffe-tensorflow does not
support, the last op has the layer's name, too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from converters.caffe.messages import CaffeMessage, enum_name
from converters.caffe.net import Shape
from converters.caffe.registry import Operation, Value, register
from converters.caffe.windows import Window, pool_margins, read_window

MAX_GROUPS = 1024  # channel groups of a convolution; each becomes a convolution of its own
IMAGE_AXES = (0, 3, 1, 2)  # TensorFlow's axis for each of Caffe's
CAFFE_AXES = (0, 2, 3, 1)  # Caffe's axis for each of TensorFlow's
LOWEST = float(np.finfo(np.float32).min)  # initial value of Caffe's max pools

Values = Sequence[Value]


# -- layers with weights --------------------------------------------------------------------------------------------


@register("Convolution")
def convolution(op: Operation) -> Values:
    parameter = op.parameter("convolution_param")
    window = read_window(parameter, op.layer.name)
    x, channels, _ = op.image()
    groups, features = int(parameter.group), int(parameter.num_output)
    if parameter.axis != 1 or not groups or channels % groups or features % groups:
        raise op.error(f"maps {channels} to {features} channels in {groups} groups along axis {parameter.axis}")
    kernel = op.blob(0, (features, channels // groups, *window.kernel))
    made = op.size(window, round_up=False)
    padding, amounts, x = _convolution_padding(op, window, x, depthwise=groups == channels > 1)
    if groups == channels > 1:
        y = _depthwise(op, x, kernel, window, padding, groups)
    else:
        y = _grouped(op, x, kernel, window, padding, amounts, groups)
    if parameter.bias_term:
        y = op.graph.bias_add(f"{op.name}/BiasAdd", y, op.const("biases", op.blob(1, (features,))))
    if op.node.relu:
        y = op.op(op.name, "Relu", [y])
    return [Value(y, (features, *made))]


def _convolution_padding(op: Operation, window: Window, x: str, depthwise: bool) -> tuple[str, list[int], str]:
    """The op's padding and explicit paddings, and its input, which is padded if the op cannot do so itself."""
    if op.geometry == "tensorflow" or window.keeps_size():
        return op.tensorflow_padding(window, round_up=False), [], x
    if not any(window.pad):
        return "VALID", [], x
    if depthwise:  # DepthwiseConv2dNative has no explicit padding
        return "VALID", [], _pad(op, "Pad", x, window.pad, window.pad)
    rows, columns = window.pad
    return "EXPLICIT", [0, 0, rows, rows, columns, columns, 0, 0], x


def _depthwise(op: Operation, x: str, kernel: np.ndarray, window: Window, padding: str, groups: int) -> str:
    """A depthwise convolution, where caffe-tensorflow writes one convolution for each channel."""
    rows, columns = window.kernel
    by_channel = kernel.reshape(groups, -1, rows, columns).transpose(2, 3, 0, 1)
    return op.op(
        "depthwise", "DepthwiseConv2dNative", [x, op.weight("weights", lambda: by_channel)], padding=padding,
        strides=[1, *window.stride, 1], dilations=[1, *window.dilation, 1], data_format="NHWC",
    )  # fmt: skip


def _grouped(
    op: Operation, x: str, kernel: np.ndarray, window: Window, padding: str, amounts: list[int], groups: int
) -> str:
    """A convolution, or one for each group of channels, whose results are concatenated."""
    if groups > MAX_GROUPS:
        raise op.error(f"has {groups} groups; up to {MAX_GROUPS} convert")
    weights = op.weight("weights", lambda: kernel.transpose(2, 3, 1, 0))

    def convolve(name: str, x: str, kernel: str) -> str:
        return op.op(
            name, "Conv2D", [x, kernel], strides=[1, *window.stride, 1], padding=padding, explicit_paddings=amounts,
            data_format="NHWC", dilations=[1, *window.dilation, 1], use_cudnn_on_gpu=True,
        )  # fmt: skip

    if groups == 1:
        return convolve("Conv2D", x, weights)
    parts = [_split(op, name, source, groups) for name, source in (("split", x), ("split_1", weights))]
    results = [
        convolve(f"Conv2D_{number}" if number else "Conv2D", part, kernel)
        for number, (part, kernel) in enumerate(zip(*parts, strict=True))
    ]
    return op.graph.concat_v2(f"{op.name}/concat", results, op.const("concat/axis", 3, np.int32))


def _split(op: Operation, name: str, x: str, count: int) -> list[str]:
    """Splits an image into equal parts along its channels."""
    split = op.op(name, "Split", [op.const(f"{name}/split_dim", 3, np.int32), x], num_split=count)
    return [f"{split}:{number}" if number else split for number in range(count)]


@register("InnerProduct")
def inner_product(op: Operation) -> Values:
    parameter = op.parameter("inner_product_param")
    value, inputs, outputs = op.value(), op.features(), int(parameter.num_output)
    if parameter.axis != 1:
        raise op.unsupported(f"multiplies along axis {parameter.axis}; only axis 1 converts")
    matrix = op.blob(0, (inputs, outputs)) if parameter.transpose else op.blob(0, (outputs, inputs)).T
    x, decode = value.name, lambda: matrix
    if len(value.shape) > 1:
        x = op.graph.reshape(f"{op.name}/Reshape", x, [-1, inputs])
    if value.is_image:
        decode = _rows_first(matrix, [size or 1 for size in value.shape])
    # tf.nn.relu_layer and tf.nn.xw_plus_b name their last op after the scope: `fc/fc`.
    kinds = ["MatMul", *(["BiasAdd"] if parameter.bias_term else []), *(["Relu"] if op.node.relu else [])]
    scope = f"{op.name}/{op.name}"
    names = {kind: f"{scope}/{kind}" for kind in kinds} | {kinds[-1]: scope}
    y = op.graph.matmul(names["MatMul"], x, op.weight("weights", decode))
    if parameter.bias_term:
        y = op.graph.bias_add(names["BiasAdd"], y, op.const("biases", op.blob(1, (outputs,))))
    if op.node.relu:
        y = op.graph.op(names["Relu"], "Relu", [y])
    return [Value(y, (outputs,))]


def _rows_first(matrix: np.ndarray, shape: Sequence[int]) -> Callable[[], np.ndarray]:
    """Reorders a matrix's rows from Caffe's flattening order (channels, height, width) to TensorFlow's (NHWC)."""
    channels, height, width = shape

    @functools.cache
    def decode() -> np.ndarray:
        parts = matrix.T.reshape(-1, channels, height, width)
        rows = np.empty((len(parts), height, width, channels), np.float32)  # contiguous, so that it is not copied again
        rows[...] = parts.transpose(0, 2, 3, 1)
        return rows.reshape(matrix.T.shape).T

    return decode


@register("BatchNorm")
def batch_norm(op: Operation) -> Values:
    """The ops of `tf.nn.batch_normalization`, with the scale and offset of a fused Scale layer.

    Uses the layer's epsilon; caffe-tensorflow uses Caffe's default for all layers.
    """
    channels, scale = op.channels(), op.node.scale
    factor = float(op.blob(2, (1,))[0])
    with np.errstate(all="ignore"):  # constants that overflow are refused later
        unit = np.float32(1 / factor if factor else 0)  # Caffe stores weighted sums, and the sum of the weights
        mean = op.const("mean", op.blob(0, (channels,)) * unit)
        variance = op.const("variance", op.blob(1, (channels,)) * unit)
    epsilon = float(op.parameter("batch_norm_param").eps)
    inner = f"{op.name}/"  # the scope occurs twice, as in `bn/bn/add`
    inverse = op.op(f"{inner}add", "AddV2", [variance, op.const(f"{inner}add/y", epsilon)])
    inverse = op.op(f"{inner}Rsqrt", "Rsqrt", [inverse])
    names = iter(("mul", "mul_1", "mul_2"))
    offset = None
    if scale is not None:
        _require_channel_axis(op, scale.message.scale_param)
        inverse = op.op(inner + next(names), "Mul", [inverse, op.const("scale", op.blob(0, (channels,), scale))])
        if scale.message.scale_param.bias_term:
            offset = op.const("offset", op.blob(1, (channels,), scale))
    scaled = op.op(inner + next(names), "Mul", [op.value().name, inverse])
    if offset is not None:
        shift = op.op(f"{inner}sub", "Sub", [offset, op.op(inner + next(names), "Mul", [mean, inverse])])
    else:
        shift = op.op(inner + next(names), "Mul", [op.op(f"{inner}Neg", "Neg", [mean]), inverse])
    y = op.op(f"{inner}add_1", "AddV2", [scaled, shift])
    if op.node.relu:
        y = op.op("Relu", "Relu", [y])
    return [op.value().renamed(y)]


@register("Scale")
def scale(op: Operation) -> Values:
    parameter = op.parameter("scale_param")
    if len(op.values) == 2:
        if parameter.bias_term:
            raise op.unsupported("scales by another value and has biases")
        return _with_second(op, "Mul", parameter.axis)
    channels = op.channels()
    _require_channel_axis(op, parameter)
    scale = op.const("scale", op.blob(0, (channels,)))
    y = op.op("mul" if parameter.bias_term else "", "Mul", [op.value().name, scale])
    if parameter.bias_term:
        y = op.graph.bias_add(op.name, y, op.const("offset", op.blob(1, (channels,))))
    return [op.value().renamed(y)]


@register("Bias")
def bias(op: Operation) -> Values:
    if len(op.values) == 2:
        return _with_second(op, "AddV2", op.parameter("bias_param").axis)
    _require_channel_axis(op, op.parameter("bias_param"))
    y = op.graph.bias_add(op.name, op.value().name, op.const("biases", op.blob(0, (op.channels(),))))
    return [op.value().renamed(y)]


def _with_second(op: Operation, kind: str, axis: int) -> Values:
    """Combines a value with another one, whose axes are those of the first from `axis` on, as in SE blocks."""
    first, second = op.values
    if axis not in (0, -1 - len(first.shape)) or first.permuted or second.permuted:
        raise op.unsupported(f"combines two values from axis {axis} on; only axis 0 converts")
    common = _common_shape([first.shape[: len(second.shape)], second.shape])
    if common is None:
        raise op.error(f"combines values of shapes {list(first.shape)} and {list(second.shape)}")
    if len(common) == len(first.shape):
        return [Value(op.op("", kind, [first.name, second.name]), common)]
    if len(common) != 1 or not first.is_image or common[0] is None:
        raise op.unsupported(f"combines values of shapes {list(first.shape)} and {list(second.shape)}")
    factors = op.graph.reshape(f"{op.name}/Reshape", second.name, [-1, 1, 1, common[0]])
    return [Value(op.op("", kind, [first.name, factors]), (common[0], *first.shape[1:]))]


def _require_channel_axis(op: Operation, parameter: CaffeMessage) -> None:
    axis, count = getattr(parameter, "axis", 1), getattr(parameter, "num_axes", 1)
    if (axis, count) != (1, 1):
        raise op.unsupported(
            f"has values for {count} axes from axis {axis} on; only one value for each channel converts"
        )


@register("PReLU")
def prelu(op: Operation) -> Values:
    x, channels = op.value().name, op.channels()
    shared = op.parameter("prelu_param").channel_shared
    slopes = op.const("alpha", op.blob(0, (1,) if shared else (channels,)))
    below = op.op("Relu_1", "Relu", [op.op("Neg", "Neg", [x])])
    below = op.op("mul", "Mul", [slopes, op.op("Neg_1", "Neg", [below])])
    return [op.value().renamed(op.op("", "AddV2", [op.op("Relu", "Relu", [x]), below]))]


# -- pools and norms ------------------------------------------------------------------------------------------------


@register("Pooling")
def pooling(op: Operation) -> Values:
    parameter = op.parameter("pooling_param")
    kinds = {"MAX": "MaxPool", "AVE": "AvgPool"}
    method = enum_name(parameter, "pool")
    if method not in kinds:
        raise op.unsupported(f"pools by {method}; MAX and AVE convert")
    if parameter.global_pooling:
        return _global_pool(op, {"MAX": "Max", "AVE": "Mean"}[method])
    window = read_window(parameter, op.layer.name)
    if any(pad >= kernel for pad, kernel in zip(window.pad, window.kernel, strict=True)):
        raise op.error(f"pads by {list(window.pad)}, at least the size of its window {list(window.kernel)}")
    _, channels, _ = op.image()
    made = op.size(window, round_up=True)
    if op.geometry == "tensorflow":
        y = _pool(op, "", kinds[method], op.value().name, window, op.tensorflow_padding(window, round_up=True))
    else:
        y = (_caffe_max_pool if method == "MAX" else _caffe_average_pool)(op, window)
    return [Value(y, (channels, *made))]


def _pool(op: Operation, name: str, kind: str, x: str, window: Window, padding: str) -> str:
    return op.graph.pool(f"{op.name}/{name}" if name else op.name, kind, x, window.kernel, window.stride, padding)


def _global_pool(op: Operation, kind: str) -> Values:
    x, channels, _ = op.image()
    y = op.op("", kind, [x, op.const("reduction_indices", [1, 2], np.int32)], keep_dims=True, Tidx=np.int32)
    return [Value(y, (channels, 1, 1))]


def _caffe_max_pool(op: Operation, window: Window) -> str:
    x = op.value().name
    if window.keeps_size():
        return _pool(op, "", "MaxPool", x, window, "SAME")
    return _pool(op, "", "MaxPool", _pad(op, "PadV2", x, window.pad, pool_margins(window), LOWEST), window, "VALID")


def _caffe_average_pool(op: Operation, window: Window) -> str:
    """Caffe's averages count the padding, but not the rows and columns of the last windows that lie beyond it."""
    margins = pool_margins(window)
    if any(margin >= kernel for margin, kernel in zip(margins, window.kernel, strict=True)):
        raise op.error(
            f"averages windows of {list(window.kernel)} at a stride of {list(window.stride)}; some windows are empty"
        )
    beyond = (margins[0] - window.pad[0], margins[1] - window.pad[1])
    x = _pad(op, "Pad", op.value().name, window.pad, window.pad)
    if not any(beyond):
        return _pool(op, "", "AvgPool", x, window, "VALID")
    counted = op.op("ones_like", "OnesLike", [x])
    averages = [
        _pool(op, f"AvgPool{suffix}", "AvgPool", _pad(op, f"Pad{pad}", value, (0, 0), beyond), window, "VALID")
        for suffix, pad, value in (("", "_1", x), ("_1", "_2", counted))
    ]
    return op.op("", "RealDiv", averages)


def _pad(op: Operation, name: str, x: str, before: tuple[int, int], behind: tuple[int, int], value: float = 0.0) -> str:
    """Pads an image with rows and columns of a value; returns it unchanged if there are none."""
    if not any(before + behind):
        return x
    amounts = [[0, 0], [before[0], behind[0]], [before[1], behind[1]], [0, 0]]
    inputs = [x, op.const(f"{name}/paddings", amounts, np.int32)]
    if value:
        return op.op(name, "PadV2", [*inputs, op.const(f"{name}/constant_values", value)], Tpaddings=np.int32)
    return op.op(name, "Pad", inputs, Tpaddings=np.int32)


@register("LRN")
def local_response_norm(op: Operation) -> Values:
    parameter = op.parameter("lrn_param")
    size = int(parameter.local_size)
    if parameter.norm_region or size % 2 == 0:
        raise op.unsupported(f"normalizes over {size} neighbors in its region; only an odd number of channels converts")
    x, _, _ = op.image()
    # Caffe divides alpha by the number of neighbors; TensorFlow does not.
    y = op.graph.lrn(op.name, x, size // 2, parameter.k, parameter.alpha / size, parameter.beta)
    return [op.value().renamed(y)]


@register("Normalize")
def normalize(op: Operation) -> Values:
    """SSD's layer: each position is divided by the L2 norm of its channels, and multiplied by learned scales."""
    parameter, (x, channels, _) = op.parameter("norm_param"), op.image()
    scales = op.blob(0, (1,) if parameter.channel_shared else (channels,))
    axes = op.const("Sum/reduction_indices", [1, 2, 3] if parameter.across_spatial else [3], np.int32)
    squares = op.op("Sum", "Sum", [op.op("Square", "Square", [x]), axes], keep_dims=True, Tidx=np.int32)
    above_zero = op.op("add", "AddV2", [squares, op.const("add/y", parameter.eps)])
    y = op.op("mul", "Mul", [x, op.op("Rsqrt", "Rsqrt", [above_zero])])
    return [op.value().renamed(op.op("", "Mul", [y, op.const("scale", scales)]))]


@register("Softmax")
def softmax(op: Operation) -> Values:
    value, axis = op.value(), op.parameter("softmax_param").axis
    rank = len(value.shape) + 1
    wanted = 1 if value.is_image else rank - 1  # the last axis in the graph
    if axis not in (wanted, wanted - rank):
        raise op.unsupported(f"runs along axis {axis}; only the channel axis of an image and the last axis convert")
    if not value.is_image:
        return [value.renamed(op.op("", "Softmax", [value.name]))]
    x, shape = value.name, value.shape
    if op.geometry == "tensorflow" and shape[1:] == (1, 1):
        x, shape = op.op("Squeeze", "Squeeze", [x], squeeze_dims=[1, 2]), shape[:1]
    return [Value(op.op("", "Softmax", [x]), shape)]


# -- elementwise ----------------------------------------------------------------------------------------------------

UNARY = {"Sigmoid": "Sigmoid", "TanH": "Tanh", "AbsVal": "Abs", "BNLL": "Softplus"}


@register(*UNARY)
def unary(op: Operation) -> Values:
    return [op.value().renamed(op.op("", UNARY[op.layer.type], [op.value().name]))]


@register("ReLU")
def relu(op: Operation) -> Values:
    slope = op.parameter("relu_param").negative_slope
    x = op.value().name
    y = op.op("", "LeakyRelu", [x], alpha=float(slope)) if slope else op.op("", "Relu", [x])
    return [op.value().renamed(y)]


@register("ELU")
def elu(op: Operation) -> Values:
    alpha = op.parameter("elu_param").alpha
    if alpha != 1:
        raise op.unsupported(f"has alpha {alpha:g}; TensorFlow's Elu has 1")
    return [op.value().renamed(op.op("", "Elu", [op.value().name]))]


@register("Power")
def power(op: Operation) -> Values:
    """(shift + scale * x) ** power."""
    parameter = op.parameter("power_param")
    stages = [
        (name, kind, number)
        for name, kind, number, neutral in (
            ("mul", "Mul", parameter.scale, 1.0),
            ("add", "AddV2", parameter.shift, 0.0),
            ("pow", "Pow", parameter.power, 1.0),
        )
        if number != neutral
    ]
    y = op.value().name
    for index, (name, kind, number) in enumerate(stages):
        constant = op.const(f"{name}/y", number)
        y = op.op(name if index + 1 < len(stages) else "", kind, [y, constant])
    return [op.value().renamed(y if stages else op.op("", "Identity", [y]))]


@register("Eltwise")
def eltwise(op: Operation) -> Values:
    parameter = op.parameter("eltwise_param")
    shapes = [value.shape for value in op.values]
    shape, permuted = _common_shape(shapes), op.values[0].permuted
    if any(value.permuted != permuted for value in op.values):
        raise op.unsupported("combines a permuted image with another one")
    if len(shapes) < 2 or shape is None:
        raise op.error(f"combines values of shapes {list(map(list, shapes[:4]))}")
    names = [value.name for value in op.values]
    kind = enum_name(parameter, "operation")
    if kind == "SUM":
        return [Value(op.op("", "AddN", _weighted(op, names, list(parameter.coeff)), N=len(names)), shape, permuted)]
    binary, inner = {"PROD": ("Mul", "mul"), "MAX": ("Maximum", "maximum")}[kind]
    y = names[0]
    for number, name in enumerate(names[1:], 2):
        y = op.op(f"{inner}_{number - 2}" if number < len(names) else "", binary, [y, name])
    return [Value(y, shape, permuted)]


def _weighted(op: Operation, names: list[str], weights: list[float]) -> list[str]:
    if weights and len(weights) != len(names):
        raise op.error(f"weights {len(names)} values by {len(weights)} coefficients")
    return [
        name if weight == 1 else op.op(f"mul_{number}", "Mul", [name, op.const(f"mul_{number}/y", weight)])
        for number, (name, weight) in enumerate(zip(names, weights or [1.0] * len(names), strict=True))
    ]


def _common_shape(shapes: Sequence[Shape]) -> Shape | None:
    """Merges partly known shapes; returns None if they conflict."""
    if len({len(shape) for shape in shapes}) != 1:
        return None
    known = [{size for size in sizes if size is not None} for sizes in zip(*shapes, strict=True)]
    return tuple(next(iter(sizes), None) for sizes in known) if all(len(sizes) < 2 for sizes in known) else None


# -- shapes ---------------------------------------------------------------------------------------------------------


@register("Concat")
def concat(op: Operation) -> Values:
    parameter = op.parameter("concat_param")
    axis = int(parameter.concat_dim if parameter.HasField("concat_dim") else parameter.axis)
    shapes = [value.shape for value in op.values]
    rank = len(shapes[0]) + 1
    index = axis % rank - 1  # the axis in `shapes`, which have no batch axis
    others = _common_shape([(*shape[:index], *shape[index + 1 :]) for shape in shapes])
    permuted = op.values[0].permuted
    if not -rank < axis < rank or index < 0 or others is None:
        raise op.error(f"joins values of shapes {list(map(list, shapes[:4]))} along axis {axis}")
    if any(value.permuted != permuted for value in op.values):
        raise op.unsupported("joins a permuted image and another one")
    if len(op.values) == 1:
        return [op.values[0].renamed(op.op("", "Identity", [op.values[0].name]))]
    sizes = [shape[index] for shape in shapes]
    joined = None if None in sizes else sum(size for size in sizes if size is not None)
    axis_name = op.const("axis", IMAGE_AXES[index + 1] if op.values[0].is_image else index + 1, np.int32)
    y = op.graph.concat_v2(op.name, [value.name for value in op.values], axis_name)
    return [Value(y, (*others[:index], joined, *others[index:]), permuted)]


@register("Slice")
def slices(op: Operation) -> Values:
    parameter, value = op.parameter("slice_param"), op.value()
    axis = int(parameter.slice_dim if parameter.HasField("slice_dim") else parameter.axis)
    channels, parts = op.channels(), len(op.layer.tops)
    points = [0, *map(int, parameter.slice_point), channels]
    if axis != 1:
        raise op.unsupported(f"slices along axis {axis}; only channels convert")
    if not parameter.slice_point and parts:
        points = [channels * number // parts for number in range(parts + 1)]
    sizes = np.diff(points).tolist()
    if len(sizes) != parts or min(sizes, default=0) < 1 or (not parameter.slice_point and len(set(sizes)) != 1):
        raise op.error(f"slices {channels} channels into {parts} parts at {points[1:-1]}")
    inputs = [
        value.name,
        op.const("size_splits", sizes, np.int32),
        op.const("split_dim", 3 if value.is_image else 1, np.int32),
    ]
    split = op.op("", "SplitV", inputs, num_split=parts, Tlen=np.int32)
    return [
        Value(f"{split}:{number}" if number else split, (size, *value.shape[1:])) for number, size in enumerate(sizes)
    ]


@register("Flatten")
def flatten(op: Operation) -> Values:
    parameter, value = op.parameter("flatten_param"), op.value()
    rank = len(value.shape) + 1
    first, last = (axis + rank if axis < 0 else axis for axis in (parameter.axis, parameter.end_axis))
    if not 0 <= first <= last < rank:
        raise op.error(f"flattens axes {parameter.axis} to {parameter.end_axis} of a value of rank {rank}")
    if not first:
        raise op.unsupported("flattens the batch axis")
    if first == last:
        return [value.renamed(op.op("", "Identity", [value.name]))]
    op.features()  # the sizes have to be known
    sizes = [size or 1 for size in value.shape]
    joined = math.prod(sizes[first - 1 : last])
    return _reshaped(op, value, (*sizes[: first - 1], joined, *sizes[last:]))


@register("Permute")
def permute(op: Operation) -> Values:
    """Reorders axes. The order of SSD's heads, (0, 2, 3, 1), is that of the graph: no value moves."""
    value, rank = op.value(), len(op.value().shape) + 1
    given = [int(axis) for axis in op.parameter("permute_param").order]
    order = (*given, *(axis for axis in range(rank) if axis not in given))
    if sorted(order) != list(range(rank)):
        raise op.error(f"permutes the axes of a value of rank {rank} to {given[:8]}")
    if order[0]:
        raise op.unsupported("moves the batch axis")
    shape = tuple(value.shape[axis - 1] for axis in order[1:])
    if order == ((0, 2, 3, 1) if value.is_image else (0, 3, 1, 2)):
        return [Value(op.op("", "Identity", [value.name]), shape, permuted=value.is_image)]
    if value.is_image:
        order = tuple(IMAGE_AXES[order[axis]] for axis in CAFFE_AXES)
    y = op.op("", "Transpose", [value.name, op.const("perm", order, np.int32)], Tperm=np.int32)
    return [Value(y, shape, value.permuted)]


@register("Reshape")
def reshape(op: Operation) -> Values:
    parameter, value = op.parameter("reshape_param"), op.value()
    sizes, total = list(map(int, parameter.shape.dim)), op.features()
    if parameter.axis not in (0, 1) or parameter.num_axes != -1:
        raise op.unsupported(
            f"reshapes {parameter.num_axes} axes from axis {parameter.axis} on; only a reshape of all axes converts"
        )
    if parameter.axis == 0:
        if not sizes or sizes[0] not in (0, -1):
            raise op.unsupported(f"reshapes to {sizes[:8]}; the first size has to keep the batch axis (0)")
        if sizes[0] == -1 and -1 in sizes[1:]:
            raise op.error(f"reshapes to {sizes[:8]}; only one size can be -1")
        sizes = sizes[1:]
    shape = _filled(op, sizes, value, total)
    if len(shape) not in (1, 2, 3):
        raise op.unsupported(
            f"reshapes to {list(shape)[:8]}; only vectors (1 size), matrices (2 sizes) and images (3 sizes) convert"
        )
    return _reshaped(op, value, shape)


def _filled(op: Operation, sizes: list[int], value: Value, total: int) -> tuple[int, ...]:
    """Replaces zeros by the input's sizes, and -1 by the remaining size."""
    known = [
        int(value.shape[axis] or 0) if size == 0 and axis < len(value.shape) else size
        for axis, size in enumerate(sizes)
    ]
    fixed, open_sizes = math.prod(size for size in known if size != -1), known.count(-1)
    if min(known, default=0) < -1 or 0 in known or open_sizes > 1 or (total % fixed if open_sizes else total != fixed):
        raise op.error(f"reshapes {total} values of shape {list(value.shape)} to {sizes[:8]}")
    return tuple(total // fixed if size == -1 else size for size in known)


def _reshaped(op: Operation, value: Value, shape: tuple[int, ...]) -> Values:
    """Reshapes a value whose elements are in Caffe's order (channels, height, width)."""
    x = value.name
    if value.is_image and value.shape[1:] != (1, 1):
        x = op.op("transpose", "Transpose", [x, op.const("transpose/perm", [0, 3, 1, 2], np.int32)], Tperm=np.int32)
    if len(shape) < 3:
        return [Value(op.graph.reshape(op.name, x, [-1, *shape]), shape)]
    x = op.graph.reshape(f"{op.name}/Reshape", x, [-1, *shape])
    y = op.op("", "Transpose", [x, op.const("transpose_1/perm", [0, 2, 3, 1], np.int32)], Tperm=np.int32)
    return [Value(y, shape)]
