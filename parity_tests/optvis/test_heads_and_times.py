"""Objectives of one attention head and of one time, against plain hooks; the advice of their errors helps."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from torch import nn

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import objectives, render, serialization
from lucid_port.optvis.objectives.readers import as_reader
from lucid_port.optvis.render_many import make_many_T
from parity_tests.optvis.layouts import CASES, model

HEADS, FEATURES = 3, 4


def value_of(wrapped, objective, batch) -> float:
    vis = render.make_vis_T(wrapped, objective, lambda: batch.clone().requires_grad_(), transforms=[])
    return float(vis.evaluate([objective])[0].sum())


def images(height: int, width: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(3)) / 2 + 0.25


def hooked(network: nn.Module, module: str, batch: torch.Tensor) -> torch.Tensor:
    """The value of a module of the untouched network, by a plain forward hook."""
    found = []
    handle = network.get_submodule(module).register_forward_hook(lambda *call: found.append(call[2].detach()))
    with torch.no_grad():
        network(batch)
    handle.remove()
    return found[0]


def assert_heads(wrapped, layer: str, own: torch.Tensor, batch: torch.Tensor) -> None:
    """Compares the objectives with the network's own values (N, heads, tokens, features)."""
    described = wrapped.network.layers[layer]
    assert (described.axes, described.channels) == ("NGLC", own.shape[-1])
    for head, unit in ((0, 1), (2, 3), (-1, -2)):
        wanted = own[:, head, :, unit]
        found = value_of(wrapped, objectives.channel(layer, unit, head=head), batch)
        assert found == pytest.approx(float(wanted.mean()), rel=1e-4, abs=1e-6)
        found = value_of(wrapped, objectives.channel(layer, unit, 1, head=head), batch)
        assert found == pytest.approx(float(wanted[1].mean()), rel=1e-4, abs=1e-6)
        found = value_of(wrapped, objectives.token(layer, unit, 4, head=head), batch)
        assert found == pytest.approx(float(wanted[:, 4].mean()), rel=1e-4, abs=1e-6)
        vector = np.eye(own.shape[-1])[unit]
        found = value_of(wrapped, objectives.direction(layer, vector, head=head), batch)
        assert found == pytest.approx(float(wanted.mean()), rel=1e-4, abs=1e-6)
    found = value_of(wrapped, objectives.channel(layer, 1), batch)
    assert found == pytest.approx(float(own[..., 1].mean()), rel=1e-4, abs=1e-6)  # without head: the mean over all


def test_heads_of_a_timm_network_are_those_of_a_plain_hook() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.models.VisionTransformer(
        img_size=(12, 20), patch_size=4, embed_dim=HEADS * FEATURES, depth=1, num_heads=HEADS, num_classes=5
    ).eval()
    batch = images(12, 20)
    joined = hooked(network, "blocks.0.attn.qkv", batch * 2 - 1)  # (N, tokens, 3 * heads * features)
    wrapped = from_torch(network, (-1, 1), image_shape=(12, 20, 3))
    names = [name for name, info in wrapped.network.layers.items() if info.axes == "NGLC" and "attn" in name]
    query, key, value = joined.unflatten(-1, (3, HEADS, FEATURES)).permute(2, 0, 3, 1, 4)
    with torch.no_grad():
        read = wrapped.network.activations(batch * 2 - 1, names)
    for own in (query, key, value):
        layer = next(name for name in names if torch.allclose(read[name], own, atol=1e-6))
        assert_heads(wrapped, layer, own, batch)
        place = objectives.neuron(layer, 1, 2, 3, head=2)
        wanted = own[:, 2, 1:, 1].unflatten(1, (3, 5))[:, 2, 3].mean()
        assert value_of(wrapped, place, batch) == pytest.approx(float(wanted), rel=1e-4, abs=1e-6)
    joined_heads = hooked(network, "blocks.0.attn.norm", batch * 2 - 1)  # behind the join
    number = 2 * FEATURES + 1
    assert value_of(wrapped, objectives.channel("blocks.0.attn.norm", number), batch) == pytest.approx(
        float(joined_heads[..., number].mean()), rel=1e-4, abs=1e-6
    )
    separate = [name for name in names if read[name].shape == query.shape]
    attended = next(
        name for name in separate if torch.allclose(read[name].transpose(1, 2).flatten(2), joined_heads, atol=1e-6)
    )
    assert value_of(wrapped, objectives.channel(attended, 1, head=2), batch) == pytest.approx(
        float(joined_heads[..., number].mean()), rel=1e-4, abs=1e-6
    )


def test_heads_of_a_transformers_network_are_those_of_a_plain_hook() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    configuration = transformers.ViTConfig(
        hidden_size=HEADS * FEATURES,
        num_hidden_layers=1,
        num_attention_heads=HEADS,
        intermediate_size=10,
        image_size=(12, 20),
        patch_size=4,
    )
    network = transformers.ViTForImageClassification(configuration).eval()
    nn.init.normal_(network.vit.embeddings.position_embeddings)
    batch = images(12, 20)
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear) and part.out_features == 12]
    wrapped = from_torch(network, (-1, 1), image_shape=(12, 20, 3))
    names = [name for name, info in wrapped.network.layers.items() if info.axes == "NGLC"]
    with torch.no_grad():
        read = wrapped.network.activations(batch * 2 - 1, names)
    found = 0
    for module in linear:
        joined = hooked(network, module, batch * 2 - 1)
        if joined.ndim != 3:
            continue
        own = joined.unflatten(-1, (HEADS, FEATURES)).transpose(1, 2)
        for layer in [name for name in names if read[name].shape == own.shape and torch.equal(read[name], own)][:1]:
            assert_heads(wrapped, layer, own, batch)
            wanted = joined[..., 2 * FEATURES + 1].mean()  # the unit of the linear layer that makes the heads
            found_value = value_of(wrapped, objectives.channel(layer, 1, head=2), batch)
            assert found_value == pytest.approx(float(wanted), rel=1e-4, abs=1e-6)
            found += 1
    assert found == 3  # query, key, value


def test_many_renders_take_heads() -> None:
    described, start = model(), images(12, 20, 3)
    wanted = [objectives.channel("NGLC", 2, head=head) for head in (0, 1)]
    vis = make_many_T(described, wanted, lambda batch: start[:batch].clone().requires_grad_(), transforms=[])
    values, _ = vis.value_and_gradients()
    own = described.activations(start[:2], ["NGLC"])["NGLC"]
    torch.testing.assert_close(values, torch.stack([own[0, 0, :, 2].mean(), own[1, 1, :, 2].mean()]))


def test_heads_and_times_are_part_of_a_recipe_only_if_they_are_named() -> None:
    plain = objectives.channel("blocks.0", 2)
    assert plain.description == "Channel [blocks.0, 2, None]"
    assert plain.to_data() == {"objective": "channel", "args": {"layer": "blocks.0", "n_channel": 2, "batch": None}}
    made = objectives.neuron("blocks.0", 2, head=1, t=3)
    again = serialization.from_data(made.to_data())
    assert again.description == made.description
    assert again.to_data()["args"] == {
        "layer_name": "blocks.0", "channel_n": 2, "x": None, "y": None, "batch": None, "head": 1, "t": 3,
    }  # fmt: skip


# Times ------------------------------------------------------------------------------------------


class Video(nn.Module):
    """A network of videos, whose frames are shades of one picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 5, (2, 3, 3), padding=(0, 1, 1))

    def forward(self, image):
        return self.conv(torch.stack([image * (1 - 0.1 * frame) for frame in range(6)], 2))


def test_a_neuron_of_a_video_is_at_a_time() -> None:
    torch.manual_seed(0)
    network, batch = Video().eval(), images(7, 9)
    own = hooked(network, "conv", batch)
    wrapped = from_torch(network, (0, 1), image_shape=(7, 9, 3))
    assert wrapped.network.layers["conv"].axes == "NCTHW"
    assert own.shape[2] == 5
    for x, y, t in itertools.product((None, 2), (None, 7), (None, 0, -1)):
        row, column, time = 3 if x is None else x, 4 if y is None else y, 2 if t is None else t
        wanted = float(own[:, 4, time, row, column].mean())
        assert value_of(wrapped, objectives.neuron("conv", 4, x, y, t=t), batch) == pytest.approx(wanted, rel=1e-4)
        vector = np.eye(5)[4]
        found = value_of(wrapped, objectives.direction_neuron("conv", vector, x, y, t=t), batch)
        assert found == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(IndexError, match="has no time 5: its times are 0 to 4"):
        value_of(wrapped, objectives.neuron("conv", 4, t=5), batch)


# Advice -----------------------------------------------------------------------------------------

PLAIN = {
    "video": torch.randn(2, 5, 3, 4, 6),
    "series": torch.randn(2, 5, 7),
    "six axes": torch.randn(2, 5, 3, 4, 6, 2),
}
READS = {
    "neuron": lambda layer, _, **more: objectives.neuron(layer, 0, **more),
    "token": lambda layer, _, **more: objectives.token(layer, 0, 1, **more),
    "token by name": lambda layer, _, **more: objectives.token(layer, 0, "nothing", **more),
    "channel": lambda layer, _, **more: objectives.channel(layer, 0, **more),
    "direction_neuron": lambda layer, size, **more: objectives.direction_neuron(layer, [1.0] * size, **more),
    "total_variation": lambda layer, _: objectives.total_variation(layer),
    "tensor_direction": lambda layer, size: objectives.tensor_direction(layer, np.ones((1, 1, size))),
}
GIVEN = {
    "neuron": [{}, {"head": 0}, {"t": 0}, {"head": 0, "t": 0}],
    "direction_neuron": [{}, {"head": 0}, {"t": 0}, {"head": 0, "t": 0}],
    "token": [{}, {"head": 0}],
    "token by name": [{}, {"head": 0}],
    "channel": [{"head": 0}],
}


def advised(sentence: str, read: str, given: dict) -> list:
    """Returns the objectives that an error's sentence names, each as (name, arguments)."""
    found: list = []
    for name, head in re.findall(r"objectives\.(\w+)(?:\(\.\.\., head=(\d+)\))?", sentence):
        kept = (
            {"head": given["head"]}
            if "head" in given and "head=" not in sentence and "leave out head" not in sentence
            else {}
        )
        found.append((name, {"head": int(head)} if head else kept))
    left = re.search(r"Leave out (\w+)", sentence)
    if left:
        found.append((read, {key: value for key, value in given.items() if key != left[1]}))
    if "give the token's number" in sentence:
        found.append(("token", given))
    return found


def assert_helps(evaluate, read: str, given: dict, path: tuple = ()) -> None:
    """Follows the advice of errors: each leads to a value after a few steps, and never to the same call again."""
    call = (read, tuple(given.items()))
    assert call not in path, f"the advice goes in a circle: {path}"
    assert len(path) < 4, path
    try:
        evaluate(read, given)
    except IndexError:  # a number of this layer; the sentence gives the range
        return
    except ValueError as error:
        sentence = str(error)
        if "it names cls_token" in sentence:
            return  # lists the names
        advice = advised(sentence, read, given)
        assert advice, f"no advice in: {sentence}"
        for name, arguments in advice:
            assert_helps(evaluate, name, arguments, (*path, call))


@pytest.mark.parametrize("layer", [*CASES, *PLAIN])
def test_the_advice_of_errors_helps(layer) -> None:
    described = model()

    def evaluate(read: str, given: dict) -> None:
        if layer in PLAIN:
            value = PLAIN[layer]
            READS[read](layer, value.shape[1], **given)(as_reader({layer: value}.get))
            return
        objective = READS[read](layer, CASES[layer].info.channels, **given)
        value_of(described, objective, images(12, 20))

    for read in READS:
        for given in GIVEN.get(read, [{}]):
            assert_helps(evaluate, read, given)
