"""Runs whose folders are kept, shared by the code that writes them and the tests that resume them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.render import VisT, make_vis_T
from lucid_port.optvis.render_many import ManyRenders, render_many
from parity_tests.compatibility.fixtures import tiny

UNITS = ("mixed3a:1", "mixed3a:5", "mixed3a:9", "conv2d2:2")
SEEDS = (4, 5, 6, 7, 8, 9)
SIZE = 28
STEPS = 3


def units_of_objectives() -> list[Any]:
    """Units that are no channels."""
    both = objectives.channel("mixed3a", 1) + objectives.neuron("conv2d2", 3)
    return [both, objectives.deepdream("conv2d2")]


def render(folder: Path, units: Sequence[Any], **options: Any) -> ManyRenders:
    """A run over some units, one image at a time unless `options` say otherwise."""
    settings = {"size": SIZE, "steps": STEPS, "seed": 3, "batch_size": 1, "verbose": False, **options}
    return render_many(tiny(), list(units), output=folder, **settings)


# Checkpoints -------------------------------------------------------------------------------------

KEY = {"what": "a compatibility fixture", "steps": 6}
LOOKS = [2, 3, 6]
"""Updates after which the render is looked at; it was stopped after the last but one."""

MANY_STEPS, STOPPED_AT = 5, 2
MANY = "mixed3a:2,4,8"


class Counter:
    """A transform that changes nothing and counts evaluations.

    Attributes:
        made: how many there were.
    """

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        self.made += 1
        return image


def begin(count: Callable[[torch.Tensor], torch.Tensor] | None = None) -> VisT:
    """A render with draws in every update, ready for its first."""
    transforms = [transform.jitter(3), transform.random_rotate([-4, 0, 4]), *([] if count is None else [count])]
    return make_vis_T(tiny(), "mixed3a:3", lambda: param.image(16, 19), None, transforms, True, seed=3)


def many(steps: int) -> ManyRenders:
    """A run over three units in batches of two."""
    return render_many(tiny(), MANY, size=16, steps=steps, batch_size=2, seeds=[5, 6, 7], verbose=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, by its name there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tiles(sheet: np.ndarray, places: Sequence[Sequence[int]], grid: Sequence[int]) -> list[np.ndarray]:
    """The pictures of a sheet, by row and column."""
    height, width = sheet.shape[0] // grid[0], sheet.shape[1] // grid[1]
    return [sheet[row * height :][:height, column * width :][:, :width] for row, column in places]
