"""Layers and their functions by themselves, against numbers computed by hand and torch's own layers and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from converters import functional, layers
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


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"),
    [((3, 3), (1, 1), (2, 2), "SAME"), ((1, 5), (1, 1), (1, 3), "SAME"), ((2, 3), (2, 1), (1, 2), (1, 1, 2, 2))],
)
def test_torch_computes_the_convolution_from_the_layers_attributes(kernel, stride, dilation, padding):
    layer = layers.Conv2d(3, 4, kernel, stride, padding, dilation)
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(2, 3, 9, 12)
    expected = F.conv2d(x, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
def test_a_layer_has_the_attributes_of_torchs(name):
    def attributes(layer: torch.nn.Module) -> dict[str, object]:
        return {key: value for key, value in vars(layer).items() if not key.startswith("_") and key != "padding"}

    size = [(-1, 9, 12)] if name == "ConvTranspose2d" else []
    ours, torchs = getattr(layers, name), getattr(torch.nn, name)
    for given in ({}, {"stride": (2, 1), "dilation": (1, 2)}):
        expected = attributes(torchs(3, 4, (2, 3), bias=False, **given))
        assert expected.items() <= attributes(ours(3, 4, (2, 3), *size, **given)).items()


@pytest.mark.parametrize(("kernel", "stride"), [((2, 3), (1, 1)), ((3, 3), (1, 2)), ((3, 2), (2, 1))])
def test_even_windows_and_steps_have_no_padding_of_torch(kernel, stride):
    """SAME pads more at the end for even windows, and by the size of the image for steps."""
    assert functional.torch_padding(kernel, stride, (1, 1), "SAME") == "SAME"
