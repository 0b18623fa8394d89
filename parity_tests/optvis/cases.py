"""Reads the values that Lucid computed, and compares with them.

`seeded` and `pattern` are those of ``parity_tests/oracle/recording.py``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parity_tests.comparisons import record

FOLDER = Path(__file__).resolve().parents[2] / "reference_outputs" / "functions"

BOUND = 1e-5
"""Largest error allowed, as a share of the reference's maximum: float32 sums in another order."""


def seeded(seed: int, shape: Any, kind: str = "uniform") -> np.ndarray:
    if kind == "zero":
        return np.zeros(shape, np.float32)
    random = np.random.RandomState(seed)
    values = random.rand(*shape) if kind == "uniform" else random.randn(*shape)
    return np.asarray(values, np.float32)


def pattern(shape: Any) -> np.ndarray:
    count = int(np.prod(shape))
    index = np.arange(count, dtype=np.int64) * 7919 % 101
    values = index.astype(np.float32) / np.float32(50) - np.float32(1)
    return values.reshape(tuple(shape))


def arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a case: {"array": [seed, shape, kind]} is replaced by a seeded array."""
    return {
        key: seeded(*value["array"]) if isinstance(value, dict) and "array" in value else value
        for key, value in kwargs.items()
    }


@cache
def _group(group: str) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    cases = json.loads((FOLDER / f"{group}.json").read_text())["cases"]
    with np.load(FOLDER / f"{group}.npz") as archive:
        arrays = {key.replace("~", "/"): archive[key] for key in archive.files}
    return cases, arrays


def cases(group: str, *factories: str, exclude: tuple[str, ...] = ()) -> list[Any]:
    """Cases of a group as pytest parameters, of some factories only if they are named."""
    import pytest

    return [
        pytest.param(case, id=case["name"])
        for case in _group(group)[0]
        if (not factories or case["factory"] in factories) and case["factory"] not in exclude
    ]


def reference(group: str, case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays of a case, by key."""
    prefix = case["name"] + "|"
    return {k[len(prefix) :]: v for k, v in _group(group)[1].items() if k.startswith(prefix)}


def draws(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """TensorFlow's draws, as a source replays them."""
    return {key[5:]: list(value) for key, value in arrays.items() if key.startswith("draw:")}


def nchw(array: np.ndarray) -> torch.Tensor:
    """An array with Lucid's axes as a tensor with the port's."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.movedim(-1, -3).contiguous() if tensor.ndim >= 3 else tensor


def nhwc(tensor: torch.Tensor) -> np.ndarray:
    """Inverse of `nchw`."""
    tensor = tensor.movedim(-3, -1) if tensor.ndim >= 3 else tensor
    return tensor.detach().cpu().numpy()


def assert_matches(
    ours: Any, theirs: np.ndarray, what: str = "", bound: float = BOUND, scale: float | None = None
) -> None:
    """Every element within `bound` of the reference's largest (or of `scale`)."""
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, reference {theirs.shape}"
    scale = scale or float(np.abs(theirs).max()) or 1.0
    error = float(np.abs(ours.astype(np.float64) - theirs).max()) / scale
    record(error, bound, what)
    assert error <= bound, f"{what}: error {error:.2e} of the maximum, bound {bound:.0e}"
