"""Objectives against the real Lucid: value, gradient, name and description."""

from __future__ import annotations

import pytest
import torch

from lucid_port.optvis import objectives

# The recorded cases of algebra are expressions of these names, which `_build` evaluates.
from lucid_port.optvis.objectives import (  # noqa: F401 - read by the algebra cases
    L1,
    Objective,
    as_objective,
    channel,
    total_variation,
)
from parity_tests.optvis.cases import (
    arguments,
    assert_matches,
    cases,
    nchw,
    nhwc,
    reference,
    seeded,
)

LABELS = ["dummy", "cat", "dog", "kite"]


def _build(case):
    factory = case["factory"]
    if hasattr(objectives, factory):
        return getattr(objectives, factory)(**arguments(case["kwargs"]))
    return eval(factory)  # an expression of objectives, written by the reference script


@pytest.mark.parametrize("case", cases("objectives"))
def test_objective(case):
    arrays = reference("objectives", case)
    layers = {
        name: nchw(seeded(case["seed"] + number, *case["layers"][name])).requires_grad_()
        for number, name in enumerate(sorted(case["layers"]))
    }
    objective = _build(case)
    value = objective(lambda name: LABELS if name == "labels" else layers[name])
    assert_matches(value.detach().numpy(), arrays["output"], "value")
    for key, theirs in arrays.items():
        if key.startswith("gradient:"):
            (ours,) = torch.autograd.grad(value.sum(), layers[key[9:]], retain_graph=True)
            assert_matches(nhwc(ours), theirs, key)


@pytest.mark.parametrize("case", cases("objectives"))
def test_name_and_description(case):
    objective = _build(case)
    assert objective.name == case["objective_name"]
    if "[[" not in objective.description and "array" not in str(case["kwargs"]):
        assert objective.description == case["description"]
