"""Tuning curves: Curve Detectors (2020), Curve Circuits (2021) and High-Low Frequency Detectors (2021).

The articles do not give the width of their strokes, the distance from the center, or the zero and direction of angles.
So the checks compare each unit's preferred orientation, up to one shift and direction for all units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.tuning import tuning
from parity_tests.published.checks import check, require
from parity_tests.published.files import Published, Recorder

CURVES = "cd_radial_tuning_curves.npz"
LINES = "cc_radial_lines_mixed3a.npz"
EDGES = "fe_tuning_responses_decoded.npz"

CURVE_LAYERS = ("conv2d2", "mixed3a", "mixed3b", "mixed4a")
LINE_UNITS = (227, 0, 75, 146, 69, 169, 57, 154, 27, 134, 150, 240)  # the units that the article calls lines
ORIENTATIONS = 60
BOUND = 18.0  # degrees: half the distance between neighbours, as ten units of a family share a circle

Peaks = Mapping[str, np.ndarray]


def _peaks(model: Model, layer: str, units: Sequence[int], stimulus: str) -> np.ndarray:
    """Degrees."""
    return tuning(model, layer, units, stimulus, orientations=ORIENTATIONS).peaks


def _published_peaks(curves: np.ndarray) -> np.ndarray:
    """Degrees, of curves [units, n] over the whole circle."""
    return curves.argmax(1) * 360.0 / curves.shape[1]


def _apart(a: np.ndarray, b: np.ndarray, period: float) -> np.ndarray:
    """Degrees between orientations that repeat themselves."""
    gap = np.abs(a - b) % period
    return np.minimum(gap, period - gap)


def _same_peaks(what: str, found: np.ndarray, published: np.ndarray, period: float = 360) -> None:
    """Peaks as published, once both count from the same side and the same way."""
    ways = [(sign, start) for sign in (1, -1) for start in range(0, int(period), 90)]
    middle = min(float(np.median(_apart(sign * found + start, published, period))) for sign, start in ways)
    require(middle <= BOUND, f"{what}: peaks are off by {middle:.0f} degrees in the middle; the bound is {BOUND:.0f}.")


def _lively(model: Model, layer: str, stimulus: str, count: int) -> tuple[list[int], np.ndarray]:
    """The units of a layer that answer most differently to different orientations, and their curves."""
    found = tuning(model, layer, range(model.network.layers[layer].channels), stimulus, orientations=ORIENTATIONS)
    units = np.argsort(-np.ptp(found.values, 1))[:count]
    return units.tolist(), found.values[units]


def _record_curves(model: Model, recorder: Recorder) -> None:
    arrays = {}
    for layer in CURVE_LAYERS:
        units, curves = _lively(model, layer, "curve", 4)
        arrays |= {f"{layer}_units": np.asarray(units), f"{layer}_act": curves}
    recorder.arrays(CURVES, arrays)


@check("curve_tuning", CURVES, record=_record_curves)
def curve_tuning(model: Model, published: Published) -> None:
    """The orientation of a curve that 46 units of four layers like best."""
    arrays = published.arrays(CURVES)
    found = [_peaks(model, layer, arrays[f"{layer}_units"].tolist(), "curve") for layer in CURVE_LAYERS]
    theirs = [_published_peaks(arrays[f"{layer}_act"]) for layer in CURVE_LAYERS]
    _same_peaks("curves", np.concatenate(found), np.concatenate(theirs))


def _record_lines(model: Model, recorder: Recorder) -> None:
    units, curves = _lively(model, "mixed3a", "line", 6)
    act = np.zeros((max(units) + 1, curves.shape[1]), np.float32)
    act[units] = curves
    recorder.arrays(LINES, {"act": act, "units": np.asarray(units)})


@check("line_tuning", LINES, record=_record_lines)
def line_tuning(model: Model, published: Published) -> None:
    """The orientation of a line that mixed3a's twelve line detectors like best."""
    arrays = published.arrays(LINES)
    units = list(arrays.get("units", LINE_UNITS))  # the published file has all units, and does not name these
    _same_peaks("lines", _peaks(model, "mixed3a", units, "line"), _published_peaks(arrays["act"][units]), 180)


def _record_edges(model: Model, recorder: Recorder) -> None:
    units, curves = _lively(model, "mixed3a", "high_low_frequency", 6)
    recorder.arrays(EDGES, {"units": np.asarray(units), "resp": np.repeat(curves[:, None], 2, 1)})


@check("high_low_frequency_tuning", EDGES, record=_record_edges)
def edge_tuning(model: Model, published: Published) -> None:
    """The orientation of an edge between frequencies that six units of mixed3a like best, at the steepest ratio."""
    arrays = published.arrays(EDGES)
    responses = arrays["resp"].astype(np.float32)
    steepest = responses[:, -max(1, responses.shape[1] // 4) :].mean(1)  # rows go from ratio 1 to ratio 10
    found = _peaks(model, "mixed3a", arrays["units"].tolist(), "high_low_frequency")
    _same_peaks("high-low frequency edges", found, _published_peaks(steepest))
