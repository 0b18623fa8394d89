"""Activations of many images: against the network asked image by image, and Lucid's reductions done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from converters.frozen.writer import GraphWriter
from lucid_port.modelzoo.get_activations import get_activations, get_activations_iter
from lucid_port.modelzoo.vision_base import Layer, Model

SHAPE = (9, 7, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A convolution, its ReLU, and their means over the positions."""
    random, graph = np.random.RandomState(3), GraphWriter()
    image = graph.placeholder("input", [None, None, None, 3])
    weights = graph.const("w", random.standard_normal((3, 3, 3, 4)).astype(np.float32))
    convolved = graph.op("conv", "Conv2D", [image, weights], strides=[1, 2, 2, 1], padding="SAME")
    relu = graph.op("relu", "Relu", [convolved])
    graph.op("mean", "Mean", [relu, graph.const("axes", np.array([1, 2], np.int32))], keep_dims=False)
    return Model(graph.write(tmp_path_factory.mktemp("graph") / "small.pb"), image_value_range=(-1, 1))


def images(*shape: int) -> np.ndarray:
    return np.random.RandomState(1).random_sample((*shape, *SHAPE)).astype(np.float32)


def one_by_one(model: Model, batch: np.ndarray, layer: str = "conv") -> np.ndarray:
    """NHWC activations of (n, h, w, 3) images, each on its own."""
    values = [model.activations(torch.from_numpy(image.transpose(2, 0, 1)), [layer])[layer] for image in batch]
    return torch.cat(values).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_an_array_of_images(model, batch_size):
    """Lucid raises where there is more than one image."""
    batch = images(2, 3)
    expected = one_by_one(model, batch.reshape(6, *SHAPE))
    found = get_activations(model, "conv", batch, batch_size=batch_size)
    assert found.shape == (2, 3, 5, 4, 4)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def test_the_central_position(model):
    batch = images(5)
    found = get_activations(model, "conv", batch, center_only=True)
    np.testing.assert_allclose(found, one_by_one(model, batch)[:, 2, 2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("nested", [list, iter])
def test_nested_iterables(model, nested):
    """Lucid never ends on a list."""
    batch = images(2, 3)
    examples = nested([nested(list(row)) for row in batch])
    found = get_activations(model, "conv", examples, batch_size=2)
    np.testing.assert_allclose(found, get_activations(model, "conv", batch), rtol=1e-5, atol=1e-6)


def test_one_image_has_no_axes_before_its_own(model):
    batch = images(1)
    found = get_activations(model, Layer("conv", 4), batch[0])
    np.testing.assert_allclose(found, one_by_one(model, batch)[0], rtol=1e-5, atol=1e-6)


def test_the_model_does_it_too(model):
    batch = images(3)
    np.testing.assert_array_equal(
        model.get_activations("relu", batch, batch_size=2), get_activations(model, "relu", batch, batch_size=2)
    )


REDUCED = {
    "mean": lambda values: values.mean(0),
    "rms": lambda values: np.sqrt((values**2).mean(0)),
    "max": lambda values: values.max(0),
}


@pytest.mark.parametrize("ind_shape", [None, (3, 2)])
@pytest.mark.parametrize("center_only", [False, True])
@pytest.mark.parametrize("reducer", REDUCED)
def test_images_that_share_an_index_are_reduced(model, reducer, center_only, ind_shape):
    """Convolutions are negative in places: a maximum that starts at zero shows. Lucid errs in four of these cases."""
    batch, indices = images(7), [(0, 0), (2, 1), (0, 0), (1, 0), (2, 1), (2, 1), (0, 1)]
    values = one_by_one(model, batch)
    values = values[:, 2, 2] if center_only else values
    found = get_activations_iter(
        model, "conv", zip(indices, batch, strict=True), reducer, 3, ind_shape=ind_shape, center_only=center_only
    )
    expected = np.zeros((3, 2, *values.shape[1:]), np.float32)
    for index in set(indices):
        expected[index] = REDUCED[reducer](values[[at for at, other in enumerate(indices) if other == index]])
    assert expected.min() < 0 or reducer == "rms"
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_indices_may_be_numbers(model):
    batch = images(3)
    pairs = list(zip([1, 0, 1], batch, strict=True))
    found = get_activations_iter(model, "conv", pairs, center_only=True)
    values = one_by_one(model, batch)[:, 2, 2]
    np.testing.assert_allclose(found, [values[1], values[[0, 2]].mean(0)], rtol=1e-5, atol=1e-6)


def test_fully_connected_layers(model):
    batch = images(2, 2)
    expected = one_by_one(model, batch.reshape(4, *SHAPE), "relu").mean((1, 2)).reshape(2, 2, 4)
    np.testing.assert_allclose(get_activations(model, "mean", batch), expected, rtol=1e-5, atol=1e-6)


def test_the_precision_that_is_asked_for(model):
    for reducer in REDUCED:
        pairs = zip([(0,), (0,), (1,)], images(3), strict=True)
        assert get_activations_iter(model, "conv", pairs, reducer, dtype="float16", ind_shape=(2,)).dtype == np.float16


def test_no_images(model):
    for ind_shape in (None, (3,)):
        with pytest.raises(ValueError, match="no images"):
            get_activations_iter(model, "conv", [], ind_shape=ind_shape)


def test_images_of_different_sizes_in_one_batch(model):
    examples = [np.zeros((9, 7, 3), np.float32), np.zeros((7, 9, 3), np.float32)]
    with pytest.raises(ValueError, match="batch_size=1"):
        get_activations(model, "conv", examples)
    assert get_activations(model, "conv", examples, batch_size=1, center_only=True).shape == (2, 4)


def test_an_unknown_reducer(model):
    with pytest.raises(ValueError, match="mean, rms, max, not 'median'"):
        get_activations_iter(model, "conv", [], "median")


def test_an_index_outside_of_the_shape(model):
    with pytest.raises(IndexError):
        get_activations_iter(model, "conv", [((3,), images(1)[0])], ind_shape=(3,))
