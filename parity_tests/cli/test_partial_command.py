"""Parts of networks on the command line: what was left out, --outputs, --input-name and --set."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import converters
from lucid_port.cli import main
from parity_tests.converters.caffe_files import caffemodel, prototxt
from parity_tests.converters.caffe_networks import convolution, layer
from parity_tests.strangers import INPUT, STRANGERS, graph_file, references

LOSS = graph_file("loss_behind_logits")


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def check(folder, name: str, layers: list[str]) -> None:
    """Layers of a converted folder have TensorFlow's values."""
    recorded, model = references()[name].inputs[INPUT], converters.load(folder)
    x = torch.from_numpy(recorded.make_input()).permute(0, 3, 1, 2)
    for layer_name, value in model.activations(x, layers).items():
        array = value.permute(0, 2, 3, 1).numpy() if value.ndim == 4 else value.numpy()
        assert recorded.layers[layer_name].error(np.ascontiguousarray(array)) <= 1e-5


def test_a_loss_behind_the_logits(tmp_path, capsys):
    assert run("convert", LOSS, "-o", tmp_path / "out", "--input-name", "x") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("Left out: ")
    assert "the op SoftmaxCrossEntropyWithLogits of 'loss' cannot be converted" in lines[1]
    check(tmp_path / "out", "loss_behind_logits", ["relu", "logits"])
    assert run("layers", tmp_path / "out") == 0
    captured = capsys.readouterr()
    assert "logits" in captured.out
    assert "Left out: " not in captured.out
    assert captured.err.startswith("Left out: ")


def test_outputs_on_the_command_line(tmp_path, capsys):
    assert run("convert", LOSS, "-o", tmp_path / "out", "--outputs", "logits,relu", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outputs"] == ["logits", "relu"]
    assert set(told["left_out"]) >= {"loss", "mse"}
    check(tmp_path / "out", "loss_behind_logits", ["relu", "logits"])
    assert run("layers", LOSS, "--outputs", "relu", "--json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["x", "Conv2D", "relu"]
    assert run("convert", LOSS, "-o", tmp_path / "other", "--outputs", "loss") == 1
    assert "SoftmaxCrossEntropyWithLogits (loss)" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "hint", "layers"),
    [
        ("slim_switches", ["--set", "phase_train=false"], ["c1/Relu", "embeddings"]),
        ("encoded_picture", ["--input-name", "Mul"], ["Conv2D", "relu"]),
        ("detector", ["--input-name", "Preprocessor/sub"], ["FeatureExtractor/features", "raw_boxes", "raw_scores"]),
    ],
)
def test_the_hint_of_an_error_is_an_option_that_opens_the_graph(name, hint, layers, tmp_path, capsys):
    assert run("convert", graph_file(name), "-o", tmp_path / "out") == 1
    assert " ".join(hint) in capsys.readouterr().err
    assert run("convert", graph_file(name), "-o", tmp_path / "out", *hint) == 0
    check(tmp_path / "out", name, layers)


@pytest.mark.parametrize("unit", ["loss:1", "nothing:1", "logits:1"])
def test_a_layer_that_is_missing_is_reported_before_the_value_range(unit, tmp_path, capsys):
    words = {"loss:1": "the op SoftmaxCrossEntropyWithLogits of 'loss' cannot be converted", "nothing:1": "No layer is"}
    line = ["render", LOSS, unit, "-o", tmp_path / "a.png", "--input-name", "x"]
    assert run(*line) == 1
    assert words.get(unit, "--value-range") in capsys.readouterr().err


def test_outputs_of_caffe_and_onnx(tmp_path, capsys):
    net = [convolution("conv", "data", 3, 4, 3, pad=1), layer("boxes", "PriorBox", "conv")]
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(net))
    (tmp_path / "net.prototxt").write_bytes(prototxt(net, (1, 3, 8, 8)))
    line = ["convert", tmp_path / "net.prototxt", "-o", tmp_path / "out"]
    assert run(*line) == 0
    assert "the layer type PriorBox of 'boxes' cannot be converted" in capsys.readouterr().out
    assert run(*line, "--overwrite", "--outputs", "conv/Conv2D") == 0
    assert "outputs conv/Conv2D" in capsys.readouterr().out
    converters.load(tmp_path / "out").to_onnx(tmp_path / "net.onnx")
    assert run("layers", tmp_path / "net.onnx", "--outputs", "conv/Conv2D") == 0
    assert "conv/Conv2D" in capsys.readouterr().out


def test_what_was_left_out_of_each_graph_takes_one_line():
    for name, stranger in STRANGERS.items():
        model = converters.convert(graph_file(name), **stranger.options)
        sentence = converters.errors.left_out_sentence(model.left_out)
        assert len(sentence) < 1000
        assert "\n" not in sentence
