"""Parameterizations against the real Lucid: image and gradient, given TensorFlow's variables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.optvis import param
from lucid_port.optvis.param import base, color, interpolation, unit_balls
from lucid_port.optvis.sampling import RandomSource
from parity_tests.optvis.cases import (
    assert_matches,
    cases,
    draws,
    nchw,
    nhwc,
    pattern,
    reference,
    seeded,
)

FUNCTIONS = (
    "to_valid_rgb",
    "resize_bilinear_nd",
    "constrain_L2",
    "constrain_L_inf",
    "constrain_L_inf_precondition",
    "bilinearly_sampled_image",
)
SPECIAL = ("cppn", "image_sample", "multi_interpolation_basis")


def _pairs(parameters, arrays, to_ours):
    """The port's parameters beside Lucid's variables and their gradients, in the same layout."""
    for number, parameter in enumerate(parameters):
        value, gradient = (arrays[f"{key}{number:02d}"] for key in ("variable", "gradient"))
        yield parameter, to_ours(value, parameter), to_ours(gradient, parameter)


def _check(made, parameters, arrays, to_ours):
    made.reset(RandomSource())
    pairs = list(_pairs(parameters, arrays, to_ours))
    assert len(pairs) == sum(key.startswith("variable") for key in arrays)
    with torch.no_grad():
        for parameter, value, _ in pairs:
            assert parameter.shape == value.shape
            parameter.copy_(value)
    image = made()
    assert_matches(nhwc(image), arrays["output"], "output")
    incoming = base.channels_first(torch.from_numpy(pattern(arrays["output"].shape)))
    gradients = torch.autograd.grad(image, [p for p, _, _ in pairs], incoming)
    largest = max(float(theirs.abs().max()) for _, _, theirs in pairs)
    for ours, (_, _, theirs) in zip(gradients, pairs, strict=True):
        # Before an instance norm a bias has no effect: its gradient is rounding noise.
        is_noise = float(theirs.abs().max()) < 1e-5 * largest
        assert_matches(ours.numpy(), theirs.numpy(), "gradient", scale=largest if is_noise else None)


def _to_ours(array, parameter):
    """Spectra keep their layout; anything else moves its channels first."""
    tensor = torch.from_numpy(array)
    is_spectrum = array.ndim == 5 and array.shape[0] == 2
    return tensor if is_spectrum else base.channels_first(tensor)


@pytest.mark.parametrize("case", cases("params", exclude=FUNCTIONS + SPECIAL))
def test_parameterization(case):
    made = getattr(param, case["factory"])(**case["kwargs"])
    arrays = reference("params", case)
    _check(made, [p for leaf in made.leaves() for p in leaf.parameters()], arrays, _to_ours)


@pytest.mark.parametrize("case", cases("params", "cppn"))
def test_cppn(case):
    made = param.cppn(**case["kwargs"])
    parameters = []
    for layer in [*made.hidden, made.last]:
        parameters += [layer.weight, layer.bias]
        if layer.gamma is not None:
            parameters += [layer.beta, layer.gamma]  # slim makes the offset first

    def to_ours(array, parameter):
        tensor = torch.from_numpy(array)
        return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor

    _check(made, parameters, reference("params", case), to_ours)


@pytest.mark.parametrize("case", cases("params", "multi_interpolation_basis"))
def test_lucids_interpolation_basis(case, monkeypatch):
    made_parts = []
    original = interpolation.lowres_tensor

    def recording(*args, **kwargs):
        made_parts.append(original(*args, **kwargs))
        return made_parts[-1]

    monkeypatch.setattr(interpolation, "lowres_tensor", recording)
    made = param.multi_interpolation_basis(**case["kwargs"], symmetric=False)
    _check(made, [p.underlying for p in made_parts], reference("params", case), _to_ours)


@pytest.mark.parametrize("case", cases("params", "image_sample"))
def test_image_sample(case):
    arrays = reference("params", case)
    made = param.image_sample(**case["kwargs"])
    made.reset(RandomSource(replay=draws(arrays)))
    assert_matches(nhwc(made()), arrays["output"])


def _check_function(function, case):
    arrays = reference("params", case)
    value = base.channels_first(torch.from_numpy(seeded(case["seed"], case["shape"], case["kind"]))).requires_grad_()
    output = function(value)
    incoming = base.channels_first(torch.from_numpy(pattern(arrays["output"].shape)))
    (gradient,) = torch.autograd.grad(output, value, incoming)
    assert_matches(nhwc(output), arrays["output"], "output")
    assert_matches(nhwc(gradient), arrays["gradient"], "gradient")


@pytest.mark.parametrize("case", cases("params", "to_valid_rgb"))
def test_to_valid_rgb(case):
    _check_function(lambda t: color.to_valid_rgb_tensor(t, **case["kwargs"]), case)


@pytest.mark.parametrize("case", cases("params", "resize_bilinear_nd"))
def test_resize_bilinear_nd(case):
    target = case["kwargs"]["target_shape"]
    _check_function(
        lambda t: base.channels_first(param.resize_bilinear_nd(base.channels_last(t), target)),
        case,
    )


@pytest.mark.parametrize("case", cases("params", "constrain_L2", "constrain_L_inf", "constrain_L_inf_precondition"))
def test_unit_balls(case):
    _check_function(getattr(unit_balls, case["factory"]), case)


@pytest.mark.parametrize("case", cases("params", "bilinearly_sampled_image"))
def test_bilinearly_sampled_image(case):
    arrays = reference("params", case)
    uv = seeded(case["kwargs"]["uv_seed"], case["kwargs"]["uv_shape"], "normal")
    texture = torch.from_numpy(seeded(case["seed"], case["shape"], case["kind"])).requires_grad_()
    output = param.bilinearly_sampled_image(texture, uv)
    (gradient,) = torch.autograd.grad(output, texture, torch.from_numpy(pattern(output.shape)))
    assert_matches(output.detach().numpy(), arrays["output"], "output")
    assert_matches(gradient.numpy(), arrays["gradient"], "gradient")


def test_symmetric_interpolation_basis_keeps_its_promises():
    images = param.multi_interpolation_basis(3, 5, 16, channels=4).nhwc().detach()
    for a in range(3):
        assert torch.equal(images[a, a], images[a, a, :1].expand_as(images[a, a]))
        for b in range(3):
            assert torch.equal(images[a, b], images[b, a].flip(0))
            np.testing.assert_allclose(images[a, b, 0], images[a, a, 0], atol=1e-7)
    assert nchw(np.zeros((1, 2, 3, 4), np.float32)).shape == (1, 4, 2, 3)
