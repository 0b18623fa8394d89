"""The small graphs as networks, each of them converted once."""

from __future__ import annotations

import functools

import converters
from parity_tests.cases import CASES


@functools.cache
def converted(name: str) -> converters.ConvertedModel:
    """A case's network. Many tests read it: a test that changes a network converts its own."""
    return converters.convert(CASES[name].graph_def())
