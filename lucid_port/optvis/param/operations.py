"""Operators, functions and transforms of parameterizations, as registered factories, so that recipes hold them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.param.base import (
    Constant,
    Derived,
    DrawingMemo,
    Memo,
    Parameterization,
    Transforming,
    as_parameterization,
    channels_last,
    parameterization,
)
from lucid_port.optvis.param.operators import Axes, Operand, makes

__all__ = ["arithmetic", "clamp", "concat", "elementwise", "reduction", "reshape", "stack", "take", "transformed"]


# Arithmetic -----------------------------------------------------------------------------------


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    """Returns the result of a comparison as 1 and 0, and other tensors unchanged."""
    return tensor.float() if tensor.dtype == torch.bool else tensor


_OPERATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "truediv": torch.true_divide,
    "floordiv": torch.floor_divide,
    "mod": torch.remainder,
    "pow": torch.pow,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
}

_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "abs": torch.abs,
    "sqrt": torch.sqrt,
    "exp": torch.exp,
    "log": torch.log,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}

_REDUCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
}


@makes
def binary(operation: str, left: Operand, right: Operand) -> Parameterization:
    return arithmetic(operation, _operand(left), _operand(right))


def _operand(value: Operand) -> Parameterization:
    return value if isinstance(value, Parameterization) else Constant(value)


@parameterization
def arithmetic(operation: str, left: Parameterization, right: Parameterization) -> Parameterization:
    """Result of an operator, such as "add" or "gt". Comparisons give booleans, which count as 1 and 0."""
    checks.choice(operation, "The operation", tuple(_OPERATIONS))
    return Derived(functools.partial(_combined, operation=operation), [_operand(left), _operand(right)])


def _combined(left: torch.Tensor, right: torch.Tensor, operation: str) -> torch.Tensor:
    if left.ndim >= 3 or right.ndim >= 3:
        left, right = _with_channels(left), _with_channels(right)
    pairs = zip(left.shape[::-1], right.shape[::-1], strict=False)
    if any(a != b and 1 not in (a, b) for a, b in pairs):
        shapes = " and ".join(str(list(channels_last(part).shape)) for part in (left, right))
        raise ValueError(f"Parameterizations of the shapes {shapes} cannot be combined: make them of one size.")
    return _OPERATIONS[operation](_numbers(left), _numbers(right))


def _with_channels(tensor: torch.Tensor) -> torch.Tensor:
    """Aligns vectors and matrices with the last axes in Lucid's order, as broadcasting does there."""
    if tensor.ndim not in (1, 2):
        return tensor
    return tensor.reshape((1,) * (3 - tensor.ndim) + tuple(tensor.shape)).movedim(-1, -3)


@makes
@parameterization
def elementwise(part: Parameterization, function: str) -> Parameterization:
    """Result of an elementwise function, such as "abs" or "sqrt"."""
    checks.choice(function, "The function", tuple(_FUNCTIONS))
    return Derived(lambda tensor: _FUNCTIONS[function](_numbers(tensor)), [part])


@makes
@parameterization
def clamp(part: Parameterization, min: float | None = None, max: float | None = None) -> Parameterization:
    """Result of `part.clamp(min, max)`."""
    if min is None and max is None:
        raise ValueError("clamp needs a limit: give min, max or both.")
    low = None if min is None else checks.number(min, "clamp's min")
    high = None if max is None else checks.number(max, "clamp's max")
    return Derived(functools.partial(torch.clamp, min=low, max=high), [part])


@makes
@parameterization
def reduction(part: Parameterization, function: str, axis: Axes = None, keepdims: bool = False) -> Parameterization:
    """Result of `part.sum(axis, keepdims)` and of the other reductions: "mean", "max" and "min"."""
    checks.choice(function, "The reduction", tuple(_REDUCTIONS))
    given = None if axis is None else [axis] if isinstance(axis, int) else list(axis)
    axes = None if given is None else [checks.whole(one, f"{function}'s axis") for one in given]
    reduce = functools.partial(_reduced, function=function, axes=axes, keepdims=checks.flag(keepdims, "keepdims"))
    return Derived(reduce, [part], last=True)


def _reduced(tensor: torch.Tensor, function: str, axes: Sequence[int] | None, keepdims: bool) -> torch.Tensor:
    count = tensor.ndim
    chosen = range(count) if axes is None else axes
    if any(not -count <= axis < count for axis in chosen):
        raise ValueError(f"{function}'s axis is a number from {-count} to {count - 1} here, not {checks.shown(axes)}.")
    places = [axis % count for axis in chosen]
    if len(set(places)) < len(places):
        raise ValueError(f"{function}'s axis names an axis twice: {checks.shown(axes)}.")
    values = _numbers(tensor)
    return _REDUCTIONS[function](values, dim=places, keepdim=keepdims) if places else values


# Functions of torch ---------------------------------------------------------------------------

_BY_FUNCTION = {function: name for name, function in _FUNCTIONS.items()}


@makes
def of_torch(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Result of a function of torch with parameterizations among its arguments, which it gets as NCHW tensors.

    Raises:
        TypeError: The function changes its argument, or its result is not a tensor.
    """
    name = getattr(function, "__name__", str(function))
    if function in _BY_FUNCTION and len(args) == 1 and not kwargs:
        return elementwise(args[0], _BY_FUNCTION[function])
    if getattr(torch.Tensor, name, None) is function:
        return NotImplemented  # a tensor's own operator: for tensor + p, Python calls p's operator then
    if kwargs.get("out") is not None or (name.endswith("_") and not name.endswith("__")):
        raise TypeError(f"torch.{name} changes its argument: use the function that returns a result.")
    parts: list[Parameterization] = []
    pattern = _replaced((list(args), dict(kwargs)), parts)

    def compute(*tensors: torch.Tensor) -> torch.Tensor:
        positional, named = _filled(pattern, tensors)
        result = function(*positional, **named)
        if not isinstance(result, torch.Tensor):
            raise TypeError(
                f"torch.{name} of a parameterization gives {checks.shown(result)}, not a tensor: use p.map(f) with a "
                "function f that returns one, or call it with p(), the current NCHW tensor."
            )
        return result

    made = Derived(compute, parts)
    made.shape  # noqa: B018  # so that an error is raised here, and not in the render
    return made


class _Place(int):
    """The position of a parameterization among the parts of a call."""


def _replaced(thing: Any, parts: list[Parameterization]) -> Any:
    """Returns arguments with places instead of parameterizations, which are appended to `parts`."""
    if isinstance(thing, Parameterization):
        parts.append(thing)
        return _Place(len(parts) - 1)
    if isinstance(thing, (list, tuple)):
        return type(thing)([_replaced(item, parts) for item in thing])
    return {key: _replaced(item, parts) for key, item in thing.items()} if isinstance(thing, dict) else thing


def _filled(thing: Any, tensors: Sequence[torch.Tensor]) -> Any:
    if isinstance(thing, _Place):
        return tensors[thing]
    if isinstance(thing, (list, tuple)):
        return type(thing)([_filled(item, tensors) for item in thing])
    return {key: _filled(item, tensors) for key, item in thing.items()} if isinstance(thing, dict) else thing


# Transforms -----------------------------------------------------------------------------------


@parameterization
def transformed(part: Parameterization, transform: Transforming) -> Parameterization:
    """Result of a transform of a parameterization: each step of a render draws new numbers."""
    return _Transformed(part, transform)


class _Transformed(Parameterization):
    def __init__(self, part: Parameterization, transform: Transforming) -> None:
        super().__init__()
        self.part = part
        self._transform = transform

    def compute(self, memo: Memo) -> torch.Tensor:
        image = self.part.evaluate(memo)
        if image.ndim != 4:
            shape = list(channels_last(image).shape)
            raise ValueError(
                f"Transforms take a batch of images, not a shape of {shape}: add the axis with its [None]."
            )
        draws = memo if isinstance(memo, DrawingMemo) else DrawingMemo()
        return _run(self._transform, image, draws)


def _run(transform: Transforming, image: torch.Tensor, draws: DrawingMemo) -> torch.Tensor:
    inner = getattr(transform, "transforms", None)
    if inner is None:
        return transform.apply(image, draws.params(transform, tuple(image.shape)))
    for one in inner:
        image = _run(one, image, draws)
    return image


# Shapes ---------------------------------------------------------------------------------------


@makes
def indexed(part: Parameterization, index: Any) -> Parameterization:
    return take(part, encode_index(index))


def encode_index(index: Any) -> list[Any]:
    """Converts an index expression to plain data.

    Raises:
        TypeError, ValueError: It contains other items than integers, slices, `...` and None.
        IndexError: It contains `...` more than once.
    """
    items = index if isinstance(index, tuple) else (index,)
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("An index of a parameterization has at most one `...`.")
    encoded: list[Any] = []
    for item in items:
        if item is Ellipsis:
            encoded.append("...")
        elif isinstance(item, slice):
            encoded.append({"slice": _encode_slice(item)})
        elif item is None:
            encoded.append(None)
        else:
            encoded.append(checks.whole(item, "An index of a parameterization"))
    return encoded


def _encode_slice(part: slice) -> list[int | None]:
    if part.step is not None and part.step == 0:
        raise ValueError("The step of a slice cannot be 0.")
    limits = (part.start, part.stop, part.step)
    return [None if limit is None else checks.whole(limit, "A limit or step of a slice") for limit in limits]


def _decode_index(encoded: Sequence[Any]) -> tuple[Any, ...]:
    items: list[Any] = []
    for item in encoded:
        if item == "...":
            items.append(Ellipsis)
        elif isinstance(item, dict):
            items.append(slice(*item["slice"]))
        else:
            items.append(item)
    return tuple(items)


@parameterization
def take(part: Parameterization, index: Sequence[Any]) -> Parameterization:
    """Result of `part[...]`: `index` has the form of `encode_index`."""
    decoded = _decode_index(index)
    return Derived(functools.partial(_indexed, index=decoded), [part], last=True)


def _indexed(tensor: torch.Tensor, index: tuple[Any, ...]) -> torch.Tensor:
    """Indexes a tensor; unlike torch, slices may have negative steps."""
    count = sum(item is not None and item is not Ellipsis for item in index)
    if count > tensor.ndim:
        raise IndexError(f"{count} indices are too many for a parameterization of shape {list(tensor.shape)}.")
    plain_index = list(index)
    axis = 0
    for place, item in enumerate(index):
        if item is Ellipsis:
            axis += tensor.ndim - count
        elif item is not None:
            if isinstance(item, slice) and (item.step or 1) < 0:
                plain_index[place] = _slice_of_flipped(item, tensor.shape[axis])
                tensor = tensor.flip(axis)
            axis += 1
    return tensor[tuple(plain_index)]


def _slice_of_flipped(part: slice, size: int) -> slice:
    """Converts a slice with a negative step to the slice of the flipped axis that selects the same items."""
    positions = range(*part.indices(size))
    if not positions:
        return slice(0, 0)
    return slice(size - 1 - positions[0], size - positions[-1], -positions.step)


@makes
@parameterization
def reshape(part: Parameterization, shape: Sequence[int]) -> Parameterization:
    """Result of `part.reshape(shape)`."""
    sizes = [checks.whole(s, "A size that a parameterization is reshaped to", -1) for s in shape]
    return Derived(functools.partial(torch.reshape, shape=sizes), [part], last=True)


@parameterization
@checked
def concat(parts: Sequence[Parameterization], axis: int = 0) -> Parameterization:
    """Joins parameterizations along an axis, as `tf.concat` does.

    Args:
        parts: Parameterizations whose shapes differ in `axis` only.
        axis: Axis, in Lucid's axis order.

    Raises:
        TypeError, ValueError: `parts` is not a list, is empty, or (on evaluation) the shapes differ.

    Example:
        >>> from lucid_port.optvis import param
        >>> concat([param.image(16), param.image(16, batch=2)]).shape
        (3, 16, 16, 3)
    """
    return _joined(parts, axis, "concat")


@parameterization
@checked
def stack(parts: Sequence[Parameterization], axis: int = 0) -> Parameterization:
    """Joins parameterizations along a new axis, as `tf.stack` does.

    Args:
        parts: Parameterizations of one shape.
        axis: Position of the new axis, in Lucid's axis order.

    Raises:
        TypeError, ValueError: `parts` is not a list, is empty, or (on evaluation) the shapes differ.

    Example:
        >>> from lucid_port.optvis import param
        >>> stack([param.image(16)[0], param.image(16)[0]]).shape
        (2, 16, 16, 3)
    """
    return _joined(parts, axis, "stack")


def _joined(parts: Sequence[Parameterization], axis: int, function: str) -> Parameterization:
    along = checks.whole(axis, f"{function}'s axis")
    wanted = "a list of parameterizations"
    if isinstance(parts, Parameterization):  # which can be iterated, but is one image
        raise TypeError(f"{function}'s parts is {wanted}, not one {type(parts).__name__}.")
    given = checks.items(parts, f"{function}'s parts", wanted)
    if not given:
        raise ValueError(f"{function} needs at least one parameterization.")
    join = functools.partial(_join, axis=along, function=function)
    return Derived(join, [as_parameterization(part) for part in given], last=True)


def _join(*tensors: torch.Tensor, axis: int, function: str) -> torch.Tensor:
    joins = function == "concat"  # the sizes along `axis` may differ
    rest = [[size for index, size in enumerate(t.shape) if not joins or index != axis % t.ndim] for t in tensors]
    if any(sizes != rest[0] for sizes in rest):
        shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
        raise ValueError(f"{function} cannot join parameterizations of the shapes {shapes}.")
    axes = tensors[0].ndim + (not joins)
    if not -axes <= axis < axes:
        raise ValueError(f"{function}'s axis is a number from {-axes} to {axes - 1} here, not {axis}.")
    return torch.cat(tensors, axis) if joins else torch.stack(tensors, axis)
