"""Objectives of Lucid's and Lucent's notebooks: the number of the step, Lucid's axis order, and names of Lucent's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from converters import LayerNotFoundError
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.nets_factory import get_model
from lucid_port.optvis import objectives, param, render


@pytest.fixture(scope="module")
def tiny():
    return get_model("TinyInceptionV1")


def image(batch=1, channels=3):
    return lambda: param.image(20, 24, batch=batch, channels=channels)


@pytest.mark.parametrize("wrap", [lambda f: f, objectives.handle_batch(1), render.nhwc])
@pytest.mark.parametrize("read", [lambda T: T("global_step"), lambda T: T.steps, lambda T: T.raw("global_step")])
def test_an_objective_reads_the_number_of_the_step(tiny, wrap, read):
    seen = []

    def objective(T):
        seen.append(read(T))
        return T("mixed3a").mean() * read(T)

    T = render.make_vis_T(tiny, wrap(objective), image(batch=2), transforms=[])
    for step in range(3):
        seen.clear()
        T.value_and_gradients()
        assert set(seen) == {step}
        T.steps += 1
    assert T("global_step") == 3


def test_render_many_counts_its_steps(tiny):
    seen = []

    @objectives.wrap_objective
    def late(layer):
        def inner(T):
            seen.append(T("global_step"))
            return T(layer).mean()

        return inner

    render.render_many(tiny, [late("mixed3a"), late("mixed3b")], size=24, steps=2)
    assert set(seen) == {0, 1}


def test_a_function_of_a_notebook_reads_channels_last(tiny):
    """`[..., 3:4]` are channels: without `nhwc`, it would select pixels and not fail."""
    shapes = {}

    def alpha(T):
        for name in ("input", "mixed3a", "softmax2_pre_activation"):
            shapes[name] = tuple(T(name).shape)
        return T("input")[..., 2:3].mean()

    T = render.make_vis_T(tiny, render.nhwc(alpha), lambda: param.image(96, 96, batch=2), transforms=[])
    assert float(T("loss")) == pytest.approx(float(T("input")[:, 2].mean()))
    assert shapes == {
        "input": (2, 96, 96, 3),
        "mixed3a": (2, 12, 12, 64),
        "softmax2_pre_activation": (2, 1, 1, tiny.network.layers["softmax2"].channels),
    }


def test_nhwc_of_an_own_objective_reads_as_require_format_does(tiny):
    def corner(layer):
        return lambda T: T(layer)[:, 0, -1, 5].sum()

    lucid = objectives.wrap_objective(require_format="NHWC")(corner)("mixed3a")
    wrapped = render.nhwc(objectives.handle_batch(None)(corner("mixed3a")))
    assert objectives.nhwc is render.nhwc
    T = render.make_vis_T(tiny, wrapped, image(batch=2), transforms=[])
    values = T.evaluate([lucid, wrapped, lambda T: T("mixed3a")[:, 5, 0, -1].sum()])
    assert values[0] == values[1] == values[2]


@pytest.mark.parametrize("made", [objectives.channel("mixed3a", 1), objectives.channel("mixed3a", 1) + 1])
def test_nhwc_refuses_objectives_that_have_their_own_order(made):
    with pytest.raises(ValueError, match="its own axis order"):
        render.nhwc(made)
    with pytest.raises(TypeError, match="An objective is"):
        render.nhwc(5)


def test_lucents_name_of_the_logits_suggests_the_models_own(tiny):
    with pytest.raises(LayerNotFoundError, match=r"'softmax2_pre_activation:3' or 'class:3'"):
        render.render_vis(tiny, "labels:3", thresholds=(1,), verbose=False)


def test_lucents_name_of_a_layer_suggests_the_same_layer():
    model = vision_models.InceptionV1_seeded()
    with pytest.raises(LayerNotFoundError, match=r"Did you mean mixed4a_1x1_pre_relu,"):
        model.activations(torch.zeros(1, 3, 32, 32), "mixed4a_1x1_pre_relu_conv")


def test_signs_are_those_that_the_page_about_lucent_states():
    """By hand, for activations 0, 1 and 3: Lucent adds the distances to a loss, Lucid subtracts them from a gain."""
    T = {"a": torch.tensor([0.0, 1.0, 3.0]).reshape(3, 1, 1, 1)}.get
    assert float(objectives.alignment("a")(T)) == pytest.approx(-((1 + 4) / 2 + 9 / 4))
    assert float(objectives.diversity("a")(T)) > 0
    text = Path(__file__).parents[2].joinpath("docs", "from_lucent.md").read_text(encoding="utf-8")
    assert "`alignment` has a positive weight in both, `diversity` and `blur_input_each_step` a negative one" in text
