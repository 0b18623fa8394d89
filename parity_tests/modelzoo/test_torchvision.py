"""torchvision's networks as models, against torchvision's own transforms and feature extraction."""

from __future__ import annotations

import copy
import importlib
import sys
import urllib.error

import pytest
import torch

from lucid_port import modelzoo
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import param, render


def test_without_torchvision_the_error_says_how_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[torchvision\]'"):
        modelzoo.torchvision("resnet18")


def test_a_torchvision_for_another_torch(monkeypatch):
    def fail(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ImportError, match=r"does not match torch .*nms does not exist.*pip install torch torchvision"):
        modelzoo.torchvision("resnet18")


@pytest.fixture(scope="module")
def models():
    return importlib.import_module("torchvision.models")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """torch's cache of downloads, empty, and no network."""

    def refuse(url, *args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def without_changes_in_place(extractor):
    """torchvision's extractor hands out what later layers overwrite: it is compared with these working on copies."""
    for part in extractor.modules():
        if hasattr(part, "inplace"):
            part.inplace = False
    for node in extractor.graph.nodes:
        if node.kwargs.get("inplace"):
            node.update_kwarg("inplace", False)
    extractor.recompile()
    return extractor


@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing")
@pytest.mark.parametrize(
    ("name", "size"), [("squeezenet1_1", 64), ("resnet18", 65), ("googlenet", 97), ("mobilenet_v2", 71)]
)
def test_layers_are_those_of_torchvisions_feature_extraction(models, name, size):
    """Every node that torchvision names has the same name here, and bitwise the same value, alone and with others."""
    extraction = importlib.import_module("torchvision.models.feature_extraction")
    model, image = modelzoo.torchvision(name, weights=None), torch.rand(2, 3, size, size + 11)
    module = model.network.module
    names = extraction.get_graph_node_names(module)[1][1:]  # but the image itself
    assert set(names) <= set(model.network.layers)
    extractor = extraction.create_feature_extractor(
        copy.deepcopy(module), return_nodes=names, suppress_diff_warning=True
    ).eval()
    with torch.no_grad():
        expected = without_changes_in_place(extractor)(model.create_input(image))
        found = model.activations(image, names)
        alone = {key: model.activations(image, [key])[key] for key in names[:: len(names) // 7]}
    torch.testing.assert_close(found, dict(expected), rtol=0, atol=0)
    torch.testing.assert_close(alone, {key: expected[key] for key in alone}, rtol=0, atol=0)


def test_images_are_normalised_as_the_weights_state(models, cache):
    """Against the weights' own transform, which takes photographs of 0 to 255; the size is its crop."""
    torch.save(models.squeezenet1_1(weights=None).state_dict(), cache / "squeezenet1_1-b8a52dc0.pth")
    weights = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    model = modelzoo.torchvision("squeezenet1_1")
    preset = weights.transforms()
    photograph = torch.randint(0, 256, (3, preset.resize_size[0], preset.resize_size[0]), dtype=torch.uint8)
    assert model.image_shape == (*preset.crop_size, *preset.crop_size, 3)
    margin = (photograph.shape[-1] - preset.crop_size[0]) // 2
    inner = slice(margin, margin + preset.crop_size[0])
    # (x - m) / s and x / s - m / s are rounded differently: 2 units of float32 in numbers up to 2.7.
    torch.testing.assert_close(
        model.create_input(photograph[:, inner, inner] / 255), preset(photograph)[None], rtol=0, atol=5e-7
    )
    assert model.labels == weights.meta["categories"]
    assert len(model.labels) == 1000


@pytest.mark.parametrize("spelling", ["IMAGENET1K_V1", "DEFAULT", "SqueezeNet1_1_Weights.IMAGENET1K_V1", "member"])
def test_weights_may_be_named_in_several_ways(models, cache, spelling):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = models.squeezenet1_1(weights=None).state_dict()
    torch.save(state, cache / "squeezenet1_1-b8a52dc0.pth")
    weights = models.SqueezeNet1_1_Weights.IMAGENET1K_V1 if spelling == "member" else spelling
    model = modelzoo.torchvision("squeezenet1_1", weights=weights)
    torch.testing.assert_close(model.network.module.state_dict(), state, rtol=0, atol=0)


def test_weights_that_cannot_be_downloaded(models, cache):
    with pytest.raises(ConnectionError, match=r"no network.*put the file resnet18-f37072fd\.pth into .*checkpoints"):
        modelzoo.torchvision("resnet18", weights="IMAGENET1K_V1")


@pytest.mark.parametrize("weights", ["IMAGENET1K_V7", "", 3, True])
def test_weights_that_do_not_exist(models, weights):
    with pytest.raises(ValueError, match=r"resnet18 has no weights .*; it has IMAGENET1K_V1\. None gives random ones"):
        modelzoo.torchvision("resnet18", weights=weights)


def test_weights_of_another_network(models):
    with pytest.raises(ValueError, match="resnet18 has no weights ResNet50_Weights"):
        modelzoo.torchvision("resnet18", weights=models.ResNet50_Weights.DEFAULT)


@pytest.mark.parametrize(("name", "words"), [("resnet19", "Did you mean"), ("raft_small", "has no network")])
def test_networks_that_do_not_exist(models, name, words):
    with pytest.raises(ValueError, match=words):
        modelzoo.torchvision(name)


def test_a_name_is_a_text(models):
    with pytest.raises((TypeError, ValueError), match=r"has no network 3|torchvision's name is a text, not 3"):
        modelzoo.torchvision(3)


def test_random_weights_are_those_of_the_seed(models):
    before = torch.random.get_rng_state()
    states = [modelzoo.torchvision("squeezenet1_0", None, seed=seed).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    key = "network.module.features.0.weight"
    assert not torch.equal(states[0][key], states[2][key])


def test_random_weights_have_no_labels_but_imagenets_normalisation(models):
    model = modelzoo.torchvision("inception_v3", weights=None, num_classes=7)
    assert model.image_shape == (299, 299, 3)
    assert model.network.module.fc.out_features == 7
    black = model.create_input(torch.zeros(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(black, -torch.tensor([0.485, 0.456, 0.406]) / torch.tensor([0.229, 0.224, 0.225]))
    with pytest.raises(RuntimeError, match="no list of labels"):
        model.labels  # noqa: B018


def test_a_segmentation_network_downloads_nothing_for_random_weights(models, cache):
    model = modelzoo.torchvision("lraspp_mobilenet_v3_large", weights=None)
    found = model.activations(torch.rand(1, 3, 65, 97), ["classifier.high_classifier", "classifier.add"])
    assert found["classifier.add"].shape[1] == 21


def test_a_residual_sum_renders(models):
    model = modelzoo.torchvision("resnet18", weights=None)
    found = render.render_vis(
        model, "layer1.1.add:3", lambda: param.image(40, 33), thresholds=(0, 10), verbose=False, seed=2
    )
    assert found[-1].shape == (1, 33, 40, 3)
    assert found.losses[-1] > found.losses[0]


def test_a_transformer_is_a_model(models):
    model = modelzoo.torchvision("vit_b_32", weights=None, num_classes=3, image_size=64)
    plain = from_torch(model.network.module, (0, 1), trace=False)
    image = torch.rand(1, 3, 64, 64)
    names = ["encoder.layers.encoder_layer_1.mlp", "encoder.layers.encoder_layer_1.add_1"]
    found = model.activations(image, names)
    expected = plain.activations(image * model._span + model._low, ["encoder.layers.encoder_layer_1"])
    torch.testing.assert_close(found[names[1]], expected["encoder.layers.encoder_layer_1"], rtol=0, atol=0)
