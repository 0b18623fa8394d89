"""Tuning curves of all units of layers at once: orientation, radius, hue, spatial frequency, and further families.

A family draws stimuli at positions such as 24 orientations. A unit's curve is its activation in the middle of the layer
at each position: the greatest, where a family draws several stimuli for a position, as curves of one radius in eight
orientations.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.recipes import tuning
from lucid_port.recipes.inputs import LayerValue, as_batch, model_size, read_layers

__all__ = ["FAMILIES", "Curves", "Family", "tuning_curves"]

TURNS = 8
"""Orientations at each radius and each spatial frequency."""

MIDDLE = 0.5
"""Gray level around a patch of color."""


@checked
@dataclass(frozen=True)
class Family:
    """Stimuli along one property.

    Attributes:
        positions: Values of the property.
        draw: (size in pixels, position) -> the stimuli at a position, a list of [size, size, 3] in [0, 1].
        unit: Unit of the positions, such as "degrees".

    Example:
        >>> steps = Family((0.0, 0.5, 1.0), lambda size, level: [np.full((size, size, 3), level, np.float32)])
        >>> len(steps.draw(8, 0.5))
        1
    """

    positions: Sequence[float]
    draw: Callable[[int, float], Sequence[np.ndarray]]
    unit: str = ""


def _angles(period: float) -> list[float]:
    return [turn * period / TURNS for turn in range(TURNS)]


def _lines(size: int, angle: float) -> list[np.ndarray]:
    return [tuning.line(size, angle)]


def _arcs(size: int, radius: float) -> list[np.ndarray]:
    return [tuning.curve(size, angle, radius=radius) for angle in _angles(360)]


def _gratings(size: int, period: float) -> list[np.ndarray]:
    return [tuning.grating(size, angle, period=period) for angle in _angles(180)]


def _hues(size: int, hue: float) -> list[np.ndarray]:
    """Draws an image of one hue, and a patch of it on gray with half of the image's side."""
    color = np.array(colorsys.hsv_to_rgb(hue / 360, 1, 1), np.float32)
    whole = np.broadcast_to(color, (size, size, 3)).copy()
    patch = np.full_like(whole, MIDDLE)
    edge = size // 4
    patch[edge : size - edge, edge : size - edge] = color
    return [whole, patch]


FAMILIES: dict[str, Family] = {
    "orientation": Family([7.5 * step for step in range(24)], _lines, "degrees"),
    "radius": Family([3.0, 5.0, 8.0, 12.0, 18.0, 28.0, 42.0, 64.0], _arcs, "pixels"),
    "hue": Family([15.0 * step for step in range(24)], _hues, "degrees"),
    "frequency": Family([2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0], _gratings, "pixels a period"),
}
"""The families of a site, by name. Lines repeat after 180 degrees, hues after 360."""


@checked
@dataclass(frozen=True)
class Curves:
    """Tuning curves of a layer's units.

    Attributes:
        positions: Family -> its positions.
        values: Family -> float32 [units, positions]: activations.
    """

    positions: Mapping[str, Sequence[float]]
    values: Mapping[str, np.ndarray]

    @checked
    def rows(self, unit: int) -> dict[str, list[float]]:
        """Returns the curves of a unit as `details.json` has them."""
        for values in self.values.values():
            checks.whole(unit, "unit", 0, len(values) - 1)
        return {family: values[unit].tolist() for family, values in self.values.items()}


@strictly
@checked
def tuning_curves(
    model: Model,
    layers: Sequence[str],
    families: Mapping[str, Family] | None = None,
    *,
    size: int | None = None,
    batch_size: int = 32,
) -> dict[str, Curves]:
    """Computes the tuning curves of all units of layers; each stimulus runs once for all layers.

    Args:
        model: The model.
        layers: Names of layers. Fully connected layers are read whole; of tokens, that in the middle of the grid.
        families: Name -> family; those in `FAMILIES` by default.
        size: Height and width of the stimuli in pixels; the shorter side of the model's images by default.
        batch_size: Number of stimuli in a batch.

    Returns:
        Layer -> its curves. Layers that have neither places nor a single value are left out.

    Raises:
        converters.LayerNotFoundError: The model has no such layer.
        ValueError: A family draws pictures of another shape.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> levels = Family((0.0, 1.0), lambda size, level: [np.full((size, size, 3), level, np.float32)])
        >>> curves = tuning_curves(TinyInceptionV1(), ["conv2d0", "mixed3a"], {"level": levels}, size=32)
        >>> {layer: one.values["level"].shape for layer, one in curves.items()}
        {'conv2d0': (16, 2), 'mixed3a': (64, 2)}
    """
    step = checks.whole(batch_size, "batch_size", 1)
    chosen = FAMILIES if families is None else families
    height, width = model_size(model)
    side = min(height, width) if size is None else checks.whole(size, "size", 1)
    image = (height, width) if size is None else (side, side)
    positions = {name: tuple(map(float, family.positions)) for name, family in chosen.items()}
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, family in chosen.items():
        drawn = [_drawn(name, family, side, position, image) for position in family.positions]
        counts = [len(one) for one in drawn]
        values = _middles(model, layers, np.concatenate(drawn), step)
        for layer, rows in values.items():
            groups = np.split(rows, np.cumsum(counts)[:-1])
            found.setdefault(layer, {})[name] = np.stack([group.max(0) for group in groups], 1)
    return {layer: Curves(positions, found[layer]) for layer in layers if layer in found}


def _drawn(name: str, family: Family, side: int, position: float, image: tuple[int, int]) -> np.ndarray:
    """Returns the stimuli at a position in the middle of images, continued at the edges, [N, H, W, 3]."""
    stimuli = [np.asarray(one, np.float32) for one in family.draw(side, position)]
    if not stimuli or any(one.shape != (side, side, 3) for one in stimuli):
        shown = checks.shown(stimuli[0].shape) if stimuli else "nothing"
        raise ValueError(f"The family {name!r} draws a list of pictures ({side}, {side}, 3), not {shown}.")
    pictures = np.stack(stimuli)
    checks.finite_values(pictures, f"A stimulus of the family {name!r}")
    tall, wide = image[0] - side, image[1] - side
    edges = ((0, 0), (tall // 2, tall - tall // 2), (wide // 2, wide - wide // 2), (0, 0))
    return np.pad(pictures, edges, mode="edge")


def _middles(model: Model, layers: Sequence[str], pictures: np.ndarray, step: int) -> dict[str, np.ndarray]:
    """Returns the activations in the middle of layers, float32 [N, units]."""
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(pictures), step):
        with torch.no_grad():
            values = read_layers(model, as_batch(model, pictures[start : start + step]), list(layers))
        for layer, value in values.items():
            middle = _middle(value)
            if middle is not None:
                found.setdefault(layer, []).append(middle.float().cpu().numpy())
    return {layer: np.concatenate(rows) for layer, rows in found.items()}


def _middle(value: LayerValue) -> torch.Tensor | None:
    if value.layout.has_places and value.layout.positions != "LL":
        places = value.places()
        return places[:, :, places.shape[2] // 2, places.shape[3] // 2]
    return value.first if not value.layout.positions else None
