"""Pictures that figures start from: the user's own, or photographs that come with scikit-image.

The articles' photographs are others' and are not shipped. scikit-image is an optional dependency:
`pip install 'lucid_port[figures]'`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lucid_port.figures.base import Settings
from lucid_port.recipes.inputs import load_image, model_size

__all__ = ["PHOTOGRAPHS", "photograph"]

SIDE, CAT_ROWS = 224, 128


def _cat_and_cup(data: Any) -> np.ndarray:
    """Two things in one picture, as in the article's of a dog and a cat: a cat above a cup of coffee."""
    cat = load_image(data.chelsea()[9:265], (CAT_ROWS, SIDE))
    cup = load_image(data.coffee()[10:250, 20:580], (SIDE - CAT_ROWS, SIDE))
    return np.concatenate([cat, cup])


def _cat(data: Any) -> np.ndarray:
    return load_image(data.chelsea()[:, 60:360])


def _gravel(data: Any) -> np.ndarray:
    """Stones, coloured: the photograph has brightness only."""
    grey = load_image(data.gravel()[:256, :256])[..., :1]
    return np.clip(np.concatenate([grey * 1.1, grey**1.4, grey**2 + 0.1], -1), 0, 1).astype(np.float32)


PHOTOGRAPHS: Mapping[str, Callable[[Any], np.ndarray]] = {"cat and cup": _cat_and_cup, "cat": _cat, "gravel": _gravel}


def photograph(settings: Settings, name: str = "cat and cup") -> np.ndarray:
    """The user's picture if one was named, else one of `PHOTOGRAPHS`, in the model's size.

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        FileNotFoundError, ValueError: the user's file is missing, or no picture.
        ImportError: none was named, and scikit-image is not installed.
    """
    size = model_size(settings.model)
    if settings.image is not None:
        return load_image(settings.image, size)
    try:
        from skimage import data
    except ModuleNotFoundError as error:
        raise ImportError(
            "This figure starts from a photograph: give your own with --image, or install scikit-image, which has "
            "some: pip install 'lucid_port[figures]'."
        ) from error
    return load_image(PHOTOGRAPHS[name](data), size)
