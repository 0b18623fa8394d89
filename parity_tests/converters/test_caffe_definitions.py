"""Definitions of Caffe's networks (.prototxt), and converted models that are saved."""

from __future__ import annotations

import numpy as np

import converters
from converters.caffe import IMAGENET_RANGE, caffe_graph, from_caffe, imagenet_metadata
from parity_tests.converters.caffe_files import caffemodel, prototxt
from parity_tests.converters.caffe_networks import convolution, dense, floats, layer, model_of, pooling, values


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
