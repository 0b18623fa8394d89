"""Base classes of parameterizations: evaluation, initial values, serialization, arithmetic."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from types import EllipsisType
from typing import Any, ParamSpec, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.tensors import ArrayLike
from lucid_port.optvis import serialization
from lucid_port.optvis.sampling import RandomSource

__all__ = [
    "Derived",
    "Operand",
    "Parameterization",
    "Wrapped",
    "as_parameterization",
    "channels_first",
    "channels_last",
    "deviation",
    "draw_normal",
    "parameterization",
    "total",
]

Memo: TypeAlias = dict[int, torch.Tensor]
"""Values of one evaluation, by the `id` of the parameterization."""

Index: TypeAlias = int | slice | EllipsisType | None
"""One item of an index expression."""


def channels_first(tensor: torch.Tensor) -> torch.Tensor:
    """Converts [..., H, W, C] to [..., C, H, W]; tensors of rank 0 to 2 stay as they are."""
    return tensor.movedim(-1, -3) if tensor.ndim >= 3 else tensor


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Converts [..., C, H, W] to [..., H, W, C]: the inverse of `channels_first`."""
    return tensor.movedim(-3, -1) if tensor.ndim >= 3 else tensor


class Parameterization(torch.nn.Module):
    """An image, or a part of an image, as a function of parameters.

    Calling it returns a channels-first tensor, NCHW for an image. Arithmetic, indexing, reshaping
    and stacking return new parameterizations that share the parameters. Arguments have Lucid's axis
    order, channels last: `p[..., :3]` are the first three channels.

    A render draws the initial values from its random source (`reset`). Without a render, they are
    drawn on first use with the default seed.

    Subclasses implement `compute`, and `draw` if they own parameters.

    Example:
        >>> class Gray(Parameterization):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.level = torch.nn.Parameter(torch.zeros(1, 1, 1, 1))
        ...
        ...     def compute(self, memo):
        ...         return torch.sigmoid(self.level).expand(1, 3, 8, 8)
        >>> gray = Gray()
        >>> gray().shape, gray.shape, gray[..., :2].shape
        (torch.Size([1, 3, 8, 8]), (1, 8, 8, 3), (1, 8, 8, 2))
    """

    def __init__(self) -> None:
        super().__init__()
        self.spec: tuple[str, dict[str, Any]] | None = None  # name and arguments of the factory
        self._ready = False

    # evaluation

    def forward(self) -> torch.Tensor:
        """Returns the current image, channels first."""
        if not self.ready:
            self.reset(RandomSource())
        return self.evaluate({})

    def evaluate(self, memo: Memo) -> torch.Tensor:
        """Returns the value; a part that occurs several times is computed once per evaluation."""
        key = id(self)
        if key not in memo:
            memo[key] = self.compute(memo)
        return memo[key]

    def compute(self, memo: Memo) -> torch.Tensor:
        """Computes the value from `evaluate(memo)` of the parts."""
        raise NotImplementedError

    def nhwc(self) -> torch.Tensor:
        """Returns the current image in Lucid's axis order."""
        return channels_last(self())

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in Lucid's axis order."""
        with torch.no_grad():
            return tuple(channels_last(self.evaluate({})).shape)

    # initial values

    @property
    def ready(self) -> bool:
        """Whether all parts have initial values."""
        return all(part._ready for part in self.leaves())

    def leaves(self) -> Iterator[Parameterization]:
        """Yields the parts that draw initial values, each once and in a fixed order."""
        for module in self.modules():
            if isinstance(module, Parameterization) and module.is_leaf():
                yield module

    def is_leaf(self) -> bool:
        """Whether this part draws initial values."""
        return type(self).draw is not Parameterization.draw

    def reset(self, source: RandomSource) -> Parameterization:
        """Draws new initial values; the n-th leaf draws in the scope `n` of `source`."""
        for index, part in enumerate(self.leaves()):
            part.draw(source.scope(str(index)))
            part._ready = True
        return self

    def draw(self, source: RandomSource) -> None:
        """Sets the parameters of this part from `source`."""

    # plain data

    def to_data(self) -> dict[str, Any]:
        """Returns the plain-data form, `{"param": name, "args": {...}}`.

        Raises:
            NotSerialisable: A part was not made by a registered factory, or two parts share
                parameters.
        """
        if self.spec is None:
            raise serialization.NotSerialisable(
                f"{type(self).__name__} was made by a user's own code and has no plain-data form."
            )
        parts = [id(part) for part in _parts(self)]
        if len(set(parts)) < len(parts):
            raise serialization.NotSerialisable(
                "Two parts of the parameterization share their parameters, which its plain-data form cannot say."
            )
        name, args = self.spec
        return {"param": name, "args": serialization.to_data(args)}

    # arithmetic, in Lucid's axis order

    def __add__(self, other: Operand) -> Parameterization:
        return _binary("add", self, other)

    def __radd__(self, other: Operand) -> Parameterization:
        return _binary("add", other, self)

    def __sub__(self, other: Operand) -> Parameterization:
        return _binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Parameterization:
        return _binary("sub", other, self)

    def __mul__(self, other: Operand) -> Parameterization:
        return _binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Parameterization:
        return _binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Parameterization:
        return _binary("truediv", self, other)

    def __rtruediv__(self, other: Operand) -> Parameterization:
        return _binary("truediv", other, self)

    def __neg__(self) -> Parameterization:
        return _binary("mul", -1.0, self)

    __array_priority__ = 100  # numpy_number * parameterization calls Parameterization.__rmul__

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Parameterization:
        return take(self, encode_index(index))

    def __len__(self) -> int:
        """Size of the first axis in Lucid's order: the number of images of a batch.

        Raises:
            TypeError: The parameterization is a single number.
        """
        shape = self.shape
        if not shape:
            raise TypeError("A parameterization without axes has no length and cannot be iterated.")
        return shape[0]

    def __bool__(self) -> bool:
        return True  # as any module; without this, Python would compute the length

    def __iter__(self) -> Iterator[Parameterization]:
        """Iterates along the first axis in Lucid's order: over the images of a batch."""
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """Returns the current image in Lucid's axis order, so that NumPy does not index single numbers."""
        return np.array(self.nhwc().detach().cpu().numpy(), dtype)

    def reshape(self, *shape: int | Sequence[int]) -> Parameterization:
        """Reshapes in Lucid's axis order."""
        sizes = shape[0] if isinstance(shape[0], (list, tuple)) else shape
        return reshape(self, sizes)  # type: ignore[arg-type]

    @checked
    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Parameterization:
        """Applies a function to the channels-first tensor. The result cannot be serialized."""
        return Derived(function, [self])


class Derived(Parameterization):
    """A function of other parameterizations.

    Args:
        function: Function of the tensors of the parts.
        parts: The parameterizations.
        last: Whether `function` takes and returns channels-last tensors.
    """

    def __init__(
        self,
        function: Callable[..., torch.Tensor],
        parts: Sequence[Parameterization],
        last: bool = False,
    ) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)
        self._function = function
        self._last = last

    def compute(self, memo: Memo) -> torch.Tensor:
        values = [part.evaluate(memo) for part in self.parts]  # type: ignore[operator]
        if not self._last:
            return self._function(*values)
        return channels_first(self._function(*(channels_last(v) for v in values)))


class Wrapped(Parameterization):
    """A parameterization from a module without inputs, or a tensor, of a channels-first image."""

    def __init__(self, image: torch.nn.Module | torch.Tensor) -> None:
        super().__init__()
        self.image: torch.nn.Module | torch.Tensor
        if isinstance(image, (torch.nn.Module, torch.nn.Parameter)):
            self.image = image
        elif image.is_leaf and image.requires_grad:
            self.image = torch.nn.Parameter(image.detach())
        else:
            self.register_buffer("image", image)

    def compute(self, memo: Memo) -> torch.Tensor:
        return self.image() if isinstance(self.image, torch.nn.Module) else self.image


class Constant(Parameterization):
    """A fixed number or array, in Lucid's axis order; see `constant`."""

    value: torch.Tensor

    def __init__(self, value: float | ArrayLike) -> None:
        super().__init__()
        checks.finite_values(value, "A constant in a parameterization")
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        tensor = torch.from_numpy(array.astype(np.float32))
        # Vectors and matrices broadcast against the last axes in Lucid's order.
        if tensor.ndim in (1, 2):
            tensor = tensor.reshape((1,) * (3 - tensor.ndim) + tuple(tensor.shape))
        self.register_buffer("value", channels_first(tensor), persistent=False)
        self.spec = ("constant", {"value": array.item() if array.ndim == 0 else array})

    def compute(self, memo: Memo) -> torch.Tensor:
        return self.value


@checked
def as_parameterization(value: Parameterization | torch.nn.Module | torch.Tensor) -> Parameterization:
    """Converts a module or tensor to a parameterization; returns a parameterization unchanged.

    Args:
        value: A module without inputs that returns NCHW, or a tensor NCHW. A leaf tensor that
            requires gradients is optimized.

    Raises:
        TypeError: `value` has another type.

    Example:
        >>> as_parameterization(torch.zeros(1, 3, 8, 8, requires_grad=True)).shape
        (1, 8, 8, 3)
    """
    if isinstance(value, Parameterization):
        return value
    if isinstance(value, (torch.nn.Module, torch.Tensor)):
        return Wrapped(value)
    raise TypeError(
        f"A parameterization is a param.* object, a module without inputs or a tensor that give "
        f"an NCHW image, or a function without arguments that returns one; not {checks.shown(value)}."
    )


P = ParamSpec("P")


@checked
def parameterization(factory: Callable[P, Parameterization]) -> Callable[P, Parameterization]:
    """Decorator that makes the parameterizations of a function serializable.

    The result remembers the function's name and arguments, defaults included. The name is
    registered, so that recipes can contain the parameterization.

    Example:
        >>> from lucid_port.optvis import param
        >>> @parameterization
        ... def dim_image(w, factor=0.5):
        ...     return param.image(w) * factor
        >>> dim_image(32).to_data()
        {'param': 'dim_image', 'args': {'w': 32, 'factor': 0.5}}
    """

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Parameterization:
        made = factory(*args, **kwargs)
        made.spec = (factory.__name__, serialization.bind(factory, args, kwargs))
        return made

    make.__signature__ = inspect.signature(factory)  # type: ignore[attr-defined]
    serialization.register("param", factory.__name__, make)
    return make


_OPERATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "truediv": torch.true_divide,
}


Operand: TypeAlias = Parameterization | float | ArrayLike
"""A parameterization, or a number or array in Lucid's axis order."""


def _binary(operation: str, left: Operand, right: Operand) -> Parameterization:
    return arithmetic(operation, _operand(left), _operand(right))


def _combined(left: torch.Tensor, right: torch.Tensor, operation: str) -> torch.Tensor:
    pairs = zip(left.shape[::-1], right.shape[::-1], strict=False)
    if any(a != b and 1 not in (a, b) for a, b in pairs):
        shapes = " and ".join(str(list(channels_last(part).shape)) for part in (left, right))
        raise ValueError(f"Parameterizations of the shapes {shapes} cannot be combined: make them of one size.")
    return _OPERATIONS[operation](left, right)


def _operand(value: Operand) -> Parameterization:
    return value if isinstance(value, Parameterization) else Constant(value)


@parameterization
def arithmetic(operation: str, left: Parameterization, right: Parameterization) -> Parameterization:
    """Result of an operator: `operation` is "add", "sub", "mul" or "truediv"."""
    if operation not in _OPERATIONS:
        raise ValueError(f"Unknown operation {checks.shown(operation)}: use one of {', '.join(_OPERATIONS)}.")
    return Derived(functools.partial(_combined, operation=operation), [_operand(left), _operand(right)])


@parameterization
@checked
def constant(value: float | ArrayLike) -> Parameterization:
    """A fixed number or array as a part of a parameterization.

    Args:
        value: Finite numbers, in Lucid's axis order. Vectors and matrices broadcast against the last
            axes.

    Raises:
        TypeError, ValueError: `value` does not consist of finite numbers.

    Example:
        >>> constant([0.25, 0.5, 1.0]).shape
        (1, 1, 3)
    """
    return Constant(value)


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


def total(parts: Sequence[Parameterization]) -> Parameterization:
    """Returns the sum of one or more parameterizations."""
    return functools.reduce(operator.add, parts)


def deviation(sd: float | None, function: str) -> int | float | None:
    """Checks a standard deviation, and returns it."""
    return None if sd is None else checks.number(sd, f"{function}'s sd", 0)


def draw_normal(source: RandomSource, name: str, shape: Sequence[int], sd: float) -> torch.Tensor:
    """Draws normal float32 numbers of `shape`; from rank 4 on, the first axis is the batch axis."""
    if len(shape) >= 4:
        noise = source.normal(name, tuple(shape[1:]), images=shape[0])
    else:
        noise = source.normal(name, tuple(shape))
    return torch.from_numpy((sd * noise).astype(np.float32))


def _parts(thing: Any) -> Iterator[Parameterization]:
    """Yields the parameterizations without parts in a spec; one that occurs several times is repeated."""
    if isinstance(thing, Parameterization):
        inner = [] if thing.spec is None else list(_parts(thing.spec[1]))
        yield from inner or [thing]
    elif isinstance(thing, (dict, list, tuple)):
        for value in thing.values() if isinstance(thing, dict) else thing:
            yield from _parts(value)
