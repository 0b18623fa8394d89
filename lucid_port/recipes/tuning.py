"""Tuning curves: activations of units by the orientation of drawn stimuli (curves, lines, high-low frequency edges).

Cammarata et al.: Curve Detectors and Curve Circuits (Distill, 2020 and 2021); Schubert et al.: High-Low Frequency
Detectors (2021). Stimuli are anti-aliased by their distance functions. Activations are read in the middle of the layer.
"""

from __future__ import annotations

import colorsys
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.recipes.inputs import as_batch, check_units, read_layers

__all__ = [
    "STIMULI",
    "Tuning",
    "TuningMap",
    "curve",
    "grating",
    "heat_picture",
    "high_low_frequency",
    "line",
    "middle_activations",
    "polar_family_picture",
    "polar_picture",
    "tuning",
    "tuning_map",
]

BACKGROUND, INK = 0.5, 0.0


def _coordinates(size: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates relative to the center, rotated by an angle in degrees (counter-clockwise on screen)."""
    checks.fits((checks.whole(size, "size", 1), size, 3), "The stimulus")
    half = (size - 1) / 2
    y, x = np.mgrid[:size, :size] - half
    turn = np.deg2rad(angle)
    return x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)


def _inked(distance: np.ndarray, width: float, ink: float, background: float) -> np.ndarray:
    """A stroke around distance 0, whose edges are one pixel wide, [H, W, 3]."""
    share = np.clip(width / 2 - np.abs(distance) + 0.5, 0, 1)
    return _gray(background + (ink - background) * share)


def _gray(values: np.ndarray) -> np.ndarray:
    """Gray values [H, W] as a picture, float32 [H, W, 3]."""
    return np.repeat(values[..., None], 3, -1).astype(np.float32)


@checked
def curve(
    size: int,
    orientation: float,
    *,
    radius: float = 20.0,
    width: float = 3.0,
    ink: float = INK,
    background: float = BACKGROUND,
) -> np.ndarray:
    """Draws a half circle that passes through the center of the picture.

    Args:
        size: height and width in pixels.
        orientation: rotation counter-clockwise in degrees; at 0, the center of the circle lies to the right.
        radius: radius of the circle in pixels.
        width: width of the stroke in pixels.
        ink, background: gray values in [0, 1].

    Returns:
        float32 [size, size, 3] in [0, 1].

    Example:
        >>> curve(9, 0.0, radius=3, width=1)[4, :, 0]
        array([0.5, 0.5, 0.5, 0.5, 0. , 0.5, 0.5, 0.5, 0.5], dtype=float32)
    """
    u, v = _coordinates(size, orientation)
    distance = np.hypot(u - radius, v) - radius
    far = np.where(u > radius, np.hypot(u - radius, np.abs(v) - radius), 0)  # leaves out the other half
    return _inked(np.where(u > radius, np.maximum(np.abs(distance), far), distance), width, ink, background)


@checked
def line(
    size: int, orientation: float, *, width: float = 3.0, ink: float = INK, background: float = BACKGROUND
) -> np.ndarray:
    """Draws a straight line through the center, vertical at 0 degrees; arguments as for `curve`.

    Example:
        >>> line(3, 0.0, width=1)[..., 0]
        array([[0.5, 0. , 0.5],
               [0.5, 0. , 0.5],
               [0.5, 0. , 0.5]], dtype=float32)
    """
    u, _ = _coordinates(size, orientation)
    return _inked(u, width, ink, background)


@checked
def high_low_frequency(
    size: int, orientation: float, *, period: float = 4.0, ratio: float = 8.0, sharpness: float = 1.0
) -> np.ndarray:
    """Draws an edge between fine and coarse stripes.

    Args:
        size: height and width in pixels.
        orientation: rotation counter-clockwise in degrees; at 0, all stripes are vertical, the fine ones on the left.
        period: period of the fine stripes in pixels.
        ratio: period of the coarse stripes divided by that of the fine ones.
        sharpness: steepness of the transition, per pixel.

    Returns:
        float32 [size, size, 3] in [0, 1].

    Example:
        >>> high_low_frequency(96, 45.0).shape
        (96, 96, 3)
    """
    u, _ = _coordinates(size, orientation)
    share = 1 / (1 + np.exp(np.clip(sharpness * u, -50, 50)))  # of the fine stripes
    fine, coarse = (np.sin(2 * np.pi * u / length) for length in (period, period * ratio))
    return _gray(0.5 + 0.5 * (share * fine + (1 - share) * coarse))


@checked
def grating(size: int, orientation: float, *, period: float = 4.0) -> np.ndarray:
    """Draws sinusoidal stripes of a period in pixels, vertical at 0 degrees, medium gray at the center.

    Example:
        >>> grating(5, 0.0, period=4.0)[0, :, 0].round(2)
        array([0.5, 0. , 0.5, 1. , 0.5], dtype=float32)
    """
    u, _ = _coordinates(size, orientation)
    return _gray(0.5 + 0.5 * np.sin(2 * np.pi * u / period))


STIMULI: dict[str, Callable[..., np.ndarray]] = {
    "curve": curve,
    "grating": grating,
    "line": line,
    "high_low_frequency": high_low_frequency,
}
"""Functions that draw stimuli, by name."""


@dataclass(frozen=True)
class Tuning:
    """Activations of units by the orientation of a stimulus.

    Attributes:
        layer: name of the layer.
        units: channels of the layer.
        orientations: degrees, [n].
        values: activations in the middle of the layer, [units, n].
        stimuli: some of the stimuli, [k, size, size, 3].
    """

    layer: str
    units: tuple[int, ...]
    orientations: np.ndarray
    values: np.ndarray
    stimuli: np.ndarray

    @property
    def peaks(self) -> np.ndarray:
        """The orientation of the largest activation of each unit in degrees, [units]."""
        return self.orientations[self.values.argmax(1)]


@checked
def tuning(
    model: Model,
    layer: str,
    units: Sequence[int],
    stimulus: str | Callable[..., np.ndarray] = "curve",
    *,
    orientations: int = 120,
    size: int = 96,
    batch_size: int = 32,
    **shape: Any,
) -> Tuning:
    """Computes the activations of units for one stimulus at equally spaced orientations.

    Args:
        model: the model.
        layer: name of a convolutional layer.
        units: channels of the layer.
        stimulus: a name in `STIMULI`, or a function of (size, orientation) that returns [size, size, 3] in [0, 1].
        orientations: number of orientations from 0 to 360 degrees.
        size: height and width of the stimuli in pixels.
        batch_size: number of stimuli in a batch.
        shape: parameters of the stimulus, such as `radius=20`.

    Raises:
        ValueError: a unit or stimulus does not exist, the stimulus has no such parameter, or the layer is fully
            connected.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = tuning(TinyInceptionV1(), "mixed3b", [70, 65], "curve", orientations=8, radius=16)
        >>> found.values.shape, found.orientations[:3]
        ((2, 8), array([ 0., 45., 90.]))
    """
    draw = _stimulus(stimulus)
    _check_parameters(draw, shape)
    wanted = check_units(model, layer, units)
    side, count = checks.whole(size, "size", 1), checks.whole(orientations, "orientations", 1)
    checks.fits((count, side, side, 3), "The batch of stimuli")
    angles = np.arange(count) * 360.0 / count
    pictures = np.stack([draw(side, float(angle), **shape) for angle in angles])
    checks.finite_values(pictures, "The drawn stimulus")
    values = middle_activations(model, layer, pictures, batch_size)[:, wanted].T
    shown = pictures[:: max(1, len(pictures) // 8)]
    return Tuning(layer, tuple(wanted), angles, values, shown)


def _stimulus(stimulus: str | Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    return stimulus if callable(stimulus) else STIMULI[checks.choice(stimulus, "stimulus", STIMULI)]


def _check_parameters(draw: Callable[..., np.ndarray], names: Iterable[str]) -> None:
    """Checks names of parameters of a stimulus, besides its size and orientation.

    Raises:
        ValueError: the stimulus does not have one of these parameters.
    """
    own = list(inspect.signature(draw).parameters.values())[2:]
    known = [one.name for one in own if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]
    unknown = [name for name in names if name not in known]
    if unknown and not any(one.kind is one.VAR_KEYWORD for one in own):
        what = getattr(draw, "__name__", type(draw).__name__)
        raise ValueError(f"The stimulus {what} has no parameter {unknown[0]!r}: it has {', '.join(known) or 'none'}.")


@strictly
@checked
def middle_activations(model: Model, layer: str, pictures: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Computes the activations in the middle of a layer, float32 [N, C], for pictures [N, H, W, 3] in [0, 1].

    Raises:
        ValueError: the layer is fully connected.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> middle_activations(TinyInceptionV1(), "mixed3b", np.zeros((2, 32, 32, 3), np.float32)).shape
        (2, 120)
    """
    found = []
    for start in range(0, len(pictures), checks.whole(batch_size, "batch_size", 1)):
        with torch.no_grad():
            images = as_batch(model, pictures[start : start + batch_size])
            value = read_layers(model, images, [layer])[layer].places()
        found.append(value[:, :, value.shape[2] // 2, value.shape[3] // 2].float().cpu().numpy())
    return np.concatenate(found)


# Two parameters ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TuningMap:
    """Activations of units by the orientation and another parameter of a stimulus.

    Attributes:
        layer: name of the layer.
        units: channels of the layer.
        orientations: degrees, [n].
        parameter: name of the other parameter, such as `radius`.
        settings: values of the other parameter, [m].
        values: activations in the middle of the layer, [units, m, n].
        stimuli: the stimulus for each value of the parameter at orientation 0, [m, size, size, 3].
    """

    layer: str
    units: tuple[int, ...]
    orientations: np.ndarray
    parameter: str
    settings: np.ndarray
    values: np.ndarray
    stimuli: np.ndarray

    @property
    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """The parameter value and orientation (degrees) of the largest activation of each unit, [units] each."""
        rows, columns = np.divmod(self.values.reshape(len(self.units), -1).argmax(1), len(self.orientations))
        return self.settings[rows], self.orientations[columns]


@checked
def tuning_map(
    model: Model,
    layer: str,
    units: Sequence[int],
    stimulus: str | Callable[..., np.ndarray],
    parameter: str,
    settings: Sequence[float],
    **options: Any,
) -> TuningMap:
    """Computes the activations of units by the orientation and another parameter of a stimulus.

    These are the heat maps of Curve Detectors (`"curve"` by `"radius"`) and of High-Low Frequency Detectors
    (`"high_low_frequency"` by `"ratio"`).

    Args:
        model: the model.
        layer: name of a convolutional layer.
        units: channels of the layer.
        stimulus: as for `tuning`.
        parameter: name of a parameter of the stimulus.
        settings: values of the parameter.
        options: as for `tuning`.

    Raises:
        ValueError: `settings` is empty, the stimulus has no such parameter, or as `tuning`.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = tuning_map(TinyInceptionV1(), "mixed3b", [70], "curve", "radius", [8, 16], orientations=4)
        >>> found.values.shape
        (1, 2, 4)
    """
    given = [checks.number(value, parameter) for value in checks.items(settings, "settings", "a list of numbers")]
    if not given:
        raise ValueError(f"No value of {checks.shown(parameter)} is given: pass at least one in settings.")
    _check_parameters(_stimulus(stimulus), [parameter])
    rows = [tuning(model, layer, units, stimulus, **{**options, parameter: value}) for value in given]
    values, stimuli = np.stack([row.values for row in rows], 1), np.stack([row.stimuli[0] for row in rows])
    return TuningMap(layer, rows[0].units, rows[0].orientations, parameter, np.array(given), values, stimuli)


# Plots -------------------------------------------------------------------------------------------

_HEAT = np.array(
    [[0.27, 0.00, 0.33], [0.23, 0.32, 0.55], [0.13, 0.57, 0.55], [0.37, 0.79, 0.38], [0.99, 0.91, 0.14]], np.float32
)


@checked
def heat_picture(values: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Maps activations to colors, from dark violet for 0 over green to yellow for the largest.

    Args:
        values: [...]; negative values are shown as 0.
        largest: the value shown as yellow; the largest by default.

    Returns:
        float32 [..., 3] in [0, 1].

    Example:
        >>> import numpy as np
        >>> heat_picture(np.array([0.0, 1.0]))
        array([[0.27, 0.  , 0.33],
               [0.99, 0.91, 0.14]], dtype=float32)
    """
    scale = float(np.max(values)) if largest is None else largest
    share = np.clip(values / max(scale, 1e-12), 0, 1)
    steps = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(share, steps, channel) for channel in _HEAT.T], -1).astype(np.float32)


@checked
def polar_picture(orientations: np.ndarray, values: np.ndarray, size: int = 160) -> np.ndarray:
    """Draws the polar plot of a tuning curve: the radius is the activation, and 0 degrees points to the right.

    Args:
        orientations: degrees, [n].
        values: activations, [n]; negative values are drawn as 0.
        size: height and width in pixels.

    Returns:
        float32 [size, size, 3] in [0, 1].

    Example:
        >>> import numpy as np
        >>> polar_picture(np.array([0.0, 120.0, 240.0]), np.array([1.0, 0.0, 0.0]), 32).shape
        (32, 32, 3)
    """
    inside, ground = _polar(orientations, values, size)
    return (ground * (1 - inside) + inside * np.array([0.90, 0.48, 0.20])).astype(np.float32)


@checked
def polar_family_picture(orientations: np.ndarray, values: np.ndarray, size: int = 320) -> np.ndarray:
    """Draws the tuning curves of several units in one polar plot, each in its own hue.

    Args:
        orientations: degrees, [n].
        values: activations, [units, n]; the largest of each unit reaches the rim.
        size: height and width in pixels.

    Returns:
        float32 [size, size, 3] in [0, 1].

    Example:
        >>> import numpy as np
        >>> polar_family_picture(np.array([0.0, 120.0, 240.0]), np.eye(3)[:2], 32).shape
        (32, 32, 3)
    """
    if values.ndim != 2 or not len(values):
        raise ValueError(f"values is an array [units, n], not {checks.shown(values)}.")
    _, ground = _polar(orientations, values[0], size)
    picture = np.broadcast_to(ground, (size, size, 3))
    for number, one in enumerate(values):
        inside, _ = _polar(orientations, one, size)
        hue = np.array(colorsys.hsv_to_rgb(number / len(values), 0.75, 0.9))
        picture = picture * (1 - 0.6 * inside) + 0.6 * inside * hue
    return picture.astype(np.float32)


def _polar(orientations: np.ndarray, values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the coverage of each pixel by a polar plot, and the background with its rim, both [size, size, 1]."""
    checks.fits((checks.whole(size, "size", 1), size, 3), "The plot")
    if orientations.ndim != 1 or not orientations.size or values.shape != orientations.shape:
        raise ValueError(
            f"values has one number for each of the orientations [n], not {checks.shown(values)} for "
            f"{checks.shown(orientations)}."
        )
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle = np.rad2deg(np.arctan2(-y, x)) % 360
    order = np.argsort(orientations)
    reach = np.interp(angle, orientations[order], np.maximum(values[order], 0), period=360)
    radius = np.hypot(x, y) / (size / 2 - 2)
    share = reach / max(float(np.maximum(values, 0).max()), 1e-12)
    inside = np.clip((share - radius) * size / 2 + 0.5, 0, 1)[..., None]
    rim = np.clip(1.5 - np.abs(radius - 1) * size / 2, 0, 1)[..., None]
    return inside, 1 - 0.25 * rim
