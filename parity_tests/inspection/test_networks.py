"""Networks of other kinds: gray images, segmentation, tokens; and the state of the user."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from converters import InputSizeError
from converters.network.model import ConvertedModel
from lucid_port.inspection import feature_maps, first_layer_filters, gradient_magnitudes, inspect, result
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.timm import timm
from parity_tests.attribution import networks
from parity_tests.attribution.networks import SIZE, photos
from parity_tests.attribution.test_networks import Trained

PHOTO = photos(1)[0]


class Gray(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 5, 3), nn.Conv2d(5, 4, 1)

    def forward(self, x):
        return self.head(self.conv(x).relu()).mean((2, 3))


class Maps(nn.Module):
    """A network of scores for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 1)

    def forward(self, x):
        return self.head(self.conv(x).relu())


def made(network, channels=3):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return from_torch(network().eval(), (0, 1), image_shape=(*SIZE, channels))


def test_gray_networks():
    model = made(Gray, 1)
    for photo in (PHOTO, PHOTO[..., :1]):
        found = inspect(model, photo, layers=["conv", "output"])
        assert found.photo.shape == (*SIZE, 1)
        assert found.gradients.picture.shape == (*SIZE, 1)
    assert found.filters.shape == (5, 3, 3, 1)
    assert first_layer_filters(model).shape == (5, 3, 3, 1)
    assert "Filter 4" in found.html()


def test_networks_of_maps_need_a_target():
    model = made(Maps)
    found = inspect(model, PHOTO)
    assert (found.classes, found.gradients) == ((), None)
    assert found.no_gradients.startswith("The network has no single score for each class, so gradients need a target")
    assert found.no_gradients in found.html().replace("&#39;", "'")
    with pytest.raises(ValueError, match="gradients need a target: a unit as LAYER:NUMBER"):
        gradient_magnitudes(model, PHOTO)
    whole, place = (inspect(model, PHOTO, unit, ["conv"]).gradients for unit in ("head:1", "head:1[3,5]"))
    assert np.count_nonzero(place.magnitude) <= 9 < np.count_nonzero(whole.magnitude)


def test_networks_that_give_probabilities(monkeypatch):
    """The logits of this network are not known: its probabilities are the target."""
    network, model = networks.made(networks.Modules)
    found = inspect(model, PHOTO, layers=["conv2"])
    with torch.no_grad():
        wanted = network(torch.from_numpy(PHOTO).permute(2, 0, 1)[None])[0]
    assert [one.number for one in found.classes] == wanted.argsort(descending=True).tolist()
    assert found.top_classes[0].probability == pytest.approx(float(wanted.max()))
    assert found.top_classes[0].logit is None
    assert found.gradients.score == pytest.approx(float(wanted.max()))


def test_tokens():
    """Maps are those of the patches, and the statistics those of all tokens."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm("vit_tiny_patch16_224", weights=None, img_size=(48, 64), depth=2)
    module = model.network.module.eval()
    kept = {}
    hook = module.blocks[1].register_forward_hook(lambda part, given, value: kept.update(value=value))
    photo = photos(1, 48, 64)[0]
    found = inspect(model, photo, 3)
    image = ((torch.from_numpy(photo).permute(2, 0, 1)[None] - 0.5) / 0.5).requires_grad_()
    score = module(image)[0, 3]
    hook.remove()
    (gradient,) = torch.autograd.grad(score, [kept["value"]])
    tokens = kept["value"][0].detach().numpy()
    assert found.layers == ("blocks.0", "blocks.1")
    np.testing.assert_allclose(found.feature_maps["blocks.1"].values, tokens[1:].reshape(3, 4, 192), atol=1e-5)
    assert found.statistics["blocks.1"].mean == pytest.approx(tokens.mean(), abs=1e-5)
    np.testing.assert_allclose(
        found.gradients.channels["blocks.1"], gradient[0].abs().mean(0).numpy(), atol=1e-5 * float(gradient.abs().max())
    )
    assert found.filters.shape == (192, 16, 16, 3)
    assert found.html().count("Activation of blocks.1:") == 6


def test_layers_without_rows_and_columns():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm("vit_tiny_patch16_224", weights=None, img_size=(48, 64), depth=1)
    found = feature_maps(model, photos(1, 48, 64)[0], ["blocks.0.attn.reshape", "blocks.0.attn.qkv"])
    assert found["blocks.0.attn.qkv"].has_maps
    heads = found["blocks.0.attn.reshape"]
    assert not heads.has_maps
    with pytest.raises(ValueError, match="has no rows and columns"):
        heads.heat_map(0, (4, 4))


def test_icons_of_networks_of_one_size():
    """Patches have their places in images of 48 x 64 alone; renders have this size."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm("vit_tiny_patch16_224", weights=None, img_size=(48, 64), depth=1)
    found = inspect(model, photos(1, 48, 64)[0], 3)
    assert [one.image.shape for one in found.icons(2, steps=1)] == [(48, 64, 3)] * 2


def test_layers_that_are_not_rendered(tiny, monkeypatch):
    """One that does not take the sizes of a render has no icon, and the others have theirs."""
    render = result.render_many

    def refusing(model, names, **options):
        if names[0].startswith("nn0:"):
            raise InputSizeError("Layer 'nn0' cannot be computed for images of 110x110.")
        return render(model, names, **options)

    monkeypatch.setattr(result, "render_many", refusing)
    found = inspect(tiny, photos(1, 96, 96)[0], layers=["mixed3a", "nn0"])
    assert [one.name.split(":")[0] for one in found.icons(1, steps=1, size=64)] == ["mixed3a"]
    text = found.html(icons=True, count=1, steps=1, size=64)
    assert text.count("Not rendered: the layer cannot be computed") == 1
    assert text.count("Render of mixed3a:") == 1


def test_one_forward_and_one_backward_pass(tiny, monkeypatch):
    passes = []
    compute, grad = ConvertedModel.compute, torch.autograd.grad
    monkeypatch.setattr(ConvertedModel, "compute", lambda *given: passes.append("forward") or compute(*given))
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **given: passes.append("backward") or grad(*a, **given))
    inspect(tiny, photos(1, 67, 83)[0], prepare=False)
    assert passes == ["forward", "backward"]


def test_nothing_of_the_users_changes():
    network, model = networks.made(Trained)
    network.train().requires_grad_()
    calls = []
    network.relu.register_forward_hook(lambda *call: calls.append("forward"))

    def state():
        return (
            {name: value.tolist() for name, value in network.state_dict().items()},
            [(name, part.training, len(part._forward_hooks), len(part._backward_hooks), getattr(part, "inplace", None))
             for name, part in network.named_modules()],
            [(name, one.requires_grad, one.grad is None) for name, one in network.named_parameters()],
            torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(),  # noqa: NPY002
            torch.is_grad_enabled(),
        )  # fmt: skip

    torch.manual_seed(3)
    np.random.seed(4)  # noqa: NPY002
    random.seed(5)
    before, photo = state(), PHOTO.copy()
    found = inspect(model, photo, layers=["norm", "relu"])
    found.html()
    assert state() == before
    np.testing.assert_array_equal(photo, PHOTO)
    calls.clear()  # the first call also lists the layers of the network, which has hooks
    with torch.no_grad():
        again = inspect(model, photo, layers=["norm", "relu"])
    assert calls == ["forward"]
    np.testing.assert_array_equal(again.gradients.picture, found.gradients.picture)


def test_a_target_that_does_not_depend_on_the_picture():
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).mean((2, 3)).detach()

    found = inspect(made(Detached), PHOTO, layers=["conv"])
    assert found.gradients.missing == {"conv": "The target output:2 does not depend on the picture by a gradient."} or (
        "does not depend on the picture by a gradient" in found.gradients.missing["conv"]
    )
    assert "is 0 at every pixel" in found.html()
    assert len(found.classes) == 4
