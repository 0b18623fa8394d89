"""Windows of Caffe's pools and convolutions, at every size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from parity_tests.converters.caffe_networks import convolution, convolved, floats, model_of, pooling, values


def pooled(x: np.ndarray, kind: str, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int]) -> np.ndarray:
    """Caffe's pooling_layer.cpp, position by position, in double precision."""
    sides = []
    for size, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        count = math.ceil((size + 2 * p - k) / s) + 1
        if any(pad) and (count - 1) * s >= size + p:
            count -= 1
        starts = [number * s - p for number in range(count)]
        sides.append([(start, min(start + k, size + p)) for start in starts])
    made = np.zeros((*x.shape[:2], len(sides[0]), len(sides[1])))
    for row, (top, bottom) in enumerate(sides[0]):
        for column, (left, right) in enumerate(sides[1]):
            part = x[:, :, max(top, 0) : min(bottom, x.shape[2]), max(left, 0) : min(right, x.shape[3])].astype(float)
            if kind == "MAX":
                made[:, :, row, column] = part.max((2, 3))
            else:
                made[:, :, row, column] = part.sum((2, 3)) / ((bottom - top) * (right - left))
    return made


POOLS = [
    ((3, 3), (2, 2), (0, 0)),
    ((3, 3), (2, 2), (1, 1)),
    ((3, 3), (1, 1), (1, 1)),
    ((2, 2), (2, 2), (1, 1)),
    ((5, 3), (3, 2), (1, 2)),
    ((4, 2), (3, 1), (3, 0)),
    ((3, 4), (3, 4), (0, 0)),
    ((7, 7), (1, 1), (0, 0)),
]


@pytest.mark.parametrize("kind", ["MAX", "AVE"])
@pytest.mark.parametrize(("kernel", "stride", "pad"), POOLS)
def test_pools_are_caffes_at_every_size(kind, kernel, stride, pad):
    sizes = {"kernel": kernel, "stride": stride, "pad": pad}
    settings = {f"{key}_{axis}": size for key, pair in sizes.items() for axis, size in zip("hw", pair, strict=True)}
    model = model_of([pooling("pool", "data", pool=kind, **settings)], (20, 20), geometry="caffe")
    for height in range(7, 14):
        for width in (height, 9, 12):
            x = floats(2, 3, height, width) - 3  # below zero, where a padding of zeros would win
            wanted = pooled(x, kind, kernel, stride, pad)
            found = values(model, x, "pool")
            assert found.shape == wanted.shape, (height, width)
            np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=f"{height}x{width}")


@pytest.mark.parametrize(
    ("size", "stride", "pad", "dilation", "groups", "outputs"),
    [
        (3, 2, 1, 1, 1, 5),
        (3, 1, 1, 1, 1, 5),
        (7, 2, 3, 1, 1, 2),
        (3, 1, 2, 2, 1, 3),
        (3, 2, 0, 2, 1, 3),
        (3, 2, 1, 1, 2, 6),
        (3, 2, 1, 1, 4, 8),
        (2, 1, 1, 1, 4, 4),
        (1, 1, 0, 1, 1, 3),
    ],
)
def test_convolutions_are_caffes_at_every_size(size, stride, pad, dilation, groups, outputs):
    settings = {"stride": stride, "pad": pad, "dilation": dilation, "group": groups}
    net = [convolution("conv", "data", 4, outputs, size, **settings)]
    model = model_of(net, (20, 20), channels=4, geometry="caffe")
    for shape in ((7, 7), (8, 11), (13, 10)):
        x = floats(2, 4, *shape)
        wanted = convolved(x, net[0].blobs, stride, pad, dilation, groups)
        found = values(model, x, "conv/BiasAdd")
        assert found.shape == wanted.shape
        # Sums of 98 products in float32: up to 2.4e-5 off, depending on the order of the sums, which memory decides.
        np.testing.assert_allclose(found, wanted, atol=4e-5)


@pytest.mark.parametrize("geometry", ["tensorflow", "caffe"])
@pytest.mark.parametrize("kind", ["MAX", "AVE"])
def test_global_pools_cover_pictures_of_any_size(kind, geometry):
    model = model_of([pooling("pool", "data", pool=kind, global_pooling="true")], geometry=geometry)
    x = floats(2, 3, 5, 8)
    wanted = x.max((2, 3)) if kind == "MAX" else x.mean((2, 3))
    np.testing.assert_allclose(values(model, x, "pool")[:, :, 0, 0], wanted, atol=1e-6)
