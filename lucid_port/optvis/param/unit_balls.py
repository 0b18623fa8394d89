"""Parameters confined to a ball, with gradients that do not push out of it.

The rules treat the incoming gradient as the direction in which the parameters will *move*
(ascent), as Lucid's do, although optimisers descend: see `direction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from lucid_port.misc import checks
from lucid_port.optvis.param.base import Memo, Parameterization, channels_first, parameterization
from lucid_port.optvis.sampling import RandomSource

__all__ = [
    "constrain_L2",
    "constrain_L_inf",
    "constrain_L_inf_precondition",
    "unit_ball_L2",
    "unit_ball_L_inf",
]


class _ConstrainL2(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, sign: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.sign = sign
        return x / torch.linalg.vector_norm(x).clamp(min=1.0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,), (x,) = grads, ctx.saved_tensors
        norm = torch.linalg.vector_norm(x)
        unit = x / norm.clamp(min=torch.finfo(x.dtype).tiny)
        outward = (unit * gradient).sum()
        free = (norm <= 1) | (ctx.sign * outward < 0)
        return torch.where(free, gradient, gradient - unit * outward), None


class _ConstrainLInf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, precondition: bool, sign: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.precondition, ctx.sign = precondition, sign
        return x / x.abs().clamp(min=1.0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,), (x,) = grads, ctx.saved_tensors
        if ctx.precondition:
            gradient = gradient.sign()
        blocked = (x.abs() >= 1) & (ctx.sign * x * gradient > 0)
        return gradient.masked_fill(blocked, 0), None, None


def _sign(direction: str) -> float:
    if direction not in ("ascent", "descent"):
        raise ValueError(f"direction is 'ascent' (as Lucid) or 'descent', not {direction!r}.")
    return 1.0 if direction == "ascent" else -1.0


def constrain_L2(x: torch.Tensor, direction: str = "ascent") -> torch.Tensor:
    """`x / max(1, |x|)` over the whole tensor; outward gradients lose their radial part.

    Args:
        x: any shape.
        direction: whether the gradient is the way the parameters will move (`"ascent"`, as
            Lucid has it) or its opposite (`"descent"`, what optimisers do).
    """
    return _ConstrainL2.apply(x, _sign(direction))


def constrain_L_inf(x: torch.Tensor, direction: str = "ascent") -> torch.Tensor:
    """Elementwise `x / max(1, |x|)`; gradients that point outwards at the border are zero."""
    return _ConstrainLInf.apply(x, False, _sign(direction))


def constrain_L_inf_precondition(x: torch.Tensor, direction: str = "ascent") -> torch.Tensor:
    """As `constrain_L_inf`, for the sign of the gradient."""
    return _ConstrainLInf.apply(x, True, _sign(direction))


class _Ball(Parameterization):
    def __init__(self, shape: Sequence[int], constrain: Any) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(channels_first(torch.zeros(tuple(shape))).contiguous())
        self._constrain = constrain

    def draw(self, source: RandomSource) -> None:
        with torch.no_grad():
            self.value.zero_()

    def compute(self, memo: Memo) -> torch.Tensor:
        return self._constrain(self.value)


@parameterization
def unit_ball_L2(shape: Sequence[int], direction: str = "ascent") -> Parameterization:
    """Parameters, initially zero, inside the L2 unit ball; `shape` in Lucid's axis order."""
    _sign(direction)
    return _Ball(checks.sizes(shape, "unit_ball_L2's shape"), partial(constrain_L2, direction=direction))


@parameterization
def unit_ball_L_inf(shape: Sequence[int], precondition: bool = True, direction: str = "ascent") -> Parameterization:
    """Parameters, initially zero, inside the unit cube; `shape` in Lucid's axis order."""
    _sign(direction)
    rule = constrain_L_inf_precondition if precondition else constrain_L_inf
    return _Ball(checks.sizes(shape, "unit_ball_L_inf's shape"), partial(rule, direction=direction))
