"""Steps that add convolutions, pools, normalizations and resizings."""

from __future__ import annotations

import math

import numpy as np

from parity_tests.properties.graphs.choosing import NothingFits, Value
from parity_tests.properties.onnx_graphs.builder import Builder, step


def _places(size: int, window: int, stride: int, before: int, after: int, ceil: bool = False) -> int:
    """Returns the number of places of a window; the last may not start in the padding behind the end."""
    rest = size + before + after - window
    count = (math.ceil if ceil else math.floor)(rest / stride) + 1
    return count - 1 if ceil and (count - 1) * stride >= size + before else count


def _window(
    builder: Builder, value: Value, dilation: int, ceil: bool = False, largest: int = 4
) -> tuple[dict[str, object], list[int], list[int]]:
    """Draws (attributes, kernel, places) of a window over height and width."""
    choices = builder.choices
    kernel = [choices.randint(1, largest), choices.randint(1, largest)]
    dilations = [choices.randint(1, dilation), choices.randint(1, dilation)]
    strides = [choices.randint(1, 3), choices.randint(1, 3)]
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    kind = choices.choice(("NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"))
    attributes: dict[str, object] = {"kernel_shape": kernel, "strides": strides}
    if dilation > 1:
        attributes["dilations"] = dilations
    pads = [0, 0, 0, 0]
    if kind == "NOTSET":
        pads = [choices.randint(0, (kernel[axis % 2] - 1) // 2 + (kernel[axis % 2] > 1)) for axis in range(4)]
        pads = [min(pad, kernel[axis % 2] - 1) for axis, pad in enumerate(pads)]
        attributes["pads"] = pads
    else:
        attributes["auto_pad"] = kind
    same = kind.startswith("SAME")
    if same and (dilations != [1, 1] or any(k < stride for k, stride in zip(kernel, strides, strict=True))):
        raise NothingFits  # onnxruntime refuses these windows, or leaves the dilation out of the padding
    places = [
        -(-size // stride) if same else _places(size, extent, stride, pads[axis], pads[axis + 2], ceil)
        for axis, (size, extent, stride) in enumerate(zip(value.shape[2:], extents, strides, strict=True))
    ]
    if min(places) < 1 or any(
        n + pads[axis] + pads[axis + 2] < extent
        for axis, (n, extent) in enumerate(zip(value.shape[2:], extents, strict=True))
        if not same
    ):
        raise NothingFits
    return attributes, kernel, places


def _groups(builder: Builder, channels: int) -> int:
    return builder.choices.choice([n for n in range(1, channels + 1) if channels % n == 0])


@step("Conv")
def _conv(builder: Builder) -> None:
    value = builder.image()
    attributes, kernel, places = _window(builder, value, dilation=2)
    groups = _groups(builder, value.shape[1]) if builder.choices.random() < 0.4 else 1
    outputs = groups * builder.choices.randint(1, 3)
    shape = (outputs, value.shape[1] // groups, *kernel)
    inputs = [value.name, builder.weights(shape, math.prod(shape[1:]))]
    if builder.choices.random() < 0.6:
        inputs.append(builder.numbers((outputs,)))
    if builder.choices.random() < 0.3:
        del attributes["kernel_shape"]  # the weights have it
    more = {"group": groups} if groups > 1 or builder.choices.random() < 0.3 else {}
    builder.add(builder.op("Conv", inputs, **attributes, **more), (value.shape[0], outputs, *places))


@step("ConvTranspose")
def _transposed(builder: Builder) -> None:
    value, choices = builder.image(), builder.choices
    kernel, strides = [choices.randint(1, 4), choices.randint(1, 4)], [choices.randint(1, 3), choices.randint(1, 3)]
    dilations = [choices.randint(1, 2), choices.randint(1, 2)]
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [choices.randint(0, min(2, extents[axis % 2] - 1)) for axis in range(4)]
    added = [choices.randint(0, stride - 1) for stride in strides]
    places = [
        strides[axis] * (value.shape[2 + axis] - 1) + added[axis] + extents[axis] - pads[axis] - pads[axis + 2]
        for axis in range(2)
    ]
    if min(places) < 1:
        raise NothingFits
    groups = _groups(builder, value.shape[1]) if choices.random() < 0.4 else 1
    outputs = choices.randint(1, 3)
    inputs = [value.name, builder.weights((value.shape[1], outputs, *kernel), value.shape[1] * math.prod(kernel))]
    if choices.random() < 0.6:
        inputs.append(builder.numbers((groups * outputs,)))
    name = builder.op(
        "ConvTranspose", inputs, strides=strides, dilations=dilations, pads=pads, output_padding=added, group=groups
    )
    builder.add(name, (value.shape[0], groups * outputs, *places))


def _shortened(value: Value, attributes: dict[str, object], places: list[int]) -> bool:
    """Returns whether a last window was dropped because it would start in the padding."""
    pads, kernel, strides = (attributes[key] for key in ("pads", "kernel_shape", "strides"))
    return any(
        math.ceil((size + pads[axis] + pads[axis + 2] - kernel[axis]) / strides[axis]) + 1 != places[axis]
        for axis, size in enumerate(value.shape[2:])
    )


@step("MaxPool", "AveragePool", "LpPool")
def _pool(builder: Builder, op: str) -> None:
    value = builder.image()
    ceil = op != "LpPool" and builder.may(10, 0.3)
    dilation = 2 if op == "MaxPool" and builder.may(10) else 1
    attributes, _, places = _window(builder, value, dilation, ceil)
    if ceil and "pads" not in attributes:
        raise NothingFits  # the standard does not say how rounding up and automatic padding combine
    attributes |= {"ceil_mode": 1} if ceil else {}
    if ceil and op == "AveragePool" and _shortened(value, attributes, places):
        raise NothingFits  # the standard's own inference of shapes counts these windows
    if op == "AveragePool" and builder.choices.random() < 0.4:
        attributes["count_include_pad"] = 1
    if op == "LpPool":
        attributes["p"] = builder.choices.randint(1, 3)
    builder.add(builder.op(op, [value.name], **attributes), (*value.shape[:2], *places), value.exact and op[0] == "M")


@step("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(builder: Builder, op: str) -> None:
    _of_all_positions(builder, op)


@step("GlobalLpPool", until=21)  # onnxruntime does not have the op of opset 22
def _global_lp_pool(builder: Builder) -> None:
    _of_all_positions(builder, "GlobalLpPool")


def _of_all_positions(builder: Builder, op: str) -> None:
    value = builder.image()
    more = {"p": builder.choices.randint(1, 3)} if op == "GlobalLpPool" else {}
    builder.add(builder.op(op, [value.name], **more), (*value.shape[:2], 1, 1), value.exact and op == "GlobalMaxPool")


@step("LRN")
def _lrn(builder: Builder) -> None:
    value, draw = builder.image(), builder.choices.uniform
    size = builder.choices.choice((1, 3, 5, 9))
    builder.add(
        builder.op("LRN", [value.name], size=size, alpha=draw(0, 1), beta=draw(0.3, 1), bias=draw(0.5, 2)), value.shape
    )


@step("BatchNormalization")
def _batch_norm(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank >= 2)
    limits = ((0.5, 1.5), (-1, 1), (-1, 1), (0.1, 2))
    vectors = [builder.numbers(value.shape[1:2], low, high) for low, high in limits]
    epsilon = builder.choices.choice((1e-3, 1e-5))
    builder.add(builder.op("BatchNormalization", [value.name, *vectors], epsilon=epsilon), value.shape)


@step("InstanceNormalization")
def _instance_norm(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank >= 3 and math.prod(value.shape[2:]) > 3)
    vectors = [builder.numbers(value.shape[1:2], 0.5, 1.5), builder.numbers(value.shape[1:2])]
    noise = builder.numbers((1, 1, *value.shape[2:]), -2, 2)  # no variance of 0
    inputs = [builder.op("Add", [value.name, noise]), *vectors]
    builder.add(builder.op("InstanceNormalization", inputs, epsilon=1e-2), value.shape)


@step("LayerNormalization", since=17)
def _layer_norm(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank >= 2)
    axis = builder.axis(value)
    inputs = [value.name, builder.numbers(value.shape[axis:], 0.5, 1.5)]
    if builder.choices.random() < 0.6:
        inputs.append(builder.numbers(value.shape[axis:]))
    builder.add(builder.op("LayerNormalization", inputs, axis=axis, epsilon=1e-2), value.shape)


@step("GroupNormalization", since=21)
def _group_norm(builder: Builder) -> None:
    value = builder.image()
    vectors = [builder.numbers(value.shape[1:2], 0.5, 1.5), builder.numbers(value.shape[1:2])]
    groups = _groups(builder, value.shape[1])
    builder.add(builder.op("GroupNormalization", [value.name, *vectors], num_groups=groups, epsilon=1e-2), value.shape)


@step("LpNormalization")
def _lp_norm(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank >= 2)
    away = builder.op("Exp", [builder.op("Tanh", [value.name])])  # zeros have no direction
    builder.add(
        builder.op("LpNormalization", [away], axis=builder.axis(value), p=builder.choices.randint(1, 2)), value.shape
    )


@step("MeanVarianceNormalization", since=9)
def _mvn(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank == 4 and math.prod(value.shape[2:]) > 3)
    noise = builder.numbers((1, 1, *value.shape[2:]), -2, 2)  # no variance of 0
    normalized = builder.op("MeanVarianceNormalization", [builder.op("Add", [value.name, noise])], axes=[2, 3])
    builder.add(builder.op("Exp", [builder.op("Tanh", [normalized])]), value.shape)  # no mean of 0 either


@step("DepthToSpace", "SpaceToDepth")
def _depth(builder: Builder, op: str) -> None:
    block = builder.choices.randint(2, 3)
    if op == "SpaceToDepth":
        value = builder.pick(lambda v: v.rank == 4 and v.shape[2] % block == v.shape[3] % block == 0)
        batch, channels, height, width = value.shape
        shape = (batch, channels * block**2, height // block, width // block)
    else:
        value = builder.pick(lambda v: v.rank == 4 and v.shape[1] % block**2 == 0)
        batch, channels, height, width = value.shape
        shape = (batch, channels // block**2, height * block, width * block)
    mode = {"mode": builder.choices.choice(("DCR", "CRD"))} if op == "DepthToSpace" and builder.may(11, 0.7) else {}
    builder.add(builder.op(op, [value.name], blocksize=block, **mode), shape, value.exact)


@step("Upsample", until=9)
def _upsample(builder: Builder) -> None:
    value, mode = builder.image(), builder.choices.choice(("nearest", "linear"))
    factors = [1.0, 1.0, float(builder.choices.randint(1, 3)), float(builder.choices.randint(1, 3))]
    shape = [int(size * factor) for size, factor in zip(value.shape, factors, strict=True)]
    exact = value.exact and mode == "nearest"
    if builder.opset < 9:
        builder.add(builder.op("Upsample", [value.name], scales=factors, mode=mode), shape, exact)
    else:
        scales = builder.constant(np.array(factors, np.float32))
        builder.add(builder.op("Upsample", [value.name, scales], mode=mode), shape, exact)


@step("Resize", since=11)
def _resize(builder: Builder) -> None:
    value, choices = builder.image(), builder.choices
    mode = choices.choice(("nearest", "linear", "cubic"))
    where = choices.choice(("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"))
    attributes: dict[str, object] = {"mode": mode, "coordinate_transformation_mode": where}
    if mode == "nearest":
        attributes["nearest_mode"] = choices.choice(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
    if mode == "cubic" and choices.random() < 0.5:
        attributes |= {"cubic_coeff_a": choices.choice((-0.5, -0.75)), "exclude_outside": choices.randint(0, 1)}
    empty = builder.constant(np.zeros(0, np.float32)) if builder.opset < 13 else ""
    if choices.random() < 0.5:
        size = [choices.randint(1, 14), choices.randint(1, 14)]
        inputs = [value.name, empty, empty, builder.integers([*value.shape[:2], *size])]
    else:
        factors = [choices.choice((0.5, 1.5, 2.0, 0.75, 3.0)) for _ in range(2)]
        size = [math.floor(n * factor) for n, factor in zip(value.shape[2:], factors, strict=True)]
        inputs = [value.name, empty, builder.constant(np.array([1, 1, *factors], np.float32))]
    if min(size) < 1:
        raise NothingFits
    name = builder.op("Resize", inputs, **attributes)
    builder.add(name, (*value.shape[:2], *size), value.exact and mode == "nearest")
