"""The table of deliberate defects, and the decorator that adds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from parity_tests.mutations.patching import Patches


@dataclass(frozen=True)
class Mutation:
    """One defect.

    Attributes:
        name: short name.
        breaks: short description of the defect.
        patch: function that registers the patches of the defect.
        tests: files below `parity_tests` that have to fail.
        expression: selection of their tests, for pytest's `-k`.
    """

    name: str
    breaks: str
    patch: Callable[[Patches], None]
    tests: tuple[str, ...]
    expression: str


MUTATIONS: dict[str, Mutation] = {}
Patch = Callable[[Patches], None]


def mutation(tests: str, expression: str) -> Callable[[Patch], Patch]:
    """Decorator: the function's name and docstring are the mutation's."""

    def add(patch: Patch) -> Patch:
        name, breaks = patch.__name__, " ".join((patch.__doc__ or "").split())
        MUTATIONS[name] = Mutation(name, breaks, patch, tuple(tests.split()), expression)
        return patch

    return add


TRANSFORMS = "optvis/test_transforms_oracle.py"
PARAMS = "optvis/test_params_oracle.py"
OBJECTIVES = "optvis/test_objectives_oracle.py"
OVERRIDES = "optvis/test_overrides_oracle.py"
PARTS = "optvis/test_parts.py"
RENDER = "optvis/test_render.py"
OPS = "converters/test_op_parity.py"
NETWORK = "converters/test_network_parity.py"
MODELS = "modelzoo/test_models.py"
CONTRACT = "modelzoo/test_network_contract.py"
NOTEBOOKS = "notebooks"
