"""Layout of vectors in the plane, and means over the cells of a grid: Lucid's `recipes.activation_atlas.layout`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from converters import checks
from converters.signatures import checked
from lucid_port.recipes.activation_atlas.samples import check_activations

__all__ = ["LAYOUTS", "bin_laid_out_activations", "lay_out", "normalize_layout"]


def _umap(activations: np.ndarray, seed: int, **options: Any) -> np.ndarray:
    """UMAP (McInnes, Healy, Melville, 2018) with Lucid's options."""
    from umap import UMAP

    given = {"n_neighbors": 50, "min_dist": 0.05, "metric": "cosine", **options}
    _check_enough(activations, given["n_neighbors"], "n_neighbors")
    return UMAP(n_components=2, random_state=seed, n_jobs=1, **given).fit_transform(activations)


def _tsne(activations: np.ndarray, seed: int, **options: Any) -> np.ndarray:
    """t-SNE (van der Maaten, Hinton, 2008) by cosine distance, as in Lucid's notebook of class atlases."""
    from sklearn.manifold import TSNE

    given = {"perplexity": 30, "metric": "cosine", **options}
    _check_enough(activations, given["perplexity"], "perplexity")
    return TSNE(n_components=2, random_state=seed, **given).fit_transform(activations)


LAYOUTS: Mapping[str, Callable[..., np.ndarray]] = {"umap": _umap, "tsne": _tsne}
"""Layout methods by name: functions of (activations [N, C], seed, options) that return [N, 2]."""

_NEEDS = {"umap": ("umap", "umap-learn"), "tsne": ("sklearn.manifold", "scikit-learn")}


def check_layout(layout: str) -> None:
    """Checks, before any work is done, that a layout is known and its library installed.

    Raises:
        ValueError: the layout is unknown.
        ImportError: its library is not installed.
    """
    module, package = _NEEDS[checks.choice(layout, "layout", LAYOUTS)]
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        other = "" if layout == "tsne" else ", or take layout='tsne'"
        raise ImportError(f"The layout {layout!r} needs {package}: pip install -e '.[atlas]'{other}.") from error


def _check_enough(activations: np.ndarray, neighbours: Any, option: str) -> None:
    if len(activations) <= checks.number(neighbours, option, above=0):
        raise ValueError(
            f"{len(activations)} activations are too few for a layout by {neighbours} neighbors: pass more, or a "
            f"smaller {option} in layout_options."
        )


@checked
def lay_out(
    activations: ArrayLike, layout: str = "umap", *, seed: int = 0, options: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Places vectors in the plane so that similar vectors are near each other.

    Args:
        activations: [N, C].
        layout: a name in `LAYOUTS`: "umap" (n_neighbors 50, min_dist 0.05, cosine) or "tsne" (perplexity 30, cosine).
        seed: seed of UMAP's random draws, which Lucid does not fix; t-SNE starts from principal components. The result
            also depends on the versions of the libraries.
        options: options of UMAP or t-SNE that replace Lucid's.

    Returns:
        float64 [N, 2] in [0, 1], normalized by `normalize_layout`.

    Raises:
        ValueError: the layout is unknown, or the activations are too few for it, hold NaN, or are not vectors.
        ImportError: umap-learn or scikit-learn is not installed.

    Example:
        >>> import numpy as np
        >>> vectors = np.random.RandomState(0).uniform(size=(20, 3))
        >>> lay_out(vectors, "tsne", options={"perplexity": 5}).shape
        (20, 2)
    """
    check_layout(layout)
    vectors = check_activations(activations)
    return normalize_layout(LAYOUTS[layout](vectors, checks.whole(seed, "seed", 0), **(options or {})))


@checked
def normalize_layout(
    layout: ArrayLike, min_percentile: float = 1, max_percentile: float = 99, relative_margin: float = 0.1
) -> np.ndarray:
    """Scales a layout to the unit square, and clips outliers to its edge.

    Args:
        layout: [N, 2].
        min_percentile, max_percentile: percentiles of each axis that bound the range.
        relative_margin: margin added on either side, relative to the range. As in Lucid, the upper margin is relative
            to the range plus the lower margin.

    Returns:
        float64 [N, 2] in [0, 1].

    Raises:
        ValueError: the layout has another shape or holds NaN, a percentile is not in 0..100, or all points have the
            same coordinate on an axis.

    Example:
        >>> normalize_layout([[0, 0], [1, 2]], 0, 100, relative_margin=0)
        array([[0., 0.],
               [1., 1.]])
    """
    points = np.asarray(layout, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"A layout is [N, 2] of finite numbers, not {checks.shown(layout)}.")
    least = np.percentile(points, checks.number(min_percentile, "min_percentile", 0, most=100), axis=0)
    most = np.percentile(points, checks.number(max_percentile, "max_percentile", 0, most=100), axis=0)
    least = least - relative_margin * (most - least)
    most = most + relative_margin * (most - least)
    if not (most > least).all():
        raise ValueError("The layout has no extent: all points have the same coordinate on an axis.")
    return (points.clip(least, most) - least) / (most - least)


@checked
def bin_laid_out_activations(
    layout: ArrayLike, activations: ArrayLike, grid_size: int, threshold: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Averages the vectors in each cell of a grid over a layout.

    Args:
        layout: [N, 2] in [0, 1].
        activations: [N, C].
        grid_size: number of cells on a side.
        threshold: cells with this many vectors or fewer are left out.

    Returns:
        The means, float32 [cells, C], the (x, y) of each cell, [cells, 2], and its number of vectors, [cells]; x
        changes fastest.

    Raises:
        ValueError: layout and activations differ in length, or no cell has more than `threshold` vectors.

    Example:
        >>> means, cells, counts = bin_laid_out_activations([[0.1, 0.1], [0.2, 0.1], [0.9, 0.9]], [[1], [3], [5]], 2, 1)
        >>> means, cells, counts
        (array([[2.]], dtype=float32), array([[0, 0]]), array([2]))
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
            f"{counts.max()}): pass more activations, a smaller grid_size or a smaller threshold."
        )
    means = np.stack([vectors[numbers == number].mean(0, dtype=np.float64) for number in kept])
    return means.astype(np.float32), np.column_stack([kept % side, kept // side]), counts[kept]
