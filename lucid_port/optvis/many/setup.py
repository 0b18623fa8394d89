"""One batch of units: an image for each, optimised together as if each were alone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lucid_port.misc import checks
from lucid_port.optvis import param, serialization
from lucid_port.optvis.engine.coerce import (
    Model,
    OptimizerLike,
    ReluOverride,
    TransformsLike,
    check_value,
    make_param,
)
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many import unit_spec
from lucid_port.optvis.many.unit_spec import Unit, name_of
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.objectives.base import Activations
from lucid_port.optvis.param.base import Parameterization, parameterization
from lucid_port.optvis.sampling import DEFAULT_SEED, RandomSource

__all__ = ["Setup", "make_many_T", "prepare"]


# Objectives of a batch ------------------------------------------------------------------------


class _Views:
    """One image's view of a batch's activations: layers are split into images once for all views."""

    def __init__(self, T: Activations, count: int) -> None:
        self._T, self._count = T, count
        self._parts: dict[str, Any] = {}

    def of(self, index: int) -> Activations:
        """`T` for one image of the batch."""
        return lambda name: self._part(name, index)

    def _part(self, name: str, index: int) -> Any:
        if name not in self._parts:
            value = self._T(name)
            self._parts[name] = value.split(_rows(value, self._count, name)) if torch.is_tensor(value) else None
        parts = self._parts[name]
        return self._T(name) if parts is None else parts[index]


def _rows(value: torch.Tensor, count: int, layer: str) -> int:
    """Rows that belong to each image: one, or several in a layer that flattens positions into rows."""
    if value.ndim == 0 or value.shape[0] % count:
        raise ValueError(f"Layer {layer!r} of shape {list(value.shape)} has no rows for each of {count} images.")
    return value.shape[0] // count


def each_for_itself(objectives: Sequence[Objective]) -> Objective:
    """[N]: each image's own objective, of what it alone is seen to do.

    Args:
        objectives: one for each image of the batch.
    """

    def values(T: Activations) -> torch.Tensor:
        views = _Views(T, len(objectives))
        # A batch of one is seen whole: then an objective may take gradients between layers, too.
        seen = [T] if len(objectives) == 1 else [views.of(index) for index in range(len(objectives))]
        return torch.stack([_value_of(one, own) for one, own in zip(objectives, seen, strict=True)])

    return _many("each_for_itself", values, f"{len(objectives)} objectives", objectives=list(objectives))


def each_channel(layer: str, channels: Sequence[int]) -> Objective:
    """[N]: mean over the positions of each image's own channel of one layer.

    Args:
        layer: the layer's name.
        channels: one for each image of the batch.
    """
    count = len(channels)

    @functools.cache
    def numbers(device: torch.device) -> torch.Tensor:  # copied once: the loop is not to wait for it
        return torch.tensor(channels, device=device)

    def values(T: Activations) -> torch.Tensor:
        activation = T(layer)
        activation = activation.unflatten(0, (count, _rows(activation, count, layer)))  # [N, rows, C, ...]
        index = numbers(activation.device).reshape(count, *[1] * (activation.ndim - 1))
        index = index.expand(-1, activation.shape[1], 1, *activation.shape[3:])
        return activation.gather(2, index).flatten(1).mean(1)

    return _many("each_channel", values, f"{count} channels of {layer}", layer=layer, channels=list(channels))


def _many(name: str, values: Callable[[Activations], torch.Tensor], description: str, **arguments: Any) -> Objective:
    return Objective(values, name, description, lambda: {"objective": name, "args": serialization.to_data(arguments)})


serialization.register("objective", "each_for_itself", each_for_itself)
serialization.register("objective", "each_channel", each_channel)


def _value_of(objective: Objective, T: Activations) -> torch.Tensor:
    name = name_of(objective)
    try:
        value = objective(T)
    except RuntimeError as error:
        if "not have been used in the graph" not in str(error):
            raise
        raise ValueError(
            f"The objective {name!r} takes gradients between layers, which images of a batch share: pass batch_size=1."
        ) from error
    check_value(value, name)
    return value.sum()


def _objective(batch: Sequence[Unit]) -> Objective:
    channels = [unit.channel for unit in batch if unit.channel is not None]
    if len(channels) == len(batch) and len({unit.layers for unit in batch}) == 1:
        return each_channel(batch[0].layer, channels)
    return each_for_itself([unit.objective for unit in batch])


# Images of a batch ----------------------------------------------------------------------------


def _image_maker(param_f: Any, size: Any) -> Callable[[int], Parameterization]:
    """A function from the number of images to a parameterization.

    Raises:
        TypeError: `param_f` is no function.
        ValueError: both `param_f` and `size` are given.
    """
    if param_f is not None and size is not None:
        raise ValueError(
            "Give either size or param_f: size=N stands for param_f=lambda batch: param.image(N, batch=batch)."
        )
    if param_f is None:
        pixels = 128 if size is None else checks.whole(size, "size", 1)
        return lambda count: param.image(pixels, batch=count)
    if not callable(param_f) or isinstance(param_f, (torch.nn.Module, torch.Tensor)):
        raise TypeError(
            "param_f is a function of the number of images that makes them, as in "
            f"lambda batch: param.image(128, batch=batch), not {checks.shown(param_f)}."
        )
    parameters = inspect.signature(param_f).parameters
    if "batch" in parameters:
        return lambda count: make_param(param_f(batch=count))
    required = [p for p in parameters.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if required:
        return lambda count: make_param(param_f(count))
    return functools.partial(_alone_and_joined, lambda: make_param(param_f()))


def _alone_and_joined(make: Callable[[], Parameterization], count: int) -> Parameterization:
    parts = [make() for _ in range(count)]
    if len({id(part) for part in parts}) < count:
        raise ValueError("param_f gives the same image again: let it make a new one each time it is called.")
    return parts[0] if count == 1 else joined(parts)


@parameterization
def joined(parts: Sequence[Parameterization]) -> Parameterization:
    """Images made one by one, as a batch; each draws as if it were alone."""
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
        return torch.cat([part.evaluate(memo) for part in self.parts])  # type: ignore[operator]


def _size_of(made: Parameterization) -> int:
    return sum(p.numel() for p in made.parameters() if p.requires_grad)


def _separate(make: Callable[[int], Parameterization]) -> Callable[[int], Parameterization]:
    """The maker itself, or one by one where images of a batch would share parameters (as those of `param.cppn`)."""
    if _size_of(make(2)) == 2 * _size_of(make(1)):
        return make
    return functools.partial(_alone_and_joined, lambda: make(1))


# One batch ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """What all batches of a run have in common."""

    make: Callable[[int], Parameterization]
    optimizer: OptimizerLike
    transforms: TransformsLike
    relu_gradient_override: ReluOverride
    seed: int
    per_image: bool
    precision: str

    def vis(self, model: Model, batch: Sequence[Unit], device: torch.device) -> VisT:
        """A batch, ready to be stepped; its loss is [N]."""
        return self.render(model, _objective(batch), [unit.seed for unit in batch], device)

    def render(self, model: Model, objective: Any, seeds: Sequence[int], device: torch.device) -> VisT:
        """A render of any objective of as many images as there are seeds."""
        images = self.make(len(seeds))
        shape = images.shape  # before the draws are set up: an image may draw whenever it is looked at
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
            self.transforms,
            self.relu_gradient_override,
            seed=source,
            device=device,
            precision=self.precision,
        )

    def probe(self, model: Model) -> VisT:
        """A render of one image, to ask what a layer has; its objective is of no account."""
        return self.render(model, lambda T: T("input").mean(), [self.seed], own_device(model))


def _find_units(asked: Sequence[Any], model: Model, vis: VisT, seeds: Callable[[int], Sequence[int]]) -> list[Unit]:
    known = getattr(model.network, "layers", None)

    @functools.cache
    def layer_of(name: str) -> tuple[str, int]:
        info = None if known is None else known[name]
        count = None if info is None else info.channels
        return name if info is None else info.name, vis(name).shape[1] if count is None else count

    def layers_read(objective: Objective) -> list[str]:
        read: dict[str, None] = {}

        def look(T: Activations) -> Any:
            return objective(lambda name: (read.setdefault(name), T(name))[1])

        vis.evaluate([look])
        layers = [name for name in read if name not in ("input", "labels")]
        return layers or ["input"]

    return unit_spec.find_units(asked, layer_of, layers_read, seeds)


def _seeds_of(seeds: Any, seed: int, per_image: bool) -> Callable[[int], Sequence[int]]:
    """One seed for each of a number of units."""
    given = None if seeds is None else checks.items(seeds, "seeds", "a list with one seed for each unit")

    def of(count: int) -> Sequence[int]:
        if given is None:
            return range(seed, seed + count) if per_image else [seed] * count
        if len(given) != count:
            raise ValueError(f"{len(given)} seeds are given for {count} units: give one for each.")
        return [checks.whole(one, "A seed", 0) for one in given]

    return of


def make_many_T(
    model: Model,
    units: Any,
    param_f: Any = None,
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
    """Set up one batch of units, an image for each, without running it.

    Arguments as in `render_many`; note that ReLU gradients are not overridden by default, as in `make_vis_T`.

    Returns:
        A render whose `step()` and `loss` are the images' objective values, [N].
    """
    setup, found, _ = prepare(
        model, units, param_f, optimizer, transforms, relu_gradient_override, size, seed, seeds, per_image, precision
    )
    return setup.vis(model, found, own_device(model))


def prepare(
    model: Model,
    asked: Any,
    param_f: Any,
    optimizer: OptimizerLike,
    transforms: TransformsLike,
    relu_gradient_override: ReluOverride,
    size: int | None,
    seed: int,
    seeds: Any,
    per_image: bool,
    precision: str,
) -> tuple[Setup, list[Unit], VisT]:
    """The run's setup, its units, and a render of one image that is like those to come; nothing is computed in vain."""
    parsed = unit_spec.parse_units(asked)
    make, seed = _image_maker(param_f, size), checks.whole(seed, "seed", 0)
    listed = list(transforms) if isinstance(transforms, Iterable) else transforms  # a generator serves one batch only
    setup = Setup(_separate(make), optimizer, listed, relu_gradient_override, seed, per_image, precision)
    vis = setup.probe(model)
    return setup, _find_units(parsed, model, vis, _seeds_of(seeds, seed, per_image)), vis
