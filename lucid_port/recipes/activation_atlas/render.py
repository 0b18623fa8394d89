"""Renders icons of directions in the activation space of a layer: Lucid's `recipes.activation_atlas.render`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from converters import checks
from converters.signatures import checked
from lucid_port.misc.tensors import as_tensor
from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.engine.coerce import Model, TransformsLike
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives.readers import Activations, as_reader
from lucid_port.recipes.activation_atlas.samples import check_activations
from lucid_port.recipes.inputs import channels_of
from lucid_port.recipes.steps import alike, in_batches, run
from lucid_port.recipes.transparency import ICON_SCALES, icon_moves

__all__ = ["article_transforms", "inverse_covariance", "render_icons"]

BORDER = 5  # width of the border whose complexity is penalized, in pixels
EPSILON, LEAST_COSSIM = 1e-4, 0.1


@checked
def inverse_covariance(activations: ArrayLike, damping: float = 0.0) -> np.ndarray:
    """The inverse of the uncentered covariance of channels, which whitens directions.

    Args:
        activations: [N, C].
        damping: value added to the diagonal, relative to its mean. Lucid adds nothing, which needs many more vectors
            than channels: with few vectors, the covariance is singular or nearly so.

    Returns:
        float32 [C, C].

    Raises:
        ValueError: the covariance is singular, or the activations are not vectors or hold NaN.

    Example:
        >>> inverse_covariance([[2.0, 0.0], [0.0, 4.0]])
        array([[0.5  , 0.   ],
               [0.   , 0.125]], dtype=float32)
    """
    vectors = check_activations(activations).astype(np.float64)
    share = checks.number(damping, "damping", 0)
    products = vectors.T @ vectors / len(vectors)
    products += np.eye(len(products)) * share * np.diag(products).mean()
    rank = np.linalg.matrix_rank(products, hermitian=True)
    if rank < len(products):
        raise ValueError(
            f"{len(vectors)} activations of {len(products)} channels vary in {rank} directions only, so that their "
            "covariance has no inverse: pass more activations or a damping above 0, or do not whiten."
        )
    return np.linalg.inv(products).astype(np.float32)


def lucids_transforms(size: int) -> list[transform.Transform]:
    """The transforms of Lucid's `render_icons`."""
    moves = icon_moves([0.998**n for n in range(20, 40)])
    return [transform.pad(16, "constant", 0.5), *moves, transform.jitter(2), transform.crop_or_pad_to(size, size)]


def article_transforms() -> list[transform.Transform]:
    """The transforms of the notebook that made the article's icons, with less padding and smaller scales than Lucid's.

    Example:
        >>> len(article_transforms())
        9
    """
    return [transform.pad(2, "constant", 1.0), *icon_moves(ICON_SCALES), transform.jitter(2)]


@checked
def render_icons(
    model: Model,
    directions: ArrayLike,
    layer: str,
    *,
    S: ArrayLike | None = None,
    size: int = 80,
    steps: int = 128,
    attempts: int = 3,
    cossim_pow: float = 2.0,
    border: float = 1.0,
    transforms: TransformsLike = None,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Renders icons that excite the middle of a layer in given directions.

    Each icon maximizes `mean(a v') max(0.1, mean(a v') / |a|) ** cossim_pow`, like Lucid's `direction_neuron_cossim_S`,
    plus the plainness of its border. `a` is the activation in the middle, and `v' = v S` the whitened direction.
    ReLU gradients are not overridden.

    Args:
        model: the model.
        directions: [N, C].
        layer: name of a convolutional layer.
        S: [C, C], from `inverse_covariance`; None does not whiten.
        size: height and width in pixels.
        steps: number of updates.
        attempts: number of random starts for each icon; the icon with the largest objective is kept.
        cossim_pow: 0 for the dot product alone.
        border: weight of the plain border. Lucid's 1 outweighs directions of small values, such as whitened ones; the
            article's notebook uses 0.
        transforms: as for `render_vis`; those of Lucid's recipe by default.
        seed: seed of all random draws; further attempts use the seeds after it.
        batch_size: most icons in a batch; by default as many as fit into memory.
        verbose: show progress.

    Returns:
        The icons, [N, size, size, 3] in [0, 1], and the objective of each before its last update, float32 [N].

    Raises:
        ValueError: directions or `S` do not fit the layer, or the layer is fully connected.
        TypeError: the directions are not numbers.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> icons, values = render_icons(TinyInceptionV1(), np.eye(48)[:2], "conv2d2", size=16, steps=2, attempts=1)
        >>> icons.shape, values.shape
        ((2, 16, 16, 3), (2,))
    """
    vectors = _whitened(check_activations(directions), S)
    channels = channels_of(model, layer)
    if vectors.shape[1] != channels:
        raise ValueError(
            f"The directions have {vectors.shape[1]} numbers each, but layer {layer!r} has {channels} channels."
        )
    side = checks.whole(size, "size", 2 * BORDER + 1)
    power = checks.number(cossim_pow, "cossim_pow", 0)
    weight = checks.number(border, "border", 0)
    given = lucids_transforms(side) if transforms is None else transforms
    tries = checks.whole(attempts, "attempts", 1)

    def make(chosen: Sequence[np.ndarray], attempt: int = 0) -> VisT:
        images, source = param.image(side, batch=len(chosen)), alike(seed + attempt, len(chosen))
        wanted = _values(layer, np.stack(chosen), power, side, weight)
        return VisT(model, wanted, images, transforms=given, seed=source)

    def rendered(chosen: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        made = []
        for attempt in range(tries):
            vis = make(chosen, attempt)
            made.append((run(vis, steps, verbose)[-1], vis.image()))
        last = np.stack([one for one, _ in made])
        best = last.argmax(0)
        return np.stack([made[attempt][1][number] for number, attempt in enumerate(best)]), last.max(0)

    icons, values = zip(*in_batches(model, list(vectors), make, rendered, batch_size), strict=True)
    return np.concatenate(icons), np.concatenate(values).astype(np.float32)


def _whitened(vectors: np.ndarray, S: ArrayLike | None) -> np.ndarray:
    if S is None:
        return vectors
    matrix = check_activations(S)
    if matrix.shape != (vectors.shape[1],) * 2:
        raise ValueError(
            f"S has the shape {list(matrix.shape)}; directions of {vectors.shape[1]} numbers need a square."
        )
    return vectors @ matrix


def _values(
    layer: str, vectors: np.ndarray, power: float, size: int, weight: float
) -> Callable[[Activations], torch.Tensor]:
    """The objective of each icon, [N]."""
    edge = objectives.penalize_boundary_complexity((1, size, size, 3), w=BORDER)

    @functools.cache
    def wanted(device: torch.device) -> torch.Tensor:  # copied once, so that steps do not wait for it
        return as_tensor(vectors).to(device)

    def values(T: Activations) -> torch.Tensor:
        reader = as_reader(T)
        activation = reader.layout(layer).in_places(reader(layer))
        middle = activation[:, :, activation.shape[2] // 2, activation.shape[3] // 2]
        dot = (middle * wanted(middle.device)).mean(1)
        cosine = dot / (EPSILON + torch.linalg.vector_norm(middle, dim=1))
        seen = dot * cosine.clamp(min=LEAST_COSSIM) ** power
        if weight == 0:
            return seen
        images = T("input").split(1)
        plain = torch.stack([edge(lambda name, image=image: image) for image in images])
        return seen + weight * plain

    return values
