"""Values of the other layers of Caffe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from converters.caffe import from_caffe
from parity_tests.converters.caffe_files import CaffeLayer, caffemodel, prototxt
from parity_tests.converters.caffe_networks import convolution, dense, floats, layer, model_of, pooling, values


def computed(net: Sequence[CaffeLayer], x: np.ndarray, name: str) -> np.ndarray:
    return values(model_of(net, x.shape[2:], x.shape[1], geometry="caffe"), x, name)


def test_local_response_norm_divides_alpha_by_its_neighbours():
    net = [layer("norm", "LRN", "data", parameter="lrn_param", local_size=3, alpha=0.5, beta=0.6, k=2.0)]
    x = floats(1, 5, 3, 2)
    squares = np.pad(x * x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    sums = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
    np.testing.assert_allclose(computed(net, x, "norm"), x / (2 + 0.5 / 3 * sums) ** 0.6, rtol=2e-6)


@pytest.mark.parametrize(
    ("settings", "combine"),
    [
        ({}, lambda x: 3 * x),
        ({"operation": "PROD"}, lambda x: x * 2 * x),
        ({"operation": "MAX"}, lambda x: np.maximum(x, 2 * x)),
    ],
)
def test_eltwise(settings, combine):
    double = layer("double", "Power", "data")
    net = [double, layer("all", "Eltwise", "data", "double", parameter="eltwise_param", **settings)]
    text = prototxt(net, (1, 3, 4, 5)).replace(b'"Power"', b'"Power" power_param { scale: 2 }')
    x = floats(1, 3, 4, 5)
    model = from_caffe(caffemodel(net), text)
    np.testing.assert_allclose(values(model, x, "all"), combine(x), rtol=1e-6)


def test_weighted_sums():
    net = [layer("relu", "ReLU", "data"), layer("sum", "Eltwise", "data", "relu")]
    text = prototxt(net, (1, 3, 4, 5)).replace(b'"Eltwise"', b'"Eltwise" eltwise_param { coeff: 1 coeff: -0.5 }')
    x = floats(1, 3, 4, 5)
    wanted = x - 0.5 * np.maximum(x, 0)
    np.testing.assert_allclose(values(from_caffe(caffemodel(net), text), x, "sum"), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("definition", "function"),
    [
        ('type: "ReLU" relu_param { negative_slope: 0.1 }', lambda x: np.where(x < 0, 0.1 * x, x)),
        ('type: "ReLU"', lambda x: np.maximum(x, 0)),
        ('type: "ELU"', lambda x: np.where(x < 0, np.expm1(x), x)),
        ('type: "Sigmoid"', lambda x: 1 / (1 + np.exp(-x))),
        ('type: "TanH"', np.tanh),
        ('type: "AbsVal"', np.abs),
        ('type: "BNLL"', lambda x: np.log1p(np.exp(x))),
        ('type: "Power" power_param { scale: 2 shift: 0.5 power: 2 }', lambda x: (0.5 + 2 * x) ** 2),
        ('type: "Power" power_param { shift: -3 }', lambda x: x - 3),
        ('type: "Power"', lambda x: x),
    ],
)
def test_functions_of_one_number(definition, function):
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 5 '
    text += f'layer {{ name: "y" {definition} bottom: "data" top: "y" }}'
    x = floats(2, 3, 4, 5)
    model = from_caffe(caffemodel([layer("y", "Any", "data")]), text.encode())
    np.testing.assert_allclose(values(model, x, "y"), function(x), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_prelu(shared):
    slopes = floats(1) if shared else floats(3)
    net = [layer("y", "PReLU", "data", blobs=[slopes])]
    text = prototxt(net, (1, 3, 4, 5)).replace(
        b'"PReLU"', b'"PReLU" prelu_param { channel_shared: %s }' % str(shared).lower().encode()
    )
    x = floats(2, 3, 4, 5)
    wanted = np.where(x < 0, x * slopes[:, None, None], x)
    np.testing.assert_allclose(values(from_caffe(caffemodel(net), text), x, "y"), wanted, atol=1e-6)


def test_scale_and_bias_alone():
    scale, offset, bias = floats(3), floats(3), floats(3)
    net = [
        layer("scale", "Scale", "data", blobs=[scale, offset], parameter="scale_param", bias_term="true"),
        layer("bias", "Bias", "scale", blobs=[bias]),
    ]
    x = floats(2, 3, 4, 5)
    wanted = x * scale[:, None, None] + (offset + bias)[:, None, None]
    np.testing.assert_allclose(computed(net, x, "bias"), wanted, atol=1e-6)


def test_flattened_and_reshaped_pictures_are_in_caffes_order():
    text = """input: "data" input_shape { dim: 1 dim: 4 dim: 2 dim: 3 }
    layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }
    layer { name: "image" type: "Reshape" bottom: "flat" top: "image"
            reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 6 } } }
    layer { name: "rows" type: "Reshape" bottom: "image" top: "rows" reshape_param { shape { dim: 0 dim: -1 } } }
    layer { name: "fc" type: "InnerProduct" bottom: "rows" top: "fc"
            inner_product_param { num_output: 3 bias_term: false } }
    """
    matrix = floats(3, 24)
    model = from_caffe(caffemodel([layer("fc", "InnerProduct", "rows", blobs=[matrix])]), text.encode())
    x = floats(2, 4, 2, 3)
    np.testing.assert_array_equal(values(model, x, "flat"), x.reshape(2, 24))
    np.testing.assert_array_equal(values(model, x, "image"), x.reshape(2, 2, 2, 6))
    np.testing.assert_allclose(values(model, x, "fc/fc"), x.reshape(2, 24) @ matrix.T, atol=1e-5)


def test_slices_and_joins_of_channels_and_rows():
    text = """input: "data" input_dim: 1 input_dim: 5 input_dim: 4 input_dim: 3
    layer { name: "parts" type: "Slice" bottom: "data" top: "a" top: "b" top: "c"
            slice_param { slice_point: 1 slice_point: 3 } }
    layer { name: "deep" type: "Concat" bottom: "c" bottom: "a" top: "deep" }
    layer { name: "tall" type: "Concat" bottom: "b" bottom: "c" top: "tall" concat_param { axis: 2 } }
    """
    model = from_caffe(caffemodel([layer("any", "ReLU", "data")]), text.encode())
    x = floats(2, 5, 4, 3)
    np.testing.assert_array_equal(values(model, x, "deep"), np.concatenate([x[:, 3:], x[:, :1]], 1))
    np.testing.assert_array_equal(values(model, x, "tall"), np.concatenate([x[:, 1:3], x[:, 3:]], 2))


@pytest.mark.parametrize(("kind", "parameter", "combine"), [
    ("Scale", "scale_param", np.multiply), ("Bias", "bias_param", np.add),
])  # fmt: skip
@pytest.mark.parametrize("axis", [0, -4])
def test_a_layer_of_two_bottoms_as_in_se_blocks(kind, parameter, combine, axis):
    layers = [
        convolution("conv", "data", 3, 4, 3), pooling("mean", "conv", pool="AVE", global_pooling="true"),
        dense("fc", "mean", 4, 4), layer("out", kind, "conv", "fc", parameter=parameter, axis=axis),
        layer("square", kind, "out", "conv", parameter=parameter, axis=axis),
    ]  # fmt: skip
    x = floats(3, 3, 9, 12)
    model = model_of(layers, geometry="caffe")
    conv, factors = values(model, x, "conv/BiasAdd"), values(model, x, "fc/fc")
    expected = combine(conv, factors[:, :, None, None])
    np.testing.assert_allclose(values(model, x, "out"), expected, atol=1e-5)
    np.testing.assert_allclose(values(model, x, "square"), combine(expected, conv), atol=1e-5)


def test_two_bottoms_that_do_not_convert_leave_the_rest():
    layers = [
        convolution("conv", "data", 3, 4, 3), pooling("mean", "conv", pool="AVE", global_pooling="true"),
        dense("fc", "mean", 4, 4), layer("out", "Scale", "conv", "fc", parameter="scale_param", axis=1),
    ]  # fmt: skip
    model = model_of(layers, geometry="caffe")
    assert "only axis 0" in model.left_out["out"]
    assert values(model, floats(1, 3, 9, 12), "conv/BiasAdd").shape == (1, 4, 7, 10)
