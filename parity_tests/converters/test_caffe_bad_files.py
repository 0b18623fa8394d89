"""Bad Caffe files end in an error of one clear sentence."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import converters
from converters.caffe import caffe_graph, from_caffe, imagenet_metadata, supported_layers
from parity_tests.converters.caffe_files import CaffeLayer, caffemodel, prototxt
from parity_tests.converters.caffe_networks import (
    SMALL,
    TEXT,
    convolution,
    dense,
    floats,
    layer,
    loss,
    pooling,
    refused,
    refuses,
    values,
)


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
    refuses(net, "'a'", "'b'", "no earlier layer produces")


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
    refused(caffemodel(SMALL), prototxt(SMALL), "'conv'", "'data'", "no earlier layer produces", *words)


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
    net = [layer("a", "Crop", "data"), layer("b", "PriorBox", "a"), layer("c", "Crop", "b")]
    with pytest.raises(converters.UnsupportedOpsError) as caught:
        from_caffe(caffemodel(net), prototxt(net, (1, 3, 8, 8)))
    assert caught.value.ops == {"Crop": ["a", "c"], "PriorBox": ["b"]}
    assert "Crop (a, c)" in str(caught.value)


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
        ('type: "Flatten" flatten_param { axis: 3 end_axis: 2 }', "flattens axes 3 to 2"),
        ('type: "Flatten" flatten_param { axis: 0 }', "batch"),
        ('type: "Permute" permute_param { order: 0 order: 0 order: 1 order: 2 }', "permutes"),
        ('type: "Permute" permute_param { order: 1 order: 0 order: 2 order: 3 }', "batch"),
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
