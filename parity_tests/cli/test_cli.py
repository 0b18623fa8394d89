"""The command line: what it prints, its exit codes, and that errors are one line."""

from __future__ import annotations

import json
import sys
import time

import pytest

from converters.frozen.writer import GraphWriter
from lucid_port.cli import main


@pytest.fixture
def graph(tmp_path):
    """A small graph as a file: input -> block/relu -> block/tanh."""
    writer = GraphWriter()
    relu = writer.op("block/relu", "Relu", [writer.placeholder("input", [None, None, None, 3])])
    writer.op("block/tanh", "Tanh", [relu])
    return writer.write(tmp_path / "small.pb")


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def fails(capsys, code: int, *words: str) -> None:
    """The last command wrote one line of error with these words."""
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "Traceback" not in captured.err
    for word in words:
        assert word in lines[0]


def test_layers_are_a_table(graph, capsys):
    assert run("layers", graph) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["name", "op", "channels"],
        ["input", "Placeholder", "3"],
        ["block/relu", "Relu", "3"],
        ["block/tanh", "Tanh", "3"],
    ]


def test_layers_as_json(graph, capsys):
    assert run("layers", graph, "--json", "--grep", "TANH") == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "block/tanh", "op": "Tanh", "channels": 3}]


def test_a_grep_that_finds_nothing(graph, capsys):
    assert run("layers", graph, "--grep", "conv") == 2
    fails(capsys, 2, "'conv'")


def test_convert_writes_a_model_that_can_be_used_as_a_source(graph, tmp_path, capsys):
    assert run("convert", graph, "-o", tmp_path / "out", "--standalone") == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"model.json", "model.py", "weights.safetensors"}
    assert run("layers", tmp_path / "out") == 0


def test_convert_does_not_overwrite_unless_told(graph, tmp_path, capsys):
    assert run("convert", graph, "-o", tmp_path / "out") == 0
    capsys.readouterr()
    assert run("convert", graph, "-o", tmp_path / "out") == 1
    fails(capsys, 1, "exists already")
    assert run("convert", graph, "-o", tmp_path / "out", "--overwrite") == 0


def test_convert_freezes_and_keeps_the_frozen_graph(graph, tmp_path, capsys):
    """With a program in TensorFlow's place, which answers with the small graph."""
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "saved_model.pb").touch()
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport json, shutil, sys\n"
        "if '-c' in sys.argv:\n    sys.exit(print('2.21.0'))\n"
        "job = json.load(open(sys.argv[-1]))\n"
        f"shutil.copy({str(graph)!r}, job['graph'])\n"
        "reply = {'input': 'input', 'outputs': job['outputs'], 'tensorflow': '2.21.0'}\n"
        "json.dump(reply, open(job['reply'], 'w'))\n"
    )
    python.chmod(0o755)
    arguments = [
        "--tensorflow-python",
        python,
        "--keep-pb",
        tmp_path / "kept.pb",
        "--outputs",
        "block/relu, block/tanh",
    ]
    assert run("convert", tmp_path / "exported", "-o", tmp_path / "out", *arguments) == 0
    assert "outputs block/tanh" in capsys.readouterr().out
    assert (tmp_path / "kept.pb").read_bytes() == graph.read_bytes()


def test_convert_refuses_options_of_other_sources(graph, tmp_path, capsys):
    assert run("convert", graph, "-o", tmp_path / "out", "--signature", "x") == 1
    fails(capsys, 1, "takes no signature")


@pytest.mark.parametrize(("name", "word"), [("x.h5", "model.export"), ("x.pth", "from_torch"), ("x.ckpt", ".meta")])
def test_files_that_are_not_read_say_what_to_do(name, word, tmp_path, capsys):
    (tmp_path / name).touch()
    assert run("convert", tmp_path / name, "-o", tmp_path / "out") == 1
    fails(capsys, 1, word, "frozen TensorFlow graph (.pb)")


def test_progress_is_for_terminals(graph, tmp_path, capsys, monkeypatch):
    from lucid_port.cli import console

    monkeypatch.setattr(console, "PROGRESS_AFTER", 0.0)
    assert run("convert", graph, "-o", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with console.progress_bar() as report:
        report("reading", 0.5)
        time.sleep(0.3)
    captured = capsys.readouterr()
    assert "reading" in captured.err
    assert captured.out == ""


def test_check_compares_with_the_committed_references(tmp_path, capsys):
    assert run("convert", "InceptionV1_seeded", "-o", tmp_path / "out", "--check") == 0
    assert "TensorFlow 1.15.5; the worst is activation" in capsys.readouterr().out


def test_a_network_that_computes_something_else_fails_the_check(tmp_path, capsys, monkeypatch):
    from converters import layers

    monkeypatch.setattr(layers.LocalResponseNorm, "forward", lambda self, x: x)
    assert run("convert", "InceptionV1_seeded", "-o", tmp_path / "out", "--check") == 1
    fails(capsys, 1, "fail", "the first layer is activation localresponsenorm0")
    assert not (tmp_path / "out").exists()


def test_check_of_the_packages_model_needs_no_checkout(tmp_path, capsys, monkeypatch):
    from converters.reference import store

    monkeypatch.setattr(store, "reference_folders", list)
    assert run("convert", "TinyInceptionV1", "-o", tmp_path / "out", "--check") == 0
    assert "against TensorFlow 1.15.5" in capsys.readouterr().out


def test_check_without_anything_to_compare_with(graph, tmp_path, capsys, monkeypatch):
    from lucid_port.cli import comparison

    monkeypatch.setattr(comparison, "find_tensorflow", lambda python: None)
    assert run("convert", graph, "-o", tmp_path / "out", "--check") == 1
    words = ("pip install tensorflow", "--tensorflow-python", "LUCID_PORT_TENSORFLOW", "tox -e reference")
    fails(capsys, 1, "nothing to check against", *words)


def test_check_asks_the_python_that_is_named(graph, tmp_path, capsys, monkeypatch):
    from lucid_port.cli import comparison

    asked = []
    monkeypatch.setattr(comparison, "find_tensorflow", asked.append)
    assert run("convert", graph, "-o", tmp_path / "out", "--check", "--tensorflow-python", "tf/bin/python") == 1
    fails(capsys, 1, "no TensorFlow in tf/bin/python")
    assert [str(python) for python in asked] == ["tf/bin/python"]


@pytest.fixture
def scaled(tmp_path):
    """A graph with a second placeholder, as a file."""
    writer = GraphWriter()
    image, keep = writer.placeholder("input", [None, None, None, 3]), writer.placeholder("keep_prob", [])
    writer.op("scaled", "Mul", [image, keep])
    return writer.write(tmp_path / "scaled.pb")


def test_placeholders_are_set(scaled, tmp_path, capsys):
    for command in (["convert", scaled, "-o", tmp_path / "out"], ["layers", scaled]):
        assert run(*command) == 1
        fails(capsys, 1, "second input", "--set keep_prob=VALUE")
        assert run(*command, "--set", "keep_prob=0.5") == 0
        assert "scaled" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["keep_prob"], ["NAME=VALUE", "'keep_prob'"]),
        (["=1"], ["NAME=VALUE"]),
        (["keep_prob=half"], ["true, false, a number or a list", "'half'"]),
        (["keep_prob=1", "keep_prob=2"], ["'keep_prob=2' is given twice"]),
    ],
)
def test_settings_that_cannot_be_read(settings, words, scaled, capsys):
    assert run("layers", scaled, *(f"--set={setting}" for setting in settings)) == 2
    fails(capsys, 2, *words)


def test_render_takes_what_the_file_leaves_open(scaled, tmp_path, capsys):
    arguments = ["--steps", 1, "--size", 8, "--value-range=0,1", "--input-name", "input", "--set", "keep_prob=0.5"]
    assert run("render", scaled, "scaled:1", "-o", tmp_path / "unit.png", *arguments) == 0
    assert run("render", scaled, "scaled:1", "-o", tmp_path / "unit.png", *arguments, "--layout", "NCHW") == 1
    fails(capsys, 1, "a frozen TensorFlow graph (.pb), which takes no layout")


def test_an_onnx_file_needs_no_conversion(graph, tmp_path, capsys):
    assert run("export", graph, "-o", tmp_path / "small.onnx") == 0
    for options in ([], ["--check"]):
        capsys.readouterr()
        assert run("convert", tmp_path / "small.onnx", "-o", tmp_path / "out", *options) == 1
        fails(capsys, 1, "needs no conversion")


def test_models_are_listed(capsys):
    assert run("models") == 0
    out = capsys.readouterr().out
    for name in ("InceptionV1", "InceptionV1_caffe", "InceptionV1_seeded"):
        assert name in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["layers", "nothing.pb"], 1, ["no file nothing.pb"]),
        (["layers", "InceptionV9"], 1, ["No model is called 'InceptionV9'", "Did you mean"]),
        (["layers"], 2, ["SOURCE"]),
        (["frobnicate"], 2, ["frobnicate"]),
        (["convert", "InceptionV1_seeded"], 2, ["--output"]),
        (["render", "InceptionV1_seeded", "mixed4a:3", "-o", "/dev/null/x.png"], 1, ["/dev/null"]),
        (["render", "InceptionV1_seeded", "mixed4a:3", "-o", "x.xyz"], 1, ["xyz"]),
        (["render", "InceptionV1_seeded", "mixed4q:3", "-o", "x.png"], 1, ["mixed4q", "Did you mean mixed4"]),
        (["render", "InceptionV1_seeded", "mixed4a:508", "-o", "x.png"], 1, ["508", "mixed4a"]),
        (["render", "InceptionV1_seeded", "mixed4a", "-o", "x.png"], 1, ["mixed4a"]),
        (["render", "InceptionV1_seeded", "mixed4a:3", "-o", "x.png", "--value-range", "1"], 2, ["--value-range"]),
    ],
)
def test_errors_are_one_line(arguments, code, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == code
    fails(capsys, code, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_does_not_say_its_range(graph, tmp_path, capsys):
    assert run("render", graph, "block/tanh:0", "-o", tmp_path / "x.png", "--steps", "2") == 1
    fails(capsys, 1, "--value-range")


def test_debug_shows_the_traceback(capsys):
    assert run("layers", "nothing.pb", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_render_writes_a_picture(tmp_path, capsys):
    from PIL import Image

    path = tmp_path / "x.png"
    assert run("render", "InceptionV1_seeded", "mixed3a_pre_relu:3", "-o", path, "--size", "33", "--steps", "2") == 0
    with Image.open(path) as picture:
        assert picture.size == (33, 33)
        assert picture.mode == "RGB"
    assert "2 steps" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_file(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("render", "InceptionV1_seeded", "conv2d0:3", "-o", tmp_path / f"{name}.png", "--size", "24", "--steps", "3",
            "--seed", seed)  # fmt: skip
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c
