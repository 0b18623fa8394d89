"""Gradients with respect to weights, which training needs and renders do not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from converters.functional import conv2d


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 0)])
@pytest.mark.parametrize("stride", [(2, 2), (3, 1)])
@pytest.mark.parametrize("channels", [4, 12, 13, 15, 16, 17])
def test_pointwise_convolution_with_a_stride(channels, stride, padding):
    """With fewer than 16 channels, oneDNN's own gradient ends the process."""
    torch.manual_seed(channels)
    x = torch.randn(2, channels, 64, 80).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    weight, bias = torch.randn(channels, channels, 1, 1, requires_grad=True), torch.randn(channels, requires_grad=True)
    inputs = (x, weight, bias)
    exact = [value.detach().double().requires_grad_(True) for value in inputs]
    top, bottom, left, right = padding
    wanted = F.conv2d(F.pad(exact[0], (left, right, top, bottom)), exact[1], exact[2], stride)
    found = conv2d(x, weight, stride, padding, bias=bias)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-6 * wanted.abs().max().item())
    wanted_gradients = torch.autograd.grad(wanted.square().sum(), exact)
    for value, gradient in zip(torch.autograd.grad(found.square().sum(), inputs), wanted_gradients, strict=True):
        # Sums of up to 15,000 float32 numbers: the worst measured error is 2.0e-6 of the maximum.
        torch.testing.assert_close(value.double(), gradient, rtol=0, atol=1e-5 * gradient.abs().max().item())
