"""Networks of timm and transformers that torch.fx cannot trace, small and with random weights, against plain hooks."""

from __future__ import annotations

import copy

import pytest
import timm.models
import torch
import transformers
from torch import nn

from lucid_port.modelzoo import tracing
from lucid_port.modelzoo.from_torch import from_torch

SIZE = (32, 32, 3)
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
TRANSFORMERS = {
    "ViT": SMALL,
    "Beit": SMALL,
    "Dinov2": SMALL,
    "Swin": {
        "image_size": 32,
        "patch_size": 2,
        "embed_dim": 16,
        "depths": [1, 1],
        "num_heads": [2, 2],
        "window_size": 4,
    },
    "ConvNext": STAGES,
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    "Segformer": {**STAGES, "num_attention_heads": [1, 1, 2, 2]},
}


def image():
    return torch.rand(2, 3, *SIZE[:2], generator=torch.Generator().manual_seed(0))


def seen_by_hooks(network: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The first value of each module that returns a tensor."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name):
        def hook(part, inputs, output):
            if isinstance(output, torch.Tensor):
                seen.setdefault(name, output.clone())

        return hook

    for name, part in network.named_modules():
        if name:
            part.register_forward_hook(keep(name))
    with torch.no_grad():
        network(x)
    return seen


def check_against_hooks(network: nn.Module) -> list[str]:
    """Compares every module with hooks, together with a function, and returns the names of the functions."""
    expected = seen_by_hooks(copy.deepcopy(network).eval(), image())
    model = from_torch(network, (0, 1), image_shape=SIZE)
    layers = model.network.layers
    functions = [name for name in layers if not layers[name].module]
    with torch.no_grad():
        found = model.activations(image(), [*expected, functions[len(functions) // 2]])
        torch.testing.assert_close({name: found[name] for name in expected}, expected, rtol=0, atol=0)
        alone = model.activations(image(), list(expected)[-1])
    torch.testing.assert_close(alone[list(expected)[-1]], list(expected.values())[-1], rtol=0, atol=0)
    return functions


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_transformers(kind):
    torch.manual_seed(0)
    configuration = getattr(transformers, f"{kind}Config")(**TRANSFORMERS[kind])
    network = getattr(transformers, f"{kind}Model")(configuration)
    model = from_torch(copy.deepcopy(network), (0, 1), image_shape=SIZE)
    assert model.network.untraced.startswith("torch.fx cannot trace the network")
    assert "output:last_hidden_state" in model.network.outputs
    assert check_against_hooks(network)
    state = model.activations(image(), "output:last_hidden_state")["output:last_hidden_state"]
    with torch.no_grad():
        torch.testing.assert_close(state, network.eval()(image()).last_hidden_state, rtol=0, atol=0)


def test_a_residual_sum_of_a_transformer():
    torch.manual_seed(0)
    network = transformers.ViTModel(transformers.ViTConfig(**SMALL))
    functions = check_against_hooks(network)
    sums = [name for name in functions if name.endswith((".add", ".add_1"))]
    assert sums
    model = from_torch(network, (0, 1), image_shape=SIZE)
    x = image().requires_grad_()
    found = model.activations(x, [sums[0], sums[-1]])
    (gradient,) = torch.autograd.grad(found[sums[-1]].square().sum(), found[sums[0]])
    assert gradient.any()


def dynamic_vit():
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, dynamic_img_size=True
    )


def test_what_timm_registers_is_not_traced_through(monkeypatch):
    torch.manual_seed(0)
    tracers, original = [], tracing._trace_with
    monkeypatch.setattr(tracing, "_trace_with", lambda *args: tracers.append(args[0]) or original(*args))
    network = dynamic_vit()
    model = from_torch(copy.deepcopy(network), (0, 1), image_shape=SIZE)
    assert model.network.untraced is None
    assert len(tracers) == 2
    functions = check_against_hooks(network)
    assert {"blocks.0.add", "blocks.0.add_1", "blocks.1.add"} <= set(functions)


def test_a_timm_network_that_cannot_be_traced():
    class Deciding(timm.models.VisionTransformer):
        def forward(self, x):
            return super().forward(x) if x.mean() > -100 else x

    torch.manual_seed(0)
    network = Deciding(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4)
    functions = check_against_hooks(network)
    assert {"blocks.0.add", "blocks.0.add_1", "blocks.1.add", "blocks.1.attn.transpose"} <= set(functions)


def test_a_network_that_has_run_keeps_its_own_hooks():
    """transformers collects hidden states by hooks, which it installs in the first pass."""
    neck = {"neck_hidden_sizes": [8, 16], "fusion_hidden_size": 16, "backbone_out_indices": [0, 1]}
    shape = {"reassemble_factors": [4, 2], "neck_ignore_stages": [], "head_in_index": -1}
    torch.manual_seed(0)
    network = transformers.DPTForDepthEstimation(transformers.DPTConfig(**SMALL, **neck, **shape)).eval()
    network.requires_grad_(False)
    seen = seen_by_hooks(network, image())
    model = from_torch(network, (0, 1), image_shape=SIZE)
    assert any(not info.module for info in model.network.layers.values())
    found = model.network.activations(image(), list(seen))
    assert [name for name in seen if not torch.equal(found[name], seen[name])] == []
