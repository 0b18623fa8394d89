"""Lucid's names of InceptionV1's layers in networks of other trainings."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from converters.frozen.graph import Output
from converters.network.model import ConvertedModel
from converters.program.lucid_names import lucid_names
from lucid_port.modelzoo.nets_factory import get_model
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import render


@pytest.fixture(scope="module")
def tiny():
    return get_model("TinyInceptionV1")


@pytest.fixture(scope="module")
def renamed(tiny):
    """TinyInceptionV1 with other names of its layers, and Lucid's name -> the other name."""
    program = tiny.network.program
    own = {step.name: f"layer/{number}" for number, step in enumerate(program.steps)}
    for name in list(own):
        if name.endswith("_pre_relu") and name.removesuffix("_pre_relu") in own and name.startswith("mixed"):
            is_join = name.removesuffix("_pre_relu")[5:] in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
            own[name] = f"{own[name.removesuffix('_pre_relu')]}_pre_relu" if is_join else own[name]

    def moved(source):
        return Output(own.get(source.node, source.node), source.index)

    steps = tuple(
        replace(step, name=own[step.name], inputs=tuple(moved(source) for source in step.inputs))
        for step in program.steps
    )
    outputs = tuple(str(moved(Output.parse(name))) for name in program.outputs)
    network = ConvertedModel(replace(program, steps=steps, outputs=outputs), tiny.network.state_dict())
    model = Model(
        network=network,
        image_shape=tiny.image_shape,
        image_value_range=tiny.image_value_range,
        is_BGR=tiny.is_BGR,
        labels=tiny.labels,
    )
    return model, own


@pytest.mark.parametrize("name", ["InceptionV1_seeded", "TinyInceptionV1"])
def test_lucids_own_networks_have_lucids_names(name):
    names = lucid_names(get_model(name).network.program)
    assert len(names) == 134
    assert all(lucid == own for lucid, own in names.items())


def test_names_follow_from_the_topology(renamed):
    model, own = renamed
    names = lucid_names(model.network.program)
    assert len(names) == 134
    assert names == {lucid: own[lucid] for lucid in names}


def test_values_are_those_of_the_named_layers(tiny, renamed):
    model, _ = renamed
    image = torch.rand(2, 3, 75, 91, generator=torch.Generator().manual_seed(0))
    asked = ["mixed4a_pre_relu", "mixed4b_3x3_bottleneck", "conv2d2"]
    with pytest.warns(UserWarning, match="Layer 'mixed4a_pre_relu' of Lucid's InceptionV1 is 'layer/"):
        found = model.activations(image, asked)
    expected = tiny.activations(image, asked)
    for name in asked:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)


def test_there_is_one_warning_for_each_network(renamed):
    model, _ = renamed
    layers = ConvertedModel(model.network.program, model.network.state_dict()).layers
    with pytest.warns(UserWarning, match="trained separately"):
        assert layers["mixed4a"].channels == 127
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert layers["mixed4b_pre_relu"].channels
    assert not any(name.startswith("mixed") for name in layers)


@pytest.mark.filterwarnings("ignore:Layer 'mixed4a")
def test_a_render_takes_lucids_names(tiny, renamed):
    model, own = renamed
    made = render.render_many(model, "mixed4a:3", size=32, steps=2, verbose=False)
    alone = render.render_many(tiny, "mixed4a:3", size=32, steps=2, verbose=False)
    assert made[0].name == f"{own['mixed4a']}:3"
    np.testing.assert_array_equal(made[0].image, alone[0].image)


def test_other_networks_have_no_such_names(tiny):
    program = tiny.network.program
    before = next(number for number, step in enumerate(program.steps) if step.name == "mixed4a")
    part = replace(program, steps=program.steps[: before + 1], outputs=("mixed4a",))
    assert lucid_names(part) == {}
