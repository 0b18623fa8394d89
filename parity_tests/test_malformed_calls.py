"""The tool that makes malformed calls finds raw errors, and some calls of the public API give none."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np
import pytest

from lucid_port.misc.ndimage_utils import soft_alpha_blend
from parity_tests import malformed_calls
from parity_tests.malformed_calls import Target, cases, judge, outcomes, targets, valid_call

QUICK = (
    "lucid_port.misc.ndimage_utils",
    "lucid_port.misc.stimuli",
    "lucid_port.optvis.objectives",
    "lucid_port.optvis.transform",
    "lucid_port.recipes.transparency.over",
)
OWN_CHECKS = ("lucid_port.optvis.recipe.Recipe", "lucid_port.optvis.recipe_plan.Plan")
"""Classes whose fields `converters.schema` checks, because files have them, too."""


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


def test_a_call_without_end_is_found(blend, monkeypatch):
    def endless(*_: Any) -> None:
        while True:
            pass

    monkeypatch.setattr(malformed_calls, "SECONDS", 0.05)
    assert judge(dataclasses.replace(blend, function=endless), valid_call(blend), "").kind == "too long"


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
