"""Checks against published values, and comparisons of values.

A check is a function of a model and of the published files that raises `Mismatch`. A second function makes the same
files from any model, so every check can be tested with an available network: files made from this network must pass,
and files made from another must fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lucid_port.modelzoo.vision_base import Model
from parity_tests.published.files import Published, Recorder

Run = Callable[[Model, Published], None]
Record = Callable[[Model, Recorder], None]


class Mismatch(AssertionError):
    """A model's values differ from the published ones."""


@dataclass(frozen=True)
class Check:
    """One published number or picture.

    Attributes:
        name: in test names.
        files: the published files that it reads.
        run: compares.
        record: writes these files from another network.
        slow: whether it takes minutes with the whole network on a CPU.
    """

    name: str
    files: Sequence[str]
    run: Run
    record: Record
    slow: bool = False


CHECKS: dict[str, Check] = {}


def check(name: str, *files: str, record: Record, slow: bool = False) -> Callable[[Run], Run]:
    """Decorator that adds a check to `CHECKS`."""

    def add(run: Run) -> Run:
        CHECKS[name] = Check(name, files, run, record, slow)
        return run

    return add


def require(holds: bool, what: str) -> None:
    """Raises `Mismatch` unless something holds."""
    if not holds:
        raise Mismatch(what)


def same_shape(what: str, found: np.ndarray, published: np.ndarray) -> None:
    require(found.shape == published.shape, f"{what}: shape {found.shape}, published {published.shape}.")


def relative(what: str, found: np.ndarray, published: np.ndarray, bound: float) -> None:
    """Values within a share of the greatest published one."""
    same_shape(what, found, published)
    worst = float(np.abs(found - published).max() / np.abs(published).max())
    require(worst <= bound, f"{what}: off by {worst:.2g} of the greatest published value; the bound is {bound:.2g}.")


def absolute(what: str, found: np.ndarray, published: np.ndarray, bound: float) -> None:
    """Values within a number."""
    found, published = np.asarray(found, np.float64), np.asarray(published, np.float64)
    same_shape(what, found, published)
    worst = float(np.abs(found - published).max())
    require(worst <= bound, f"{what}: off by {worst:.4g}; the bound is {bound:.4g}.")


def eight_bit(what: str, found: np.ndarray, published: np.ndarray) -> None:
    """Checks that bytes differ by at most 1, because rounding in another order can move a value to the next byte."""
    absolute(what, found, published, 1)
