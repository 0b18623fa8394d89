"""Small graphs, one for each op and attribute, against TensorFlow's recorded values and gradients."""

from __future__ import annotations

import functools
from collections.abc import Collection

import numpy as np
import pytest
import torch

import converters
from converters.lowering.lower import supported_ops
from converters.reference.check import check_activations, check_gradients, check_refusals, model_input
from converters.reference.store import References, read_references
from parity_tests.cases import CASES, Case
from parity_tests.cases.converted import converted
from parity_tests.reference import OUTPUTS

# One op adds few numbers: TensorFlow and torch measure 3.2e-7 of the maximum apart at worst.
BOUND = 1e-6
# A quotient's gradient is the longest chain of roundings: 1.0e-6 at worst.
GRADIENT_BOUND = 5e-6


@functools.cache
def all_references() -> dict[str, References]:
    return read_references(OUTPUTS)


def references_of(case: Case) -> References:
    references = all_references().get(f"op:{case.name}")
    fresh = references is not None and references.fingerprint == converted(case.name).program.fingerprint
    assert fresh, f"There are no references of {case.name} as it is now; run tox -e reference"
    return references


def failures(rows) -> list[str]:
    return [str(row) for row in rows if not row.passed]


def numbers_of(model: converters.ConvertedModel, image: np.ndarray, refused: Collection[str]) -> set[str]:
    """The layers that are floating point numbers: TensorFlow's answers to comparisons are not in the references."""
    names = [name for name in model.layers if name not in refused]
    with torch.no_grad():
        values = model.activations(model_input(model, image), names)
    return {name for name in names if values[name].is_floating_point()} | set(refused)


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    for reference in references_of(CASES[name]).inputs.values():
        image, model = reference.make_input(), converted(name)
        if CASES[name].layout == "NCHW":
            assert model.program.input_layout == "NCHW"
        compared = {"x", *reference.shapes, *reference.refused}
        if CASES[name].fetches is None:
            assert numbers_of(model, image, reference.refused) == compared
        else:
            assert set(CASES[name].fetches) == compared - {"x"} <= set(model.layers)
        assert not failures(check_activations(model, reference, image, BOUND))
        assert not failures(check_refusals(model, reference, image))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.gradient])
def test_gradients(name):
    for reference in references_of(CASES[name]).inputs.values():
        rows = check_gradients(converted(name), reference, reference.make_input(), GRADIENT_BOUND)
        assert not failures(rows)


def test_every_op_of_the_registry_has_a_case():
    used = {node.op for case in CASES.values() for node in case.graph_def().node}
    assert set(supported_ops()) - used == set()


def test_nearly_every_case_has_gradients():
    without = {
        name
        for name, case in CASES.items()
        if case.gradient and not any(reference.gradients for reference in references_of(case).inputs.values())
    }
    # TensorFlow 1.15 has no gradient of dilated convolutions on a CPU nor of Snapshot, and forbids PreventGradient's.
    assert {name for name in without if "dilation" not in name} == {"Snapshot", "PreventGradient"}
