"""The deliberate defects, each with its patch and the tests that have to fail.

Each patch is a few lines that write the mistake down as someone would make it. It changes the modules where the name is
looked up, so that every caller gets the mistake.
"""

from __future__ import annotations

from parity_tests.mutations.defects import networks, objectives, parameterizations, rendering, transforms
from parity_tests.mutations.registry import MUTATIONS, Mutation

__all__ = ["MUTATIONS", "Mutation", "networks", "objectives", "parameterizations", "rendering", "transforms"]
