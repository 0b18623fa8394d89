"""Steps that add convolutions, pools, normalizations and resizings."""

from __future__ import annotations

import math

import numpy as np

from parity_tests.properties.graphs.builder import Builder, step
from parity_tests.properties.graphs.choosing import NothingFits, Value


def _length(size: int, window: int, stride: int, padding: str) -> int:
    """Returns the number of places of a window; a dilated window has its full extent."""
    return -(-size // stride) if padding == "SAME" else -(-(size - window + 1) // stride)


def _window(builder: Builder, value: Value, equal_strides: bool = False) -> tuple[list[int], list[int], str, list[int]]:
    """Draws (kernel, strides, padding, places) over height and width."""
    choices = builder.choices
    kernel = [choices.randint(1, 4), choices.randint(1, 4)]
    strides = [choices.randint(1, 3), choices.randint(1, 3)]
    if equal_strides:
        strides[1] = strides[0]
    padding = choices.choice(("SAME", "VALID"))
    places = [_length(n, k, s, padding) for n, k, s in zip(value.shape[1:3], kernel, strides, strict=True)]
    return kernel, strides, padding, places


@step("Conv2D")
def _conv(builder: Builder) -> None:
    value = builder.image()
    kernel, strides, padding, _ = _window(builder, value)
    dilation = [1, 1]
    if builder.choices.random() < 0.3:
        strides, dilation = [1, 1], [builder.choices.randint(1, 3), builder.choices.randint(1, 3)]
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    sizes, more = list(value.shape[1:3]), {}
    if dilation == [1, 1] and builder.choices.random() < 0.2:
        amounts = [builder.choices.randint(0, 2) for _ in range(4)]
        padding, more = "EXPLICIT", {"explicit_paddings": [0, 0, *amounts, 0, 0]}
        sizes = [sizes[0] + sum(amounts[:2]), sizes[1] + sum(amounts[2:])]
    places = [_length(n, k, s, padding) for n, k, s in zip(sizes, extents, strides, strict=True)]
    outputs = builder.choices.randint(1, 5)
    if min(places) < 1:
        raise NothingFits
    fan = math.sqrt(kernel[0] * kernel[1] * value.shape[3])
    weights = builder.numbers((*kernel, value.shape[3], outputs), -1.7 / fan, 1.7 / fan)
    if builder.choices.random() < 0.3:
        weights = builder.op("Identity", [weights])
    name = builder.op(
        "Conv2D", [value.name, weights], strides=[1, *strides, 1], padding=padding, data_format="NHWC",
        dilations=[1, *dilation, 1], **more,
    )  # fmt: skip
    builder.add(name, (value.shape[0], *places, outputs))


@step("DepthwiseConv2dNative")
def _depthwise(builder: Builder) -> None:
    value = builder.image()
    kernel, strides, padding, places = _window(builder, value, equal_strides=True)
    multiplier = builder.choices.randint(1, 2)
    if min(places) < 1:
        raise NothingFits
    weights = builder.numbers((*kernel, value.shape[3], multiplier))
    name = builder.op(
        "DepthwiseConv2dNative", [value.name, weights], strides=[1, *strides, 1], padding=padding, data_format="NHWC"
    )
    builder.add(name, (value.shape[0], *places, value.shape[3] * multiplier))


@step("Conv2DBackpropInput")
def _transposed(builder: Builder) -> None:
    value = builder.image()
    kernel = [builder.choices.randint(1, 4), builder.choices.randint(1, 4)]
    strides = [builder.choices.randint(1, 3), builder.choices.randint(1, 3)]
    padding = builder.choices.choice(("SAME", "VALID"))
    sizes = []
    for places, window, stride in zip(value.shape[1:3], kernel, strides, strict=True):
        fitting = [n for n in range(1, places * stride + window) if _length(n, window, stride, padding) == places]
        if not fitting:
            raise NothingFits
        sizes.append(builder.choices.choice(fitting))
    outputs = builder.choices.randint(1, 4)
    shape = (value.shape[0], *sizes, outputs)
    inputs = [builder.integers(shape), builder.numbers((*kernel, outputs, value.shape[3])), value.name]
    name = builder.op("Conv2DBackpropInput", inputs, strides=[1, *strides, 1], padding=padding, data_format="NHWC")
    builder.add(name, shape)


@step("MaxPool", "AvgPool")
def _pool(builder: Builder, op: str) -> None:
    value = builder.image()
    kernel, strides, padding, places = _window(builder, value)
    if min(places) < 1:
        raise NothingFits
    name = builder.graph.pool(builder.name(op), op, value.name, tuple(kernel), tuple(strides), padding)
    builder.add(name, (value.shape[0], *places, value.shape[3]), value.exact and op == "MaxPool")


@step("LRN")
def _lrn(builder: Builder) -> None:
    value = builder.image()
    draw = builder.choices.uniform
    numbers = (draw(0.5, 2), draw(0, 1), draw(0.3, 1))
    name = builder.graph.lrn(builder.name("LRN"), value.name, builder.choices.randint(0, 4), *numbers)
    builder.add(name, value.shape)


@step("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def _batch_norm(builder: Builder, op: str) -> None:
    value = builder.image()
    vectors = [builder.numbers(value.shape[3:], low, high) for low, high in ((0.5, 1.5), (-1, 1), (-1, 1), (0.1, 2))]
    more = {} if op == "FusedBatchNorm" else {"U": np.float32}
    epsilon = builder.choices.choice((1e-3, 1e-5))
    inputs = [value.name, *vectors]
    builder.add(builder.op(op, inputs, epsilon=epsilon, is_training=False, data_format="NHWC", **more), value.shape)


@step("BiasAdd")
def _bias(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank in (2, 4))
    name = builder.graph.bias_add(builder.name("BiasAdd"), value.name, builder.numbers(value.shape[-1:]))
    builder.add(name, value.shape)


@step("ResizeBilinear", "ResizeNearestNeighbor")
def _resize(builder: Builder, op: str) -> None:
    value = builder.image()
    size = [builder.choices.randint(1, 14), builder.choices.randint(1, 14)]
    convention = builder.choices.choice(({}, {"align_corners": True}, {"half_pixel_centers": True}))
    attributes = {"align_corners": False, "half_pixel_centers": False, **convention}
    name = builder.op(op, [value.name, builder.integers(size)], **attributes)
    exact = value.exact and op == "ResizeNearestNeighbor"
    builder.add(name, (value.shape[0], *size, value.shape[3]), exact)


@step("SpaceToDepth", "DepthToSpace")
def _depth(builder: Builder, op: str) -> None:
    block = builder.choices.randint(2, 3)
    if op == "SpaceToDepth":
        value = builder.pick(lambda v: v.rank == 4 and v.shape[1] % block == v.shape[2] % block == 0)
    else:
        value = builder.pick(lambda v: v.rank == 4 and v.shape[3] % block**2 == 0)
    batch, height, width, channels = value.shape
    shape = (batch, height * block, width * block, channels // block**2)
    if op == "SpaceToDepth":
        shape = (batch, height // block, width // block, channels * block**2)
    name = builder.op(op, [value.name], block_size=block, data_format="NHWC")
    builder.add(name, shape, value.exact)


@step("SpaceToBatchND")
def _space_to_batch(builder: Builder) -> None:
    """Both ways, as dilated convolutions have it; between them a ReLU."""
    value = builder.image()
    block = [builder.choices.randint(1, 3), builder.choices.randint(1, 3)]
    before = [builder.choices.randint(0, 2) for _ in block]
    after = [-(size + first) % length for size, first, length in zip(value.shape[1:3], before, block, strict=True)]
    pads = [list(pair) for pair in zip(before, after, strict=True)]
    kinds = {"Tblock_shape": np.int32}
    blocks = builder.integers(block)
    moved = builder.op("SpaceToBatchND", [value.name, blocks, builder.integers(pads)], Tpaddings=np.int32, **kinds)
    moved = builder.op("Relu", [moved])
    crops = builder.integers([[0, first + last] for first, last in pads])
    name = builder.op("BatchToSpaceND", [moved, blocks, crops], Tcrops=np.int32, **kinds)
    builder.add(name, value.shape, value.exact)
