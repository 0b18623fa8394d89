"""One render: an image, a model, an objective, and the updates that bring them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis.engine.acceleration import Acceleration, Selected, find_device
from lucid_port.optvis.engine.coerce import (
    Model,
    OptimizerLike,
    ParamLike,
    ReluOverride,
    TransformsLike,
    check_model,
    check_optimizer,
    check_value,
    make_optimizer,
    make_param,
    make_transform_f,
    own_device,
)
from lucid_port.optvis.engine.diagnostics import Watch, warn_if_training
from lucid_port.optvis.objectives import Objective, as_objective
from lucid_port.optvis.objectives.reading import channel_of
from lucid_port.optvis.sampling import DEFAULT_SEED, RandomSource

__all__ = ["Callback", "Evaluation", "VisT"]

Read = str | tuple[str, int]  # a layer, or one channel of it


class _NewLayer(Exception):
    """A layer was read that the forward pass of this evaluation left out."""


class Evaluation:
    """`T` of one step: activations of one transformed image.

    All layers come from one forward pass, cut off after the last of them, so that an objective may
    take gradients between them. (Not under `compile` or in "bf16", where values are handed out apart
    from what follows reads: torch then says that a layer was not used in the graph.) Which layers an
    objective reads shows when it reads them: the pass is then made again with the new one, which
    happens in the first step only.

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
        if name == "input":
            return channel_of(self.image, number, name)
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
        check_model(model)
        warn_if_training(model.network)
        self.model = model
        self.objective: Objective = as_objective(objective_f)
        self.transform = make_transform_f(transforms)
        self.source = seed if isinstance(seed, RandomSource) else RandomSource(seed)
        self.device = own_device(model) if device is None else find_device(device)
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
        check_optimizer(self.optimizer, self.parameters)
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


Callback: TypeAlias = Callable[[VisT], None]
"""A function of the render, called after each update."""
