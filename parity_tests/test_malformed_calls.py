"""The tool that makes malformed calls finds raw errors, and some calls of the public API give none."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lucid_port.misc.ndimage_utils import soft_alpha_blend
from parity_tests import malformed_calls
from parity_tests.malformed_calls import Outcome, Target, cases, judge, outcomes, record, targets, valid_call

QUICK = (
    "lucid_port.misc.ndimage_utils",
    "lucid_port.misc.stimuli",
    "lucid_port.optvis.objectives",
    "lucid_port.optvis.transform",
    "lucid_port.recipes.transparency.over",
)
CALLED_BY_OTHERS = {
    "converters.ConvertedModel",
    "lucid_port.attribution.Attribution",
    "lucid_port.inspection.Inspection",
    "lucid_port.misc.channel_reducer.ChannelReducer.fit_transform",
    "lucid_port.modelzoo.vision_base.Model",
    "lucid_port.optvis.param.laplacian_pyramid",
    "lucid_port.optvis.param.naive",
    "lucid_port.optvis.recipe.Recipe.render_batch",
}
"""Callables that examples call through other functions."""

OWN_CHECKS = ("lucid_port.optvis.recipe_plan.Plan",)
"""Classes whose fields `converters.schema` checks, because users write them in files."""


@pytest.fixture(scope="module")
def public() -> dict[str, Target]:
    return {target.name: target for target in targets()}


@pytest.fixture(scope="module")
def blend(public) -> Target:
    return public["lucid_port.misc.ndimage_utils.soft_alpha_blend"]


def test_an_unchecked_function_gives_a_raw_error_that_is_found(blend):
    planted = dataclasses.replace(blend, function=soft_alpha_blend.__wrapped__)
    outcome = judge(planted, {**valid_call(planted), "image_with_alpha": "abc"}, "planted")
    assert (outcome.kind, outcome.failed) == ("raw", True), outcome


def test_the_checked_function_gives_a_sentence(blend):
    outcome = judge(blend, {**valid_call(blend), "image_with_alpha": "abc"}, "")
    assert (outcome.kind, outcome.failed) == ("sentence", False), outcome
    assert "soft_alpha_blend's image_with_alpha is an array, not 'abc'." in outcome.message


def test_a_wrong_type_that_is_accepted_is_found(blend):
    planted = dataclasses.replace(blend, function=inspect.unwrap(soft_alpha_blend))
    accepts = functools.wraps(planted.function)(lambda *args, **kwargs: None)
    outcome = judge(dataclasses.replace(blend, function=accepts), {**valid_call(blend), "gamma": "abc"}, "planted")
    assert (outcome.kind, outcome.failed) == ("silent", True), outcome
    assert outcome.message == "gamma is a finite number, not 'abc'."


def test_a_call_without_end_is_found(blend, monkeypatch):
    def endless(*_: Any) -> None:
        while True:
            pass

    monkeypatch.setattr(malformed_calls, "SECONDS", 0.05)
    assert judge(dataclasses.replace(blend, function=endless), valid_call(blend), "").kind == "too long"


def test_numbers_are_recorded_by_seed(tmp_path):
    ends = [Outcome("a", "", "sentence"), Outcome("a", "", "answer"), Outcome("b", "", "sentence")]
    record(ends[:1], 0, tmp_path / "numbers.json")
    record(ends, 1, tmp_path / "numbers.json")
    assert json.loads((tmp_path / "numbers.json").read_text()) == {
        "0": {"calls": 1, "callables": 1, "sentence": 1},
        "1": {"calls": 3, "callables": 2, "sentence": 2, "answer": 1},
    }


def test_a_valid_call_is_the_documented_one(public):
    call = valid_call(public["lucid_port.misc.stimuli.rmin"])
    np.testing.assert_equal(call["X"], [0.0, 3.0])
    assert call["r"] == 1.0


def test_cases_follow_from_the_seed():
    def drawn(seed: int) -> dict[str, list[float]]:
        return {name: [draw.random() for draw in draws] for name, draws in cases(seed, 10, list("abc")).items()}

    assert drawn(1) == drawn(1) != drawn(2)
    assert sum(map(len, drawn(1).values())) == 10


def test_malformed_calls_of_quick_functions_give_sentences(public, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [name for name in public if name.startswith(QUICK)]
    drawn = cases(0, 3 * len(names), names)
    found = list(outcomes([(public[name], draws) for name, draws in drawn.items()], lambda name: None))
    assert len(found) == 3 * len(names) > 60
    assert not [outcome for outcome in found if outcome.failed]
    assert sum(outcome.kind == "sentence" for outcome in found) > len(found) / 3


def test_every_public_function_has_an_example(public):
    def shown(target: Target) -> bool:
        name = re.compile(rf"\b{target.name.rpartition('.')[2]}\b")
        return target.name in malformed_calls.CALLS or any(
            name.search(text) for text in target.examples if ">>>" in text
        )

    assert {name for name, target in public.items() if not shown(target)} == CALLED_BY_OTHERS


def test_every_public_function_checks_its_arguments(public):
    def checks(target: Target) -> bool:
        step = target.function.__init__ if inspect.isclass(target.function) else target.function
        while step is not None:
            if getattr(step, "checks_arguments", False):
                return True
            step = getattr(step, "__wrapped__", None)
        return False

    without = sorted(name for name, target in public.items() if not checks(target))
    assert without == sorted(OWN_CHECKS), "decorate it with converters.signatures.checked"


def test_the_table_in_the_docs_has_the_recorded_numbers():
    root = Path(__file__).parents[1]
    recorded = json.loads((root / "benchmarks" / "results" / "malformed_calls.json").read_text(encoding="utf-8"))
    rows = (root / "docs" / "parity.md").read_text(encoding="utf-8").splitlines()
    for seed, numbers in recorded.items():
        failed = numbers["calls"] - numbers["answer"] - numbers["sentence"]
        counts = (seed, numbers["calls"], numbers["callables"], numbers["answer"], numbers["sentence"], failed)
        assert f"| {' | '.join(map(str, counts))} |" in rows
