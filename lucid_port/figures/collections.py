"""Photographs from scikit-image: a collection for atlases, and pairs for patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lucid_port.figures.photographs import shipped
from lucid_port.recipes.inputs import load_image, scaled_size

__all__ = ["PATCHED", "Patched", "photographs"]

MANY = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "rocket",
    "stereo_motorcycle",
)
MOST_PIXELS = 600  # on the longer side


def photographs() -> list[np.ndarray]:
    """Twelve photographs from scikit-image of different sizes, float32 [H, W, 3] each, in [0, 1].

    Raises:
        ImportError: scikit-image is not installed.
    """
    return [_no_larger(load_image(_named(name)), MOST_PIXELS) for name in MANY]


def _named(name: str) -> np.ndarray:
    found = shipped(name)
    return found[0] if name == "stereo_motorcycle" else found


def _no_larger(picture: np.ndarray, most: int) -> np.ndarray:
    return load_image(picture, scaled_size(picture.shape, min(1.0, most / max(picture.shape[:2]))))


Part = tuple[str, int, int, int]


@dataclass(frozen=True)
class Patched:
    """Crops of two photographs from scikit-image, and where one is pasted onto the other.

    Attributes:
        picture, patch: (name, top, left, side) of a square crop.
        ratios: sides of the patch relative to the picture's.
        place: (down, right), from 0 to 1.
    """

    picture: Part
    patch: Part
    ratios: tuple[float, ...]
    place: tuple[float, float]

    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """The picture and the patch, [side, side, 3].

        Raises:
            ImportError: scikit-image is not installed.
        """
        first, second = (
            load_image(np.ascontiguousarray(_named(name)[top : top + side, left : left + side]))
            for name, top, left, side in (self.picture, self.patch)
        )
        return first, second


PATCHED: Mapping[str, Patched] = {
    "tripod+wheel": Patched(("camera", 0, 154, 358), ("stereo_motorcycle", 240, 0, 260), (0.4, 0.7), (1.0, 0.0)),
    "coffee+coins": Patched(("coffee", 0, 200, 400), ("coins", 91, 172, 212), (0.45, 0.7), (0.0, 0.0)),
}
"""Pairs with the effect of the article's snorkel and train, found by trying crops of photographs with
InceptionV1_caffe."""
