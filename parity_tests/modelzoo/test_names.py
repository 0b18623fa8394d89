"""The name table against the peers' own modules, and against the network that it is about."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

import converters
from lucid_port import modelzoo
from lucid_port.modelzoo import names, vision_models

RECORDED = json.loads((Path(__file__).parent / "peer_modules.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def seeded_model():
    return vision_models.InceptionV1_seeded()


def counterparts(peer: str) -> dict[str, str]:
    found = {row.lucid: getattr(row, peer) for row in names.table()}
    return {lucid: name for lucid, name in found.items() if name is not None}


def test_the_table_has_every_layer_of_the_network_and_no_other(seeded_model):
    assert {row.lucid for row in names.table()} == set(seeded_model.network.layers)


@pytest.mark.parametrize("peer", ["lucent", "captum"])
def test_a_peers_names_are_those_of_its_modules(peer):
    """All of them, but for what is no layer: the modules that hold the auxiliary heads of captum.optim."""
    modules = set(RECORDED[peer]["modules"]) - {"aux1", "aux2"}
    assert set(counterparts(peer).values()) == modules


def test_torchvisions_names_are_those_of_its_layers():
    """All but the modules that hold others. Modules of the auxiliary heads do not run, and are no layers."""
    network = modelzoo.torchvision("googlenet", weights=None).network
    heads = {path for path, _ in network.module.named_modules() if path.startswith("aux")}
    found = set(counterparts("torchvision").values())
    assert found <= set(network.layers) | heads
    assert not heads & set(network.layers)
    modules = {name for name, info in network.layers.items() if info.module == name}
    assert modules - found == {name for name in modules if name.startswith("inception") and name[-1] in "234"}
    assert heads - found == {"aux1", "aux2"}


@pytest.mark.parametrize("peer", names.PEERS)
def test_translation_goes_both_ways(peer):
    for lucid, name in counterparts(peer).items():
        assert names.to_peer(lucid, peer) == name
        assert names.to_lucid(name, peer) == lucid


@pytest.mark.parametrize(
    ("lucid", "expected"),
    [
        ("mixed4a_pre_relu", {"captum": "mixed4a"}),
        ("mixed4a", {"lucent": "mixed4a", "captum": "mixed4a_relu", "torchvision": "inception4a"}),
        (
            "mixed5b_3x3_bottleneck_pre_relu",
            {"captum": "mixed5b.conv_3x3_reduce", "torchvision": "inception5b.branch2.0.bn"},
        ),
        ("conv2d2_pre_relu", {"lucent": "conv2d2_pre_relu_conv", "captum": "conv3", "torchvision": "conv3.bn"}),
        ("nn1_pre_relu", {"captum": "aux2.fc1", "torchvision": "aux2.fc1"}),
        ("softmax2_pre_activation", {"lucent": "softmax2_pre_activation_matmul", "captum": "fc", "torchvision": "fc"}),
    ],
)
def test_known_pairs(lucid, expected):
    assert {peer: names.to_peer(lucid, peer) for peer in expected} == expected


@pytest.mark.parametrize(
    ("lucid", "peer", "reason"),
    [
        ("mixed4a_pre_relu", "lucent", "concatenates the branches after their ReLUs only"),
        ("mixed4a_1x1", "captum", "one ReLU after the concatenated branches"),
        ("localresponsenorm0", "torchvision", "does not compute the value"),
        ("head0_bottleneck", "lucent", "no auxiliary heads"),
        ("output2", "captum", "the softmax under a second name"),
    ],
)
def test_what_a_peer_lacks_is_said_with_its_reason(lucid, peer, reason):
    with pytest.raises(names.NoCounterpartError, match=f"{peer} has no counterpart of '{lucid}': .*{reason}"):
        names.to_peer(lucid, peer)


PAGE = Path(__file__).parents[2].joinpath("docs", "porting.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\S+)` \| (\S+) \| (\S+) \| (\S+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_page_says_what_the_table_says(row):
    """Every row of the page, for every module and head that its M or N stands for."""
    lucid, *theirs = row
    modules = names.MODULES if "M" in lucid else ("",)
    for module, head in itertools.product(modules, (0, 1) if "N" in lucid else (0,)):
        name = lucid.replace("M", f"mixed{module}").replace("N", str(head))
        for peer, cell in zip(names.PEERS, theirs, strict=True):
            prefix = "inception" if peer == "torchvision" else "mixed"
            said = cell.strip("`").replace("M", f"{prefix}{module}").replace("N", str(head + 1))
            assert counterparts(peer).get(name, "none") == said


def test_the_page_has_the_table():
    assert len(ROWS) == 23
    assert f"all {len(names.table())} layers" in PAGE


def test_names_that_do_not_exist():
    with pytest.raises(converters.LayerNotFoundError, match=r"called 'mixed4f'\. Did you mean mixed\d"):
        names.to_peer("mixed4f", "lucent")
    with pytest.raises(converters.LayerNotFoundError, match=r"Did you mean inception\d"):
        names.to_lucid("inception4f", "torchvision")
    with pytest.raises(ValueError, match="one for lucent, captum, torchvision"):
        names.to_peer("mixed4a", "timm")


def test_counterparts_have_as_many_channels(seeded_model):
    """In torchvision, but for two branches, what follows from the first, and the classes."""
    theirs = modelzoo.torchvision("googlenet", weights=None).network.layers
    ours = seeded_model.network.layers
    other = {
        lucid: (ours[lucid].channels, theirs[name].channels)
        for lucid, name in counterparts("torchvision").items()
        if None not in (ours[lucid].channels, theirs[name].channels) and ours[lucid].channels != theirs[name].channels
    }
    assert other == {
        **{f"mixed4a_3x3{end}": (204, 208) for end in ("", "_pre_relu", "_pre_relu/conv")},
        **{f"mixed5a_5x5_bottleneck{end}": (48, 32) for end in ("", "_pre_relu", "_pre_relu/conv")},
        "mixed4a": (508, 512),
        "mixed4b_pool": (508, 512),
        **{f"softmax{number}_pre_activation": (1008, 1000) for number in range(3)},
    }
