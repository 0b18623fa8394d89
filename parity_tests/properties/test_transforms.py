"""Every transform: the promised shape, dtype and range, finite gradients, and draws that repeat."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lucid_port.optvis.sampling import RandomSource
from lucid_port.optvis.transform import Compose, Pad
from parity_tests.properties.registries import LEAST_SIDE, TRANSFORMS, registered

# A picture in [0, 1] stays there, but for the rounding of interpolated values.
ROUNDING = 1e-6


@st.composite
def images(draw, channels):
    """Batches of pictures in [0, 1], NCHW, odd and not square, of float32 or float64."""
    sides = st.integers(LEAST_SIDE, 17)
    shape = (draw(st.integers(1, 3)), draw(channels), draw(sides), draw(sides))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    dtype = draw(st.sampled_from((torch.float32, torch.float64)))
    return torch.rand(shape, generator=generator, dtype=dtype)


def channels_of(name):
    return st.just(4) if name == "collapse_alpha_random" else st.integers(1, 5)


@st.composite
def sources(draw):
    """Seeds of random sources, for one draw for all images or for one for each."""
    return {"seed": draw(st.integers(0, 99)), "per_image": draw(st.booleans())}


def test_every_registered_transform_is_drawn():
    assert set(TRANSFORMS) == registered("transform")


@pytest.mark.parametrize("name", TRANSFORMS)
@given(data=st.data(), source=sources())
def test_shape_dtype_and_range(name, data, source):
    image, transform = data.draw(images(channels_of(name))), data.draw(TRANSFORMS[name])
    result = transform(image, RandomSource(**source))
    scope = RandomSource(**source) if isinstance(transform, Compose) else RandomSource(**source).scope(transform.kind)
    params = transform.make_params(scope, tuple(image.shape))
    assert torch.equal(transform.apply(image, params), result)
    assert tuple(result.shape) == transform.output_shape(tuple(image.shape), params)
    assert result.shape[0] == image.shape[0]
    assert result.dtype == image.dtype
    assert result.min() >= -ROUNDING
    assert result.max() <= 1 + ROUNDING


@pytest.mark.parametrize("name", TRANSFORMS)
@given(data=st.data(), source=sources())
def test_gradients_are_finite_and_repeat(name, data, source):
    image, transform = data.draw(images(channels_of(name))), data.draw(TRANSFORMS[name])
    kept = image.clone()
    image.requires_grad_()
    gradients = []
    for _ in range(2):
        result = transform(image, RandomSource(**source))
        gradients.append(torch.autograd.grad((result * torch.linspace(-1, 2, result.shape[-1])).sum(), image)[0])
    assert torch.equal(*gradients)
    assert gradients[0].shape == image.shape
    assert torch.isfinite(gradients[0]).all()
    assert torch.equal(image, kept)


@pytest.mark.parametrize("name", ["crop_or_pad_to", "jitter", "pad", "random_scale"])
@given(data=st.data(), source=sources())
def test_the_gradient_is_the_adjoint(name, data, source):
    """These are linear in the picture, up to a constant: <T(x) - T(0), y> = <x, T'(y)>."""
    image, transform = data.draw(images(channels_of(name))).double(), data.draw(TRANSFORMS[name])
    image.requires_grad_()
    result = transform(image, RandomSource(**source))
    weights = torch.rand(result.shape, generator=torch.Generator().manual_seed(1), dtype=result.dtype)
    (gradient,) = torch.autograd.grad((result * weights).sum(), image)
    moved = result.detach() - transform(torch.zeros_like(image), RandomSource(**source))
    left, right = (moved * weights).sum(), (image.detach() * gradient).sum()
    assert abs(left - right) <= 1e-5 * max(1.0, abs(float(left)))


@given(data=st.data(), seed=st.integers(0, 99))
def test_padding_of_each_mode_is_torchs(data, seed):
    image, pad = data.draw(images(st.integers(1, 3))), data.draw(TRANSFORMS["pad"])
    assert isinstance(pad, Pad)
    result = pad(image, RandomSource(seed))
    inner = result[:, :, pad.w : result.shape[2] - pad.w, pad.w : result.shape[3] - pad.w]
    assert torch.equal(inner, image)
    if pad.mode == "REFLECT":
        assert torch.equal(result, torch.nn.functional.pad(image, (pad.w,) * 4, "reflect"))
    elif pad.mode == "CONSTANT" and pad.constant_value != "uniform":
        assert torch.equal(result, torch.nn.functional.pad(image, (pad.w,) * 4, value=float(pad.constant_value)))
