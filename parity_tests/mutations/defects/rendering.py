"""Defects of draws, gradient overrides, the optimiser, styles and the render itself."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import torch

from lucid_port.optvis import optimizer, render, sampling, style
from lucid_port.optvis.engine.step import Evaluation
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.overrides import smoothed_maxpool_grad
from parity_tests.mutations.patching import Patches
from parity_tests.mutations.registry import NOTEBOOKS, OVERRIDES, PARTS, RENDER, mutation

# A function of this name hides the module, as in Lucid.
redirected_relu_grad = importlib.import_module("lucid_port.optvis.overrides.redirected_relu_grad")


# Draws ----------------------------------------------------------------------------------------


@mutation(PARTS, "draw")
def draws_depend_on_other_draws(p: Patches) -> None:
    """All draws come from one stream, so that one more draw changes all later ones."""
    original = sampling.RandomSource._stream
    p.attribute(sampling.RandomSource, "_stream", lambda self, seed, key: original(self, seed, ""))


@mutation(f"{PARTS} {RENDER}", "images or batch")
def images_of_a_batch_share_a_seed(p: Patches) -> None:
    """Every image of a batch draws from the seed of the first."""
    p.attribute(sampling.RandomSource, "image_seed", lambda self, index: self.seed)


# Gradient overrides ---------------------------------------------------------------------------


@mutation(OVERRIDES, "redirected_relu")
def redirection_for_the_whole_batch(p: Patches) -> None:
    """Gradients are redirected only where no image of the batch has any, not image by image."""
    p.everywhere(
        redirected_relu_grad._choose,
        lambda passed, redirected: passed if (passed.square().sum() > 0) else redirected,
    )


@mutation(OVERRIDES, "redirected_relu")
def leak_is_always_on(p: Patches) -> None:
    """Gradients are redirected also where some already pass."""
    p.everywhere(redirected_relu_grad._choose, lambda passed, redirected: redirected)


@mutation(f"{OVERRIDES} {PARTS}", "relu")
def override_never_ends(p: Patches) -> None:
    """Gradients are redirected in every update."""
    p.attribute(redirected_relu_grad, "REDIRECTED_UPDATES", 10**9)


@mutation(f"{OVERRIDES} {RENDER}", "relu or lucid")
def override_ends_an_update_early(p: Patches) -> None:
    """Gradients are redirected in 16 updates, not 17."""
    p.attribute(redirected_relu_grad, "REDIRECTED_UPDATES", 16)


@mutation(f"{OVERRIDES} {PARTS}", "relu")
def native_relu_after_the_override(p: Patches) -> None:
    """After the override ReLUs pass nothing at zero, as torch's do."""
    original = redirected_relu_grad.redirection
    limit = redirected_relu_grad.REDIRECTED_UPDATES
    p.everywhere(original, lambda step=0: original(step) if step < limit else contextlib.nullcontext())


@mutation(f"{OVERRIDES} {PARTS}", "relu")
def relu6_redirected_as_relu(p: Patches) -> None:
    """ReLU6 blocks all redirected gradients above 6."""

    def gradient(op: Any, grad: torch.Tensor) -> torch.Tensor:
        passed = redirected_relu_grad.plain_relu6_grad(op, grad)
        redirected = grad.masked_fill((op.inputs[0] < 0) & (grad > 0), 0).masked_fill(op.inputs[0] > 6, 0)
        return redirected_relu_grad._choose(passed, redirected)

    p.everywhere(redirected_relu_grad.redirected_relu6_grad, gradient)


@mutation(OVERRIDES, "smoothed")
def smoothed_pool_counts_padding(p: Patches) -> None:
    """The average pool that stands in for a max pool counts its padding."""
    original = smoothed_maxpool_grad._valid_average
    p.everywhere(original, lambda value, valid, op: original(value, torch.ones_like(valid), op))


# Optimiser, style, render ---------------------------------------------------------------------


@mutation(f"{OVERRIDES} {RENDER}", "adam or lucid")
def torchs_adam_epsilon(p: Patches) -> None:
    """Adam adds epsilon after the bias correction, as torch's."""

    def update(self: Any, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        (beta1, beta2), state = group["betas"], self.state[parameter]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
        state["step"] += 1
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        mean = state["exp_avg"] / (1 - beta1 ** state["step"])
        deviation = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt()
        parameter.sub_(group["lr"] * mean / (deviation + group["eps"]))

    p.attribute(optimizer.TFAdam, "_update", update)


@mutation(OVERRIDES, "style")
def style_average_corrected(p: Patches) -> None:
    """The moving average of styles is corrected for its start at zero."""
    original = style.StyleLoss._averaged

    def averaged(self: Any, grams: list[torch.Tensor]) -> list[torch.Tensor]:
        found = original(self, grams)
        if self.ema_decay is None:
            return found
        self.calls = getattr(self, "calls", 0) + 1
        return [value / (1 - self.ema_decay**self.calls) for value in found]

    p.attribute(style.StyleLoss, "_averaged", averaged)


@mutation(RENDER, "thresholds or lucid")
def one_update_too_few(p: Patches) -> None:
    """`max(thresholds)` updates are made, not one more."""
    original = render._update_counts
    p.everywhere(original, lambda thresholds: [max(count - 1, 1) for count in original(thresholds)])


@mutation(NOTEBOOKS, "regularization")
def input_is_transformed(p: Patches) -> None:
    """T("input") is the image after the transforms."""
    original = Evaluation.__init__

    def init(self: Any, *args: Any) -> None:
        original(self, *args)
        self.image = self.transformed

    p.attribute(Evaluation, "__init__", init)


@mutation(RENDER, "lucid")
def image_is_not_an_ascent(p: Patches) -> None:
    """The objective is minimised."""
    original = VisT.value_and_gradients

    def wrong(self: Any) -> Any:
        value, gradients = original(self)
        return value, [-gradient for gradient in gradients]

    p.attribute(VisT, "value_and_gradients", wrong)
