"""Values as JSON has them: what is written to `details.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["plain_json"]

DIGITS = 6
"""Significant digits of the numbers in `details.json`."""


def plain_json(value: Any) -> Any:
    """Returns a value as JSON has it: arrays as lists, numbers with `DIGITS` digits, NaN and infinity as None.

    Example:
        >>> plain_json({"a": np.array([[1.5, np.inf]]), "b": (np.int64(2), True)})
        {'a': [[1.5, None]], 'b': [2, True]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain_json(one) for name, one in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain_json(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
