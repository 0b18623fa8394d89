"""What a patch on a picture makes a network say.

Carter et al.: Activation Atlas (Distill, 2019), "Adversarial patches"; Lucid's notebook activation-atlas-adversarial. A
small picture, put into a corner of another one, makes a class likely that neither of them is: the network adds up what
it sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lucid_port.misc import checks
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.recipes.attribution import logits_layer
from lucid_port.recipes.inputs import activations_of, load_image, model_size

__all__ = ["PatchTable", "class_probabilities", "patch_table", "with_patch"]


@dataclass(frozen=True)
class PatchTable:
    """A picture without and with a patch of several sizes, and the patch by itself.

    Attributes:
        pictures: the picture, then with the patch in each size, [1 + sizes, H, W, 3].
        patch: the patch in the picture's size, [H, W, 3].
        ratios: the patch's side in parts of the picture's, with 0 for the picture alone.
        probabilities: of all classes, [1 + sizes, classes].
        patch_probabilities: of the patch by itself, [classes].
    """

    pictures: np.ndarray
    patch: np.ndarray
    ratios: tuple[float, ...]
    probabilities: np.ndarray
    patch_probabilities: np.ndarray


def with_patch(picture: Any, patch: Any, ratio: float, place: Sequence[float] = (0, 0)) -> np.ndarray:
    """A picture with a patch on it.

    Args:
        picture: a path, or an array [H, W, C] in [0, 1].
        patch: likewise; resized to `ratio` times the picture's height and width, by Lanczos.
        ratio: above 0, up to 1.
        place: (down, right), each from 0 (top, left) to 1 (bottom, right).

    Returns:
        [H, W, 3].

    Raises:
        ValueError: `ratio` or `place` is out of range, or a picture is none.
    """
    share = checks.number(ratio, "ratio", above=0)
    at = [checks.number(one, "A part of place", 0) for one in checks.items(place, "place", "two numbers")]
    if share > 1 or len(at) != 2 or max(at) > 1:
        raise ValueError(
            f"ratio is at most 1 and place two numbers from 0 to 1, not {share} and {checks.shown(place)}."
        )
    result = load_image(picture).copy()
    height, width = (max(1, round(share * side)) for side in result.shape[:2])
    top, left = (round(part * (side - own)) for part, side, own in zip(at, result.shape, (height, width), strict=False))
    result[top : top + height, left : left + width] = load_image(patch, (height, width))
    return result


@strictly
def class_probabilities(model: Model, picture: Any, logits: str | None = None) -> np.ndarray:
    """Probabilities of all classes, [classes], of a picture in the model's own size.

    Args:
        model: the model.
        picture: a path, or an array [H, W, C] in [0, 1].
        logits: the layer of the classes' logits; that before the last softmax by default.

    Raises:
        ValueError: it cannot be told which layer has the logits, or it has no classes (but positions).
        converters.LayerNotFoundError: there is no such layer.
    """
    layer = logits_layer(model) if logits is None else logits
    values = activations_of(model, load_image(picture, model_size(model)), [layer])[layer]
    if values.size != values.shape[-1]:
        raise ValueError(f"Layer {layer!r} has values for {values.size} positions and channels, not for classes.")
    shifted = np.exp(values.ravel().astype(np.float64) - values.max())
    return shifted / shifted.sum()


def patch_table(
    model: Model,
    picture: Any,
    patch: Any,
    ratios: Iterable[float] = (0.4, 0.7),
    place: Sequence[float] = (0, 0),
    logits: str | None = None,
) -> PatchTable:
    """Probabilities of a picture without a patch, and with it in several sizes.

    Args:
        model: the model.
        picture, patch: paths, or arrays [H, W, C] in [0, 1]; both are resized to the model's own size first.
        ratios: sides of the patch in parts of the picture's.
        place: as for `with_patch`.
        logits: as for `class_probabilities`.

    Raises:
        ValueError: as `with_patch` and `class_probabilities`.
    """
    size = model_size(model)
    base, alone = load_image(picture, size), load_image(patch, size)
    sides = checks.items(ratios, "ratios", "a list of numbers")
    pictures = [base, *(with_patch(base, alone, side, place) for side in sides)]
    found = [class_probabilities(model, one, logits) for one in pictures]
    return PatchTable(
        np.stack(pictures), alone, (0.0, *map(float, sides)), np.stack(found), class_probabilities(model, alone, logits)
    )
