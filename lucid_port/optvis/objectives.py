"""What a visualisation maximises.

An `Objective` is a function of `T`, where `T(layer)` is that layer's activation
(NCHW, or [N, C] for dense layers), `T("input")` the image before any transform, and
`T("labels")` the model's labels. Objectives add, subtract, scale, multiply and divide. Names,
arguments, strings and values are those of `lucid.optvis.objectives` 0.3.10.

A value that is no scalar is summed by the optimisation, as TensorFlow sums it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from lucid_port.misc import checks
from lucid_port.optvis import plain

__all__ = [
    "L1",
    "L2",
    "Objective",
    "alignment",
    "as_objective",
    "blur_alpha_each_step",
    "blur_input_each_step",
    "channel",
    "channel_interpolate",
    "class_logit",
    "deepdream",
    "direction",
    "direction_cossim",
    "direction_neuron",
    "diversity",
    "handle_batch",
    "input_diff",
    "neuron",
    "penalize_boundary_complexity",
    "tensor_direction",
    "total_variation",
    "wrap_objective",
]


class Activations(Protocol):
    """`T`: gives a layer's activation by name, and "input" and "labels"."""

    def __call__(self, name: str, /) -> Any: ...


Value = Any
ObjectiveFunction = Callable[[Activations], Value]
_NUMBERS = (int, float, np.number)


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


class Objective:
    """Something to maximise: a function of `T` with a name and a description.

    Args:
        objective_func: from `T` to a number tensor.
        name: short name.
        description: longer text, with the arguments.
        recipe: plain-data form, a function that makes it (so that a failure to serialise is
            reported when it is asked for, not when the objective is made).

    Raises:
        TypeError: `objective_func` is no function.
    """

    __array_priority__ = 100  # so that numpy_number * objective comes here

    def __init__(
        self,
        objective_func: ObjectiveFunction,
        name: str = "",
        description: str = "",
        recipe: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        if not callable(objective_func):
            raise TypeError(
                f"An Objective is made from a function of T, not {checks.shown(objective_func)}: use as_objective for "
                "'layer:channel'."
            )
        self.objective_func = objective_func
        self.name = name
        self.description = description
        self._recipe = recipe

    def __call__(self, T: Activations) -> Value:
        return self.objective_func(T)

    def __repr__(self) -> str:
        return f"Objective({self.description or self.name!r})"

    def to_data(self) -> dict[str, Any]:
        """Plain-data form: `{"objective": name, "args": {...}}`.

        Raises:
            NotSerialisable: the objective, or an argument of it, is a user's own callable.
        """
        if self._recipe is None:
            raise plain.NotSerialisable(
                f"The objective {self.name or self.objective_func!r} is a user's own callable and "
                "has no plain-data form: make it with a registered factory (wrap_objective)."
            )
        return self._recipe()

    def __add__(self, other: Any) -> Objective:
        if _is_number(other):
            return _shift(self, other)
        if isinstance(other, Objective):
            return Objective.sum([self, other])
        return NotImplemented

    def __radd__(self, other: Any) -> Objective:
        return self + other

    def __sub__(self, other: Any) -> Objective:
        if isinstance(other, Objective) or _is_number(other):
            return self + (-1 * other)
        return NotImplemented

    def __rsub__(self, other: Any) -> Objective:
        return (-1 * self) + other

    def __neg__(self) -> Objective:
        return -1 * self

    def __mul__(self, other: Any) -> Objective:
        if _is_number(other):
            return _scale(self, other)
        if isinstance(other, Objective):
            return _product(self, other)
        return NotImplemented

    def __rmul__(self, other: Any) -> Objective:
        return self * other

    def __truediv__(self, other: Any) -> Objective:
        if _is_number(other):
            return _quotient(self, other)
        if isinstance(other, Objective):
            return _quotient(self, other)
        return NotImplemented

    def __rtruediv__(self, other: Any) -> Objective:
        if _is_number(other):
            return _quotient(other, self)
        return NotImplemented

    @staticmethod
    def sum(objs: Iterable[Any]) -> Objective:
        """Sum of objectives (or of what `as_objective` takes); generators work, too.

        Raises:
            TypeError: something else than several objectives was given.
        """
        terms = [as_objective(o) for o in checks.items(objs, "What Objective.sum adds", "a list of objectives")]
        return Objective(
            lambda T: sum(term(T) for term in terms),
            ", ".join(term.name for term in terms),
            "Sum(" + " +\n".join(term.description for term in terms) + ")",
            lambda: {"objective": "sum", "args": {"objs": [t.to_data() for t in terms]}},
        )


def _evaluate(operand: Any, T: Activations) -> Any:
    return operand(T) if isinstance(operand, Objective) else _plain_number(operand)


def _plain_number(number: Any) -> int | float:
    return number.item() if isinstance(number, np.generic) else number


_OPERANDS = {"shift": "summand", "scale": "factor", "product": "factor", "quotient": "divisor or dividend"}


def _algebra(name: str, of: Objective, func: ObjectiveFunction, **operands: Any) -> Objective:
    """An objective with the name and description of `of`.

    Raises:
        TypeError: an operand is neither an objective nor a number.
        ValueError: a number is NaN or infinite.
    """
    for operand in operands.values():
        if not isinstance(operand, Objective):
            checks.number(operand, f"An objective's {_OPERANDS[name]}")
    return Objective(
        func,
        of.name,
        of.description,
        lambda: {"objective": name, "args": plain.to_data(operands)},
    )


def _shift(objective: Objective, by: Any) -> Objective:
    return _algebra("shift", objective, lambda T: objective(T) + _plain_number(by), objective=objective, by=by)


def _scale(objective: Objective, by: Any) -> Objective:
    return _algebra("scale", objective, lambda T: _plain_number(by) * objective(T), objective=objective, by=by)


def _product(a: Objective, b: Objective) -> Objective:
    return _algebra("product", a, lambda T: a(T) * b(T), a=a, b=b)


def _quotient(a: Any, b: Any) -> Objective:
    if _is_number(b) and b == 0:
        raise ZeroDivisionError("An objective cannot be divided by 0.")
    named = a if isinstance(a, Objective) else b
    return _algebra("quotient", named, lambda T: _evaluate(a, T) / _evaluate(b, T), a=a, b=b)


_ALGEBRA: dict[str, Callable[..., Objective]] = {
    "sum": Objective.sum,
    "shift": _shift,
    "scale": _scale,
    "product": _product,
    "quotient": _quotient,
}
for _name, _factory in _ALGEBRA.items():
    plain.register("objective", _name, _factory)


# Making objectives ----------------------------------------------------------------------------


def _to_nhwc(tensor: Any) -> Any:
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if tensor.ndim == 2:
        return tensor[:, None, None, :]
    if tensor.ndim == 4:
        return tensor.permute(0, 2, 3, 1)
    return tensor


class _Nhwc:
    """`T` in Lucid's axis order."""

    def __init__(self, T: Activations) -> None:
        self._T = T

    def __call__(self, name: str, /) -> Any:
        return _to_nhwc(self._T(name))

    @property
    def channel(self) -> Any:
        return getattr(self._T, "channel", None)


def _in_format(T: Activations, require_format: str | None) -> Activations:
    return T if require_format is None else _Nhwc(T)


def _check_format(require_format: Any) -> None:
    if require_format not in (None, "NHWC", "NCHW"):
        raise ValueError(f"require_format is None, 'NHWC' or 'NCHW', not {require_format!r}.")


def _describe(name: str, arguments: Iterable[Any]) -> str:
    def short(argument: Any) -> str:
        text = str(argument)
        return "..." if len(text) > 15 or "\n" in text else text

    return f"{name.title()} [{', '.join(short(a) for a in arguments)}]"


def _objective_factory(
    function: Callable[..., ObjectiveFunction], require_format: str | None
) -> Callable[..., Objective]:
    name = function.__name__
    format_ = None if require_format == "NCHW" else require_format

    @functools.wraps(function)
    def make(*args: Any, **kwargs: Any) -> Objective:
        arguments = plain.bind(function, args, kwargs)
        inner = function(*args, **kwargs)
        return Objective(
            lambda T: inner(_in_format(T, format_)),
            name,
            _describe(name, arguments.values()),
            lambda: {"objective": name, "args": plain.to_data(arguments)},
        )

    make.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    make.makes_objectives = True  # type: ignore[attr-defined]
    plain.register("objective", name, make)
    return make


def wrap_objective(require_format: Any = None, handle_batch: bool = False) -> Any:
    """Decorator that turns `f(*args)` returning a function of `T` into objectives' maker.

    Works bare (`@wrap_objective`, as older notebooks have it) and called
    (`@wrap_objective(require_format="NHWC")`).

    Args:
        require_format: `"NHWC"` gives `T` Lucid's axis order, and dense layers the shape
            [N, 1, 1, C]. By default `T` gives NCHW and [N, C].
        handle_batch: accepted and without effect, as in Lucid; see the function
            `handle_batch`.
    """
    if callable(require_format):
        return _objective_factory(require_format, None)
    _check_format(require_format)
    return lambda function: _objective_factory(function, require_format)


def handle_batch(batch: int | None = None) -> Callable[[ObjectiveFunction], ObjectiveFunction]:
    """Decorator for a function of `T` that lets it see one image of the batch only.

    Args:
        batch: index of the image; None leaves all. The batch axis stays, with size 1.

    Raises:
        TypeError, ValueError: `batch` is no index.
        IndexError: (from the decorated function) the batch has no such image.
    """
    index = None if batch is None else checks.whole(batch, "batch, the index of an image,", 0)

    def decorate(function: ObjectiveFunction) -> ObjectiveFunction:
        if index is None:
            return function
        return lambda T: function(lambda name: _one_image(T(name), index))

    return decorate


def _one_image(tensor: Any, index: int) -> Any:
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if not 0 <= index < tensor.shape[0]:
        raise IndexError(f"batch={index} is outside the batch of {tensor.shape[0]} images.")
    return tensor[index : index + 1]


def as_objective(obj: Any) -> Objective:
    """An objective from itself, from `"layer:channel"` or from a function of `T`.

    Raises:
        ValueError: a string is not of that form.
        TypeError: something else was given.
    """
    if isinstance(obj, Objective):
        return obj
    if isinstance(obj, str):
        return channel(*parse_unit(obj))
    if getattr(obj, "makes_objectives", False):
        raise TypeError(f"{obj.__name__} makes objectives, it is none itself: call it with its arguments.")
    if callable(obj):
        name = getattr(obj, "__name__", type(obj).__name__)
        return Objective(obj, name, name)
    raise TypeError(f"An objective is an Objective, a string or a function of T, not {checks.shown(obj)}.")


def parse_unit(text: str) -> tuple[str, int]:
    """Layer and channel of `"layer:channel"`.

    Raises:
        ValueError: the text is not of that form.
    """
    layer, _, number = text.rpartition(":")
    if not layer.strip() or not number.strip().isdigit():
        raise ValueError(f"{text!r} is no objective: write 'layer:channel', as in 'mixed4a_pre_relu:476'.")
    return layer.strip(), int(number)


# Pieces ---------------------------------------------------------------------------------------


def _layer_name(layer: Any, objective: str) -> None:
    checks.text(layer, f"{objective}'s layer", "the name of a layer, as in 'mixed4a'")


def _place(at: Any, what: str) -> int | None:
    """A row or column; None is the centre."""
    return None if at is None else checks.whole(at, what)


def _check_index(index: int, count: int, layer: str, kind: str, kinds: str) -> None:
    if not -count <= index < count:
        raise IndexError(f"Layer {layer!r} has no {kind} {index}: its {kinds} are 0 to {count - 1}.")


def channel_of(value: torch.Tensor, number: int, layer: str) -> torch.Tensor:
    """A channel of a layer's value, (N, C, ...), without its channel axis.

    Raises:
        IndexError: the layer has no such channel.
    """
    _check_index(number, value.shape[1], layer, "channel", "channels")
    return value[:, number]


def _read_channel(T: Activations, layer: str, number: int) -> torch.Tensor:
    """One channel by itself, where `T` can give that; else from the layer in NHWC."""
    read = getattr(T, "channel", None)
    return _channel(T(layer), number, layer) if read is None else read(layer, number)


def _channel(tensor: torch.Tensor, number: int, layer: str) -> torch.Tensor:
    """A channel of NHWC."""
    _check_index(number, tensor.shape[-1], layer, "channel", "channels")
    return tensor[..., number]


def _position(tensor: torch.Tensor, x: int | None, y: int | None) -> torch.Tensor:
    """[N, 1, 1, C] at a position of NHWC; x counts rows. Even sizes: just past the centre."""
    if tensor.ndim != 4:
        raise ValueError(f"There is no position in a layer of shape {list(tensor.shape)}: it has no rows and columns.")
    row = tensor.shape[1] // 2 if x is None else int(x)
    column = tensor.shape[2] // 2 if y is None else int(y)
    if not (0 <= row < tensor.shape[1] and 0 <= column < tensor.shape[2]):
        raise IndexError(
            f"Position x={row}, y={column} is outside the layer's {tensor.shape[1]} rows (x) and "
            f"{tensor.shape[2]} columns (y)."
        )
    return tensor[:, row : row + 1, column : column + 1]


def _dot(x: torch.Tensor, y: torch.Tensor, cossim_pow: float) -> torch.Tensor:
    """Dot product over the last axis, times a power of the cosine (at least 0.1)."""
    dot = (x * y).sum(-1)
    if cossim_pow == 0:
        return dot
    # vector_norm, because sqrt(sum(x * x)) has the gradient 0/0 for a vector of zeros.
    length_x, length_y = (torch.linalg.vector_norm(v, dim=-1) for v in (x, y))
    cosine = dot / (1e-4 + length_x) / (1e-4 + length_y)
    # Filled rather than clamped: at the limit itself the gradient is TensorFlow's, 0, in all versions of torch.
    return dot * cosine.masked_fill(cosine <= 0.1, 0.1) ** cossim_pow


def _vector(vec: Any, like: torch.Tensor) -> torch.Tensor:
    if isinstance(vec, torch.Tensor):
        return vec.to(like.device, like.dtype)
    return torch.as_tensor(np.asarray(vec), dtype=like.dtype, device=like.device)


def _check_direction(vec: Any, cossim_pow: Any, objective: str) -> None:
    """Refuses what can be no direction in any layer."""
    checks.finite_values(vec, f"{objective}'s vec")
    if np.ndim(vec) == 0:
        raise TypeError(f"{objective}'s vec has one number for each channel; it is the number {checks.shown(vec)}.")
    checks.number(cossim_pow, f"{objective}'s cossim_pow")


def _direction_in(vec: Any, activation: torch.Tensor, layer: str) -> torch.Tensor:
    """`vec` as a tensor like an activation (NHWC), which it has to fit."""
    vector = _vector(vec, activation)
    if vector.shape[-1] != activation.shape[-1]:
        raise ValueError(
            f"The direction has {vector.shape[-1]} numbers, but layer {layer!r} has {activation.shape[-1]} channels."
        )
    if any(a != b and 1 not in (a, b) for a, b in zip(vector.shape[::-1], activation.shape[::-1], strict=False)):
        raise ValueError(
            f"The direction of shape {list(vector.shape)} does not fit the activation of layer {layer!r}, which has "
            f"the shape {list(activation.shape)} (images, rows, columns, channels)."
        )
    return vector


def _check_fits_image(what: str, shape: Sequence[int], image: torch.Tensor) -> None:
    """Refuses a shape that cannot be broadcast to that of an NHWC image."""
    if not checks.broadcasts(shape, image.shape):
        raise ValueError(
            f"{what} has the shape {list(shape)}, which does not fit the image's {list(image.shape)} "
            "(images, rows, columns, channels)."
        )


def _blur(image: torch.Tensor, w: int) -> torch.Tensor:
    """Average with a w x w kernel that is 1 inside and 0.5 on its rim, renormalised at borders.

    Args:
        image: NCHW.
        w: odd width of the kernel.
    """
    kernel = torch.full((w, w), 0.5, dtype=image.dtype, device=image.device)
    kernel[1:-1, 1:-1] = 1.0
    count = image.shape[1]
    kernels = kernel.expand(count, 1, w, w)

    def smooth(t: torch.Tensor) -> torch.Tensor:
        return F.conv2d(t, kernels, padding=w // 2, groups=count)

    return smooth(image) / smooth(torch.ones_like(image))


# Objectives -----------------------------------------------------------------------------------


@wrap_objective(require_format="NHWC")
def neuron(
    layer_name: str,
    channel_n: int,
    x: int | None = None,
    y: int | None = None,
    batch: int | None = None,
) -> ObjectiveFunction:
    """One neuron: mean over the batch of its activation.

    Args:
        layer_name: layer.
        channel_n: channel.
        x: row, by default `height // 2`.
        y: column, by default `width // 2`.
        batch: one image of the batch instead of all.

    Raises:
        IndexError: (when evaluated) position, channel or image do not exist.
    """
    _layer_name(layer_name, "neuron")
    number, row, column = (
        checks.whole(channel_n, "neuron's channel_n"),
        _place(x, "neuron's x"),
        _place(y, "neuron's y"),
    )

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        return _channel(_position(T(layer_name), row, column), number, layer_name).mean()

    return inner


@wrap_objective(require_format="NHWC")
def channel(layer: str, n_channel: int, batch: int | None = None) -> ObjectiveFunction:
    """One channel: mean of its activation over batch and positions.

    Raises:
        IndexError: (when evaluated) the layer has no such channel, or the batch no such image.
    """
    _layer_name(layer, "channel")
    number = checks.whole(n_channel, "channel's n_channel")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        return _read_channel(T, layer, number).mean()

    return inner


@wrap_objective(require_format="NHWC")
def direction(layer: str, vec: Any, cossim_pow: float = 0, batch: int | None = None) -> ObjectiveFunction:
    """A direction in activation space: mean of `dot * max(0.1, cosine) ** cossim_pow`.

    Args:
        layer: layer.
        vec: [C], array, tensor or list.
        cossim_pow: 0 is the dot product alone; more asks for the direction to match.
        batch: one image of the batch instead of all.

    Raises:
        ValueError: `vec` holds NaN, or (when evaluated) has not one number for each channel.
    """
    _layer_name(layer, "direction")
    _check_direction(vec, cossim_pow, "direction")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        activation = T(layer)
        return _dot(activation, _direction_in(vec, activation, layer), cossim_pow).mean()

    return inner


direction_cossim = direction
"""The same as `direction`, without a cosine by default: Lucid 0.3.10 keeps only the name."""


@wrap_objective(require_format="NHWC")
def direction_neuron(
    layer_name: str,
    vec: Any,
    x: int | None = None,
    y: int | None = None,
    cossim_pow: float = 0,
    batch: int | None = None,
) -> ObjectiveFunction:
    """As `direction`, at one position only (rows `x`, columns `y`; the centre)."""
    _layer_name(layer_name, "direction_neuron")
    _check_direction(vec, cossim_pow, "direction_neuron")
    row, column = _place(x, "direction_neuron's x"), _place(y, "direction_neuron's y")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        activation = _position(T(layer_name), row, column)
        return _dot(activation, _direction_in(vec, activation, layer_name), cossim_pow).mean()

    return inner


@wrap_objective(require_format="NHWC")
def tensor_direction(layer: str, vec: Any, cossim_pow: float = 0, batch: int | None = None) -> ObjectiveFunction:
    """As `direction`, for a patch of vectors in the centre of the layer.

    Args:
        layer: layer.
        vec: [h, w, C] or [N, h, w, C].
        cossim_pow: as in `direction`.
        batch: one image of the batch instead of all.

    Raises:
        ValueError: `vec` has another rank, or (when evaluated) is larger than the layer or has
            other channels.
    """
    _layer_name(layer, "tensor_direction")
    _check_direction(vec, cossim_pow, "tensor_direction")
    if np.ndim(vec) not in (3, 4):
        raise ValueError(f"tensor_direction needs vec of [h, w, C] or [N, h, w, C], not of rank {np.ndim(vec)}.")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        activation = T(layer)
        if activation.ndim != 4:
            raise ValueError(f"Layer {layer!r} of shape {list(activation.shape)} has no rows and columns for a patch.")
        height, width = np.shape(vec)[-3:-1]
        top, left = (activation.shape[1] - height) // 2, (activation.shape[2] - width) // 2
        if top < 0 or left < 0:
            raise ValueError(
                f"The patch of {height} x {width} is larger than layer {layer!r} "
                f"({activation.shape[1]} x {activation.shape[2]})."
            )
        window = activation[:, top : top + height, left : left + width]
        return _dot(window, _direction_in(vec, window, layer), cossim_pow).mean()

    return inner


@wrap_objective()
def deepdream(layer: str) -> ObjectiveFunction:
    """Everything the layer sees: mean of the squared activation."""
    _layer_name(layer, "deepdream")
    return lambda T: (T(layer) ** 2).mean()


@wrap_objective(require_format="NHWC")
def total_variation(layer: str = "input") -> ObjectiveFunction:
    """Sum of absolute differences of neighbours, **one value per image** ([N]), as in Lucid."""
    _layer_name(layer, "total_variation")

    def inner(T: Activations) -> Value:
        image = T(layer)
        rows = (image[:, 1:] - image[:, :-1]).abs().sum((1, 2, 3))
        columns = (image[:, :, 1:] - image[:, :, :-1]).abs().sum((1, 2, 3))
        return rows + columns

    return inner


@wrap_objective()
def L1(layer: str = "input", constant: float = 0) -> ObjectiveFunction:
    """Sum of absolute deviations from `constant`."""
    _layer_name(layer, "L1")
    checks.finite_values(constant, "L1's constant")
    return lambda T: (T(layer) - constant).abs().sum()


@wrap_objective()
def L2(layer: str = "input", constant: float = 0, epsilon: float = 1e-6) -> ObjectiveFunction:
    """One Euclidean norm of the whole batch's deviation: `sqrt(epsilon + sum of squares)`."""
    _layer_name(layer, "L2")
    checks.finite_values(constant, "L2's constant")
    checks.number(epsilon, "L2's epsilon", 0)
    return lambda T: (epsilon + ((T(layer) - constant) ** 2).sum()).sqrt()


@wrap_objective()
def blur_input_each_step() -> ObjectiveFunction:
    """Half the squared distance of the input to its own blur.

    Minimise it: under plain gradient descent on pixels, `-k *` this mixes a share k of the
    blurred image in at each step.
    """

    def inner(T: Activations) -> Value:
        image = T("input")
        return 0.5 * ((image - _blur(image, 3).detach()) ** 2).sum()

    return inner


@wrap_objective()
def blur_alpha_each_step() -> ObjectiveFunction:
    """As `blur_input_each_step`, for the alpha channel only."""

    def inner(T: Activations) -> Value:
        alpha = T("input")[:, 3:4]
        if alpha.shape[1] == 0:
            raise ValueError(
                "blur_alpha_each_step needs an image with an alpha channel: make it with param.image(..., alpha=True)."
            )
        return 0.5 * ((alpha - _blur(alpha, 3).detach()) ** 2).sum()

    return inner


@wrap_objective(require_format="NHWC")
def channel_interpolate(layer1: str, n_channel1: int, layer2: str, n_channel2: int) -> ObjectiveFunction:
    """From the first channel to the second along the batch; summed over the images.

    Raises:
        ValueError: (when evaluated) the batch has one image only.
        IndexError: (when evaluated) a layer has no such channel.
    """
    _layer_name(layer1, "channel_interpolate")
    _layer_name(layer2, "channel_interpolate")
    number1 = checks.whole(n_channel1, "channel_interpolate's n_channel1")
    number2 = checks.whole(n_channel2, "channel_interpolate's n_channel2")

    def inner(T: Activations) -> Value:
        first, second = _channel(T(layer1), number1, layer1), _channel(T(layer2), number2, layer2)
        count = first.shape[0]
        if count < 2:
            raise ValueError("channel_interpolate needs a batch of at least 2 images.")
        weight = torch.arange(count, dtype=first.dtype, device=first.device) / (count - 1)
        means = [t.flatten(1).mean(1) for t in (first, second)]
        return ((1 - weight) * means[0] + weight * means[1]).sum()

    return inner


@wrap_objective()
def penalize_boundary_complexity(shp: Any, w: int = 20, mask: Any = None, C: float = 0.5) -> ObjectiveFunction:
    """Minus the deviation of the border from its own blur and from a constant.

    It is negative: **add** it to keep borders plain.

    Args:
        shp: [N, H, W, C] of the mask, in Lucid's axis order.
        w: width of the border.
        mask: instead of the border, in Lucid's axis order, broadcast to the image.
        C: the constant.

    Raises:
        ValueError: `shp` is no shape of an image batch, or (when evaluated) does not fit the image.
    """
    name = "penalize_boundary_complexity"
    border = checks.whole(w, f"{name}'s w", 0)
    checks.finite_values(C, f"{name}'s C")
    if mask is None:
        shape, what = checks.sizes(shp, f"{name}'s shp", 4), f"{name}'s shp"
    else:
        checks.finite_values(mask, f"{name}'s mask")
        shape, what = tuple(np.shape(mask)), f"{name}'s mask"

    def inner(T: Activations) -> Value:
        image = _to_nhwc(T("input"))
        _check_fits_image(what, shape, image)
        if mask is None:
            weight = torch.ones(shape, dtype=image.dtype, device=image.device)
            weight[:, border:-border, border:-border] = 0
        else:
            weight = _vector(mask, image)
        blurred = _to_nhwc(_blur(T("input"), 5))
        difference = (blurred - image) ** 2 + 0.8 * (image - C) ** 2
        return -(difference * weight).sum()

    return inner


@wrap_objective()
def alignment(layer: str, decay_ratio: float = 2) -> ObjectiveFunction:
    """Minus the difference of each image's activation to those of the next four images.

    It is negative: **add** it to keep neighbours in the batch alike.
    """
    _layer_name(layer, "alignment")
    checks.number(decay_ratio, "alignment's decay_ratio", above=0)

    def inner(T: Activations) -> Value:
        activation = T(layer)
        count = activation.shape[0]
        total: Value = torch.zeros((), dtype=activation.dtype, device=activation.device)
        for distance in range(1, min(5, count)):
            squares = (activation[:-distance] - activation[distance:]) ** 2
            means = squares.flatten(1).mean(1)
            total = total - means.sum() / decay_ratio**distance
        return total

    return inner


@wrap_objective(require_format="NHWC")
def diversity(layer: str) -> ObjectiveFunction:
    """Similarity of the images' normalised Gram matrices, summed over pairs.

    It is positive: **subtract** it to make the images of a batch differ.
    """
    _layer_name(layer, "diversity")

    def inner(T: Activations) -> Value:
        activation = T(layer)
        count, channels = activation.shape[0], activation.shape[-1]
        flat = activation.reshape(count, -1, channels)
        grams = (flat.transpose(1, 2) @ flat).reshape(count, -1)
        lengths = (grams * grams).sum(1, keepdim=True).clamp(min=1e-10).sqrt()
        unit = grams / lengths
        pairs = unit @ unit.T
        return (pairs.sum() - pairs.diagonal().sum()) / count

    return inner


@wrap_objective()
def input_diff(orig_img: Any) -> ObjectiveFunction:
    """Root mean square difference of the input to a picture ([N, H, W, C] or [H, W, C]).

    Raises:
        ValueError: the picture holds NaN, or (when evaluated) has another size than the input.
    """
    checks.finite_values(orig_img, "input_diff's orig_img")
    shape = tuple(np.shape(orig_img))

    def inner(T: Activations) -> Value:
        image = _to_nhwc(T("input"))
        _check_fits_image("input_diff's orig_img", shape, image)
        return (image - _vector(orig_img, image)).square().mean().sqrt()

    return inner


@wrap_objective()
def class_logit(layer: str, label: int | str, batch: int | None = None) -> ObjectiveFunction:
    """One class of a dense layer, by index or label, summed over the batch.

    Args:
        layer: a layer of [N, classes], before or after the softmax as you like.
        label: index, or one of the model's labels.
        batch: one image of the batch instead of all.

    Raises:
        ValueError: (when evaluated) the model has no such label.
        IndexError: (when evaluated) the layer has no such class.
    """
    _layer_name(layer, "class_logit")
    number = None if isinstance(label, str) else checks.whole(label, "class_logit's label, where it is no name,")

    @handle_batch(batch)
    def inner(T: Activations) -> Value:
        index = number
        if index is None:
            labels = list(T("labels"))
            if label not in labels:
                raise ValueError(f"The model has no label {label!r} among its {len(labels)}.")
            index = labels.index(label)
        classes = T(layer)
        _check_index(index, classes.shape[1], layer, "class", "classes")
        return classes[:, index].sum()

    return inner
