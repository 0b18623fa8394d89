"""How units answer to drawn stimuli: curves, lines and high-low frequency edges, turned through all orientations.

Cammarata et al.: Curve Detectors and Curve Circuits (Distill, 2020 and 2021); Schubert et al.: High-Low Frequency
Detectors (2021). Stimuli are anti-aliased by their distance functions; the unit looked at is the one in the middle.
"""

from __future__ import annotations

import colorsys
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.recipes.inputs import as_batch, check_middle, check_units

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
    """Coordinates of pixels around the middle, turned by an angle in degrees (counter-clockwise on screen)."""
    half = (size - 1) / 2
    y, x = np.mgrid[:size, :size] - half
    turn = np.deg2rad(angle)
    return x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)


def _inked(distance: np.ndarray, width: float, ink: float, background: float) -> np.ndarray:
    """A stroke of some width around distance 0, one pixel of slope at its edges, [H, W, 3]."""
    share = np.clip(width / 2 - np.abs(distance) + 0.5, 0, 1)
    grey = background + (ink - background) * share
    return np.repeat(grey[..., None], 3, -1).astype(np.float32)


def curve(
    size: int,
    orientation: float,
    *,
    radius: float = 20.0,
    width: float = 3.0,
    ink: float = INK,
    background: float = BACKGROUND,
) -> np.ndarray:
    """A circular arc through the middle that bends to one side.

    Args:
        size: height and width in pixels.
        orientation: degrees by which it is turned counter-clockwise; at 0 its centre lies to the right.
        radius: of the circle, in pixels.
        width: of the stroke, in pixels.
        ink, background: grey values.

    Returns:
        [size, size, 3] in [0, 1]; half of the circle.
    """
    u, v = _coordinates(size, orientation)
    distance = np.hypot(u - radius, v) - radius
    far = np.where(u > radius, np.hypot(u - radius, np.abs(v) - radius), 0)  # the half on the other side is left out
    return _inked(np.where(u > radius, np.maximum(np.abs(distance), far), distance), width, ink, background)


def line(
    size: int, orientation: float, *, width: float = 3.0, ink: float = INK, background: float = BACKGROUND
) -> np.ndarray:
    """A straight line through the middle, upright at 0 degrees and turned counter-clockwise; as `curve`."""
    u, _ = _coordinates(size, orientation)
    return _inked(u, width, ink, background)


def high_low_frequency(
    size: int, orientation: float, *, period: float = 4.0, ratio: float = 8.0, sharpness: float = 1.0
) -> np.ndarray:
    """An edge between fine stripes and coarse ones.

    Args:
        size: height and width in pixels.
        orientation: degrees; at 0 the fine stripes are on the left, and all stripes are upright.
        period: of the fine stripes, in pixels.
        ratio: how many times longer that of the coarse ones is.
        sharpness: of the transition, per pixel.

    Returns:
        [size, size, 3] in [0, 1].
    """
    u, _ = _coordinates(size, orientation)
    share = 1 / (1 + np.exp(np.clip(sharpness * u, -50, 50)))  # 1 where it is fine
    fine, coarse = (np.sin(2 * np.pi * u / length) for length in (period, period * ratio))
    grey = 0.5 + 0.5 * (share * fine + (1 - share) * coarse)
    return np.repeat(grey[..., None], 3, -1).astype(np.float32)


def grating(size: int, orientation: float, *, period: float = 4.0) -> np.ndarray:
    """Stripes of one period in pixels, upright at 0 degrees, mid-grey in the middle; as `curve`."""
    u, _ = _coordinates(size, orientation)
    return np.repeat((0.5 + 0.5 * np.sin(2 * np.pi * u / period))[..., None], 3, -1).astype(np.float32)


STIMULI: dict[str, Callable[..., np.ndarray]] = {
    "curve": curve,
    "grating": grating,
    "line": line,
    "high_low_frequency": high_low_frequency,
}
"""What can be drawn, by name."""


@dataclass(frozen=True)
class Tuning:
    """How units answer to a stimulus at all orientations.

    Attributes:
        layer: the layer.
        units: its channels.
        orientations: degrees, [n].
        values: activations of the units in the middle, [units, n].
        stimuli: some of what was shown, [k, size, size, 3].
    """

    layer: str
    units: tuple[int, ...]
    orientations: np.ndarray
    values: np.ndarray
    stimuli: np.ndarray

    @property
    def peaks(self) -> np.ndarray:
        """The orientation that each unit answers to most, degrees."""
        return self.orientations[self.values.argmax(1)]


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
    """Activations of units to one stimulus at equally spaced orientations.

    Args:
        model: the model.
        layer: a convolutional layer.
        units: its channels.
        stimulus: a name in `STIMULI`, or a function of (size, orientation).
        orientations: how many, from 0 to 360 degrees.
        size: height and width of the stimuli, in pixels.
        batch_size: stimuli that are shown at a time.
        shape: for the stimulus, such as `radius=20`.

    Raises:
        ValueError: a unit or stimulus does not exist, the stimulus has no such parameter, or the layer is fully
            connected.
        converters.LayerNotFoundError: there is no such layer.
    """
    draw = _stimulus(stimulus)
    _check_parameters(draw, shape)
    wanted = check_units(model, layer, units)
    angles = np.arange(checks.whole(orientations, "orientations", 1)) * 360.0 / orientations
    pictures = np.stack([draw(checks.whole(size, "size", 1), float(angle), **shape) for angle in angles])
    checks.finite_values(pictures, "What the stimulus draws")
    values = middle_activations(model, layer, pictures, batch_size)[:, wanted].T
    shown = pictures[:: max(1, len(pictures) // 8)]
    return Tuning(layer, tuple(wanted), angles, values, shown)


def _stimulus(stimulus: Any) -> Callable[..., np.ndarray]:
    if callable(stimulus):
        return stimulus
    if not isinstance(stimulus, str) or stimulus not in STIMULI:
        raise ValueError(f"stimulus is one of {', '.join(map(repr, STIMULI))} or a function, not {stimulus!r}.")
    return STIMULI[stimulus]


def _check_parameters(draw: Callable[..., np.ndarray], names: Iterable[str]) -> None:
    """Refuses what a stimulus has no parameter for, besides its size and orientation.

    Raises:
        ValueError: it has none of such a name.
    """
    own = list(inspect.signature(draw).parameters.values())[2:]
    known = [one.name for one in own if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]
    unknown = [name for name in names if name not in known]
    if unknown and not any(one.kind is one.VAR_KEYWORD for one in own):
        what = getattr(draw, "__name__", type(draw).__name__)
        raise ValueError(f"The stimulus {what} has no parameter {unknown[0]!r}: it has {', '.join(known) or 'none'}.")


@strictly
def middle_activations(model: Model, layer: str, pictures: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Activations in the middle of a layer, [N, C], for pictures [N, H, W, 3].

    Raises:
        ValueError: the layer is fully connected.
        converters.LayerNotFoundError: there is no such layer.
    """
    found = []
    for start in range(0, len(pictures), checks.whole(batch_size, "batch_size", 1)):
        with torch.no_grad():
            value = model.activations(as_batch(model, pictures[start : start + batch_size]), [layer])[layer]
        check_middle(value, layer)
        found.append(value[:, :, value.shape[2] // 2, value.shape[3] // 2].float().cpu().numpy())
    return np.concatenate(found)


# Two parameters at once --------------------------------------------------------------------------


@dataclass(frozen=True)
class TuningMap:
    """How units answer to a stimulus at all orientations and at several values of another of its parameters.

    Attributes:
        layer: the layer.
        units: its channels.
        orientations: degrees, [n].
        parameter: the other parameter's name, such as `radius`.
        settings: its values, [m].
        values: activations of the units in the middle, [units, m, n].
        stimuli: one for each value, at orientation 0, [m, size, size, 3].
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
        """Where each unit answers most: (values of the parameter, orientations in degrees), [units] each."""
        rows, columns = np.divmod(self.values.reshape(len(self.units), -1).argmax(1), len(self.orientations))
        return self.settings[rows], self.orientations[columns]


def tuning_map(
    model: Model,
    layer: str,
    units: Sequence[int],
    stimulus: str | Callable[..., np.ndarray],
    parameter: str,
    settings: Sequence[float],
    **options: Any,
) -> TuningMap:
    """Activations of units by orientation and by another parameter of a stimulus.

    The heat maps of Curve Detectors (`"curve"` by `"radius"`) and of High-Low Frequency Detectors
    (`"high_low_frequency"` by `"ratio"`).

    Args:
        model: the model.
        layer: a convolutional layer.
        units: its channels.
        stimulus: as for `tuning`.
        parameter: one of the stimulus's own parameters.
        settings: its values.
        options: as for `tuning`.

    Raises:
        ValueError: no value is given, the stimulus has no such parameter, or as `tuning`.
        converters.LayerNotFoundError: there is no such layer.
    """
    given = [checks.number(value, parameter) for value in checks.items(settings, "settings", "a list of numbers")]
    if not given:
        raise ValueError(f"No value of {parameter!r} is given.")
    _check_parameters(_stimulus(stimulus), [parameter])
    rows = [tuning(model, layer, units, stimulus, **{**options, parameter: value}) for value in given]
    return TuningMap(
        layer,
        rows[0].units,
        rows[0].orientations,
        parameter,
        np.array(given),
        np.stack([row.values for row in rows], 1),
        np.stack([row.stimuli[0] for row in rows]),
    )


# Pictures of them --------------------------------------------------------------------------------

_HEAT = np.array(
    [[0.27, 0.00, 0.33], [0.23, 0.32, 0.55], [0.13, 0.57, 0.55], [0.37, 0.79, 0.38], [0.99, 0.91, 0.14]], np.float32
)


def heat_picture(values: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Activations as colours, from dark violet for none over green to yellow for the largest.

    Args:
        values: [...]; negative ones are shown as 0.
        largest: what is yellow; the largest value by default.

    Returns:
        [..., 3] in [0, 1].
    """
    scale = float(np.max(values)) if largest is None else largest
    share = np.clip(values / max(scale, 1e-12), 0, 1)
    steps = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(share, steps, channel) for channel in _HEAT.T], -1).astype(np.float32)


def polar_picture(orientations: np.ndarray, values: np.ndarray, size: int = 160) -> np.ndarray:
    """One unit's tuning as the articles draw it: a shape whose radius is the activation, 0 degrees to the right.

    Args:
        orientations: degrees, [n].
        values: [n]; negative ones are drawn as 0.
        size: height and width in pixels.

    Returns:
        [size, size, 3] in [0, 1].
    """
    inside, ground = _polar(orientations, values, size)
    return (ground * (1 - inside) + inside * np.array([0.90, 0.48, 0.20])).astype(np.float32)


def polar_family_picture(orientations: np.ndarray, values: np.ndarray, size: int = 320) -> np.ndarray:
    """A family of units in one polar plot, each in a hue of its own: whether they cover all orientations among them.

    Args:
        orientations: degrees, [n].
        values: [units, n]; the largest of each reaches the rim.
        size: height and width in pixels.

    Returns:
        [size, size, 3] in [0, 1].
    """
    _, ground = _polar(orientations, values[0], size)
    picture = np.broadcast_to(ground, (size, size, 3))
    for number, one in enumerate(values):
        inside, _ = _polar(orientations, one, size)
        hue = np.array(colorsys.hsv_to_rgb(number / len(values), 0.75, 0.9))
        picture = picture * (1 - 0.6 * inside) + 0.6 * inside * hue
    return picture.astype(np.float32)


def _polar(orientations: np.ndarray, values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel is covered by a polar plot, and the ground with its rim; [size, size, 1] each."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle = np.rad2deg(np.arctan2(-y, x)) % 360
    order = np.argsort(orientations)
    reach = np.interp(angle, orientations[order], np.maximum(values[order], 0), period=360)
    radius = np.hypot(x, y) / (size / 2 - 2)
    share = reach / max(float(np.maximum(values, 0).max()), 1e-12)
    inside = np.clip((share - radius) * size / 2 + 0.5, 0, 1)[..., None]
    rim = np.clip(1.5 - np.abs(radius - 1) * size / 2, 0, 1)[..., None]
    return inside, 1 - 0.25 * rim
