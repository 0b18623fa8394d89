"""Objectives that are constant behind a LayerNorm or a softmax are said to have no gradient."""

from __future__ import annotations

import warnings

import pytest
import torch

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import objectives, render
from parity_tests.optvis.layouts import FEATURES, chain, images

# LayerNorm --------------------------------------------------------------------------------------


def warned(objective):
    """The warnings of 16 updates."""
    vis = render.make_vis_T(chain(), objective, lambda: images(1).requires_grad_(), transforms=[])
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for _ in range(16):
            vis.step()
        vis.watch.check()
    return [str(one.message) for one in found]


@pytest.mark.parametrize(
    "objective",
    [
        lambda T: T("norm").mean(),
        lambda T: T("norm")[:, :, 3].sum(),
        objectives.direction("norm", [2.0] * FEATURES),
        objectives.deepdream("norm"),
        lambda T: (T("affine") / chain().network.affine.weight[:, None]).mean(),
    ],
)
def test_a_constant_behind_a_layer_norm_is_said_to_have_no_gradient(objective):
    (sentence,) = (one for one in warned(objective) if "gradient" in one)
    assert "the output of a LayerNorm" in sentence


@pytest.mark.parametrize(
    "objective",
    [
        "norm:2",
        objectives.neuron("norm", 2),
        objectives.direction("norm", [2.0] * 3 + [1.0] * (FEATURES - 3)),
        objectives.deepdream("affine"),
        lambda T: T("affine").mean(),
        lambda T: T("tokens").mean(),
    ],
)
def test_what_depends_on_the_image_behind_a_layer_norm_is_not_warned_about(objective):
    assert [one for one in warned(objective) if "gradient" in one] == []


def test_without_a_layer_norm_the_usual_advice_is_given():
    assert any("The unit may never fire" in one for one in warned(lambda T: T("tokens").clamp(min=9).mean()))


# Softmax ----------------------------------------------------------------------------------------


class Attention(torch.nn.Module):
    """Attention of two heads over 12 patches of 4 x 4 pixels, whose maps are values of the network."""

    def __init__(self, softmax=None):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 8, 4, 4)
        self.qkv = torch.nn.Linear(8, 24)
        self.softmax = softmax
        self.drop = torch.nn.Dropout(0.1)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).reshape(-1, 12, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind()
        scores = q @ k.transpose(-2, -1)
        map = self.softmax(scores) if self.softmax is not None else torch.nn.functional.softmax(scores, dim=-1)
        return self.drop(map) @ v


def attention_said(objective, softmax=None):
    torch.manual_seed(0)
    described = from_torch(Attention(softmax).eval(), (0, 1), image_shape=(12, 16, 3))
    vis = render.make_vis_T(described, objective, lambda: images(1)[..., :12, :16].requires_grad_(), transforms=[])
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for _ in range(16):
            vis.step()
        vis.watch.check()
    return [str(one.message) for one in found if "gradient" in str(one.message)]


@pytest.mark.parametrize(
    "objective",
    ["softmax:1", "drop:1", lambda T: T("softmax")[:, 0, 3].sum(), lambda T: T("softmax").mean()],
)
@pytest.mark.parametrize("softmax", [None, torch.nn.Softmax(-1)])
def test_a_sum_of_the_probabilities_of_a_softmax_is_said_to_have_no_gradient(objective, softmax):
    (sentence,) = attention_said(objective, softmax)
    assert "probabilities of a softmax" in sentence
    assert "objectives.neuron(layer, head, x=query, y=key)" in sentence


@pytest.mark.parametrize(
    "objective",
    [
        objectives.neuron("softmax", 1, x=2, y=5),
        objectives.neuron("drop", 1, x=2, y=5),
        lambda T: T("softmax")[:, :, :, 3].mean(),
        objectives.deepdream("softmax"),
        "matmul:1",
        "matmul_1:1",
    ],
)
def test_objectives_of_single_probabilities_and_of_scores_are_not_warned_about(objective):
    assert attention_said(objective) == []
