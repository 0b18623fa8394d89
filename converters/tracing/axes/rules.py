"""Rules for operators that change shapes, reduce, pool and join: the axes of their results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from converters.tracing.axes.call import RULES, Call, changed, without
from converters.tracing.axes.factors import (
    Axes,
    Axis,
    Factor,
    RuleError,
    Segment,
    channels_in,
    combined,
    kept,
    length,
    new_channels,
    reshaped,
    resized,
    roles,
    segments_of,
    simplified,
    tokens_axis,
)


def elementwise(call: Call) -> Axes | list[Axes | None]:
    """The default rule: the result has the shape of the broadcast of all inputs.

    Raises:
        RuleError: it has another shape, or the inputs count different things along an axis.
    """
    inputs = list(_tensors(call.arguments.values()))
    outputs = [call.output] if isinstance(call.output, Tensor) else list(call.output)
    try:
        shape: Any = torch.broadcast_shapes(*(value.shape for value in inputs))
    except RuntimeError:
        shape = None
    if not outputs or any(not isinstance(out, Tensor) or out.shape != shape for out in outputs):
        raise RuleError(f"there is no rule for the operator {call.op}")
    found: Axes | None = None
    reason = ""
    for value in inputs:
        try:
            axes = call.axes(value)
        except RuleError as error:  # the other inputs may tell the axes
            reason, axes = str(error), None
        if axes is not None and (not reason or value.shape == shape):
            padded = ((),) * (len(shape) - len(axes)) + axes
            found = padded if found is None else combined(found, padded)
    if found is None:
        raise RuleError(reason)
    axes = tuple(resized(axis, size) for axis, size in zip(found, shape, strict=True))
    return [axes] * len(outputs)


def _tensors(values: Any) -> Any:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


# Shapes ---------------------------------------------------------------------------------------


@RULES.register("view", "_unsafe_view", "reshape", "_reshape_alias", "_reshape_copy", "view_copy")
def _view(call: Call) -> Axes:
    if call["dtype"] is not None:
        raise RuleError("a view as another dtype")
    return reshaped(call.first_axes(), call.output.shape)


@RULES.register("permute", "permute_copy")
def _permute(call: Call) -> Axes:
    axes = call.first_axes()
    return tuple(axes[index] for index in call["dims"])


@RULES.register("transpose", "transpose_copy")
def _transpose(call: Call) -> Axes:
    axes = list(call.first_axes())
    one, other = call.axis("dim0"), call.axis("dim1")
    axes[one], axes[other] = axes[other], axes[one]
    return tuple(axes)


@RULES.register("t", "t_copy", "numpy_T", "adjoint", "mT")
def _t(call: Call) -> Axes:
    axes = call.first_axes()
    return axes[:-2] + axes[-2:][::-1]


@RULES.register("expand", "expand_copy")
def _expand(call: Call) -> Axes:
    axes = call.first_axes()
    shape = call.output.shape
    padded = ((),) * (len(shape) - len(axes)) + axes
    return tuple(resized(axis, size) for axis, size in zip(padded, shape, strict=True))


@RULES.register("unsqueeze", "unsqueeze_copy")
def _unsqueeze(call: Call) -> Axes:
    axes = call.first_axes()
    index = call["dim"] % (len(axes) + 1)
    return (*axes[:index], (), *axes[index:])


@RULES.register("squeeze", "squeeze_copy")
def _squeeze(call: Call) -> Axes:
    dims, shape = call.dims(), call.first.shape
    return tuple(axis for index, axis in enumerate(call.first_axes()) if shape[index] != 1 or index not in dims)


@RULES.register("select", "select_copy")
def _select(call: Call) -> Axes:
    return without(call.first_axes(), call.axis("dim", 0))


@RULES.register("slice", "slice_copy", "narrow")
def _slice(call: Call) -> Axes:
    axes, index = call.first_axes(), call.axis("dim", 0)
    size = call.first.shape[index]
    start, stop, step = slice(call["start"], call["end"], call["step"]).indices(size)
    return changed(axes, index, _part(axes[index], start, stop, step, call.output.shape[index]))


def _part(axis: Axis, start: int, stop: int, step: int, size: int) -> Axis:
    """Returns the axis of a slice. Named tokens keep their names."""
    if not (len(axis) == 1 and axis[0].segments) or step != 1 or size == length(axis):
        return resized(axis, size)
    position, found = 0, []
    for segment in axis[0].segments:
        shared = min(stop, position + segment.size) - max(start, position)
        if shared > 0:
            found.append(segment if shared == segment.size else Segment(shared))
        position += segment.size
    return tokens_axis(found)


@RULES.register("split", "unsafe_split", "split_with_sizes", "unsafe_split_with_sizes", "split_copy", "chunk")
def _split(call: Call) -> list[Axes | None]:
    axes, index = call.first_axes(), call.axis("dim", 0)
    found: list[Axes | None] = []
    start = 0
    for part in call.output:
        size = part.shape[index]
        found.append(changed(axes, index, _part(axes[index], start, start + size, 1, size)))
        start += size
    return found


@RULES.register("unbind", "unbind_copy")
def _unbind(call: Call) -> list[Axes | None]:
    return [without(call.first_axes(), call.axis("dim", 0))] * len(call.output)


@RULES.register("cat", "concat", "concatenate")
def _cat(call: Call) -> Axes:
    pieces = [piece for piece in call.first if piece.ndim == call.output.ndim]
    index = call.arguments.get("dim", 0) % call.output.ndim
    described = [(piece, call.axes(piece)) for piece in pieces]
    found = [axes for _, axes in described if axes is not None]
    others = changed(found[0], index, ())
    for axes in found[1:]:
        others = combined(others, changed(axes, index, ()))
    kinds = {role for axes in found for role in roles(axes[index])} or {
        factor.role for axes in found for factor in axes[index]
    }
    size = call.output.shape[index]
    if "N" in kinds:
        raise RuleError("images are concatenated along the axis of images")
    if "C" in kinds and kinds & {"H", "W", "L", "T"}:
        own = [axes[index] for axes in found]
        if any(not channels_in([axis]) for axis in own):
            raise RuleError("channels are concatenated with places")
    if "C" in kinds:
        generation = max(factor.generation for axes in found for factor in channels_in([axes[index]]))
        return changed(others, index, (Factor("C", size, generation=generation),))
    one_place = len(kinds) == 1 and kinds <= {"H", "W", "T", "G"} and all(len(axes[index]) == 1 for axes in found)
    if one_place:
        return changed(others, index, resized(found[0][index], size))
    segments = [segment for piece, axes in described for segment in _segments(call, piece, axes, index)]
    return changed(others, index, tokens_axis(segments))


def _segments(call: Call, piece: Tensor, axes: Axes | None, index: int) -> list[Segment]:
    if axes is not None:
        return list(segments_of(axes[index]))
    size, name = piece.shape[index], call.name_of(piece) or "token"
    return [Segment(1, name if size == 1 else f"{name}.{number}") for number in range(size)]


@RULES.register("stack")
def _stack(call: Call) -> Axes:
    found = [axes for axes in map(call.axes, call.first) if axes is not None]
    joined = found[0]
    for axes in found[1:]:
        joined = combined(joined, axes)
    index, size = call.arguments.get("dim", 0) % call.output.ndim, call.output.shape[call.arguments.get("dim", 0)]
    is_one_channel = {factor.role for axis in joined for factor in axis} <= {"N", "H", "W", "T", "L"}
    axis = new_channels(size, ()) if is_one_channel else (Factor("G", size),)
    return (*joined[:index], axis, *joined[index:])


@RULES.register("repeat", "tile")
def _repeat(call: Call) -> Axes:
    axes, shape = call.first_axes(), call.output.shape
    padded = ((),) * (len(shape) - len(axes)) + axes
    for axis, size in zip(padded, shape, strict=True):
        if "N" in roles(axis) and length(axis) != size:
            raise RuleError("images are repeated along the axis of images")
    return tuple(resized(axis, size) for axis, size in zip(padded, shape, strict=True))


@RULES.register(
    "constant_pad_nd",
    "reflection_pad1d",
    "reflection_pad2d",
    "replication_pad1d",
    "replication_pad2d",
    "repeat_interleave",
    "_fft_r2c",
    "_fft_c2r",
    "_fft_c2c",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool2d",
    "max_pool1d",
    "mkldnn_max_pool2d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "mkldnn_adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "index_select",
    "topk",
    "sort",
    "diff",
)
def _resize(call: Call) -> list[Axes | None]:
    """Each axis keeps its role; its size may change."""
    axes = call.first_axes()
    outputs = [call.output] if isinstance(call.output, Tensor) else call.output
    return [_resized(axes, out.shape) if isinstance(out, Tensor) else None for out in outputs]


def _resized(axes: Axes, shape: torch.Size) -> Axes:
    return tuple(resized(axis, size) for axis, size in zip(axes, shape, strict=True))


_UPSAMPLING = ("nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d", "trilinear3d")
RULES.register(
    *(f"upsample_{kind}" for kind in _UPSAMPLING),
    *(f"_upsample_{kind}" for kind in ("bilinear2d_aa", "bicubic2d_aa")),
    *(f"_upsample_nearest_exact{rank}d" for rank in (1, 2, 3)),
)(_resize)


@RULES.register("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle")
def _pixel_shuffle(call: Call) -> Axes:
    axes, shape = call.first_axes(), call.output.shape
    places = tuple(resized(axis, size) for axis, size in zip(axes[-2:], shape[-2:], strict=True))
    return (*axes[:-3], new_channels(shape[-3], [*axes[:-3], *places]), *places)


@RULES.register("im2col")
def _im2col(call: Call) -> Axes:
    axes = call.first_axes()
    if len(axes) != 4 or any(len(axis) != 1 for axis in axes[2:]):
        raise RuleError("im2col reads patches of an axis that joins others")
    rows, columns = call["kernel_size"]
    sizes = [
        (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for size, pad, dilation, kernel, stride in zip(
            call.first.shape[2:], call["padding"], call["dilation"], (rows, columns), call["stride"], strict=True
        )
    ]
    outer = [
        replace(axis[0], size=size, stride=k) for axis, size, k in zip(axes[2:], sizes, (rows, columns), strict=True)
    ]
    inner = [Factor(a[0].role, k, outer=False) for a, k in zip(axes[2:], (rows, columns), strict=True)]
    return axes[0], simplified((*axes[1], *inner)), simplified(outer)


@RULES.register("col2im")
def _col2im(call: Call) -> Axes:
    axes, shape = call.first_axes(), call.output.shape
    generation = max((factor.generation for factor in channels_in(axes)), default=0)
    channels = (Factor("C", shape[1], generation=generation),)
    return axes[0], channels, (Factor("H", shape[2]),), (Factor("W", shape[3]),)


@RULES.register("unfold")
def _unfold(call: Call) -> Axes:
    axes, index, size = call.first_axes(), call.axis("dimension"), call["size"]
    axis = axes[index]
    if len(axis) != 1:
        raise RuleError("unfold reads parts of an axis that joins others")
    outer = replace(axis[0], size=call.output.shape[index], stride=axis[0].stride * size, segments=())
    inner = Factor(axis[0].role, size, axis[0].stride, False, axis[0].generation)
    return (*changed(axes, index, (outer,)), (inner,))


@RULES.register("view_as_real")
def _view_as_real(call: Call) -> Axes:
    return (*call.first_axes(), (Factor("G", 2),))


@RULES.register("view_as_complex")
def _view_as_complex(call: Call) -> Axes:
    return call.first_axes()[:-1]


# Reductions -----------------------------------------------------------------------------------


@RULES.register(
    "mean",
    "sum",
    "amax",
    "amin",
    "max",
    "min",
    "var",
    "std",
    "var_mean",
    "std_mean",
    "logsumexp",
    "prod",
    "nansum",
    "linalg_vector_norm",
    "norm",
    "argmax",
    "argmin",
    "any",
    "all",
    "aminmax",
)
def _reduce(call: Call) -> list[Axes | None] | Axes:
    if isinstance(call["other"], Tensor):
        return elementwise(call)
    axes, dims = call.first_axes(), call.dims()
    outputs = [call.output] if isinstance(call.output, Tensor) else list(call.output)
    if call["keepdim"]:
        reduced = tuple(kept(axis) if index in dims else axis for index, axis in enumerate(axes))
    else:
        reduced = tuple(axis for index, axis in enumerate(axes) if index not in dims)
    return [reduced] * len(outputs)


# Indexing -------------------------------------------------------------------------------------


@RULES.register("index", "_unsafe_index")
def _index(call: Call) -> Axes:
    indices = list(call["indices"])
    used = [number for number, index in enumerate(indices) if index is not None]
    if call.describe(call.first) is None:
        return _looked_up(call, indices, used)
    axes = call.first_axes()
    rank = max(indices[number].ndim for number in used)
    if any(indices[number].dtype == torch.bool for number in used):
        raise RuleError("a mask selects a number of values that depends on them")
    rest = [axis for number, axis in enumerate(axes) if number not in used]
    adjacent = used == list(range(used[0], used[-1] + 1))
    place = used[0] if adjacent else 0
    chosen = _indexed(call, axes, indices, used, rank, call.output.shape[place : place + rank])
    return (*rest[:place], *chosen, *rest[place:])


def _indexed(
    call: Call, axes: Axes, indices: list[Tensor | None], used: list[int], rank: int, shape: torch.Size
) -> list[Axis]:
    """Returns the axes that indices choose: each index keeps the role of the axis that it is read from."""
    if rank == 1 and len(used) == 1:
        return [resized(axes[used[0]], shape[0])]
    found: list[Axis | None] = [None] * rank
    for number in used:
        index = indices[number]
        assert index is not None
        long = [axis for axis in range(index.ndim) if index.shape[axis] > 1]
        if len(long) == 1:
            found[rank - index.ndim + long[0]] = resized(axes[number], index.shape[long[0]])
    if any(axis is None and size > 1 for axis, size in zip(found, shape, strict=True)):
        raise RuleError("an index of several axes chooses the values")
    return [axis or () for axis in found]


def _looked_up(call: Call, indices: list[Any], used: list[int]) -> Axes:
    """Returns the axes of rows of a table that the image chooses."""
    if len(used) != 1 or used[0] != 0:
        raise RuleError("the image chooses values of a constant along several axes")
    index = call.axes(indices[0])
    if index is None:
        raise RuleError("the image chooses values of a constant")
    rest = call.first.shape[1:]
    return (*index, *((Factor("G", size),) for size in rest[:-1]), *(new_channels(size, index) for size in rest[-1:]))


@RULES.register("embedding")
def _embedding(call: Call) -> Axes:
    index = call.axes(call["indices"])
    if index is None:
        raise RuleError("an embedding of a constant")
    return (*index, new_channels(call.output.shape[-1], index))


@RULES.register("gather", "take_along_dim")
def _gather(call: Call) -> Axes:
    axes, dim = call.first_axes(), call.axis("dim")
    shape = call.output.shape
    return tuple(
        resized(axis, size) if number == dim or length(axis) != size else axis
        for number, (axis, size) in enumerate(zip(axes, shape, strict=True))
    )


@RULES.register(
    "scatter",
    "index_put",
    "slice_scatter",
    "select_scatter",
    "index_copy",
    "index_add",
    "index_fill",
    "masked_scatter",
    "scatter_add",
    "scatter_reduce",
    "copy",
)
def _written(call: Call) -> Axes:
    """A value that is written in part keeps its axes."""
    axes = call.axes(call.first)
    if axes is not None:
        return axes
    source = next((call[name] for name in ("src", "values", "source", "value") if isinstance(call[name], Tensor)), None)
    found = call.axes(source)
    if found is None or source is None or call.op in ("scatter", "scatter_add", "scatter_reduce", "index_put"):
        raise RuleError(f"{call.op} writes values of the image into a constant")
    shape = call.first.shape
    padded = ((),) * (len(shape) - len(found)) + found
    if len(padded) != len(shape):
        raise RuleError(f"{call.op} writes values of the image into a constant of another rank")
    return tuple(resized(axis, size) for axis, size in zip(padded, shape, strict=True))


@RULES.register("grid_sampler_2d", "grid_sampler_3d", "cudnn_grid_sampler")
def _grid_sampler(call: Call) -> Axes:
    grid, size = call.axes(call["grid"]), call.output.shape
    axes = call.axes(call.first)
    if axes is None:
        raise RuleError("the image chooses places of a constant")
    if grid is None:
        return tuple(resized(axis, length_) for axis, length_ in zip(axes, size, strict=True))
    return (axes[0], axes[1], *grid[1:-1])


@RULES.register("roi_align", "roi_pool", "nms", "nonzero", "unique", "_unique2", "masked_select")
def _of_values(call: Call) -> Axes:
    raise RuleError(f"the shape of {call.op} depends on values")
