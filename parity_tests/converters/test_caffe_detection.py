"""Caffe's layers of detectors: Permute, Flatten along any axes, Normalize, and the head of SSD."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from converters.caffe import from_caffe
from converters.network.model import ConvertedModel
from converters.program.program import Metadata
from converters.reference.check import tensorflow_array
from parity_tests.converters.caffe_files import caffemodel, prototxt
from parity_tests.converters.caffe_networks import convolution, floats, layer, values

INPUT = 'input: "data" input_dim: 1 input_dim: 5 input_dim: 4 input_dim: 3 '
ANY = caffemodel([layer("any", "ReLU", "data")])


def model_of_text(*definitions: str, weights: bytes = ANY):
    """A model of layers a, b, c, ..., each of which reads the one before it."""
    text, bottom = INPUT, "data"
    for name, definition in zip("abcdefg", definitions, strict=False):
        text += f'layer {{ name: "{name}" bottom: "{bottom}" top: "{name}" {definition} }}\n'
        bottom = name
    return from_caffe(weights, text.encode(), geometry="caffe")


def permuted(*order: int) -> str:
    return f'type: "Permute" permute_param {{ {" ".join(f"order: {axis}" for axis in order)} }}'


def caffes_order(model: ConvertedModel, x: np.ndarray, name: str) -> np.ndarray:
    """An image with Caffe's axes; in the graph, its channels are last."""
    value = model.activations(torch.from_numpy(x), [name])[name]
    return tensorflow_array(model, name, value).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("order", [(0, 1, 3, 2), (0, 2, 1, 3), (0, 3, 1, 2), (0, 3, 2, 1), (0, 1, 2, 3)])
def test_a_permuted_image_has_caffes_values(order):
    x = floats(2, 5, 4, 3)
    np.testing.assert_array_equal(caffes_order(model_of_text(permuted(*order)), x, "a"), x.transpose(order))


def test_ssds_permute_keeps_the_channels_where_the_graph_has_them():
    model, x = model_of_text(permuted(0, 2, 3, 1), permuted(0, 3, 1, 2)), floats(2, 5, 4, 3)
    found = values(model, x, "a")
    assert (model.layers["a"].channels, model.layers["a"].layout) == (5, "NHWC")  # TensorFlow's order is (N, H, W, C)
    np.testing.assert_array_equal(found.transpose(0, 2, 3, 1), x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(values(model, x, "b"), x)


def test_axes_that_an_order_leaves_out_follow():
    x = floats(2, 5, 4, 3)
    np.testing.assert_array_equal(caffes_order(model_of_text(permuted(0, 3)), x, "a"), x.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 2, 1), (0, 1, 3, 2)])
@pytest.mark.parametrize(("axis", "end"), [(1, -1), (2, 3), (1, 2), (-3, -2), (2, 2)])
def test_flatten_joins_the_axes_in_caffes_order(order, axis, end):
    x = floats(2, 5, 4, 3)
    model = model_of_text(permuted(*order), f'type: "Flatten" flatten_param {{ axis: {axis} end_axis: {end} }}')
    wanted = torch.from_numpy(x.transpose(order).copy()).flatten(axis, end).numpy()
    found = values(model, x, "b")
    if wanted.ndim == 4 and order == (0, 2, 3, 1):  # an image in the graph's own order
        found = found.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_normalize(across, shared):
    scale = floats(1) if shared else floats(5)
    settings = {"across_spatial": str(across).lower(), "channel_shared": str(shared).lower(), "eps": 1e-3}
    net = [layer("y", "Normalize", "data", parameter="norm_param", blobs=[scale], **settings)]
    x = floats(2, 5, 4, 3)
    squares = (x.astype(np.float64) ** 2).sum((1, 2, 3) if across else 1, keepdims=True)
    wanted = x / np.sqrt(squares + 1e-3) * scale[:, None, None]
    for text in (None, prototxt(net, (1, 5, 4, 3))):  # the settings in the weights' file, and as text
        data = caffemodel([layer("input", "Input", top="data"), *net])
        found = values(from_caffe(data, text, metadata=Metadata("image", (4, 3, 5))), x, "y")
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_normalize_of_zeros_is_zero():
    net = [layer("y", "Normalize", "data", parameter="norm_param", blobs=[floats(1)], across_spatial="false")]
    model = from_caffe(caffemodel(net), prototxt(net, (1, 5, 4, 3)))
    assert values(model, np.zeros((1, 5, 4, 3), np.float32), "y").tolist() == np.zeros((1, 5, 4, 3)).tolist()


def test_the_head_of_ssd_up_to_its_boxes():
    """Two maps with 2 boxes a position, 3 classes; PriorBox and DetectionOutput have no counterpart."""
    first, second = convolution("conf1", "data", 5, 6, 3, pad=1), convolution("conf2", "pool", 5, 6, 1)
    net = [
        first,
        layer("perm1", "Permute", "conf1"),
        layer("flat1", "Flatten", "perm1"),
        layer("pool", "Pooling", "data", parameter="pooling_param", kernel_size=2, stride=2),
        second,
        layer("perm2", "Permute", "conf2"),
        layer("flat2", "Flatten", "perm2"),
        layer("conf", "Concat", "flat1", "flat2", parameter="concat_param", axis=1),
        layer("rows", "Reshape", "conf"),
        layer("softmax", "Softmax", "rows"),
        layer("flat", "Flatten", "softmax"),
        layer("prior", "PriorBox", "conf1", "data"),
        layer("detection", "DetectionOutput", "flat", "prior"),
    ]
    text = prototxt(net, (1, 5, 8, 6)).decode()
    for kind, setting in (
        ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
        ("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 3 } }"),
        ("Softmax", "softmax_param { axis: 2 }"),
    ):
        text = text.replace(f'"{kind}"', f'"{kind}" {setting}')
    model, x = from_caffe(caffemodel(net), text.encode(), geometry="caffe"), floats(2, 5, 8, 6)
    image = torch.from_numpy(x)
    maps = [
        torch.conv2d(image, *map(torch.from_numpy, first.blobs), padding=1),
        torch.conv2d(torch.max_pool2d(image, 2), *map(torch.from_numpy, second.blobs)),
    ]
    rows = torch.cat([each.permute(0, 2, 3, 1).flatten(1) for each in maps], 1).reshape(2, -1, 3)
    wanted = {"conf": rows.flatten(1), "rows": rows, "softmax": rows.softmax(2), "flat": rows.softmax(2).flatten(1)}
    found = model.activations(image, list(wanted))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-5 * float(value.abs().max()), rtol=0)
    assert model.outputs == ("flat",)
    prior = "the layer type PriorBox of 'prior' cannot be converted"
    assert dict(model.left_out) == {"prior": prior, "detection": prior}


def test_vectors_of_permuted_images_multiply_in_caffes_order():
    matrix, x = floats(2, 60), floats(3, 5, 4, 3)
    weights = caffemodel([layer("b", "InnerProduct", "a", blobs=[matrix])])
    dense = 'type: "InnerProduct" inner_product_param { num_output: 2 bias_term: false }'
    for order in ((0, 2, 3, 1), (0, 3, 1, 2)):
        found = values(model_of_text(permuted(*order), dense, weights=weights), x, "b/b")
        np.testing.assert_allclose(found, x.transpose(order).reshape(3, 60) @ matrix.T, atol=2e-5)


@pytest.mark.parametrize("kind", ["Convolution", "Pooling", "LRN", "PReLU", "Slice", "BatchNorm", "Scale", "Bias"])
def test_layers_of_channels_do_not_read_permuted_images(kind):
    extra = "convolution_param { num_output: 1 kernel_size: 1 }" if kind == "Convolution" else ""
    extra = "pooling_param { kernel_size: 1 }" if kind == "Pooling" else extra
    model = model_of_text(permuted(0, 2, 3, 1), f'type: "{kind}" {extra}')
    assert "permuted image" in model.left_out["b"]
    assert model.outputs == ("a",)
