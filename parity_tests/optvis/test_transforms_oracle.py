"""Transforms against the real Lucid: output and gradient, given TensorFlow's own draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.optvis import transform
from lucid_port.optvis.resampling import rotate_nearest
from lucid_port.optvis.sampling import RandomSource
from parity_tests.optvis.cases import (
    arguments,
    assert_matches,
    cases,
    draws,
    nchw,
    nhwc,
    pattern,
    reference,
    seeded,
)

# A nearest neighbour may fall on the other side where a coordinate is a tie in float32.
TIES = 1e-4


def _run(made, case, source):
    image = nchw(seeded(case["seed"], case["shape"])).requires_grad_()
    output = made(image, source)
    (gradient,) = torch.autograd.grad(output, image, nchw(pattern(nhwc(output).shape)))
    return nhwc(output), nhwc(gradient)


@pytest.mark.parametrize("case", cases("transforms", exclude=("standard", "rotation_table", "random_rotate")))
def test_transform(case):
    arrays = reference("transforms", case)
    made = getattr(transform, case["factory"])(**arguments(case["kwargs"]))
    output, gradient = _run(made, case, RandomSource(replay=draws(arrays)))
    assert_matches(output, arrays["output"], "output")
    assert_matches(gradient, arrays["gradient"], "gradient")


@pytest.mark.parametrize("case", cases("transforms", "random_rotate"))
def test_rotation(case):
    arrays = reference("transforms", case)
    made = transform.random_rotate(**case["kwargs"])
    output, gradient = _run(made, case, RandomSource(replay=draws(arrays)))
    # On images this small not one pixel may fall otherwise.
    assert_matches(output, arrays["output"], "output", bound=0)
    assert_matches(gradient, arrays["gradient"], "gradient", bound=0)


@pytest.mark.parametrize("case", cases("transforms", "rotation_table"))
def test_rotation_moves_the_same_pixels(case):
    """Each pixel of a 131 x 140 image carries its own number."""
    arrays = reference("transforms", case)
    height, width = case["shape"]
    index = torch.arange(1, height * width + 1, dtype=torch.float32).reshape(1, 1, height, width)
    index.requires_grad_()
    angle = float(np.float32(3.14) * np.float32(case["kwargs"]["degrees"]) / np.float32(180))
    output = rotate_nearest(index, angle)
    (gradient,) = torch.autograd.grad(output, index, index.detach())
    for ours, key in ((output, "output"), (gradient, "gradient")):
        differing = (ours.detach().numpy()[0, 0] != arrays[key]).mean()
        assert differing <= TIES, f"{key}: {differing:.1e} of the pixels differ"


@pytest.mark.parametrize("case", cases("transforms", "standard"))
def test_standard_transforms(case):
    arrays = reference("transforms", case)
    source = RandomSource(replay=draws(arrays))
    output, gradient = _run(transform.compose(transform.standard_transforms), case, source)
    assert output.shape == tuple(arrays["output_shape"])
    for ours, key in ((output, "output"), (gradient, "gradient")):
        theirs = arrays[key]
        wrong = np.abs(ours[:, ::3, ::3] - theirs) > 1e-5 * np.abs(theirs).max()
        assert wrong.mean() <= TIES, f"{key}: {wrong.mean():.1e} of the values differ"
