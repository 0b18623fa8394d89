"""timm's networks as models, against timm's own transforms and class names."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from lucid_port import modelzoo
from lucid_port.modelzoo import nets_factory


@pytest.fixture(scope="module")
def timm():
    return importlib.import_module("timm")


@pytest.fixture
def builder(monkeypatch, timm):
    """Returns random weights in the place of downloads."""
    state = {}

    def load(model, *args, **kwargs):
        state["weights"] = {key: torch.full_like(value, 0.25) for key, value in model.state_dict().items()}
        model.load_state_dict(state["weights"])

    monkeypatch.setattr(sys.modules["timm.models._builder"], "load_pretrained", load)
    return state


def test_without_timm_the_error_says_how_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[timm\]'"):
        modelzoo.timm("resnet18")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_photographs_are_prepared_as_timm_does(timm, builder, name):
    model = modelzoo.timm(name)
    config = timm.data.resolve_model_data_config(timm.create_model(name, pretrained=False))
    transform = timm.data.create_transform(**config, is_training=False)
    channels, height, width = config["input_size"]
    assert model.image_shape == (height, width, channels)
    pixels = np.random.default_rng(3).integers(0, 256, (height + 71, width + 140, 3), np.uint8)
    photograph = Image.fromarray(pixels)
    prepared = model.preprocessing(photograph)
    assert prepared.shape == (3, height, width)
    # (x - m) / s and x / s - m / s are rounded differently: 2 units of float32 in numbers up to 2.7.
    torch.testing.assert_close(model.create_input(prepared), transform(photograph)[None], rtol=0, atol=5e-7)


def test_labels_are_those_of_imagenet_where_the_head_has_its_classes(timm, builder):
    model = modelzoo.timm("test_vit")
    assert len(model.labels) == 1000
    assert model.labels[0].startswith("tench")
    assert torch.equal(next(model.network.module.parameters()), torch.full_like(next(model.parameters()), 0.25))
    for other in (modelzoo.timm("test_vit", num_classes=7), modelzoo.timm("test_vit", None)):
        with pytest.raises(RuntimeError, match="no list of labels"):
            other.labels  # noqa: B018


def test_options_change_the_size_and_the_channels(timm):
    model = modelzoo.timm("test_vit", None, img_size=(48, 80), in_chans=2, num_classes=5)
    assert model.image_shape == (48, 80, 2)
    assert model.activations(torch.rand(1, 2, 48, 80), "head")["head"].shape == (1, 5)


def test_random_weights_are_those_of_the_seed_and_leave_the_random_state(timm):
    before = torch.random.get_rng_state()
    states = [modelzoo.timm("test_resnet", None, seed=seed).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    key = next(key for key in states[0] if key.endswith("conv1.weight"))
    assert not torch.equal(states[0][key], states[2][key])


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("resnet19", "DEFAULT", "timm has no network 'resnet19'. Did you mean .*resnet18"),
        ("resnet18", "a9_in1k", "has no weights 'a9_in1k'; it has a1_in1k.*weights=None"),
        ("resnet18.a9_in1k", "DEFAULT", "has no weights 'a9_in1k'; it has a1_in1k"),
        ("botnet50ts_256", "DEFAULT", "has no weights 'DEFAULT'; it has none"),
        ("resnet18", 5, "has no weights 5"),
    ],
)
def test_networks_and_weights_that_do_not_exist(timm, name, weights, words):
    with pytest.raises(ValueError, match=words):
        modelzoo.timm(name, weights)


def test_a_name_is_a_text(timm):
    with pytest.raises((TypeError, ValueError), match=r"timm has no network 3|timm's name is a text, not 3"):
        modelzoo.timm(3)


def test_weights_that_cannot_be_downloaded(timm, monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(sys.modules["timm.models._builder"], "load_pretrained", fail)
    with pytest.raises(ConnectionError, match=r"no network.*weights=None \(timm's pretrained=False\)"):
        modelzoo.timm("test_resnet")


def test_an_error_of_the_builder_is_not_called_a_download(timm, builder):
    with pytest.raises(TypeError, match="no_such_option"):
        modelzoo.timm("test_resnet", no_such_option=1)


def test_the_source_opens_the_same_model(timm):
    model = modelzoo.timm("test_vit", None, seed=4, num_classes=7, img_size=(48, 64))
    assert model.source == "timm:test_vit?weights=null&seed=4&num_classes=7&img_size=%5B48%2C%2064%5D"
    again = nets_factory.open_model(model.source)
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert (again.image_shape, again.source) == (model.image_shape, model.source)
    assert nets_factory.open_model(model.source, image_value_range=(0, 1)).image_value_range == (0, 1)
    assert list(nets_factory.open_network(model.source).layers) == list(model.network.layers)


def test_options_that_are_not_plain_data_give_no_source(timm):
    assert modelzoo.timm("test_resnet", None, act_layer=torch.nn.ELU).source is None


@pytest.mark.parametrize("query", ["checkpoint_path=/tmp/weights.pt", "trust_remote_code=true", "num_classes={}"])
def test_a_source_states_no_files_and_runs_no_code(query):
    with pytest.raises(ValueError, match="is not allowed"):
        nets_factory.open_model(f"timm:test_resnet?weights=null&{query}")


def test_options_of_files_do_not_apply(timm):
    with pytest.raises(TypeError, match="constants applies to files only"):
        nets_factory.open_model("timm:test_resnet?weights=null", constants={"a": 1})
