"""What a path may hold, and what is said of files that are not read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import converters
from converters import sources
from converters.frozen.writer import GraphWriter
from converters.program.program import Metadata


@pytest.fixture
def graph(tmp_path):
    """input -> relu, as a file."""
    writer = GraphWriter()
    writer.op("relu", "Relu", [writer.placeholder("input", [None, None, None, 3])])
    return writer.write(tmp_path / "small.pb")


def refuses(path, *words: str, **options) -> None:
    """The path gives one line of error with these words."""
    with pytest.raises(converters.GraphError) as caught:
        converters.open_source(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in (str(path), *words):
        assert word in text


def test_a_frozen_graph(graph):
    network = converters.open_source(graph, metadata=Metadata("input", image_value_range=(0.0, 1.0)))
    assert list(network.layers) == ["input", "relu"]
    assert network.metadata.image_value_range == (0.0, 1.0)


@pytest.mark.parametrize("name", ["graph", "small.graphdef", "small.frozen", "model.ckpt-7.pb"])
def test_a_frozen_graph_of_another_name(graph, name):
    assert list(converters.open_source(graph.rename(graph.with_name(name))).layers) == ["input", "relu"]


def test_a_saved_folder(graph, tmp_path):
    saved = tmp_path / "saved"
    converters.save(converters.convert(graph), saved)
    network = converters.open_source(saved)
    x = torch.from_numpy(np.random.RandomState(0).randn(1, 3, 5, 7).astype(np.float32))
    assert torch.equal(network(x), x.clamp(min=0))


def test_the_input_can_be_named(tmp_path):
    writer = GraphWriter()
    for name in ("one", "other"):
        writer.op(f"{name}/relu", "Relu", [writer.placeholder(name, [None, None, None, 3])])
    path = writer.write(tmp_path / "two.pb")
    with pytest.raises(converters.GraphError, match="one, other"):
        converters.open_source(path)
    assert "other/relu" in converters.open_source(path, input_name="other").layers


def test_a_graph_is_recognised_under_the_name_of_another_kind(graph):
    assert list(converters.open_source(graph.rename(graph.with_name("small.onnx"))).layers) == ["input", "relu"]


@pytest.mark.parametrize("name", ["model.pb", "model"])
def test_an_onnx_file_is_recognised_under_the_name_of_another_kind(graph, name, tmp_path):
    path = converters.convert(graph).to_onnx(tmp_path / "small.onnx").rename(tmp_path / name)
    assert list(converters.open_source(path).layers) == ["input", "relu"]


def test_a_saved_models_file_under_another_name(tmp_path):
    path = tmp_path / "exported.pb"
    path.write_bytes(b"\x08\x01\x12\x04\x12\x02\x0a\x00")
    refuses(path, "a SavedModel's file under another name: call it saved_model.pb")


@pytest.mark.parametrize("path", [None, 3, b"small.pb"])
def test_what_is_no_path(path):
    with pytest.raises(TypeError, match="A source is a path, not"):
        converters.open_source(path)


def test_nothing_there(tmp_path):
    for name in ("nothing.pb", "nothing.onnx", "nothing"):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            converters.open_source(tmp_path / name)


def test_a_path_that_no_file_can_have():
    with pytest.raises(ValueError, match="characters that no file's name can have"):
        converters.open_source("a\0b.pb")


def test_a_path_that_is_too_long():
    with pytest.raises(converters.GraphError, match="cannot be read"):
        converters.open_source("a" * 5000)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("model.h5", "model.export"),
        ("model.keras", "model.export"),
        ("model.pt", "from_torch"),
        ("model.pth", "from_torch"),
        ("model.tflite", "tf2onnx"),
        ("model.ckpt", ".meta"),
        ("model.ckpt-12.data-00000-of-00001", ".meta"),
        ("model.ckpt-12.index", ".meta"),
        ("weights.safetensors", "give its folder"),
        ("graph.pbtxt", "text_format"),
        ("model.tar.gz", "unpack it"),
        ("notes.txt", "no file of a known kind"),
    ],
)
def test_files_that_are_not_read_say_what_to_do(name, word, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"\x80\x02some bytes")
    refuses(path, word, *(kind.name for kind in sources.KINDS))


def test_a_folder_without_a_model(tmp_path):
    refuses(tmp_path, "a folder that holds no model", "(.pb)")


def test_an_option_of_another_kind_of_source(graph):
    with pytest.raises(ValueError, match=r"a frozen TensorFlow graph \(\.pb\), which takes no signature"):
        converters.open_source(graph, signature="serving_default")


def test_an_option_that_there_is_not(graph):
    with pytest.raises(TypeError, match="frobnicate"):
        converters.open_source(graph, frobnicate=1)


def test_what_is_frozen_before_it_is_converted(graph, tmp_path):
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "saved_model.pb").touch()
    assert sources.is_frozen_here(tmp_path / "exported")
    assert not sources.is_frozen_here(graph)
    assert not sources.is_frozen_here("InceptionV1")


@pytest.mark.parametrize(
    ("text", "is_path"), [("InceptionV1", False), ("InceptionV1.pb", True), ("a/b", True), ("x.caffemodel", True)]
)
def test_names_and_paths(text, is_path):
    assert sources.looks_like_source(text) == is_path


def test_progress_is_told(graph, tmp_path):
    told: list[tuple[str, float | None]] = []
    network = converters.open_source(graph, progress=lambda what, done: told.append((what, done)))
    converters.save(network, tmp_path / "out", progress=lambda what, done: told.append((what, done)))
    assert [what for what, _ in told][:2] == ["reading", "converting"]
    assert all(done is None or 0 <= done <= 1 for _, done in told)


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.bin"])
def test_a_scripted_network_is_called_by_its_name(name, tmp_path):
    path = tmp_path / name
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(path))
    refuses(path, "TorchScript", "modelzoo.from_torch")
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "weights.pt")
    refuses(tmp_path / "weights.pt", "a PyTorch file with weights only")
