"""Steps that cut parts out of values, and join values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity_tests.properties.graphs.builder import Builder, step
from parity_tests.properties.graphs.choosing import MAX_RANK, NothingFits, Value


@step("Slice")
def _slice(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 1)
    begin, sizes, shape = [0], [-1], [value.shape[0]]
    for size in value.shape[1:]:
        begin.append(builder.choices.randrange(size))
        shape.append(builder.choices.randint(1, size - begin[-1]))
        to_end = begin[-1] + shape[-1] == size and builder.choices.random() < 0.5
        sizes.append(-1 if to_end else shape[-1])
    inputs = [value.name, builder.integers(begin), builder.integers(sizes)]
    builder.add(builder.op("Slice", inputs, Index=np.int32), shape, value.exact)


@step("StridedSlice")
def _strided_slice(builder: Builder) -> None:
    """Every kind of item: slices with negative bounds and steps, one position, a new axis, an ellipsis."""
    value = builder.pick(lambda value: value.rank > 1)
    choices = builder.choices
    masks = dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0)
    begin, end, stride, shape, axis = [0], [0], [1], [value.shape[0]], 1
    masks["begin_mask"] = masks["end_mask"] = 1
    has_ellipsis = False
    while axis < value.rank and choices.random() < 0.9:
        bit, size = 1 << len(begin), value.shape[axis]
        kind = choices.choice(("slice", "slice", "slice", "at", "new", "ellipsis"))
        if kind == "ellipsis" and not has_ellipsis:
            has_ellipsis = True
            masks["ellipsis_mask"] |= bit
            skipped = choices.randint(0, value.rank - axis)
            shape += value.shape[axis : axis + skipped]
            axis += skipped
            begin.append(0), end.append(0), stride.append(1)
            rest = value.rank - axis
            for _ in range(rest):  # the axes behind an ellipsis are all stated
                axis = _sliced(builder, value, axis, masks, (begin, end, stride), shape)
            break
        if kind == "new":
            masks["new_axis_mask"] |= bit
            shape.append(1)
            begin.append(0), end.append(0), stride.append(1)
        elif kind == "at":
            masks["shrink_axis_mask"] |= bit
            begin.append(choices.randrange(-size, size))
            end.append(begin[-1] + 1), stride.append(1)
            axis += 1
        else:
            axis = _sliced(builder, value, axis, masks, (begin, end, stride), shape)
    shape += [] if axis >= value.rank else value.shape[axis:]
    inputs = [value.name, builder.integers(begin), builder.integers(end), builder.integers(stride)]
    builder.add(builder.op("StridedSlice", inputs, Index=np.int32, **masks), shape, value.exact)


def _sliced(
    builder: Builder,
    value: Value,
    axis: int,
    masks: dict[str, int],
    bounds: tuple[list[int], list[int], list[int]],
    shape: list[int],
) -> int:
    """Adds a slice that is not empty, with bounds that may be negative or beyond the end; returns the next axis."""
    choices, size, bit = builder.choices, value.shape[axis], 1 << len(bounds[0])
    for _ in range(20):
        first, last = choices.randint(-size - 2, size + 2), choices.randint(-size - 2, size + 2)
        by = choices.choice((1, 1, 2, 3, -1, -2))
        open_first, open_last = choices.random() < 0.4, choices.random() < 0.4
        length = len(range(size)[slice(None if open_first else first, None if open_last else last, by)])
        if length:
            break
    else:
        first, last, by, open_first, open_last, length = 0, 0, 1, True, True, size
    masks["begin_mask"] |= bit * open_first
    masks["end_mask"] |= bit * open_last
    for numbers, number in zip(bounds, (first, last, by), strict=True):
        numbers.append(number)
    shape.append(length)
    return axis + 1


@step("ReverseV2")
def _reverse(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 1)
    axes = builder.choices.sample(range(1, value.rank), builder.choices.randint(1, value.rank - 1))
    name = builder.op("ReverseV2", [value.name, builder.integers(axes)], Tidx=np.int32)
    builder.add(name, value.shape, value.exact)


@step("GatherV2")
def _gather(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 1)
    axis = builder.axis(value)
    size = value.shape[axis]
    positions = [builder.choices.randrange(size) for _ in range(builder.choices.randint(1, 4))]
    one = builder.choices.random() < 0.2
    inputs = [value.name, builder.integers(positions[0] if one else positions), builder.integers(axis)]
    name = builder.op("GatherV2", inputs, T=None, Tparams=np.float32, Tindices=np.int32, Taxis=np.int32)
    axis %= value.rank
    shape = [*value.shape[:axis], *([] if one else [len(positions)]), *value.shape[axis + 1 :]]
    builder.add(name, shape, value.exact)


def _output(builder: Builder, name: str, count: int, shape: Sequence[int], exact: bool) -> None:
    """Reads one output of a node by an Identity, which references can name."""
    index = builder.choices.randrange(count)
    builder.add(builder.op("Identity", [f"{name}:{index}" if index else name]), shape, exact)


@step("Split")
def _split(builder: Builder) -> None:
    value = builder.pick(lambda value: any(size > 1 for size in value.shape[1:]))
    axis = builder.choices.choice([axis for axis in range(1, value.rank) if value.shape[axis] > 1])
    size = value.shape[axis]
    count = builder.choices.choice([n for n in range(1, size + 1) if size % n == 0])
    name = builder.op("Split", [builder.integers(axis), value.name], num_split=count)
    shape = [*value.shape[:axis], size // count, *value.shape[axis + 1 :]]
    _output(builder, name, count, shape, value.exact)


@step("SplitV")
def _split_v(builder: Builder) -> None:
    value = builder.pick(lambda value: any(size > 1 for size in value.shape[1:]))
    axis = builder.choices.choice([axis for axis in range(1, value.rank) if value.shape[axis] > 1])
    first = builder.choices.randint(1, value.shape[axis] - 1)
    sizes = [first, value.shape[axis] - first]
    stated = [first, -1] if builder.choices.random() < 0.4 else sizes
    inputs = [value.name, builder.integers(stated), builder.integers(axis)]
    name = builder.op("SplitV", inputs, num_split=2, Tlen=np.int32)
    index = builder.choices.randrange(2)
    shape = [*value.shape[:axis], sizes[index], *value.shape[axis + 1 :]]
    builder.add(builder.op("Identity", [f"{name}:{index}"]), shape, value.exact)


@step("Unpack")
def _unpack(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 2)
    axis = builder.axis(value)
    count = value.shape[axis]
    name = builder.op("Unpack", [value.name], num=count, axis=axis)
    axis %= value.rank
    _output(builder, name, count, [*value.shape[:axis], *value.shape[axis + 1 :]], value.exact)


def _alike(builder: Builder, value: Value, axis: int) -> list[Value]:
    """Returns one to three values whose shapes differ from this one's along an axis at most."""

    def rest(other: Value) -> tuple[int, ...]:
        return tuple(size for index, size in enumerate(other.shape) if index != axis)

    fitting = [other for other in builder.values if other.rank == value.rank and rest(other) == rest(value)]
    return [value, *(builder.choices.choice(fitting) for _ in range(builder.choices.randint(0, 2)))]


@step("Concat", "ConcatV2")
def _concat(builder: Builder, op: str) -> None:
    value = builder.pick(lambda value: value.rank > 1)
    stated = builder.axis(value)
    axis = stated % value.rank
    parts = _alike(builder, value, axis)
    names = [part.name for part in parts]
    if builder.choices.random() < 0.5:
        names = [builder.op("Relu", [name]) for name in names]
    shape = [*value.shape[:axis], sum(part.shape[axis] for part in parts), *value.shape[axis + 1 :]]
    if len(parts) < 2:
        raise NothingFits
    function = builder.graph.concat if op == "Concat" else builder.graph.concat_v2
    inputs = (builder.integers(stated), names) if op == "Concat" else (names, builder.integers(stated))
    builder.add(function(builder.name(op), *inputs), shape, all(part.exact for part in parts))


@step("Pack", "AddN")
def _pack(builder: Builder, op: str) -> None:
    value = builder.pick(lambda value: value.rank < MAX_RANK)
    same = [other for other in builder.values if other.shape == value.shape]
    parts = [value, *(builder.choices.choice(same) for _ in range(builder.choices.randint(0, 2)))]
    names = [part.name for part in parts]
    if op == "AddN":
        builder.add(builder.op("AddN", names, N=len(names)), value.shape)
    axis = builder.choices.randint(1, value.rank)
    name = builder.op("Pack", names, N=len(names), axis=axis)
    shape = [*value.shape[:axis], len(parts), *value.shape[axis:]]
    builder.add(name, shape, all(part.exact for part in parts))
