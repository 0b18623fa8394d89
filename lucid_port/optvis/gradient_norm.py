"""The autograd function of `transform.normalize_gradient`."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["UnitGradient"]


class UnitGradient(torch.autograd.Function):
    """Identity whose gradient has a fixed norm for each image: `scales`, or 1 for None."""

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, scales: torch.Tensor | None, zero_safe: bool) -> torch.Tensor:
        ctx.scales, ctx.zero_safe = scales, zero_safe
        return image.view_as(image)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = grads
        norm = (gradient * gradient).sum((1, 2, 3), keepdim=True).sqrt()
        if ctx.zero_safe:
            norm = torch.where(norm > 0, norm, torch.ones_like(norm))
        if ctx.scales is not None:
            gradient = gradient * ctx.scales[:, None, None, None]
        return gradient / norm, None, None
