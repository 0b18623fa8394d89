"""Adversarial patches: class probabilities of a picture with another picture pasted onto it.

Carter et al.: Activation Atlas (Distill, 2019), "Adversarial patches"; Lucid's notebook activation-atlas-adversarial. A
small picture in a corner of another picture can make a class likely that neither picture shows, because the network
adds up everything it sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.recipes.attribution import logits_layer
from lucid_port.recipes.inputs import ImageLike, activations_of, load_image, model_size

__all__ = ["PatchTable", "class_probabilities", "patch_table", "with_patch"]


@dataclass(frozen=True)
class PatchTable:
    """A picture without a patch and with a patch of several sizes, and the patch alone.

    Attributes:
        pictures: the picture alone, then with the patch in each size, [1 + sizes, H, W, 3].
        patch: the patch in the picture's size, [H, W, 3].
        ratios: side of the patch relative to the picture's; 0 for the picture alone.
        probabilities: probabilities of all classes for each picture, [1 + sizes, classes].
        patch_probabilities: probabilities of all classes for the patch alone, [classes].
    """

    pictures: np.ndarray
    patch: np.ndarray
    ratios: tuple[float, ...]
    probabilities: np.ndarray
    patch_probabilities: np.ndarray


@checked
def with_patch(picture: ImageLike, patch: ImageLike, ratio: float, place: Sequence[float] = (0, 0)) -> np.ndarray:
    """Pastes a patch onto a picture.

    Args:
        picture: a path, or an array [H, W, C] in [0, 1].
        patch: a path or array like `picture`; resized by Lanczos to `ratio` times the picture's height and width.
        ratio: above 0, up to 1.
        place: (down, right), each from 0 (top, left) to 1 (bottom, right).

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        ValueError: `ratio` or `place` is out of range, or a picture cannot be read.

    Example:
        >>> import numpy as np
        >>> with_patch(np.zeros((4, 4, 3)), np.ones((2, 2, 3)), 0.5, place=(1, 0))[..., 0]
        array([[0., 0., 0., 0.],
               [0., 0., 0., 0.],
               [1., 1., 0., 0.],
               [1., 1., 0., 0.]], dtype=float32)
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
@checked
def class_probabilities(model: Model, picture: ImageLike, logits: str | None = None) -> np.ndarray:
    """The probabilities of all classes for a picture, resized to the model's own size.

    Args:
        model: the model.
        picture: a path, or an array [H, W, C] in [0, 1].
        logits: the layer of the classes' logits; the one before the last softmax by default.

    Returns:
        float64 [classes].

    Raises:
        ValueError: the layer of the logits cannot be found, or it has positions.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> class_probabilities(TinyInceptionV1(), np.full((96, 96, 3), 0.5)).shape
        (28,)
    """
    layer = logits_layer(model) if logits is None else logits
    values = activations_of(model, load_image(picture, model_size(model)), [layer])[layer]
    if values.size != values.shape[-1]:
        raise ValueError(
            f"Layer {layer!r} has {values.size} values by position and channel, not for classes: name the layer of the "
            "logits."
        )
    shifted = np.exp(values.ravel().astype(np.float64) - values.max())
    return shifted / shifted.sum()


@checked
def patch_table(
    model: Model,
    picture: ImageLike,
    patch: ImageLike,
    ratios: Iterable[float] = (0.4, 0.7),
    place: Sequence[float] = (0, 0),
    logits: str | None = None,
) -> PatchTable:
    """The class probabilities of a picture without a patch, and with the patch in several sizes.

    Args:
        model: the model.
        picture, patch: paths, or arrays [H, W, C] in [0, 1]; both are resized to the model's own size first.
        ratios: sides of the patch relative to the picture's.
        place: as for `with_patch`.
        logits: as for `class_probabilities`.

    Raises:
        ValueError: as `with_patch` and `class_probabilities`.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> table = patch_table(TinyInceptionV1(), np.full((96, 96, 3), 0.5), np.zeros((96, 96, 3)), ratios=[0.5])
        >>> table.ratios, table.pictures.shape
        ((0.0, 0.5), (2, 96, 96, 3))
    """
    size = model_size(model)
    base, alone = load_image(picture, size), load_image(patch, size)
    sides = checks.items(ratios, "ratios", "a list of numbers")
    pictures = [base, *(with_patch(base, alone, side, place) for side in sides)]
    found = [class_probabilities(model, one, logits) for one in pictures]
    return PatchTable(
        np.stack(pictures), alone, (0.0, *map(float, sides)), np.stack(found), class_probabilities(model, alone, logits)
    )
