"""Recorded activations and the maps between layers that follow from them."""

from __future__ import annotations

import numpy as np
import pytest

from lucid_port.modelzoo import aligned_activations as aligned
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.vision_base import Layer

FIRST, SECOND = Layer("conv/a", 5, model_name="Small"), Layer("b", 3, model_name="Small")


@pytest.fixture(autouse=True)
def pages(tmp_path, monkeypatch):
    """Ten pages of 7 samples for two layers of one model; name -> all samples."""
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(tmp_path))
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))
    random = np.random.RandomState(2)
    folder = tmp_path / "aligned-activations" / "Small"
    folder.mkdir(parents=True)
    samples = {}
    for layer, name in ((FIRST, "conv_a"), (SECOND, "b")):
        samples[layer.name] = random.standard_normal((70, layer.depth)).astype(np.float32) + 1
        for page, values in enumerate(np.split(samples[layer.name], 10)):
            np.save(folder / f"{name}-{page:05d}-of-01000.npy", values)
    for cached in (aligned.get_aligned_activations, aligned.layer_covariance, aligned.layer_inverse_covariance):
        cached.cache_clear()
    return samples


def test_pages_are_read_in_order(pages):
    np.testing.assert_array_equal(FIRST.activations, pages["conv/a"])
    assert FIRST.activations is aligned.get_aligned_activations(FIRST)
    assert not FIRST.activations.flags.writeable


def test_covariances_subtract_no_mean(pages):
    a, b = (values.astype(np.float64) for values in pages.values())
    np.testing.assert_allclose(aligned.layer_covariance(FIRST), a.T @ a / 70, rtol=1e-5)
    np.testing.assert_allclose(aligned.layer_covariance(FIRST, SECOND), a.T @ b / 70, rtol=1e-5)


def test_pushing_is_linear_regression(pages):
    a, b = (values.astype(np.float64) for values in pages.values())
    slopes = np.linalg.lstsq(a, b, rcond=None)[0]
    rows = np.random.RandomState(5).standard_normal((4, 5))
    np.testing.assert_allclose(aligned.push_activations(rows, FIRST, SECOND), rows @ slopes, rtol=1e-4, atol=1e-5)


def test_pushing_to_the_same_layer_changes_nothing():
    rows = np.random.RandomState(5).standard_normal((4, 5))
    np.testing.assert_allclose(aligned.push_activations(rows, FIRST, FIRST), rows, rtol=1e-4, atol=1e-5)


def test_a_missing_page_is_named(tmp_path):
    (tmp_path / "aligned-activations" / "Small" / "b-00004-of-01000.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"aligned-activations/Small/b-00004-of-01000\.npy, page 4"):
        SECOND.activations  # noqa: B018


def test_pages_of_another_layer_are_refused(tmp_path):
    np.save(tmp_path / "aligned-activations" / "Small" / "b-00004-of-01000.npy", np.zeros((7, 4)))
    with pytest.raises(ValueError, match=r"\[7, 4\] values; b has 3 channels"):
        SECOND.activations  # noqa: B018


def test_values_that_are_not_finite_are_refused(tmp_path):
    np.save(tmp_path / "aligned-activations" / "Small" / "b-00004-of-01000.npy", np.full((7, 3), np.nan))
    with pytest.raises(ValueError, match="not finite"):
        SECOND.activations  # noqa: B018


def test_layers_that_do_not_correspond(tmp_path):
    np.save(tmp_path / "aligned-activations" / "Small" / "b-00004-of-01000.npy", np.zeros((6, 3)))
    with pytest.raises(ValueError, match=r"70 samples .* 69"):
        aligned.layer_covariance(FIRST, SECOND)


def test_the_twins_activations_are_inceptionv1s():
    with pytest.raises(FileNotFoundError, match="aligned-activations/InceptionV1/conv2d0-00000"):
        vision_models.InceptionV1_adv_finetuned.layers[0].activations  # noqa: B018
