"""Networks of other kinds: modules that run twice, tokens, joins before ReLUs, hooks and modes of the user."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lucid_port.attribution import attribute, method_names
from lucid_port.attribution.methods import METHODS
from lucid_port.modelzoo.from_torch import from_torch
from parity_tests.attribution import networks
from parity_tests.attribution.networks import as_tensor, photos

FAST = {"integrated_gradients": {"n_steps": 3}, "conductance": {"n_steps": 3}, "internal_influence": {"n_steps": 3}}
FAST["occlusion"] = {"sliding_window_shapes": 13}
FAST["feature_ablation"] = {}


def every_method(layer: str | None):
    """Yields the methods of a kind."""
    kind = "input" if layer is None else "neuron" if ":" in layer else "layer"
    for name in method_names(kind):
        yield name, METHODS[kind, name]


# Rules of modules --------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "function"), [("deep_lift", "relu"), ("guided_backprop", "relu")])
def test_a_function_without_a_rule_is_named(branching, method, function):
    with pytest.raises(ValueError, match=rf"cannot follow {function} of layer 'relu.*work: saliency, input_x_gradient"):
        attribute(branching[1], photos(1), "dog", method=method)


def test_functions_before_the_layer_do_no_harm(branching):
    """Behind `conv3`, there is `tanh`; behind the last layer, there is none."""
    _, model = branching
    with pytest.raises(ValueError, match="cannot follow tanh of layer 'tanh'"):
        attribute(model, photos(1), "dog", "conv3", "deep_lift")
    found = attribute(model, photos(1), "dog", "mean", "deep_lift")
    np.testing.assert_allclose(found.delta, 0, atol=1e-6)


def test_a_module_that_runs_twice():
    """Refused by DeepLift, whose rule keeps the last call; guided backpropagation reads gradients alone."""
    network, model = networks.made(networks.Reusing)
    with pytest.raises(ValueError, match=r"cannot follow 'relu.*', a module that runs 2 times in a pass"):
        attribute(model, photos(1), 1, method="deep_lift")
    found = attribute(model, photos(1), 1, method="guided_backprop")
    x = as_tensor(photos(1))
    with torch.no_grad():
        first = network.conv1(x)
        second = network.conv2(first.relu())
        back = torch.zeros_like(second)
        back[:, 1] = 1 / second[0, 0].numel()
        back = back * (second > 0)
        back = nn.functional.conv_transpose2d(back, network.conv2.weight).clamp(min=0) * (first > 0)
        wanted = nn.functional.conv_transpose2d(back, network.conv1.weight)
    np.testing.assert_allclose(found.values, wanted.movedim(1, -1).numpy(), atol=1e-6 * wanted.abs().max().item())


def test_a_layer_behind_the_second_call_of_a_module():
    """The first call is before the layer, and Captum's last one behind it."""
    _, model = networks.made(networks.Reusing)
    found = attribute(model, photos(), 1, "conv2", "deep_lift")
    np.testing.assert_allclose(found.values.sum((1, 2, 3)), found.scores - found.baseline_scores, rtol=1e-4)


@pytest.mark.parametrize(("layer", "which"), [("relu", 0), ("relu_1", 1)])
def test_each_call_of_a_module_is_a_layer(layer, which):
    """The name of a layer is that of one call, also where Captum's hook would keep the last."""
    network, model = networks.made(networks.Reusing)
    found = attribute(model, photos(1), 1, layer, "gradient_x_activation")
    x = as_tensor(photos(1)).requires_grad_()
    first = network.conv1(x).relu()
    second = network.conv2(first).relu()
    value = (first, second)[which]
    (gradient,) = torch.autograd.grad(second[0, 1].mean(), value)
    wanted = (gradient * value).detach().movedim(1, -1).numpy()
    np.testing.assert_allclose(found.values, wanted, atol=1e-6 * np.abs(wanted).max())


def test_a_value_that_is_changed_in_place_later():
    _, model = networks.made(networks.Late)
    with pytest.raises(ValueError, match="it reads a value that an activation has changed in place"):
        attribute(model, photos(1), 1, method="deep_lift")
    assert np.isfinite(attribute(model, photos(1), 1, n_steps=2).values).all()


class TwoNames(nn.Module):
    """A ReLU that is registered under two names and runs once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()
        self.other = self.relu

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x)).mean((2, 3))


@pytest.mark.parametrize("method", ["deep_lift", "guided_backprop"])
def test_a_module_of_two_names_is_hooked_once(method):
    network, model = networks.made(TwoNames)
    found = attribute(model, photos(), 1, method=method)
    if method == "deep_lift":
        np.testing.assert_allclose(found.delta, 0, atol=1e-6)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_a_layer_without_a_rule_is_said(tiny):
    with pytest.warns(UserWarning, match="no rule for LocalResponseNorm and takes the plain gradient there"):
        attribute(tiny, photos(1, 40, 40), "mixed3a:3", method="deep_lift", prepare=False)


# Layers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["mixed4a_pre_relu", "mixed4b_1x1", "maxpool4"])
def test_layers_of_a_converted_network(tiny, layer):
    """The join before a ReLU and a pool are layers as others; attributions sum to those of a linear rest."""
    if layer not in tiny.network.layers:
        pytest.fail(f"the network has no {layer}")
    found = attribute(tiny, photos(1, 45, 52), "mixed4c:3", layer, "conductance", prepare=False, n_steps=3)
    assert found.values.shape[-1] == tiny.network.layers[layer].channels
    assert np.abs(found.values).max() > 0


def test_a_join_before_relus_is_its_parts(tiny):
    """No later layer reads Lucid's join: its parts do, each behind a ReLU."""
    pictures = photos(2, 45, 52)
    found = attribute(tiny, pictures, "mixed4c:3", "mixed4a_pre_relu", "gradient_x_activation", prepare=False)
    parts = [f"mixed4a_{part}_pre_relu" for part in ("1x1", "3x3", "5x5", "pool_reduce")]
    each = [attribute(tiny, pictures, "mixed4c:3", part, "gradient_x_activation", prepare=False) for part in parts]
    wanted = np.concatenate([one.values for one in each], -1)
    np.testing.assert_allclose(found.values, wanted, atol=1e-5 * np.abs(wanted).max())
    # ReLU'(x) x = ReLU(x): behind the ReLU, the product is the same.
    behind = attribute(tiny, pictures, "mixed4c:3", "mixed4a", "gradient_x_activation", prepare=False)
    np.testing.assert_allclose(found.values, behind.values, atol=1e-5 * np.abs(wanted).max())
    integral = {"n_steps": 200, "integral": "riemann_trapezoid"}
    path = attribute(tiny, pictures[:1], "mixed4c:3", "mixed4a_pre_relu", "conductance", prepare=False, **integral)
    assert abs(path.delta[0]) <= 1e-2 * np.abs(path.values).sum()


class Tokens(nn.Module):
    """Patches as tokens [N, L, C] behind a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.cls = nn.Conv2d(3, 8, 6, 6), nn.Parameter(torch.ones(1, 1, 8))
        self.mix, self.norm, self.head = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1)
        tokens = self.norm(torch.tanh(self.mix(tokens))) * 1.0
        return self.head(tokens.mean(1))


def test_layers_of_tokens():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = Tokens().eval()
    model = from_torch(network, (0, 1), image_shape=(18, 24, 3))
    pictures = photos(2, 18, 24)
    by_hand = attribute(model, pictures, "head:1", "mix", "gradient_x_activation")
    assert by_hand.values.shape == (2, 13, 8)
    read = model.activations(as_tensor(pictures).requires_grad_(), ["mix", "head"])
    (gradient,) = torch.autograd.grad(read["head"][:, 1].sum(), read["mix"])
    np.testing.assert_allclose(by_hand.values, (gradient * read["mix"]).detach().numpy(), atol=1e-6)
    cam = attribute(model, pictures, "head:1", "mix", "grad_cam").values
    wanted = (gradient.mean(1, keepdim=True) * read["mix"]).sum(2).detach().numpy()
    np.testing.assert_allclose(cam[..., 0], wanted, atol=1e-6)
    channel = attribute(model, pictures, "head:1", "mix", "feature_ablation").values
    assert (np.ptp(channel, axis=1) <= 1e-6).all(), "a channel of all tokens is one feature"


class Recurrent(nn.Module):
    """A layer that returns a tuple, and a bias that makes all images of a batch alike."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm = nn.Conv2d(3, 5, 6, 6), nn.LSTM(5, 6, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        values, _ = self.lstm(self.conv(x).flatten(2).transpose(1, 2))
        return self.head(values.mean(1))


def test_a_layer_of_several_outputs():
    """One of them cannot be given to the network."""
    _, model = networks.made(Recurrent)
    with pytest.raises(ValueError, match=r"The value of layer 'lstm:0' cannot be replaced \(.*name a layer before or"):
        attribute(model, photos(1), 1, "lstm:0", "gradient_x_activation")
    assert attribute(model, photos(1), 1, "transpose", "gradient_x_activation").values.any()


def test_a_layer_before_a_change_in_place(modules):
    """The ReLU behind it works in place."""
    network, model = modules
    found = attribute(model, photos(), "head:1", "conv1", "gradient_x_activation")
    x = as_tensor(photos()).requires_grad_()
    value = network.conv1(x)
    later = network.conv2(network.pool(value.relu())).relu()
    (gradient,) = torch.autograd.grad(network.head(later.mean((2, 3)))[:, 1].sum(), value)
    wanted = (gradient * value).detach().movedim(1, -1).numpy()
    np.testing.assert_allclose(found.values, wanted, atol=1e-6 * np.abs(wanted).max())


class Branched(nn.Module):
    """A network that torch.fx cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv(x)
        if a.mean() > -100:
            a = self.relu(a)
        return self.head((a * 2).mean((2, 3)))


@pytest.mark.parametrize("layer", ["conv", "relu", "mul"])
def test_a_network_that_is_not_traced(layer):
    network, model = networks.made(Branched)
    found = attribute(model, photos(), 1, layer, "gradient_x_activation")
    with torch.no_grad():
        relu = network.conv(as_tensor(photos())).relu()
        wanted = relu * network.head.weight[1].reshape(1, -1, 1, 1) * 2 / relu[0, 0].numel()
    np.testing.assert_allclose(found.values, wanted.movedim(1, -1).numpy(), atol=1e-6 * float(wanted.abs().max()))
    if layer != "mul":
        exact = attribute(model, photos(), 1, layer, "deep_lift")
        np.testing.assert_allclose(exact.delta, 0, atol=1e-6)


# What stays as it was ----------------------------------------------------------------------------


class Trained(nn.Module):
    """Statistics that a pass in training mode changes, and weights that are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.relu(self.norm(self.conv(x))).mean((2, 3))))


@pytest.mark.parametrize("layer", [None, "norm", "norm:2"])
def test_nothing_of_the_users_changes(layer):
    network, model = networks.made(Trained)
    network.train().requires_grad_()
    calls = []
    network.relu.register_forward_hook(lambda *call: calls.append("forward"))
    network.head.register_full_backward_hook(lambda *call: None)

    def state():
        return (
            {name: value.clone() for name, value in network.state_dict().items()},
            [(name, part.training, sorted(vars(part)), len(part._forward_hooks), len(part._forward_pre_hooks),
              len(part._backward_hooks), getattr(part, "inplace", None)) for name, part in network.named_modules()],
            [(name, one.requires_grad, one.grad is None) for name, one in network.named_parameters()],
        )  # fmt: skip

    torch.manual_seed(3)
    np.random.seed(4)  # noqa: NPY002
    random.seed(5)
    before, draws = state(), (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    for method, entry in every_method(layer):
        target = 1 if entry.has_target else None
        noise = {"noise": "smoothgrad", "nt_samples": 2} if method in ("saliency", "conductance", "gradient") else {}
        found = attribute(model, photos(), target, layer, method, **FAST.get(method, {}), **noise)
        assert np.isfinite(found.values).all(), method
        after = state()
        assert after[1:] == before[1:], method
        assert all(torch.equal(after[0][name], value) for name, value in before[0].items()), method
    now = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert torch.equal(now[0], draws[0])
    assert now[1:] == draws[1:]
    assert calls


def test_the_mode_of_the_network_does_not_matter():
    network, model = networks.made(Trained)
    quiet = attribute(model, photos(), 1, "norm", "gradient_x_activation").values
    network.train()
    np.testing.assert_array_equal(attribute(model, photos(), 1, "norm", "gradient_x_activation").values, quiet)


def test_the_callers_contexts_do_not_matter(branching):
    _, model = branching
    plain = attribute(model, photos(), "dog", n_steps=3).values
    with torch.no_grad():
        np.testing.assert_array_equal(attribute(model, photos(), "dog", n_steps=3).values, plain)
    with torch.inference_mode():
        np.testing.assert_array_equal(attribute(model, photos(), "dog", n_steps=3).values, plain)
    with torch.autocast("cpu"):
        np.testing.assert_array_equal(attribute(model, photos(), "dog", n_steps=3).values, plain)


def test_draws_have_their_seed(branching):
    _, model = branching
    options = {"noise": "smoothgrad", "nt_samples": 2, "stdevs": 0.2}
    one, again, other = (
        attribute(model, photos(), "dog", seed=seed, n_steps=2, **options).values for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0


# Memory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [None, "conv2", "conv2:3"])
def test_no_pass_has_more_images_than_fit(branching, monkeypatch, layer):
    _, model = branching
    seen = []
    compute = type(model).compute

    def counted(self, image, request):
        seen.append(len(image))
        return compute(self, image, request)

    monkeypatch.setattr(type(model), "compute", counted)
    for method, entry in every_method(layer):
        if entry.rules:
            continue  # a picture with its baseline
        seen.clear()
        target = "dog" if entry.has_target else None
        options = {**FAST.get(method, {}), **({"n_samples": 5} if method == "gradient_shap" else {})}
        found = attribute(model, photos(5), target, layer, method, batch_size=2, **options)
        assert len(found.values) == 5
        assert max(seen) <= 2, method
        seen.clear()
        attribute(model, photos(3), target, layer, method, batch_size=2, noise="vargrad", nt_samples=3, **options)
        assert max(seen) <= 2, method


def test_the_batch_follows_the_free_memory(branching, monkeypatch):
    from lucid_port.optvis.many import memory

    batches = []
    for free in (10**9, 10**6, 1):
        monkeypatch.setattr(memory, "free_host_memory", lambda free=free: free)
        batches.append(attribute(branching[1], photos(3), "dog", n_steps=2).recipe["batch"])
    assert batches[0] == memory.MOST_ON_CPU
    assert batches[0] > batches[1] > batches[2] == 1


# Several pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [None, "conv2", "conv2:3"])
def test_pictures_together_are_pictures_alone(branching, layer):
    _, model = branching
    pictures = photos(3)
    targets = ["dog", "cat", "dog"]
    for method, entry in every_method(layer):
        if entry.rules:
            continue
        if method == "gradient_shap":  # its draws depend on the number of pictures
            continue
        options = FAST.get(method, {})
        whole = attribute(model, pictures, targets if entry.has_target else None, layer, method, **options)
        for number in range(3):
            target = targets[number] if entry.has_target else None
            alone = attribute(model, pictures[number], target, layer, method, **options)
            scale = np.abs(alone.values).max()
            np.testing.assert_allclose(whole.values[number], alone.values[0], atol=1e-5 * scale, err_msg=method)
            if whole.scores is not None:
                np.testing.assert_allclose(whole.scores[number], alone.scores[0], rtol=1e-5)


def test_the_top_class_of_each_picture(branching):
    network, model = branching
    pictures = np.concatenate(
        [photos(2), np.zeros((1, *networks.SIZE, 3), np.float32), np.ones((1, *networks.SIZE, 3))]
    )
    found = attribute(model, pictures.astype(np.float32), method="saliency")
    with torch.no_grad():
        scores = network(as_tensor(pictures.astype(np.float32)))
    assert [networks.LABELS.index(label) for label in found.labels] == scores.argmax(1).tolist()
    np.testing.assert_allclose(found.scores, scores.max(1).values.numpy(), rtol=1e-5)
