"""Gradient overrides, optimiser and style losses against the real ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lucid_port.optvis import overrides, style
from lucid_port.optvis.optimizer import TFAdam
from parity_tests.optvis.cases import (
    assert_matches,
    cases,
    nchw,
    nhwc,
    pattern,
    reference,
    seeded,
)


@pytest.mark.parametrize("case", cases("overrides", "Relu", "Relu6"))
def test_redirected_relu(case):
    arrays = reference("overrides", case)
    value = nchw(arrays["input"]).requires_grad_()
    with overrides.redirection(case["kwargs"]["step"]):
        output = {"Relu": F.relu, "Relu6": F.relu6}[case["factory"]](value)
    (gradient,) = torch.autograd.grad(output, value, nchw(pattern(arrays["output"].shape)))
    assert np.array_equal(nhwc(output), arrays["output"])
    assert np.array_equal(nhwc(gradient), arrays["gradient"])


def _same_padding(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("case", cases("overrides", "MaxPool"))
def test_smoothed_max_pool(case):
    arrays, kwargs = reference("overrides", case), case["kwargs"]
    value = nchw(seeded(case["seed"], case["shape"], "normal")).requires_grad_()
    padded = value
    if kwargs["padding"] == "SAME":
        rows, columns = (_same_padding(size, kwargs["ksize"], kwargs["stride"]) for size in value.shape[2:])
        padded = F.pad(value, (*columns, *rows), value=float("-inf"))
    gradient_function = overrides.make_smoothed_maxpool_grad(kwargs["smooth_type"])
    with overrides.gradient_override_map({"MaxPool": gradient_function}):
        output = F.max_pool2d(padded, kwargs["ksize"], kwargs["stride"])
    (gradient,) = torch.autograd.grad(output, value, nchw(pattern(arrays["output"].shape)))
    assert_matches(nhwc(output), arrays["output"], "output")
    assert_matches(nhwc(gradient), arrays["gradient"], "gradient")


# The share of the learning rate by which one update may differ, beside one unit in the last
# place: TensorFlow's own kernel rounds in another order.
UPDATE = 2e-6


@pytest.mark.parametrize("case", cases("optimizer"))
def test_adam(case):
    """600 updates under given gradients between 1e-9 and 10."""
    arrays = reference("optimizer", case)
    (count,) = case["shape"]
    parameter = torch.nn.Parameter(torch.from_numpy(seeded(case["seed"], (count,), "normal")))
    optimizer = TFAdam([parameter], lr=case["kwargs"]["lr"])
    for step in range(1, max(case["steps"]) + 1):
        gradient = seeded(case["seed"] + step, (count,), "normal") * arrays["scales"]
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        if step in case["steps"]:
            at = case["steps"].index(step)
            ours, theirs = parameter.detach().numpy(), arrays["values"][at]
            # Differences of single updates may add up over the steps, at worst.
            allowed = step * (UPDATE * case["kwargs"]["lr"] + np.spacing(np.abs(theirs)))
            assert (np.abs(ours - theirs) <= allowed).all(), f"step {step}"
            state = optimizer.state[parameter]
            assert_matches(state["exp_avg"].numpy(), arrays["m"][at], f"m at {step}")
            assert_matches(state["exp_avg_sq"].numpy(), arrays["v"][at], f"v at {step}")


def test_adam_is_not_torchs():
    """With tiny gradients the place of epsilon decides: torch's own Adam fails the bound."""
    steps = []
    for kind in (TFAdam, torch.optim.Adam):
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimizer = kind([parameter], lr=0.05)
        parameter.grad = torch.full((1,), 1e-8)
        optimizer.step()
        steps.append(-parameter.item())
    assert steps[0] == pytest.approx(0.05 / (1 + 1e-8 / (1e-8 * 0.001**0.5)), rel=1e-4)
    assert steps[1] == pytest.approx(0.025, rel=1e-3)


@pytest.mark.parametrize("case", cases("style"))
def test_style_loss(case):
    arrays = reference("style", case)
    names = [f"layer{i}" for i in range(len(case["shapes"]))]
    loss = style.StyleLoss(names, **case["kwargs"], loss_func=getattr(style, case["factory"]))
    loss.set_style(
        {n: nchw(seeded(1750 + i, s, "normal")) for i, (n, s) in enumerate(zip(names, case["shapes"], strict=True))}
    )
    for step in range(3):
        values = {
            n: nchw(seeded(1800 + 10 * step + i, s, "normal")).requires_grad_()
            for i, (n, s) in enumerate(zip(names, case["shapes"], strict=True))
        }
        value = loss(values.__getitem__)
        assert_matches(value.detach().numpy(), arrays[f"output{step}"], "loss")
        gradients = torch.autograd.grad(value, list(values.values()))
        for i, gradient in enumerate(gradients):
            assert_matches(nhwc(gradient), arrays[f"gradient{step}_{i}"], "gradient")
