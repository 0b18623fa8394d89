"""Graphs and histograms of weights: of converted networks, of traced ones, and of those that cannot be traced."""

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lucid_port.microscope.run import make_site
from lucid_port.microscope.upkeep import check
from lucid_port.microscope.wiring import before_activation, operations, weight_histogram
from lucid_port.modelzoo.from_torch import from_torch


class Branches(nn.Module):
    """Two convolutions of one input whose values are joined."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.left, self.right = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 3, padding=1)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.stem(x)
        return self.act(torch.cat([self.left(x), self.right(x)], 1))


def model_of(module, **options):
    torch.manual_seed(0)
    return from_torch(module.eval(), (0, 1), image_shape=(16, 20, 3), **options)


def inputs_of(found):
    return {one.name: one.inputs for one in found}


def counts_of(found, layer):
    return sum(weight_histogram(found, layer)["counts"])


def test_a_traced_network_has_its_branches():
    found = operations(model_of(Branches()), ["left", "act"])
    inputs = inputs_of(found)
    assert inputs["stem"] == ("input",)
    assert inputs["left"] == inputs["right"] == ("stem",)
    (join,) = inputs["act"]
    assert inputs[join] == ("left", "right")
    assert found[0].name == "input"


def test_a_network_that_is_not_traced_is_a_chain_of_its_layers():
    found = operations(model_of(Branches(), trace=False), ["stem", "left", "act"])
    assert inputs_of(found) == {"input": (), "stem": ("input",), "left": ("stem",), "act": ("left",)}
    assert counts_of(found, "left") == 4 * 2


def test_a_converted_network_has_the_joins_of_lucid(tiny_model):
    found = operations(tiny_model, ["mixed3a", "mixed4a"])
    inputs = inputs_of(found)
    names = list(inputs)
    assert len(inputs["mixed3a"]) == 4
    assert all(source in names[: names.index(name)] for name in names for source in inputs[name])
    assert "mixed4a_pre_relu" not in inputs
    assert "mixed4a_pre_relu" in inputs_of(operations(tiny_model, ["mixed4a_pre_relu"]))


def test_a_histogram_counts_the_weights_of_a_layer_or_of_what_it_joins():
    model = model_of(Branches())
    found = operations(model, ["stem", "act"])
    stem = weight_histogram(found, "stem")
    weights = model.network.module.stem.weight.detach().numpy()
    assert sum(stem["counts"]) == weights.size
    np.testing.assert_allclose([stem["low"], stem["high"]], [weights.min(), weights.max()])
    assert counts_of(found, "act") == 4 * 2 + 4 * 3 * 9


def test_weights_that_are_not_finite_are_left_out():
    module = Branches()
    with torch.no_grad():
        module.stem.weight[0] = torch.nan
    assert counts_of(operations(model_of(module)), "stem") == 3 * 27


def test_a_layer_without_weights_before_it_has_no_histogram():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(x)

    assert weight_histogram(operations(model_of(Plain()), ["act"]), "act") is None


@pytest.mark.parametrize("trace", [True, False])
def test_a_vit_has_tokens_that_stand_apart_and_patches_as_places(tmp_path, tiny_quality, trace):
    network = VisionTransformer(img_size=(16, 20), patch_size=4, embed_dim=8, depth=2, num_heads=2, num_classes=3)
    model = model_of(network, trace=trace)
    data = [np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8) for number in range(6)]
    site = make_site(model, tmp_path, data, layers=["blocks.0", "blocks.1"], executor="here", verbose=False)
    assert check(tmp_path) == []
    for entry in site.manifest["layers"]:
        assert entry["tokens"] == ["cls_token"]
        assert entry["grid"] == [4, 5]
        assert entry["total_units"] == 8
        layer = site[entry["name"]]
        assert layer.place[:].max() < 4 * 5, "the class token is no place"
        details = layer.details(0)
        box, cell = details["box"][0], details["cell"][0]
        assert box[0] <= cell[0] < cell[2] <= box[2]
        assert box[1] <= cell[1] < cell[3] <= box[3]
    names = [node["name"] for node in site.manifest["graph"]["nodes"]]
    assert names.index("blocks.0") < names.index("blocks.1")


def test_the_negative_channel_of_a_torch_network_is_rendered_before_the_relu():
    torchvision = pytest.importorskip("torchvision")
    network = torchvision.models.resnet18(weights=None).eval()
    model = from_torch(network, (0, 1), image_shape=(64, 64, 3))
    found = {name: before_activation(model, name) for name in ("relu", "layer1.0", "layer1.0.relu", "conv1", "avgpool")}
    assert found == {
        "relu": "bn1",
        "layer1.0": "layer1.0.add",
        "layer1.0.relu": "layer1.0.bn1",
        "conv1": "conv1",
        "avgpool": "avgpool",
    }
