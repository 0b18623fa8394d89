"""Steps that add pads and change shapes."""

from __future__ import annotations

import math

import numpy as np

from parity_tests.properties.graphs.builder import INPUT, Builder, step
from parity_tests.properties.graphs.choosing import MAX_RANK


@step("Pad", "PadV2", "MirrorPad")
def _pad(builder: Builder, op: str) -> None:
    value = builder.pick()
    mode = builder.choices.choice(("REFLECT", "SYMMETRIC"))
    limits = [2] * value.rank
    if op == "MirrorPad":
        limits = [min(2, size - (mode == "REFLECT")) for size in value.shape]
    limits[0] = 0
    pads = [[builder.choices.randint(0, limit), builder.choices.randint(0, limit)] for limit in limits]
    inputs = [value.name, builder.integers(pads)]
    more = {"mode": mode} if op == "MirrorPad" else {}
    if op == "PadV2":
        inputs.append(builder.graph.const(builder.name("Const"), np.float32(builder.choices.uniform(-2, 2))))
    shape = [size + sum(pair) for size, pair in zip(value.shape, pads, strict=True)]
    builder.add(builder.op(op, inputs, Tpaddings=np.int32, **more), shape, value.exact)


@step("Reshape")
def _reshape(builder: Builder) -> None:
    value = builder.pick()
    sizes, left = [], math.prod(value.shape[1:])
    for _ in range(builder.choices.randint(0, 3)):
        divisors = [n for n in range(1, left + 1) if left % n == 0]
        sizes.append(builder.choices.choice(divisors))
        left //= sizes[-1]
    target = shape = [value.shape[0], *sizes, left]
    unknown = builder.choices.choice((None, 0, *range(len(shape))))
    if unknown is not None:
        target = [-1 if index == unknown else size for index, size in enumerate(shape)]
    name = builder.op("Reshape", [value.name, builder.integers(target)], Tshape=np.int32)
    builder.add(name, shape, value.exact)


@step("Squeeze")
def _squeeze(builder: Builder) -> None:
    value = builder.pick(lambda value: 1 in value.shape[1:] and value.rank > 2)
    ones = [axis for axis, size in enumerate(value.shape) if size == 1 and axis]
    gone = builder.choices.sample(ones, builder.choices.randint(1, min(len(ones), value.rank - 2)))
    stated = [axis - value.rank if builder.choices.random() < 0.3 else axis for axis in gone]
    shape = [size for axis, size in enumerate(value.shape) if axis not in gone]
    builder.add(builder.op("Squeeze", [value.name], squeeze_dims=stated), shape, value.exact)


@step("ExpandDims")
def _expand(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank < MAX_RANK)
    axis = builder.choices.randint(1, value.rank)
    shape = [*value.shape[:axis], 1, *value.shape[axis:]]
    stated = axis - value.rank - 1 if builder.choices.random() < 0.3 else axis
    name = builder.op("ExpandDims", [value.name, builder.integers(stated)], Tdim=np.int32)
    builder.add(name, shape, value.exact)


@step("Transpose")
def _transpose(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 2)
    order = [0, *builder.choices.sample(range(1, value.rank), value.rank - 1)]
    if value.rank == 4 and builder.choices.random() < 0.4:
        order = [0, 3, 1, 2]
        if value.name != INPUT:  # turned by the other order, the input counts as NCHW
            order = builder.choices.choice((order, [0, 2, 3, 1]))
    name = builder.op("Transpose", [value.name, builder.integers(order)], Tperm=np.int32)
    builder.add(name, [value.shape[axis] for axis in order], value.exact)


@step("Tile")
def _tile(builder: Builder) -> None:
    value = builder.pick()
    times = [1, *(builder.choices.choice((1, 1, 2, 3)) for _ in value.shape[1:])]
    name = builder.op("Tile", [value.name, builder.integers(times)], Tmultiples=np.int32)
    shape = [size * n for size, n in zip(value.shape, times, strict=True)]
    builder.add(name, shape, value.exact)
