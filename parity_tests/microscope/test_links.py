"""Links: equal to kernels and to products of matrices, with cancelling paths marked; similar units equal NumPy's."""

import numpy as np
import pytest
import torch
from torch import nn

from lucid_port.microscope import links as module
from lucid_port.microscope.examples import pool_activations
from lucid_port.microscope.links import links_between, links_of, similar_units
from lucid_port.microscope.pictures import Pictures
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.preprocessing import Preprocessing
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.recipes.weights import Expansion, expanded_weights, kernels_of


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.squeeze = nn.Conv2d(6, 4, 1)
        self.second = nn.Conv2d(4, 7, 1)
        self.gated = nn.Conv2d(7, 3, 1)
        self.head = nn.Linear(7, 5)

    def forward(self, x):
        x = self.second(self.squeeze(self.first(x).relu()).relu()).relu()
        return self.head(x.mean((2, 3))), self.gated(torch.sigmoid(x))


@pytest.fixture
def net():
    torch.manual_seed(3)
    return Net()


def modelled(net):
    return from_torch(net, (-1, 1), image_shape=(17, 23, 3))


def test_links_of_a_single_convolution_are_its_kernels():
    model = TinyInceptionV1()
    kernels = kernels_of(model, "conv2d2").transpose(0, 3, 1, 2)
    found = links_between(model, "conv2d1", "conv2d2", each_sign=16)
    signs = np.where(kernels.sum((2, 3)) < 0, -1, 1)
    np.testing.assert_allclose(found.weights, signs * np.linalg.norm(kernels, axis=(2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.shares, 1, rtol=1e-5)
    assert not found.incoming.cancels.any()
    for unit in range(48):
        linked = found.incoming.units[unit]
        assert sorted(linked[linked >= 0].tolist()) == list(range(16))
        for at, source in enumerate(linked[:16]):
            np.testing.assert_array_equal(found.incoming.kernels[unit, at], kernels[unit, source])


def test_expansions_equal_expanded_weights():
    model = TinyInceptionV1()
    direct = expanded_weights(model, "mixed4a", "mixed4b", [3, 100]).values
    found = Expansion(model, "mixed4a", "mixed4b").weights([3, 100], direct.shape[-1] // 2)
    np.testing.assert_allclose(found, direct, rtol=1e-5, atol=1e-6)


def test_links_over_a_bottleneck_are_products_of_matrices(net):
    with torch.no_grad():
        net.squeeze.weight[:, 0] = torch.tensor([1.0, 1.0, 0, 0])[:, None, None]
        net.second.weight[0] = torch.tensor([1.0, -0.9, 0, 0])[:, None, None]
    one, two = (part.weight[..., 0, 0].detach().double().numpy() for part in (net.squeeze, net.second))
    found = links_between(modelled(net), "first", "second", 3)
    np.testing.assert_allclose(found.weights, two @ one, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.shares, np.abs(two @ one) / (np.abs(two) @ np.abs(one)), rtol=1e-3, atol=1e-5)
    assert found.shares[0, 0] == pytest.approx(0.1 / 1.9, rel=1e-3)
    at = found.incoming.units[0].tolist().index(0)
    assert found.incoming.cancels[0, at], "paths of 1 and -0.9 are not marked as cancelling"
    assert (found.incoming.cancels == (np.take_along_axis(found.shares, found.incoming.units, 1) < module.CANCELS))[
        found.incoming.units >= 0
    ].all()


@pytest.mark.parametrize("block", [1, 3, 64])
def test_the_strongest_of_each_sign_are_kept(net, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    found = links_between(modelled(net), "first", "second", 2)
    for links, weights in ((found.incoming, found.weights), (found.outgoing, found.weights.T)):
        for unit, row in enumerate(weights):
            positive = [n for n in np.argsort(-row, kind="stable")[:2] if row[n] > 0]
            negative = [n for n in np.argsort(row, kind="stable")[:2] if row[n] < 0]
            expected = sorted(positive + negative, key=lambda n: -abs(row[n]))
            shown = links.units[unit]
            assert shown[shown >= 0].tolist() == expected
            np.testing.assert_array_equal(links.weights[unit, : len(expected)], row[expected])
            np.testing.assert_allclose(links.kernels[unit, : len(expected), 0, 0], row[expected], rtol=1e-5)


def test_a_fully_connected_layer_has_links_by_place(net):
    model = modelled(net)
    found = links_between(model, "second", "head", 7)
    np.testing.assert_allclose(
        np.sign(found.weights), np.sign(net.head.weight.detach().numpy()), err_msg="the mean over places keeps the sign"
    )


def test_layers_without_links_have_a_reason(net):
    found, problems = links_of(modelled(net), ["first", "second", "gated", "head"])
    assert list(found) == [("first", "second")]
    assert "is not linear" in problems["second", "gated"]
    assert "does not depend" in problems["gated", "head"]


def test_the_model_is_left_as_it_is(net):
    model = modelled(net)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    links_between(model, "first", "second")
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_rows_are_those_of_the_details(net):
    found = links_between(modelled(net), "first", "second", 1)
    rows = found.incoming.rows("first", 2)
    assert [len(row) for row in rows] == [5] * len(rows)
    layer, unit, weight, cancels, kernel = rows[0]
    assert (layer, unit) == ("first", int(found.incoming.units[2, 0]))
    assert weight == pytest.approx(found.weights[2, unit])
    assert isinstance(cancels, bool)
    assert np.shape(kernel) == found.incoming.kernels.shape[2:]


# Similar units ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    torch.manual_seed(3)
    draws = np.random.default_rng(0)
    data = [draws.random((17, 23, 3)) * scale for scale in draws.random(40)]
    pictures = Pictures(data, Preprocessing((17, 23)))
    place = tmp_path_factory.mktemp("pooled")
    return pool_activations(modelled(Net()), pictures, ["first", "second", "head"], place, batch_size=2, verbose=False)


def test_similar_units_are_those_of_numpy(pooled):
    found = similar_units(pooled, here=2, elsewhere=3)
    values = {layer: np.concatenate([b["max"] for _, b in one.blocks()]).astype(float) for layer, one in pooled.items()}
    for layer, mine in values.items():
        for unit in range(mine.shape[1]):
            ranked = {name: [] for name in ("here", "elsewhere")}
            for other, theirs in values.items():
                for two in range(theirs.shape[1]):
                    if (other, two) != (layer, unit) and mine[:, unit].std() and theirs[:, two].std():
                        r = np.corrcoef(mine[:, unit], theirs[:, two])[0, 1]
                        ranked["here" if other == layer else "elsewhere"].append((r, other, two))
            expected = sorted(ranked["here"], reverse=True)[:2] + sorted(ranked["elsewhere"], reverse=True)[:3]
            rows = found[layer].rows(unit)
            np.testing.assert_allclose([row[2] for row in rows], [one[0] for one in expected], atol=1e-5)
            for row, (r, *_) in zip(rows, expected, strict=True):
                assert np.corrcoef(mine[:, unit], values[row[0]][:, row[1]])[0, 1] == pytest.approx(r, abs=1e-5)


def test_similar_units_are_of_those_that_are_shown(pooled):
    found = similar_units(pooled, units={"first": [0, 2], "second": [1]})
    named = {
        (row[0], row[1])
        for similar in found.values()
        for unit in range(len(similar.units))
        for row in similar.rows(unit)
    }
    assert {one for one in named if one[0] == "first"} <= {("first", 0), ("first", 2)}
    assert {one for one in named if one[0] == "second"} == {("second", 1)}
