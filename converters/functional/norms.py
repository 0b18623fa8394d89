"""Local response normalization."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from converters.functional.windows import conv2d


def lrn_band(channels: int, depth_radius: int, alpha: float) -> Tensor:
    """The kernel of `local_response_norm`: (channels, channels, 1, 1), alpha for neighbors and zero elsewhere."""
    index = torch.arange(channels)
    near = (index[:, None] - index[None, :]).abs() <= depth_radius
    return (near * alpha).to(torch.float32)[:, :, None, None]


def _inverse_power(scale: Tensor, beta: float) -> Tensor:
    """scale ** -beta; computed with square roots for the usual values of beta."""
    if beta == 0.5:
        return scale.rsqrt()
    if beta == 0.75:
        root = scale.rsqrt()
        return root * root.sqrt()
    return scale.pow(-beta)


class _LocalResponseNorm(torch.autograd.Function):
    """LRN with an explicit backward pass, which reads memory half as often as autograd's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Tensor, bias: float, beta: float) -> Tensor:
        scale = conv2d(x * x, band).add_(bias)
        factor = _inverse_power(scale, beta)
        result = x * factor
        ctx.save_for_backward(x, band, scale, factor, result)
        ctx.bias, ctx.beta = bias, beta
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,), (x, band, scale, factor, result) = grads, ctx.saved_tensors
        if torch.is_grad_enabled():  # double backward: let autograd differentiate the parts
            parts = x * _inverse_power(conv2d(x * x, band) + ctx.bias, ctx.beta)
            return torch.autograd.grad(parts, x, grad, create_graph=True)[0], None, None, None
        shares = conv2d((grad * result).div_(scale), band)  # the band is symmetric
        return (grad * factor).addcmul_(x, shares, value=-2 * ctx.beta), None, None, None


def local_response_norm(x: Tensor, band: Tensor, bias: float, beta: float) -> Tensor:
    """TensorFlow's LRN: x / (bias + alpha * sum of squares over 2 * depth_radius + 1 channels) ** beta.

    torch's LRN, like Caffe's, divides alpha by the window's length, and runs a 3-D pool that costs as much as all
    convolutions of InceptionV1 together. Here the sum is a banded 1x1 convolution of the squares.

    Args:
        x: (N, C, H, W), float32.
        band: the result of `lrn_band`.
        bias, beta: TensorFlow's attributes.

    Returns:
        (N, C, H, W).
    """
    return _LocalResponseNorm.apply(x, band, bias, beta)
