"""Arrays of every memory order, byte order and strides give the numbers of a plain array."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from lucid_port.misc.io.pictures import unit_floats
from lucid_port.misc.tensors import as_tensor
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import objectives, param, render
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.cppn import Networks
from lucid_port.recipes.inputs import as_batch
from parity_tests.optvis.tiny import TinyModel


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def _spread(array):
    return np.repeat(array, 2, -1)[..., ::2]


FORMS = {
    "negative strides": lambda array: array[..., ::-1].copy()[..., ::-1],
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "read-only": _read_only,
    "Fortran order": np.asfortranarray,
    "not contiguous": _spread,
}


def _numbers(*shape):
    return np.random.RandomState(1).uniform(0.1, 0.9, shape).astype(np.float32)


def _first_value(objective):
    return render.render_vis(TinyModel(), objective, lambda: param.image(9), thresholds=(0,), verbose=False).losses[0]


USES = {
    "direction": ((4,), lambda array: _first_value(objectives.direction("conva", array))),
    "tensor_direction": ((1, 1, 1, 4), lambda array: _first_value(objectives.tensor_direction("conva", array))),
    "picture": ((9, 9, 3), lambda array: _first_value(objectives.input_diff(array))),
    "mask": (
        (1, 9, 9, 3),
        lambda array: _first_value(objectives.penalize_boundary_complexity((1, 9, 9, 3), mask=array)),
    ),
    "constant": ((7, 5, 3), lambda array: (param.image(5, 7) + array)().detach()),
    "initial picture": ((7, 5, 3), lambda array: param.image(5, 7, init=array)().detach()),
    "initial values": ((1, 7, 5, 3), lambda array: param.fft_image((1, 7, 5, 3), init_val=array)().detach()),
    "texture": ((7, 5, 3), lambda array: param.bilinearly_sampled_image(array, _numbers(4, 2))),
    "coordinates": ((4, 2), lambda array: param.bilinearly_sampled_image(_numbers(7, 5, 3), array)),
    "value range": ((3,), lambda array: from_torch(torch.nn.Conv2d(3, 2, 1), image_value_range=(array, 2))._low),
    "batch": ((7, 5, 3), lambda array: as_batch(TinyModel(), array)),
    "recorded draw": ((3, 2), lambda array: RandomSource(replay={"x": [array]}).normal("x", (3, 2))),
    "cppn": ((2, 3, 2), lambda array: Networks((array,), (np.zeros((2, 3), np.float32),), "composite").paint(4)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("use", USES)
def test_every_form_of_an_array_gives_the_same_numbers(use, form):
    shape, function = USES[use]
    array = _numbers(*shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*not writable")
        found = as_tensor(np.asarray(function(FORMS[form](array))))
    np.testing.assert_array_equal(found, np.asarray(function(array)))


def test_whole_numbers_of_another_byte_order_have_their_white():
    np.testing.assert_array_equal(unit_floats(np.array([0, 65535], ">u2")), [0, 1])
