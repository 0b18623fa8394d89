"""Recipes: plain data that describe how a picture was made, and from which it can be made again.

A `Recipe` contains everything that determines a render: model, objective, parameterization, transforms, optimizer,
seeds and number of updates. It is written into the picture's file and beside it (`lucid_port.optvis.recipe_files`). On
the same processor, with the same versions and number of threads, `Recipe.render` makes the same picture bit for bit.
Elsewhere it makes the same draws from the same initial image, and differs by rounding (see `docs/parity.md`).

A recipe does not contain a user's own code. It names the code, and rendering it raises `NotReproducible`.
"""

from __future__ import annotations

import inspect
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias, TypedDict, TypeGuard, cast

import numpy as np
import torch

from converters import checks, schema
from converters.errors import one_line, reason
from converters.paths import user_path
from converters.program.program import as_tuples
from converters.signatures import checked
from lucid_port import __version__
from lucid_port.misc.environment import processor
from lucid_port.misc.offline import offline
from lucid_port.modelzoo.arguments import plain_options
from lucid_port.modelzoo.library_sources import names_function, names_library
from lucid_port.optvis import serialization
from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.callbacks import Callback
from lucid_port.optvis.engine.coerce import Model, ReluOverride
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.fingerprints import fingerprint
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.sampling import RandomSource

__all__ = ["FORMAT", "NotReproducible", "Recipe", "describe_model", "is_recipe", "made_here", "make_optimizer"]

FORMAT = 1
"""Version of the plain-data form; `lucid_port_recipe` in it."""

_MARK = "lucid_port_recipe"

PlainData: TypeAlias = Mapping[str, Any] | None
"""Plain data of an objective, a parameterization, transforms or an optimizer; None for a user's own code."""


Precision: TypeAlias = Literal["float32", "tf32", "bf16"]


class MadeWith(TypedDict, total=False):
    """Versions and machine of a picture; see `made_here`."""

    lucid_port: str
    torch: str
    numpy: str
    python: str
    device: str
    processor: str
    threads: schema.Positive


class NotReproducible(ValueError):
    """Error for a recipe that lacks code or data of its picture."""


# Versions and machine ----------------------------------------------------------------------------


@checked
def made_here(device: torch.device | str = "cpu") -> MadeWith:
    """Returns the versions and the properties of this machine that affect a picture's rounding."""
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


# Optimizers --------------------------------------------------------------------------------------


def _optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    """Returns the optimizers that a recipe can name: TensorFlow's Adam and torch's."""
    classes = inspect.getmembers(torch.optim, inspect.isclass)
    return {"TFAdam": TFAdam} | {name: kind for name, kind in classes if issubclass(kind, torch.optim.Optimizer)}


def _optimizer_data(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Returns the name and the settings of an optimizer.

    Raises:
        serialization.NotSerialisable: The optimizer is a user's own class, or has several parameter groups or
            a scheduler.
    """
    name = type(optimizer).__name__
    if _optimizers().get(name) is not type(optimizer):
        raise serialization.NotSerialisable(f"The optimizer {name} is a user's own class and has no plain-data form.")
    if len(optimizer.param_groups) != 1 or "initial_lr" in optimizer.param_groups[0]:
        raise serialization.NotSerialisable(f"The optimizer {name} has several parameter groups, or a scheduler.")
    group = optimizer.param_groups[0]
    wanted = [key for key in inspect.signature(type(optimizer)).parameters if key in group and key != "params"]
    return {"optimizer": name, "args": {key: serialization.to_data(group[key]) for key in wanted}}


LARGEST_SETTING = 2**63 - 1
"""Largest integer that torch takes for a setting."""


@checked
def make_optimizer(data: PlainData) -> Callable[[list[torch.Tensor]], torch.optim.Optimizer]:
    """Returns a function from the list of parameters to the optimizer of a recipe.

    Args:
        data: Plain data of the optimizer.

    Returns:
        The function. It raises a ValueError or a TypeError of one sentence for values that the optimizer refuses.

    Raises:
        ValueError: The optimizer is unknown, or does not have these settings.

    Example:
        >>> make = make_optimizer({"optimizer": "SGD", "args": {"lr": 0.5}})
        >>> make([torch.zeros(3, requires_grad=True)]).defaults["lr"]
        0.5
    """
    known = _optimizers()
    name = data.get("optimizer") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(name, str) or name not in known:
        raise ValueError(f"The recipe's optimizer {checks.shown(data)} is none of {', '.join(sorted(known))}.")
    kind, arguments = known[name], data.get("args", {})
    try:
        inspect.signature(kind).bind([], **arguments)
    except TypeError as error:
        raise ValueError(f"The recipe's optimizer {name} does not take its settings: {reason(error)}.") from None
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    for key, value in arguments.items():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, int) and abs(one) > LARGEST_SETTING:
                raise ValueError(
                    f"The recipe's optimizer {name} has the {key} {checks.shown(one)}: torch takes numbers of 64 bits."
                )

    def make(parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        with serialization.one_sentence(f"The args of the recipe's optimizer {name} do not fit it"):
            return kind(parameters, **arguments)

    return make


# The recipe --------------------------------------------------------------------------------------


class _ModelName(TypedDict):
    name: str
    fingerprint: str


class ModelData(_ModelName, total=False):
    """A model in a recipe; see `describe_model`."""

    in_catalogue: bool
    source: str | None
    image_value_range: Sequence[float | Sequence[float]] | None
    is_BGR: bool
    options: Mapping[str, Any]


class Seeds(TypedDict, total=False):
    """`seed`, `seeds` and `per_image` of a `RandomSource`."""

    seed: schema.Natural
    seeds: Sequence[schema.Natural] | None
    per_image: bool


@checked
@dataclass(frozen=True)
class Recipe:
    """How one picture was made.

    Attributes:
        model: Name, source (its path, or None), fingerprint, value range, is_BGR and options; see `describe_model`.
        objective, image, transforms, optimizer: Plain data; None for a user's own code.
        steps: Number of updates.
        seeds: `seed`, `seeds` and `per_image` of the `RandomSource`.
        relu_gradient_override, precision, compile: As for `render_vis`.
        picture: Index of the picture in the batch.
        value: The objective's value before the last update.
        made_with: Versions and machine; see `made_here`.
        own_code: A sentence for each part that is missing in the recipe. If there is any, the picture cannot be made
            again.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.optvis import param
        >>> model = get_model("TinyInceptionV1")
        >>> vis = VisT(model, "mixed4a:8", lambda: param.image(32), seed=7)
        >>> for _ in range(2):
        ...     value = vis.step()
        >>> recipe = Recipe.of(vis)
        >>> recipe.steps, recipe.seeds["seed"], recipe.model["name"]
        (2, 7, 'TinyInceptionV1')
        >>> again = Recipe.from_data(recipe.to_data()).render(model)
        >>> bool((again == vis.image()[0]).all())
        True
    """

    model: ModelData
    objective: PlainData
    image: PlainData
    transforms: PlainData
    optimizer: PlainData
    steps: schema.Positive
    seeds: Seeds
    relu_gradient_override: ReluOverride
    precision: Precision = "float32"
    compile: bool = False
    picture: schema.Natural = 0
    value: float | None = None
    made_with: MadeWith = field(default_factory=lambda: MadeWith())
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
        """Returns the recipe of a render.

        Args:
            vis: The render.
            steps: Number of updates before the picture; those made so far by default.
            picture: Index of the picture in the batch.
            value: The objective's value.
            own_code: Sentences about other parts that a recipe cannot contain.
            model: Result of `describe_model`, if it is known already.
        """
        missing = list(own_code)

        def data(make: Callable[[], PlainData]) -> PlainData:
            try:
                return make()
            except serialization.NotSerialisable as error:
                missing.append(str(error))
                return None

        image = data(lambda: serialization.to_data(vis.param))
        seeds = None if vis.source.seeds is None else list(vis.source.seeds)
        if not vis.draws_image:
            missing.append("The image started from values that it had before the render.")
        if vis.source.replays:
            missing.append("The random draws were given, not drawn.")
        return cls(
            model=describe_model(vis.model) if model is None else cast(ModelData, model),
            objective=data(lambda: serialization.to_data(vis.objective)),
            image=image,
            transforms=data(lambda: serialization.to_data(vis.transform)),
            optimizer=data(lambda: _optimizer_data(vis.optimizer)),
            steps=vis.steps if steps is None else steps,
            seeds={"seed": vis.source.seed, "seeds": seeds, "per_image": vis.source.per_image},
            relu_gradient_override=vis.relu_gradient_override,
            precision=cast(Precision, vis.forward.precision),
            compile=vis.forward.compiles,
            picture=picture,
            value=value if value is not None and math.isfinite(value) else None,
            made_with=made_here(vis.device),
            own_code=tuple(missing),
        )

    def to_data(self) -> dict[str, Any]:
        """Returns the recipe as plain data, for JSON."""
        data = asdict(self)
        return {_MARK: FORMAT} | {
            key: list(value) if isinstance(value, tuple) else value for key, value in data.items()
        }

    @classmethod
    def from_data(cls, data: object) -> Recipe:
        """Returns the recipe in plain data.

        Raises:
            ValueError: The data are not a recipe, or have another format.
        """
        if not is_recipe(data):
            raise ValueError(f"{checks.shown(data)} is no recipe: it lacks {_MARK!r}.")
        if data[_MARK] != FORMAT:
            raise ValueError(f"The recipe is of format {checks.shown(data[_MARK])}; this version reads {FORMAT}.")
        stated = {key: value for key, value in data.items() if key != _MARK}
        needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
        schema.check_table(stated, schema.hints_of(cls), "The recipe", needed)
        return cls(**{**stated, "own_code": tuple(stated.get("own_code", ()))})

    @checked
    def differences(self, device: torch.device | str = "cpu") -> list[str]:
        """Returns a sentence for each changed version or property; without changes, rounding is the same."""
        here: Mapping[str, Any] = made_here(device)
        there: Mapping[str, Any] = self.made_with
        return [
            f"{name} was {there[name]}, and is {here[name]} here"
            for name in here
            if name in there and there[name] != here[name]
        ]

    @checked
    def vis(self, model: Model | None = None, device: torch.device | str | None = None) -> VisT:
        """Returns the render, before its first step.

        Args:
            model: The model, which is moved to the device; by default the recipe's model is opened.
            device: Device of the render; the model's by default.

        Raises:
            NotReproducible: A part of the recipe is missing.
            ValueError: The opened model differs from the recipe's, or the recipe is damaged.
        """
        if self.own_code:
            raise NotReproducible(f"This picture cannot be made again from its recipe: {' '.join(self.own_code)}")
        model = self.open_model() if model is None else model
        if device is not None and isinstance(model, torch.nn.Module):
            model = model.to(device)
        seeds = self.seeds
        per_image = bool(seeds.get("per_image"))
        if seeds.get("seeds"):
            source = RandomSource(seeds=seeds["seeds"], shared=seeds.get("seed"), per_image=per_image)
        else:
            source = RandomSource(seeds.get("seed", 0), per_image=per_image)
        with serialization.one_sentence("The recipe cannot be rendered"):
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

    @checked
    def render(
        self,
        model: Model | None = None,
        device: torch.device | str | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> np.ndarray:
        """Makes the picture again.

        Args:
            model, device: As for `vis`.
            callbacks: As for `render_vis`.

        Returns:
            The picture, float32 [H, W, C] in [0, 1].

        Raises:
            NotReproducible, ValueError: As for `vis`.
        """
        return self._own(self.render_batch(model, device, callbacks))

    @checked
    def render_with_losses(
        self,
        model: Model | None = None,
        device: torch.device | str | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Makes the picture again, and returns the objective's values, too; arguments as for `render`.

        Returns:
            The picture, float32 [H, W, C] in [0, 1], and the objective's value before each update, float32 [steps].
        """
        pictures, values = self._rendered(model, device, callbacks)
        picture = self._own(pictures)
        losses = torch.stack(values).float().cpu().numpy().reshape(len(values), -1)
        own = losses[:, self.picture] if losses.shape[1] == len(pictures) else losses.sum(1)
        return picture, own

    def _own(self, pictures: np.ndarray) -> np.ndarray:
        """Returns the recipe's picture of a batch."""
        if self.picture >= len(pictures):
            raise ValueError(
                f"The recipe is of picture {self.picture}, but its batch has only {len(pictures)} pictures."
            )
        return pictures[self.picture]

    @checked
    def render_batch(
        self,
        model: Model | None = None,
        device: torch.device | str | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> np.ndarray:
        """Makes all pictures of the batch again, float32 [N, H, W, C] in [0, 1]; arguments as for `render`."""
        return self._rendered(model, device, callbacks)[0]

    def _rendered(
        self, model: Model | None, device: torch.device | str | None, callbacks: Sequence[Callback]
    ) -> tuple[np.ndarray, list[torch.Tensor]]:
        vis = self.vis(model, device)
        steps = checks.whole(self.steps, "The recipe's number of steps", 1)
        with serialization.one_sentence("The recipe cannot be rendered"):
            values = loop.run(vis, [steps], callbacks=callbacks)
            pictures = vis.image()
        vis.watch.check()
        vis.watch.check_picture(pictures)
        return pictures, values

    def open_model(self, **overrides: Any) -> Model:
        """Opens the recipe's model.

        Nothing is downloaded: a recipe may come from another author.

        Args:
            **overrides: Arguments of `Model`, in place of those in the recipe.

        Raises:
            ValueError: The model has no source, or the source now has other weights or layers.
            FileNotFoundError: The file of the model is missing.
            ConnectionError: The model is not on this machine.
        """
        from lucid_port.modelzoo.nets_factory import open_model

        stated = self.model
        source = stated.get("source") or stated.get("name")
        if stated.get("source") is None and not stated.get("in_catalogue"):
            raise ValueError(
                f"The recipe's model, {stated.get('name')}, was made in Python and has no file: give the model to "
                "Recipe.render, or name a function that returns it with lucid-port rerender --model module:function."
            )
        if names_function(source):
            raise ValueError(
                f"The recipe's model was returned by the Python function {source}, and recipes run no functions: if "
                f"you trust it, add --model {source} in the folder of its module, or give the model to Recipe.render."
            )
        with offline(missing_model(source)):
            model: Model = open_model(str(source), **{**opening_options(stated), **overrides})
        found = fingerprint(model.network)
        if found != stated.get("fingerprint"):
            raise ValueError(
                f"The model {source} is not the model that made the picture: its weights or layers have "
                f"changed (fingerprint {found}, not {stated.get('fingerprint')})."
            )
        return model


def missing_model(source: object) -> str:
    """Returns the sentence for a recipe's model that is not on this machine, without a full stop."""
    named = one_line(str(source), 300)
    return (
        f"The model {named} is not on this machine, and recipes download nothing: if you trust it, download it with "
        f"'lucid-port layers {named}', and run the recipe again"
    )


def _is_address(source: str) -> bool:
    """Whether a model's source is not a path: a library's network or a user's function."""
    return names_library(source) or names_function(source)


def is_recipe(data: object) -> TypeGuard[Mapping[str, Any]]:
    """Returns whether plain data are marked as a recipe.

    Example:
        >>> is_recipe({"lucid_port_recipe": 1}), is_recipe({})
        (True, False)
    """
    return isinstance(data, Mapping) and _MARK in data


def opening_options(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of `Model` in a recipe's description of a model.

    Example:
        >>> opening_options({"image_value_range": [0, 1], "is_BGR": False, "options": {"input_name": "x"}})
        {'image_value_range': (0, 1), 'is_BGR': False, 'input_name': 'x'}
    """
    options = stated.get("options") or {}
    return {
        "image_value_range": as_tuples(stated.get("image_value_range")),
        "is_BGR": stated.get("is_BGR"),
        **plain_options(options if isinstance(options, Mapping) else {}),
    }


@checked
def describe_model(model: Model) -> ModelData:
    """Returns the description of a model in a recipe: name, source, fingerprint, input range, and options.

    The options are those with which the source opens as this model, as far as they are plain data.
    """
    source = getattr(model, "source", None)
    value_range = getattr(model, "image_value_range", None)
    options = getattr(model, "opened_with", None)
    found: ModelData = {
        "name": getattr(model, "name", type(model).__name__),
        "in_catalogue": getattr(model, "catalogue_entry", None) is not None,
        "source": source if source is None or _is_address(source) else os.path.abspath(user_path(source)),
        "fingerprint": fingerprint(model.network),
        # One end may be a number, and the other one a number for each channel.
        "image_value_range": None if value_range is None else np.stack(np.broadcast_arrays(*value_range)).tolist(),
        "is_BGR": bool(getattr(model, "is_BGR", False)),
    }
    if options and source is not None:
        found["options"] = options
    return found
