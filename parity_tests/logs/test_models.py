"""Graphs, histograms and points of models, read back by TensorBoard's own reader."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorboardX
import torch
from google.protobuf import text_format
from PIL import Image
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import converters
from converters.frozen.graphdef import read_graph
from converters.frozen.writer import GraphWriter
from lucid_port import logs
from lucid_port.logs import embedding
from lucid_port.logs.histograms import Histogram
from lucid_port.logs.pictures import load_pictures
from lucid_port.modelzoo import from_torch
from lucid_port.modelzoo.nets_factory import graph_file
from lucid_port.modelzoo.vision_base import Model
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from parity_tests.event_files import read


class Branching(nn.Module):
    """A network with two ways to its output."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.left, self.right = nn.Conv2d(4, 5, 1), nn.Conv2d(4, 5, 1)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        return self.left(x) + self.right(x)


class Untraceable(nn.Module):
    """A network whose code depends on values."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        return y if float(y.sum()) > 0 else -y


@pytest.fixture(scope="module")
def model():
    return TinyInceptionV1()


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).random((5, 40, 34, 3), np.float32)


def _model(kind):
    torch.manual_seed(0)
    return from_torch(kind().eval(), image_value_range=(0, 1), image_shape=(16, 16, 3))


# The graph ---------------------------------------------------------------------------------------


def test_the_graph_has_the_nodes_of_the_frozen_graph(model, tmp_path):
    logs.log_graph(model, tmp_path)
    graph = GraphDef.FromString(read(tmp_path).Graph().SerializeToString())
    frozen = read_graph(graph_file("TinyInceptionV1"))
    found = {node.name: node for node in graph.node}
    assert len(found) == len(graph.node)
    assert set(found) == set(model.network.layers)
    for name in found.keys() & frozen.nodes.keys():
        assert found[name].op == frozen[name].op
        computed = [one.node for one in frozen[name].inputs if one.node in found]
        assert list(found[name].input) == list(dict.fromkeys(computed)), name
    joins = found.keys() - frozen.nodes.keys()  # Lucid's, before the ReLUs
    assert joins == {f"mixed{block}_pre_relu" for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")}
    assert all(len(found[name].input) == 4 for name in joins)


def test_nodes_state_their_layer(model):
    node = next(one for one in logs.graph_of(model).node if one.name == "conv2d0_pre_relu/conv")
    assert json.loads(node.attr["arguments"].s)["kernel_size"] == [7, 7]
    assert node.attr["layer"].s == b"Conv2d"
    assert node.attr["tensor.weight"].s == b"[16, 3, 7, 7]"


def test_steps_that_adapt_an_input_are_passed_over(tmp_path):
    graph = GraphWriter()
    x = graph.placeholder("input", [None, 8, 6, 3])
    flat = graph.op("flat", "Reshape", [x, graph.const("shape", [-1, 144], np.int32)], Tshape=np.int32)
    graph.op("logits", "MatMul", [flat, graph.const("w", np.ones((144, 2), np.float32))])
    network = converters.convert(graph.graph_def())
    made = Model(network=network, image_value_range=(0, 1), image_shape=(8, 6, 3))
    nodes = {node.name: list(node.input) for node in logs.graph_of(made).node}
    assert nodes == {"input": [], "flat": ["input"], "logits": ["flat"]}


def test_a_traced_network_has_its_layers_and_branches():
    nodes = {node.name: (node.op, list(node.input)) for node in logs.graph_of(_model(Branching)).node}
    assert nodes["left"][1] == nodes["right"][1]
    assert nodes["conv"] == ("Conv2d", ["input"])
    (last,) = [name for name, (_, inputs) in nodes.items() if set(inputs) == {"left", "right"}]
    assert last in _model(Branching).network.layers


def test_the_graph_of_untraceable_code_is_refused(tmp_path):
    with pytest.raises(ValueError, match="The network's graph is not known, because its code cannot be traced"):
        logs.log_graph(_model(Untraceable), tmp_path)
    assert not list(tmp_path.iterdir())


# Histograms --------------------------------------------------------------------------------------


def _histogram(folder, tag):
    (event,) = read(folder).Histograms(tag)
    return event.step, event.histogram_value


def test_weights_are_under_their_layers_names(model, tmp_path):
    logs.log_weights(model, tmp_path, step=3)
    tags = read(tmp_path).Tags()["histograms"]
    assert len(tags) == len(model.network.state_dict())
    weight = model.network.layer_module("conv2d0_pre_relu/conv").weight.detach().double().numpy()
    step, found = _histogram(tmp_path, "weights/conv2d0_pre_relu/conv/weight")
    assert (step, found.num, found.min, found.max) == (3, weight.size, weight.min(), weight.max())
    assert sum(found.bucket) == weight.size
    np.testing.assert_allclose(found.sum, weight.sum(), rtol=1e-9)
    np.testing.assert_allclose(found.sum_squares, np.square(weight).sum(), rtol=1e-9)


def test_weights_of_a_torch_network(tmp_path):
    made = _model(Branching)
    logs.log_weights(made, tmp_path)
    expected = [f"weights/{name.replace('.', '/')}" for name in Branching().state_dict()]
    assert sorted(read(tmp_path).Tags()["histograms"]) == sorted(expected)


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_activations_of_all_pictures(model, pictures, tmp_path, batch_size):
    logs.log_activations(model, torch.as_tensor(pictures).movedim(-1, 1), tmp_path, ["mixed4a"], batch_size=batch_size)
    assert read(tmp_path).Tags()["histograms"] == ["activations/mixed4a"]
    _, found = _histogram(tmp_path, "activations/mixed4a")
    images = load_pictures(model, pictures).images
    values = model.activations(images, "mixed4a")["mixed4a"].detach().double().numpy()
    assert found.num == values.size
    np.testing.assert_allclose(found.sum, values.sum(), rtol=1e-5)
    np.testing.assert_allclose(found.sum_squares, np.square(values).sum(), rtol=1e-5)


def test_the_main_layers_are_the_default(model, pictures, tmp_path):
    logs.log_activations(model, pictures[:1], tmp_path)
    tags = read(tmp_path).Tags()["histograms"]
    assert sorted(tags) == sorted(f"activations/{layer.name}" for layer in model.layers)


def test_bins_hold_their_values():
    values = np.random.default_rng(0).normal(size=1000)
    whole, parts = Histogram(), Histogram()
    whole.add(values)
    for part in np.split(values, 4):
        parts.add(part)
    np.testing.assert_array_equal(whole.counts, parts.counts)
    written = {}

    class Writer:
        def add_histogram_raw(self, tag, *numbers):
            written[tag] = numbers

    whole.write(Writer(), "a", 0)
    *_, limits, counts, _ = written["a"]
    edges = [-np.inf, *limits]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        assert count == ((values >= low) & (values < high)).sum()
    assert sum(counts) == 1000


@pytest.mark.filterwarnings("error::DeprecationWarning")
@pytest.mark.parametrize(("values", "said"), [([1, np.nan, np.inf], "2"), ([np.nan], "all")])
def test_values_that_are_not_finite_are_left_out_with_a_warning(values, said):
    histogram, written = Histogram(), []

    class Writer:
        def add_histogram_raw(self, *numbers):
            written.append(numbers)

    histogram.add(np.array(values))
    with pytest.warns(RuntimeWarning, match=rf"The histogram a leaves out {said} of its values"):
        histogram.write(Writer(), "a", 0)
    assert len(written) == (len(values) > 1)


# The projector -----------------------------------------------------------------------------------


def _folder_of_pictures(path):
    draws = np.random.default_rng(0)
    for name in ("cats/a.png", "cats/b.png", "dogs/c.png"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (72, 50, 3), np.uint8)).save(path / name)
    (path / "notes.txt").write_text("no picture")
    return path


def _config(folder):
    return text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())


def test_pictures_are_points_with_labels_and_sprites(model, tmp_path):
    folder = _folder_of_pictures(tmp_path / "pictures")
    logs.log_embedding(model, folder, tmp_path / "log", ["mixed4a", "mixed3a"], step=2)
    embeddings = {one.tensor_name: one for one in _config(tmp_path / "log").embeddings}
    assert sorted(embeddings) == ["mixed3a:00002", "mixed4a:00002"]
    one = embeddings["mixed4a:00002"]
    points = np.loadtxt(tmp_path / "log" / one.tensor_path, delimiter="\t")
    values = model.activations(load_pictures(model, folder).images, "mixed4a")["mixed4a"]
    np.testing.assert_allclose(points, values.mean((2, 3)).detach().numpy(), rtol=1e-4, atol=1e-5)
    labels = (tmp_path / "log" / one.metadata_path).read_text().splitlines()
    assert labels == ["cats/a.png", "cats/b.png", "dogs/c.png"]
    assert list(one.sprite.single_image_dim) == [64, 64]
    assert Image.open(tmp_path / "log" / one.sprite.image_path).size == (128, 128)


def test_labels_are_one_line_each(model, pictures, tmp_path):
    logs.log_embedding(model, pictures, tmp_path, "mixed4a", labels=["a\tb", "c\nd", "e", "f", "g"])
    (one,) = _config(tmp_path).embeddings
    assert (tmp_path / one.metadata_path).read_text().splitlines() == ["a b", "c d", "e", "f", "g"]


def test_many_pictures_fit_into_the_sprite():
    sprites = embedding._sprites(torch.rand(3, 1, 9, 5))
    assert sprites.shape == (3, 3, 64, 64)
    count = 200**2
    side = embedding._side(count)
    assert side * 200 <= embedding.SPRITE < (side + 1) * 200


def test_a_fully_connected_layer_and_tokens_are_points(pictures, tmp_path):
    made = TinyInceptionV1()
    last = made.layers[-1].name
    logs.log_embedding(made, pictures[:2], tmp_path, last)
    (one,) = _config(tmp_path).embeddings
    assert np.loadtxt(tmp_path / one.tensor_path, delimiter="\t").shape == (2, made.network.layers[last].channels)


@pytest.mark.parametrize("kind", [SummaryWriter, tensorboardX.SummaryWriter])
def test_writers_of_torch_and_tensorboardx(model, pictures, tmp_path, kind):
    writer = kind(str(tmp_path))
    logs.log_weights(model, writer)
    logs.log_activations(model, pictures[:1], writer, "mixed4a")
    logs.log_embedding(model, pictures, writer, "mixed4a")
    writer.add_scalar("mine", 1.0, 0)  # it is open
    writer.close()
    log = read(tmp_path)
    assert log.Tags()["scalars"] == ["mine"]
    assert "activations/mixed4a" in log.Tags()["histograms"]
    weight = model.network.layer_module("conv2d0_pre_relu/conv").weight.detach().double().numpy()
    _, found = _histogram(tmp_path, "weights/conv2d0_pre_relu/conv/weight")
    np.testing.assert_allclose(found.sum, weight.sum(), rtol=1e-9)
    (one,) = _config(tmp_path).embeddings
    assert (tmp_path / one.metadata_path).read_text().split() == list("01234")


# Bad input ---------------------------------------------------------------------------------------

CALLS = {
    "weights": lambda model, pictures, log_dir: logs.log_weights(model, log_dir),
    "activations": lambda model, pictures, log_dir: logs.log_activations(model, pictures, log_dir, "mixed4a"),
    "embedding": lambda model, pictures, log_dir: logs.log_embedding(model, pictures, log_dir, "mixed4a"),
    "graph": lambda model, pictures, log_dir: logs.log_graph(model, log_dir),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_file_is_no_folder(model, pictures, tmp_path, call):
    file = tmp_path / "log"
    file.write_text("")
    with pytest.raises(NotADirectoryError, match=r"The log_dir .*log is a file: name a folder\."):
        call(model, pictures, file)


@pytest.mark.parametrize(("name", "method"), [("weights", "add_histogram_raw"), ("embedding", "add_embedding")])
def test_a_writer_without_the_method_is_refused(model, pictures, name, method):
    class Other:
        def add_scalar(self, tag, value, step): ...

    with pytest.raises(TypeError, match=f"log_dir is a folder, or a writer with {method}, not"):
        CALLS[name](model, pictures, Other())


def test_the_graph_needs_a_folder(model, tmp_path):
    with pytest.raises(TypeError, match="log_dir is a folder, as writers have no method for graphs, not"):
        logs.log_graph(model, SummaryWriter(str(tmp_path)))


def test_wrong_layers_pictures_and_labels(model, pictures, tmp_path):
    with pytest.raises(converters.LayerNotFoundError, match="mixed4x"):
        logs.log_activations(model, pictures, tmp_path, "mixed4x")
    with pytest.raises(ValueError, match="layers names no layer"):
        logs.log_activations(model, pictures, tmp_path, [])
    with pytest.raises(FileNotFoundError, match="holds no picture"):
        logs.log_activations(model, tmp_path, tmp_path / "log", "mixed4a")
    with pytest.raises(ValueError, match="2 labels are given for 5 pictures"):
        logs.log_embedding(model, pictures, tmp_path, "mixed4a", labels=["a", "b"])
    assert not list(tmp_path.iterdir())


def test_the_model_stays_as_it_is(model, pictures, tmp_path):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    for call in CALLS.values():
        call(model, pictures, tmp_path)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
