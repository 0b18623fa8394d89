"""The rules by which marks follow from the marks of an op's inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from lucid_port.modelzoo.fields.marks import Four, Marks, four, least, spread, thin, union, windows

Rule: TypeAlias = "Callable[[Call], Any]"
RULES: dict[str, Rule] = {}


@dataclass(frozen=True)
class Call:
    """One call of an op.

    Attributes:
        name: the op's name.
        args, kwargs: its arguments.
        marks: returns the marks of a tensor; None if it depends on no pixel.
        result: what the op returned.
        function: the op.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    marks: Callable[[Tensor], Marks | None]
    result: Any
    function: Any

    def arg(self, index: int, name: str, default: Any = None) -> Any:
        """Returns an argument."""
        return self.args[index] if index < len(self.args) else self.kwargs.get(name, default)

    def of(self, index: int) -> Marks | None:
        """Returns the marks of an argument."""
        value = self.args[index]
        return self.marks(value) if isinstance(value, Tensor) else None

    def depends_on(self, *indices: int) -> bool:
        """Whether one of these arguments depends on the image."""
        return any(
            isinstance(value, Tensor) and self.marks(value) is not None
            for index, value in enumerate(self.args)
            if index in indices
        )


class NoRuleError(Exception):
    """The rule does not hold for these arguments."""


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


def joined(marks: Sequence[tuple[Marks, Callable[[Tensor], Tensor]]], shape: Sequence[int]) -> Marks:
    """Returns the union of marks, each after a rule that gives marks that are broadcast to the shape."""
    field = four(union([rule(m.field[i]) for m, rule in marks], shape) for i in range(4))
    if all(m.local is m.field for m, _ in marks):
        local = field
    else:
        local = four(union([rule(m.local[i]) for m, rule in marks], shape) for i in range(4))
    return Marks(field, local, all(m.is_exact for m, _ in marks))


@_rule(
    *[
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_alias",
        "permute",
        "transpose",
        "t",
        "expand",
        "slice",
        "select",
        "unsqueeze",
        "squeeze",
        "cat",
        "stack",
        "split",
        "split_with_sizes",
        "unbind",
        "clone",
        "alias",
        "detach",
        "roll",
        "flip",
        "narrow",
        "unfold",
        "repeat",
        "diagonal",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "reflection_pad1d",
        "reflection_pad2d",
        "replication_pad1d",
        "replication_pad2d",
        "index_select",
        "index",
        "movedim",
        "unsafe_split",
        "unsafe_chunk",
        "chunk",
        "tile",
        "rot90",
        "native_channel_shuffle",
        "split_with_sizes_copy",
        "lift_fresh",
        "contiguous",
    ]
)
def _moved(call: Call) -> Any:
    """Functions that move values: the same function moves the marks."""
    tensors = [one for one in tree_flatten((call.args, call.kwargs))[0] if isinstance(one, Tensor)]
    marked = [one for one in tensors if call.marks(one) is not None]
    first = call.marks(marked[0])
    assert first is not None
    if call.name in ("index", "index_select") and (len(marked) > 1 or marked[0] is not tensors[0]):
        raise NoRuleError

    def moved(part: Callable[[Marks], Tensor]) -> Any:
        def mark(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            known = call.marks(value)
            if known is not None:
                return part(known)
            if value.dtype in (torch.int64, torch.int32, torch.bool, torch.uint8):
                return _constant(value)
            return torch.full((), math.inf).expand(value.shape)

        args, kwargs = tree_map(mark, (call.args, call.kwargs))
        if call.name in ("view", "_unsafe_view", "_reshape_alias"):
            return args[0].reshape(call.result.shape)
        kwargs.pop("memory_format", None)
        if call.name == "clone":
            return args[0]
        return call.function(*args, **kwargs)

    fields = [moved(lambda m, i=i: m.field[i]) for i in range(4)]  # type: ignore[misc]
    is_same = all((known := call.marks(one)) is not None and known.local is known.field for one in marked)
    locals_ = fields if is_same else [moved(lambda m, i=i: m.local[i]) for i in range(4)]  # type: ignore[misc]
    is_exact = all((known := call.marks(one)) is not None and known.is_exact for one in marked)
    if isinstance(call.result, Tensor):
        return _marks(fields, locals_, is_exact)
    return [_marks([one[k] for one in fields], [one[k] for one in locals_], is_exact) for k in range(len(call.result))]


def _marks(field: Sequence[Tensor], local: Sequence[Tensor], is_exact: bool) -> Marks:
    whole = four(field)
    return Marks(whole, whole if local is field else four(local), is_exact)


def _constant(value: Tensor) -> Tensor:
    """Returns the numbers of a tensor of indices.

    Raises:
        NoRuleError: they are not known, because the pass has no values.
    """
    if type(value) is not Tensor or value.device.type == "meta":
        raise NoRuleError
    return value.cpu()


@_rule("_to_copy", "native_dropout", "bernoulli")
def _same(call: Call) -> Marks | None:
    return call.of(0)


@_rule("as_strided")
def _restrided(call: Call) -> Marks | None:
    """New strides of the same shape, which reductions give their results; the order is clear along one axis only."""
    shape = call.result.shape
    if call.args[0].shape != shape or sum(size > 1 for size in shape) > 1:
        raise NoRuleError
    return call.of(0)


@_rule("constant_pad_nd")
def _padded(call: Call) -> Marks | None:
    marks = call.of(0)
    return None if marks is None else marks.map(lambda m: F.pad(m, call.args[1], value=math.inf))


def pointwise(call: Call) -> Marks | None:
    """Elementwise functions of values that are broadcast."""
    tensors = [one for one in tree_flatten((call.args, call.kwargs))[0] if isinstance(one, Tensor)]
    found = [marks for one in tensors if (marks := call.marks(one)) is not None]
    shape = call.result.shape
    if all(one is found[0] for one in found):
        if found[0].field[0].shape == shape:
            return found[0]
        return found[0].map(lambda m: m.expand(shape))
    found_all = joined([(one, lambda m: m) for one in found], shape)
    partial = [one for one in found if not _is_whole(one.local)]
    if len(partial) in (0, len(found)):
        return found_all
    local = joined([(Marks(one.local, one.local), lambda m: m) for one in partial], shape).field
    return Marks(found_all.field, local, found_all.is_exact)


def _is_whole(field: Four) -> bool:
    """Whether all elements depend on the same pixels in rows and columns: no element has a place."""
    thinned = [thin(mark) for mark in field]
    return all(bool(mark.amin() == mark.amax()) for mark in thinned) and max(mark.numel() for mark in thinned) >= 1


@_rule(
    *[
        "sum",
        "mean",
        "amax",
        "amin",
        "prod",
        "var",
        "std",
        "max",
        "min",
        "var_mean",
        "std_mean",
        "norm",
        "linalg_vector_norm",
        "logsumexp",
        "argmax",
        "argmin",
        "any",
        "all",
        "median",
        "nanmean",
        "count_nonzero",
    ]
)
def _reduction(call: Call) -> Any:
    """Reductions over axes."""
    marks, value = call.of(0), call.args[0]
    axes = call.kwargs.get("dim", call.args[2] if call.name in ("norm", "linalg_vector_norm") and len(call.args) > 2
                           else call.args[1] if len(call.args) > 1 else None)  # fmt: skip
    if isinstance(axes, Tensor) or marks is None:
        raise NoRuleError
    chosen = range(value.ndim) if axes is None or axes == [] else [axes] if isinstance(axes, int) else axes
    results = [call.result] if isinstance(call.result, Tensor) else list(call.result)
    keep = results[0].ndim == value.ndim
    found = marks.map(lambda m: least(m, chosen, keep).reshape(results[0].shape) if not keep else least(m, chosen))
    return found if isinstance(call.result, Tensor) else [found] * len(results)


@_rule("_softmax", "_log_softmax", "cumsum", "cumprod", "softmax", "log_softmax", "_safe_softmax")
def _along(call: Call) -> Marks | None:
    marks = call.of(0)
    return None if marks is None else marks.map(lambda m: least(m, [call.args[1]]).expand(m.shape))


@_rule("sort", "topk")
def _sorted(call: Call) -> Any:
    marks, axis = call.of(0), call.arg(2 if call.name == "topk" else 1, "dim", -1)
    if marks is None or not isinstance(axis, int) or isinstance(axis, bool):
        raise NoRuleError
    found = marks.map(lambda m: least(m, [axis]).expand(call.result[0].shape))
    return [found, found]


@_rule("native_layer_norm", "_fused_rms_norm", "rms_norm")
def _layer_norm(call: Call) -> Any:
    marks, axes = call.of(0), range(-len(call.args[1]), 0)
    if marks is None or call.depends_on(2, 3):
        raise NoRuleError
    found = marks.map(lambda m: least(m, axes).expand(m.shape))
    return found if isinstance(call.result, Tensor) else [found, None, None]


@_rule("native_group_norm")
def _group_norm(call: Call) -> Any:
    marks, groups = call.of(0), call.args[6]
    if marks is None or call.depends_on(1, 2):
        raise NoRuleError

    def rule(m: Tensor) -> Tensor:
        per_group = m.reshape(m.shape[0], groups, -1).amin(-1)
        per_channel = per_group.repeat_interleave(m.shape[1] // groups, 1)
        return per_channel.reshape(*m.shape[:2], *[1] * (m.ndim - 2)).expand(m.shape)

    return [marks.map(rule), None, None]


@_rule(
    *[
        "native_batch_norm",
        "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm",
        "batch_norm",
        "_batch_norm_no_update",
        "miopen_batch_norm",
    ]
)
def _batch_norm(call: Call) -> Any:
    marks = call.of(0)
    uses_batch = not call.name.endswith(("no_training", "no_update")) and bool(call.arg(5, "training"))
    if marks is None or call.depends_on(1, 2, 3, 4):
        raise NoRuleError
    if uses_batch:  # instance norm
        value = call.args[0]
        axes = [0, *range(2, value.ndim)]
        marks = marks.map(lambda m: least(m, axes).expand(m.shape))
    return [marks, *[None] * (len(call.result) - 1)]


@_rule("mm", "bmm", "mv", "dot", "addmm", "baddbmm", "linear", "addmv", "_addmm_activation")
def _product(call: Call) -> Marks:
    """Products of matrices: each element reads a row of one and a column of the other."""
    shape = call.result.shape
    if call.name == "linear":
        if call.depends_on(1, 2):
            raise NoRuleError
        marks = call.of(0)
        assert marks is not None
        return joined([(marks, lambda m: least(m, [-1]))], shape)
    if call.name in ("mv", "dot", "addmv"):
        raise NoRuleError
    start = 1 if call.name in ("addmm", "baddbmm", "_addmm_activation") else 0
    rules: list[Callable[[Tensor], Tensor]] = [lambda m: least(m, [-1]), lambda m: least(m, [-2])]
    parts = [(marks, rule) for k, rule in enumerate(rules) if (marks := call.of(start + k)) is not None]
    if start and (added := call.of(0)) is not None:
        parts.append((added, lambda m: m))
    return joined(parts, shape)


@_rule(
    *[
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_attention_math",
        "scaled_dot_product_attention",
        "_scaled_dot_product_fused_attention_overrideable",
    ]
)
def _attention(call: Call) -> Any:
    """Attention: an element reads its query, and all keys and values."""
    results = [call.result] if isinstance(call.result, Tensor) else list(call.result)
    rules: list[Callable[[Tensor], Tensor]] = [lambda m: least(m, [-1]), lambda m: least(m, [-2, -1])]
    parts = [(marks, rules[min(k, 1)]) for k in range(3) if (marks := call.of(k)) is not None]
    if call.depends_on(3) or call.args[0].shape[:-2] != call.args[1].shape[:-2]:
        raise NoRuleError
    found = joined(parts, results[0].shape)
    return found if isinstance(call.result, Tensor) else [found, *[None] * (len(results) - 1)]


@_rule("convolution", "_convolution", "mkldnn_convolution", "cudnn_convolution")
def _convolution(call: Call) -> Marks:
    """Convolutions, also transposed ones: the minimum over the channels of a group, then over windows."""
    if call.name != "convolution" or call.depends_on(1, 2) or call.of(0) is None:
        raise NoRuleError
    value, weight, _, stride, padding, dilation, is_transposed, _, groups = call.args[:9]
    dims = weight.ndim - 2
    if value.ndim != dims + 2:
        raise NoRuleError
    stride, padding, dilation = (list(each) * dims if len(each) == 1 else each for each in (stride, padding, dilation))
    shape = call.result.shape

    def rule(m: Tensor) -> Tensor:
        m = _over_channels(m, groups, shape[1])
        for k in range(dims):
            axis, kernel = 2 + k, weight.shape[2 + k]
            if is_transposed:
                m = _stretched(m, axis, stride[k])
                m = windows(m, axis, kernel, 1, dilation[k], dilation[k] * (kernel - 1) - padding[k], shape[axis])
            else:
                m = windows(m, axis, kernel, stride[k], dilation[k], padding[k], shape[axis])
        return m

    marks = call.of(0)
    assert marks is not None
    return marks.map(rule)


def _over_channels(m: Tensor, groups: int, outputs: int) -> Tensor:
    if groups == 1 or m.stride(1) == 0 or m.shape[1] == 1:
        return least(m, [1]).expand(m.shape[0], outputs, *m.shape[2:])
    small = thin(m)
    grouped = (
        small.reshape(small.shape[0], groups, -1, *small.shape[2:]).amin(2).repeat_interleave(outputs // groups, 1)
    )
    return grouped.expand(m.shape[0], outputs, *m.shape[2:])


def _stretched(m: Tensor, axis: int, stride: int) -> Tensor:
    """Puts `stride` - 1 elements that depend on nothing between all elements of an axis."""
    if stride == 1:
        return m
    small = thin(m).movedim(axis, -1)
    small = small.expand(*small.shape[:-1], m.shape[axis])
    wide = torch.full((*small.shape[:-1], (m.shape[axis] - 1) * stride + 1), math.inf)
    wide[..., ::stride] = small
    return wide.movedim(-1, axis).expand([*m.shape[:axis], wide.shape[-1], *m.shape[axis + 1 :]])


@_rule(
    *[
        "max_pool1d_with_indices",
        "max_pool2d_with_indices",
        "max_pool3d_with_indices",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "max_pool2d",
        "max_pool1d",
        "max_pool3d",
        "mkldnn_max_pool2d",
    ]
)
def _pool(call: Call) -> Any:
    marks, value = call.of(0), call.args[0]
    dims = int(call.name.split("pool")[1][0])
    kernel = _per_axis(call.args[1], dims)
    stride = _per_axis(call.arg(2, "stride") or kernel, dims)
    padding = _per_axis(call.arg(3, "padding", 0), dims)
    is_max = call.name.startswith("max")
    dilation = _per_axis(call.arg(4, "dilation", 1) if is_max else 1, dims)
    results = [call.result] if isinstance(call.result, Tensor) else list(call.result)

    def rule(m: Tensor) -> Tensor:
        for k in range(dims):
            axis = value.ndim - dims + k
            m = windows(m, axis, kernel[k], stride[k], dilation[k], padding[k], results[0].shape[axis])
        return m

    assert marks is not None
    found = marks.map(rule)
    return found if isinstance(call.result, Tensor) else [found] * len(results)


def _per_axis(values: Any, dims: int) -> list[int]:
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    return given * dims if len(given) == 1 else given


@_rule(
    *[
        "_adaptive_avg_pool2d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool1d",
        "adaptive_max_pool2d",
        "adaptive_max_pool1d",
        "_adaptive_avg_pool3d",
    ]
)
def _adaptive_pool(call: Call) -> Any:
    results = [call.result] if isinstance(call.result, Tensor) else list(call.result)
    value, marks = call.args[0], call.of(0)
    dims = int(call.name.split("pool")[1][0])

    def rule(m: Tensor) -> Tensor:
        for axis in range(value.ndim - dims, value.ndim):
            m = spread(m, axis, _adaptive_reads(value.shape[axis], results[0].shape[axis]))
        return m

    assert marks is not None
    found = marks.map(rule)
    return found if isinstance(call.result, Tensor) else [found] * len(results)


def _adaptive_reads(inputs: int, outputs: int) -> Tensor:
    start = torch.arange(outputs) * inputs // outputs
    end = -(-(torch.arange(1, outputs + 1) * inputs) // outputs)
    places = torch.arange(inputs)
    return (places >= start[:, None]) & (places < end[:, None])


@_rule(
    *[
        "upsample_nearest1d",
        "upsample_nearest2d",
        "_upsample_nearest_exact2d",
        "upsample_bilinear2d",
        "_upsample_bilinear2d_aa",
        "upsample_bicubic2d",
        "upsample_linear1d",
        "_upsample_bicubic2d_aa",
        "_upsample_nearest_exact1d",
    ]
)
def _resized(call: Call) -> Marks | None:
    """Resizing is linear along each axis: rows of unit vectors show which inputs an output reads."""
    value, marks, shape = call.args[0], call.of(0), call.result.shape
    assert marks is not None
    reads = []
    for axis in range(2, value.ndim):
        size = value.shape[axis]
        units = torch.eye(size)[:, None]  # (input, 1, positions)
        given = units if value.ndim == 3 else units[:, :, :, None].expand(-1, -1, -1, value.shape[5 - axis])
        given = given.transpose(2, 3) if value.ndim == 4 and axis == 3 else given
        answer = call.function(given.contiguous(), *call.args[1:], **call.kwargs)
        line = answer if value.ndim == 3 else answer[..., 0] if axis == 2 else answer[:, :, 0]
        reads.append(line[:, 0].T != 0)

    def rule(m: Tensor) -> Tensor:
        for axis, each in enumerate(reads, start=2):
            m = spread(m, axis, each)
        return m.expand(shape)

    return marks.map(rule)


@_rule("copy_")
def _copied(call: Call) -> Marks | None:
    marks = call.of(1)
    return None if marks is None else marks.map(lambda m: m.expand(call.args[0].shape))
