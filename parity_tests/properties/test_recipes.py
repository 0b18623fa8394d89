"""What a recipe names survives JSON: equal plain data, and an object that computes equal values."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lucid_port.optvis import objectives, param, recipe, transform
from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.sampling import RandomSource
from lucid_port.optvis.serialization import from_data, to_data
from parity_tests.optvis.tiny import TinyModel
from parity_tests.properties.conftest import few
from parity_tests.properties.registries import LEAST_SIDE, OBJECTIVES, PARAMS, TRANSFORMS, layers

# Optimizers that take no plain step: with a closure, with sparse gradients, or for matrices only.
UNUSUAL = {"LBFGS", "Muon", "SparseAdam"}


def through_json(made):
    """The object after a round trip; its plain data are equal."""
    data = json.loads(json.dumps(to_data(made), allow_nan=False))
    again = from_data(data)
    assert json.loads(json.dumps(to_data(again))) == data
    return again


@pytest.mark.parametrize("name", OBJECTIVES)
@given(data=st.data(), T=layers(least=2))
def test_objectives(name, data, T):
    objective = data.draw(OBJECTIVES[name])
    if name in ("each_channel", "each_for_itself"):  # of two images
        T = {key: value if key == "labels" else value[:2] for key, value in T.items()}
    again = through_json(objective)
    assert again.name == objective.name
    wanted = objective(T.get)
    assert torch.isfinite(wanted).all()
    assert torch.equal(again(T.get), wanted)


@pytest.mark.parametrize("name", PARAMS)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_parameterizations(name, data, seed):
    made = data.draw(PARAMS[name]).param
    again = through_json(made)
    values = [one.reset(RandomSource(seed))() for one in (made, again)]
    assert torch.equal(*values)


@pytest.mark.parametrize("name", TRANSFORMS)
@given(data=st.data(), seed=st.integers(0, 99), height=st.integers(LEAST_SIDE, 13), width=st.integers(LEAST_SIDE, 13))
def test_transforms(name, data, seed, height, width):
    made = data.draw(TRANSFORMS[name])
    again = through_json(made)
    image = torch.rand(2, 4, height, width, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(made(image, RandomSource(seed)), again(image, RandomSource(seed)))


def steps(optimizer, parameter):
    for number in (1.0, -0.5):
        parameter.grad = number * torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape)
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("name", sorted(set(recipe._optimizers()) - UNUSUAL - {"Optimizer"}))
@given(rate=st.floats(1e-4, 0.5), decay=st.sampled_from((0.0, 0.01)))
def test_optimizers(name, rate, decay):
    kind = recipe._optimizers()[name]
    takes = inspect.signature(kind).parameters
    options = {key: value for key, value in {"lr": rate, "weight_decay": decay}.items() if key in takes}
    results = []
    parameter = torch.nn.Parameter(torch.ones(3, 4))
    optimizer = kind([parameter], **options)
    data = json.loads(json.dumps(recipe._optimizer_data(optimizer), allow_nan=False))
    results.append(steps(optimizer, parameter))
    parameter = torch.nn.Parameter(torch.ones(3, 4))
    again = recipe.make_optimizer(data)([parameter])
    assert type(again) is kind
    assert json.loads(json.dumps(recipe._optimizer_data(again))) == data
    results.append(steps(again, parameter))
    assert torch.equal(*results)


@st.composite
def renders(draw):
    """Whole renders of the tiny network, by the names of their options."""
    alpha = draw(st.booleans())
    first = draw(st.lists(TRANSFORMS["pad"] | TRANSFORMS["random_rotate"], max_size=2))
    transforms = [transform.collapse_alpha_random()] * alpha + first + [transform.jitter(draw(st.integers(0, 4)))]
    batch, width = draw(st.integers(1, 3)), draw(st.integers(8, 13))
    fft, height = draw(st.booleans()), draw(st.integers(8, 13))
    weight = draw(st.floats(0.1, 2))
    rate = draw(st.floats(0.001, 0.2))
    return {
        "objective_f": objectives.channel("mixed", draw(st.integers(0, 8))) - weight * objectives.L2("conva"),
        "param_f": lambda: param.image(width, height, batch, fft=fft, alpha=alpha),
        "optimizer": draw(st.sampled_from((None, lambda p: TFAdam(p, rate), lambda p: torch.optim.SGD(p, rate)))),
        "transforms": draw(st.none() | st.just(transforms)) if not alpha else transforms,
        "relu_gradient_override": draw(st.sampled_from((True, False, "always"))),
        "seed": draw(st.integers(0, 99).map(RandomSource)),
    }


@few()
@given(options=renders(), count=st.integers(1, 3), data=st.data())
def test_recipes_of_renders(options, count, data):
    model = TinyModel()
    vis = VisT(model, **options)
    picture = data.draw(st.integers(0, vis.param.shape[0] - 1))
    loop.run(vis, [count])
    made = Recipe.of(vis, picture=picture, value=float(vis.losses[-1]))
    assert not made.own_code
    again = Recipe.from_data(json.loads(json.dumps(made.to_data(), allow_nan=False)))
    assert again == made
    assert math.isfinite(again.value)
    np.testing.assert_array_equal(again.render(model), vis.image()[picture])


def test_the_profile_repeats_its_examples():
    assert settings().derandomize or settings.get_current_profile_name() == "long"
    assert settings().deadline is None
