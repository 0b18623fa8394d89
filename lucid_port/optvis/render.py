"""Rendering: optimise an image until a model sees in it what an objective asks for.

`render_vis` is the usual way; `make_vis_T` gives the object underneath, which can be
stepped, read and stopped.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis import param
from lucid_port.optvis.acceleration import Acceleration, Selected, find_device
from lucid_port.optvis.diagnostics import Watch, warn_if_training
from lucid_port.optvis.objectives import Objective, as_objective, channel_of
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import Parameterization, as_parameterization
from lucid_port.optvis.progress import LiveView, ProgressBar, TensorBoardLog
from lucid_port.optvis.sampling import DEFAULT_SEED, RandomSource
from lucid_port.optvis.transform import Transform, as_transform, compose, standard_transforms

if TYPE_CHECKING:
    from lucid_port.optvis.recipe import Recipe

__all__ = [
    "Renders",
    "VisT",
    "make_optimizer",
    "make_param",
    "make_transform_f",
    "make_vis_T",
    "render_vis",
]


class Model(Protocol):
    """What a render needs of a model."""

    @property
    def network(self) -> Any: ...

    @property
    def labels(self) -> Sequence[str]: ...

    def activations(self, image: torch.Tensor, names: Sequence[str]) -> Mapping[str, torch.Tensor]: ...


ParamLike = Any
TransformsLike = Any
OptimizerLike = Any
Callback = Callable[["VisT"], None]
Read = str | tuple[str, int]  # a layer, or one channel of it
ReluOverride = bool | Literal["always"]


def __getattr__(name: str) -> Any:
    """`render.render_many` and `render.make_many_T`, which are made of what is here, so that they come last."""
    if name not in ("make_many_T", "render_many"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("lucid_port.optvis.render_many"), name)


# Arguments ------------------------------------------------------------------------------------


def make_param(param_f: ParamLike = None) -> Parameterization:
    """The parameterization of a render.

    Args:
        param_f: None for `param.image(128)`; a parameterization (which keeps its values if it
            has any); a module or tensor that gives an NCHW image; or a function without
            arguments that returns one of these, called once.

    Raises:
        TypeError: something else was given.
    """
    if param_f is None:
        return param.image(128)
    if not callable(param_f) or isinstance(param_f, (torch.nn.Module, torch.Tensor)):
        return as_parameterization(param_f)
    missing = _needed_arguments(param_f)
    if missing:
        name = getattr(param_f, "__name__", type(param_f).__name__)
        raise TypeError(
            f"param_f is called without arguments, but {name} needs {', '.join(missing)}: give it them in a function "
            f"without arguments, as in lambda: param.image(128)."
        )
    return as_parameterization(param_f())


def _needed_arguments(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a function cannot be called without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some functions written in C do not tell
        return []
    collects = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in collects]


def make_transform_f(transforms: TransformsLike = None) -> Transform:
    """One transform from a list: None stands for `standard_transforms`, an empty list for none.

    Raises:
        TypeError: no transform, function or iterable of these was given.
    """
    if transforms is None:
        return compose(standard_transforms)
    if isinstance(transforms, Transform) or callable(transforms):
        return as_transform(transforms)
    if isinstance(transforms, Iterable):
        return compose(transforms)
    raise TypeError(f"transforms is None, a transform or a list of transforms, not {transforms!r}.")


def make_optimizer(optimizer: OptimizerLike, parameters: Sequence[torch.Tensor]) -> torch.optim.Optimizer:
    """The optimiser of a render.

    Args:
        optimizer: None for TensorFlow's Adam with a rate of 0.05; a function of the list of
            parameters (`lambda p: torch.optim.SGD(p, lr=1.0)`); or an optimiser made for them.
        parameters: what is optimised.

    Raises:
        TypeError: something else was given.
    """
    if optimizer is None:
        return TFAdam(parameters, lr=0.05)
    if isinstance(optimizer, torch.optim.Optimizer):
        return optimizer
    if callable(optimizer):
        return optimizer(parameters)
    raise TypeError(
        f"optimizer is None, a torch optimizer, or a function from the list of parameters to one, not {optimizer!r}."
    )


def check_value(value: Any, objective: str) -> None:
    """Refuses an objective's value that no gradient can be taken of.

    Raises:
        ValueError: it does not depend on the image.
    """
    if value is None:
        raise ValueError(f"The objective {objective!r} gave nothing: is its `return` missing?")
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        raise ValueError(f"The objective {objective!r} does not depend on the image: it gave {value!r}.")


def _check_model(model: Any) -> None:
    """Refuses what people give for a model by mistake."""
    if isinstance(model, type):
        raise TypeError(f"{model.__name__} is a class of models: call it, as in {model.__name__}().")
    if not hasattr(model, "activations"):
        raise TypeError(
            f"A {type(model).__name__} is no model: wrap a PyTorch network with modelzoo.from_torch.from_torch, or "
            "open one by its name with modelzoo.nets_factory.get_model."
        )
    if not hasattr(model, "network"):
        raise TypeError(
            f"A {type(model).__name__} is the network of a model, which does not know how images are prepared for it: "
            "give the model itself, or make one with modelzoo.from_torch.from_torch."
        )


def _check_optimizer(optimizer: Any, parameters: Sequence[torch.Tensor]) -> None:
    """Refuses an optimiser that would leave the image as it is."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"The optimizer function gave a {type(optimizer).__name__}, not a torch optimizer.")
    # Of the class: a learning rate schedule puts a wrapper around the instance's own.
    if _needed_arguments(functools.partial(type(optimizer).step, optimizer)):
        raise TypeError(
            f"{type(optimizer).__name__} evaluates the objective itself, several times for an update (its step needs a "
            "closure), which a render does not offer: use an optimizer such as Adam or SGD."
        )
    owned = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not owned & {id(parameter) for parameter in parameters}:
        raise ValueError(
            "The optimizer does not own any of the image's parameters: give a function that makes it for them, as in "
            "optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0)."
        )


def _model_device(model: Model) -> torch.device:
    for tensor in (*model.network.parameters(), *model.network.buffers()):
        return tensor.device
    return torch.device("cpu")


# One evaluation -------------------------------------------------------------------------------


class _NewLayer(Exception):
    """A layer was read that the forward pass of this evaluation left out."""


class Evaluation:
    """`T` of one step: activations of one transformed image.

    All layers come from one forward pass, cut off after the last of them, so that an objective may
    take gradients between them. Which layers an objective reads shows when it reads them: the pass
    is then made again with the new one, which happens in the first step only.

    Args:
        vis: the render.
        source: draws of the transforms.
        layers: names known to be read, and pairs of a name and its only channel that is; what turns up is added.
        repeated: whether this is a step, which many others like it follow.
    """

    def __init__(self, vis: VisT, source: RandomSource, layers: dict[Read, None], repeated: bool = False) -> None:
        self._vis = vis
        self._repeated = repeated
        self._layers = layers
        self.image = vis.param()
        self.transformed = vis.transform(self.image, source)
        self._values: Mapping[Read, torch.Tensor] = {}
        if layers:
            self._compute()

    def value(self, objective: Callable[[Any], Any]) -> Any:
        """What a function of `T` gives."""
        while True:
            try:
                return objective(self)
            except _NewLayer as new:
                self._compute(*new.args)

    def channel(self, name: str, number: int) -> torch.Tensor:
        """One channel of a layer, without its channel axis; from the second step on, no other is computed.

        Raises:
            IndexError: the layer has no such channel.
        """
        if name in self._values or name in self._layers:
            return channel_of(self(name), number, name)
        key = (name, number)
        if key not in self._values:
            if self._values:
                raise _NewLayer(key)
            self._compute(key)
        return self._values[key]

    def __call__(self, name: str) -> Any:
        if name == "input":
            return self.image
        if name == "labels":
            return self._vis.model.labels
        if name not in self._values:
            if self._values:
                raise _NewLayer(name)
            self._compute(name)
        return self._values[name]

    def _compute(self, *new: Read) -> None:
        # What an objective reads shows when it reads it, so layers that are new are not compiled for.
        self._values = self._read([*self._layers, *new], self._repeated and not new)
        self._layers.update(dict.fromkeys(new))  # only now: a name that is no layer's is not kept

    def _read(self, wanted: Sequence[Read], repeated: bool) -> Mapping[Read, torch.Tensor]:
        """Layers, and single channels of others: of these, the whole layer the first time, to see that they exist."""
        whole = [one for one in wanted if isinstance(one, str)]
        pairs = [one for one in wanted if not isinstance(one, str)]
        channels: dict[str, list[int]] = {}
        for name, number in pairs:
            if name not in whole:
                channels.setdefault(name, []).append(number)
        can_select = getattr(self._vis.model, "can_select", False) and all(pair in self._layers for pair in pairs)
        selected = channels if can_select and all(number >= 0 for _, number in pairs) else None
        found = self._vis.activations(self.transformed, [*whole, *channels], repeated, selected or None)
        values: dict[Read, torch.Tensor] = {name: found[name] for name in whole}
        for name, number in pairs:
            own = selected is not None and name in selected
            values[name, number] = (
                found[name][:, channels[name].index(number)] if own else channel_of(found[name], number, name)
            )
        return values


class VisT:
    """A render that can be stepped, read and stopped.

    Made by `make_vis_T`. Calling it with a name reads it: `vis("input")` is the present
    image, `vis("loss")` the present objective value, any layer its present activation (NCHW),
    under fresh transforms whose draws do not disturb those of the steps.

    Attributes:
        model: the model.
        objective: what is maximised.
        param: the parameterization.
        transform: one transform, composed.
        optimizer: the optimiser.
        source: where random draws come from.
        acceleration: what computes the network's layers, in which precision.
        watch: what is noted of every update, and warned of.
        steps: number of updates made.
        loss: objective value before the last update, a tensor on the device (None before the
            first).
        stopped: whether `stop` was called.
        draws_image: whether the image's initial values are draws of `source`, not what it had before.
    """

    def __init__(
        self,
        model: Model,
        objective_f: Any,
        param_f: ParamLike = None,
        optimizer: OptimizerLike = None,
        transforms: TransformsLike = None,
        relu_gradient_override: ReluOverride = False,
        *,
        seed: int | RandomSource = DEFAULT_SEED,
        device: torch.device | str | None = None,
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        _check_model(model)
        warn_if_training(model.network)
        self.model = model
        self.objective: Objective = as_objective(objective_f)
        self.transform = make_transform_f(transforms)
        self.source = seed if isinstance(seed, RandomSource) else RandomSource(seed)
        self.device = _model_device(model) if device is None else find_device(device)
        self.acceleration = Acceleration(model, self.device, precision, compile)
        self.param = make_param(param_f)
        self.draws_image = not self.param.ready
        if self.draws_image:
            self.param.reset(self.source.scope("param"))
        self.param.to(self.device)
        self.parameters = [p for p in self.param.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("There is nothing to optimise: the parameterization has no parameters.")
        self.optimizer = make_optimizer(optimizer, self.parameters)
        _check_optimizer(self.optimizer, self.parameters)
        if relu_gradient_override not in (True, False, "always"):
            raise ValueError(
                f"relu_gradient_override is True, False or 'always', not {checks.shown(relu_gradient_override)}."
            )
        self.relu_gradient_override = relu_gradient_override
        self.steps = 0
        self.loss: torch.Tensor | None = None
        self.stopped = False
        self.layers_read: dict[Read, None] = {}
        self._seen: torch.Tensor | None = None  # what the model was given last
        self.watch = Watch()

    def activations(
        self, image: torch.Tensor, names: Sequence[str], repeated: bool = False, channels: Selected = None
    ) -> Mapping[str, Any]:
        """Layers' values for a transformed image, under the gradient override in force, in the render's precision.

        Args:
            image: (N, C, H, W) in [0, 1].
            names: of the layers.
            repeated: whether many steps with these layers follow, so that compiling may pay.
            channels: of some of the layers, the channels that are wanted; for models that have `can_select`.
        """
        update = (0 if self.relu_gradient_override == "always" else self.steps) if self.relu_gradient_override else None
        return self.acceleration.activations(image, names, update, repeated, channels)

    def value_and_gradients(self) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Evaluate the objective under new draws, without an update.

        Returns:
            The objective's value, detached, and the gradient of **minus** its sum for each of
            `parameters` (None where it does not depend on one). Only these gradients are
            computed: the model's weights get none.

        Raises:
            ValueError: the objective does not depend on the image.
        """
        with torch.enable_grad(), self.acceleration.settings():  # also where the caller has switched gradients off
            evaluation = Evaluation(self, self.source.scope("transforms"), self.layers_read, True)
            value = evaluation.value(self.objective)
            check_value(value, self.objective.description or self.objective.name)
            gradients = torch.autograd.grad(-value.sum(), self.parameters, allow_unused=True)
            self._seen = evaluation.transformed.detach()
        if self.acceleration.reuses_memory:
            value, gradients = value.clone(), tuple(None if one is None else one.clone() for one in gradients)
        return value.detach(), list(gradients)

    def step(self) -> torch.Tensor:
        """Make one update.

        Returns:
            The objective's value before it (as the objective gives it), on the device, detached.
        """
        self.loss, gradients = self.value_and_gradients()
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        self.steps += 1
        self.watch.record(self.loss, gradients, self._seen)
        return self.loss

    def stop(self) -> None:
        """Ask the loop that drives this render to end after the present step."""
        self.stopped = True

    @property
    def losses(self) -> np.ndarray:
        """Objective value before each update (summed if it is no scalar); waits for the device."""
        if not self.watch.losses:
            return np.zeros(0, np.float32)
        return torch.stack(self.watch.losses).float().cpu().numpy()

    def image(self) -> np.ndarray:
        """The present image as Lucid returns it: float32 array [N, H, W, C] in [0, 1]."""
        with torch.no_grad():
            return np.array(self.param.nhwc().float().cpu().numpy(), order="C")  # a copy: the image will change

    def __call__(self, name: str) -> Any:
        if name == "loss":
            return self._read([self.objective], dict(self.layers_read))[0]
        return self._read([lambda T: T(name)], {})[0]

    def evaluate(self, objectives: Iterable[Any]) -> list[Any]:
        """Present values of other objectives, all under the same fresh transforms."""
        return self._read([as_objective(objective) for objective in objectives], dict(self.layers_read))

    def _read(self, functions: Sequence[Callable[[Any], Any]], layers: dict[Read, None]) -> list[Any]:
        """Values of functions of `T`, under draws of their own; `layers` are those likely to be read."""
        # With gradients, as an objective may take some between layers; what is returned has none.
        with torch.enable_grad(), self.acceleration.settings():
            evaluation = Evaluation(self, self.source.scope("read"), layers)
            values = [evaluation.value(function) for function in functions]
        return [value.detach() if isinstance(value, torch.Tensor) else value for value in values]


def make_vis_T(
    model: Model,
    objective_f: Any,
    param_f: ParamLike = None,
    optimizer: OptimizerLike = None,
    transforms: TransformsLike = None,
    relu_gradient_override: ReluOverride = False,
    *,
    seed: int | RandomSource = DEFAULT_SEED,
    device: torch.device | str | None = None,
    precision: str = "float32",
    compile: bool = False,
) -> VisT:
    """Set up a render without running it.

    Arguments as in `render_vis`; note that ReLU gradients are not overridden by default.
    """
    return VisT(
        model,
        objective_f,
        param_f,
        optimizer,
        transforms,
        relu_gradient_override,
        seed=seed,
        device=device,
        precision=precision,
        compile=compile,
    )


# The whole render -----------------------------------------------------------------------------


class Renders(list[np.ndarray]):
    """The list of pictures that a render returns, with what else is known of it.

    Attributes:
        steps: number of updates made.
        interrupted: whether it ended early.
        vis: the render itself, to go on with.
        taken_after: after how many updates each picture was taken.
        callbacks: what the caller had called after each update.
    """

    steps: int = 0
    interrupted: bool = False
    vis: VisT
    taken_after: Sequence[int] = ()
    callbacks: Sequence[Callback] = ()

    def recipe(self, index: int = -1, picture: int = 0) -> Recipe:
        """How one of the pictures was made.

        Args:
            index: which of the list.
            picture: which of its batch.

        Raises:
            IndexError: there is no such picture.
        """
        from lucid_port.optvis.recipe import Recipe

        after = self.taken_after[index]
        value = self.vis.losses[after - 1]
        return Recipe.of(self.vis, steps=after, picture=picture, value=float(value), own_code=_said(self.callbacks))

    def save(self, path: str | os.PathLike[str], index: int = -1, picture: int = 0) -> Path:
        """Save one of the pictures with its recipe, in the file and beside it.

        Args:
            path: a picture's file name (.png, .jpg, .webp).
            index, picture: as for `recipe`.

        Returns:
            The path.

        Raises:
            IndexError: there is no such picture.
            ValueError: the extension is not a picture's.
        """
        from lucid_port.optvis.recipe_files import save_picture

        return save_picture(self[index][picture], path, self.recipe(index, picture))

    @property
    def losses(self) -> np.ndarray:
        """Objective value before each update, float32 array."""
        return self.vis.losses[: self.steps]


def render_vis(
    model: Model,
    objective_f: Any,
    param_f: ParamLike = None,
    optimizer: OptimizerLike = None,
    transforms: TransformsLike = None,
    thresholds: Iterable[int] = (512,),
    print_objectives: Sequence[Any] | None = None,
    verbose: bool = True,
    relu_gradient_override: ReluOverride = True,
    use_fixed_seed: bool = False,
    *,
    seed: int | RandomSource = DEFAULT_SEED,
    device: torch.device | str | None = None,
    callbacks: Sequence[Callback] = (),
    log_dir: str | None = None,
    precision: str = "float32",
    compile: bool = False,
    live: bool = False,
) -> Renders:
    """Optimise an image for an objective; the port of Lucid's `render_vis`.

    Args:
        model: the model.
        objective_f: an objective, `"layer:channel"`, or a function of `T`.
        param_f: parameterization, or a function that makes one; `param.image(128)` by default.
        optimizer: see `make_optimizer`; TensorFlow's Adam with rate 0.05 by default.
        transforms: list of transforms; `standard_transforms` by default, `[]` for none.
        thresholds: steps after which to keep a picture. `max(thresholds) + 1` updates are made,
            and the picture of threshold i is that after i + 1 updates, as in Lucid.
        print_objectives: objectives to print at the thresholds.
        verbose: print at the thresholds, show the pictures in a notebook, draw a progress bar.
        relu_gradient_override: redirect ReLU gradients in the first 17 updates; "always" in all of them.
        use_fixed_seed: kept for Lucid's sake; every render is seeded.
        seed: of all random draws; a `RandomSource` is used as it is.
        device: where the image lives; that of the model's weights by default.
        callbacks: functions of the render (`VisT`), called after each update.
        log_dir: write loss and pictures for TensorBoard into this folder.
        precision: of the network: `"float32"`, strictly; `"tf32"`, on a GPU, convolutions and matrix products of
            float32 numbers rounded to 11 significant bits; `"bf16"`, the network in bfloat16 (8 bits). The last two
            give other pictures of the same kind: see docs/speed.md.
        compile: compile the network's part of the steps, once for each of the sizes that the transforms give (11 by
            default), from the 18th update on. The numbers stay the same up to rounding. It takes minutes before it
            begins to pay, if it does: see docs/speed.md.
        live: show the present picture while it renders, at most once a second, in a notebook; nothing elsewhere.
            `callbacks=[LiveView(...)]` of `lucid_port.optvis.progress` has settings.

    Returns:
        A list (`Renders`) with one float32 array [N, H, W, C] in [0, 1] for each distinct
        threshold, in order. Interrupting (Ctrl-C) or `VisT.stop` returns what there is.

    Raises:
        ValueError: no threshold, or a negative one, was given; there is no such device or precision.
        TypeError: an argument is not what it should be.
        Exception: what a callback, the objective or the model raises in a step comes through as it is, with what was
            rendered before it in its attribute `renders`.
    """
    wanted = _steps_of(thresholds)
    printed = [as_objective(objective) for objective in _listed(print_objectives)]
    vis = make_vis_T(
        model,
        objective_f,
        param_f,
        optimizer,
        transforms,
        relu_gradient_override,
        seed=seed,
        device=device,
        precision=precision,
        compile=compile,
    )
    hooks: list[Any] = list(callbacks)
    if verbose:
        hooks.append(ProgressBar(wanted[-1] + 1))
    if live:
        hooks.append(LiveView(keep=not verbose))  # when verbose, the last picture is shown below
    if log_dir is not None:
        hooks.append(TensorBoardLog(log_dir))
    return _run(vis, wanted, hooks, printed, verbose)


def _steps_of(thresholds: Any) -> list[int]:
    """Thresholds as distinct step numbers, in order."""
    steps: list[Any] = list(thresholds) if isinstance(thresholds, Iterable) else [thresholds]
    whole = [isinstance(t, (int, float, np.number)) and float(t).is_integer() and t >= 0 for t in steps]
    if not whole or not all(whole):
        raise ValueError(f"thresholds are whole step numbers from 0 on, as in (32, 512), not {thresholds!r}.")
    return sorted({int(t) for t in steps})


def _listed(objectives: Any) -> list[Any]:
    """Objectives to print: none, one, or several."""
    if objectives is None:
        return []
    return [objectives] if isinstance(objectives, (str, Objective)) else list(objectives)


def _said(callbacks: Sequence[Callback]) -> list[str]:
    """What a recipe says of callbacks, which may do anything with a render."""
    names = [getattr(callback, "__name__", type(callback).__name__) for callback in callbacks]
    ours = ("LiveView", "ProgressBar", "TensorBoardLog")
    return [f"The callback {name} was called after each update." for name in names if name not in ours]


def _run(vis: VisT, wanted: list[int], hooks: list[Any], printed: Sequence[Any], verbose: bool) -> Renders:
    pictures = Renders()
    taken_after: list[int] = []
    pictures.vis, pictures.callbacks, pictures.taken_after = vis, tuple(hooks), taken_after
    due = set(wanted)
    for hook in hooks:
        if hasattr(hook, "begin"):
            hook.begin(vis, wanted[-1] + 1)
    try:
        for index in range(wanted[-1] + 1):
            vis.step()
            for hook in hooks:
                hook(vis)
            if index in due:
                pictures.append(vis.image())
                taken_after.append(vis.steps)
                vis.watch.check()  # the picture waited for the device already
                _report(vis, index, pictures[-1], hooks, printed, verbose)
            if vis.stopped:
                break
    except KeyboardInterrupt:
        pictures.interrupted = True
        if verbose:
            print(f"Interrupted at step {vis.steps}.")
    except Exception as error:
        error.renders = pictures  # type: ignore[attr-defined]  # minutes of work, for whoever catches it
        raise
    finally:
        pictures.steps = vis.steps
        for hook in hooks:
            if hasattr(hook, "close"):
                hook.close()
    vis.watch.check()
    return pictures


def _report(
    vis: VisT,
    index: int,
    picture: np.ndarray,
    hooks: list[Any],
    printed: Sequence[Any],
    verbose: bool,
) -> None:
    for hook in hooks:
        if hasattr(hook, "snapshot"):
            hook.snapshot(vis, picture)
    if not verbose:
        return
    assert vis.loss is not None
    print(index, vis.loss.cpu().numpy())
    if printed:
        for number, (objective, value) in enumerate(zip(printed, vis.evaluate(printed), strict=True), 1):
            description = as_objective(objective).description
            for one in np.atleast_1d(value.cpu().numpy()).ravel():
                print(f"{number:02d}: {description}: {one:7.2f}")
    _show(picture)


def _show(picture: np.ndarray) -> None:
    from lucid_port.misc.environment import is_notebook_environment

    if is_notebook_environment():
        from lucid_port.misc.io import show

        show(np.hstack(list(picture)))
