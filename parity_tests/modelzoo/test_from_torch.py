"""Any PyTorch network as a model."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import converters
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import param, render


class Block(nn.Module):
    """A residual block, with a functional ReLU and a part that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.unused = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return torch.relu(x + self.conv(x))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Block(), Block(), nn.Flatten(), nn.Linear(4, 2))


def test_layers_have_dotted_names(network):
    model = from_torch(network, (0, 1))
    assert model.network.layers["2.conv"].channels == 4
    assert model.network.layers["2.conv"].op == "Conv2d"


def test_the_network_runs_no_further_than_the_asked_layers(network):
    ran = []
    network[3].register_forward_hook(lambda *_: ran.append(3))
    model = from_torch(network, (0, 1))
    found = model.activations(torch.rand(2, 3, 9, 11), ["2.conv", "1"])
    assert {name: tuple(value.shape) for name, value in found.items()} == {"2.conv": (2, 4, 7, 9), "1": (2, 4, 7, 9)}
    assert ran == []


def test_no_hook_stays(network):
    model = from_torch(network, (0, 1))
    model.activations(torch.rand(1, 3, 9, 9), ["2"])
    assert not any(part._forward_hooks for part in network.modules())


def test_a_layer_that_does_not_run(network):
    del network[5], network[4]
    with pytest.raises(ValueError, match=r"'2\.unused' did not run"):
        from_torch(network, (0, 1)).activations(torch.rand(1, 3, 9, 9), ["2.unused"])


def test_a_wrong_name_offers_the_nearest(network):
    with pytest.raises(converters.LayerNotFoundError, match=r"Did you mean 2\.conv"):
        from_torch(network, (0, 1)).activations(torch.rand(1, 3, 9, 9), ["2.cnov"])


def test_mean_and_std_are_those_of_normalize():
    model = from_torch(nn.Sequential(nn.Identity()), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    image = torch.rand(1, 3, 4, 5)
    expected = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    torch.testing.assert_close(model(image), expected)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"image_value_range": (0, 1), "mean": (0,), "std": (1,)},
        {"image_value_range": (0, 1), "mean": (0,)},
        {"image_value_range": (0, 1), "std": (1,)},
        {"mean": (0,)},
    ],
)
def test_the_range_is_said_once(network, given):
    with pytest.raises(ValueError, match="either image_value_range, or mean and std"):
        from_torch(network, **given)


COLOURS = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"mean": 0.5, "std": 0.5}, TypeError, r"mean is a list of one number for each channel, .* not 0\.5"),
        ({"mean": COLOURS, "std": (0.2, 0, 0.2)}, ValueError, "std has numbers above 0 only"),
        ({"mean": COLOURS, "std": (0.2, 0.2)}, ValueError, "mean has 3 numbers and std 2"),
        ({"mean": (0.5,) * 4, "std": (0.5,) * 4}, ValueError, "one number each, or 3 as image_shape has 3 channels"),
        ({"mean": ("a", "b", "c"), "std": COLOURS}, TypeError, "Each number of mean"),
        ({"mean": COLOURS, "std": (float("nan"),) * 3}, ValueError, "Each number of std"),
        ({"image_value_range": (0,)}, ValueError, r"image_value_range is \(lo, hi\)"),
        ({"image_value_range": 1}, TypeError, r"image_value_range is \(lo, hi\)"),
        ({"image_value_range": (1, 1)}, ValueError, "the same value"),
        ({"image_value_range": (0, None)}, TypeError, "image_value_range"),
        ({"image_value_range": ((0, 0), (1, 1))}, ValueError, "3 channels"),
        ({"image_value_range": (0, 1), "image_shape": (224, 224)}, ValueError, "image_shape"),
        ({"image_value_range": (0, 1), "image_shape": 224}, TypeError, "image_shape"),
        ({"image_value_range": (0, 1), "labels": "cat"}, TypeError, "labels is a list of names"),
    ],
)
def test_arguments_that_make_no_sense(network, given, error, words):
    with pytest.raises(error, match=words):
        from_torch(network, **given)


@pytest.mark.parametrize(
    ("module", "words"), [(nn.ReLU, "call it first"), (None, "not None"), ("resnet", "not 'resnet'")]
)
def test_only_networks_are_wrapped(module, words):
    with pytest.raises(TypeError, match=words):
        from_torch(module, (0, 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_image_follows_the_networks_precision(network, dtype):
    model = from_torch(network.to(dtype), mean=COLOURS, std=COLOURS)
    assert model.activations(torch.rand(1, 3, 9, 9), ["0"])["0"].dtype == dtype
    found = render.render_vis(
        model, "3:2", lambda: param.image(16), transforms=[], thresholds=(0, 20), verbose=False, seed=3
    )
    assert found.losses[-1] > found.losses[0]


def test_a_model_may_change_its_precision_later(network):
    model = from_torch(network, (-1, 1)).double()
    assert model.activations(torch.rand(1, 3, 9, 9), ["0"])["0"].dtype == torch.float64


def test_it_renders(network):
    model = from_torch(network, (0, 1), labels=["cat", "dog"])
    found = render.render_vis(
        model, "3:2", lambda: param.image(16), transforms=[], thresholds=(0, 20), verbose=False, seed=3
    )
    assert [image.shape for image in found] == [(1, 16, 16, 3)] * 2
    assert found.losses[-1] > found.losses[0]
    assert model.labels == ["cat", "dog"]


def test_a_layers_value_does_not_depend_on_which_others_are_asked_for():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
    model, image = from_torch(network, (-1, 1)), torch.rand(1, 3, 9, 9)
    alone = model.activations(image, ["0"])["0"]
    assert (alone < 0).any()
    torch.testing.assert_close(model.activations(image, ["0", "2"])["0"], alone, rtol=0, atol=0)


def test_training_mode_is_refused(network):
    model = from_torch(network, (0, 1))
    model.train()
    with pytest.raises(ValueError, match="training mode"):
        model.activations(torch.rand(1, 3, 9, 9), ["1"])


def test_threads_do_not_meet_each_others_hooks(network):
    model, image = from_torch(network, (0, 1)), torch.rand(1, 3, 33, 33)
    expected = model.activations(image, ["2"])["2"]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: model.activations(image, ["2"])["2"], range(40)):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_copy_is_a_model_of_its_own(network):
    model = from_torch(network, (0, 1))
    twin, image = copy.deepcopy(model), torch.rand(1, 3, 9, 9)
    expected = model.activations(image, ["2"])["2"]
    with torch.no_grad():
        network[0].weight.zero_()
    torch.testing.assert_close(twin.activations(image, ["2"])["2"], expected, rtol=0, atol=0)
