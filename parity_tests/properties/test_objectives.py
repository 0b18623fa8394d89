"""Objectives: arithmetic is that of their values, and `batch` is one image alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lucid_port.optvis import objectives
from lucid_port.optvis.many.setup import each_for_itself
from lucid_port.optvis.objectives import Objective, handle_batch
from parity_tests.properties.registries import (
    CHANNELS,
    COLUMNS,
    CONV,
    OBJECTIVES,
    ROWS,
    arrays,
    layers,
    registered,
    units,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-12}  # of float64


@dataclass(frozen=True)
class ByHand:
    """An objective, and the same computed from activations with torch alone."""

    objective: Objective
    value: Callable[[dict], torch.Tensor]


@st.composite
def simple(draw) -> ByHand:
    """Objectives of one layer."""
    layer, number = draw(units())
    row, column = draw(ROWS), draw(COLUMNS)
    vector = draw(arrays((CONV[0],)))
    at = (CONV[1] // 2 if row is None else row, CONV[2] // 2 if column is None else column)
    direction = torch.from_numpy(vector).double()
    power = draw(st.sampled_from((1, 2)))
    return draw(
        st.sampled_from(
            (
                ByHand(objectives.channel(layer, number), lambda T: T[layer][:, number].mean()),
                ByHand(objectives.deepdream(layer), lambda T: T[layer].square().mean()),
                ByHand(objectives.L1(layer, 0.25), lambda T: (T[layer] - 0.25).abs().sum()),
                ByHand(objectives.L2(layer), lambda T: (T[layer].square().sum() + 1e-6).sqrt()),
                ByHand(objectives.neuron("conv", 2, row, column), lambda T: T["conv"][:, 2, at[0], at[1]].mean()),
                ByHand(
                    objectives.direction("conv", vector),
                    lambda T: torch.einsum("nchw,c->nhw", T["conv"], direction).mean(),
                ),
                ByHand(
                    objectives.class_logit("dense", number % CHANNELS["dense"]),
                    lambda T: T["dense"][:, number % CHANNELS["dense"]].sum(),
                ),
                ByHand(
                    objectives.class_probability("dense", number % CHANNELS["dense"]),
                    lambda T: torch.softmax(T["dense"], 1)[:, number % CHANNELS["dense"]].sum(),
                ),
                ByHand(Objective(lambda T: T("conv").amax() ** power), lambda T: T["conv"].amax() ** power),
            )
        )
    )


def _combined(children):
    numbers = st.floats(-3, 3).filter(lambda number: abs(number) > 0.1) | st.integers(1, 3) | st.just(np.float32(0.5))
    pairs = st.tuples(children, children)
    return st.one_of(
        pairs.map(lambda p: ByHand(p[0].objective + p[1].objective, lambda T: p[0].value(T) + p[1].value(T))),
        pairs.map(lambda p: ByHand(p[0].objective - p[1].objective, lambda T: p[0].value(T) - p[1].value(T))),
        pairs.map(lambda p: ByHand(p[0].objective * p[1].objective, lambda T: p[0].value(T) * p[1].value(T))),
        children.map(lambda a: ByHand(-a.objective, lambda T: -a.value(T))),
        st.tuples(children, numbers).map(
            lambda p: ByHand(p[1] * p[0].objective, lambda T: float(p[1]) * p[0].value(T))
        ),
        st.tuples(children, numbers).map(
            lambda p: ByHand(p[0].objective / p[1], lambda T: p[0].value(T) / float(p[1]))
        ),
        st.tuples(children, numbers).map(
            lambda p: ByHand(p[1] - p[0].objective, lambda T: float(p[1]) - p[0].value(T))
        ),
        st.lists(children, min_size=1, max_size=3).map(
            lambda all_: ByHand(
                Objective.sum([each.objective for each in all_]) / len(all_),
                lambda T: torch.stack([each.value(T) for each in all_]).mean(),
            )
        ),
        st.lists(children, min_size=1, max_size=3).map(
            lambda all_: ByHand(
                sum(each.objective for each in all_), lambda T: torch.stack([each.value(T) for each in all_]).sum()
            )
        ),
    )


expressions = st.recursive(simple(), _combined, max_leaves=6)


def test_every_registered_objective_is_drawn():
    assert set(OBJECTIVES) == registered("objective")


@given(expression=expressions, T=layers())
def test_expressions_are_computed_as_by_hand(expression, T):
    torch.testing.assert_close(expression.objective(T.get), expression.value(T), **CLOSE)


@given(expression=expressions, T=layers())
def test_gradients_of_expressions_are_those_by_hand(expression, T):
    leaves = {name: T[name] for name in CHANNELS}
    pair = [
        torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
        for value in (expression.objective(T.get), expression.value(T))
    ]
    for found, wanted in zip(*pair, strict=True):
        torch.testing.assert_close(found, wanted, **CLOSE)


@given(parts=st.lists(simple(), min_size=2, max_size=5), T=layers(), data=st.data())
def test_the_order_of_a_sum_does_not_matter(parts, T, data):
    terms = [part.objective for part in parts]
    other = data.draw(st.permutations(terms))
    torch.testing.assert_close(Objective.sum(terms)(T.get), Objective.sum(other)(T.get), **CLOSE)
    torch.testing.assert_close(sum(terms)(T.get), Objective.sum(terms)(T.get), **CLOSE)


@given(part=expressions, T=layers())
def test_a_negation_has_the_opposite_value(part, T):
    assert torch.equal((-part.objective)(T.get), -part.objective(T.get))
    assert torch.equal((0 - (-part.objective))(T.get), part.objective(T.get))


BATCHED = ("channel", "class_logit", "direction", "direction_neuron", "neuron", "tensor_direction", "token")


@pytest.mark.parametrize("name", BATCHED)
@given(data=st.data(), T=layers())
def test_batch_is_one_image_alone(name, data, T):
    given_ = data.draw(OBJECTIVES[name]).to_data()["args"]
    from lucid_port.optvis.serialization import factory, from_data

    arguments = {key: from_data(value) for key, value in given_.items() if key != "batch"}
    index = data.draw(st.integers(0, len(T["input"]) - 1))
    alone = {key: value[index : index + 1] if key in CHANNELS else value for key, value in T.items()}
    make = factory("objective", name)
    torch.testing.assert_close(make(**arguments, batch=index)(T.get), make(**arguments)(alone.get), **CLOSE)
    wrapped = Objective(handle_batch(index)(make(**arguments)))
    torch.testing.assert_close(wrapped(T.get), make(**arguments)(alone.get), **CLOSE)


@given(T=layers(), data=st.data())
def test_each_image_has_its_own_objective(T, data):
    count = len(T["input"])
    parts = data.draw(st.lists(simple(), min_size=count, max_size=count))
    values = each_for_itself([part.objective for part in parts])(T.get)
    for index, part in enumerate(parts):
        alone = {key: value[index : index + 1] if key in CHANNELS else value for key, value in T.items()}
        torch.testing.assert_close(values[index], part.value(alone), **CLOSE)
