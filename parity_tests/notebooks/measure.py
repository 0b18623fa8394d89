"""Measures of pictures outside any render."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import render
from lucid_port.optvis.objectives import as_objective
from lucid_port.optvis.param import Parameterization
from lucid_port.optvis.sampling import RandomSource
from lucid_port.optvis.transform import compose


def value(model: Model, objective: Any, picture: np.ndarray, transforms: Iterable[Any] = (), draws: int = 1) -> float:
    """Returns an objective's value for pictures [N, H, W, C], summed if it is not a scalar.

    Args:
        model: the model.
        objective: an objective as for `render_vis`.
        picture: the pictures.
        transforms: the mean under these transforms is taken; none by default.
        draws: number of draws for the mean, the same for all pictures.
    """
    image = torch.from_numpy(np.ascontiguousarray(picture)).permute(0, 3, 1, 2)
    transform = compose(transforms)

    def one(seed: int) -> float:
        transformed = transform(image, RandomSource(seed))

        def T(name: str) -> torch.Tensor:
            return image if name == "input" else model.activations(transformed, [name])[name]

        return float(as_objective(objective)(T).sum())

    with torch.no_grad():
        return float(np.mean([one(seed) for seed in range(draws)]))


def first_image(model: Model, param_f: Callable[[], Parameterization]) -> np.ndarray:
    """The picture that a render with these parameters starts from."""
    return render.make_vis_T(model, lambda T: T("input").sum(), param_f, transforms=[]).image()
