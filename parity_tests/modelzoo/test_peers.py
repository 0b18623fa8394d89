"""Weights of Lucent's InceptionV1: into the converted network, back, and into Lucent itself."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import subprocess
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import converters
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.peers import load_lucent_weights, to_lucent_state_dict
from parity_tests.lucent import find_lucent

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("lucent_worker.py")
LUCENT = json.loads((Path(__file__).parent / "peer_modules.json").read_text(encoding="utf-8"))["lucent"]


@pytest.fixture(scope="module")
def seeded_model():
    return vision_models.InceptionV1_seeded()


@pytest.fixture
def other(seeded_model):
    """A copy of the seeded network with other weights."""
    twin = copy.deepcopy(seeded_model)
    generator = torch.Generator().manual_seed(11)
    for parameter in twin.network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return twin


def test_keys_and_shapes_are_those_of_lucents_own_model(seeded_model):
    state = to_lucent_state_dict(seeded_model)
    assert {key: list(tensor.shape) for key, tensor in state.items()} == LUCENT["state_dict"]
    assert list(state) == list(LUCENT["state_dict"])
    assert all(tensor.is_contiguous() for tensor in state.values())


def test_through_a_file_and_back_every_bit_is_the_same(seeded_model, other, tmp_path):
    """Into a network with other weights, whose heads keep theirs."""
    before = copy.deepcopy(other.network.state_dict())
    torch.save(to_lucent_state_dict(seeded_model), tmp_path / "inception5h.pth")
    kept = load_lucent_weights(other, tmp_path / "inception5h.pth")
    assert kept == (
        "head0_bottleneck_pre_relu",
        "nn0_pre_relu",
        "softmax0_pre_activation",
        "head1_bottleneck_pre_relu",
        "nn1_pre_relu",
        "softmax1_pre_activation",
    )
    expected, heads = seeded_model.network.state_dict(), re.compile(r"head|nn|softmax[01]")
    for key, tensor in other.network.state_dict().items():
        torch.testing.assert_close(tensor, (before if heads.match(key) else expected)[key], rtol=0, atol=0)
    again = to_lucent_state_dict(other)
    torch.testing.assert_close(again, to_lucent_state_dict(seeded_model), rtol=0, atol=0)


def test_the_network_computes_with_the_new_weights(seeded_model, other):
    image, names = torch.rand(1, 3, 61, 53), ["mixed4a_pre_relu", "mixed5b"]
    stale = other.activations(image, names)
    load_lucent_weights(other.network, to_lucent_state_dict(seeded_model.network))
    found, expected = other.activations(image, names), seeded_model.activations(image, names)
    assert not torch.equal(stale["mixed5b"], expected["mixed5b"])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_what_is_given_back_is_a_copy(seeded_model):
    before = seeded_model.network.state_dict()["conv2d0_pre_relu.bias"].clone()
    to_lucent_state_dict(seeded_model)["conv2d0_pre_relu_conv.bias"].add_(1)
    torch.testing.assert_close(seeded_model.network.state_dict()["conv2d0_pre_relu.bias"], before, rtol=0, atol=0)


def test_a_network_with_new_weights_no_longer_says_that_it_is_its_files(seeded_model, other, tmp_path):
    load_lucent_weights(other, to_lucent_state_dict(seeded_model))
    assert other.network.program.source_sha256 is None
    assert other.network.program.fingerprint != seeded_model.network.program.fingerprint
    other.network.save(tmp_path / "saved")
    read = converters.load(tmp_path / "saved")
    torch.testing.assert_close(read.state_dict(), other.network.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda state: state.pop("mixed4a_5x5_pre_relu_conv.bias"),
            r"lack mixed4a_5x5_pre_relu_conv\.bias: they",
        ),
        (lambda state: [state.pop(key) for key in list(state)[2:9]], r"lack conv2d1_.*, .*, .* and 4 more"),
        (lambda state: state.update({"conv1.weight": torch.zeros(1)}), r"hold conv1\.weight, which Lucent's"),
        (
            lambda state: state.update({"conv2d2_pre_relu_conv.weight": torch.zeros(192, 64, 3, 5)}),
            r"conv2d2_pre_relu_conv\.weight has shape \[192, 64, 3, 5\]; it has to have \[192, 64, 3, 3\]",
        ),
        (
            lambda state: state.update(
                {"softmax2_pre_activation_matmul.weight": state["softmax2_pre_activation_matmul.weight"].T}
            ),
            r"has shape \[1024, 1008\]; it has to have \[1008, 1024\]",
        ),
        (lambda state: state.update({"conv2d0_pre_relu_conv.bias": [0.0]}), r"bias is \[0\.0\], not a tensor"),
        (
            lambda state: state.update({"conv2d0_pre_relu_conv.bias": torch.zeros(64, dtype=int)}),
            r"not a tensor of float",
        ),
    ],
)
def test_other_state_dicts_are_refused_before_anything_changes(seeded_model, other, change, words):
    state, before = to_lucent_state_dict(seeded_model), copy.deepcopy(other.network.state_dict())
    change(state)
    with pytest.raises(ValueError, match=words):
        load_lucent_weights(other, state)
    torch.testing.assert_close(other.network.state_dict(), before, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_that_hold_something_else(other, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*missing\.pth"):
        load_lucent_weights(other, tmp_path / "missing.pth")
    (tmp_path / "text.pth").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "code.pth").write_bytes(pickle.dumps(Path("anything")))
    torch.save(to_lucent_state_dict(other), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:1000])
    for name in ("text", "empty", "code", "cut"):
        with pytest.raises(ValueError, match=rf"{name}\.pth is no file of tensors that PyTorch wrote"):
            load_lucent_weights(other, tmp_path / f"{name}.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth holds a list, not the state_dict"):
        load_lucent_weights(other, tmp_path / "list.pth")


@pytest.mark.parametrize("convert", [load_lucent_weights, lambda model, state: to_lucent_state_dict(model)])
def test_only_lucids_inceptionv1_takes_them(seeded_model, convert):
    network = from_torch(torch.nn.Sequential(torch.nn.Conv2d(3, 64, 7)), (0, 1))
    with pytest.raises(ValueError, match="A TorchNetwork without a layer 'conv2d0_pre_relu/conv' is not Lucid's"):
        convert(network, to_lucent_state_dict(seeded_model))


def test_lucents_convolutions_compute_the_same_from_the_same_inputs(seeded_model):
    """Its weights behind its pads, fed with what each convolution reads in the converted network."""
    state, network = to_lucent_state_dict(seeded_model), seeded_model.network
    names = [key.removesuffix("_conv.weight") for key in state if key.endswith("_pre_relu_conv.weight")]
    reads = {
        name: str(step.inputs[0]) for step in network.program.steps for name in names if step.name == f"{name}/conv"
    }
    found = network.activations(255 * torch.rand(1, 3, 64, 96) - 117, [*names, *set(reads.values())])
    assert len(names) == len(reads) == 57
    for name, source in reads.items():
        weight, bias = state[f"{name}_conv.weight"], state[f"{name}_conv.bias"]
        stride = 2 if name == "conv2d0_pre_relu" else 1
        pad = (2, 3, 2, 3) if stride == 2 else [weight.shape[-1] // 2] * 4
        value = F.conv2d(F.pad(found[source], pad), weight, bias, stride)
        # A convolution adds in an order of its own, by how its input lies in memory: some units of the last place.
        torch.testing.assert_close(value, found[name], rtol=0, atol=3e-6 * float(found[name].abs().max()))


# Lucent itself --------------------------------------------------------------------------------


@pytest.fixture
def lucent(seeded_model, tmp_path):
    """Runs Lucent's network, with the seeded network's weights, in Lucent's own environment."""
    python = find_lucent()
    if python is None:
        pytest.skip("needs a Python with Lucent, named by LUCID_PORT_LUCENT: python -m parity_tests.lucent FOLDER")

    def activations(image, layers, trace=True, normalization=None):
        job = {
            "weights": to_lucent_state_dict(seeded_model),
            "image": image,
            "range": seeded_model.image_value_range,
            "layers": layers,
            "trace": trace,
            "normalization": normalization,
            "out": str(tmp_path / "values.pt"),
        }
        torch.save(job, tmp_path / "job.pt")
        command = [str(python), str(WORKER), str(tmp_path / "job.pt")]
        run = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return torch.load(job["out"])

    return activations


def test_lucents_network_is_lucids_before_the_first_normalisation(seeded_model, lucent):
    """As far as a pass has not met the first normalisation; behind it, Lucent is another network."""
    image = torch.rand(1, 3, 224, 224)
    early = {"conv2d0_pre_relu": "conv2d0_pre_relu_conv", "conv2d0": "conv2d0", "maxpool0": "maxpool0"}
    ours, theirs = seeded_model.activations(image, [*early, "mixed4c"]), lucent(image, [*early.values(), "mixed4c"])
    for lucid, name in early.items():
        torch.testing.assert_close(theirs[name], ours[lucid], rtol=0, atol=3e-6 * float(ours[lucid].abs().max()))
    assert (theirs["mixed4c"] - ours["mixed4c"]).abs().max() > 0.05 * ours["mixed4c"].abs().max()


def test_lucents_network_is_lucids_but_for_the_normalisation(seeded_model, lucent):
    """At 224 pixels, where its fixed pads are right, with the graph's normalisation in the place of its own."""
    image = torch.rand(1, 3, 224, 224)
    names = {"mixed3a": "mixed3a", "mixed5b": "mixed5b", "softmax2_pre_activation": "softmax2_pre_activation_matmul"}
    normalization = {"size": 11, "alpha": 1.1e-3, "beta": 0.5, "k": 2.0}
    theirs = lucent(image, list(names.values()), trace=False, normalization=normalization)
    ours = seeded_model.activations(image, list(names))
    for lucid, name in names.items():
        torch.testing.assert_close(theirs[name], ours[lucid], rtol=0, atol=1e-5 * float(ours[lucid].abs().max()))
