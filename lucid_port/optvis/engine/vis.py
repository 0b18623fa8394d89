"""One render: an image that is optimized for an objective of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
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
from lucid_port.optvis.engine.diagnostics import Watch, constant_norms, constant_softmaxes, warn_if_training
from lucid_port.optvis.engine.formats import find_format, format_of
from lucid_port.optvis.engine.precision import outside_inference
from lucid_port.optvis.engine.step import Evaluation, Forward, Reads
from lucid_port.optvis.objectives import Objective, as_objective
from lucid_port.optvis.objectives.base import ObjectiveLike
from lucid_port.optvis.sampling import DEFAULT_SEED, RandomSource

__all__ = ["VisT"]


class VisT:
    """A render that can be stepped, read and stopped; `make_vis_T` is another name for it.

    Calling it with a name reads a value: `vis("input")` is the current image, `vis("loss")` the
    current value of the objective, and the name of a layer gives its current activation, (N, C, ...). Each
    call draws new transforms from a separate stream, so that it does not change the steps.

    Args:
        model: The model.
        objective_f: An objective to maximize, `"layer:channel"`, or a function of `T`.
        param_f: Parameterization of the image, or a function without arguments that makes it;
            `param.image(128)` by default.
        optimizer: Optimizer, or a function from the list of parameters to one; TensorFlow's Adam
            with a learning rate of 0.05 by default.
        transforms: A transform or a list of transforms; `standard_transforms` by default, `[]` for
            none.
        relu_gradient_override: Whether to redirect ReLU gradients in the first 17 updates; "always"
            redirects them in all. Unlike in `render_vis`, the default is False, as in Lucid.
        seed: Seed of all random draws, or a `RandomSource` to draw from.
        device: Device of the image; that of the model's weights by default.
        precision: `"float32"`, `"tf32"` or `"bf16"`; see `render_vis`.
        compile: Whether to compile the network's part of the steps; see `render_vis`.

    Attributes:
        model: The model.
        objective: The objective, an `Objective`.
        param: The parameterization.
        format: Size and channels of the image, and whether the default transforms restore the size.
        parameters: Tensors that the optimizer updates.
        transform: The composed transform.
        optimizer: The optimizer.
        source: Source of the random draws.
        forward: Computes the network's layers in the render's precision.
        watch: Records every update, and warns about problems.
        steps: Number of updates made.
        loss: The objective's value before the last update, on the device; None before the first.
        stopped: Whether `stop` was called.
        draws_image: Whether the initial image was drawn from `source`; False if it had values
            already.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: The parameterization has no parameters, the optimizer owns none of them, or there
            is no such device or precision.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.optvis import param
        >>> vis = VisT(get_model("TinyInceptionV1"), "mixed4a:8", lambda: param.image(32), transforms=[])
        >>> before = vis("loss")
        >>> for _ in range(3):
        ...     value = vis.step()
        >>> vis.steps, bool(vis("loss") > before), vis.image().shape
        (3, True, (1, 32, 32, 3))
        >>> vis("mixed4a").shape[0]
        1
    """

    @outside_inference
    @checked
    def __init__(
        self,
        model: Model,
        objective_f: ObjectiveLike,
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
        self.objective: Objective = as_objective(objective_f, model)
        self.source = seed if isinstance(seed, RandomSource) else RandomSource(seed)
        self.device = own_device(model) if device is None else find_device(device)
        self.forward = Forward(model, self.device, precision, compile, relu_gradient_override)
        form = find_format(model, [self.objective], None, transforms is None) if param_f is None else None
        self.param = make_param(param_f) if form is None else form.image()
        self.draws_image = not self.param.ready
        if self.draws_image:
            self.param.reset(self.source.scope("param"))
        self.param.to(self.device)
        self.format = form or format_of(self.param, model, [self.objective], transforms is None)
        self.transform = make_transform_f(self.format.transforms(transforms))
        self.parameters = [p for p in self.param.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("There is nothing to optimize: the parameterization has no parameters.")
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
        self._seen: torch.Tensor | None = None  # the model's last input
        self.watch = Watch()

    def value_and_gradients(self) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Evaluates the objective under new draws, without an update.

        Returns:
            The objective's value, detached, and the gradient of **minus** its sum with respect to
            each of `parameters` (None if it does not depend on one). The model's weights get no
            gradient.

        Raises:
            ValueError: The objective does not depend on the image.
        """
        with self.forward.settings(), torch.enable_grad():  # even if the caller has disabled gradients
            evaluation = Evaluation(self, self.source.scope("transforms"), self.reads, True)
            value = evaluation.value(self.objective)
            self.reads = evaluation.reads
            if not isinstance(value, torch.Tensor) or not value.requires_grad:
                check_value(value, self.objective.description or self.objective.name)
            if self.steps == 0:
                self.watch.normalized(constant_norms(self.model, evaluation.read_whole(), value))
                self.watch.probabilities(constant_softmaxes(self.model, evaluation.read_parts(), value))
            gradients = torch.autograd.grad(-value.sum(), self.parameters, allow_unused=True)
            self._seen = evaluation.transformed.detach()
        if self.forward.compilation is not None and self.forward.compilation.has_cuda_graphs:
            value, gradients = value.clone(), tuple(None if one is None else one.clone() for one in gradients)
        return value.detach(), list(gradients)

    def step(self) -> torch.Tensor:
        """Makes one update.

        Returns:
            The objective's value before the update, detached, on the device. It has the objective's
            shape.
        """
        self.loss, gradients = self.value_and_gradients()
        with self.forward.settings():
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.grad = gradient
            self.optimizer.step()
        self.steps += 1
        self.watch.record(self.loss, gradients, self._seen)
        return self.loss

    def stop(self) -> None:
        """Tells the loop that steps this render to end after the current step."""
        self.stopped = True

    @property
    def losses(self) -> np.ndarray:
        """The objective's value before each update, summed over images, float32 [steps]. Waits for the device."""
        if not self.watch.losses:
            return np.zeros(0, np.float32)
        return torch.stack(self.watch.losses).float().cpu().numpy()

    def image(self) -> np.ndarray:
        """Returns the current image in Lucid's axis order, float32 [N, H, W, C] in [0, 1]."""
        with self.forward.settings(), torch.no_grad():
            return np.array(self.param.nhwc().float().cpu().numpy(), order="C")  # a copy

    def __call__(self, name: str) -> Any:
        if name == "loss":
            return self._read([self.objective], self.reads)[0]
        return self._read([lambda T: T(name)], Reads())[0]

    @checked
    def evaluate(self, objectives: Iterable[ObjectiveLike]) -> list[Any]:
        """Returns the current values of other objectives, all under the same new transforms."""
        return self._read([as_objective(objective, self.model) for objective in objectives], self.reads)

    def _read(self, functions: Sequence[Callable[[Any], Any]], reads: Reads) -> list[Any]:
        """Returns the values of functions of `T` under draws of the "read" stream; `reads` are the expected reads."""
        # Gradients are enabled because an objective may differentiate between layers. The results are detached.
        with self.forward.settings(), torch.enable_grad():
            evaluation = Evaluation(self, self.source.scope("read"), reads)
            values = [evaluation.value(function) for function in functions]
        return [value.detach() if isinstance(value, torch.Tensor) else value for value in values]
