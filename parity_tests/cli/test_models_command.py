"""`lucid-port models`: the table, one model, and both as JSON."""

from __future__ import annotations

import json

import pytest

from lucid_port.cli import main
from lucid_port.modelzoo.catalogue import catalogue


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A search path with the weights of one model, and a saved network of another."""
    (tmp_path / "bvlc_googlenet.caffemodel").write_bytes(b"weights")
    (tmp_path / "ResnetV1_50_slim").mkdir()
    (tmp_path / "ResnetV1_50_slim" / "model.json").write_text("{}")
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(tmp_path))
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def printed(capsys):
    def run(*arguments: str) -> str:
        assert main(["models", *arguments]) == 0
        return capsys.readouterr().out

    return run


def test_the_table_says_what_is_here_and_what_to_do(printed, folders):
    header, *lines = printed().splitlines()
    assert header.split("\t") == ["family", "name", "layers", "dataset", "here", "what to do"]
    rows = {name: cells for _, name, *cells in (line.split("\t") for line in lines)}
    assert list(rows) == list(catalogue())
    assert rows["InceptionV1_caffe"] == ["13", "ImageNet", str(folders / "bvlc_googlenet.caffemodel"), ""]
    assert rows["ResnetV1_50_slim"] == ["18", "ImageNet", str(folders / "ResnetV1_50_slim"), ""]
    assert rows["VGG19_caffe"] == ["19", "ImageNet", "", "downloaded on demand"]
    assert rows["InceptionV1_caffe_Places205"] == ["13", "Places205", "", "get its weights by hand"]
    assert rows["PnasnetMobile_slim"] == ["13", "ImageNet", "", "freeze its checkpoint"]
    assert rows["Clip_ResNet50_4x"] == ["0", "", "", "wrap PyTorch's own network"]
    assert rows["InceptionV1_seeded"] == ["19", "", "generated on demand", ""]


def test_json_has_everything(printed, folders):
    models = {model["name"]: model for model in json.loads(printed("--json"))}
    assert list(models) == list(catalogue())
    caffe = models["InceptionV1_caffe"]
    assert caffe["found"] == str(folders / "bvlc_googlenet.caffemodel")
    assert caffe["what_to_do"] is None
    assert caffe["layers"][3] == {"name": "inception_3a_output", "depth": 256, "tags": ["conv"]}
    assert caffe["downloads"][0]["hash"] == "sha1:405fc5acd08a3bb12de8ee5e23a96bec22f08204"
    assert (caffe["family"], caffe["is_BGR"], caffe["image_shape"]) == ("caffe", True, [224, 224, 3])
    assert caffe["synsets"] == "ImageNet_standard_synsets"
    nasnet = models["NasnetMobile_slim"]
    assert nasnet["found"] is None
    assert "nasnet-a_mobile_04_10_2017.tar.gz" in nasnet["what_to_do"]
    assert nasnet["freezing"] == {"network": "nasnet_mobile", "labels_offset": 0}


def test_one_model(printed):
    out = printed("ResnetV1_101_slim")
    for words in (
        "description: ResNet V1 with 101 layers of TF-Slim",
        "python export_inference_graph.py --model_name=resnet_v1_101 --labels_offset=1",
        "checkpoint: http://download.tensorflow.org/models/resnet_v1_101_2016_08_28.tar.gz",
        "resnet_v1_101/block3/unit_23/bottleneck_v1/Relu\t1024\tconv",
    ):
        assert words in out


def test_one_model_as_json(printed):
    assert json.loads(printed("VGG16_caffe", "--json"))["description"].startswith("VGG with 16 layers")


def test_the_classes_of_a_model(printed, capsys):
    assert printed("TinyInceptionV1", "--labels").splitlines()[0] == "number\tclass"
    rows = json.loads(printed("InceptionV1_caffe", "--labels", "--json"))
    assert rows[281] == {"number": 281, "class": "tabby"}
    assert main(["models", "--labels"]) == 2
    assert "it needs the name of a model" in capsys.readouterr().err
    assert main(["models", "Clip_ResNet50_4x", "--labels"]) == 1
    assert "Clip_ResNet50_4x has no list of classes." in capsys.readouterr().err


def test_an_unknown_model(capsys):
    assert main(["models", "VGG17"]) == 1
    assert "Did you mean VGG19_caffe, VGG16_caffe?" in capsys.readouterr().err
