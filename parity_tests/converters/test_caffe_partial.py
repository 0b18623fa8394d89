"""Parts of Caffe networks: unknown layers, training definitions, further inputs, chosen outputs, and any text."""

from __future__ import annotations

import codecs

import numpy as np
import pytest
import torch

import converters
from converters.caffe import caffe_graph, from_caffe
from parity_tests.converters.caffe_files import CaffeLayer, caffemodel, prototxt
from parity_tests.converters.caffe_networks import convolution, dense, floats, layer, refused, values

CONV = convolution("conv", "data", 3, 4, 3, pad=1)
BACKBONE = [CONV, layer("relu", "ReLU", "conv", top="conv")]
HEAD = [layer("boxes", "PriorBox", "conv"), layer("nms", "Sigmoid", "boxes"), layer("sum", "Eltwise", "nms", "conv")]
WHY = "the layer type PriorBox of 'boxes' cannot be converted"


def expected(x: np.ndarray) -> np.ndarray:
    kernel, bias = map(torch.from_numpy, CONV.blobs)
    return torch.conv2d(torch.from_numpy(x), kernel, bias, padding=1).relu().numpy()


def check(model: converters.ConvertedModel) -> None:
    """The backbone has the values that torch computes."""
    x = floats(2, 3, 8, 6)
    wanted = expected(x)
    # Both sum 27 products in float32, in different orders; they differ by up to 4e-7 of the largest value.
    np.testing.assert_allclose(values(model, x, "conv/conv"), wanted, atol=1e-6 * wanted.max())


def model_of_parts(layers: list[CaffeLayer], text: str = "", **options: object) -> converters.ConvertedModel:
    return from_caffe(caffemodel(layers), prototxt(layers, (1, 3, 8, 6)) + text.encode(), **options)


def test_unknown_layers_and_the_layers_behind_them_are_left_out(tmp_path):
    model = model_of_parts(BACKBONE + HEAD)
    check(model)
    assert list(model.layers) == ["data", "conv/Conv2D", "conv/BiasAdd", "conv/conv"]
    assert model.outputs == ("conv/conv",)
    assert dict(model.left_out) == {"boxes": WHY, "nms": WHY, "sum": WHY}
    with pytest.raises(converters.LayerLeftOutError, match=r"Layer 'nms' was left out, because .* PriorBox"):
        model.activations(torch.zeros(1, 3, 8, 6), ["nms"])
    model.save(tmp_path / "saved")
    assert dict(converters.load(tmp_path / "saved").left_out) == dict(model.left_out)


def test_the_graph_for_tensorflow_leaves_them_out_as_well():
    names = {
        node.name for node in caffe_graph(caffemodel(BACKBONE + HEAD), prototxt(BACKBONE + HEAD, (1, 3, 8, 6))).node
    }
    assert "conv/conv" in names
    assert not names & {"boxes", "nms", "sum"}


@pytest.mark.parametrize("name", ["conv", "conv/conv", "conv/conv:0"])
def test_chosen_outputs(name):
    broken = convolution("fc", "conv", 99, 4, 3)  # weights that do not fit, in a layer that no output needs
    model = model_of_parts([*BACKBONE, broken, *HEAD], outputs=[name])
    check(model)
    assert [output.removesuffix(":0") for output in model.outputs] == ["conv/conv"]
    assert "the outputs that were asked for" in model.left_out["fc"]
    before = model_of_parts(BACKBONE + HEAD, outputs=["conv/Conv2D"])
    assert before.outputs == ("conv/Conv2D",)


HALVES = 'layer { name: "s" type: "Slice" bottom: "conv" top: "s1" top: "s2" }\n'


def test_an_output_by_the_name_of_its_blob():
    model = model_of_parts([CONV], HALVES, outputs=["s2"])
    assert model.outputs == ("s:1",)
    x = floats(2, 3, 8, 6)
    kernel, bias = map(torch.from_numpy, CONV.blobs)
    wanted = torch.conv2d(torch.from_numpy(x), kernel, bias, padding=1)[:, 2:]
    np.testing.assert_allclose(values(model, x, "s:1"), wanted, atol=1e-6 * float(wanted.max()))


def test_the_name_of_a_relu_that_is_fused():
    check(model_of_parts([CONV, layer("relu", "ReLU", "conv", top="positive")], outputs=["positive"]))
    check(model_of_parts([CONV, layer("relu", "ReLU", "conv", top="positive")], outputs=["relu"]))


def test_outputs_that_do_not_exist():
    text = prototxt([CONV], (1, 3, 8, 6)) + HALVES.encode()
    refused(caffemodel([CONV]), text, "'s:2' does not exist", "layer 's' has 2 outputs", outputs=["s:2"])
    refused(caffemodel([CONV]), text, "no layer or blob called 's3'", "Did you mean", outputs=["s3"])
    refused(caffemodel([CONV]), text, "'data' is the network's input", outputs=["data"])


def test_outputs_that_cannot_be_had():
    data, text = caffemodel(BACKBONE + HEAD), prototxt(BACKBONE + HEAD, (1, 3, 8, 6))
    refused(data, text, "PriorBox (boxes)", outputs=["sum"])
    refused(data, text, "no layer or blob called 'cov'", "Did you mean conv?", outputs=["cov"])
    refused(data, text, "empty list", outputs=[])
    with pytest.raises(TypeError, match="a list of names"):
        from_caffe(data, text, outputs="conv")


TRAINING = """
layer { name: "labels" type: "Slice" bottom: "label" top: "label1" top: "label2" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label1" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label1" top: "loss" }
layer { name: "loss2" type: "EuclideanLoss" bottom: "conv" bottom: "label2" top: "loss2" loss_weight: 0.5 }
"""


def test_the_losses_of_a_training_definition_need_no_labels():
    layers = [*BACKBONE, dense("fc", "conv", 4 * 8 * 6, 5)]
    model = model_of_parts(layers, TRAINING)
    check(model)
    assert model.outputs == ("prob",)
    x = floats(2, 3, 8, 6)
    logits = expected(x).reshape(2, -1) @ layers[-1].blobs[0].T + layers[-1].blobs[1]
    wanted = torch.from_numpy(logits).softmax(1).numpy()
    np.testing.assert_allclose(values(model, x, "prob"), wanted, atol=1e-5)


def test_layers_beside_the_loss_are_left_out_and_named():
    layers = [*BACKBONE, dense("fc", "conv", 4 * 8 * 6, 5)]
    dead = layer("boxes", "PriorBox", "conv"), layer("side", "Sigmoid", "conv")
    text = (prototxt([*layers, *dead], (1, 3, 8, 6)) + TRAINING.encode(),)
    model = from_caffe(caffemodel(layers), *text)
    assert model.left_out.keys() == {"boxes", "side", "labels"}
    assert "the network's main loss does not depend on it" in model.left_out["boxes"]
    assert "reads 'label'" in model.left_out["labels"]
    x = floats(2, 3, 8, 6)
    named = from_caffe(caffemodel(layers), *text, outputs=["side"])
    np.testing.assert_allclose(values(named, x, "side"), torch.from_numpy(expected(x)).sigmoid().numpy(), atol=2e-6)
    refused(caffemodel(layers), *text, "PriorBox (boxes)", outputs=["boxes"])


def test_layers_of_another_input_are_left_out_and_named():
    text = further("data|dim: 1 dim: 3 dim: 8 dim: 6", "rois|dim: 9 dim: 5", "info|dim: 1 dim: 3")
    text += b'layer { name: "of_info" type: "Sigmoid" bottom: "info" top: "of_info" }'
    model = from_caffe(caffemodel(BACKBONE), text)
    check(model)
    assert "does not depend on the network's image input" in model.left_out["of_info"]


def test_a_blob_that_no_layer_produces_and_an_output_needs():
    text = prototxt(BACKBONE, (1, 3, 8, 6)) + TRAINING.encode()
    refused(caffemodel(BACKBONE), text, "'fc'", "no earlier layer produces")
    text = prototxt(BACKBONE, (1, 3, 8, 6)) + b'layer { name: "s" type: "Slice" bottom: "label" top: "a" top: "b" }'
    refused(caffemodel(BACKBONE), text, "'s' (Slice)", "'label'", "no earlier layer produces")


def test_the_advice_to_state_the_input_opens_a_training_definition():
    """Data layers of the training phase leave the image out; the advised line brings it."""
    layers = [*BACKBONE, dense("fc", "conv", 4 * 8 * 6, 5)]
    source = 'layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN } }\n'
    text = (source + prototxt(layers).decode() + TRAINING).encode()
    advice = refused(
        caffemodel(layers), text, "'data'", 'input: "data" input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }'
    )
    line = advice[advice.index('input: "data"') :].rstrip(".").replace("dim: 224 dim: 224", "dim: 8 dim: 6")
    check(from_caffe(caffemodel(layers), line.encode() + b"\n" + text))


def further(*inputs: str) -> bytes:
    text = "".join(f'input: "{name}" input_shape {{ {dims} }}\n' for name, dims in (each.split("|") for each in inputs))
    return text.encode() + prototxt(
        [*BACKBONE, layer("roi", "ROIPooling", "conv", "rois"), layer("x", "Scale", "conv", "info")]
    )


def test_further_inputs_are_no_images():
    text = further("info|dim: 1 dim: 3", "data|dim: 1 dim: 3 dim: 8 dim: 6", "rois|dim: 9 dim: 5")
    model = from_caffe(caffemodel(BACKBONE), text)
    check(model)
    assert "ROIPooling" in model.left_out["roi"]
    assert "reads 'info', which does not depend on the network's image input" in model.left_out["x"]


def test_the_advice_to_name_one_of_two_images():
    image = "dim: 1 dim: 3 dim: 8 dim: 6"
    text = further(f"info|{image}", f"data|{image}", "rois|dim: 9 dim: 5")
    refused(caffemodel(BACKBONE), text, "2 inputs (info, data)", "input_name (--input-name)")
    for name in ("data", "data:0"):
        check(from_caffe(caffemodel(BACKBONE), text, input_name=name))


def test_an_input_that_is_no_image():
    text = b'input: "data" input_shape { dim: 1 dim: 3 }\n' + prototxt(BACKBONE)
    refused(caffemodel(BACKBONE), text, "'data' has shape [1, 3]")


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("gbk"),
        lambda text: text.encode("latin-1", "replace") + b"# \xff\xfe\x80",
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.replace("\n", "\r\n").encode(),
    ],
    ids=["gbk", "latin-1", "utf-8 with a mark", "utf-16", "utf-16, big-endian", "lines of Windows"],
)
def test_text_in_any_encoding(encode):
    text = prototxt(BACKBONE, (1, 3, 8, 6)).decode() + "\n# \u5377\u79ef\u5c42\n"
    check(from_caffe(caffemodel(BACKBONE), encode(text)))


def test_a_name_in_another_encoding_is_that_of_the_weights():
    name = "\u5377\u79ef".encode("gbk")
    data = caffemodel(BACKBONE).replace(b"conv", name)
    text = prototxt(BACKBONE, (1, 3, 8, 6)).replace(b"conv", name).replace(name + b"olution", b"convolution")
    model = from_caffe(data, text)
    x = floats(1, 3, 8, 6)
    wanted = expected(x)
    np.testing.assert_allclose(values(model, x, list(model.layers)[-1]), wanted, atol=1e-6 * wanted.max())


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x00\x01\x80\x81" * 9, caffemodel(BACKBONE)])
def test_bytes_that_are_no_text(data):
    refused(caffemodel(BACKBONE), data, "not a .prototxt")
