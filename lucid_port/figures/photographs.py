"""Pictures that figures start from: the user's own, photographs from scikit-image, or drawings.

The articles' photographs have other owners and are not included. scikit-image is an optional dependency:
`pip install -e '.[figures]'`. The network in this package was trained on drawings only, and gets drawings, which
need no further package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from lucid_port.figures.base import Settings
from lucid_port.modelzoo.tiny.drawings import CLASSES, draw
from lucid_port.recipes.inputs import load_image, model_size

__all__ = ["DRAWINGS", "PHOTOGRAPHS", "SUBJECTS", "photograph", "shipped"]

SUBJECTS = ("two things", "one thing", "a texture")
"""Subjects of pictures, as figures request them."""

SIDE, CAT_ROWS = 224, 128

Pictures = Mapping[str, Callable[[], np.ndarray]]


# Photographs -------------------------------------------------------------------------------------


def shipped(name: str) -> np.ndarray:
    """One of scikit-image's photographs, uint8 [H, W, 3], or [H, W] if it is gray.

    Raises:
        ImportError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ModuleNotFoundError as error:
        raise ImportError(
            "This figure starts from a photograph: pass your own with --image, or install scikit-image, which contains "
            "some: pip install -e '.[figures]'."
        ) from error
    return getattr(data, name)()


def _cat_and_cup() -> np.ndarray:
    """A cat above a cup of coffee, like the dog and cat of the article."""
    cat = load_image(shipped("chelsea")[9:265], (CAT_ROWS, SIDE))
    cup = load_image(shipped("coffee")[10:250, 20:580], (SIDE - CAT_ROWS, SIDE))
    return np.concatenate([cat, cup])


def _cat() -> np.ndarray:
    return load_image(shipped("chelsea")[:, 60:360])


def _gravel() -> np.ndarray:
    """Stones. The photograph is gray, so colors are added."""
    grey = load_image(shipped("gravel")[:256, :256])[..., :1]
    return np.clip(np.concatenate([grey * 1.1, grey**1.4, grey**2 + 0.1], -1), 0, 1).astype(np.float32)


PHOTOGRAPHS: Pictures = dict(zip(SUBJECTS, (_cat_and_cup, _cat, _gravel), strict=True))


# Drawings ----------------------------------------------------------------------------------------

DRAWN_SIDE, HEART_ROWS = 96, 56
NOISE = 0.02


def _drawing(name: str, seed: int, rows: int = DRAWN_SIDE) -> np.ndarray:
    """A drawing of a class, [rows, DRAWN_SIDE, 3] in [0, 1]. The seeds were picked by eye."""
    random = torch.Generator().manual_seed(seed)
    drawn = draw(torch.tensor([CLASSES.index(name)]), (rows, DRAWN_SIDE), random, NOISE)
    return np.ascontiguousarray(drawn[0].permute(1, 2, 0).numpy())


def _hearts_and_bricks() -> np.ndarray:
    """Hearts above a brick wall. TinyInceptionV1 gives probability 0.38 to hearts and 0.43 to bricks."""
    return np.concatenate([_drawing("heart", 1, HEART_ROWS), _drawing("bricks", 3, DRAWN_SIDE - HEART_ROWS)])


DRAWINGS: Pictures = dict(
    zip(SUBJECTS, (_hearts_and_bricks, lambda: _drawing("face", 1), lambda: _drawing("spiral", 3)), strict=True)
)

DEFAULTS: Mapping[str, Pictures] = {"TinyInceptionV1": DRAWINGS}
"""Pictures by the model's name; other models get photographs."""


def photograph(settings: Settings, subject: str = SUBJECTS[0]) -> np.ndarray:
    """The user's picture, or else the model's picture of a subject, at the model's size.

    Args:
        settings: settings of the figure.
        subject: one of `SUBJECTS`.

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        FileNotFoundError, ValueError: the user's file is missing or not a picture.
        ImportError: a photograph is needed, and scikit-image is not installed.
    """
    size = model_size(settings.model)
    if settings.image is not None:
        return load_image(settings.image, size)
    pictures = DEFAULTS.get(getattr(settings.model, "name", ""), PHOTOGRAPHS)
    return load_image(pictures[subject](), size)
