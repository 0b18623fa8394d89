"""Statistics of units over pictures equal plain computations on the whole matrix."""

import numpy as np
import pytest

from lucid_port.microscope import statistics
from lucid_port.microscope.examples import pool_activations
from lucid_port.microscope.pictures import Pictures, preparation
from lucid_port.modelzoo.vision_models import TinyInceptionV1


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    model = TinyInceptionV1()
    draws = np.random.default_rng(0)
    pictures = Pictures([draws.random((40, 50, 3)) * scale for scale in draws.random(70)], preparation(model))
    folder = tmp_path_factory.mktemp("pooled")
    return pool_activations(model, pictures, ["conv2d1", "mixed3a"], folder, batch_size=4, verbose=False)


@pytest.fixture(scope="module")
def values(pooled):
    return {name: np.concatenate([block["max"] for _, block in one.blocks()]) for name, one in pooled.items()}


def test_histograms(pooled, values):
    found = statistics.histograms(pooled["mixed3a"], 16)
    for unit, column in enumerate(values["mixed3a"].T):
        low, high = column.min(), column.max()
        np.testing.assert_array_equal([found.low[unit], found.high[unit]], [low, high])
        assert found.counts[unit].sum() == 70
        if high > low:
            expected, _ = np.histogram(column, 16, (low, high))
            assert np.abs(expected - found.counts[unit]).max() <= 1  # a value at an edge


def test_sparseness(pooled, values):
    active = values["mixed3a"].astype(np.float64).clip(0)
    with np.errstate(invalid="ignore"):
        expected = 1 - active.mean(0) ** 2 / (active**2).mean(0)
    np.testing.assert_allclose(statistics.sparseness(pooled["mixed3a"]), expected, rtol=1e-12)


def test_class_means_and_selectivity(pooled, values):
    labels = [None if number % 7 == 0 else "abc"[number % 3] for number in range(70)]
    found = statistics.class_means(pooled["mixed3a"], labels)
    assert found.labels == ("a", "b", "c")
    for number, name in enumerate(found.labels):
        rows = [at for at, label in enumerate(labels) if label == name]
        assert found.counts[number] == len(rows)
        np.testing.assert_allclose(found.means[:, number], values["mixed3a"][rows].astype(float).mean(0), rtol=1e-6)
    means = np.sort(found.means.clip(0), 1)
    best, rest = means[:, -1], means[:, :-1].mean(1)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found.selectivity(), (best - rest) / (best + rest))


def test_wrong_labels(pooled):
    with pytest.raises(ValueError, match="70 pictures have 2 labels"):
        statistics.class_means(pooled["mixed3a"], ["a", "b"])
    with pytest.raises(ValueError, match="No picture has a class"):
        statistics.class_means(pooled["mixed3a"], [None] * 70)


def test_correlations(pooled, values):
    found = statistics.correlations(pooled["conv2d1"], pooled["mixed3a"])
    x, y = values["conv2d1"].astype(float), values["mixed3a"].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]
    varies = np.isfinite(expected)
    np.testing.assert_allclose(found[varies], expected[varies], atol=1e-9)
    assert np.isnan(found[~varies]).all()


def test_the_most_similar_units_leave_out_the_unit_itself(pooled):
    found = statistics.correlations(pooled["mixed3a"], pooled["mixed3a"])
    similar = statistics.most_similar(found, 3, same_layer=True)
    assert all(unit not in row for unit, row in enumerate(similar))
    others = np.where(np.eye(len(found), dtype=bool), -2, np.nan_to_num(found, nan=-2))
    np.testing.assert_array_equal(similar[:, 0], others.argmax(1))
