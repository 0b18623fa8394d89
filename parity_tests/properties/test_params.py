"""Every parameterization: shape, dtype, range, finite gradients, and the same values from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lucid_port.optvis.param.base import channels_first
from lucid_port.optvis.sampling import RandomSource
from parity_tests.properties.registries import PARAMS, arrays, image_shapes, indices, registered

seeds = st.integers(0, 2**32)


def test_every_registered_parameterization_is_drawn():
    assert set(PARAMS) == registered("param")


@pytest.mark.parametrize("name", PARAMS)
@given(data=st.data(), seed=seeds)
def test_shape_dtype_and_range(name, data, seed):
    drawn = data.draw(PARAMS[name])
    drawn.param.reset(RandomSource(seed))
    value = drawn.param()
    assert drawn.param.shape == drawn.shape
    assert tuple(value.shape) == tuple(channels_first(torch.empty(drawn.shape)).shape)
    assert value.dtype == torch.float32
    assert np.asarray(drawn.param).shape == drawn.param.nhwc().shape == drawn.shape
    assert torch.isfinite(value).all()
    if drawn.limits is not None:
        assert drawn.limits[0] <= value.min()
        assert value.max() <= drawn.limits[1]


@pytest.mark.parametrize("name", PARAMS)
@given(data=st.data(), seed=seeds)
def test_a_seed_draws_the_same_values(name, data, seed):
    drawn = data.draw(PARAMS[name])
    values = [drawn.param.reset(RandomSource(seed))().detach().clone() for _ in range(2)]
    if name != "joined":  # its parts keep the values that they have
        assert torch.equal(*values)
    if not drawn.is_new_each_time:
        assert torch.equal(drawn.param(), values[1])
        assert torch.equal(drawn.param(), drawn.param())


@pytest.mark.parametrize("name", PARAMS)
@given(data=st.data(), seed=seeds)
def test_every_parameter_has_a_finite_gradient(name, data, seed):
    drawn = data.draw(PARAMS[name])
    drawn.param.reset(RandomSource(seed))
    parameters = list(drawn.param.parameters())
    value = drawn.param()
    assert bool(parameters) == value.requires_grad
    if parameters:
        weights = torch.from_numpy(data.draw(arrays(tuple(value.shape))))
        gradients = torch.autograd.grad((value * weights).sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:  # cut off by an index
                assert name == "take"
                continue
            assert gradient.shape == parameter.shape
            assert torch.isfinite(gradient).all()


@given(data=st.data(), shape=image_shapes())
def test_indexing_is_numpys(data, shape):
    values = data.draw(arrays(shape))
    index = data.draw(indices(shape))
    from lucid_port.optvis import param

    part = param.pixel_image(shape, init_val=values)
    np.testing.assert_array_equal(np.asarray(part[index]), values[index])
