"""Parameters constrained to a ball, with gradients that do not point out of it.

By default, as in Lucid, the rules assume that the parameters move *along* the gradient (ascent),
although optimizers move against it; see `direction`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.param.base import Memo, Parameterization, channels_first, parameterization, shape_of
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
        raise ValueError(f"direction is 'ascent' (as Lucid) or 'descent', not {checks.shown(direction)}.")
    return 1.0 if direction == "ascent" else -1.0


def constrain_L2(x: torch.Tensor, direction: str = "ascent") -> torch.Tensor:
    """Computes `x / max(1, |x|)` with the norm of the whole tensor.

    Gradients that point out of the ball lose their radial component.

    Args:
        x: Tensor of any shape.
        direction: `"ascent"` (as in Lucid) if the parameters move along the gradient, `"descent"` if
            they move against it (as optimizers do).
    """
    return _ConstrainL2.apply(x, _sign(direction))


def constrain_L_inf(x: torch.Tensor, direction: str = "ascent") -> torch.Tensor:
    """Computes `x / max(1, |x|)` elementwise; gradients that point outwards at the border are 0."""
    return _ConstrainLInf.apply(x, False, _sign(direction))


def constrain_L_inf_precondition(x: torch.Tensor, direction: str = "ascent") -> torch.Tensor:
    """`constrain_L_inf` with the sign of the gradient in place of the gradient."""
    return _ConstrainLInf.apply(x, True, _sign(direction))


class _Ball(Parameterization):
    def __init__(self, shape: Sequence[int], constrain: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(channels_first(torch.zeros(tuple(shape))).contiguous())
        self._constrain = constrain

    def draw(self, source: RandomSource) -> None:
        with torch.no_grad():
            self.value.zero_()

    def compute(self, memo: Memo) -> torch.Tensor:
        return self._constrain(self.value)


@parameterization
@checked
def unit_ball_L2(shape: int | Sequence[int], direction: str = "ascent") -> Parameterization:
    """Parameters in the L2 unit ball, initially zero.

    Args:
        shape: Shape, in Lucid's axis order, or the size of the only axis.
        direction: `"ascent"` or `"descent"`, see `constrain_L2`.

    Raises:
        TypeError, ValueError: An argument is out of range.

    Example:
        >>> ball = unit_ball_L2((1, 8, 8, 3))
        >>> ball.shape, ball().norm().item()
        ((1, 8, 8, 3), 0.0)
    """
    _sign(direction)
    return _Ball(shape_of(shape, "unit_ball_L2"), partial(constrain_L2, direction=direction))


@parameterization
@checked
def unit_ball_L_inf(
    shape: int | Sequence[int], precondition: bool = True, direction: str = "ascent"
) -> Parameterization:
    """Parameters in the L-infinity unit ball, [-1, 1], initially zero.

    Args:
        shape: Shape, in Lucid's axis order, or the size of the only axis.
        precondition: Whether to use the sign of the gradient.
        direction: `"ascent"` or `"descent"`, see `constrain_L2`.

    Raises:
        TypeError, ValueError: An argument is out of range.

    Example:
        >>> ball = unit_ball_L_inf((1, 8, 8, 3), direction="descent")
        >>> ball.shape, ball().abs().max().item()
        ((1, 8, 8, 3), 0.0)
    """
    _sign(direction)
    rule = constrain_L_inf_precondition if precondition else constrain_L_inf
    return _Ball(shape_of(shape, "unit_ball_L_inf"), partial(rule, direction=direction))
