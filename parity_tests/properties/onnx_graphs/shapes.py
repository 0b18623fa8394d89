"""Steps that change shapes, and that cut, join and order parts of values."""

from __future__ import annotations

import math

import numpy as np

from parity_tests.properties.graphs.choosing import MAX_RANK, NothingFits, Value
from parity_tests.properties.onnx_graphs.builder import Builder, step


@step("Pad")
def _pad(builder: Builder) -> None:
    value, choices = builder.pick(), builder.choices
    modes = ["constant", "reflect", "edge"] + (["wrap"] if builder.opset >= 19 else [])
    mode = choices.choice(modes)
    if mode != "constant":
        value = builder.image()
    limits = [0] * value.rank
    for axis in range(1 if mode == "constant" else value.rank - 2, value.rank):
        limits[axis] = min(2, value.shape[axis] - (mode == "reflect"))
    pads = [choices.randint(0, limit) for _ in range(2) for limit in limits]
    shape = [size + pads[axis] + pads[axis + value.rank] for axis, size in enumerate(value.shape)]
    filled = choices.uniform(-2, 2) if mode == "constant" and choices.random() < 0.5 else None
    if builder.opset < 11:
        more = {} if filled is None else {"value": filled}
        builder.add(builder.op("Pad", [value.name], mode=mode, pads=pads, **more), shape, value.exact)
        return
    if builder.may(18):
        axes = [axis for axis in range(value.rank) if limits[axis]] or [value.rank - 1]
        some = [pads[axis + shift] for shift in (0, value.rank) for axis in axes]
        fill = "" if filled is None else builder.constant(np.array(filled, np.float32))
        inputs = [value.name, builder.integers(some), fill, builder.integers(axes)]
    else:
        inputs = [value.name, builder.integers(pads)]
        inputs += [] if filled is None else [builder.constant(np.array(filled, np.float32))]
    builder.add(builder.op("Pad", inputs, mode=mode), shape, value.exact)


@step("Reshape")
def _reshape(builder: Builder) -> None:
    value, choices = builder.pick(), builder.choices
    sizes, left = [], math.prod(value.shape[1:])
    for _ in range(choices.randint(0, 3)):
        sizes.append(choices.choice([n for n in range(1, left + 1) if left % n == 0]))
        left //= sizes[-1]
    shape = [value.shape[0], *sizes, left]
    target = [choices.choice((0, -1)), *shape[1:]]
    if target[0] == 0:
        free = choices.randrange(len(shape))
        target = [-1 if free and index == free else size for index, size in enumerate(target)]
    builder.add(builder.op("Reshape", [value.name, builder.integers(target)]), shape, value.exact)


@step("Flatten")
def _flatten(builder: Builder) -> None:
    value = builder.pick()
    axis = builder.axis(value) if builder.opset >= 11 and value.rank > 1 else 1
    shape = (math.prod(value.shape[:axis]), math.prod(value.shape[axis:]))
    if axis not in (1, 1 - value.rank):
        raise NothingFits  # images would be joined into rows
    more = {} if builder.choices.random() < 0.3 and axis == 1 else {"axis": axis}
    builder.add(builder.op("Flatten", [value.name], **more), shape, value.exact)


def _with_axes(builder: Builder, op: str, name: str, axes: list[int], since: int) -> str:
    if builder.opset >= since:
        return builder.op(op, [name, builder.integers(axes)])
    return builder.op(op, [name], axes=axes)


@step("Squeeze")
def _squeeze(builder: Builder) -> None:
    value = builder.pick(lambda value: 1 in value.shape[1:] and value.rank > 2)
    ones = [axis for axis, size in enumerate(value.shape) if size == 1 and axis]
    gone = builder.choices.sample(ones, builder.choices.randint(1, min(len(ones), value.rank - 2)))
    negative = builder.may(11, 0.3)
    name = _with_axes(builder, "Squeeze", value.name, [axis - value.rank * negative for axis in gone], 13)
    builder.add(name, [size for axis, size in enumerate(value.shape) if axis not in gone], value.exact)


@step("Unsqueeze")
def _unsqueeze(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank < MAX_RANK)
    axis = builder.choices.randint(1, value.rank)
    stated = axis - value.rank - 1 if builder.may(11, 0.3) else axis
    name = _with_axes(builder, "Unsqueeze", value.name, [stated], 13)
    builder.add(name, [*value.shape[:axis], 1, *value.shape[axis:]], value.exact)


@step("Transpose")
def _transpose(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 2)
    order = [0, *builder.choices.sample(range(1, value.rank), value.rank - 1)]
    builder.add(builder.op("Transpose", [value.name], perm=order), [value.shape[axis] for axis in order], value.exact)


@step("Tile")
def _tile(builder: Builder) -> None:
    value = builder.pick()
    times = [1, *(builder.choices.choice((1, 1, 2, 3)) for _ in value.shape[1:])]
    shape = [size * n for size, n in zip(value.shape, times, strict=True)]
    builder.add(builder.op("Tile", [value.name, builder.integers(times)]), shape, value.exact)


@step("Expand", since=8)
def _expand(builder: Builder) -> None:
    value = builder.pick(lambda value: 1 in value.shape[1:])
    target = [1, *(size if size > 1 else builder.choices.randint(1, 3) for size in value.shape[1:])]
    builder.add(
        builder.op("Expand", [value.name, builder.integers(target)]), [value.shape[0], *target[1:]], value.exact
    )


@step("Slice")
def _slice(builder: Builder) -> None:
    value, choices = builder.pick(lambda value: value.rank > 1), builder.choices
    axes = choices.sample(range(1, value.rank), choices.randint(1, value.rank - 1))
    starts, ends, steps, shape = [], [], [], list(value.shape)
    for axis in axes:
        size = value.shape[axis]
        while True:
            start, end = choices.randint(-size, size - 1), choices.choice((choices.randint(-size, size), 2**31 - 1))
            by = choices.choice((1, 1, 2, -1, -2)) if builder.opset >= 10 else 1
            end = -(2**31) if by < 0 and end == 2**31 - 1 else end
            if len(range(size)[start:end:by]):
                break
        starts.append(start), ends.append(end), steps.append(by)
        shape[axis] = len(range(size)[start:end:by])
    if builder.opset < 10:
        name = builder.op("Slice", [value.name], axes=axes, starts=starts, ends=ends)
    else:
        stated = [axis - value.rank for axis in axes] if choices.random() < 0.3 else axes
        inputs = [value.name, *(builder.integers(numbers) for numbers in (starts, ends, stated, steps))]
        name = builder.op("Slice", inputs[: 5 if set(steps) - {1} or choices.random() < 0.5 else 4])
    builder.add(name, shape, value.exact)


@step("Split")
def _split(builder: Builder) -> None:
    value, choices = builder.pick(lambda value: any(size > 1 for size in value.shape[1:])), builder.choices
    axis = choices.choice([axis for axis in range(1, value.rank) if value.shape[axis] > 1])
    first = choices.randint(1, value.shape[axis] - 1)
    sizes = [first, value.shape[axis] - first]
    if builder.may(18):
        part = -(-value.shape[axis] // 2)
        sizes = [part, value.shape[axis] - part]
        name = builder.op("Split", [value.name], 2, axis=axis, num_outputs=2)
    elif builder.opset >= 13:
        name = builder.op("Split", [value.name, builder.integers(sizes)], 2, axis=axis)
    else:
        name = builder.op("Split", [value.name], 2, axis=axis, split=sizes)
    for output, size in zip((name, f"{name}+1"), sizes, strict=True):
        builder.add(output, [*value.shape[:axis], size, *value.shape[axis + 1 :]], value.exact)


@step("Concat")
def _concat(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 1)
    stated = builder.axis(value)
    stated = stated if builder.opset >= 11 else stated % value.rank
    axis = stated % value.rank

    def rest(other: Value) -> tuple[int, ...]:
        return tuple(size for index, size in enumerate(other.shape) if index != axis)

    fitting = [other for other in builder.values if other.rank == value.rank and rest(other) == rest(value)]
    parts = [value, *(builder.choices.choice(fitting) for _ in range(builder.choices.randint(0, 2)))]
    shape = [*value.shape[:axis], sum(part.shape[axis] for part in parts), *value.shape[axis + 1 :]]
    name = builder.op("Concat", [part.name for part in parts], axis=stated)
    builder.add(name, shape, all(part.exact for part in parts))


@step("Gather")
def _gather(builder: Builder) -> None:
    value, choices = builder.pick(lambda value: value.rank > 1), builder.choices
    axis = choices.randrange(1, value.rank)
    low = -value.shape[axis] if builder.opset >= 11 else 0
    shape = choices.choice(((), (1,), (3,), (2, 2)))
    positions = [choices.randrange(low, value.shape[axis]) for _ in range(math.prod(shape))]
    indices = builder.constant(np.array(positions, np.int64).reshape(shape))
    name = builder.op("Gather", [value.name, indices], axis=axis)
    builder.add(name, [*value.shape[:axis], *shape, *value.shape[axis + 1 :]], value.exact)


@step("Trilu", since=14)
def _trilu(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 2)
    inputs = [value.name]
    if builder.choices.random() < 0.5:
        inputs.append(builder.constant(np.array(builder.choices.randint(-2, 2), np.int64)))
    builder.add(builder.op("Trilu", inputs, upper=builder.choices.randint(0, 1)), value.shape, value.exact)


@step("CumSum", since=11)
def _cumulated(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 1)
    axis = builder.constant(np.array(builder.axis(value), np.int64))
    flags = {"exclusive": builder.choices.randint(0, 1), "reverse": builder.choices.randint(0, 1)}
    builder.add(builder.op("CumSum", [value.name, axis], **flags), value.shape)


@step("TopK", since=10)
def _top(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 1)
    axis = builder.choices.randrange(1, value.rank)
    count = builder.choices.randint(1, value.shape[axis])
    more = {"largest": builder.choices.randint(0, 1)} if builder.opset >= 11 else {}
    name = builder.op("TopK", [value.name, builder.integers([count])], 2, axis=axis, **more)
    builder.add(name, [*value.shape[:axis], count, *value.shape[axis + 1 :]], value.exact)
