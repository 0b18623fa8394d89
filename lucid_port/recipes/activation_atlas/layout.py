"""Where vectors lie on a map, and what lies in each cell of it: Lucid's `recipes.activation_atlas.layout`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lucid_port.misc import checks
from lucid_port.recipes.activation_atlas.samples import check_activations

__all__ = ["LAYOUTS", "bin_laid_out_activations", "lay_out", "normalize_layout"]


def _umap(activations: np.ndarray, seed: int, **options: Any) -> np.ndarray:
    """UMAP (McInnes, Healy, Melville 2018) with Lucid's options."""
    from umap import UMAP

    given = {"n_neighbors": 50, "min_dist": 0.05, "metric": "cosine", **options}
    _check_enough(activations, given["n_neighbors"], "n_neighbors")
    return UMAP(n_components=2, random_state=seed, n_jobs=1, **given).fit_transform(activations)


def _tsne(activations: np.ndarray, seed: int, **options: Any) -> np.ndarray:
    """t-SNE (van der Maaten, Hinton 2008), by the cosine as in Lucid's notebook of class atlases."""
    from sklearn.manifold import TSNE

    given = {"perplexity": 30, "metric": "cosine", **options}
    _check_enough(activations, given["perplexity"], "perplexity")
    return TSNE(n_components=2, random_state=seed, **given).fit_transform(activations)


LAYOUTS: Mapping[str, Callable[..., np.ndarray]] = {"umap": _umap, "tsne": _tsne}
"""What lays vectors out: (activations [N, C], seed, options of its own) -> [N, 2]."""

_NEEDS = {"umap": ("umap", "umap-learn"), "tsne": ("sklearn.manifold", "scikit-learn")}


def check_layout(layout: str) -> None:
    """Refuses, before any work is done for it, a layout that cannot be made here.

    Raises:
        ValueError: there is no such layout.
        ImportError: its library is not installed.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout is one of {', '.join(map(repr, LAYOUTS))}, not {checks.shown(layout)}.")
    module, package = _NEEDS[layout]
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        other = "" if layout == "tsne" else ", or take layout='tsne'"
        raise ImportError(f"The layout {layout!r} needs {package}: pip install 'lucid_port[atlas]'{other}.") from error


def _check_enough(activations: np.ndarray, neighbours: Any, option: str) -> None:
    if len(activations) <= checks.number(neighbours, option, above=0):
        raise ValueError(
            f"{len(activations)} activations are too few for a layout by {neighbours} neighbours: take more, or a "
            f"smaller {option} in layout_options."
        )


def lay_out(
    activations: Any, layout: str = "umap", *, seed: int = 0, options: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Places vectors in the plane, like ones near each other.

    Args:
        activations: [N, C].
        layout: a name of `LAYOUTS`: "umap" (n_neighbors 50, min_dist 0.05, cosine), or "tsne" (perplexity 30, cosine).
        seed: of UMAP's random draws, which Lucid leaves open; t-SNE begins from principal components. Values also
            depend on the versions of the libraries.
        options: of UMAP, or of t-SNE, in place of Lucid's.

    Returns:
        [N, 2] in [0, 1], normalised by `normalize_layout`.

    Raises:
        ValueError: there is no such layout, or the activations are too few for it, hold NaN, or are no vectors.
        ImportError: umap-learn, or scikit-learn, is not installed.
    """
    check_layout(layout)
    vectors = check_activations(activations)
    return normalize_layout(LAYOUTS[layout](vectors, checks.whole(seed, "seed", 0), **(options or {})))


def normalize_layout(
    layout: Any, min_percentile: float = 1, max_percentile: float = 99, relative_margin: float = 0.1
) -> np.ndarray:
    """Moves a layout into the unit square and pulls in what lies far out.

    Args:
        layout: [N, 2].
        min_percentile, max_percentile: of each axis, between which the range is taken.
        relative_margin: how much is added on either side, in parts of the range. The upper margin is a part of the
            range with the lower margin, as in Lucid.

    Raises:
        ValueError: the shape is another, there are NaN, or all points have one place on an axis.
    """
    points = np.asarray(layout, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"A layout is [N, 2] of finite numbers, not {checks.shown(layout)}.")
    least = np.percentile(points, min_percentile, axis=0)
    most = np.percentile(points, max_percentile, axis=0)
    least = least - relative_margin * (most - least)
    most = most + relative_margin * (most - least)
    if not (most > least).all():
        raise ValueError("The layout has no extent: all points have one place on an axis.")
    return (points.clip(least, most) - least) / (most - least)


def bin_laid_out_activations(
    layout: Any, activations: Any, grid_size: int, threshold: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean vector of each cell of a grid over a layout.

    Args:
        layout: [N, 2] in [0, 1].
        activations: [N, C].
        grid_size: cells on a side.
        threshold: cells of so many vectors or fewer are left out.

    Returns:
        Means [cells, C], cells (x, y) [cells, 2], and how many vectors each is of [cells]; x changes fastest.

    Raises:
        ValueError: there is not one place for each vector, or no cell has more than `threshold`.
    """
    vectors, points = check_activations(activations), np.asarray(layout, np.float64)
    side, few = checks.whole(grid_size, "grid_size", 1), checks.whole(threshold, "threshold", 0)
    if points.shape != (len(vectors), 2):
        raise ValueError(
            f"The layout has the shape {list(points.shape)}; {len(vectors)} activations need {[len(vectors), 2]}."
        )
    cells = np.floor(points * side).astype(int).clip(0, side - 1)
    numbers = cells[:, 1] * side + cells[:, 0]
    counts = np.bincount(numbers, minlength=side * side)
    kept = np.flatnonzero(counts > few)
    if not len(kept):
        raise ValueError(
            f"No cell of {side} x {side} has more than {few} of the {len(vectors)} activations (the fullest has "
            f"{counts.max()}): take more activations, a smaller grid_size or a smaller threshold."
        )
    means = np.stack([vectors[numbers == number].mean(0, dtype=np.float64) for number in kept])
    return means.astype(np.float32), np.column_stack([kept % side, kept // side]), counts[kept]
