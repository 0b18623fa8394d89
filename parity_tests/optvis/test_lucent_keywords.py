"""Each keyword of Lucent 0.1.8's functions is taken, or answered with its equivalent here."""

from __future__ import annotations

import inspect

import pytest

from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import objectives, param, render

SAME = ("model", "objective_f", "param_f", "optimizer", "transforms", "thresholds", "verbose")
INSTEAD = {
    "preprocess": "image_value_range of modelzoo.from_torch",
    "progress": "verbose=False",
    "show_image": "verbose=True",
    "save_image": "save(path)",
    "image_name": "save(path)",
    "show_inline": "verbose=True",
    "fixed_image_size": "torch.nn.functional.interpolate",
}
"""Keywords of Lucent's render_vis that this one does not have -> words of the answer."""


def test_the_others_have_the_same_names():
    assert set(SAME) <= set(inspect.signature(render.render_vis).parameters)


@pytest.mark.parametrize("keyword", INSTEAD)
def test_a_keyword_of_lucents_render_vis_is_answered_with_what_to_write(keyword):
    with pytest.raises(TypeError, match=rf"^render_vis has no argument '{keyword}': .*\.$") as caught:
        render.render_vis(TinyInceptionV1(), "mixed4a:3", **{keyword: True})
    assert INSTEAD[keyword] in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: objectives.direction("mixed4a", direction=[1.0]), "direction has no argument 'direction': vec"),
        (lambda: objectives.direction_neuron("mixed4a", direction=[1.0]), "no argument 'direction': vec"),
        (lambda: objectives.neuron(layer="mixed4a", n_channel=3), "no argument 'layer'. Did you mean layer_name?"),
        (lambda: objectives.neuron("mixed4a", n_channel=3), "no argument 'n_channel'. Did you mean channel_n"),
        (lambda: param.cppn(size=16), "cppn has no argument 'size': width"),
        (lambda: param.cppn(16, activation_fn="relu"), "Did you mean activation_func?"),
    ],
)
def test_other_names_of_lucent_are_answered_with_the_name_here(call, words):
    with pytest.raises(TypeError) as caught:
        call()
    assert words in str(caught.value)
