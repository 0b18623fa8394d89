"""Strategies for everything that a recipe can name: parameterizations, transforms and objectives, by their names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lucid_port.misc.gl.shapes import torus
from lucid_port.optvis import objectives, param, serialization, transform
from lucid_port.optvis.many.setup import each_channel, each_for_itself, joined
from lucid_port.optvis.mesh_view import mesh_view
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.param.base import Parameterization
from lucid_port.optvis.param.random import rand_fft_image
from lucid_port.optvis.transform import Transform
from lucid_port.recipes.caricature import dot_compare

Shape = tuple[int, ...]


def registered(kind: str) -> set[str]:
    """Returns the names of this package's factories of a kind."""
    for module in serialization._MODULES:
        importlib.import_module(module)
    return {
        name
        for (one, name), factory in serialization._REGISTRY.items()
        if one == kind and (getattr(factory, "__module__", None) or "").startswith("lucid_port.")  # partials have none
    }


SIDES = st.integers(2, 17)
DEVIATIONS = st.none() | st.floats(0.001, 0.5)
SMALL = st.floats(-2, 2, width=32)


def arrays(shape: Shape, low: float = -1.0, high: float = 1.0) -> SearchStrategy[np.ndarray]:
    """Arrays of float32, of which only the seed is drawn."""
    return st.integers(0, 999).map(
        lambda seed: np.random.RandomState(seed).uniform(low, high, shape).astype(np.float32)
    )


# -- parameterizations ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawnParam:
    """A parameterization and what it promises.

    Attributes:
        param: the parameterization.
        shape: its shape, in Lucid's axis order.
        limits: least and greatest possible value, if it has any.
        is_new_each_time: whether every evaluation draws other values.
    """

    param: Parameterization
    shape: Shape
    limits: tuple[float, float] | None = None
    is_new_each_time: bool = False


@st.composite
def image_shapes(draw: DrawFn, channels: SearchStrategy[int] | None = None) -> Shape:
    """Shapes [N, H, W, C]: odd, even, not square."""
    count = st.integers(1, 5) if channels is None else channels
    return draw(st.integers(1, 3)), draw(SIDES), draw(SIDES), draw(count)


@st.composite
def _image(draw: DrawFn) -> DrawnParam:
    width, height, batch = draw(SIDES), draw(st.none() | SIDES), draw(st.none() | st.integers(1, 3))
    alpha, channels = draw(st.booleans()), draw(st.none() | st.integers(1, 5))
    size = (height or width, width, channels or (4 if alpha else 3))
    init = draw(st.none() | st.floats(0, 1) | arrays(size, 0, 1))
    options = {"decorrelate": draw(st.booleans()), "fft": draw(st.booleans()), "sd": draw(DEVIATIONS)}
    made = param.image(width, height, batch, alpha=alpha, channels=channels, init=init, **options)
    return DrawnParam(made, (batch or 1, *size), (0, 1))


@st.composite
def _gray(draw: DrawFn) -> DrawnParam:
    width, height, batch = draw(SIDES), draw(st.none() | SIDES), draw(st.none() | st.integers(1, 3))
    made = param.grayscale_image_rgb(width, height, batch, fft=draw(st.booleans()), sd=draw(DEVIATIONS))
    return DrawnParam(made, (batch or 1, height or width, width, 3), (0, 1))


@st.composite
def _pixels(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    init = draw(st.none() | SMALL | arrays(shape[-1:]) | arrays(shape))
    return DrawnParam(param.pixel_image(shape, None if init is not None else draw(DEVIATIONS), init), shape)


@st.composite
def _fft(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    init = draw(st.none() | SMALL | arrays(shape))
    return DrawnParam(param.fft_image(shape, draw(DEVIATIONS), draw(st.floats(0, 2)), init_val=init), shape)


@st.composite
def _sample(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes(st.just(3)))
    return DrawnParam(param.image_sample(shape, draw(st.booleans()), draw(DEVIATIONS)), shape, (0, 1), True)


@st.composite
def _rand_fft(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    return DrawnParam(rand_fft_image(shape, draw(DEVIATIONS), draw(st.floats(0, 2))), shape, None, True)


@st.composite
def _lowres(draw: DrawFn) -> DrawnParam:
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=5)))
    small = tuple(draw(st.integers(1, size)) for size in shape)
    offset = draw(st.none() | st.just(True) | st.tuples(*(st.integers(0, size) for size in shape)))
    return DrawnParam(param.lowres_tensor(shape, small, offset, draw(DEVIATIONS)), shape)


@st.composite
def _pyramid(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    levels = draw(st.integers(1, int(np.log2(min(shape[1:3]))) + 1))
    return DrawnParam(param.laplacian_pyramid_image(shape, levels, draw(DEVIATIONS)), shape)


@st.composite
def _ball(draw: DrawFn, make: Callable[..., Parameterization]) -> DrawnParam:
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=5)))
    return DrawnParam(make(shape, direction=draw(st.sampled_from(("ascent", "descent")))), shape, (-1, 1))


@st.composite
def _cppn(draw: DrawFn) -> DrawnParam:
    width, batch, channels = draw(st.integers(1, 9)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    kind = draw(st.sampled_from(("composite", "unbiased_composite", "relu_normalized")))
    normalize = width > 1 and draw(st.booleans())  # one pixel has no variance
    made = param.cppn(width, batch, channels, draw(st.integers(1, 5)), draw(st.integers(0, 3)), kind, normalize)
    return DrawnParam(made, (batch, width, width, channels), (0, 1))


@st.composite
def _interpolation(draw: DrawFn) -> DrawnParam:
    count, frames, width = draw(st.integers(2, 3)), draw(st.integers(2, 4)), draw(st.integers(8, 13))
    symmetric = draw(st.booleans())
    channels = draw(st.integers(1, 4)) if symmetric else 3
    made = param.multi_interpolation_basis(count, frames, width, channels, symmetric=symmetric)
    return DrawnParam(made, (count, count, frames, width, width, channels))


@st.composite
def _valid(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes(st.just(3)))
    part = param.pixel_image(shape, init_val=draw(arrays(shape, -3, 3)))
    return DrawnParam(param.to_valid_rgb(part, draw(st.booleans()), draw(st.booleans())), shape, (0, 1))


@st.composite
def _constant(draw: DrawFn) -> DrawnParam:
    shape = draw(st.just(()) | image_shapes())
    value = draw(SMALL) if shape == () else draw(arrays(shape))
    return DrawnParam(param.constant(value), shape)


def _part(shape: Shape) -> Parameterization:
    return param.pixel_image(shape, 0.4)


@st.composite
def _arithmetic(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    part = _part(shape)
    one = draw(st.floats(0.25, 2) | arrays(shape[-1:], 0.5, 2) | st.just(_part(shape) * 0.1 + 3.0))
    made = draw(st.sampled_from((part + one, one + part, part - one, one - part, part * one, part / one, -part)))
    return DrawnParam(made, shape)


@st.composite
def _elementwise(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    part = _part(shape)
    unbounded = (abs(part), part.exp(), (part.abs() + 0.1).sqrt(), (part.abs() + 0.1).log(), part.relu())
    bounded = (part.sigmoid(), part.tanh())
    if draw(st.booleans()):
        return DrawnParam(draw(st.sampled_from(bounded)), shape, (-1, 1))
    return DrawnParam(draw(st.sampled_from(unbounded)), shape)


@st.composite
def _clamped(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    low, high = draw(st.floats(-1, 0, width=32)), draw(st.floats(0, 1, width=32))
    return DrawnParam(_part(shape).clamp(low, high), shape, (low, high))


@st.composite
def _reduced(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    axes = draw(st.none() | st.integers(-4, 3) | st.lists(st.integers(0, 3), unique=True, min_size=1))
    keepdims, part = draw(st.booleans()), _part(shape)
    made = draw(st.sampled_from((part.sum, part.mean, part.max, part.min)))(axes, keepdims)
    along = tuple(axes) if isinstance(axes, list) else axes
    return DrawnParam(made, np.empty(shape).sum(along, keepdims=keepdims).shape)


@st.composite
def _transformed(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    width = draw(st.integers(1, 3))
    augment = transform.compose([transform.pad(width, "constant"), transform.jitter(width)])
    batch, height, columns, channels = shape
    return DrawnParam(augment(_part(shape)), (batch, height + width, columns + width, channels))


@st.composite
def _joined_along(draw: DrawFn, make: Callable[..., Parameterization], new: bool) -> DrawnParam:
    shape, count = draw(image_shapes()), draw(st.integers(1, 3))
    axis = draw(st.integers(-5 if new else -4, 4 if new else 3))
    parts = [_part(shape) for _ in range(count)]
    joins = np.stack if new else np.concatenate
    return DrawnParam(make(parts, axis), joins([np.empty(shape)] * count, axis).shape)


@st.composite
def _batch(draw: DrawFn) -> DrawnParam:
    shape, count = draw(image_shapes()), draw(st.integers(1, 3))
    return DrawnParam(joined([_part((1, *shape[1:])) for _ in range(count)]), (count, *shape[1:]))


@st.composite
def _reshaped(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    target = draw(st.permutations(shape))
    stated = [*target[:-1], -1] if draw(st.booleans()) else target
    return DrawnParam(_part(shape).reshape(*stated), tuple(target))


@st.composite
def _taken(draw: DrawFn) -> DrawnParam:
    shape = draw(image_shapes())
    index = draw(indices(shape))
    return DrawnParam(_part(shape)[index], np.empty(shape)[index].shape)


@st.composite
def indices(draw: DrawFn, shape: Shape) -> tuple[object, ...]:
    """Indices whose result is not empty: numbers, slices with any step, `...`, new axes."""
    items: list[object] = []
    for size in shape:
        kind = draw(st.sampled_from(("all", "at", "slice", "new")))
        if kind == "new":
            items.append(None)
        items.append(draw(st.integers(-size, size - 1)) if kind == "at" else slice(None))
        if kind == "slice":
            pieces = st.slices(size).filter(lambda piece, size=size: len(range(size)[piece]) > 0)
            items[-1] = draw(pieces)
    if draw(st.booleans()):
        while items and items[-1] == slice(None):
            items.pop()
        items.append(Ellipsis)
    return tuple(items)


PARAMS: Mapping[str, SearchStrategy[DrawnParam]] = {
    "arithmetic": _arithmetic(),
    "clamp": _clamped(),
    "concat": _joined_along(param.concat, False),
    "constant": _constant(),
    "cppn": _cppn(),
    "elementwise": _elementwise(),
    "fft_image": _fft(),
    "grayscale_image_rgb": _gray(),
    "image": _image(),
    "image_sample": _sample(),
    "joined": _batch(),
    "laplacian_pyramid_image": _pyramid(),
    "lowres_tensor": _lowres(),
    "multi_interpolation_basis": _interpolation(),
    "pixel_image": _pixels(),
    "rand_fft_image": _rand_fft(),
    "reduction": _reduced(),
    "reshape": _reshaped(),
    "stack": _joined_along(param.stack, True),
    "take": _taken(),
    "to_valid_rgb": _valid(),
    "transformed": _transformed(),
    "unit_ball_L2": _ball(param.unit_ball_L2),
    "unit_ball_L_inf": _ball(param.unit_ball_L_inf),
}

# -- transforms -------------------------------------------------------------------------------------------------------

LEAST_SIDE = 6
SEEDS = st.none() | st.integers(0, 99)

_pads = st.builds(
    transform.pad, st.integers(0, 5), st.sampled_from(("REFLECT", "symmetric", "CONSTANT")),
    st.floats(0, 1) | st.just("uniform"),
)  # fmt: skip
_scales = st.builds(transform.random_scale, st.lists(st.floats(0.4, 1.7), min_size=1, max_size=3), SEEDS)
_rotations = st.builds(
    transform.random_rotate, st.lists(st.floats(-180, 180), min_size=1, max_size=3),
    st.sampled_from(("degrees", "radians")), SEEDS, exact_pi=st.booleans(),
)  # fmt: skip
_jitters = st.builds(transform.jitter, st.integers(0, LEAST_SIDE - 1), SEEDS)
_crops = st.builds(transform.crop_or_pad_to, st.integers(1, 20), st.integers(1, 20))
_norms = st.builds(transform.normalize_gradient, st.none() | st.floats(0.1, 3).map(lambda scale: [scale]))
_views = st.builds(
    mesh_view, st.sampled_from(("torus", torus(7, 5))), st.tuples(st.integers(5, 20), st.integers(5, 20)),
    st.floats(8, 11), st.floats(11, 13), st.just("torch"),
)  # fmt: skip

TRANSFORMS: Mapping[str, SearchStrategy[Transform]] = {
    "collapse_alpha_random": st.builds(transform.collapse_alpha_random, st.none() | st.floats(0, 1)),
    "compose": st.lists(st.one_of(_pads.filter(lambda pad: pad.w < 3), _rotations, _norms), max_size=3).flatmap(
        lambda first: st.tuples(st.just(first), st.one_of(_crops, _scales, _jitters))
    ).map(lambda drawn: transform.compose([*drawn[0], drawn[1]])),
    "crop_or_pad_to": _crops,
    "jitter": _jitters,
    "mesh_view": _views,
    "normalize_gradient": _norms,
    "pad": _pads,
    "random_rotate": _rotations,
    "random_scale": _scales,
}  # fmt: skip

# -- objectives -------------------------------------------------------------------------------------------------------

IMAGE = (4, 8, 9)
CONV = (5, 4, 6)
CLASSES = 6
TOKENS = (3, 5)
LABELS = [f"class {index}" for index in range(CLASSES)]
MAPS = ("conv", "input")
CHANNELS = {"conv": CONV[0], "dense": CLASSES, "input": IMAGE[0], "tokens": TOKENS[0]}

Layers = Mapping[str, object]


@st.composite
def layers(draw: DrawFn, least: int = 1) -> dict[str, object]:
    """Activations of a batch: an image, a convolution, a dense layer, tokens, and labels; float64."""
    count, seed = draw(st.integers(least, 4)), draw(st.integers(0, 999))
    random = np.random.RandomState(seed)
    shapes = {"input": IMAGE, "conv": CONV, "dense": (CLASSES,), "tokens": TOKENS}
    found: dict[str, object] = {
        name: torch.from_numpy(random.uniform(0.1, 1, (count, *shape))).requires_grad_()
        for name, shape in shapes.items()
    }
    return {**found, "labels": LABELS}


@st.composite
def units(draw: DrawFn) -> tuple[str, int]:
    """A layer and one of its channels, which may be counted from the end."""
    layer = draw(st.sampled_from(sorted(CHANNELS)))
    return layer, draw(st.integers(-CHANNELS[layer], CHANNELS[layer] - 1))


@st.composite
def _with_direction(draw: DrawFn, make: Callable[..., Objective], shape: Shape, **places: object) -> Objective:
    layer = draw(st.sampled_from(MAPS))
    vector = draw(arrays((*shape, CHANNELS[layer])))
    power = draw(st.sampled_from((0, 1, 2.5)))
    options = {name: draw(strategy) for name, strategy in places.items()}  # type: ignore[arg-type]
    return make(layer, vector, cossim_pow=power, **options)


def _place(size: int) -> SearchStrategy[int | None]:
    return st.none() | st.integers(0, size - 1)


ROWS, COLUMNS = _place(4), _place(6)
FIRST = st.sampled_from((None, 0))
LAYER = st.sampled_from(sorted(CHANNELS))
_channels = st.builds(lambda unit, batch: objectives.channel(*unit, batch=batch), units(), FIRST)
_plain = _channels | st.builds(objectives.deepdream, LAYER) | st.builds(objectives.L2, LAYER, SMALL)
_numbers = st.floats(-3, 3).filter(lambda number: abs(number) > 0.1)

OBJECTIVES: Mapping[str, SearchStrategy[Objective]] = {
    "L1": st.builds(objectives.L1, LAYER, SMALL),
    "L2": st.builds(objectives.L2, LAYER, SMALL, st.floats(0, 1)),
    "alignment": st.builds(objectives.alignment, LAYER, st.floats(0.5, 4)),
    "blur_alpha_each_step": st.builds(objectives.blur_alpha_each_step),
    "blur_input_each_step": st.builds(objectives.blur_input_each_step),
    "channel": _channels,
    "channel_interpolate": st.builds(lambda a, b: objectives.channel_interpolate(*a, *b), units(), units()),
    "class_logit": st.builds(objectives.class_logit, st.just("dense"), st.integers(0, 5) | st.sampled_from(LABELS)),
    "class_probability": st.builds(
        objectives.class_probability, st.just("dense"), st.integers(0, 5) | st.sampled_from(LABELS)
    ),
    "deepdream": st.builds(objectives.deepdream, LAYER),
    "direction": _with_direction(objectives.direction, (), batch=FIRST),
    "direction_neuron": _with_direction(objectives.direction_neuron, (), x=ROWS, y=COLUMNS, batch=FIRST),
    "diversity": st.builds(objectives.diversity, LAYER),
    "dot_compare": st.builds(dot_compare, LAYER, st.integers(0, 1), st.sampled_from((0.0, 1.0, 2.0))),
    "each_channel": st.lists(st.integers(0, 4), min_size=2, max_size=2).map(lambda all_: each_channel("conv", all_)),
    "each_for_itself": st.lists(_plain, min_size=2, max_size=2).map(each_for_itself),
    "input_diff": st.builds(objectives.input_diff, arrays((*IMAGE[1:], IMAGE[0]), 0, 1)),
    "mean_transparency": st.builds(objectives.mean_transparency),
    "neuron": st.builds(objectives.neuron, st.just("conv"), st.integers(-5, 4), ROWS, COLUMNS, FIRST),
    "penalize_boundary_complexity": st.builds(
        objectives.penalize_boundary_complexity, st.just((1, *IMAGE[1:], IMAGE[0])), st.integers(0, 5),
        st.none() | arrays((*IMAGE[1:], 1), 0, 1), st.floats(0, 1),
    ),
    "product": st.builds(lambda a, b: a * b, _plain, _plain),
    "quotient": st.builds(lambda a, b: a / b, _plain, _plain | _numbers) | st.builds(lambda b: 2 / b, _plain),
    "scale": st.builds(lambda a, number: number * a, _plain, _numbers),
    "shift": st.builds(lambda a, number: a - number, _plain, _numbers),
    "sum": st.lists(_plain, min_size=1, max_size=3).map(Objective.sum),
    "tensor_direction": _with_direction(objectives.tensor_direction, (2, 3), batch=FIRST),
    "token": st.builds(
        objectives.token, st.just("tokens"), st.integers(-3, 2), st.integers(-5, 4), FIRST
    ),
    "total_variation": st.builds(objectives.total_variation, st.sampled_from(MAPS)),
}  # fmt: skip
