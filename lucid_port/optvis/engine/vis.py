"""One render: an image, a model, an objective, and the updates that bring them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from lucid_port.misc import checks
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
)
from lucid_port.optvis.engine.devices import find_device, own_device
from lucid_port.optvis.engine.diagnostics import Watch, warn_if_training
from lucid_port.optvis.engine.step import Evaluation, Forward, Reads
from lucid_port.optvis.objectives import Objective, as_objective
from lucid_port.optvis.sampling import DEFAULT_SEED, RandomSource

__all__ = ["Callback", "VisT"]


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
        forward: computes the network's layers, in the render's precision.
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
        self.forward = Forward(model, self.device, precision, compile, relu_gradient_override)
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
        self.reads = Reads()
        self._seen: torch.Tensor | None = None  # what the model was given last
        self.watch = Watch()

    def value_and_gradients(self) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Evaluate the objective under new draws, without an update.

        Returns:
            The objective's value, detached, and the gradient of **minus** its sum for each of
            `parameters` (None where it does not depend on one). Only these gradients are
            computed: the model's weights get none.

        Raises:
            ValueError: the objective does not depend on the image.
        """
        with torch.enable_grad(), self.forward.settings():  # also where the caller has switched gradients off
            evaluation = Evaluation(self, self.source.scope("transforms"), self.reads, True)
            value = evaluation.value(self.objective)
            self.reads = evaluation.reads
            if not isinstance(value, torch.Tensor) or not value.requires_grad:
                check_value(value, self.objective.description or self.objective.name)
            gradients = torch.autograd.grad(-value.sum(), self.parameters, allow_unused=True)
            self._seen = evaluation.transformed.detach()
        if self.forward.compilation is not None and self.forward.compilation.has_cuda_graphs:
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
            return self._read([self.objective], self.reads)[0]
        return self._read([lambda T: T(name)], Reads())[0]

    def evaluate(self, objectives: Iterable[Any]) -> list[Any]:
        """Present values of other objectives, all under the same fresh transforms."""
        return self._read([as_objective(objective) for objective in objectives], self.reads)

    def _read(self, functions: Sequence[Callable[[Any], Any]], reads: Reads) -> list[Any]:
        """Values of functions of `T`, under draws of their own; `reads` are those to expect."""
        # With gradients, as an objective may take some between layers; what is returned has none.
        with torch.enable_grad(), self.forward.settings():
            evaluation = Evaluation(self, self.source.scope("read"), reads)
            values = [evaluation.value(function) for function in functions]
        return [value.detach() if isinstance(value, torch.Tensor) else value for value in values]


Callback: TypeAlias = Callable[[VisT], None]
"""A function of the render, called after each update."""
