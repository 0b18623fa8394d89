"""Figures of Curve Detectors (2020) and Curve Circuits (2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lucid_port.figures.base import Head, Panel, Result, Settings, Table, figure
from lucid_port.figures.common import OF_ONE_LAYER, for_models, layer_and_units, names_of, neuron_pictures, short
from lucid_port.figures.diagram import Diagram, with_axes
from lucid_port.figures.drawing import enlarged
from lucid_port.recipes.inputs import load_image
from lucid_port.recipes.tuning import (
    Tuning,
    heat_picture,
    polar_family_picture,
    polar_picture,
    tuning,
    tuning_map,
)
from lucid_port.recipes.weights import ExpandedWeights, edited_copy, expanded_weights, signed_picture

CURVES = names_of("mixed3b", [379, 406, 385, 343, 342, 388, 324, 340, 330, 349])
EARLY_CURVES = [147, 189, 81, 104, 92, 145, 95, 163, 171, 71, 137]
LINES = [107, 31, 9, 112, 133, 103, 97, 125, 20, 33]
CAFFE_CURVES = names_of("inception_3b_output", [324, 386, 394, 330, 358, 335, 326, 321, 408, 383])
CAFFE_EARLY_CURVES = [130, 84, 92, 173, 109, 83, 81, 107, 64, 127, 171]
TINY_CURVES = names_of("mixed3b", [70, 65, 40, 48, 46, 78, 61, 42, 37])
TINY_EARLY_CURVES = [31, 30, 22, 21, 43, 39, 18, 37, 29, 25]
CAFFE_LINES = [46, 16, 187, 129, 42, 44, 139, 151, 1, 72]


POLAR = 92  # width of a polar plot, in pixels


def _by_peak(tuned: Tuning, turn: float = 360.0) -> np.ndarray:
    """The order of the units by the orientation of their largest activation."""
    return np.argsort(tuned.peaks % turn, kind="stable")


def _numbers(tuned: Tuning) -> dict[str, Any]:
    return {
        "units": names_of(tuned.layer, tuned.units),
        "peaks": tuned.peaks,
        "largest": tuned.values.max(1),
        "orientations": tuned.orientations,
        "values": tuned.values,
    }


# Tuning ------------------------------------------------------------------------------------------


@figure(
    "cd-radial-tuning",
    "Curve detectors respond to curves of one orientation",
    of="the radial tuning curves",
    steps=512,
    fast_steps=32,
    options={
        "InceptionV1": {
            "units": CURVES,
            "radius": 20.0,
            "others": {
                "conv2d2": {"units": [32, 171, 111, 80, 140, 180, 39, 130, 63, 182, 117], "radius": 6.0},
                "mixed3a": {"units": EARLY_CURVES, "radius": 12.0},
                "mixed4a": {"units": [26, 50, 58, 62, 95, 168, 403, 406, 407, 415, 424, 428, 436, 437], "radius": 30.0},
            },
        },
        "InceptionV1_caffe": {
            "units": CAFFE_CURVES,
            "radius": 20.0,
            "others": {
                "inception_3a_output": {"units": CAFFE_EARLY_CURVES, "radius": 12.0},
                "inception_4a_output": {
                    "units": [361, 277, 217, 328, 315, 206, 255, 281, 233, 283],
                    "radius": 20.0,
                },
            },
        },
        "TinyInceptionV1": {
            "units": TINY_CURVES,
            "radius": 16.0,
            "others": {
                "mixed3a": {"units": TINY_EARLY_CURVES, "radius": 12.0},
                "mixed4a": {"units": [4, 2, 43, 42, 104, 54, 37, 3], "radius": 20.0},
            },
        },
    },
    takes=OF_ONE_LAYER,
    fast_options={"size": 56, "orientations": 72},
    see="Each unit responds most to arcs of one orientation. Together, the units cover the circle, except for a part: "
    "InceptionV1_caffe's layer 3b is silent from 125 to 140 degrees, and TinyInceptionV1's units are silent for arcs "
    "whose center lies to the left. Some units respond to a second orientation, too; in the layers before and after, "
    "up to half as much. At 0 degrees, the center of the arc lies to the right, and angles grow counter-clockwise.",
)
def radial(settings: Settings) -> Result:
    """Polar plots of the responses to arcs of curve detectors in one layer and in the layers before and after."""
    options = settings.options
    layer, units = layer_and_units(settings.units)
    tuned = _tuned(settings, layer, units, options.get("radius", 20.0))
    order = _by_peak(tuned)
    names = [names_of(tuned.layer, tuned.units)[number] for number in order]
    pictures = neuron_pictures(settings, names)
    others = options.get("others", {})
    columns = max([len(order), *(len(what["units"]) for what in others.values())])
    rose = polar_family_picture(tuned.orientations, tuned.values[order], ROSE)
    around = _around(rose, pictures, [str(tuned.units[number]) for number in order], tuned.peaks[order])
    panels = [
        Panel([around], title=f"Units of {short(layer)} at the orientations of the arcs that excite them most"),
        _polar_panel(tuned, order, "Activations by the orientation of arcs", columns=columns),
    ]
    data = {layer: _numbers(tuned)}
    for other, what in others.items():
        there = _tuned(settings, other, what["units"], what["radius"])
        title = f"{short(other)}, arcs of radius {what['radius']:g}"
        panels.append(_polar_panel(there, _by_peak(there), title, columns=columns))
        data[other] = _numbers(there)
    panels.append(Panel(tuned.stimuli, [f"{angle:.0f}°" for angle in _shown_angles(tuned)], "Arcs, reduced"))
    return Result(panels, data)


ROSE, PETAL, RIM = 400, 104, 300  # width of the rose and of a unit's picture, and the circle of pictures, in pixels


def _around(rose: np.ndarray, pictures: np.ndarray, names: Sequence[str], angles: np.ndarray) -> np.ndarray:
    """The pictures of units around a rose, each at its angle in degrees, or as near as its neighbours allow."""
    side = 2 * RIM + PETAL + 40
    diagram = Diagram(side, side)
    diagram.picture(rose, ((side - ROSE) // 2, (side - ROSE) // 2), ROSE)
    for picture, name, angle in zip(pictures, names, _spread(angles), strict=True):
        turn = np.deg2rad(angle)
        x, y = side / 2 + RIM * np.cos(turn), side / 2 - RIM * np.sin(turn)
        diagram.picture(picture, (round(x - PETAL / 2), round(y - PETAL / 2) - 8), PETAL, name)
    return diagram.drawn()


def _spread(angles: np.ndarray) -> np.ndarray:
    """Sorted angles in degrees, moved apart until neighbours have room for their pictures, if there is room."""
    places = np.asarray(angles, float).copy()
    least = min(1.25 * np.rad2deg(PETAL / RIM), 360 / max(len(places), 1))
    for _ in range(200):
        gaps = np.diff(places, append=places[:1] + 360)
        push = np.maximum(least - gaps, 0) / 2
        places += np.roll(push, 1) - push
    return places


def _tuned(settings: Settings, layer: str, units: Sequence[int], radius: float) -> Tuning:
    return tuning(
        settings.model, layer, units, "curve", orientations=settings.options.get("orientations", 180), radius=radius
    )


def _shown_angles(tuned: Tuning) -> np.ndarray:
    return tuned.orientations[:: max(1, len(tuned.orientations) // 8)]


def _polar_panel(
    tuned: Tuning, order: Sequence[int] | np.ndarray, title: str, size: int = POLAR, columns: int = 10
) -> Panel:
    pictures = [polar_picture(tuned.orientations, tuned.values[number], size) for number in order]
    return Panel(pictures, [_peak(tuned, number) for number in order], title, columns=columns)


def _peak(tuned: Tuning, number: int) -> str:
    """The caption of a unit: the orientation of its largest activation and that activation, or "silent"."""
    largest = tuned.values[number].max()
    return f"{tuned.units[number]}: " + (f"{tuned.peaks[number]:.0f}°, {largest:.3g}" if largest > 0 else "silent")


@figure(
    "cd-synthetic-curves",
    "Curve detectors by orientation and by radius",
    of="the heat maps of synthetic curves",
    steps=0,
    fast_steps=0,
    options=for_models(
        CURVES, CAFFE_CURVES, TINY_CURVES, seeded=(), radii=[float(radius) for radius in range(4, 84, 4)]
    ),
    takes=OF_ONE_LAYER,
    fast_options={"orientations": 45, "radii": [6.0, 10.0, 16.0, 24.0, 40.0, 64.0]},
    see="The map of each unit has one bright streak: arcs of one orientation over a range of radii. Very small arcs "
    "are dots, to which a unit may respond in most orientations (InceptionV1_caffe's 330). The orientation of the arc "
    "runs from left to right through 360 degrees, and its radius grows from top to bottom. The article's unit is the "
    "standard deviation over ImageNet; here, each map is scaled to its own largest activation, which the caption "
    "states.",
)
def synthetic(settings: Settings) -> Result:
    """Activations by the orientation and radius of an arc, one heat map for each unit."""
    layer, units = layer_and_units(settings.units)
    found = tuning_map(
        settings.model,
        layer,
        units,
        "curve",
        "radius",
        settings.options["radii"],
        orientations=settings.options.get("orientations", 120),
        size=settings.options.get("stimulus_size", 128),
    )
    radii, angles = found.best
    order = np.argsort(angles, kind="stable")
    pictures = [_map(found.values[number], found.settings) for number in order]
    captions = [
        f"{short(layer)}:{units[number]}: {found.values[number].max():.3g} at {angles[number]:.0f}°, "
        f"radius {radii[number]:g}"
        for number in order
    ]
    shown = np.linspace(0, len(found.settings) - 1, min(len(found.settings), 8)).round().astype(int)
    arcs = [load_image(found.stimuli[number], ARC) for number in shown]
    panels = [
        Panel(pictures, captions, "Activations of each unit by orientation and radius of an arc", columns=2),
        Panel(arcs, [f"radius {found.settings[number]:g}" for number in shown], "Arcs"),
    ]
    data = {"units": settings.units, "best_radius": radii, "best_orientation": angles}
    return Result(panels, {**data, "radii": found.settings, "values": found.values})


ARC, MAP_SIZE = 96, (120, 360)  # width of an arc's picture, and the height and width of a map, in pixels


def _map(values: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """A heat map by orientation and radius, with axes."""
    shown = heat_picture(enlarged(values / max(float(values.max()), 1e-12), MAP_SIZE, smooth=False))
    ends = [((at + 0.5) / len(radii), f"{radii[at]:g}") for at in (0, len(radii) // 2, len(radii) - 1)]
    return with_axes(shown, [(part / 4, f"{90 * part}°") for part in range(5)], ends, ("orientation", "radius"))


# Circuits ----------------------------------------------------------------------------------------


@figure(
    "cc-curve-weights",
    "Curve detectors are built from earlier curves and lines",
    of="the weights between early curves, lines and curve detectors",
    steps=128,
    fast_steps=8,
    options={
        "InceptionV1": {
            "units": CURVES,
            "sources": {
                "mixed3a": {"units": EARLY_CURVES, "stimulus": "curve", "size": 5},
                "conv2d2": {"units": LINES, "stimulus": "line", "size": 9},
            },
        },
        "InceptionV1_caffe": {
            "units": CAFFE_CURVES,
            "sources": {
                "inception_3a_output": {"units": CAFFE_EARLY_CURVES, "stimulus": "curve", "size": 5},
                "conv2_3x3/conv2_3x3": {"units": CAFFE_LINES, "stimulus": "line", "size": 15},
            },
        },
        "TinyInceptionV1": {
            "units": TINY_CURVES,
            "sources": {
                "mixed3a": {"units": TINY_EARLY_CURVES, "stimulus": "curve", "size": 3},
                "conv2d2": {"units": [32, 7, 34, 22, 24, 19, 25, 4], "stimulus": "line", "size": 9},
            },
        },
    },
    takes=OF_ONE_LAYER,
    fast_options={"orientations": 48},
    see="Rows are curve detectors and columns the units that feed them, both ordered by orientation. In the framed "
    "cells, orientations agree: there, weights excite (red) in the shape of the arc; elsewhere they cancel or inhibit "
    "(blue). Lines excite where they would touch the curve. The diagonal has a gap if the earlier layer has no "
    "units of some orientations, such as InceptionV1_caffe's 3a between 76 and 234 degrees. In TinyInceptionV1, the "
    "diagonal is hardly visible.",
)
def weights(settings: Settings) -> Result:
    """Expanded weights between units ordered by orientation, as small pictures."""
    layer, units = layer_and_units(settings.units)
    count = settings.options.get("orientations", 120)
    later = tuning(settings.model, layer, units, "curve", orientations=count)
    rows = _by_peak(later)
    names = [names_of(layer, later.units)[row] for row in rows]
    sides = _heads(settings, names, later.peaks[rows], CURVE_SIZE)
    panels, data = [], {"units": names, "orientations": later.peaks[rows]}
    for earlier, what in settings.options["sources"].items():
        shape: dict[str, Any] = {"radius": 12.0} if what["stimulus"] == "curve" else {}
        turn = 360.0 if shape else 180.0
        tuned = tuning(settings.model, earlier, what["units"], what["stimulus"], orientations=count, **shape)
        columns = _by_peak(tuned, turn)
        sources = [tuned.units[column] for column in columns]
        found = expanded_weights(
            settings.model, earlier, layer, [units[row] for row in rows], sources, size=what["size"]
        )
        angles = tuned.peaks[columns] % turn
        heads = _heads(settings, names_of(earlier, sources), angles, CURVE_SIZE if shape else LINE_SIZE)
        panels.append(_weights_table(found, heads, sides, _apart(later.peaks[rows], angles, turn) <= AGREEING))
        data[earlier] = {
            "units": found.sources,
            "orientations": angles,
            "values": found.values,
            "by_difference": _by_difference(found, later.peaks[rows], angles) if shape else None,
        }
    return Result(panels, data)


HEAD, CELL = 56, 54  # widths of a unit's picture and of its weights, in pixels
CURVE_SIZE, LINE_SIZE = 56, 36  # of renders: about what the units see
AGREEING = 30  # degrees


def _heads(settings: Settings, names: Sequence[str], angles: np.ndarray, size: int) -> list[Head]:
    """Pictures of units, with their orientations."""
    pictures = neuron_pictures(settings, names, size)
    return [
        Head(f"{name.rpartition(':')[2]}, {angle:.0f}°", load_image(picture, HEAD))
        for name, angle, picture in zip(names, angles, pictures, strict=True)
    ]


def _weights_table(found: ExpandedWeights, heads: Sequence[Head], sides: Sequence[Head], agree: np.ndarray) -> Table:
    """A table of weights, each row relative to its largest, with frames where orientations agree."""
    earlier, later = (short(layer) for layer in found.layers)
    return Table(
        [signed_picture(one, float(np.abs(row).max())) for row in found.values for one in row],
        title=f"From units of {earlier} (columns) to units of {later} (rows); frames: orientations within {AGREEING}°",
        columns=len(heads),
        scale=max(1, round(CELL / found.values.shape[-1])),
        heads=heads,
        sides=sides,
        framed=[int(number) for number in np.flatnonzero(agree)],
    )


def _apart(rows: np.ndarray, columns: np.ndarray, turn: float = 360.0) -> np.ndarray:
    """Angles between the orientations of rows and columns, [rows, columns]."""
    return np.abs((rows[:, None] - columns[None] + turn / 2) % turn - turn / 2)


def _by_difference(found: ExpandedWeights, rows: np.ndarray, columns: np.ndarray) -> dict[str, float | None]:
    """Mean weights between units whose orientations agree (within 45 degrees), cross, or oppose (135 or more)."""
    apart = _apart(rows, columns)
    total = found.values.sum((2, 3))
    chosen = {"agree": apart <= 45, "across": (apart > 45) & (apart < 135), "opposed": apart >= 135}
    return {name: float(total[mask].mean()) if mask.any() else None for name, mask in chosen.items()}


@figure(
    "cc-circuit-editing",
    "Curve detectors without their negative weights",
    of="the circuit edits and their echoes",
    steps=0,
    fast_steps=0,
    options={
        "InceptionV1": {
            "units": CURVES,
            "kernels": "mixed3b_5x5",
            "bottleneck": "mixed3b_5x5_bottleneck",
            "early_curves": EARLY_CURVES,
        },
        "InceptionV1_caffe": {
            "units": CAFFE_CURVES,
            "kernels": "inception_3b_5x5/inception_3b_5x5",
            "bottleneck": "inception_3b_5x5_reduce/inception_3b_5x5_reduce",
            "early_curves": CAFFE_EARLY_CURVES,
        },
        "TinyInceptionV1": {
            "units": TINY_CURVES,
            "kernels": "mixed3b_3x3",
            "bottleneck": "mixed3b_3x3_bottleneck",
            "early_curves": TINY_EARLY_CURVES,
        },
    },
    takes=OF_ONE_LAYER,
    fast_options={"orientations": 72},
    see="With all its weights, a curve detector responds to one orientation. Without negative weights, it responds to "
    "others, too, with an echo for arcs that run along the same line but bend the other way: inhibition makes it "
    "selective. Fed by early curves alone, it is weaker or silent; without inhibition in addition, it responds to most "
    "arcs. Captions give the peak and the largest activation. This is not exactly the article's edit. One "
    "branch of the block is edited (5x5; 3x3 in TinyInceptionV1): 'no negative weights' sets the negative weights of "
    "its last convolution to 0, and 'early curves alone' removes every other input from the 1x1 convolution before it, "
    "which keeps weights of both signs.",
)
def editing(settings: Settings) -> Result:
    """Tuning curves of the network, and of copies without some of its weights."""
    layer, units = layer_and_units(settings.units)
    count = settings.options.get("orientations", 180)
    rows = {
        name: tuning(edited_copy(settings.model, edits), layer, units, "curve", orientations=count)
        for name, edits in _edits(settings.options).items()
    }
    whole = rows[WHOLE]
    order = _by_peak(whole)
    plots = [
        polar_picture(tuned.orientations, tuned.values[number], POLAR) for tuned in rows.values() for number in order
    ]
    captions = [_peak(tuned, number).partition(": ")[2] for tuned in rows.values() for number in order]
    heads = [str(whole.units[number]) for number in order]
    title = f"Activations of units of {short(layer)} by the orientation of arcs"
    panels = [Table(plots, captions, title, columns=len(order), heads=heads, sides=list(rows))]
    data = {name: {**_numbers(tuned), "echo": _echo(tuned, whole)} for name, tuned in rows.items()}
    return Result(panels, data)


WHOLE = "All weights"
Edits = Mapping[str, Callable[[np.ndarray], np.ndarray]]


def _edits(options: Mapping[str, Any]) -> dict[str, Edits]:
    kernels, bottleneck, kept = options["kernels"], options["bottleneck"], options["early_curves"]

    def only_kept(weights: np.ndarray) -> np.ndarray:
        result = np.zeros_like(weights)
        result[..., kept] = weights[..., kept]
        return result

    def positive(weights: np.ndarray) -> np.ndarray:
        return weights.clip(0)

    return {
        WHOLE: {},
        "No negative weights": {kernels: positive},
        "Early curves alone": {bottleneck: only_kept},
        "Early curves alone, no negative weights": {bottleneck: only_kept, kernels: positive},
    }


def _echo(tuned: Tuning, whole: Tuning) -> np.ndarray:
    """Each unit's largest activation at least 150 degrees from its peak in `whole`, as a fraction of its maximum."""
    apart = np.abs((whole.orientations[None] - whole.peaks[:, None] + 180) % 360 - 180)
    opposed = np.where(apart >= 150, tuned.values, 0).max(1)
    return opposed / np.maximum(tuned.values.max(1), 1e-12)
