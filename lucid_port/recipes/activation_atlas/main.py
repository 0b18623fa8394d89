"""An activation atlas: Lucid's `recipes.activation_atlas.main`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lucid_port.misc import checks
from lucid_port.optvis.engine.coerce import Model, TransformsLike
from lucid_port.recipes.activation_atlas.layout import bin_laid_out_activations, check_layout, lay_out
from lucid_port.recipes.activation_atlas.render import inverse_covariance, render_icons
from lucid_port.recipes.activation_atlas.samples import check_activations, sample_activations

__all__ = ["ActivationAtlas", "activation_atlas", "make_canvas"]


@dataclass(frozen=True)
class ActivationAtlas:
    """A map of a layer's activations.

    Attributes:
        layer: the layer.
        grid_size: cells on a side.
        activations: [N, C].
        layout: where each lies, [N, 2] in [0, 1].
        directions: the mean of each cell that has enough of them, [cells, C].
        cells: (x, y) of each, y upwards, [cells, 2].
        counts: how many vectors each is the mean of, [cells].
        icons: [cells, size, size, 3].
        values: objective of each before its last update, [cells].
        skipped: a sentence for each file that could not be read.
    """

    layer: str
    grid_size: int
    activations: np.ndarray
    layout: np.ndarray
    directions: np.ndarray
    cells: np.ndarray
    counts: np.ndarray
    icons: np.ndarray
    values: np.ndarray
    skipped: tuple[str, ...] = ()

    @property
    def canvas(self) -> np.ndarray:
        """All icons at their places, white where there are none, [grid_size * size, grid_size * size, 3]."""
        return make_canvas(self.icons, self.cells, self.grid_size)

    def origins_of(self, cell: int) -> np.ndarray:
        """Numbers of the vectors in a cell, the nearest to its mean (by the cosine) first."""
        side = self.grid_size
        own = np.floor(self.layout * side).astype(int).clip(0, side - 1)
        inside = np.flatnonzero((own == self.cells[cell]).all(1))
        vectors, mean = self.activations[inside], self.directions[cell]
        cosines = vectors @ mean / np.maximum(np.linalg.norm(vectors, axis=1) * np.linalg.norm(mean), 1e-12)
        return inside[np.argsort(-cosines, kind="stable")]


def activation_atlas(
    model: Model,
    layer: str,
    images: Any = None,
    *,
    activations: Any = None,
    per_image: int | None = 1,
    layout: str = "umap",
    layout_options: Mapping[str, Any] | None = None,
    grid_size: int = 10,
    threshold: int = 5,
    whiten: bool = True,
    damping: float = 0.0,
    icon_size: int = 96,
    steps: int = 128,
    attempts: int = 1,
    cossim_pow: float = 2.0,
    border: float = 1.0,
    transforms: TransformsLike = None,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> ActivationAtlas:
    """Lays a layer's activations out as a map, and renders the mean of each of its cells.

    Args:
        model: the model.
        layer: a convolutional layer.
        images: a folder, or a list or array of pictures, whose activations are taken (`sample_activations`).
        activations: [N, C] in place of pictures.
        per_image: positions of each picture; None for all.
        layout, layout_options: see `lay_out`.
        grid_size: cells on a side.
        threshold: cells of so many activations or fewer stay empty.
        whiten: see directions through the inverse of the activations' covariance, as the article does.
        damping: see `inverse_covariance`; Lucid's 0 takes many more activations than channels.
        icon_size, steps, attempts, cossim_pow, border, transforms, batch_size, verbose: see `render_icons`.
        seed: of all random draws: positions, layout and icons.

    Raises:
        ValueError: both or neither of `images` and `activations` are given; the layer is fully connected; activations
            are too few, no vectors, or hold NaN; or no cell has enough of them.
        ImportError: the layout's library is not installed.
        converters.LayerNotFoundError: there is no such layer.
    """
    if (images is None) == (activations is None):
        raise ValueError("An atlas is made of images or of activations: give one of them.")
    check_layout(layout)
    skipped: tuple[str, ...] = ()
    if activations is None:
        found = sample_activations(model, images, layer, per_image, seed=seed)
        activations, skipped = found.activations, found.skipped
    vectors = check_activations(activations, 2)
    side = checks.whole(grid_size, "grid_size", 1)
    S = inverse_covariance(vectors, damping) if whiten else None  # what cannot be whitened fails before the layout
    places = lay_out(vectors, layout, seed=seed, options=layout_options)
    directions, cells, counts = bin_laid_out_activations(places, vectors, side, threshold)
    icons, values = render_icons(
        model,
        directions,
        layer,
        S=S,
        size=icon_size,
        steps=steps,
        attempts=attempts,
        cossim_pow=cossim_pow,
        border=border,
        transforms=transforms,
        seed=seed,
        batch_size=batch_size,
        verbose=verbose,
    )
    return ActivationAtlas(layer, side, vectors, places, directions, cells, counts, icons, values, skipped)


def make_canvas(icons: Any, cells: Any, grid_size: int) -> np.ndarray:
    """Icons at their cells.

    x is the column and y the row from below, as in the article and Lucid's notebooks. (Lucid's recipe turns its canvas:
    there, x is the row from above.)

    Args:
        icons: [N, size, size, 3].
        cells: (x, y) of each, [N, 2].
        grid_size: cells on a side.

    Returns:
        [grid_size * size, grid_size * size, 3], white where there is no icon.

    Raises:
        ValueError: there is not one cell for each icon, or one lies outside.
    """
    pictures, places = np.asarray(icons, np.float32), np.asarray(cells)
    side = checks.whole(grid_size, "grid_size", 1)
    if pictures.ndim != 4 or places.shape != (len(pictures), 2):
        raise ValueError(f"Icons of shape {list(pictures.shape)} and cells of shape {list(places.shape)} do not match.")
    if places.size and (places.min() < 0 or places.max() >= side):
        raise ValueError(f"A cell lies outside of the grid of {side} x {side}.")
    height, width = pictures.shape[1:3]
    canvas = np.ones((side * height, side * width, pictures.shape[3]), np.float32)
    for (x, y), icon in zip(places, pictures, strict=True):
        top = (side - 1 - y) * height
        canvas[top : top + height, x * width : (x + 1) * width] = icon
    return canvas
