"""Renders compute in their stated precision, whatever contexts and settings surround them."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import param, render
from lucid_port.optvis.render_many import render_many
from lucid_port.recipes.inputs import activations_of


@contextlib.contextmanager
def set_to(read, write, value):
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


CONTEXTS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "matmul precision": lambda: set_to(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "deterministic": lambda: set_to(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
}


def pictures(model, options):
    one = render.render_vis(model, "mixed4a:8", lambda: param.image(32), thresholds=(2,), verbose=False, **options)
    many = render_many(model, "mixed4a:8,9", size=32, steps=3, verbose=False, **options)
    return [one[0][0], *(each.image for each in many)]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_pictures_are_bit_identical(context, precision):
    model = TinyInceptionV1()
    expected = pictures(model, {"precision": precision})
    with CONTEXTS[context]():
        found = pictures(model, {"precision": precision})
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_recipes_are_bit_identical_under_autocast():
    model, picture = TinyInceptionV1(), np.random.RandomState(0).uniform(size=(32, 40, 3)).astype(np.float32)
    expected = activations_of(model, picture, ["mixed4a"])["mixed4a"]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.is_autocast_enabled("cpu")
        found = activations_of(model, picture, ["mixed4a"])["mixed4a"]
        assert torch.is_autocast_enabled("cpu")
    np.testing.assert_array_equal(found, expected)
