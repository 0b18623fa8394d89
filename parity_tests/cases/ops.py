"""Cases of common ops of image networks: windows, normalisations, joins, shapes, values one at a time, constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.frozen.writer import Size
from parity_tests.cases.base import CHANNELS, ONE_SIZE, Build, CaseWriter, case, label

# -- windows ----------------------------------------------------------------------------------------------------------

KERNELS: tuple[Size, ...] = (1, 2, 3, 5, 7, (1, 7), (3, 2))
STRIDES: tuple[Size, ...] = (1, 2, 3, (2, 1))
PADDINGS = ("SAME", "VALID")


def convolution(kernel: Size, stride: Size, padding: str, dilation: Size = 1) -> Build:
    """Conv2D and its bias, as all graphs have them."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel

    def build(w: CaseWriter) -> None:
        weights = w.seeded("weights", (height, width, w.channels, 5))
        y = w.conv2d("conv", w.x, weights, stride, padding, dilation)
        w.bias_add("y", y, w.seeded("bias", (5,)))

    return build


def explicit_padding(w: CaseWriter) -> None:
    weights = w.seeded("weights", (3, 3, w.channels, 4))
    w.op(
        "y", "Conv2D", [w.x, weights], strides=[1, 2, 2, 1], padding="EXPLICIT",
        explicit_paddings=[0, 0, 1, 2, 0, 3, 0, 0], data_format="NHWC",
    )  # fmt: skip


def depthwise(kernel: int, stride: int, padding: str, multiplier: int, dilation: int = 1) -> Build:
    def build(w: CaseWriter) -> None:
        weights = w.seeded("weights", (kernel, kernel, w.channels, multiplier))
        w.op(
            "y", "DepthwiseConv2dNative", [w.x, weights], strides=[1, stride, stride, 1], padding=padding,
            data_format="NHWC", dilations=[1, dilation, dilation, 1],
        )  # fmt: skip

    return build


def pool(kind: str, kernel: Size, stride: Size, padding: str) -> Build:
    return lambda w: w.pool("y", kind, w.x, kernel, stride, padding)


def add_windows() -> None:
    for kernel in KERNELS:
        for stride in STRIDES:
            for padding in PADDINGS:
                case(f"conv-{label(kernel)}-stride-{label(stride)}-{padding}", convolution(kernel, stride, padding))
    for kernel, dilation in ((3, 2), (2, 3), (3, (1, 2)), ((3, 5), 2)):
        for padding in PADDINGS:
            name = f"conv-{label(kernel)}-dilation-{label(dilation)}-{padding}"
            case(name, convolution(kernel, 1, padding, dilation), sizes=((15, 15), (12, 17), (11, 13)))
    case("conv-explicit-padding", explicit_padding)
    for kernel, stride, multiplier in ((3, 1, 1), (3, 2, 1), (5, 1, 2), (2, 1, 3), (4, 3, 2)):
        for padding in PADDINGS:
            name = f"depthwise-{kernel}-stride-{stride}-multiplier-{multiplier}-{padding}"
            case(name, depthwise(kernel, stride, padding, multiplier))
    for kind in ("MaxPool", "AvgPool"):
        for kernel in (2, 3, 5, 7, (2, 3), (1, 4)):
            for stride in STRIDES:
                for padding in PADDINGS:
                    name = f"{kind}-{label(kernel)}-stride-{label(stride)}-{padding}"
                    # Negative all over: padding that won a maximum, or counted in a mean, would show everywhere.
                    case(name, pool(kind, kernel, stride, padding), low=-3.0, high=-0.5)
    case("MaxPool-1-stride-2-SAME", pool("MaxPool", 1, 2, "SAME"))  # the shortcut of ResNets


# -- normalisation ----------------------------------------------------------------------------------------------------


def lrn(radius: int, bias: float, alpha: float, beta: float) -> Build:
    return lambda w: w.lrn("y", w.x, radius, bias, alpha, beta)


def batch_norm(op: str, epsilon: float) -> Build:
    def build(w: CaseWriter) -> None:
        vectors = [
            w.seeded("gamma", (w.channels,), 0.5, 1.5),
            w.seeded("beta", (w.channels,)),
            w.seeded("mean", (w.channels,)),
            w.seeded("variance", (w.channels,), 0.001, 2.0),  # small enough for epsilon to matter
        ]
        more = {} if op == "FusedBatchNorm" else {"U": np.float32}
        w.op("y", op, [w.x, *vectors], epsilon=epsilon, is_training=False, data_format="NHWC", **more)

    return build


def batch_norm_by_parts(w: CaseWriter) -> None:
    """Batch norm as graphs have it that were not fused: products and sums with vectors, epsilon a scalar."""
    variance = w.seeded("variance", (w.channels,), 0.5, 2.0)
    y = w.op("mul", "Mul", [w.x, w.seeded("scale", (w.channels,))])
    y = w.op("sub", "Sub", [w.seeded("offset", (w.channels,)), y])
    w.op("y", "RealDiv", [y, variance])


def add_normalisations() -> None:
    for radius, bias, alpha, beta in (
        (5, 2.0, 1e-4, 0.5),  # InceptionV1
        (2, 1.0, 2e-5, 0.75),  # GoogLeNet from Caffe
        (2, 1.0, 0.5, 0.75),
        (1, 0.5, 0.3, 0.9),
        (3, 1.5, 1.0, 0.5),
        (0, 1.0, 2.0, 1.0),
        (20, 1.0, 0.1, 0.75),  # wider than there are channels
    ):
        options = {"channels": 13, "low": -60.0, "high": 60.0, "sizes": ((5, 7), (4, 4))}
        case(f"lrn-{radius}-{bias:g}-{alpha:g}-{beta:g}", lrn(radius, bias, alpha, beta), **options)
    case("lrn-defaults", lambda w: w.op("y", "LRN", [w.x]), channels=13)
    for op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
        for epsilon in (1e-3, 1e-5):
            case(f"{op}-{epsilon:g}", batch_norm(op, epsilon), sizes=ONE_SIZE)
    case("batch-norm-by-parts", batch_norm_by_parts, sizes=ONE_SIZE)


# -- joining ----------------------------------------------------------------------------------------------------------


def towers(w: CaseWriter, kinds: Sequence[str]) -> list[str]:
    """A 1x1 convolution behind each name, with the named activation, or none."""
    made = []
    for index, kind in enumerate(kinds):
        name = f"tower{index}"
        y = w.conv2d(f"{name}/conv", w.x, w.seeded(f"{name}/weights", (1, 1, w.channels, 2 + index)))
        y = w.bias_add(f"{name}/bias_add", y, w.seeded(f"{name}/bias", (2 + index,)))
        made.append(w.op(name, kind, [y]) if kind else y)
    return made


def concat(kinds: Sequence[str], axis: int, name: str = "mixed") -> Build:
    return lambda w: w.concat(name, w.const(f"{name}/concat_dim", axis), towers(w, kinds))


def concat_v2(kinds: Sequence[str], axis: int, name: str = "mixed") -> Build:
    return lambda w: w.concat_v2(name, towers(w, kinds), w.const(f"{name}/axis", axis))


def concat_rows(axis: int) -> Build:
    """Joins two images along an axis that is not the channels; no `_pre_relu` belongs to it."""
    return lambda w: w.concat_v2("y", [w.op("relu", "Relu", [w.x]), w.x], w.const("axis", axis))


def concat_of_rows(w: CaseWriter) -> None:
    """Joins rank-2 values."""
    rows = w.op("mean", "Mean", [w.x, w.const("axes", [1, 2])], keep_dims=False, Tidx=np.int32)
    w.concat_v2("y", [rows, w.op("relu", "Relu", [rows])], w.const("axis", 1))


def concat_with_a_pool(w: CaseWriter) -> None:
    """A module whose last tower is a bare pool, which Lucid's `_pre_relu` takes as it is."""
    bare = w.pool("pool", "MaxPool", w.x, 3, 1, "SAME")
    w.concat("mixed", w.const("mixed/concat_dim", 3), [*towers(w, ["Relu", "Relu"]), bare])


def add_joins() -> None:
    case("Concat", concat(["Relu", "Relu", "Relu", "Relu"], 3))
    case("Concat-nested-name", concat(["Relu", "Relu"], 3, name="block/inner/join"))
    case("Concat-other-activation", concat(["Relu", "Elu", ""], 3))
    case("Concat-with-a-pool", concat_with_a_pool)
    case("Concat-negative-axis", concat(["Relu", "Relu6"], -1))
    case("ConcatV2", concat_v2(["Relu", "Relu", "Relu"], 3))
    case("ConcatV2-nested-name", concat_v2(["Relu", ""], 3, name="block/inner/join"))
    case("ConcatV2-negative-axis", concat_v2(["Relu", "Relu"], -1))
    for axis in (0, 1, 2, -2, -3):
        case(f"ConcatV2-axis-{axis}", concat_rows(axis))
    case("ConcatV2-of-rows", concat_of_rows)


# -- shapes -----------------------------------------------------------------------------------------------------------


def dense(columns: int, transpose_b: bool = False, outputs: int = 4) -> Build:
    """Reshape into rows and a matrix product, which is right only if values are laid out as TensorFlow does."""

    def build(w: CaseWriter) -> None:
        rows = w.reshape("rows", w.x, [-1, columns])
        shape = (outputs, columns) if transpose_b else (columns, outputs)
        w.bias_add("y", w.matmul("product", rows, w.seeded("matrix", shape), transpose_b), w.seeded("bias", (outputs,)))

    return build


def mean(axes: Sequence[int], keep: bool, scalar: bool = False) -> Build:
    def build(w: CaseWriter) -> None:
        axis = w.const("axes", axes[0] if scalar else list(axes))
        w.op("y", "Mean", [w.x, axis], keep_dims=keep, Tidx=np.int32)

    return build


def squeeze(axes: Sequence[int]) -> Build:
    """Mean over positions and Squeeze, as Slim's networks end."""

    def build(w: CaseWriter) -> None:
        pooled = w.op("pool", "Mean", [w.x, w.const("axes", [1, 2])], keep_dims=True, Tidx=np.int32)
        y = w.op("squeeze", "Squeeze", [pooled], squeeze_dims=list(axes))
        w.op("y", "Softmax", [y])

    return build


def pad(amounts: Sequence[Sequence[int]]) -> Build:
    return lambda w: w.op("y", "Pad", [w.x, w.const("paddings", np.array(amounts, np.int32))], Tpaddings=np.int32)


def pad_v2(w: CaseWriter) -> None:
    paddings = w.const("paddings", np.array([[0, 0], [1, 2], [0, 3], [0, 0]], np.int32))
    w.op("y", "PadV2", [w.x, paddings, w.const("fill", 1.5)], Tpaddings=np.int32)


def padded_conv(w: CaseWriter) -> None:
    """Slim's ResNet convolutions of stride 2: explicit zeros, then VALID."""
    amounts = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    x = w.op("pad", "Pad", [w.x, w.const("paddings", amounts)], Tpaddings=np.int32)
    w.conv2d("y", x, w.seeded("weights", (3, 3, w.channels, 4)), 2, "VALID")


def add_shapes() -> None:
    per_image = {"channels": 4, "sizes": ((3, 5),)}
    case("dense", dense(3 * 5 * 4), **per_image)
    case("dense-transposed", dense(3 * 5 * 4, transpose_b=True), **per_image)
    case("dense-folds-positions", dense(2 * 4), channels=4, sizes=((2, 2), (4, 3), (3, 6)))
    # 36 values an image, rows of 54: rows reach across images where the batch has a whole number of them.
    case("dense-folds-across-images", dense(54), channels=4, sizes=((3, 3), (6, 3)), batch=6)
    case("dense-refuses", dense(56), channels=4, sizes=((3, 3), (2, 7)))
    case("reshape-to-image", lambda w: w.reshape("y", w.x, [-1, 1, 1, 24]), channels=4, sizes=((2, 3), (4, 3)))
    for keep in (False, True):
        case(f"mean-positions-keep-{keep}", mean([1, 2], keep))
        case(f"mean-negative-axes-keep-{keep}", mean([-3, -2], keep))
    case("mean-channels-keep-True", mean([3], True))
    case("mean-scalar-axis", mean([1], True, scalar=True))
    case("squeeze-positions", squeeze([1, 2]))
    case("squeeze-negative", squeeze([-3, -2]))
    case("pad-positions", pad([[0, 0], [1, 2], [3, 0], [0, 0]]))
    case("pad-channels", pad([[0, 0], [0, 0], [0, 0], [1, 2]]))
    case("pad-value", pad_v2)
    case("pad-then-conv", padded_conv)


# -- values one at a time ---------------------------------------------------------------------------------------------

ACTIVATIONS = ("Relu", "Relu6", "Elu", "Selu", "Softplus", "Sigmoid", "Tanh", "Softmax", "Identity", "StopGradient")
ARITHMETIC = ("Add", "AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum")
CONSTANTS = {"vector": (CHANNELS,), "scalar": (), "rank-4": (1, 1, 1, CHANNELS), "rank-3": (1, 1, CHANNELS)}


def activation(op: str, **attrs: float) -> Build:
    return lambda w: w.op("y", op, [w.x], **attrs)


def with_constant(op: str, shape: Sequence[int], first: bool) -> Build:
    def build(w: CaseWriter) -> None:
        # Away from zero, so that a quotient's error is not one of the data's conditioning.
        constant = w.seeded("constant", shape, 0.5, 1.5)
        source = w.op("shifted", "Elu", [w.x])
        divisor = w.op("divisor", "Softplus", [source])
        inputs = [constant, divisor] if first else [source, constant]
        w.op("y", op, inputs)

    return build


def with_tensor(op: str) -> Build:
    def build(w: CaseWriter) -> None:
        other = w.op("other", "Softplus", [w.x])
        w.op("y", op, [w.op("tanh", "Tanh", [w.x]), other])

    return build


def with_spread_tensor(op: str) -> Build:
    """One side is 1 x 1 and spreads over positions, as in squeeze-and-excitation."""

    def build(w: CaseWriter) -> None:
        pooled = w.op("pool", "Mean", [w.x, w.const("axes", [1, 2])], keep_dims=True, Tidx=np.int32)
        w.op("y", op, [w.x, w.op("gate", "Sigmoid", [pooled])])

    return build


def with_image_constant(w: CaseWriter) -> None:
    """A constant with rows and columns, in TensorFlow's order."""
    w.op("y", "Add", [w.x, w.seeded("constant", (1, 5, 7, w.channels))])


def rows_with_constant(w: CaseWriter) -> None:
    rows = w.op("mean", "Mean", [w.x, w.const("axes", [1, 2])], keep_dims=False, Tidx=np.int32)
    w.op("y", "Mul", [rows, w.seeded("constant", (w.channels,))])


def softmax_of_rows(w: CaseWriter) -> None:
    w.op("y", "Softmax", [w.reshape("rows", w.x, [-1, w.channels])])


def add_elementwise() -> None:
    for op in ACTIVATIONS:
        case(op, activation(op), low=-8.0, high=8.0, sizes=ONE_SIZE)
    for op in ("Relu6", "Softplus", "Sigmoid", "Tanh", "Elu", "Softmax"):
        case(f"{op}-large-values", activation(op), low=-120.0, high=120.0, sizes=ONE_SIZE, gradient=False)
    case("LeakyRelu", activation("LeakyRelu"), sizes=ONE_SIZE)
    case("LeakyRelu-alpha", activation("LeakyRelu", alpha=0.05), sizes=ONE_SIZE)
    case("softmax-of-rows", softmax_of_rows, sizes=ONE_SIZE)
    for op in ARITHMETIC:
        case(f"{op}-tensor", with_tensor(op), sizes=ONE_SIZE)
        case(f"{op}-spread-tensor", with_spread_tensor(op), sizes=ONE_SIZE)
        for kind, shape in CONSTANTS.items():
            case(f"{op}-{kind}", with_constant(op, shape, first=False), sizes=ONE_SIZE)
            case(f"{op}-{kind}-first", with_constant(op, shape, first=True), sizes=ONE_SIZE)
    case("add-image-constant", with_image_constant, sizes=ONE_SIZE)
    case("mul-rows-constant", rows_with_constant, sizes=ONE_SIZE)
    for op in ("Snapshot", "PreventGradient"):
        case(op, activation(op), sizes=ONE_SIZE)
    case("CheckNumerics", lambda w: w.op("y", "CheckNumerics", [w.x], message="bad"), sizes=ONE_SIZE)
    case("BiasAddV1", lambda w: w.op("y", "BiasAddV1", [w.x, w.seeded("bias", (w.channels,))]), sizes=ONE_SIZE)


# -- equal values -----------------------------------------------------------------------------------------------------
# Flat parts of a photo make ties everywhere; which of two equal values gets the gradient is a convention.


def of_doubled(op: str, first: bool) -> Build:
    """x and 2 x, which are equal at zero and have different gradients there."""

    def build(w: CaseWriter) -> None:
        doubled = w.op("doubled", "AddV2", [w.x, w.x])
        w.op("y", op, [w.x, doubled] if first else [doubled, w.x])

    return build


def of_constant(op: str, first: bool) -> Build:
    """x and a constant that many of its values are equal to."""

    def build(w: CaseWriter) -> None:
        constant = w.const("constant", 0.5)
        w.op("y", op, [w.x, constant] if first else [constant, w.x])

    return build


def add_ties() -> None:
    for kernel, stride in ((2, 1), (2, 2), (3, 1), (3, 2), (5, 3)):
        for padding in PADDINGS:
            case(
                f"ties-MaxPool-{kernel}-stride-{stride}-{padding}",
                pool("MaxPool", kernel, stride, padding),
                kind="steps",
            )
    for op in ("Relu", "Relu6", "Elu", "Selu", "LeakyRelu"):
        case(f"ties-{op}", activation(op), kind="steps", low=-8.0, high=8.0, sizes=ONE_SIZE)
    for op in ("Maximum", "Minimum"):
        for first in (True, False):
            order = "first" if first else "second"
            case(f"ties-{op}-{order}", of_doubled(op, first), kind="steps", sizes=ONE_SIZE)
            case(f"ties-{op}-constant-{order}", of_constant(op, first), kind="steps", sizes=ONE_SIZE)


# -- how constants are stored -----------------------------------------------------------------------------------------


def splat_weights(w: CaseWriter) -> None:
    """Constants that state one value for a whole tensor."""
    y = w.conv2d("conv", w.x, w.splat("weights", 0.125, (3, 3, w.channels, 2)), 2, "SAME")
    w.bias_add("y", y, w.splat("bias", -0.5, (2,)))


def read_nodes(w: CaseWriter) -> None:
    """Frozen variables: an Identity called `read` stands between the constant and its user."""
    weights = w.op("weights/read", "Identity", [w.seeded("weights", (3, 3, w.channels, 2))])
    bias = w.op("bias/read", "Identity", [w.seeded("bias", (2,))])
    w.bias_add("y", w.conv2d("conv", w.x, weights), bias)


def numbered_and_control_inputs(w: CaseWriter) -> None:
    """Inputs written `name:0`, and `^name`, which only orders."""
    y = w.conv2d("conv", f"{w.x}:0", w.seeded("weights", (3, 3, w.channels, 2)))
    w.op("y", "Relu", [f"{y}:0", f"^{w.x}"])


def attributes_left_out(w: CaseWriter) -> None:
    """Attributes at their defaults are missing, as in old graphs."""
    weights = w.seeded("weights", (3, 3, w.channels, 2))
    y = w.op("conv", "Conv2D", [w.x, weights], strides=[1, 2, 2, 1], padding="SAME")
    y = w.op("bias_add", "BiasAdd", [y, w.seeded("bias", (2,))])
    w.op("y", "MaxPool", [y], ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="SAME")


def add_constants() -> None:
    case("splat-constants", splat_weights)
    case("read-nodes", read_nodes)
    case("numbered-and-control-inputs", numbered_and_control_inputs)
    case("attributes-left-out", attributes_left_out)


def add() -> None:
    """Adds the cases."""
    for some in (add_windows, add_normalisations, add_joins, add_shapes, add_elementwise, add_ties, add_constants):
        some()
