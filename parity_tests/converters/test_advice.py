"""The advice of the converters' errors, followed, opens the source; tests of single subjects follow theirs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from tensorboard.compat.proto.graph_pb2 import GraphDef

import converters
from converters import sources
from converters.caffe import from_caffe
from converters.frozen.writer import GraphWriter
from lucid_port import modelzoo
from lucid_port.cli import main
from parity_tests.converters.caffe_files import caffemodel, prototxt
from parity_tests.converters.caffe_networks import convolution, floats, layer, values


@pytest.fixture
def graph() -> GraphWriter:
    """input -> relu."""
    writer = GraphWriter()
    writer.op("relu", "Relu", [writer.placeholder("input", [None, None, None, 3])])
    return writer


def advice(source: object, *words: str, **options: object) -> str:
    """The message of the error that a source raises, which has these words."""
    reader = converters.open_source if isinstance(source, Path) else converters.convert
    with pytest.raises(converters.GraphError) as caught:
        reader(source, **options)
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


def check(network) -> None:
    """The network is one ReLU."""
    x = torch.from_numpy(floats(2, 3, 4, 5))
    torch.testing.assert_close(network.activations(x, ["relu"])["relu"], x.relu(), rtol=0, atol=0)


def test_a_folder_in_place_of_a_graph(graph, tmp_path):
    converters.convert(graph.graph_def()).save(tmp_path / "model")
    with pytest.raises(converters.GraphError, match=r"read a saved model with converters\.load"):
        converters.convert(tmp_path / "model")
    check(converters.load(tmp_path / "model"))


@pytest.mark.parametrize("file", ["model.json", "weights.safetensors"])
def test_a_file_of_a_saved_folder(file, graph, tmp_path):
    converters.convert(graph.graph_def()).save(tmp_path / "model")
    advice(tmp_path / "model" / file, "give its folder")
    check(converters.open_source(tmp_path / "model"))


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive(kind, graph, tmp_path):
    (tmp_path / "inside").mkdir()
    graph.write(tmp_path / "inside" / "graph.pb")
    archive = Path(shutil.make_archive(str(tmp_path / "archive"), kind, tmp_path / "inside"))
    advice(archive, "unpack it, and give the file or folder in it")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    check(converters.open_source(tmp_path / "unpacked" / "graph.pb"))


def test_a_graph_as_text(graph, tmp_path):
    path = tmp_path / "graph.pbtxt"
    path.write_text(text_format.MessageToString(graph.graph_def()))
    advice(path, "parse it with google.protobuf.text_format", "SerializeToString() as .pb")
    parsed = text_format.Parse(path.read_text(), GraphDef())
    path.with_suffix(".pb").write_bytes(parsed.SerializeToString())
    check(converters.open_source(path.with_suffix(".pb")))


def test_weights_of_pytorch(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    advice(tmp_path / "weights.pt", "build the module, load the weights, and call modelzoo.from_torch")
    built = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    built.load_state_dict(torch.load(tmp_path / "weights.pt"))
    model = modelzoo.from_torch(built, image_value_range=(0, 1))
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(model.activations(x, ["0"])["0"], network(x))


def test_a_saved_model_under_another_name_is_one_under_the_advised_name(tmp_path):
    path = tmp_path / "exported.pb"
    path.write_bytes(b"\x08\x01\x12\x04\x12\x02\x0a\x00")
    advice(path, "call it saved_model.pb, beside its folder variables")
    (tmp_path / "variables").mkdir()
    assert "SavedModel" in sources.kind_of(path.rename(tmp_path / "saved_model.pb")).name


def test_a_checkpoint_without_its_graph_is_one_with_it(tmp_path):
    path = tmp_path / "model.ckpt-1.index"
    path.touch()
    advice(path, "put TensorFlow's .meta file into the same folder")
    (tmp_path / "model.ckpt-1.meta").touch()
    assert "checkpoint" in sources.kind_of(path).name


def test_a_graph_without_placeholders():
    graph = GraphWriter()
    graph.op("batch", "IteratorGetNext", [])
    graph.op("relu", "Relu", ["batch"])
    advice(graph.graph_def(), "Name the input with input_name (--input-name)")
    check(converters.convert(graph.graph_def(), input_name="batch"))


@pytest.mark.parametrize("default", [None, 0.5])
def test_dropout_names_its_placeholder(default):
    graph = GraphWriter()
    x = graph.placeholder("image", [None, None, None, 3])
    if default is None:
        keep = graph.placeholder("kept_share", [])
    else:
        keep = graph.placeholder_with_default("kept_share", graph.const("half", np.float32(default)), [])
    shape = graph.op("shape", "Shape", [x], out_type=np.int32)
    uniform = graph.op("uniform", "RandomUniform", [shape], T=np.int32, dtype=np.float32, seed=1, seed2=2)
    mask = graph.op("mask", "Floor", [graph.op("sum", "Add", [keep, uniform])])
    graph.op("relu", "Relu", [graph.op("dropped", "Mul", [x, mask])])
    text = advice(graph.graph_def(), "kept_share", input_name="image")
    value = re.search(r"--set kept_share=(\w+)", text)[1]
    number = 1.0 if value == "VALUE" else float(value)
    check(converters.convert(graph.graph_def(), input_name="image", constants={"kept_share": number}))


# -- Caffe ------------------------------------------------------------------------------------------------------------

CONV = convolution("conv", "data", 3, 4, 3, stride=2, pad=1)
TEXT = prototxt([CONV], (1, 3, 8, 8))


def check_caffe(model) -> None:
    """The network is the convolution."""
    x = floats(2, 3, 8, 8)
    wanted = torch.conv2d(torch.from_numpy(x), *map(torch.from_numpy, CONV.blobs), stride=2, padding=1).numpy()
    np.testing.assert_allclose(values(model, x, "conv/BiasAdd"), wanted, atol=2e-5)


def test_a_definition_without_its_weights(tmp_path):
    (tmp_path / "deploy.prototxt").write_bytes(TEXT)
    (tmp_path / "trained.caffemodel").write_bytes(caffemodel([CONV]))
    advice(tmp_path / "deploy.prototxt", "give the .caffemodel, and this file as its prototxt (--prototxt)")
    given = {"prototxt": tmp_path / "deploy.prototxt", "geometry": "caffe"}
    check_caffe(converters.open_source(tmp_path / "trained.caffemodel", **given))


def test_weights_without_a_definition():
    bare = layer("conv", "Convolution", top="conv", blobs=CONV.blobs)
    data = caffemodel([bare])
    with pytest.raises(converters.GraphError, match=r"give the network's \.prototxt, too"):
        from_caffe(data)
    check_caffe(from_caffe(data, TEXT, "caffe"))


def test_a_padding_of_caffe_alone(tmp_path, capsys):
    (tmp_path / "a.caffemodel").write_bytes(caffemodel([CONV]))
    (tmp_path / "a.prototxt").write_bytes(prototxt([convolution("conv", "data", 3, 4, 3, pad=3)], (1, 3, 8, 8)))
    line = ["convert", str(tmp_path / "a.prototxt"), "-o", str(tmp_path / "out")]
    assert main(line) == 1
    assert 'use geometry="caffe"' in capsys.readouterr().err
    assert main([*line, "--geometry", "caffe"]) == 0


@pytest.mark.parametrize("other", ["deployed", "geometry"])
def test_a_padding_that_depends_on_a_size_that_is_not_stated(other):
    open_size = prototxt([CONV]).replace(b'name: "net"', b'input: "data"')
    with pytest.raises(converters.GraphError, match=r"give a deployed network's \.prototxt, or use geometry"):
        from_caffe(caffemodel([CONV]), open_size)
    if other == "geometry":
        check_caffe(from_caffe(caffemodel([CONV]), open_size, "caffe"))
    else:
        assert from_caffe(caffemodel([CONV]), TEXT).metadata.image_shape == (8, 8, 3)


def test_an_input_that_the_definition_leaves_out():
    with pytest.raises(converters.GraphError, match="give a prototxt") as caught:
        from_caffe(caffemodel([CONV]), prototxt([CONV]), "caffe")
    line = re.search(r"input: \"data\" input_shape \{.*?\}", str(caught.value))[0]
    check_caffe(from_caffe(caffemodel([CONV]), line.encode() + prototxt([CONV]), "caffe"))
