"""The suite has teeth: on mutated code it fails. `python -m parity_tests.mutations` runs all mutations."""

from __future__ import annotations

import pytest

from lucid_port.optvis import resampling, transform
from parity_tests.mutations.defects import MUTATIONS
from parity_tests.mutations.patching import Patches, applied
from parity_tests.mutations.runner import Outcome, find, run_mutation, run_unmutated

# One in each part, quick ones: a method, an array, and functions that other modules imported.
FAST = ["true_pi", "colour_matrix_transposed", "fft_without_quarter", "x_and_y_swapped"]


@pytest.mark.slow
def test_the_selections_pass_without_a_mutation():
    outcome = run_unmutated(find(FAST))
    assert outcome.clean, outcome.output


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_a_mutation_is_noticed(name):
    outcome = run_mutation(MUTATIONS[name])
    assert outcome.caught, outcome.output


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_mutation_can_be_applied_and_is_taken_back(mutation):
    before = {name: vars(owner).copy() for name, owner in (("transform", transform), ("resampling", resampling))}
    with applied(mutation.patch):
        pass
    assert vars(transform) == before["transform"]
    assert vars(resampling) == before["resampling"]


def test_a_patch_reaches_modules_that_imported_the_name():
    original = resampling.scaled_size
    with Patches() as patches:
        patches.everywhere(original, max)
        assert (resampling.scaled_size, transform.scaled_size) == (max, max)
    assert (resampling.scaled_size, transform.scaled_size) == (original, original)
    with pytest.raises(LookupError, match="No module"):
        Patches().everywhere(object(), None)


@pytest.mark.parametrize(
    ("counts", "caught", "clean"),
    [
        ({"passed": 3}, False, True),
        ({"passed": 3, "noticed": 1}, True, False),
        ({"crashed": 2}, False, False),
        ({"skipped": 4}, False, False),
        ({}, False, False),
    ],
)
def test_only_a_failed_assertion_counts(counts, caught, clean):
    from collections import Counter

    outcome = Outcome(Counter(counts), 0.0, "")
    assert (outcome.caught, outcome.clean) == (caught, clean)
