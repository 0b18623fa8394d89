"""Rules for operators that make channels: convolutions, products of matrices, attention, norms."""

from __future__ import annotations

from torch import Tensor

from converters.tracing.axes.call import RULES, Call
from converters.tracing.axes.factors import (
    Axes,
    Axis,
    Factor,
    RuleError,
    channels_in,
    combined,
    length,
    new_channels,
    resized,
    roles,
)

_CONVOLVED = {3: ("L",), 4: ("H", "W"), 5: ("T", "H", "W")}


@RULES.register(
    "convolution",
    "_convolution",
    "cudnn_convolution",
    "mkldnn_convolution",
    "convolution_overrideable",
    "deform_conv2d",
)
def _convolution(call: Call) -> Axes:
    axes = _known(call)
    shape = call.output.shape
    if axes is None:
        axes = _fresh(call)
    weight = call.axes(call["weight"])
    images, places = axes[0], axes[2:]
    kernels = () if weight is None else weight[0]  # of each image
    channels = kernels if roles(kernels) else new_channels(shape[1], [images, *places])
    sized = []
    kernel = call["weight"].shape[2:]
    for axis, size, role, width in zip(places, shape[2:], _CONVOLVED[len(shape)], kernel, strict=True):
        is_place = bool(axis) and {factor.role for factor in axis} <= {"H", "W", "T", "L"}
        is_apart = width == 1 and roles(axis) == "C" and length(axis) == size  # indices do not mix, as in lambda layers
        sized.append(resized(axis, size) if is_place or is_apart else (Factor(role, size),))
    return images, channels, *sized


def _known(call: Call) -> Axes | None:
    try:
        return call.axes(call.first)
    except RuleError:
        return _fresh(call)


def _fresh(call: Call) -> Axes:
    """Returns the axes of a convolution's input that are not known: those of a batch of images."""
    shape = call.first.shape
    if shape[0] != call.images:
        raise RuleError("a convolution reads rows that are not the images of the batch")
    names = _CONVOLVED[len(shape)]
    return (
        (Factor("N", shape[0]),),
        (Factor("C", shape[1]),),
        *((Factor(role, size),) for role, size in zip(names, shape[2:], strict=True)),
    )


@RULES.register("mm", "bmm", "matmul", "linear", "mv", "dot")
def _product(call: Call) -> Axes:
    one, other = list(call.arguments.values())[:2]
    if call.op == "linear" or min(one.ndim, other.ndim) < 2:
        raise RuleError(f"there is no rule for {call.op} of these ranks")
    return _of_product(call, one, other)


@RULES.register("addmm", "baddbmm", "addbmm", "_addmm_activation")
def _sum_of_product(call: Call) -> Axes:
    one, other = list(call.arguments.values())[1:3]
    product = _of_product(call, one, other)
    added = call.axes(call.first)
    if added is None:
        return product
    return combined(((),) * (len(product) - len(added)) + added, product)


def _of_product(call: Call, one: Tensor, other: Tensor) -> Axes:
    """Returns the axes of a product of matrices, or of batches of matrices."""
    left, right = _partly(call, one, other)
    rows, columns = one.shape[-2], other.shape[-1]
    if left is not None and right is not None:
        batch = combined(left[:-2], right[:-2])
        return (*batch, *_mixed(left, right))
    if left is not None:
        batch = left[:-2]
        return (*batch, left[-2], new_channels(columns, [*batch, left[-2]]))
    if right is None:
        raise RuleError(f"{call.op} reads no value that depends on the image")
    batch = right[:-2]
    if any(roles(axis).startswith("N") for axis in batch):  # queries that are parameters
        return (*batch, (Factor("L", rows),), right[-1])
    return (*batch, new_channels(rows, [*batch, right[-1]]), right[-1])


def _partly(call: Call, one: Tensor, other: Tensor) -> tuple[Axes | None, Axes | None]:
    """Returns the axes of both factors of a product.

    If those of a square one are not known, it mixes the tokens of the other one, as a map of attention does.
    """
    try:
        left = call.axes(one)
    except RuleError:
        right = call.axes(other)
        if right is None or one.shape[-1] != one.shape[-2] or not _are_places(right[-2]):
            raise
        return (*right[:-2], right[-2], right[-2]), right
    try:
        return left, call.axes(other)
    except RuleError:
        if left is None or other.shape[-1] != other.shape[-2] or not _are_places(left[-1]):
            raise
        return left, (*left[:-2], left[-1], left[-1])


def _are_places(axis: Axis) -> bool:
    kinds = set(roles(axis))
    return bool(kinds) and kinds <= {"H", "W", "L", "T"}


def _mixed(left: Axes, right: Axes) -> tuple[Axis, Axis]:
    """Returns the free axes of a product of two values that depend on the image.

    If tokens are mixed by weights, the weights' channels become the new tokens.
    """
    rows, columns = left[-2], right[-1]
    if _are_places(left[-1]):
        one, other = channels_in([rows]), channels_in([columns])
        if one and other and one[0].generation > other[0].generation:
            rows = (Factor("L", length(rows)),)
        elif one and other and one[0].generation < other[0].generation:
            columns = (Factor("L", length(columns)),)
    return rows, columns


_ATTENTION = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_attention_math_for_mps",
    "_scaled_dot_product_fused_attention_overrideable",
)


@RULES.register(*_ATTENTION)
def _attention(call: Call) -> Axes:
    query, value = call.axes(call["query"]), call.axes(call["value"])
    if value is None:
        raise RuleError("attention reads values that are constants")
    tokens = (Factor("L", call.output[0].shape[-2]),) if query is None else query[-2]
    batch = value[:-2] if query is None else combined(query[:-2], value[:-2])
    return (*batch, tokens, value[-1])


@RULES.register("_native_multi_head_attention", "_transformer_encoder_layer_fwd")
def _multi_head_attention(call: Call) -> Axes:
    axes = call.first_axes()
    return (*axes[:-1], new_channels(call.first.shape[-1], axes[:-1]))


@RULES.register(
    "native_batch_norm",
    "_native_batch_norm_legit_no_training",
    "_native_batch_norm_legit",
    "batch_norm",
    "cudnn_batch_norm",
    "native_group_norm",
    "native_layer_norm",
    "_fused_rms_norm",
    "rms_norm",
    "native_dropout",
    "_batch_norm_no_update",
    "_batch_norm_with_update",
)
def _norm(call: Call) -> Axes:
    return call.first_axes()


@RULES.register("lstm", "gru", "rnn_tanh", "rnn_relu", "mkldnn_rnn_layer")
def _recurrent(call: Call) -> list[Axes | None]:
    """The output of each time, and the states (layers and directions, images, features) after the last."""
    axes = call.first_axes()
    out, *states = call.output
    rows = next((axis for axis in axes[:-1] if "N" in roles(axis)), axes[0 if call["batch_first"] else 1])
    found: list[Axes | None] = [(*axes[:-1], new_channels(out.shape[-1], axes[:-1]))]
    return found + [_state(state, rows) for state in states if state is not None]


def _state(state: Tensor, rows: Axis) -> Axes | None:
    """Returns the axes of a state of one or of several recurrent layers; None for a workspace."""
    if state.ndim not in (2, 3):
        return None
    layers = ((Factor("G", state.shape[0]),),) if state.ndim == 3 else ()
    return (*layers, rows, new_channels(state.shape[-1], [rows]))
