"""Caffe's networks have the graph that caffe-tensorflow makes: names, ops and weights."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

import converters
from converters.caffe import from_caffe
from parity_tests.converters.caffe_files import CaffeLayer, caffemodel, googlenet, prototxt
from parity_tests.converters.caffe_networks import (
    convolution,
    convolved,
    dense,
    floats,
    layer,
    loss,
    model_of,
    refuses,
    values,
)
from parity_tests.networks import CAFFE_FILE, WITHOUT_CAFFE, modelzoo_folders
from parity_tests.published.files import NotHere, Published

THIRD_PARTY = "bvlc_googlenet_third_party_activations.npz"


@pytest.fixture(scope="module")
def graph_path() -> str:
    """The frozen graph of BVLC GoogLeNet, as caffe-tensorflow names it."""
    for folder in modelzoo_folders():
        if (folder / CAFFE_FILE).is_file():
            return str(folder / CAFFE_FILE)
    pytest.skip(WITHOUT_CAFFE)


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
    try:
        return Published().arrays(THIRD_PARTY)
    except NotHere as error:
        pytest.skip(str(error))


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
