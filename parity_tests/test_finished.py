"""Finished renders come as high as Lucid's. One unit and two seeds here; `python -m parity_tests.finished` does all."""

from __future__ import annotations

import numpy as np
import pytest

from lucid_port.modelzoo.vision_models import MODELS
from parity_tests.finished import LAST, REFERENCE, SEEDS, STEPS, UNITS, agree, contact_sheet, finals, run_port
from parity_tests.networks import NETWORKS, WITHOUT_CAFFE


@pytest.fixture(scope="module")
def lucid():
    with np.load(REFERENCE) as arrays:
        return dict(arrays)


@pytest.mark.slow
def test_a_render_comes_as_high_as_lucids(lucid):
    if NETWORKS["inceptionv1-caffe"].graph_def() is None:
        pytest.skip(WITHOUT_CAFFE)
    model = MODELS["InceptionV1_caffe"]()
    ours = [finals(run_port(model, UNITS[0], seed)[0]) for seed in SEEDS[:2]]
    distance, allowed = agree(finals(lucid["losses"][0]), ours)
    assert distance <= allowed


def test_the_reference_holds_whole_renders(lucid):
    assert lucid["losses"].shape == (len(UNITS), len(SEEDS), STEPS)
    assert lucid["pictures"].shape == (len(UNITS), len(SEEDS), 128, 128, 3)
    # Every unit was found: the objective grew at least tenfold.
    assert (finals(lucid["losses"]) > 10 * np.abs(lucid["losses"][..., 0])).all()


def test_agreement_is_three_percent_or_the_spread_of_lucids_seeds():
    assert agree([100, 100], [103.5, 103.5]) == (3.5, 3.0)
    assert agree([90, 110], [115, 115]) == (15, 20)


def test_the_final_objective_is_the_mean_of_the_last_steps():
    losses = np.zeros((2, 100))
    losses[:, -LAST:] = [[3], [5]]
    assert finals(losses).tolist() == [3, 5]


def test_the_contact_sheet_has_lucid_above_and_the_port_below(lucid):
    black = np.zeros_like(lucid["pictures"])
    sheet = np.asarray(contact_sheet(lucid["pictures"], black))
    assert sheet.shape == (4 * 128 + 8, len(UNITS) * 128, 3)
    assert np.array_equal(sheet[:128, :128], lucid["pictures"][0, 0])
    assert not sheet[-128:].any()
