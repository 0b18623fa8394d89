"""Functions of `converters.functional` by themselves, against numbers computed by hand or torch's own gradients."""

from __future__ import annotations

import pytest
import torch

from converters import functional
from converters.errors import InputSizeError


def test_SAME_padding_is_that_of_each_axis():
    """5 rows: 3 windows of 3 in steps of 2 cover 7, so 1 + 1. 8 columns: 4 windows cover 9, so 0 + 1."""
    assert functional.spatial_padding((5, 8), (3, 3), (2, 2), (1, 1), "SAME") == (1, 1, 0, 1)


def test_a_transposed_convolution_is_the_gradient_of_the_convolution_with_the_same_defaults():
    x = torch.randn(2, 3, 6, 5, requires_grad=True)
    weight, seen = torch.randn(4, 3, 2, 3), torch.randn(2, 4, 6, 5)
    (expected,) = torch.autograd.grad(functional.conv2d(x, weight), x, seen)
    torch.testing.assert_close(functional.conv2d_transpose(seen, weight, (6, 5)), expected)


def test_values_of_other_ranks_are_not_joined():
    with pytest.raises(InputSizeError, match=r"joins values of sizes \[\[2, 3\], \[2, 3, 4\]\]"):
        functional.check_joins([torch.zeros(2, 3), torch.zeros(2, 3, 4)], -1)
