"""Pictures of attributions: a map in two colors over the photograph, and the channels' renders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lucid_port.misc.sheets import draw_grid, page

__all__ = ["draw", "enlarged", "heat_map", "over"]

POSITIVE, NEGATIVE = np.array([0.80, 0.10, 0.10], np.float32), np.array([0.10, 0.25, 0.85], np.float32)
"""Colors of contributions for and against the target."""

QUANTILE = 0.995
"""Quantile of a map's magnitudes that has the full color; single pixels beyond it would make the rest pale."""

LEAST_WIDTH = 160
"""Least width of a photograph in a drawing in pixels; smaller ones are enlarged by a whole factor."""


def strength(values: np.ndarray) -> np.ndarray:
    """Returns a map [H, W] divided by the `QUANTILE` of its magnitudes, in [-1, 1]."""
    most = float(np.quantile(np.abs(values), QUANTILE)) or float(np.abs(values).max(initial=0))
    return np.clip(values / most, -1, 1) if most > 0 else np.zeros_like(values)


def heat_map(values: np.ndarray) -> np.ndarray:
    """Returns a map [H, W] as a picture [H, W, 3] in [0, 1]: red for positive values, blue for negative ones.

    Example:
        >>> (100 * heat_map(np.array([[1.0, 0.0, -1.0]]))).round().astype(int).tolist()
        [[[80, 10, 10], [100, 100, 100], [10, 25, 85]]]
    """
    return _tinted(np.ones((*values.shape, 3), np.float32), strength(values))


def over(photo: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns a map [H, W] over the gray values of a photograph [H, W, C], as a picture [H, W, 3]."""
    gray = photo.mean(-1, keepdims=True).repeat(3, -1)
    return _tinted(0.35 + 0.6 * gray, strength(values) * 0.85)


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns maps (N, C, rows, columns) in the size of a picture, (height, width) in pixels, by bilinear sampling."""
    return maps if tuple(maps.shape[2:]) == size else F.interpolate(maps, size, mode="bilinear", align_corners=False)


def _tinted(paper: np.ndarray, share: np.ndarray) -> np.ndarray:
    share = share[..., None].astype(np.float32)
    color = np.where(share > 0, POSITIVE, NEGATIVE)
    return paper * (1 - np.abs(share)) + color * np.abs(share)


def draw(
    photos: np.ndarray,
    maps: np.ndarray | None,
    titles: Sequence[str],
    icons: Sequence[tuple[Sequence[np.ndarray], Sequence[str]]] = (),
) -> np.ndarray:
    """Draws each photograph beside its map, with a title, and renders of channels below.

    Args:
        photos: [N, H, W, C] in [0, 1].
        maps: [N, H, W]; None for layers without places.
        titles: a line above each photograph.
        icons: renders [H, W, C] and captions for each photograph.

    Returns:
        float32 [height, width, 3] in [0, 1].
    """
    scale = -(-LEAST_WIDTH // photos.shape[2])
    parts = []
    for number, title in enumerate(titles):
        photo = photos[number]
        cells = [photo] if maps is None else [photo, heat_map(maps[number]), over(photo, maps[number])]
        captions = ("photograph", "contributions", "both")[: len(cells)]
        parts.append(draw_grid([_image(cell, scale) for cell in cells], captions, title=title))
        if icons and icons[number][0]:
            renders, names = icons[number]
            parts.append(draw_grid([_image(render, -(-96 // render.shape[1])) for render in renders], names))
    return np.asarray(page(parts), np.float32) / 255


def _image(pixels: np.ndarray, scale: int) -> Image.Image:
    colors = np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels[..., :3]
    image = Image.fromarray(np.round(np.clip(colors, 0, 1) * 255).astype(np.uint8))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
