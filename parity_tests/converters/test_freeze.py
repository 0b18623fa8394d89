"""Freezing: in the real TensorFlow where there is one, and with a stand-in for its process everywhere."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import converters
from converters.frozen.graphdef import parse_graphdef
from converters.frozen.writer import GraphWriter
from converters.tensorflow import freeze, process
from converters.tensorflow.process import find_tensorflow, last_lines, run_script, tensorflow_version

STARTS_TENSORFLOW_AGAIN = pytest.mark.slow  # each start takes two seconds of one core
SAVED_NETWORKS = Path(__file__).parents[1] / "oracle" / "saved_networks.py"
BOUND = 1e-5  # of a layer's greatest value, as everywhere

STAND_IN = """#!{python}
import json, sys
if "-c" in sys.argv:
    print({version!r})
    sys.exit()
job = json.load(open(sys.argv[-1]))
json.dump(job, open({log!r}, "w"))
if {crash!r}:
    sys.exit({crash!r})
open(job["graph"], "wb").write(open({graph!r}, "rb").read())
json.dump({reply!r}, open(job["reply"], "w"))
"""
REPLY = {"tensorflow": "1.15.5", "input": "image", "outputs": ["relu"]}


@pytest.fixture
def no_tensorflow(monkeypatch, tmp_path):
    """A machine without TensorFlow."""
    monkeypatch.delenv(process.ENVIRONMENT, raising=False)
    monkeypatch.setattr(process, "tensorflow_version", lambda python: None)


class StandIn:
    """A program that takes the place of a Python with TensorFlow.

    Attributes:
        path: of the program.
    """

    def __init__(self, folder: Path, reply: dict = REPLY, crash: str | int = "", version: str = "1.15.5") -> None:
        graph = GraphWriter()
        relu = graph.op("relu", "Relu", [graph.placeholder("image", [None, None, None, 3])])
        graph.op("other", "Tanh", [graph.placeholder("labels", [None])])
        self.graph = graph.write(folder / "answer.pb")
        self.relu, self.log, self.path = relu, folder / "job.json", folder / "python"
        values = {"version": version, "log": str(self.log), "graph": str(self.graph), "reply": reply, "crash": crash}
        self.path.write_text(STAND_IN.format(python=sys.executable, **values))
        self.path.chmod(0o755)

    def job(self) -> dict:
        """What it was asked to do."""
        return json.loads(self.log.read_text())


@pytest.fixture
def checkpoint(tmp_path):
    """The files of a checkpoint, as far as they are looked at without TensorFlow."""
    for suffix in (".meta", ".index", ".data-00000-of-00001"):
        (tmp_path / f"model.ckpt-7{suffix}").touch()
    return tmp_path / "model.ckpt-7.meta"


@pytest.fixture
def saved_model(tmp_path):
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    return folder


# -- the protocol, without TensorFlow ---------------------------------------------------------------------------------


def test_a_checkpoint_is_frozen_by_the_python_that_is_named(checkpoint, tmp_path):
    python = StandIn(tmp_path)
    frozen = freeze.freeze_checkpoint(checkpoint, outputs=["relu"], tensorflow_python=python.path)
    assert frozen == freeze.Frozen(python.graph.read_bytes(), "image", ("relu",), "1.15.5")
    job = python.job()
    assert job["kind"] == "checkpoint"
    assert job["path"] == str(checkpoint)
    assert job["checkpoint"] == str(checkpoint.with_suffix(""))
    assert job["outputs"] == ["relu"]
    assert not Path(job["graph"]).parent.exists()


@pytest.mark.parametrize("name", ["model.ckpt-7", "model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001"])
def test_every_file_of_a_checkpoint_stands_for_it(name, checkpoint, tmp_path, monkeypatch):
    python = StandIn(tmp_path)
    monkeypatch.setenv(process.ENVIRONMENT, str(python.path))
    assert list(converters.open_source(tmp_path / name).layers) == ["image", "relu"]
    assert python.job()["path"] == str(checkpoint)


def test_placeholders_that_get_a_constant_are_told(checkpoint, saved_model, tmp_path):
    python = StandIn(tmp_path)
    for source in (checkpoint, saved_model):
        converters.open_source(source, tensorflow_python=python.path, constants={"labels:0": [0.5]})
        assert python.job()["constants"] == ["labels"]


@pytest.mark.parametrize("name", ["", "saved_model.pb"])
def test_a_saved_model_is_its_folder_or_its_file(name, saved_model, tmp_path):
    python = StandIn(tmp_path)
    options = {"signature": "other", "tags": ["a", "b"], "input_name": "image"}
    network = converters.open_source(saved_model / name, tensorflow_python=python.path, **options)
    assert network.outputs == ("relu",)
    job = python.job()
    assert (job["kind"], job["path"]) == ("saved_model", str(saved_model))
    assert (job["signature"], job["tags"], job["input"]) == ("other", ["a", "b"], "image")


def test_the_frozen_graph_is_kept(saved_model, tmp_path):
    python = StandIn(tmp_path)
    converters.open_source(saved_model, tensorflow_python=python.path, keep_pb=tmp_path / "kept.pb")
    assert (tmp_path / "kept.pb").read_bytes() == python.graph.read_bytes()


def test_what_tensorflow_refuses_is_said_in_one_line(saved_model, tmp_path):
    python = StandIn(tmp_path, reply={"error": "TensorFlow 1.15.5: NotFoundError: no\nvariables"})
    with pytest.raises(converters.GraphError) as caught:
        freeze.freeze_saved_model(saved_model, tensorflow_python=python.path)
    assert str(caught.value) == f"{saved_model} could not be frozen: TensorFlow 1.15.5: NotFoundError: no variables"


def test_a_process_that_crashes(saved_model, tmp_path):
    python = StandIn(tmp_path, crash="out of memory")
    with pytest.raises(converters.GraphError, match=r"TensorFlow's process .* failed, saying: out of memory"):
        freeze.freeze_saved_model(saved_model, tensorflow_python=python.path)


def test_a_process_that_crashes_without_a_word(saved_model, tmp_path):
    python = StandIn(tmp_path, crash=3)
    with pytest.raises(converters.GraphError, match="exit code 3"):
        freeze.freeze_saved_model(saved_model, tensorflow_python=python.path)


@pytest.mark.usefixtures("no_tensorflow")
def test_without_tensorflow_the_error_says_how_to_install_it(saved_model, checkpoint):
    for source in (saved_model, checkpoint):
        with pytest.raises(converters.TensorFlowMissingError) as caught:
            converters.open_source(source)
        text = str(caught.value)
        assert "\n" not in text
        for words in (str(source), "pip install tensorflow", "--tensorflow-python", "LUCID_PORT_TENSORFLOW"):
            assert words in text


def test_a_python_that_has_no_tensorflow_is_named(saved_model, tmp_path):
    python = StandIn(tmp_path, version="")
    with pytest.raises(converters.TensorFlowMissingError, match=re.escape(str(python.path))):
        freeze.freeze_saved_model(saved_model, tensorflow_python=python.path)


def test_a_meta_graph_without_its_checkpoint(checkpoint, tmp_path):
    checkpoint.with_suffix(".index").unlink()
    with pytest.raises(converters.GraphError, match=r"no weights: .*model\.ckpt-7\.index"):
        freeze.freeze_checkpoint(checkpoint, tensorflow_python=StandIn(tmp_path).path)


def test_a_checkpoint_without_its_meta_graph(checkpoint):
    checkpoint.unlink()
    with pytest.raises(converters.GraphError, match=r"weights without a graph.*model\.ckpt-7\.meta"):
        freeze.freeze_checkpoint(checkpoint.with_suffix(".index"))


def test_a_folder_that_is_no_saved_model(tmp_path):
    with pytest.raises(converters.GraphError, match=r"no SavedModel"):
        freeze.freeze_saved_model(tmp_path)


# -- in TensorFlow ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tensorflow() -> Path:
    """A Python that has TensorFlow."""
    python = find_tensorflow()
    if python is None:
        pytest.skip("needs a Python with TensorFlow, named by LUCID_PORT_TENSORFLOW")
    return python


@pytest.fixture(scope="module")
def saved(tensorflow, tmp_path_factory) -> Path:
    """A folder with what `parity_tests/oracle/saved_networks.py` writes."""
    folder = tmp_path_factory.mktemp("saved")
    run = run_script(tensorflow, SAVED_NETWORKS, folder)
    assert run.returncode == 0, last_lines(run, 8)
    return folder


def compare(saved: Path, data: bytes, input_name: str | None, layers: dict[str, str]) -> converters.ConvertedModel:
    """The converted network, which gives TensorFlow's values at some layers (name -> key of the values)."""
    values = np.load(saved / "values.npz")
    network = converters.convert(data, input_name=input_name)
    found = network.activations(torch.from_numpy(values["image"]).permute(0, 3, 1, 2), list(layers))
    for name, key in layers.items():
        value = found[name].permute(0, 2, 3, 1) if found[name].dim() == 4 else found[name]
        np.testing.assert_allclose(value.numpy(), values[key], rtol=0, atol=BOUND * abs(values[key]).max())
    return network


def test_a_saved_model_of_tensorflow(saved, tensorflow):
    frozen = freeze.freeze_saved_model(saved / "saved", tensorflow_python=tensorflow)
    # The numbers of the classes are no layer's values.
    assert (frozen.input_name, frozen.outputs) == ("image", ("prob",))
    assert frozen.tensorflow == tensorflow_version(tensorflow)
    compare(saved, frozen.data, frozen.input_name, {"conv/Relu": "relu", "prob": "prob"})


@pytest.fixture(scope="module")
def frozen(saved, tensorflow) -> freeze.Frozen:
    """The checkpoint's graph."""
    return freeze.freeze_checkpoint(saved / "ckpt" / "model.ckpt-1.meta", tensorflow_python=tensorflow)


def test_a_checkpoint_of_tensorflow(saved, frozen):
    assert frozen.input_name == "image"
    assert set(frozen.outputs) == {"prob", "unread"}
    network = compare(saved, frozen.data, frozen.input_name, {"conv/Relu": "relu", "prob": "prob"})
    assert list(network.layers) == [
        "image", "conv/Conv2D", "conv/BiasAdd", "conv/Relu", "pool", "logits", "prob", "unread"
    ]  # fmt: skip


def test_what_only_the_training_needs_is_left_out(frozen):
    names = [node.name for node in parse_graphdef(frozen.data).node]
    for word in ("labels", "loss", "accuracy", "gradients", "Adam", "save", "classes"):
        assert not [name for name in names if word in name], word


@STARTS_TENSORFLOW_AGAIN
def test_outputs_can_be_named(saved, tensorflow):
    meta = saved / "ckpt" / "model.ckpt-1.meta"
    frozen = freeze.freeze_checkpoint(meta, outputs=["conv/Relu"], tensorflow_python=tensorflow)
    network = compare(saved, frozen.data, frozen.input_name, {"conv/Relu": "relu"})
    assert network.outputs == ("conv/Relu",)


def refuses(path: Path, tensorflow: Path, *words: str, **options: str | Sequence[str]) -> None:
    with pytest.raises(converters.GraphError) as caught:
        converters.open_source(path, tensorflow_python=tensorflow, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


@STARTS_TENSORFLOW_AGAIN
def test_an_output_that_is_not_there(saved, tensorflow):
    refuses(saved / "ckpt" / "model.ckpt-1.meta", tensorflow, "'nowhere'", outputs=["nowhere"])
    refuses(saved / "saved", tensorflow, "'nowhere'", outputs=["nowhere"])


@STARTS_TENSORFLOW_AGAIN
def test_a_checkpoint_of_another_graph(saved, tensorflow):
    refuses(saved / "other" / "model.ckpt.meta", tensorflow, "lacks 1 of the 3 variables", "fc/w")


@STARTS_TENSORFLOW_AGAIN
def test_several_signatures(saved, tensorflow):
    refuses(saved / "signatures", tensorflow, "first, second", "--signature")
    refuses(saved / "signatures", tensorflow, "first, second and none called 'third'", signature="third")
    network = converters.open_source(saved / "signatures", tensorflow_python=tensorflow, signature="first")
    assert network.outputs == ("conv/Relu",)


@STARTS_TENSORFLOW_AGAIN
def test_several_graphs(saved, tensorflow):
    refuses(saved / "tags", tensorflow, "train", "gpu,serve", "--tags")
    network = converters.open_source(
        saved / "tags", tensorflow_python=tensorflow, tags=["serve", "gpu"], signature="second"
    )
    assert network.outputs == ("prob",)


@STARTS_TENSORFLOW_AGAIN
def test_what_tensorflow_cannot_load(saved, tensorflow, tmp_path):
    shutil.copytree(saved / "saved", tmp_path / "saved")
    shutil.rmtree(tmp_path / "saved" / "variables")
    refuses(tmp_path / "saved", tensorflow, "could not be frozen: TensorFlow")
    shutil.copytree(saved / "ckpt", tmp_path / "ckpt")
    meta = tmp_path / "ckpt" / "model.ckpt-1.meta"
    meta.write_bytes(meta.read_bytes()[:1000])
    refuses(meta, tensorflow, "could not be frozen: TensorFlow")


def test_a_function_that_tensorflow_2_exported(saved, tensorflow):
    version = str(tensorflow_version(tensorflow))
    if version.startswith("1."):
        pytest.skip(f"needs TensorFlow 2, not {version}")
    frozen = freeze.freeze_saved_model(saved / "function", tensorflow_python=tensorflow)
    compare(saved, frozen.data, frozen.input_name, {"relu": "function"})
