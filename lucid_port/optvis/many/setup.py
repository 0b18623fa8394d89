"""Renders of a batch of units, one image for each, which are optimized together as if each were alone."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.layouts import Layout
from lucid_port.optvis import serialization
from lucid_port.optvis.engine.coerce import (
    ImageLike,
    Model,
    OptimizerLike,
    ReluOverride,
    TransformsLike,
    check_model,
    check_value,
    layer_info,
    make_param,
)
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.formats import (
    DEFAULT_SIZE,
    ImageFormat,
    find_format,
    format_of,
    takes_one_image,
)
from lucid_port.optvis.engine.precision import outside_inference
from lucid_port.optvis.engine.step import UNUSED
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.grammar import Picture
from lucid_port.optvis.many.unit_spec import Unit, UnitsLike, find_units, name_of, parse_units
from lucid_port.optvis.objectives import Objective, deepdream
from lucid_port.optvis.objectives.base import Activations, ObjectiveLike
from lucid_port.optvis.objectives.from_text import layers_of
from lucid_port.optvis.objectives.readers import (
    BESIDE_LAYERS,
    Reader,
    as_reader,
    check_index,
    each_image,
    rows_of_image,
)
from lucid_port.optvis.param.base import DrawingMemo, Parameterization, parameterization
from lucid_port.optvis.sampling import DEFAULT_SEED, RandomSource
from lucid_port.optvis.transform import standard_transforms

__all__ = ["ManyParamLike", "Setup", "make_many_T"]

ManyParamLike: TypeAlias = Callable[[int], ImageLike] | Callable[[], ImageLike] | None
"""A function of the number of images, or one without arguments that makes one image; None for `param.image`."""


# Objectives of a batch ------------------------------------------------------------------------


def each_for_itself(objectives: Sequence[Objective], images: int = 1) -> Objective:
    """An objective of shape [N]: each image's own objective, which sees the activations of this image alone.

    Args:
        objectives: One for each image of the batch.
        images: Number of consecutive images that each objective has, such as those that are to differ.
    """

    def values(T: Activations) -> torch.Tensor:
        if len(objectives) == 1:  # is not split, so that its objective may differentiate between layers
            return _checked(objectives[0], objectives[0](T))[None]
        seen = each_image(T, len(objectives), images)
        return torch.stack([_value_of(one, own) for one, own in zip(objectives, seen, strict=True)])

    several = {} if images == 1 else {"images": images}
    return _many("each_for_itself", values, f"{len(objectives)} objectives", objectives=list(objectives), **several)


def each_channel(layer: str, channels: Sequence[int]) -> Objective:
    """An objective of shape [N]: the mean over positions of each image's own channel of one layer.

    Args:
        layer: Name of the layer.
        channels: One for each image of the batch.
    """
    count = len(channels)

    @functools.cache
    def numbers(device: torch.device) -> torch.Tensor:  # copied once, so that no step waits for it
        return torch.tensor(channels, device=device)

    def values(T: Activations) -> torch.Tensor:
        activation = T(layer)
        rows = rows_of_image(activation, 0, count, layer)
        activation = activation.unflatten(0, (count, rows))  # [N, rows, C, ...]
        check_index(max(channels), activation.shape[2], layer, "channel", "channels")
        index = numbers(activation.device).reshape(count, *[1] * (activation.ndim - 1))
        index = index.expand(-1, activation.shape[1], 1, *activation.shape[3:])
        return activation.gather(2, index).flatten(1).mean(1)

    return _many("each_channel", values, f"{count} channels of {layer}", layer=layer, channels=list(channels))


def _many(name: str, values: Callable[[Activations], torch.Tensor], description: str, **arguments: Any) -> Objective:
    return Objective(values, name, description, lambda: {"objective": name, "args": serialization.to_data(arguments)})


serialization.register("objective", "each_for_itself", each_for_itself)
serialization.register("objective", "each_channel", each_channel)


def _value_of(objective: Objective, T: Activations) -> torch.Tensor:
    """Returns the value of one image's objective, which sees its part of the activations of a batch."""
    try:
        value = objective(T)
    except RuntimeError as error:
        if UNUSED not in str(error):
            raise
        raise ValueError(
            f"The objective {name_of(objective)!r} takes gradients between layers, which images of a batch share: pass "
            "batch_size=1."
        ) from error
    return _checked(objective, value)


def _checked(objective: Objective, value: torch.Tensor) -> torch.Tensor:
    check_value(value, name_of(objective))
    return value.sum()


def _objective(batch: Sequence[Unit]) -> Objective:
    channels = [unit.channel for unit in batch if unit.channel is not None]
    first = batch[0]
    if len(channels) == len(batch) and len({unit.batches_with for unit in batch}) == 1:
        wanted = each_channel(first.layer, channels)
        return wanted if first.weight == 1 else first.weight * wanted
    return each_for_itself([unit.objective for unit in batch])


# Images of a batch ----------------------------------------------------------------------------


def _image_maker(param_f: ManyParamLike) -> Callable[[int], Parameterization]:
    """Returns a function from the number of images to a parameterization.

    Raises:
        TypeError: `param_f` is not a function.
    """
    if not callable(param_f) or isinstance(param_f, (torch.nn.Module, torch.Tensor)):
        raise TypeError(
            "param_f is a function of the number of images that makes them, as in "
            f"lambda batch: param.image(128, batch=batch), not {checks.shown(param_f)}."
        )
    make: Callable[..., ImageLike] = param_f
    parameters = inspect.signature(make).parameters
    if "batch" in parameters:
        return lambda count: make_param(make(batch=count))
    required = [p for p in parameters.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if required:
        return lambda count: make_param(make(count))
    return functools.partial(_one_by_one, lambda: make_param(make()))


def _one_by_one(make: Callable[[], Parameterization], count: int) -> Parameterization:
    """Makes each image separately, and joins them into a batch."""
    parts = [make() for _ in range(count)]
    if len({id(part) for part in parts}) < count:
        raise ValueError("param_f returned the same image again: let it make a new image in each call.")
    return parts[0] if count == 1 else joined(parts)


@parameterization
def joined(parts: Sequence[Parameterization]) -> Parameterization:
    """A batch of separate images. Each image gets the same draws as if it were alone."""
    return _Joined(parts)


class _Joined(Parameterization):
    def __init__(self, parts: Sequence[Parameterization]) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)

    def reset(self, source: RandomSource) -> Parameterization:
        for index, part in enumerate(self.parts):
            if not part.ready:
                own = RandomSource(source.image_seed(index))
                part.reset(own.scope("param"))  # type: ignore[operator]
        return self

    def compute(self, memo: dict[int, torch.Tensor]) -> torch.Tensor:
        images = []
        for index, part in enumerate(self.parts):
            with memo.of_image(index) if isinstance(memo, DrawingMemo) else contextlib.nullcontext():
                images.append(part.evaluate(memo))  # type: ignore[operator]
        return torch.cat(images)


def _size_of(made: Parameterization) -> int:
    return sum(p.numel() for p in made.parameters() if p.requires_grad)


def _separate(make: Callable[[int], Parameterization]) -> Callable[[int], Parameterization]:
    """Returns `make` if its images have separate parameters; otherwise (`param.cppn`) makes images one by one."""
    if _size_of(make(2)) == 2 * _size_of(make(1)):
        return make
    return functools.partial(_one_by_one, lambda: make(1))


# One batch ------------------------------------------------------------------------------------


@dataclass
class Setup:
    """The settings that all batches of a run share; the arguments of `render_many`.

    Attributes:
        make: Returns the parameterization of a number of images.
        format: Size and channels of the images, the same for all units.
        takes_one_image: Whether the network takes no batches.
        size_of_pictures: (height, width).
    """

    param_f: ManyParamLike
    optimizer: OptimizerLike
    transforms: TransformsLike
    relu_gradient_override: ReluOverride
    size: int | None
    seed: int
    seeds: Iterable[int] | None
    per_image: bool
    precision: str

    def __post_init__(self) -> None:
        if self.param_f is not None and self.size is not None:
            raise ValueError(
                "Give either size or param_f: size=N is short for param_f=lambda batch: param.image(N, batch=batch)."
            )
        pixels = DEFAULT_SIZE if self.size is None else checks.whole(self.size, "size", 1)
        self.format, self.takes_one_image = ImageFormat(pixels, pixels), False
        self.size_of_pictures = pixels, pixels
        make = (lambda count: self.format.image(count)) if self.param_f is None else _image_maker(self.param_f)
        self.make = _separate(make)
        self.seed = checks.whole(self.seed, "seed", 0)
        self.per_image = checks.flag(self.per_image, "per_image")
        if isinstance(self.transforms, Iterable):
            self.transforms = list(self.transforms)  # several batches iterate over them

    def vis(self, model: Model, batch: Sequence[Unit], device: torch.device) -> VisT:
        """Returns the render of a batch; its loss has shape [N]."""
        return self._render(model, _objective(batch), [unit.seed for unit in batch], device)

    def _render(self, model: Model, objective: ObjectiveLike, seeds: Sequence[int], device: torch.device) -> VisT:
        images = self.make(len(seeds))
        shape = images.shape  # read before the source is made, because this may draw initial values
        if len(shape) != 4 or shape[0] != len(seeds):
            raise ValueError(
                f"param_f gave the shape {list(shape)} for a batch of {len(seeds)}: make it [batch, height, width, "
                "channels]."
            )
        source = RandomSource(seeds=seeds, shared=self.seed, per_image=self.per_image)
        return VisT(
            model,
            objective,
            images,
            self.optimizer,
            self._transforms(),
            self.relu_gradient_override,
            seed=source,
            device=device,
            precision=self.precision,
        )

    def _transforms(self) -> TransformsLike:
        given = self.format.transforms(self.transforms)
        return standard_transforms if given is None else given

    def _fit(self, model: Model, asked: Sequence[Picture | Objective]) -> None:
        """Sets `format` to one that the model takes at the layers of all units."""
        readers = [one if isinstance(one, Objective) else _reading(layers_of(one, model)) for one in asked]
        if self.param_f is None:
            size = None if self.size is None else (self.format.height, self.format.width)
            self.format = find_format(model, readers, size, self.transforms is None)
        else:
            self.format = format_of(self.make(1), model, readers, self.transforms is None)
        self.takes_one_image = takes_one_image(model, readers, self.format)

    def find_units(self, model: Model, units: UnitsLike) -> tuple[list[Unit], VisT]:
        """Returns the units, and a render of one image that was used to look up layers and channels."""
        asked = parse_units(units)
        check_model(model)
        self._fit(model, asked)
        probe = self._render(model, lambda T: T("input").mean(), [self.seed], own_device(model))
        _, height, width, _ = probe.image().shape
        self.size_of_pictures = height, width

        @functools.cache
        def layer_of(name: str) -> tuple[str, int]:
            info = layer_info(model, name)
            if info is None:
                return name, probe(name).shape[1]
            return info.name, probe(name).shape[1] if info.channels is None or info.unknown else info.channels

        return find_units(asked, model, layer_of, functools.partial(_layers_read, probe), self._unit_seeds), probe

    def _unit_seeds(self, count: int) -> Sequence[int]:
        if self.seeds is None:
            return range(self.seed, self.seed + count) if self.per_image else [self.seed] * count
        given = checks.items(self.seeds, "seeds", "a list with one seed for each unit")
        if len(given) != count:
            raise ValueError(f"{len(given)} seeds are given for {count} units: give one for each.")
        return [checks.whole(one, "A seed", 0) for one in given]


def _reading(layers: Sequence[str]) -> Objective:
    """Returns an objective that reads layers whole, also if their channel axis is not known."""
    return Objective.sum([deepdream(layer) for layer in layers])


def _layers_read(probe: VisT, objective: Objective) -> list[str]:
    """Returns the names of the layers that an objective reads; "input" if it reads no layer."""
    read: dict[str, None] = {}
    probe.evaluate([lambda T: objective(_Recorder(T, read))])
    return [name for name in read if name not in BESIDE_LAYERS] or ["input"]


class _Recorder(Reader):
    """`T` that records the names of the layers that are read."""

    def __init__(self, T: Activations, read: dict[str, None]) -> None:
        self._T, self._read = as_reader(T), read
        self.images, self.steps = self._T.images, self._T.steps

    def __call__(self, name: str, /) -> Any:
        self._read.setdefault(name)
        return self._T(name)

    def raw(self, name: str, /) -> Any:
        self._read.setdefault(name)
        return self._T.raw(name)

    def layout(self, name: str, /) -> Layout:
        return self._T.layout(name)


@outside_inference
@checked
def make_many_T(
    model: Model,
    units: UnitsLike,
    param_f: ManyParamLike = None,
    optimizer: OptimizerLike = None,
    transforms: TransformsLike = None,
    relu_gradient_override: ReluOverride = False,
    *,
    size: int | None = None,
    seed: int = DEFAULT_SEED,
    seeds: Iterable[int] | None = None,
    per_image: bool = False,
    precision: str = "float32",
) -> VisT:
    """Makes a render of one batch of units, an image for each, without running it.

    The arguments are those of `render_many`. Unlike in `render_many`, ReLU gradients are not redirected by
    default, as in `make_vis_T`.

    Returns:
        A render whose `step()` and `loss` give the value of each image's objective, [N].

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> vis = make_many_T(get_model("TinyInceptionV1"), "mixed4a:3-5", size=32)
        >>> vis.step().shape, vis.image().shape
        (torch.Size([3]), (3, 32, 32, 3))
    """
    setup = Setup(param_f, optimizer, transforms, relu_gradient_override, size, seed, seeds, per_image, precision)
    return setup.vis(model, setup.find_units(model, units)[0], own_device(model))
