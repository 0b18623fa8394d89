"""The writer of frozen graphs, and the graphs made with it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.types_pb2 import DataType

from converters.frozen.graphdef import read_graph
from converters.frozen.writer import GraphWriter
from lucid_port.modelzoo.seeded import seeded_inceptionv1, smooth_twin


@pytest.fixture(scope="module")
def inception():
    return seeded_inceptionv1()


def test_the_seeded_graph_is_the_same_on_every_machine():
    graph = seeded_inceptionv1(width=0.125)
    digest = hashlib.sha256(b"".join(node.attr["value"].tensor.tensor_content for node in graph.node))
    assert digest.hexdigest() == "1b6dd7650647949a64ae067ce5a2f62ad0d82d37fb0b525daa7c32b273c7976d"


def test_the_seeded_graph_is_as_large_as_the_real_one(inception):
    assert round(inception.ByteSize() / 1e6, 1) == 53.9


def test_another_seed_gives_other_weights_of_the_same_graph():
    first, second = (seeded_inceptionv1(seed=seed, width=0.125) for seed in (0, 1))
    assert [node.name for node in first.node] == [node.name for node in second.node]
    assert first != second


def test_the_seeded_graph_has_the_real_ones_attributes(inception):
    graph = read_graph(inception)
    norm = graph["localresponsenorm1"].attrs
    assert norm == pytest.approx({"depth_radius": 5, "bias": 2.0, "alpha": 1e-4, "beta": 0.5, "T": "float32"})
    assert (graph["head0_pool"].attrs["ksize"], graph["head0_pool"].attrs["strides"]) == ((1, 5, 5, 1), (1, 3, 3, 1))
    assert graph["mixed4a"].op == "Concat"
    assert [str(source) for source in graph["mixed4a"].inputs] == [
        "mixed4a/concat_dim", "mixed4a_1x1", "mixed4a_3x3", "mixed4a_5x5", "mixed4a_pool_reduce",
    ]  # fmt: skip
    assert graph["mixed4a/concat_dim"].constant() == 3
    assert [str(graph[name].inputs[0]) for name in ("output", "output1", "output2")] == [
        "softmax0", "softmax1", "softmax2",
    ]  # fmt: skip
    assert list(graph["head1_bottleneck/reshape/shape"].constant()) == [-1, 2048]


@pytest.mark.parametrize("width", [0, -1.0])
def test_a_network_without_channels_is_refused(width):
    with pytest.raises(ValueError, match="positive"):
        seeded_inceptionv1(width=width)


def test_a_smooth_twin_differs_in_its_ops_only(inception):
    twin = smooth_twin(inception)
    replaced = {"Softplus": "Relu"}
    assert not {node.op for node in twin.node} & {"Relu", "MaxPool"}
    for node, other in zip(inception.node, twin.node, strict=True):
        back = "MaxPool" if node.op == "MaxPool" else replaced.get(other.op, other.op)
        assert (node.name, list(node.input), back) == (other.name, list(other.input), node.op)
        assert node.attr == other.attr


def test_attributes_get_the_types_that_tensorflow_wants():
    writer = GraphWriter()
    x = writer.placeholder("x", [None, 5, None, 3])
    writer.op("y", "Any", [x], flag=True, count=3, ratio=2.0, text="SAME", kind=np.int32, sizes=[1, 2], none=[])
    placeholder, node = writer.graph_def().node
    assert [dim.size for dim in placeholder.attr["shape"].shape.dim] == [-1, 5, -1, 3]
    kinds = {key: value.WhichOneof("value") for key, value in node.attr.items()}
    wanted = {"T": "type", "flag": "b", "count": "i", "ratio": "f", "text": "s", "kind": "type"}
    assert kinds == {**wanted, "sizes": "list", "none": "list"}
    assert node.attr["T"].type == DataType.DT_FLOAT
    assert list(node.attr["sizes"].list.i) == [1, 2]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(1.5, np.float32), (3, np.int32), ([[1.0, 2.0]], np.float32), (np.arange(4.0), np.float64), ([1, 2], np.int32)],
)
def test_constants_are_read_back(value, dtype):
    writer = GraphWriter()
    writer.const("c", value)
    read = read_graph(writer.graph_def())["c"].constant()
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, value)
    assert read.shape == np.shape(value)


def test_a_splat_is_read_back_whole():
    writer = GraphWriter()
    writer.splat("c", 0.5, (2, 3))
    assert not writer.graph_def().node[0].attr["value"].tensor.tensor_content
    np.testing.assert_array_equal(read_graph(writer.graph_def())["c"].constant(), np.full((2, 3), 0.5, np.float32))


@pytest.mark.parametrize(
    ("add", "match"),
    [
        (lambda w: w.const("x", 1), "already has a node"),
        (lambda w: w.const("a b", 1), "accepts no node"),
        (lambda w: w.const("", 1), "accepts no node"),
        (lambda w: w.op("y", "Relu", ["z"]), "not added before"),
    ],
)
def test_nodes_that_cannot_be(add, match):
    writer = GraphWriter()
    writer.placeholder("x", [None])
    with pytest.raises(ValueError, match=match):
        add(writer)


def test_an_attribute_that_cannot_be():
    writer = GraphWriter()
    with pytest.raises(TypeError, match="'what'"):
        writer.op("y", "Any", [], what={})


def test_files_are_written_whole_or_not_at_all(tmp_path):
    writer = GraphWriter()
    writer.const("c", 1.0)
    path = writer.write(tmp_path / "graph.pb")
    assert GraphDef.FromString(path.read_bytes()) == writer.graph_def()
    folder = tmp_path / "taken.pb"
    folder.mkdir()
    with pytest.raises(OSError, match="taken"):
        writer.write(folder)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["graph.pb", "taken.pb"]
