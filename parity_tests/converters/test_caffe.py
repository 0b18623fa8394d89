"""Caffe's networks: the graph that caffe-tensorflow makes, Caffe's own windows at every size, and bad files."""

from __future__ import annotations

import hashlib
import math
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import converters
from converters.caffe import IMAGENET_RANGE, caffe_graph, from_caffe, imagenet_metadata, supported_layers
from parity_tests.converters.caffe_files import CaffeLayer, caffemodel, googlenet, prototxt
from parity_tests.networks import CAFFE_FILE, modelzoo_folders

RANDOM = np.random.RandomState(0)
THIRD_PARTY = "bvlc_googlenet_third_party_activations.npz"


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def layer(
    name: str, kind: str, *bottoms: str, top: str = "", blobs: Sequence[np.ndarray] = (), **settings
) -> CaffeLayer:
    """A layer of one top; `parameter` among the settings names their message."""
    parameter = settings.pop("parameter", "")
    return CaffeLayer(name, kind, bottoms, [top or name], parameter, settings, blobs)


def convolution(name: str, bottom: str, inputs: int, outputs: int, size: int, **settings) -> CaffeLayer:
    blobs = [floats(outputs, inputs // settings.get("group", 1), size, size)]
    blobs += [floats(outputs)] if settings.get("bias_term") != "false" else []
    chosen = {"num_output": outputs, "kernel_size": size, **settings}
    return layer(name, "Convolution", bottom, blobs=blobs, parameter="convolution_param", **chosen)


def pooling(name: str, bottom: str, **settings) -> CaffeLayer:
    return layer(name, "Pooling", bottom, parameter="pooling_param", **settings)


def dense(name: str, bottom: str, inputs: int, outputs: int) -> CaffeLayer:
    blobs = [floats(outputs, inputs), floats(outputs)]
    return layer(name, "InnerProduct", bottom, blobs=blobs, parameter="inner_product_param", num_output=outputs)


def model_of(layers: Sequence[CaffeLayer], size: Sequence[int] = (9, 12), channels: int = 3, **options):
    """The model of some layers behind an input `data`."""
    return from_caffe(caffemodel(layers), prototxt(layers, (1, channels, *size)), **options)


def values(model, x: np.ndarray, name: str) -> np.ndarray:
    return model.activations(torch.from_numpy(x), [name])[name].numpy()


# -- the graph of caffe-tensorflow ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph_path() -> str:
    """The frozen graph of BVLC GoogLeNet, as caffe-tensorflow names it."""
    for folder in modelzoo_folders():
        if (folder / CAFFE_FILE).is_file():
            return str(folder / CAFFE_FILE)
    pytest.skip(f"{CAFFE_FILE} is in no folder of LUCID_PORT_MODELZOO")


@pytest.fixture(scope="module")
def layers(graph_path) -> list[CaffeLayer]:
    return googlenet(graph_path)


@pytest.fixture(scope="module")
def reference(graph_path):
    return converters.convert(graph_path)


@pytest.mark.parametrize("form", [1, 2], ids=["old-form", "new-form"])
def test_both_forms_make_the_very_graph_of_caffe_tensorflow(layers, reference, form):
    """Names, ops, attributes and every weight's bits are those of the .pb: that is what the fingerprint says."""
    data = caffemodel(layers, form)
    model = from_caffe(data, prototxt(layers, (10, 3, 224, 224), form))
    assert model.program.fingerprint == reference.program.fingerprint
    assert model.metadata == converters.Metadata("data", (224, 224, 3))
    assert model.program.source_sha256 == hashlib.sha256(data).hexdigest()


def test_every_layer_has_the_values_of_the_graph(layers, reference):
    model = from_caffe(caffemodel(layers), prototxt(layers, (1, 3, 224, 224)))
    x = torch.from_numpy(floats(2, 3, 97, 65) * 50)
    names = list(reference.layers)[1:-5]  # the last average pool needs a larger picture
    wanted, found = reference.activations(x, names), model.activations(x, names)
    assert list(model.layers) == list(reference.layers)
    assert all(torch.equal(wanted[name], found[name]) for name in names)


def test_a_trained_model_needs_no_definition_and_loses_what_only_training_needs(layers, reference):
    """As Caffe saves it: a data layer, copies named by it (Split), an early head, losses, accuracy."""
    data = CaffeLayer("data", "Data", [], ["data", "label"], "transform_param", {"crop_size": 224})
    deploy = layers[:-1]
    at = next(number for number, item in enumerate(deploy) if item.name == "inception_4a/output") + 1
    split = CaffeLayer("4a_split", "Split", ["inception_4a/output"], ["4a_split_0", "4a_split_1"])
    behind = [
        CaffeLayer(
            item.name, item.type, ["4a_split_0" if b == "inception_4a/output" else b for b in item.bottoms],
            item.tops, item.parameter, item.settings, item.blobs,
        )
        for item in deploy[at:]
    ]  # fmt: skip
    head = [dense("loss1/classifier", "4a_split_1", 512 * 14 * 14, 2), loss("loss1/loss1", "loss1/classifier")]
    trained = [data, *deploy[:at], split, *head, *behind, loss("loss3/loss3", "loss3/classifier")]
    for form in (1, 2):
        assert from_caffe(caffemodel(trained, form)).program.fingerprint == reference.program.fingerprint


def loss(name: str, bottom: str) -> CaffeLayer:
    return CaffeLayer(name, "SoftmaxWithLoss", [bottom, "label"], [name])


def test_caffes_own_windows_agree_with_a_third_partys_run_of_caffe(layers):
    """Measured: 0.0018 at most on values up to 3404 (pool1_norm1, of 139), 3.6e-7 on the probabilities.

    By layer, 1.3e-5 of the layer's greatest value (pool1_norm1) and 1.8e-6 elsewhere.
    """
    stored = third_party()
    model = from_caffe(caffemodel(layers), prototxt(layers, (1, 3, 224, 224)), geometry="caffe")
    x = torch.from_numpy(stored["data"].transpose(2, 0, 1)[None].copy())
    names = [key.replace("|", "/") for key in stored if key != "data"]
    found = model.activations(x, names)
    for name in names:
        wanted = stored[name.replace("/", "|")]
        value = found[name][0].numpy()
        value = value.transpose(1, 2, 0).reshape(wanted.shape) if value.ndim == 3 else value
        bound = 2e-5 if name == "pool1_norm1" else 2.5e-6
        assert np.abs(value - wanted).max() <= bound * np.abs(wanted).max(), name
    # Where TensorFlow's padding would make 29 of 57 rows, so that the comparison above can fail.
    assert found["inception_3a_output"].shape[2:] == (28, 28)
    same = from_caffe(caffemodel(layers), prototxt(layers, (1, 3, 224, 224)))
    assert same.activations(x, ["pool2_3x3_s2"])["pool2_3x3_s2"].shape[2:] == (29, 29)


def third_party() -> dict[str, np.ndarray]:
    """Activations of BVLC GoogLeNet (github.com/mtmd/GoogleNet_MATLAB), which are no part of the project."""
    for folder in modelzoo_folders():
        for path in (folder / THIRD_PARTY, folder.parent / "published" / THIRD_PARTY):
            if path.is_file():
                with np.load(path) as stored:
                    return dict(stored)
    pytest.skip(f"{THIRD_PARTY} is in no folder of LUCID_PORT_MODELZOO, nor in `published` beside it")


def test_groups_are_split_and_joined_under_caffe_tensorflows_names():
    net = [convolution("conv2", "data", 4, 6, 3, group=2, pad=1), layer("relu2", "ReLU", "conv2", top="conv2")]
    model = model_of(net, channels=4)
    made = ["conv2/split", "conv2/Conv2D", "conv2/Conv2D_1", "conv2/concat", "conv2/BiasAdd", "conv2/conv2"]
    assert [name for name in model.layers if "pre_relu" not in name] == ["data", *made]
    x = floats(2, 4, 7, 5)
    wanted = np.maximum(convolved(x, net[0].blobs, 1, 1, 1, 2), 0)
    np.testing.assert_allclose(values(model, x, "conv2/conv2"), wanted, atol=1e-5)


def test_dense_layers_read_pictures_by_channels_first_under_caffe_tensorflows_names():
    net = [dense("fc6", "data", 3 * 4 * 5, 7), layer("relu6", "ReLU", "fc6", top="fc6")]
    net += [layer("drop6", "Dropout", "fc6", top="fc6"), dense("fc7", "fc6", 7, 2), layer("prob", "Softmax", "fc7")]
    model = model_of(net, (4, 5))
    made = ["fc6/Reshape", "fc6/fc6/MatMul", "fc6/fc6/BiasAdd", "fc6/fc6", "fc7/fc7/MatMul", "fc7/fc7", "prob"]
    assert list(model.layers) == ["data", *made]
    x = floats(3, 3, 4, 5)
    rows = np.maximum(x.reshape(3, -1) @ net[0].blobs[0].T + net[0].blobs[1], 0)
    np.testing.assert_allclose(values(model, x, "fc6/fc6"), rows, atol=1e-5)
    np.testing.assert_allclose(
        values(model, x, "fc7/fc7"), rows @ net[3].blobs[0].T + net[3].blobs[1], atol=1e-4, rtol=1e-5
    )


def batch_norm(name: str, blob: str, channels: int, factor: float = 2.5, eps: float = 1e-3) -> list[CaffeLayer]:
    """BatchNorm and Scale in place, as ResNets have them."""
    sums = [floats(channels), np.abs(floats(channels)) + 0.5, np.array([factor], np.float32)]
    scale = [floats(channels), floats(channels)]
    return [
        layer(name, "BatchNorm", blob, top=blob, blobs=sums, parameter="batch_norm_param", eps=eps),
        layer(f"scale_{name}", "Scale", blob, top=blob, blobs=scale, parameter="scale_param", bias_term="true"),
    ]


def test_batch_norm_takes_in_the_scale_and_the_relu_behind_it():
    net = [convolution("conv1", "data", 3, 4, 1, bias_term="false"), *batch_norm("bn1", "conv1", 4)]
    net.append(layer("relu1", "ReLU", "conv1", top="conv1"))
    model = model_of(net)
    assert list(model.layers) == ["data", "conv1/Conv2D", "bn1/bn1/mul_1", "bn1/bn1/add_1", "bn1/Relu"]
    x = floats(2, 3, 5, 4)
    mean, variance = (blob / 2.5 for blob in net[1].blobs[:2])
    rows = x.transpose(0, 2, 3, 1) @ net[0].blobs[0][:, :, 0, 0].T
    rows = (rows - mean) / np.sqrt(variance + 1e-3) * net[2].blobs[0] + net[2].blobs[1]
    np.testing.assert_allclose(values(model, x, "bn1/bn1/add_1"), rows.transpose(0, 3, 1, 2), atol=2e-5)


def test_a_batch_norm_of_sums_that_nothing_was_added_to_divides_by_epsilon_alone():
    sums = [floats(3), floats(3), np.zeros(1, np.float32)]
    model = model_of([layer("bn", "BatchNorm", "data", blobs=sums, parameter="batch_norm_param", eps=0.25)])
    x = floats(1, 3, 3, 2)
    np.testing.assert_allclose(values(model, x, "bn/bn/add_1"), x * 2, rtol=1e-6)


def test_a_relu_stays_apart_where_others_read_what_it_reads():
    net = [
        convolution("conv", "data", 3, 2, 1),
        layer("relu", "ReLU", "conv"),
        layer("sum", "Eltwise", "conv", "relu"),
    ]
    model = model_of(net)
    assert list(model.layers) == ["data", "conv/Conv2D", "conv/BiasAdd", "relu", "sum"]


def test_padding_that_tensorflow_does_not_have_is_refused_in_its_geometry():
    net = [convolution("conv", "data", 3, 2, 5, pad=1, stride=2)]  # makes 3 of 8, where SAME makes 4 and VALID 2
    refuses(net, "'conv'", "[1, 1]", "SAME", 'geometry="caffe"', size=(8, 8))
    assert model_of(net, (8, 8), geometry="caffe").layers["conv/Conv2D"].channels == 2


def test_a_geometry_that_there_is_not():
    with pytest.raises(ValueError, match="tensorflow"):
        model_of([layer("relu", "ReLU", "data")], geometry="torch")


# -- Caffe's own windows ----------------------------------------------------------------------------------------------


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


def convolved(
    x: np.ndarray, blobs: Sequence[np.ndarray], stride: int, pad: int, dilation: int, groups: int
) -> np.ndarray:
    """Caffe's convolution: padded alike on all sides, rounded down."""
    kernel, bias = blobs
    size = kernel.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    extent = (size - 1) * dilation + 1
    height, width = ((n - extent) // stride + 1 for n in padded.shape[2:])
    made = np.zeros((len(x), len(kernel), height, width))
    for row in range(height):
        for column in range(width):
            top, left = row * stride, column * stride
            part = padded[:, :, top : top + extent : dilation, left : left + extent : dilation]
            for group, filters in enumerate(np.split(kernel, groups)):
                channels = np.split(part, groups, axis=1)[group]
                place = slice(group * len(filters), (group + 1) * len(filters))
                made[:, place, row, column] = np.einsum("nchw,fchw->nf", channels, filters)
    return made + bias[:, None, None]


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
        np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize("geometry", ["tensorflow", "caffe"])
@pytest.mark.parametrize("kind", ["MAX", "AVE"])
def test_global_pools_cover_pictures_of_any_size(kind, geometry):
    model = model_of([pooling("pool", "data", pool=kind, global_pooling="true")], geometry=geometry)
    x = floats(2, 3, 5, 8)
    wanted = x.max((2, 3)) if kind == "MAX" else x.mean((2, 3))
    np.testing.assert_allclose(values(model, x, "pool")[:, :, 0, 0], wanted, atol=1e-6)


# -- the other layers -------------------------------------------------------------------------------------------------


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


# -- definitions ------------------------------------------------------------------------------------------------------


def test_an_input_layer_gives_the_input_its_name_and_metadata_another():
    """caffe-tensorflow takes the layer's name, not its blob's: Lucid's VGG16 reads `input`."""
    text = b"""layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 6 } } }
    layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }"""
    weights = caffemodel([layer("pool", "Pooling", "data")])
    model = from_caffe(weights, text)
    assert (list(model.layers), model.metadata.image_shape) == (["input", "pool"], (8, 6, 3))
    metadata = imagenet_metadata("picture", 64)
    named = from_caffe(weights, text, metadata=metadata)
    assert (list(named.layers), named.metadata) == (["picture", "pool"], metadata)
    assert (metadata.image_shape, metadata.image_value_range, metadata.is_BGR) == ((64, 64, 3), IMAGENET_RANGE, True)


def test_definitions_may_say_more_than_is_known_here():
    net = [pooling("pool", "data", kernel_size=2, stride=2)]
    text = prototxt(net, (1, 3, 8, 8)).replace(b"kernel_size", b"engine: CUDNN kernel_size") + b"\nfuture { a: [1, 2] }"
    assert "pool" in from_caffe(caffemodel(net), text).layers


def test_layers_of_another_phase_are_left_out():
    net = [layer("relu", "ReLU", "data")]
    text = (
        prototxt(net, (1, 3, 8, 8))
        + b"""
    layer { name: "noise" type: "Noise" bottom: "relu" top: "noise" include { phase: TRAIN } }
    layer { name: "more" type: "Noise" bottom: "relu" top: "more" exclude { phase: TEST } }
    layer { name: "staged" type: "Noise" bottom: "relu" top: "staged" include { stage: "a" } }
    layer { name: "sigmoid" type: "Sigmoid" bottom: "relu" top: "sigmoid" include { phase: TEST } }"""
    )
    assert list(from_caffe(caffemodel(net), text).layers) == ["data", "relu", "sigmoid"]


def test_weights_of_doubles_and_of_several_parts_are_read():
    net = convolution("conv", "data", 3, 2, 1, bias_term="false")
    data, numbers = caffemodel([net]), net.blobs[0].astype("<f4").tobytes()
    packed = bytes([5 << 3 | 2, len(numbers)]) + numbers
    assert data.count(packed) == 1
    half = len(numbers) // 2
    parts = b"".join(bytes([5 << 3 | 2, half]) + part for part in (numbers[:half], numbers[half:]))
    doubles = np.frombuffer(numbers, "<f4").astype("<f8").tobytes()
    x = floats(1, 3, 2, 2)
    text = prototxt([net], (1, 3, 2, 2))
    wanted = values(from_caffe(data, text), x, "conv/Conv2D")
    for other in (parts, bytes([8 << 3 | 2, len(doubles)]) + doubles):
        changed = resized(data, packed, other)
        np.testing.assert_array_equal(values(from_caffe(changed, text), x, "conv/Conv2D"), wanted)


def resized(data: bytes, old: bytes, new: bytes) -> bytes:
    """A file of one layer with one field replaced, the lengths of the messages around it corrected."""
    at = data.index(old)
    grown = len(new) - len(old)
    changed = bytearray(data[:at] + new + data[at + len(old) :])
    blob = data.rindex(bytes([7 << 3 | 2]), 0, at - 8)  # the blob's length, and the layer's behind its two-byte tag
    outer = data.index(bytes([0xA2, 0x06])) + 2
    changed[blob + 1] += grown
    changed[outer] += grown
    return bytes(changed)


def test_names_that_tensorflow_refuses_get_underscores_and_numbers():
    net = [layer("a/b", "ReLU", "data"), layer("a b", "ReLU", "a/b"), layer("_c", "ReLU", "a b")]
    assert list(model_of(net).layers) == ["data", "a_b", "a_b_1", "layer_c"]


def test_the_graph_for_tensorflow_holds_the_weights():
    net = [convolution("conv", "data", 3, 2, 3, pad=1), dense("fc", "conv", 2 * 4 * 5, 3)]
    text = prototxt(net, (1, 3, 4, 5))
    graph = caffe_graph(caffemodel(net), text)
    model = from_caffe(caffemodel(net), text)
    assert converters.convert(graph).program.fingerprint == model.program.fingerprint


def test_a_converted_model_is_saved_and_loaded(tmp_path):
    net = [
        convolution("conv", "data", 4, 6, 3, group=2, stride=2, pad=1),
        pooling("pool", "conv", pool="AVE", kernel_size=3, stride=2, pad=1),
    ]
    model = model_of(net, channels=4, geometry="caffe")
    model.save(tmp_path / "saved")
    x = floats(1, 4, 11, 8)
    np.testing.assert_array_equal(values(converters.load(tmp_path / "saved"), x, "pool"), values(model, x, "pool"))


# -- bad files --------------------------------------------------------------------------------------------------------

SMALL = [convolution("conv", "data", 3, 2, 3, pad=1), layer("relu", "ReLU", "conv", top="conv")]
TEXT = prototxt(SMALL, (1, 3, 8, 8))


def refused(data: object, text: object, *words: str, **options) -> str:
    """The error's sentence, which has all these words in it."""
    with pytest.raises(converters.ConverterError) as caught:
        from_caffe(data, text, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 500
    for word in words:
        assert word in sentence
    return sentence


def refuses(net: Sequence[CaffeLayer], *words: str, size: Sequence[int] = (8, 8), **options) -> str:
    return refused(caffemodel(net), prototxt(net, (1, 3, *size)), *words, **options)


@pytest.mark.parametrize("form", [1, 2])
def test_a_truncated_file(tmp_path, form):
    data = caffemodel(SMALL, form)
    for end in (len(data) // 2, len(data) - 1):
        path = tmp_path / "cut.caffemodel"
        path.write_bytes(data[:end])
        refused(path, TEXT, "cut.caffemodel", "cut short")


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"hello"], ids=["empty", "png", "text"])
def test_bytes_that_are_no_caffemodel(data):
    refused(data, TEXT, "not a .caffemodel")


def test_an_hdf5_file():
    refused(b"\x89HDF\r\n\x1a\n" + bytes(100), TEXT, "HDF5")


def test_a_frozen_graph_is_no_caffemodel():
    refused(caffe_graph(caffemodel(SMALL), TEXT).SerializeToString(), None, "not a .caffemodel")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_caffe(tmp_path / "nothing.caffemodel")
    with pytest.raises(FileNotFoundError):
        from_caffe(caffemodel(SMALL), tmp_path / "nothing.prototxt")
    refused(tmp_path, None, "folder")
    with pytest.raises(TypeError, match="path or bytes"):
        from_caffe(3)


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe\x00", b"layer { name: ", b"layer { name: 3 }", b"net: 'solver' base_lr: 0.1", b"a {" * 5000],
    ids=["empty", "bytes", "cut", "kind", "solver", "deep"],
)
def test_texts_that_are_no_prototxt(text):
    refused(caffemodel(SMALL), text, "The text")


def test_weights_without_a_definition():
    bare = [CaffeLayer(item.name, item.type, [], [], "", {}, item.blobs) for item in SMALL]
    refused(caffemodel(bare), None, "no definition", ".prototxt")


def test_a_definition_with_layers_that_have_no_weights():
    other = [convolution("other", "data", 3, 2, 3)]
    refused(caffemodel(SMALL), prototxt(other, (1, 3, 8, 8)), "'other'", "0 blobs", "do not fit")


@pytest.mark.parametrize("change", [(b"num_output: 2", b"num_output: 5"), (b"kernel_size: 3", b"kernel_size: 2")])
def test_a_definition_that_does_not_fit_the_weights(change):
    refused(caffemodel(SMALL), TEXT.replace(*change), "'conv'", "[2, 3, 3, 3]", "do not fit")


def test_a_definition_of_other_channels():
    refused(caffemodel(SMALL), prototxt(SMALL, (1, 4, 8, 8)), "'conv'", "[2, 4, 3, 3]")


def test_numbers_that_do_not_fill_their_shape():
    numbers = SMALL[0].blobs[1].astype("<f4").tobytes()
    packed = bytes([5 << 3 | 2, len(numbers)]) + numbers
    # The same field under a number that nobody knows.
    refused(caffemodel(SMALL).replace(packed, bytes([15 << 3 | 2]) + packed[1:]), TEXT, "'conv'", "0 bytes", "takes 8")


def test_weights_that_are_nan():
    net = [convolution("conv", "data", 3, 2, 3)]
    net[0].blobs[0][0] = np.nan
    refuses(net, "conv/weights", "NaN")


def test_loops_and_layers_out_of_order():
    net = [layer("a", "Eltwise", "data", "b"), layer("b", "ReLU", "a")]
    refuses(net, "'a'", "'b'", "no layer before it makes")


def test_two_layers_of_one_name():
    refuses([layer("a", "ReLU", "data"), layer("a", "ReLU", "a")], "'a'", "2 layers")


def test_two_inputs_are_named_and_the_one_that_is_read_is_taken():
    text = b'input: "a" input: "b" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8 input_dim: 1 input_dim: 3 '
    text += b'input_dim: 8 input_dim: 8 layer { name: "y" type: "%s" bottom: "a" %s top: "y" }'
    weights = caffemodel([layer("y", "ReLU", "a")])
    refused(weights, text % (b"Eltwise", b'bottom: "b"'), "a, b", "input_name")
    assert list(from_caffe(weights, text % (b"ReLU", b"")).layers) == ["a", "y"]
    refused(weights, text % (b"Eltwise", b'bottom: "b"'), "'y'", "'b'", input_name="a")
    refused(weights, text % (b"ReLU", b""), "no input called 'c'", input_name="c")


def test_no_input():
    words = "--prototxt", 'input: "data" input_shape {'
    refused(caffemodel(SMALL), prototxt(SMALL), "'conv'", "'data'", "no layer before it makes", *words)


@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 3, 2**40, 2**40), (1, -3, 8, 8)])
def test_inputs_that_are_no_images(shape):
    refused(caffemodel(SMALL), prototxt(SMALL, shape), "'data'", "batch, channels, height, width")


def test_an_input_of_unknown_size_matters_only_where_padding_depends_on_it():
    text = b"""layer { name: "data" type: "Data" top: "data" top: "label" }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
            convolution_param { num_output: 2 kernel_size: 3 pad: 1 stride: %d } }"""
    weights = caffemodel(SMALL)
    assert from_caffe(weights, text % 1).layers["data"].channels == 3
    refused(weights, text % 2, "'conv'", "pictures' size")
    assert "conv/BiasAdd" in from_caffe(weights, text % 2, metadata=imagenet_metadata()).layers
    assert values(from_caffe(weights, text % 2, geometry="caffe"), floats(1, 3, 9, 8), "conv/BiasAdd").shape[2:] == (
        5,
        4,
    )


def test_every_unknown_type_and_layer_is_named_at_once():
    net = [layer("a", "Permute", "data"), layer("b", "PriorBox", "a"), layer("c", "Permute", "b")]
    with pytest.raises(converters.UnsupportedOpsError) as caught:
        from_caffe(caffemodel(net), prototxt(net, (1, 3, 8, 8)))
    assert caught.value.ops == {"Permute": ["a", "c"], "PriorBox": ["b"]}
    assert "Permute (a, c)" in str(caught.value)


def test_types_that_convert_are_listed():
    assert {"Convolution", "InnerProduct", "LRN", "Pooling"} <= set(supported_layers())


def test_settings_beyond_any_network():
    for change in (b"kernel_size: 40000", b"kernel_size: 0", b"kernel_size: 3 kernel_size: 3 kernel_size: 3"):
        refused(caffemodel(SMALL), TEXT.replace(b"kernel_size: 3", change), "'conv'", "kernel_size")
    refused(caffemodel(SMALL), TEXT.replace(b"pad: 1", b"pad: 18446744073709551615"), "'conv'", "pad")
    refused(caffemodel(SMALL), TEXT.replace(b"pad: 1", b"group: 3"), "'conv'", "groups")
    refused(caffemodel(SMALL), TEXT.replace(b"pad: 1", b"group: 0"), "'conv'", "groups")


@pytest.mark.parametrize("kind", ["Convolution", "InnerProduct"])
def test_a_definition_that_asks_for_more_memory_than_the_file_has(kind):
    field = "convolution_param { kernel_size: 3" if kind == "Convolution" else "inner_product_param {"
    text = f'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8 layer {{ name: "conv" type: "{kind}" '
    text += f'bottom: "data" top: "conv" {field} num_output: {2**40} }} }}'
    tracemalloc.start()
    refused(caffemodel(SMALL), text.encode(), "'conv'")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ('type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 }', "STOCHASTIC"),
        ('type: "Pooling" pooling_param { kernel_size: 2 pad: 2 }', "pads"),
        ('type: "Pooling" pooling_param { kernel_size: 20 }', "does not fit"),
        ('type: "Pooling" pooling_param { }', "kernel_size"),
        ('type: "LRN" lrn_param { norm_region: WITHIN_CHANNEL }', "region"),
        ('type: "LRN" lrn_param { local_size: 4 }', "odd"),
        ('type: "Softmax" softmax_param { axis: 2 }', "axis 2"),
        ('type: "Concat" concat_param { axis: 0 }', "axis 0"),
        ('type: "Eltwise"', "combines"),
        ('type: "ELU" elu_param { alpha: 2 }', "alpha 2"),
        ('type: "Flatten" flatten_param { axis: 2 }', "flattens"),
        ('type: "Reshape" reshape_param { shape { dim: 0 dim: 7 } }', "reshapes 192"),
        ('type: "Reshape" reshape_param { shape { dim: 0 dim: -1 dim: -1 dim: 4 } }', "reshapes"),
        ('type: "Reshape" reshape_param { shape { dim: 4 dim: 48 } }', "batch"),
        ('type: "Slice" slice_param { slice_point: 2 slice_point: 1 }', "slices"),
        ('type: "InnerProduct" inner_product_param { num_output: 2 axis: 2 }', "axis 2"),
        ('type: "Scale" scale_param { axis: 0 }', "axis 0"),
    ],
)
def test_settings_that_do_not_convert(definition, words):
    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8 '
    text += f'layer {{ name: "y" bottom: "data" top: "y" {definition} }}'
    refused(caffemodel(SMALL), text.encode(), "'y'", words, geometry="caffe")


def test_names_without_end():
    refused(caffemodel(SMALL), TEXT.replace(b'"conv"', b'"%s"' % (b"a" * 100_000)), "100000 characters")


def test_the_oldest_form_is_named():
    refused(caffemodel(SMALL), b'layers { layer { name: "conv" type: "conv" } bottom: "data" top: "conv" }', "upgrade")


def test_mixed_forms():
    refused(caffemodel(SMALL, 1) + caffemodel(SMALL, 2), None, "mixes")


@pytest.mark.parametrize("form", [1, 2])
def test_damaged_files_end_in_a_model_or_a_clear_error(form):
    """Bytes flipped anywhere, in the definitions and in the weights; seeded, so that a failure can be repeated."""
    data = CaffeLayer("data", "Data", [], ["data", "label"], "transform_param", {"crop_size": 12})
    net = [data, *SMALL, pooling("pool", "conv", pool="AVE", kernel_size=3, stride=2), dense("fc", "pool", 72, 3)]
    whole = caffemodel([*net, loss("loss", "fc")], form)
    assert "prob" in from_caffe(whole).layers
    random, converted, sentences = np.random.RandomState(form), 0, []
    for number in range(400):
        changed = bytearray(whole)
        for _ in range(random.randint(1, 4)):
            changed[random.randint(len(changed))] = random.randint(256)
        try:
            from_caffe(bytes(changed), geometry="caffe" if number % 2 else "tensorflow")
            converted += 1
        except converters.ConverterError as error:
            sentences.append(str(error))
    assert not any("\n" in sentence for sentence in sentences)
    assert 0 < converted < 400


def test_paths_are_read_as_bytes_are(tmp_path):
    Path(tmp_path / "net.caffemodel").write_bytes(caffemodel(SMALL))
    Path(tmp_path / "net.prototxt").write_bytes(TEXT)
    model = from_caffe(str(tmp_path / "net.caffemodel"), tmp_path / "net.prototxt")
    assert model.program.fingerprint == from_caffe(caffemodel(SMALL), TEXT).program.fingerprint
