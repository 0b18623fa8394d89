"""Recipe files and figures' recipes of an earlier version are read, and give what they gave.

Everywhere their data are the same within measured bounds, and have the same keys; on the fixtures' machine the pictures
have the same bits.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from lucid_port.cli import main
from lucid_port.optvis.recipe_files import read_document, read_recipe
from lucid_port.optvis.recipe_plan import Plan
from parity_tests.compatibility import cases
from parity_tests.compatibility.fixtures import FOLDER, other_machine, pixels, read_json, sha256

PLANS = FOLDER / "plans"
BOUND = 1e-5  # measured with kernels for other processors: 1.2e-6
RENDERED_BOUND = 1e-3
"""Of values after updates with Lucid's transforms; measured so: 8.1e-5 (fv-channel)."""


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def assert_alike(found, kept, bound: float, where: str = "") -> None:
    """Compares plain data: keys, lengths, kinds and texts exactly, fractions within a bound."""
    if isinstance(kept, dict):
        assert list(found) == list(kept), where
        for key, value in kept.items():
            assert_alike(found[key], value, bound, f"{where}/{key}")
    elif isinstance(kept, list):
        assert len(found) == len(kept), where
        numbers = [isinstance(one, float) for one in kept]
        if kept and all(numbers):
            scale = max(map(abs, kept)) or 1.0
            np.testing.assert_allclose(found, kept, rtol=0, atol=bound * scale, err_msg=where)
        else:
            for index, (one, other) in enumerate(zip(found, kept, strict=True)):
                assert_alike(one, other, bound, f"{where}/{index}")
    elif isinstance(kept, float):
        assert found == pytest.approx(kept, rel=bound), where
    else:
        assert found == kept, where


# Figures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cases.FIGURES)
def test_a_figure_is_made_again_from_its_recipe(tmp_path, name):
    kept = read_json(f"figures/{name}.json")
    assert run("run", FOLDER / "figures" / f"{name}.json", "-o", tmp_path) == 0
    found = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    made, was = found.pop("made_with"), kept.pop("made_with")
    assert made["fingerprint"] == was["fingerprint"]
    assert_alike(found, kept, RENDERED_BOUND if name == "fv-channel" else BOUND)
    if not other_machine():
        assert found == kept
        # Layout and words are part of the pixels. Since version 0.1.0, the heat maps of cd-synthetic-curves have got
        # axes: its hash is that of the new layout, and the numbers above are those of 0.1.0.
        assert sha256(pixels(tmp_path / f"{name}.png")) == read_json("figures.json")[name]


# Plans -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["channel", "objective"])
def test_a_plan_of_one_picture(tmp_path, name):
    assert run("run", PLANS / f"{name}.toml", "-o", tmp_path / "a.png") == 0
    kept, found = read_document(PLANS / f"{name}.png"), read_document(tmp_path / "a.png")
    assert_alike({**found, "made_with": 0}, {**kept, "made_with": 0}, RENDERED_BOUND)
    if not other_machine():
        np.testing.assert_array_equal(pixels(tmp_path / "a.png"), pixels(PLANS / f"{name}.png"))


def test_a_plan_of_a_folder(tmp_path):
    assert run("run", PLANS / "units.toml", "-o", tmp_path / "units") == 0
    kept, found = (json.loads((place / "units" / "manifest.json").read_text()) for place in (PLANS, tmp_path))
    assert found["settings"] == kept["settings"]
    assert [entry["id"] for entry in found["units"]] == [entry["id"] for entry in kept["units"]]
    for one, other in zip(found["units"], kept["units"], strict=True):
        assert one["value"] == pytest.approx(other["value"], rel=RENDERED_BOUND)
        assert (one["stem"], one["tile"], one["seed"]) == (other["stem"], other["tile"], other["seed"])
    if not other_machine():
        np.testing.assert_array_equal(pixels(tmp_path / "units" / "sheet.png"), pixels(PLANS / "units" / "sheet.png"))


def test_a_plan_as_an_object():
    plan = Plan.from_document(read_document(PLANS / "units.toml"))
    assert (plan.units, plan.seeds, plan.per_image, plan.sheet) == (["mixed3a:1-2", "conv2d2:4"], [4, 5, 6], True, True)
    assert plan.makes_folder
    assert read_recipe(PLANS / "channel.png").seeds["seed"] == 5
