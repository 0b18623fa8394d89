"""Objects that can be indexed can also be iterated, and iteration ends."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from converters.frozen.graph import Graph
from converters.tracing.axes.call import Call
from lucid_port.modelzoo.layer import Layer
from lucid_port.optvis import objectives, param


def test_iterating_a_parameterization_yields_the_images_of_its_batch():
    image = param.image(7, 5, batch=3)
    parts = list(itertools.islice(image, 10))  # bounded, so that a defect does not fill the memory
    assert len(image) == len(parts) == 3
    for index, part in enumerate(parts):
        np.testing.assert_array_equal(part.nhwc().detach(), image.nhwc().detach()[index])


def test_iterating_ends_at_every_rank():
    image = param.image(4, 6)
    assert [len(image), len(image[0]), len(image[0, 1]), len(image[0, 1, 2])] == [1, 6, 4, 3]
    assert len(list(itertools.islice(image[0, 1, 2], 10))) == 3
    with pytest.raises(TypeError, match="has no length and cannot be iterated"):
        len(image[0, 1, 2, 0])
    with pytest.raises(TypeError, match="has no length and cannot be iterated"):
        iter(image[0, 1, 2, 0])


def test_numpy_takes_the_picture_of_a_parameterization():
    image = param.image(5, 4, batch=2)
    expected = image.nhwc().detach().numpy()
    np.testing.assert_array_equal(np.asarray(image), expected)
    np.testing.assert_array_equal(np.stack(image), expected)
    np.testing.assert_array_equal(np.stack(list(image), axis=1), expected.transpose(1, 0, 2, 3))


def test_arrays_times_parameterizations_stay_parameterizations():
    product = np.full((4, 5, 3), 0.5, np.float32) * param.image(5, 4)
    assert isinstance(product, param.Parameterization)
    assert product.shape == (1, 4, 5, 3)


def test_a_parameterization_is_true_without_being_computed(monkeypatch):
    image = param.image(5)
    monkeypatch.setattr(param.Parameterization, "evaluate", lambda self, memo: pytest.fail("computed"))
    assert image


NAMED = [
    Layer("conv", 8),
    Graph([]),
    Call("add", {"self": torch.zeros(1)}, None, lambda tensor: None, lambda tensor: "", 1),
    objectives.channel("conv", 1),
]


@pytest.mark.parametrize("thing", NAMED, ids=lambda thing: type(thing).__name__)
def test_objects_that_are_indexed_by_name_or_not_at_all_cannot_be_iterated(thing):
    with pytest.raises(TypeError, match="not iterable"):
        next(iter(thing))
