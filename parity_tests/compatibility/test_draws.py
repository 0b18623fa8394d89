"""Names of draws and the numbers drawn are those of an earlier version: seeds in recipes keep their meaning.

Numbers are exact on every machine, but for normal draws, whose tails use the system's logarithm.
"""

from __future__ import annotations

import numpy as np
import pytest

from parity_tests.compatibility import cases
from parity_tests.compatibility.fixtures import read_json

KEPT = read_json("draws.json")
NORMAL_BOUND = 1e-14  # measured with kernels for other processors: 0
PARAMETER_BOUND = 5e-6  # measured so: 5.7e-7 (image-init, whose parameters are inverted from its pixels)


def assert_same_draws(source, kept) -> None:
    found = cases.first_numbers(source)
    assert list(found) == list(kept)
    for name, drawn in found.items():
        assert [shape for shape, _ in drawn] == [shape for shape, _ in kept[name]], name
        for (_, one), (_, other) in zip(drawn, kept[name], strict=True):
            np.testing.assert_allclose(one, other, rtol=NORMAL_BOUND, err_msg=name)


@pytest.mark.parametrize("kind", cases.SOURCES)
@pytest.mark.parametrize("name", cases.PARAMS)
def test_a_parameterization(name, kind):
    source, kept = cases.SOURCES[kind](), KEPT["params"][f"{name}/{kind}"]
    parameters = cases.drawn_by_param(name, source)
    assert_same_draws(source, kept["draws"])
    assert [shape for shape, _ in parameters] == [shape for shape, _ in kept["parameters"]]
    for (_, one), (_, other) in zip(parameters, kept["parameters"], strict=True):
        np.testing.assert_allclose(one, other, rtol=PARAMETER_BOUND, atol=1e-9)


@pytest.mark.parametrize("kind", cases.SOURCES)
@pytest.mark.parametrize("name", [*cases.TRANSFORMS, *cases.ALPHA_TRANSFORMS])
def test_transforms(name, kind):
    source = cases.SOURCES[kind]()
    cases.drawn_by_transforms(name, source)
    assert_same_draws(source, KEPT["transforms"][f"{name}/{kind}"])
