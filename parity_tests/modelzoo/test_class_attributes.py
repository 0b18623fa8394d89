"""Attributes of the catalogue's classes have Lucid's values without an instance, and instances keep their own."""

from __future__ import annotations

import inspect
import json

import pytest

from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.catalogue import catalogue, label_lists
from lucid_port.modelzoo.vision_base import Model


@pytest.mark.parametrize("name", vision_models.MODELS)
def test_a_class_has_the_values_of_the_catalogue(name):
    made, entry = getattr(vision_models, name), catalogue()[name]
    found = {key: getattr(made, key) for key in ("name", "dataset", "input_name", "image_shape", "is_BGR")}
    assert found == {key: getattr(entry, key) for key in found}
    assert [tuple(v) if isinstance(v, list) else v for v in made.image_value_range] == [
        tuple(v) if isinstance(v, list) else v for v in entry.image_value_range
    ]
    assert made.model_path is None if entry.family == "stand-in" else made.model_path.endswith(".pb")


def test_the_values_of_lucids_classes():
    """Read off the classes of Lucid 0.3.10."""
    caffe = vision_models.CaffeNet_caffe
    assert (caffe.dataset, caffe.image_shape, caffe.input_name, caffe.is_BGR) == (
        "ImageNet",
        (227, 227, 3),
        "data",
        True,
    )
    assert caffe.model_path == "gs://modelzoo/vision/caffe_models/CaffeNet.pb"
    assert vision_models.InceptionV1.model_path == "gs://modelzoo/vision/other_models/InceptionV1.pb"
    assert vision_models.InceptionV1.image_value_range == (-117, 138)


def test_lists_are_those_of_the_class():
    made = vision_models.InceptionV1
    assert made.labels == label_lists()["ImageNet_alternate"].read()
    assert made.synset_ids == label_lists()["ImageNet_alternate_synsets"].read()
    assert not hasattr(vision_models.Clip_ResNet50_4x, "labels")
    with pytest.raises(RuntimeError, match="TinyInceptionV1 has no list of synsets"):
        vision_models.TinyInceptionV1.synset_ids  # noqa: B018


def test_the_members_of_a_class_can_be_listed():
    """Also without nltk, without its corpus, and without labels."""
    for name in ("InceptionV1", "Clip_ResNet50_4x", "TinyInceptionV1"):
        members = dict(inspect.getmembers(getattr(vision_models, name)))
        assert members["name"] == name


def test_an_instance_keeps_its_own_values():
    made = vision_models.TinyInceptionV1(labels=["one"], image_shape=(64, 48, 3), image_value_range=(0, 1))
    assert (made.labels, made.image_shape, made.image_value_range) == (["one"], (64, 48, 3), (0, 1))
    assert vision_models.TinyInceptionV1.image_shape == (96, 96, 3)
    assert isinstance(Model.dataset, property)  # no catalogue, no value


def test_the_seeded_stand_in_has_the_labels_of_inceptionv1():
    made = vision_models.InceptionV1_seeded()
    assert made.labels == vision_models.InceptionV1.labels
    assert made.synset_ids == vision_models.InceptionV1.synset_ids
    assert len(made.labels) == 1001  # of 1008 outputs, as in Lucid


def test_older_names_of_lucids():
    layer = vision_models.InceptionV1.layers[5]
    assert layer.size == layer.depth == 508
    assert json.dumps({"model": vision_models.TinyInceptionV1().to_json()}) == '{"model": "TinyInceptionV1"}'
    assert Model.load_from_manifest.__doc__
    with pytest.raises(FileNotFoundError):
        Model.load_from_manifest("nowhere/manifest.json")
    with pytest.raises(FileNotFoundError):
        Model.load_from_graphdef("nowhere/graph.pb")


def test_a_name_of_lucents_suggests_the_same_layer():
    with pytest.raises(KeyError, match="Did you mean mixed4a_1x1_pre_relu,"):
        vision_models.InceptionV1_seeded().get_layer("mixed4a_1x1_pre_relu_conv")
