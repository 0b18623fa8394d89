"""An activation atlas: Lucid's `recipes.activation_atlas.main`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.engine.coerce import Model, TransformsLike
from lucid_port.recipes.activation_atlas.layout import bin_laid_out_activations, check_layout, lay_out
from lucid_port.recipes.activation_atlas.render import inverse_covariance, render_icons
from lucid_port.recipes.activation_atlas.samples import PicturesLike, check_activations, sample_activations

__all__ = ["ActivationAtlas", "activation_atlas", "make_canvas"]


@dataclass(frozen=True)
class ActivationAtlas:
    """A map of a layer's activations.

    Attributes:
        layer: name of the layer.
        grid_size: number of cells on a side.
        activations: [N, C].
        layout: position of each activation, [N, 2] in [0, 1].
        directions: mean activation of each cell with enough activations, [cells, C].
        cells: (x, y) of each cell, y upwards, [cells, 2].
        counts: number of activations in each cell, [cells].
        icons: [cells, size, size, 3] in [0, 1].
        values: objective of each icon before its last update, [cells].
        skipped: one sentence for each file that could not be read.
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
        """The icons in their cells, empty cells in white, [grid_size * size, grid_size * size, 3]."""
        return make_canvas(self.icons, self.cells, self.grid_size)

    @checked
    def origins_of(self, cell: int) -> np.ndarray:
        """Indices of the activations in a cell, by decreasing cosine similarity to its mean.

        Raises:
            IndexError: the atlas does not have this cell.
        """
        if not 0 <= cell < len(self.cells):
            raise IndexError(f"The atlas has no cell {cell}: its cells are 0 to {len(self.cells) - 1}.")
        side = self.grid_size
        own = np.floor(self.layout * side).astype(int).clip(0, side - 1)
        inside = np.flatnonzero((own == self.cells[cell]).all(1))
        vectors, mean = self.activations[inside], self.directions[cell]
        cosines = vectors @ mean / np.maximum(np.linalg.norm(vectors, axis=1) * np.linalg.norm(mean), 1e-12)
        return inside[np.argsort(-cosines, kind="stable")]


@checked
def activation_atlas(
    model: Model,
    layer: str,
    images: PicturesLike | None = None,
    *,
    activations: ArrayLike | None = None,
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
    """Lays out activations of a layer as a map, and renders the mean of each cell.

    Args:
        model: the model.
        layer: name of a convolutional layer.
        images: a folder, or a list or array of pictures, from which activations are sampled (`sample_activations`).
        activations: [N, C], in place of `images`.
        per_image: number of positions sampled from each picture; None for all.
        layout, layout_options: see `lay_out`.
        grid_size: number of cells on a side.
        threshold: cells with this many activations or fewer stay empty.
        whiten, damping: multiply directions by the `inverse_covariance` of the activations, as the article does.
        icon_size, steps, attempts, cossim_pow, border, transforms, batch_size, verbose: see `render_icons`.
        seed: seed of all random draws: positions, layout and icons.

    Raises:
        ValueError: not exactly one of `images` and `activations` is given, the layer is fully connected, or the
            activations are too few, hold NaN or are not vectors.
        ImportError: the library of the layout is not installed.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> vectors = np.random.RandomState(0).uniform(size=(40, 48))
        >>> options = {"layout": "tsne", "layout_options": {"perplexity": 5}, "whiten": False, "icon_size": 16}
        >>> atlas = activation_atlas(TinyInceptionV1(), "conv2d2", activations=vectors, grid_size=1, steps=2, **options)
        >>> atlas.counts, atlas.canvas.shape
        (array([40]), (16, 16, 3))
    """
    if (images is None) == (activations is None):
        raise ValueError("An atlas is made from images or from activations: give one of them.")
    check_layout(layout)
    skipped: tuple[str, ...] = ()
    if images is not None:
        found = sample_activations(model, images, layer, per_image, seed=seed)
        activations, skipped = found.activations, found.skipped
    vectors = check_activations(np.asarray(activations), 2)
    side = checks.whole(grid_size, "grid_size", 1)
    S = inverse_covariance(vectors, damping) if whiten else None  # fails before the slow layout
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


@checked
def make_canvas(icons: ArrayLike, cells: ArrayLike, grid_size: int) -> np.ndarray:
    """Pastes icons into the cells of a grid.

    x is the column and y the row from below, as in the article and Lucid's notebooks. (In Lucid's recipe, which
    transposes the canvas, x is the row from above.)

    Args:
        icons: [N, size, size, 3].
        cells: (x, y) of each icon, [N, 2].
        grid_size: number of cells on a side.

    Returns:
        float32 [grid_size * size, grid_size * size, 3], with empty cells in white.

    Raises:
        ValueError: icons and cells differ in length, or a cell lies outside of the grid.

    Example:
        >>> import numpy as np
        >>> make_canvas(np.zeros((1, 1, 1, 3)), [(0, 0)], 2)[..., 0]
        array([[1., 1.],
               [0., 1.]], dtype=float32)
    """
    pictures, places = np.asarray(icons, np.float32), np.asarray(cells)
    side = checks.whole(grid_size, "grid_size", 1)
    if pictures.ndim != 4 or places.shape != (len(pictures), 2):
        raise ValueError(f"Icons of shape {list(pictures.shape)} and cells of shape {list(places.shape)} do not match.")
    if places.size and (places.min() < 0 or places.max() >= side):
        raise ValueError(f"A cell lies outside of the grid of {side} x {side}: pass a larger grid_size.")
    height, width = pictures.shape[1:3]
    canvas = np.ones((side * height, side * width, pictures.shape[3]), np.float32)
    for (x, y), icon in zip(places, pictures, strict=True):
        top = (side - 1 - y) * height
        canvas[top : top + height, x * width : (x + 1) * width] = icon
    return canvas
