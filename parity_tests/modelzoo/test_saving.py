"""What a graph says of itself: guesses, the metadata node, manifests."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.errors import GraphError
from converters.frozen.graphdef import read_graph
from converters.frozen.writer import GraphWriter
from lucid_port.modelzoo.vision_base import FrozenGraphModel, Model, SerializedModel


def float_graph() -> GraphWriter:
    graph = GraphWriter()
    image = graph.placeholder("images", [None, 9, 7, 3])
    doubled = graph.op("doubled", "Mul", [image, graph.const("two", np.float32(2))])
    graph.op("relu", "Relu", [doubled])
    graph.op("unused", "Tanh", [image])
    graph.op("prob", "Softmax", [graph.op("rows", "Mean", [doubled, graph.const("axes", np.array([1, 2], np.int32))])])
    return graph


def integer_graph(divisions: int = 1) -> GraphDef:
    """An input of bytes that becomes floating point by a division by 255."""
    graph = GraphWriter()
    pixels = graph.placeholder("pixels", [None, 9, 7, 3])
    x = graph.op("floats", "Cast", [pixels], DstT="float32")
    for index in range(divisions):
        x = graph.op(f"divided{index}", "RealDiv", [x, graph.const(f"by{index}", np.float32(255))])
    graph.op("relu", "Relu", [x])
    result = graph.graph_def()
    for node in result.node:
        if node.name == "pixels":
            node.attr["dtype"].type = 4  # DT_UINT8
    return result


@pytest.fixture
def path(tmp_path):
    return float_graph().write(tmp_path / "graph.pb")


def test_a_graph_with_one_floating_point_input(path, capsys):
    assert Model.suggest_save_args(path) == {
        "input_name": "images",
        "image_shape": [9, 7, 3],
        "output_names": ["prob"],
        "image_value_range": None,
    }
    printed = capsys.readouterr().out
    for words in ("Model.save(", "input_name='images'", "output_names=['prob']", "image_value_range=...,  # such as"):
        assert words in printed


@pytest.mark.filterwarnings("ignore:The graph does not state its output_names")
def test_integers_divided_by_255():
    with pytest.warns(UserWarning, match="image_shape"):
        found = Model.suggest_save_args(integer_graph())
    assert (found["input_name"], found["image_value_range"]) == ("divided0", (0, 1))


@pytest.mark.filterwarnings("ignore:The graph does not state its output_names")
def test_two_divisions_leave_the_input_open():
    with pytest.warns(UserWarning, match="input_name"):
        assert Model.suggest_save_args(integer_graph(2))["input_name"] is None


def test_two_inputs_leave_it_open(tmp_path):
    graph = float_graph()
    graph.placeholder("more", [None])
    with pytest.warns(UserWarning, match="input_name"):
        assert Model.suggest_save_args(graph.write(tmp_path / "two.pb"))["input_name"] is None


def test_a_saved_graph_says_how_it_is_fed(path, tmp_path):
    saved = Model.save(tmp_path / "saved.pb", "images", ["relu"], [9, 7, 3], [-1, 1], graph=path)
    model = Model.load(saved)
    assert (model.input_name, tuple(model.image_shape)) == ("images", (9, 7, 3))
    assert tuple(model.image_value_range) == (-1, 1)
    image = torch.rand(2, 3, 5, 6)
    torch.testing.assert_close(model.activations(image, ["relu"])["relu"], (2 * (image * 2 - 1)).relu())


def test_the_metadata_node_is_lucids(path, tmp_path):
    """The text that Lucid itself wrote for these values."""
    saved = Model.save(tmp_path / "saved.pb", "images", ["relu"], [16, 16, 3], [0, 1], graph=path)
    node = next(node for node in GraphDef.FromString(saved.read_bytes()).node if node.name == "lucid_metadata_json")
    expected = b'{"input_name": "images", "image_shape": [16, 16, 3], "image_value_range": [0, 1]}'
    assert (node.op, list(node.attr["value"].tensor.string_val)) == ("Const", [expected])


def test_only_what_the_outputs_need_is_saved(path, tmp_path):
    saved = Model.save(tmp_path / "saved.pb", "images", ["relu"], None, [0, 1], graph=path)
    assert set(read_graph(saved).nodes) == {"images", "two", "doubled", "relu", "lucid_metadata_json"}


def test_saving_twice_replaces_the_metadata(path, tmp_path):
    once = Model.save(tmp_path / "once.pb", "images", ["relu"], [9, 7, 3], [0, 1], graph=path)
    again = Model.save(tmp_path / "again.pb", "images", ["relu"], [9, 7, 3], [0, 255], graph=once)
    assert tuple(Model.load(again).image_value_range) == (0, 255)


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (("images:0", ["relu"]), ValueError, "'images:0' is a tensor's"),
        (("images", ["relu:0"]), ValueError, "'relu:0' is a tensor's"),
        (("images", []), ValueError, "at least one output"),
        (("images", ["reluu"]), GraphError, "Did you mean relu"),
    ],
)
def test_names_that_make_no_sense(path, tmp_path, names, error, words):
    with pytest.raises(error, match=words):
        Model.save(tmp_path / "saved.pb", *names, [9, 7, 3], [0, 1], graph=path)
    assert not (tmp_path / "saved.pb").exists()


def test_a_graph_that_does_not_say_it_is_not_loaded(path):
    with pytest.raises(ValueError, match="image_value_range"):
        Model.load(path)


def test_other_files_are_not_loaded(tmp_path):
    """Lucid gives None."""
    with pytest.raises(ValueError, match=r"not .*model\.h5"):
        Model.load(tmp_path / "model.h5")


def test_metadata_beside_the_graph(path):
    metadata = {"input_name": "images", "image_shape": [9, 7, 3], "image_value_range": [0, 255]}
    assert tuple(Model.load_from_metadata(path, metadata).image_value_range) == (0, 255)
    with pytest.raises(ValueError, match="lacks image_shape, image_value_range"):
        Model.load_from_metadata(path, {"input_name": "images"})


MANIFEST = {
    "model_path": "./graph.pb",
    "input_name": "images",
    "image_shape": [9, 7, 3],
    "image_value_range": [-1, 1],
    "layers": [{"name": "relu", "depth": 3, "tags": ["conv"]}],
    "labels": ["a", "b", "c"],
    "model_name": "Small",
    "remark": "mine",
}


def write_manifest(folder, **changes):
    stated = {key: value for key, value in {**MANIFEST, **changes}.items() if value is not None}
    (folder / "manifest.json").write_text(json.dumps(stated))
    return folder / "manifest.json"


def test_a_manifest(path, tmp_path):
    model = Model.load(write_manifest(tmp_path))
    assert isinstance(model, FrozenGraphModel)
    assert (model.name, model.labels, model.layer_names, model.remark) == ("Small", ["a", "b", "c"], ["relu"], "mine")
    assert (model.layers[0].depth, model.layers[0].tags, model.layers[0].model_name) == (3, {"conv"}, "Small")
    image = torch.rand(1, 3, 4, 5)
    torch.testing.assert_close(model.activations(image, ["relu"])["relu"], (2 * (image * 2 - 1)).relu())


def test_a_manifest_in_its_folder(path, tmp_path):
    write_manifest(tmp_path, layers=["doubled", "relu"], model_name=None)
    model = SerializedModel.from_directory(tmp_path)
    assert (model.name, model.layer_names, model.layers) == ("FrozenGraphModel", ["doubled", "relu"], ())


def test_a_manifest_needs_no_layers(path, tmp_path):
    """Lucid raises a TypeError."""
    assert Model.load(write_manifest(tmp_path, layers=None)).layer_names == []


def test_what_a_manifest_says_hides_nothing_of_the_model(path, tmp_path):
    model = Model.load(write_manifest(tmp_path, forward="mine"))
    assert callable(model.forward)


@pytest.mark.parametrize("key", ["model_path", "input_name", "image_shape", "image_value_range"])
def test_a_manifest_that_lacks_something(path, tmp_path, key):
    with pytest.raises(ValueError, match=f"The manifest lacks {key}"):
        Model.load(write_manifest(tmp_path, **{key: None}))


def test_a_manifest_of_another_type(path, tmp_path):
    with pytest.raises(NotImplementedError, match="'keras'"):
        Model.load(write_manifest(tmp_path, type="keras"))


def test_layers_that_are_neither_names_nor_objects(path, tmp_path):
    with pytest.raises(ValueError, match="names, or objects with name, depth and tags"):
        Model.load(write_manifest(tmp_path, layers=[{"name": "relu"}]))


@pytest.mark.parametrize(("text", "words"), [("[1]", "holds list"), ("{", "not JSON")])
def test_a_file_that_is_no_manifest(tmp_path, text, words):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        Model.load(tmp_path / "manifest.json")


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no manifest"):
        Model.load(tmp_path / "manifest.json")
