"""How a picture was made, as plain data that travels with it, and how to make it again.

A `Recipe` says everything that decides a render: model, objective, parameterization, transforms, optimiser, seeds,
number of updates. It is written into the picture's file and beside it (`lucid_port.optvis.recipe_files`). On the same
processor, with the same versions and number of threads, `Recipe.render` makes the same picture bit for bit; elsewhere
it makes the same draws and starts from the same image, and rounding does the rest (see `docs/parity.md`).

What a user's own code did is not in a recipe. It is named there, and such a recipe refuses to be rendered.
"""

from __future__ import annotations

import inspect
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import torch

from converters.program.program import as_tuples
from lucid_port import __version__
from lucid_port.misc import checks
from lucid_port.misc.environment import processor
from lucid_port.optvis import serialization
from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.coerce import Model, ReluOverride
from lucid_port.optvis.engine.vis import Callback, VisT
from lucid_port.optvis.fingerprints import fingerprint
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.sampling import RandomSource

__all__ = ["FORMAT", "NotReproducible", "Recipe", "describe_model", "is_recipe", "made_here", "make_optimizer"]

FORMAT = 1
"""Version of the plain-data form; `lucid_port_recipe` in it."""

_MARK = "lucid_port_recipe"


class NotReproducible(ValueError):
    """A recipe whose picture was made by code, or from data, that it does not hold."""


# Where it was made -------------------------------------------------------------------------------


def made_here(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Versions and machine, as far as they decide a picture's last bits."""
    device = torch.device(device)
    on_gpu = device.type == "cuda"
    return {
        "lucid_port": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "processor": processor(),
        "threads": torch.get_num_threads(),
    }


# Optimisers --------------------------------------------------------------------------------------


def _optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    """Those that a recipe can name: Lucid's Adam, and torch's."""
    found = {name: thing for name, thing in vars(torch.optim).items() if inspect.isclass(thing)}
    known = {name: thing for name, thing in found.items() if issubclass(thing, torch.optim.Optimizer)}
    return {"TFAdam": TFAdam, **known}


def _optimizer_data(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Name and settings.

    Raises:
        serialization.NotSerialisable: it is a user's own class, has groups of settings, or a schedule changes them.
    """
    name = type(optimizer).__name__
    if _optimizers().get(name) is not type(optimizer):
        raise serialization.NotSerialisable(f"The optimizer {name} is a user's own class and has no plain-data form.")
    if len(optimizer.param_groups) != 1 or "initial_lr" in optimizer.param_groups[0]:
        raise serialization.NotSerialisable(
            f"The optimizer {name} has several groups of settings, or a schedule for them."
        )
    group = optimizer.param_groups[0]
    wanted = [key for key in inspect.signature(type(optimizer)).parameters if key in group and key != "params"]
    return {"optimizer": name, "args": {key: serialization.to_data(group[key]) for key in wanted}}


def make_optimizer(data: Any) -> Callable[[Sequence[torch.Tensor]], torch.optim.Optimizer]:
    known = _optimizers()
    if not isinstance(data, Mapping) or data.get("optimizer") not in known:
        raise ValueError(f"The recipe's optimizer {checks.shown(data)} is none of {', '.join(sorted(known))}.")
    kind, arguments = known[data["optimizer"]], data.get("args", {})
    try:
        inspect.signature(kind).bind([], **arguments)
    except TypeError as error:
        raise ValueError(f"The recipe's optimizer {data['optimizer']} does not take its settings: {error}.") from None
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    return lambda parameters: kind(parameters, **arguments)


# The recipe --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How one picture was made.

    Attributes:
        model: name, source (the path it was read from, or None), fingerprint, value range, is_BGR.
        objective, image, transforms, optimizer: plain data; None for what is a user's own code.
        steps: number of updates.
        seeds: `seed`, `seeds` and `per_image` of the `RandomSource`.
        relu_gradient_override, precision, compile: as for `render_vis`.
        picture: index of the picture in the batch.
        value: the objective's value before the last update.
        made_with: versions and machine.
        own_code: what is not in the recipe, one sentence each; with any, the picture cannot be made again.
    """

    model: Mapping[str, Any]
    objective: Any
    image: Any
    transforms: Any
    optimizer: Any
    steps: int
    seeds: Mapping[str, Any]
    relu_gradient_override: ReluOverride
    precision: str = "float32"
    compile: bool = False
    picture: int = 0
    value: float | None = None
    made_with: Mapping[str, Any] = field(default_factory=dict)
    own_code: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        vis: VisT,
        *,
        steps: int | None = None,
        picture: int = 0,
        value: float | None = None,
        own_code: Sequence[str] = (),
        model: Mapping[str, Any] | None = None,
    ) -> Recipe:
        """The recipe of a render.

        Args:
            vis: the render.
            steps: after how many updates the picture was taken; those made so far by default.
            picture: its index in the batch.
            value: the objective's value.
            own_code: what else happened that a recipe cannot hold.
            model: `describe_model` of the model, where it is known already.
        """
        missing = list(own_code)

        def data(make: Callable[[], Any]) -> Any:
            try:
                return make()
            except serialization.NotSerialisable as error:
                missing.append(str(error))
                return None

        image = data(lambda: serialization.to_data(vis.param))
        if not vis.draws_image:
            missing.append("The image started from values that it had before the render.")
        if vis.source.replays:
            missing.append("The random draws were given, not drawn.")
        return cls(
            model=describe_model(vis.model) if model is None else model,
            objective=data(lambda: serialization.to_data(vis.objective)),
            image=image,
            transforms=data(lambda: serialization.to_data(vis.transform)),
            optimizer=data(lambda: _optimizer_data(vis.optimizer)),
            steps=vis.steps if steps is None else steps,
            seeds={"seed": vis.source.seed, "seeds": _listed(vis.source.seeds), "per_image": vis.source.per_image},
            relu_gradient_override=vis.relu_gradient_override,
            precision=vis.forward.precision,
            compile=vis.forward.compiles,
            picture=picture,
            value=value if value is not None and math.isfinite(value) else None,
            made_with=made_here(vis.device),
            own_code=tuple(missing),
        )

    def to_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        data = asdict(self)
        return {
            _MARK: FORMAT,
            **{key: list(value) if isinstance(value, tuple) else value for key, value in data.items()},
        }

    @classmethod
    def from_data(cls, data: Any) -> Recipe:
        """The recipe in plain data.

        Raises:
            ValueError: it is no recipe, or one of a later version.
        """
        if not is_recipe(data):
            raise ValueError(f"{checks.shown(data)} is no recipe: it lacks {_MARK!r}.")
        if data[_MARK] != FORMAT:
            raise ValueError(f"The recipe is of format {data[_MARK]!r}; this version reads {FORMAT}.")
        names = {f.name for f in fields(cls)}
        needed = {"model", "objective", "image", "transforms", "optimizer", "steps", "seeds", "relu_gradient_override"}
        lost = sorted(needed - set(data))
        if lost:
            raise ValueError(f"The recipe is damaged: it lacks {', '.join(lost)}.")
        known = {key: value for key, value in data.items() if key in names}
        return cls(**{**known, "own_code": tuple(known.get("own_code", ()))})

    def differences(self, device: torch.device | str = "cpu") -> list[str]:
        """What is not as it was when the picture was made: a sentence each; none where it comes out bit for bit."""
        here = made_here(device)
        return [
            f"{name} was {self.made_with[name]}, and is {here[name]} here"
            for name in here
            if name in self.made_with and self.made_with[name] != here[name]
        ]

    def vis(self, model: Model | None = None, device: torch.device | str | None = None) -> VisT:
        """The render, ready for its first step.

        Args:
            model: the model, which is moved to the device; by default the one that the recipe names is opened.
            device: where to render; where the model is by default.

        Raises:
            NotReproducible: a user's own code took part.
            ValueError: the model is another than that of the recipe, or the recipe is damaged.
        """
        if self.own_code:
            raise NotReproducible(f"This picture cannot be made again from its recipe: {' '.join(self.own_code)}")
        model = self.open_model() if model is None else model
        if device is not None and isinstance(model, torch.nn.Module):
            model = model.to(device)
        seeds = self.seeds
        source = RandomSource(seeds.get("seed", 0), per_image=bool(seeds.get("per_image")))
        if seeds.get("seeds"):
            source = RandomSource(
                seeds=seeds["seeds"], shared=seeds.get("seed"), per_image=bool(seeds.get("per_image"))
            )
        return VisT(
            model,
            serialization.from_data(self.objective),
            serialization.from_data(self.image),
            make_optimizer(self.optimizer),
            serialization.from_data(self.transforms),
            self.relu_gradient_override,
            seed=source,
            precision=self.precision,
            compile=self.compile,
        )

    def render(
        self,
        model: Model | None = None,
        device: torch.device | str | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> np.ndarray:
        """Make the picture again.

        Args:
            model, device: as for `vis`.
            callbacks: functions of the render, called after each update.

        Returns:
            [H, W, C] float32 in [0, 1].

        Raises:
            NotReproducible, ValueError: as `vis`.
        """
        return self.render_batch(model, device, callbacks)[self.picture]

    def render_batch(
        self,
        model: Model | None = None,
        device: torch.device | str | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> np.ndarray:
        """As `render`, with all pictures of the batch, [N, H, W, C]."""
        vis = self.vis(model, device)
        loop.run(vis, [checks.whole(self.steps, "The recipe's number of steps", 1)], observers=callbacks)
        return vis.image()

    def open_model(self) -> Model:
        """The model that the recipe names.

        Raises:
            ValueError: it has no source to be opened from, or what is there now has other weights or layers.
            FileNotFoundError: its file is gone.
        """
        from lucid_port.modelzoo.nets_factory import open_model

        stated = self.model
        source = stated.get("source") or stated.get("name")
        if stated.get("source") is None and not stated.get("in_catalogue"):
            raise ValueError(
                f"The recipe's model, {stated.get('name')}, was made in Python and has no file: give the model to "
                "Recipe.render."
            )
        model: Any = open_model(
            str(source), image_value_range=as_tuples(stated.get("image_value_range")), is_BGR=stated.get("is_BGR")
        )
        found = fingerprint(model.network)
        if found != stated.get("fingerprint"):
            raise ValueError(
                f"The model {source} is not the one that the picture was made with: its weights or layers have "
                f"changed (fingerprint {found}, not {stated.get('fingerprint')})."
            )
        return model


def is_recipe(data: Any) -> bool:
    """Whether plain data say that they are a recipe."""
    return isinstance(data, Mapping) and _MARK in data


def describe_model(model: Any) -> dict[str, Any]:
    """A model as a recipe names it."""
    source = getattr(model, "source", None)
    value_range = getattr(model, "image_value_range", None)
    return {
        "name": getattr(model, "name", type(model).__name__),
        "in_catalogue": getattr(model, "catalogue_entry", None) is not None,
        "source": None if source is None else os.path.abspath(source),
        "fingerprint": fingerprint(model.network),
        "image_value_range": None if value_range is None else serialization.to_data(np.asarray(value_range).tolist()),
        "is_BGR": bool(getattr(model, "is_BGR", False)),
    }


def _listed(seeds: Sequence[int] | None) -> list[int] | None:
    return None if seeds is None else list(seeds)
