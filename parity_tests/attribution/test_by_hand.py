"""Every method against Captum, called by hand on the standalone module of a converted network, and on torch's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import captum.attr as ca
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lucid_port.attribution import attribute
from lucid_port.attribution.methods import METHODS
from parity_tests.attribution.networks import as_tensor, photos
from parity_tests.standalone import execute

TARGET, LAYER, NEURON = ("mixed4c", 8), "mixed4a", ("mixed4a", 5, (1, 2))
HEIGHT, WIDTH = 45, 61
BASELINE = 0.3
SEED = 7
BOUND = 1e-5  # of the largest value


class ByHand(nn.Module):
    """The standalone module as a function from images in [0, 1] to a channel, summed over its places."""

    def __init__(self, network: nn.Module, target: tuple[str, int] = TARGET) -> None:
        super().__init__()
        self.network, self.target = network, target

    def forward(self, images: Tensor) -> Tensor:
        layer, number = self.target
        value = self.network(images * 255 - 117, [layer])[layer]
        return value[:, number].flatten(1).sum(1)


@pytest.fixture(scope="module")
def standalone(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("standalone") / "tiny"
    tiny.network.save(folder, standalone=True)
    network = execute((folder / "model.py").read_text(encoding="utf-8"), folder).load().eval()
    return network.requires_grad_(False)


@dataclass(frozen=True)
class Case:
    """A method, and the same by hand."""

    kind: str
    method: str
    by_hand: Callable[[nn.Module, nn.Module, Tensor], Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}-{self.method}" + ("-noisy" if "noise" in self.options else "")


def select(value: Tensor) -> Tensor:
    return value[(slice(None), NEURON[1], *NEURON[2])]


SEGMENTS = (np.arange(HEIGHT)[:, None] // 20 * 4 + np.arange(WIDTH)[None] // 16).astype(np.int64)
MASK = torch.from_numpy(SEGMENTS)[None, None]
PATH = {"n_steps": 5, "baselines": BASELINE}
NOISY = {"noise": "smoothgrad", "nt_samples": 2, "stdevs": 0.1}
TUNNEL = {"nt_samples": 2, "stdevs": 0.1, "nt_type": "smoothgrad", "nt_samples_batch_size": 1}

CASES = [
    Case("input", "saliency", lambda f, layer, x: ca.Saliency(f).attribute(x)),
    Case("input", "saliency", lambda f, layer, x: ca.NoiseTunnel(ca.Saliency(f)).attribute(x, **TUNNEL), NOISY),
    Case("input", "input_x_gradient", lambda f, layer, x: ca.InputXGradient(f).attribute(x)),
    Case("input", "integrated_gradients", lambda f, layer, x: ca.IntegratedGradients(f).attribute(x, **PATH), PATH),
    Case(
        "input",
        "gradient_shap",
        lambda f, layer, x: ca.GradientShap(f).attribute(x, torch.full_like(x[:1], BASELINE), n_samples=3, stdevs=0.05),
        {"baselines": BASELINE, "n_samples": 3, "stdevs": 0.05},
    ),
    Case("input", "guided_backprop", lambda f, layer, x: ca.GuidedBackprop(f).attribute(x)),
    Case(
        "input",
        "occlusion",
        lambda f, layer, x: ca.Occlusion(f).attribute(x, (3, 20, 30), strides=(3, 13, 30), baselines=BASELINE),
        {"sliding_window_shapes": (20, 30), "strides": (13, 30), "baselines": BASELINE},
    ),
    Case(
        "input",
        "feature_ablation",
        lambda f, layer, x: ca.FeatureAblation(f).attribute(x, baselines=BASELINE, feature_mask=MASK),
        {"feature_mask": SEGMENTS, "baselines": BASELINE},
    ),
    Case(
        "input",
        "grad_cam",
        lambda f, layer, x: ca.LayerAttribution.interpolate(
            ca.LayerGradCam(f, layer).attribute(x), (HEIGHT, WIDTH), "bilinear"
        ),
        {"cam_layer": LAYER},
    ),
    Case("layer", "activation", lambda f, layer, x: ca.LayerActivation(f, layer).attribute(x)),
    Case("layer", "conductance", lambda f, layer, x: ca.LayerConductance(f, layer).attribute(x, **PATH), PATH),
    Case("layer", "internal_influence", lambda f, layer, x: ca.InternalInfluence(f, layer).attribute(x, **PATH), PATH),
    Case("layer", "gradient_x_activation", lambda f, layer, x: ca.LayerGradientXActivation(f, layer).attribute(x)),
    Case(
        "layer",
        "gradient_x_activation",
        lambda f, layer, x: ca.NoiseTunnel(ca.LayerGradientXActivation(f, layer)).attribute(x, **TUNNEL),
        NOISY,
    ),
    Case(
        "layer",
        "feature_ablation",
        lambda f, layer, x: ca.LayerFeatureAblation(f, layer).attribute(
            x, layer_mask=torch.arange(127)[None, :, None, None] // 16
        ),
        {"layer_mask": torch.arange(127)[None, :, None, None] // 16},
    ),
    Case("layer", "grad_cam", lambda f, layer, x: ca.LayerGradCam(f, layer).attribute(x)),
    Case(
        "neuron", "conductance", lambda f, layer, x: ca.NeuronConductance(f, layer).attribute(x, select, **PATH), PATH
    ),
    Case(
        "neuron",
        "integrated_gradients",
        lambda f, layer, x: ca.NeuronIntegratedGradients(f, layer).attribute(x, select, **PATH),
        PATH,
    ),
    Case("neuron", "gradient", lambda f, layer, x: ca.NeuronGradient(f, layer).attribute(x, select)),
]


def largest_difference(found: np.ndarray, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    expected = wanted.detach().movedim(1, -1).numpy()
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert np.abs(expected).max() > 0, "there is nothing to compare"
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:(?s).*:UserWarning:captum")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_method_is_captums(tiny, standalone, case):
    pictures = photos(2, HEIGHT, WIDTH)
    layer = {"input": None, "layer": LAYER, "neuron": f"{LAYER}:5[1,2]"}[case.kind]
    target = f"{TARGET[0]}:{TARGET[1]}" if METHODS[case.kind, case.method].has_target else None
    found = attribute(tiny, pictures, target, layer, case.method, prepare=False, seed=SEED, **case.options)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        np.random.seed(SEED)  # noqa: NPY002 (Captum draws from it)
        by_hand = ByHand(standalone)
        module = standalone.get_submodule(tiny.network.layers[LAYER].module)
        wanted = case.by_hand(by_hand, module, as_tensor(pictures).requires_grad_())
    assert largest_difference(found.values, wanted) <= BOUND


def test_every_method_is_compared():
    compared = {(case.kind, case.method) for case in CASES} | {("input", "deep_lift"), ("layer", "deep_lift")}
    assert compared == set(METHODS)


# torch's own modules -----------------------------------------------------------------------------


class Chosen(nn.Module):
    """A class of a network."""

    def __init__(self, network: nn.Module, number: int) -> None:
        super().__init__()
        self.network, self.number = network, number

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)[:, self.number]


class View(nn.Module):
    """Hands on a tensor of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view_as(x)


class InTurn(nn.Module):
    """The modules of `networks.Modules`, with views between a ReLU and the pool, or without."""

    def __init__(self, network: nn.Module, softmax: bool, views: bool = True) -> None:
        super().__init__()
        between = View() if views else nn.Identity()
        self.parts = nn.Sequential(
            network.conv1, network.relu1, between, network.pool, network.conv2, network.relu2
        )  # fmt: skip
        self.rest = nn.Sequential(network.head, network.softmax) if softmax else network.head

    def forward(self, images: Tensor) -> Tensor:
        return self.rest(self.parts(images).mean((2, 3)))[:, 1]


@pytest.mark.parametrize("target", ["head:1", "softmax:1"])
def test_deep_lift_of_a_torch_network(modules, target):
    """Each picture alone: Captum's rule of a softmax sums over the batch."""
    network, model = modules
    pictures = photos()
    found = attribute(model, pictures, target, method="deep_lift", baselines=BASELINE)
    f = InTurn(network, target.startswith("softmax"))
    wanted = torch.cat([ca.DeepLift(f).attribute(x.clone(), BASELINE) for x in as_tensor(pictures).split(1)])
    assert largest_difference(found.values, wanted) <= BOUND


def test_deep_lift_adds_up_where_one_rule_follows_another(modules):
    """Captum alone reads the gradient behind the ReLU before the pool's rule has changed it."""
    network, model = modules
    pictures = photos()
    found = attribute(model, pictures, "head:1", method="deep_lift", baselines=BASELINE)
    size = np.abs(found.scores - found.baseline_scores)
    assert (np.abs(found.delta) <= 1e-5 * size).all()
    x = as_tensor(pictures)
    _, delta = ca.DeepLift(InTurn(network, False, views=False)).attribute(x, BASELINE, return_convergence_delta=True)
    assert (delta.abs().numpy() >= 1e-3 * size).all(), "Captum has changed: the views may go"


def test_deep_lift_of_a_layer(modules):
    network, model = modules
    pictures = photos()
    found = attribute(model, pictures, "head:1", "pool", "deep_lift", baselines=BASELINE)
    f = InTurn(network, False)
    wanted = ca.LayerDeepLift(f, network.pool).attribute(as_tensor(pictures).requires_grad_(), BASELINE)
    assert largest_difference(found.values, wanted) <= BOUND


FUNCTIONAL = [
    ("input", "integrated_gradients", lambda f, tap, x: ca.IntegratedGradients(f).attribute(x, **PATH), PATH),
    ("layer", "conductance", lambda f, tap, x: ca.LayerConductance(f, tap).attribute(x, **PATH), PATH),
    ("layer", "internal_influence", lambda f, tap, x: ca.InternalInfluence(f, tap).attribute(x, **PATH), PATH),
    ("layer", "gradient_x_activation", lambda f, tap, x: ca.LayerGradientXActivation(f, tap).attribute(x), {}),
    ("layer", "grad_cam", lambda f, tap, x: ca.LayerGradCam(f, tap).attribute(x), {}),
    (
        "layer",
        "feature_ablation",
        lambda f, tap, x: ca.LayerFeatureAblation(f, tap).attribute(x, layer_mask=torch.arange(6)[None, :, None, None]),
        {},
    ),
]


@pytest.mark.parametrize(("kind", "method", "by_hand", "options"), FUNCTIONAL, ids=lambda value: str(value)[:24])
def test_a_layer_that_is_a_function(branching, kind, method, by_hand, options):
    """The sum of a branch and of the value before it, which has no module in the model."""
    network, model = branching
    pictures = photos()
    layer = None if kind == "input" else _sum_of(model)
    found = attribute(model, pictures, "dog", layer, method, **options)
    wanted = by_hand(Chosen(network, 1), network.tap, as_tensor(pictures).requires_grad_())
    assert largest_difference(found.values, wanted) <= BOUND


def _sum_of(model) -> str:
    (name,) = (name for name, info in model.network.layers.items() if info.op == "add")
    assert not model.network.layers[name].module
    return name


def test_a_small_batch_changes_nothing(branching):
    """Parts of a path, and of the samples of a batch, which are computed again for their gradient."""
    _, model = branching
    pictures = photos(3)
    for layer, method, options in (
        (None, "gradient_shap", {"n_samples": 4}),
        (_sum_of(model), "conductance", PATH),
        (None, "occlusion", {}),
    ):
        whole = attribute(model, pictures, "dog", layer, method, batch_size=64, **options)
        small = attribute(model, pictures, "dog", layer, method, batch_size=2, **options)
        if method != "gradient_shap":  # its draws are made for each group of pictures
            np.testing.assert_allclose(small.values, whole.values, atol=1e-6 * np.abs(whole.values).max())
        else:
            one = attribute(model, pictures[:2], "dog", layer, method, batch_size=64, **options)
            np.testing.assert_allclose(small.values[:2], one.values, atol=1e-6 * np.abs(one.values).max())
