"""What a layer keeps of a picture, exaggerated: caricatures, or feature inversion.

Lucid's `recipes.caricature` and its notebook misc/feature_inversion_caricatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis import param, transform
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives import Objective, wrap_objective
from lucid_port.recipes.inputs import load_image, model_size
from lucid_port.recipes.steps import run

__all__ = ["Caricature", "caricature", "dot_compare", "feature_inversion"]

MAGNITUDE_EPSILON = 1e-6
LEAST_COSSIM = 0.1


@dataclass(frozen=True)
class Caricature:
    """A picture and what some layers keep of it.

    Attributes:
        image: the picture, [H, W, 3].
        layers: the layers' names.
        pictures: one for each layer, [len(layers), H, W, 3].
        losses: objective values, summed over the layers, before each update.
    """

    image: np.ndarray
    layers: tuple[str, ...]
    pictures: np.ndarray
    losses: np.ndarray


@wrap_objective
def dot_compare(layer: str, batch: int = 1, cossim_pow: float = 0.0) -> Any:
    """How far image `batch` goes in the direction of image 0, the reference.

    The dot product of the two activations, times the power `cossim_pow` of that product over image `batch`'s
    magnitude (which is at least 0.1), as in Lucid's recipe.

    Args:
        layer: the layer.
        batch: the image that is compared with image 0.
        cossim_pow: 0 for the dot product alone; more keeps closer to the reference's direction.

    Raises:
        TypeError, ValueError: `cossim_pow` is no number from 0 on.
    """
    checks.number(cossim_pow, "cossim_pow", 0)

    def inner(T: Any) -> torch.Tensor:
        reference, own = T(layer)[0], T(layer)[batch]
        dot = (reference * own).sum()
        if cossim_pow == 0:
            return dot
        cossim = dot / (MAGNITUDE_EPSILON + own.square().sum().sqrt())
        return dot * cossim.clamp(min=LEAST_COSSIM) ** cossim_pow

    return inner


def caricature(
    img: Any,
    model: Model,
    layer: str | Sequence[str],
    n_steps: int = 512,
    cossim_pow: float = 0.0,
    verbose: bool = True,
    *,
    size: int | Sequence[int] | None = None,
    seed: int = 0,
) -> Caricature:
    """Pictures that excite layers in the direction that a given picture does, and further.

    All layers' pictures are optimised in one batch beside the given one, which goes through the same transforms.

    Args:
        img: a path, or an array [H, W, C] in [0, 1].
        model: the model.
        layer: one layer, or several.
        n_steps: number of updates.
        cossim_pow: see `dot_compare`.
        verbose: show progress on a terminal or in a notebook.
        size: (height, width) of the pictures; the model's own by default.
        seed: of all random draws; the picture of layer k begins as one alone does with `seed + k`.

    Raises:
        TypeError: `layer` is neither a name nor a list of names.
        ValueError: the picture is none, or no layer is named.
        converters.LayerNotFoundError: a name is no layer's.
    """
    layers = [layer] if isinstance(layer, str) else checks.items(layer, "layer", "a layer's name, or a list of names")
    names = [checks.text(name, "A layer's name", "text, as in 'mixed4a'") for name in layers]
    if not names:
        raise ValueError("layer names no layer.")
    reference = load_image(img, model_size(model) if size is None else size)
    height, width = reference.shape[:2]
    compare = [dot_compare(name, batch=1 + number, cossim_pow=cossim_pow) for number, name in enumerate(names)]
    vis = VisT(
        model,
        Objective.sum(compare),
        param.concat([param.constant(reference[None]), param.image(width, height, batch=len(names))]),
        transforms=[*transform.standard_transforms, transform.crop_or_pad_to(height, width)],
        seed=seed,
    )
    losses = run(vis, n_steps, verbose)
    return Caricature(reference, tuple(names), vis.image()[1:], losses)


feature_inversion = caricature
