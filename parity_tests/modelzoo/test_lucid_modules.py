"""Lucid's modules of models and of helpers for graphs, and its recipes for saved models."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.frozen.writer import GraphWriter
from lucid_port.misc.io import load, save
from lucid_port.modelzoo import caffe_models, other_models, slim_models, util, vision_models
from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.caricature import caricature, make_caricature
from lucid_port.recipes.image_activations import image_activations, manifest_image_activations

FAMILIES = {"caffe": caffe_models, "slim": slim_models, "other": other_models}


def test_every_model_of_lucids_is_in_one_module():
    names = [name for module in FAMILIES.values() for name in module.__all__]
    assert sorted(names) == sorted(set(vision_models.MODELS) - {"InceptionV1_seeded", "TinyInceptionV1"})
    assert caffe_models.VGG16_caffe is vision_models.VGG16_caffe
    assert slim_models.ResnetV1_50_slim is vision_models.ResnetV1_50_slim
    assert sorted(other_models.__all__) == ["AlexNet", "Clip_ResNet50_4x", "InceptionV1", "InceptionV1_adv_finetuned"]


def chain(length=7) -> GraphDef:
    graph = GraphWriter()
    x = graph.placeholder("n0", [None, 4, 4, 3])
    for number in range(1, length):
        x = graph.op(f"n{number}", "Relu", [x])
    made = graph.graph_def()
    made.node[2].device = "/gpu:0"
    return made


def test_devices_are_removed_from_a_copy(tmp_path):
    graph = chain()
    assert [node.device for node in util.load_graphdef(graph).node] == [""] * 7
    assert graph.node[2].device == "/gpu:0"
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    assert util.load_graphdef(path, reset_device=False) == graph


def test_metadata_come_back_and_make_a_model(tmp_path):
    graph = chain()
    assert util.extract_metadata(graph) is None
    stated = {"input_name": "n0", "image_shape": [4, 4, 3], "image_value_range": [0, 255]}
    util.infuse_metadata(graph, stated)
    assert graph.node[-1].name == util.metadata_node_name == "lucid_metadata_json"
    assert util.extract_metadata(graph) == stated
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    assert float(Model.load_from_graphdef(path)(torch.ones(1, 3, 4, 4)).max()) == 255
    util.infuse_metadata(graph, {})
    with pytest.raises(ValueError, match="2 nodes"):
        util.extract_metadata(graph)


def test_nodes_are_found_by_name_op_and_input():
    graph = chain()
    graph.node[4].input.append("^n1")
    helper = util.GraphDefHelper(graph)
    assert [node.name for node in helper.by_op["Placeholder"]] == ["n0"]
    assert [node.name for node in helper.by_input["n3"]] == ["n4"]
    near = helper.neighborhood(helper.by_name["n5"], degree=2)
    assert [node.name for node in near] == ["n1", "n3", "n4", "n5", "n6"]
    graph.node.add(name="n3", op="Relu")
    with pytest.raises(ValueError, match="two nodes 'n3'"):
        util.GraphDefHelper(graph)


def test_labels_are_lines(tmp_path):
    save(["kit fox", "crane, bird"], tmp_path / "labels.txt")
    assert util.load_text_labels(tmp_path / "labels.txt") == ["kit fox", "crane, bird"]


@pytest.fixture
def folder(tmp_path):
    """A folder with a network and its manifest."""
    graph = GraphWriter()
    image = graph.placeholder("in", [None, 12, 10, 3])
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
    conv = graph.op("a/conv", "Conv2D", [image, graph.const("k", kernel)], strides=[1, 1, 1, 1], padding="SAME")
    graph.op("relu", "Relu", [conv])
    graph.write(tmp_path / "graph.pb")
    manifest = {
        "model_path": "./graph.pb",
        "input_name": "in",
        "image_shape": [12, 10, 3],
        "image_value_range": [-1, 1],
        "layers": ["a/conv", "relu"],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_caricatures_of_a_manifests_layers(folder, tmp_path):
    picture = np.random.default_rng(1).random((12, 10, 3)).astype(np.float32)
    out = tmp_path / "out"
    results = make_caricature(picture, folder, out, n_steps=2)
    assert load(out / "results.json") == json.loads(json.dumps(results, default=list))
    assert [value["shape"] for value in results["values"]] == [(12, 10, 3)] * 2
    assert {path.parent for path in out.rglob("*.jpg")} == {out}
    made = caricature(picture, Model.load_from_manifest(folder / "manifest.json"), ["a/conv", "relu"], 2, verbose=False)
    for value, wanted in zip(results["values"], made.pictures, strict=True):
        stretched = (wanted - wanted.min()) / (wanted.max() - wanted.min())
        assert np.abs(load(value["url"]) - stretched).mean() < 0.1  # JPEG of a few pixels
    (folder / "manifest.json").write_text(json.dumps({**load(folder / "manifest.json"), "layers": []}))
    with pytest.raises(ValueError, match="lists no layers"):
        make_caricature(picture, folder, out)


def test_a_manifest_of_activations(folder):
    model = Model.load_from_manifest(folder / "manifest.json")
    picture = np.full((12, 10, 3), 0.25, np.float32)
    found = manifest_image_activations(model, picture, layer_names=["relu"])
    assert (found["type"], found["took"] > 0) == ("image-activations", True)
    (value,) = found["values"]
    assert {key: value[key] for key in ("type", "shape", "layer_name")} == {
        "type": "activations",
        "shape": (12, 10, 4),
        "layer_name": "relu",
    }
    assert np.array_equal(value["value"], image_activations(model, picture, ["relu"])["relu"])
