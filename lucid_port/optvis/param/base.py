"""Base classes of parameterizations: evaluation, initial values, serialization, arithmetic."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.tensors import ArrayLike
from lucid_port.optvis import serialization
from lucid_port.optvis.param.operators import Operand, Operators
from lucid_port.optvis.sampling import RandomSource

__all__ = [
    "Derived",
    "DrawingMemo",
    "Operand",
    "Parameterization",
    "Transforming",
    "Wrapped",
    "as_parameterization",
    "channels_first",
    "channels_last",
    "deviation",
    "draw_normal",
    "parameterization",
    "shape_of",
    "total",
]

Memo: TypeAlias = dict[int, torch.Tensor]
"""Values of one evaluation, by the `id` of the parameterization."""


def channels_first(tensor: torch.Tensor) -> torch.Tensor:
    """Converts [..., H, W, C] to [..., C, H, W]; tensors of rank 0 to 2 stay as they are."""
    return tensor.movedim(-1, -3) if tensor.ndim >= 3 else tensor


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Converts [..., C, H, W] to [..., H, W, C]: the inverse of `channels_first`."""
    return tensor.movedim(-3, -1) if tensor.ndim >= 3 else tensor


class Transforming(Protocol):
    """The part of a transform that parameterizations use; see `lucid_port.optvis.transform.Transform`."""

    @property
    def kind(self) -> str: ...

    def make_params(self, source: RandomSource, shape: tuple[int, ...]) -> Any: ...

    def apply(self, image: torch.Tensor, params: Any) -> torch.Tensor: ...


class DrawingMemo(dict[int, torch.Tensor]):
    """Values of one evaluation by the `id` of the parameterization, and its draws.

    The n-th transform of an image draws in the scope `param`, `n` of the source. Images that are joined to a batch have
    the draws that they would have alone.

    Attributes:
        source: Source of the draws; None stands for a new one with the default seed, so that evaluations outside of a
            render are equal.
    """

    source: RandomSource | None = None
    _drawn: dict[Any, Any] | None = None
    _count = 0

    def params(self, transform: Transforming, shape: tuple[int, ...]) -> Any:
        """Returns the parameters of the next transform for a batch of NCHW `shape`."""
        own = self.source = self.source or RandomSource()
        drawn = self._drawn = {} if self._drawn is None else self._drawn
        same = transform if _is_hashable(transform) else id(transform)
        key = (self._count, own.per_image and own.seeds, same, shape)
        if key not in drawn:
            source = own.scope("param").scope(str(self._count)).scope(transform.kind)
            drawn[key] = transform.make_params(source, shape)
        self._count += 1
        return drawn[key]

    @contextmanager
    def of_image(self, index: int) -> Iterator[None]:
        """A context in which transforms draw as for a render of the image `index` alone."""
        source, self._count = self.source or RandomSource(), 0
        self.source = source.of_image(index)
        try:
            yield
        finally:
            self.source = source


def _is_hashable(transform: Transforming) -> bool:
    try:
        hash(transform)
    except TypeError:  # of a user's own transform with a list or an array
        return False
    return True


class Parameterization(Operators, torch.nn.Module):
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
        return self.evaluate(DrawingMemo())

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
            return tuple(channels_last(self.evaluate(DrawingMemo())).shape)

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


def total(parts: Sequence[Parameterization]) -> Parameterization:
    """Returns the sum of one or more parameterizations."""
    return functools.reduce(operator.add, parts)


def deviation(sd: float | None, function: str) -> int | float | None:
    """Checks a standard deviation, and returns it."""
    return None if sd is None else checks.number(sd, f"{function}'s sd", 0)


def shape_of(shape: int | Sequence[int], function: str) -> tuple[int, ...]:
    """Checks a shape, or the size of an only axis, as NumPy does, and returns the shape."""
    return checks.sizes([shape] if isinstance(shape, (int, np.integer)) else shape, f"{function}'s shape")


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
