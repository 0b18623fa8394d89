"""Figures of Zoom In, Early Vision (2020), High-Low Frequency Detectors and Visualizing Weights (2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lucid_port.figures.base import Head, Panel, Result, Settings, Table, figure
from lucid_port.figures.common import (
    CAFFE,
    CHANNELS,
    OF_ONE_LAYER,
    SHOWN,
    TINY,
    for_models,
    layer_and_units,
    names_of,
    neuron_pictures,
    render_options,
    short,
)
from lucid_port.figures.diagram import Diagram, beside, with_axes
from lucid_port.figures.drawing import enlarged
from lucid_port.optvis import objectives
from lucid_port.optvis.objectives.from_text import check_channels
from lucid_port.recipes.feature_visualization import diversity, visualize
from lucid_port.recipes.inputs import load_image
from lucid_port.recipes.tuning import heat_picture, high_low_frequency, tuning, tuning_map
from lucid_port.recipes.weights import (
    FactoredWeights,
    expanded_weights,
    factored_connections,
    factored_weights,
    first_layer_kernels,
    signed_picture,
)

# Early vision ------------------------------------------------------------------------------------

GABORS = [9, 53, 54, 15, 22, 39, 30, 1, 3, 49, 14, 17, 62, 20, 27, 0, 10, 28, 21, 63, 45, 18, 6, 57, 41, 43, 46, 8]
CONTRASTS = [59, 23, 5, 7, 48, 29, 12, 24, 55, 13, 32, 50, 36, 37, 16, 11, 33, 34, 47, 38, 58, 2, 60, 61, 4, 51, 25]
# A kernel is a Gabor filter if color is less than 0.12 of its energy. The other units have nearly no pattern.
CAFFE_GABORS = [*range(2, 8), 13, 14, 17, 19, *range(21, 24), *range(27, 34), 35, 38, 39, *range(43, 46), 57, 58]
CAFFE_OTHERS = [1, 8, 16, 18, 20, 34, 37, 40, 55, 56, 59]


@figure(
    "ev-conv1-weights",
    "The weights of the first layer",
    of="the units of conv2d0",
    steps=0,
    fast_steps=0,
    options={
        "InceptionV1": {
            "layer": "conv2d0",
            "groups": {
                "Gabor filters": GABORS,
                "Color contrast": CONTRASTS,
                "Other units": [19, 26, 31, 35, 40, 42, 44, 52, 56],
            },
        },
        "InceptionV1_caffe": {
            "layer": "conv1_7x7_s2/conv1_7x7_s2",
            "groups": {
                "Gabor filters": CAFFE_GABORS,
                "Color contrast": [unit for unit in range(64) if unit not in (*CAFFE_GABORS, *CAFFE_OTHERS)],
                "Other units": CAFFE_OTHERS,
            },
        },
    },
    takes=OF_ONE_LAYER,
    without={
        TINY: "It recognizes drawings by edges between any two colors: none of its 16 kernels is a Gabor filter "
        "without color."
    },
    see="Each picture is one kernel, scaled from its smallest weight to its largest. Two groups are about equally "
    "large: Gabor filters, which detect edges of every orientation without color, and color contrast units, which "
    "compare a color with its opposite. A few units do neither.",
)
def first_layer(settings: Settings) -> Result:
    """The kernels of the first convolution as pictures, by group."""
    options = settings.options
    if "units" in options:
        layer, units = layer_and_units(settings.units)
        groups: Mapping[str, Sequence[int]] = {"Kernels": units}
    else:
        layer, groups = options["layer"], options["groups"]
    kernels = first_layer_kernels(settings.model, layer)
    panels = []
    for name, group in groups.items():
        check_channels(layer, group, len(kernels))
        pictures = [kernels[unit] for unit in group]
        panels.append(Panel(pictures, [str(unit) for unit in group], f"{name} ({len(group)})", columns=10, scale=9))
    return Result(panels, {"layer": layer, "groups": groups, "kernels": kernels})


# Model -> layer -> family -> channels.
FAMILIES: dict[str, dict[str, dict[str, list[int]]]] = {
    "InceptionV1": {
        "conv2d2": {"Lines": [107, 31, 9, 112, 133, 103], "Gabor textures": [89, 91, 110, 114, 123, 135]},
        "mixed3a": {
            "Lines": [227, 75, 146, 69, 169, 57],
            "Curves": [81, 104, 92, 145, 95, 163],
            "Color center-surround": [119, 34, 167, 76, 19, 30],
            "High-low frequency": [110, 180, 153, 106, 112, 186],
            "Eyes and small circles": [174, 168, 79, 125, 175],
        },
        "mixed3b": {
            "Curves": [379, 406, 385, 343, 342, 388],
            "Boundaries": [220, 402, 364, 293, 356, 151],
            "Circles and loops": [389, 384, 346, 323],
        },
    },
    CAFFE: {
        "conv2_3x3/conv2_3x3": {
            "Lines": [46, 16, 187, 129, 42, 44],
            "Color center-surround": [124, 13, 160, 33, 85, 161],
        },
        "inception_3a_output": {
            "Lines": [191, 58, 206, 145, 198, 66],
            "Curves": [84, 92, 173, 83, 64, 130],
            "High-low frequency": [148, 121, 106, 123, 100, 97],
        },
        "inception_3b_output": {
            "Curves": [324, 394, 358, 335, 326, 408],
            "Eyes and circles": [287, 466, 464, 311, 79],
        },
    },
    TINY: {
        "conv2d2": {"Lines": [32, 7, 34, 22, 24, 4]},
        "mixed3a": {
            "Lines": [47, 23, 38, 11, 26, 3],
            "Curves": [31, 30, 22, 21, 43, 39],
            "High-low frequency": [49, 48, 13, 18],
        },
        "mixed3b": {"Curves": [70, 65, 48, 78, 61, 42]},
    },
}


FAMILY_TILE = 112  # width of a picture, in pixels


def _families(layers: Mapping[str, Mapping[str, Sequence[int]]]) -> dict[str, list[str]]:
    """Title of each family -> its units."""
    return {
        f"{family} ({short(layer)})": names_of(layer, units)
        for layer, of_layer in layers.items()
        for family, units in of_layer.items()
    }


@figure(
    "ev-neuron-families",
    "Families of early units",
    of="the groups of conv2d2, mixed3a and mixed3b",
    steps=512,
    fast_steps=24,
    options={model: {"families": _families(layers)} for model, layers in FAMILIES.items()},
    takes=CHANNELS,
    fast_options={"size": 40},
    see="The units of each family detect the same feature in different orientations or colors: lines, then curves made "
    "of lines, edges between fine and coarse texture, spots of color, and circles.",
)
def families(settings: Settings) -> Result:
    """Small pictures of the neurons in each family."""
    groups = {"Units": settings.units} if "units" in settings.options else settings.options["families"]
    names = [name for group in groups.values() for name in group]
    pictures = iter(neuron_pictures(settings, names))
    rows = [[load_image(next(pictures), FAMILY_TILE) for _ in group] for group in groups.values()]
    columns = max(len(row) for row in rows)
    blank = np.ones((FAMILY_TILE, FAMILY_TILE, 3), np.float32)
    shown = [picture for row in rows for picture in (*row, *[blank] * (columns - len(row)))]
    captions = [
        caption
        for group in groups.values()
        for caption in (*(name.rpartition(":")[2] for name in group), *[""] * (columns - len(group)))
    ]
    return Result([Table(shown, captions, columns=columns, sides=list(groups))], {"families": groups})


# The car circuit ---------------------------------------------------------------------------------


@figure(
    "zi-car-circuit",
    "A car is windows above wheels",
    of="the car circuit and superposition",
    steps=512,
    fast_steps=32,
    options={
        "InceptionV1": {
            "units": names_of("mixed4b", [237, 491, 373]),
            "parts": ["windows", "car body", "wheels"],
            "whole": "mixed4c:447",
            "next": names_of("mixed4d", [417, 277, 241]),
        },
        "InceptionV1_caffe": {
            "units": names_of("inception_4b_output", [166, 48, 138]),
            "parts": ["windows", "car body", "wheels"],
            "whole": "inception_4c_output:176",
            "next": names_of("inception_4d_output", [383, 233, 277]),
        },
    },
    takes=OF_ONE_LAYER,
    without={TINY: "It was trained on drawings, which show no cars."},
    fast_options={"size": 80},
    see="The car detector is built from windows above, a car body below, and wheels below (red excites, blue "
    "inhibits). In the next layer, the car detector feeds mostly units that detect other things, too. In "
    "InceptionV1_caffe, the parts were chosen by their weights, and the wheels (4b:138) also by their activation for a "
    "photograph of a wheel: the picture of this unit shows a hub rather than a whole wheel.",
)
def car(settings: Settings) -> Result:
    """Detectors of the parts of a car, their weights to the car detector, and the units that read the car detector."""
    options = settings.options
    layer, units = layer_and_units(settings.units)
    later, (whole,) = layer_and_units([options["whole"]])
    last, following = layer_and_units(options["next"])
    parts = options["parts"] if len(options.get("parts", ())) == len(units) else [""] * len(units)
    found = expanded_weights(settings.model, layer, later, [whole], units, size=options.get("reach", 5)).values[0]
    onward = expanded_weights(settings.model, later, last, following, [whole], size=options.get("reach", 5)).values[
        :, 0
    ]
    pictures = neuron_pictures(settings, [*names_of(layer, units), options["whole"], *options["next"]], 160)
    named = [f"{part} {unit}".strip() for part, unit in zip(parts, units, strict=True)]
    count = len(units)
    circuit = _Circuit(
        parts=dict(zip(named, pictures[:count], strict=True)),
        weights=signed_picture(_without_border(found)),
        whole=(f"{short(options['whole'])}", pictures[count]),
        onward=signed_picture(_without_border(onward)),
        following={short(name): one for name, one in zip(options["next"], pictures[count + 1 :], strict=True)},
    )
    heads = [f"parts: units of {short(layer)}", f"a unit of {short(later)}", f"units of {short(last)}"]
    panels = [Panel([_drawn_circuit(circuit, heads)], ["Squares are weights: red excites, blue inhibits."])]
    data = {"weights": found, "onward": onward, "height": [_height(one) for one in found]}
    return Result(panels, {"units": settings.units, "whole": options["whole"], **data})


@dataclass(frozen=True)
class _Circuit:
    """Pictures of the units of a circuit by name, and of the weights between them."""

    parts: Mapping[str, np.ndarray]
    weights: Sequence[np.ndarray] | np.ndarray
    whole: tuple[str, np.ndarray]
    onward: Sequence[np.ndarray] | np.ndarray
    following: Mapping[str, np.ndarray]


UNIT, WHOLE_UNIT, KERNEL = 190, 280, 84  # widths of pictures in the circuit, in pixels
ROW, REACH, HEAD_LINE = UNIT + 30, 56, 26  # a row's height, the length of an arrow, and the height of the heads


def _drawn_circuit(circuit: _Circuit, heads: Sequence[str]) -> np.ndarray:
    """Parts on the left, the whole in the middle and the next units on the right, with weights on the arrows."""
    rows = max(len(circuit.parts), len(circuit.following), 2)
    whole = UNIT + 3 * REACH + KERNEL
    after = whole + WHOLE_UNIT + 3 * REACH + KERNEL
    diagram = Diagram(after + UNIT, HEAD_LINE + rows * ROW)
    middle = HEAD_LINE + (rows * ROW - 30) // 2
    for head, x in zip(heads, (UNIT / 2, whole + WHOLE_UNIT / 2, after + UNIT / 2), strict=True):
        diagram.text(head, (x, 2 if head != heads[1] else middle - WHOLE_UNIT / 2 - 20), faint=True)
    diagram.picture(circuit.whole[1], (whole, middle - WHOLE_UNIT // 2), WHOLE_UNIT, circuit.whole[0])
    columns = ((circuit.parts, circuit.weights, 0, True), (circuit.following, circuit.onward, after, False))
    for units, weights, left, into in columns:
        first = HEAD_LINE + (rows - len(units)) * ROW // 2
        for number, ((name, picture), kernel) in enumerate(zip(units.items(), weights, strict=True)):
            top = first + number * ROW
            y = top + UNIT // 2
            near = middle + (number - (len(units) - 1) / 2) * WHOLE_UNIT / max(len(units), 2) / 1.5
            diagram.picture(picture, (left, top), UNIT, name)
            x = UNIT + REACH if into else after - REACH - KERNEL
            diagram.picture(kernel, (x, y - KERNEL // 2), KERNEL, framed=True, sharp=True)
            if into:
                diagram.arrow((UNIT + 6, y), (x - 6, y))
                diagram.arrow((x + KERNEL + 6, y), (whole - 6, near))
            else:
                diagram.arrow((whole + WHOLE_UNIT + 6, near), (x - 6, y))
                diagram.arrow((x + KERNEL + 6, y), (after - 6, y))
    return diagram.drawn()


def _without_border(weights: np.ndarray) -> np.ndarray:
    """Weights [N, h, w] without the border of zeros that all of them have in common."""
    used = np.abs(weights).max(0) > 0
    border = 0
    while min(weights.shape[1:]) - 2 * border > 2 and not (
        used[border].any() or used[-1 - border].any() or used[:, border].any() or used[:, -1 - border].any()
    ):
        border += 1
    return weights[:, border : weights.shape[1] - border, border : weights.shape[2] - border]


def _height(weights: np.ndarray) -> float:
    """The balance of excitation above and below the middle, from -1 (below only) to 1 (above only)."""
    middle = weights.shape[0] // 2
    above, below = weights[:middle].sum(), weights[middle + 1 :].sum()
    return float((above - below) / max(float(np.abs(weights).sum()), 1e-12))


# High-low frequency ------------------------------------------------------------------------------

HIGH_LOW = names_of("mixed3a", [136, 108, 132, 88, 110, 180, 153, 186, 86, 117, 112, 70, 106, 113])
CAFFE_HIGH_LOW = names_of("inception_3a_output", [148, 121, 106, 123, 100, 97, 108, 188, 190])
TINY_HIGH_LOW = names_of("mixed3a", [49, 48, 13, 18])


@figure(
    "fe-high-low",
    "High-low frequency detectors",
    of="figures 1 to 3",
    steps=512,
    fast_steps=24,
    options=for_models(HIGH_LOW, CAFFE_HIGH_LOW, TINY_HIGH_LOW, seeded=()),
    takes=OF_ONE_LAYER,
    fast_options={"size": 56, "orientations": 36, "facets": 2},
    see="Each unit detects fine texture on one side and smooth texture on the other, at one orientation. Its "
    "picture shows this, and the stimulus that excites it most has the same orientation. In the maps, stripes of a "
    "single frequency, at the top, activate hardly any unit.",
)
def high_low(settings: Settings) -> Result:
    """Pictures of the units, diverse pictures of the first, and activations by orientation and frequency ratio."""
    options = settings.options
    layer, units = layer_and_units(settings.units)
    names, numbers = names_of(layer, units), [str(unit) for unit in units]
    found = tuning_map(
        settings.model,
        layer,
        units[: options.get("tuned", 6)],
        "high_low_frequency",
        "ratio",
        [float(ratio) for ratio in range(1, 11)],
        orientations=options.get("orientations", 72),
        period=options.get("period", 4.0),
    )
    facets = diversity(settings.model, layer, units[0], options.get("facets", 4), **render_options(settings))
    ratios, angles = found.best
    largest = found.values.max((1, 2))
    best = [
        f"{name}: {value:.3g} at {angle:.0f}°, 1:{ratio:g}"
        for name, value, angle, ratio in zip(numbers, largest, angles, ratios, strict=False)
    ]
    pictures = neuron_pictures(settings, names, 96)
    rows = [
        beside([load_image(picture, UNIT_TILE), load_image(_stimulus(settings, angle, ratio), UNIT_TILE), _map(values)])
        for picture, angle, ratio, values in zip(pictures, angles, ratios, found.values, strict=False)
    ]
    others = [load_image(picture, UNIT_TILE) for picture in pictures[len(rows) :]]
    several = [load_image(picture, 2 * UNIT_TILE) for picture in facets.pictures]
    panels = [
        Panel(rows, best, f"Units of {layer}: what they detect, the best stimulus, and all activations", columns=2),
        *([Panel(others, numbers[len(rows) :], f"More units of {layer}")] if others else []),
        Panel(several, title=f"Diverse pictures of unit {units[0]}"),
    ]
    data = {"units": names, "tuned": names_of(layer, found.units), "best_ratio": ratios, "best_orientation": angles}
    return Result(
        panels, {**data, "orientations": found.orientations, "ratios": found.settings, "values": found.values}
    )


UNIT_TILE, MAP_SIZE = 136, (100, 216)  # a unit's picture, and the height and width of its map, in pixels


def _stimulus(settings: Settings, angle: float, ratio: float) -> np.ndarray:
    return high_low_frequency(
        UNIT_TILE // 2, float(angle), period=settings.options.get("period", 4.0), ratio=float(ratio)
    )


def _map(values: np.ndarray) -> np.ndarray:
    """A heat map by orientation and frequency ratio, with axes."""
    ratios = [((at + 0.5) / len(values), f"1:{at + 1}") for at in (0, len(values) - 1)]
    shown = heat_picture(enlarged(values / max(float(values.max()), 1e-12), MAP_SIZE, smooth=False))
    return with_axes(shown, [(0, "0°"), (0.5, "180°"), (1, "360°")], ratios, ("orientation", "ratio"))


@figure(
    "fe-nmf-factors",
    "Inputs of high-low frequency detectors",
    of="figures 6 and 8",
    steps=512,
    fast_steps=32,
    options={
        "InceptionV1": {"units": HIGH_LOW, "layer": "conv2d2"},
        "InceptionV1_caffe": {"units": CAFFE_HIGH_LOW, "layer": "conv2_3x3/conv2_3x3"},
        "TinyInceptionV1": {"units": TINY_HIGH_LOW[:2], "layer": "conv2d2"},
    },
    takes=OF_ONE_LAYER,
    fast_options={"size": 64},
    see="Two groups of units feed these detectors, one for fine texture and one for coarse texture. Each detector is "
    "excited (red) by the fine group on one side and by the coarse group on the other, and inhibited (blue) by each "
    "group on the opposite side.",
)
def nmf_factors(settings: Settings) -> Result:
    """Two factors of the expanded weights, with their pictures, members, maps, and activations for gratings."""
    options = settings.options
    later, units = layer_and_units(settings.units)
    layer = options["layer"]
    factors = factored_connections(expanded_weights(settings.model, layer, later, units), 2, seed=settings.seed)
    periods = [3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0]
    answers = _answers(settings, layer, factors, periods)
    order = np.argsort([one[0] / max(one.sum(), 1e-12) for one in answers])[
        ::-1
    ]  # the factor for the finest gratings first
    wanted = [objectives.direction(layer, factors.channels[number]) for number in order]
    made = visualize(settings.model, wanted, **render_options(settings))
    members = {FACTORS[place]: _members(factors, number) for place, number in enumerate(order)}
    captions = [f"{name}: {', '.join(str(unit) for unit in list(found)[:5])}" for name, found in members.items()]
    panels = [Panel(made.pictures, captions, f"Factors of {layer}", scale=-(-SHOWN // made.pictures.shape[2]))]
    detectors = [load_image(one, DETECTOR) for one in neuron_pictures(settings, names_of(later, units), 96)]
    maps = [signed_picture(one) for number in order for one in factors.maps[..., number]]
    title = f"Where each factor excites (red) and inhibits (blue) units of {short(later)}"
    heads = [Head(str(unit), one) for unit, one in zip(units, detectors, strict=True)]
    scale = max(1, DETECTOR // maps[0].shape[1])
    panels.append(Table(maps, title=title, columns=len(units), scale=scale, heads=heads, sides=FACTORS))
    data = {"units": settings.units, "members": members, "maps": factors.maps[..., order], "periods": periods}
    return Result(panels, {**data, "answers": {FACTORS[place]: answers[number] for place, number in enumerate(order)}})


FACTORS = ("High frequency", "Low frequency")
DETECTOR = 100  # width of a detector's picture, in pixels


def _members(factors: FactoredWeights, number: int, count: int = 8) -> dict[int, float]:
    """The channels with the largest weights in a factor: channel -> weight, the largest first."""
    shares = factors.channels[number] / max(float(np.linalg.norm(factors.channels[number])), 1e-12)
    return {int(channel): float(shares[channel]) for channel in np.argsort(-shares)[:count]}


def _answers(settings: Settings, layer: str, factors: FactoredWeights, periods: Sequence[float]) -> np.ndarray:
    """The mean activation of each factor's channels over orientations of gratings, [factors, periods]."""
    channels = range(factors.channels.shape[1])
    rows = [
        tuning(settings.model, layer, channels, "grating", orientations=12, period=period).values.mean(1)
        for period in periods
    ]
    weights = factors.channels / np.maximum(factors.channels.sum(1, keepdims=True), 1e-12)
    return weights @ np.stack(rows, 1)


# Weights by factors ------------------------------------------------------------------------------


@figure(
    "vw-weight-nmf",
    "Weights in three factors, and their banding",
    of="figures 1 and 2",
    steps=0,
    fast_steps=0,
    options={
        "InceptionV1": {"layers": {"mixed4d_5x5": 24, "mixed5b_5x5": 48}},
        "InceptionV1_caffe": {
            "layers": {"inception_4d_5x5/inception_4d_5x5": 24, "inception_5b_5x5/inception_5b_5x5": 48}
        },
    },
    takes=OF_ONE_LAYER,
    without={
        TINY: "The kernels of its last layers have no bands: rows differ as much as columns (0.32 and 0.34 of the "
        "variance in mixed5b_5x5)."
    },
    see="Each picture is the kernel of one unit, with three factors of its input channels as red, green and blue, "
    "sorted by its largest factor and the factor's height. In earlier layers, kernels show patterns of every kind. In "
    "the last layer before the global average pool, they show horizontal bands.",
)
def weight_factors(settings: Settings) -> Result:
    """Kernels in terms of non-negative factors of their input channels."""
    if "units" in settings.options:
        layer, units = layer_and_units(settings.units)
        chosen: dict[str, Any] = {layer: units}
    else:
        chosen = dict(settings.options["layers"])
    panels, data = [], {}
    for layer, which in chosen.items():
        found = factored_weights(settings.model, layer, settings.options.get("factors", 3), seed=settings.seed)
        units = _sorted(found.maps, which) if isinstance(which, int) else which
        check_channels(layer, units, len(found.maps))
        pictures, banding = [_own_scale(found.pictures[unit]) for unit in units], _banding(found.maps)
        rows, columns = (f"{100 * banding[f'between_{name}']:.0f} %" for name in ("rows", "columns"))
        title = f"{short(layer)}: of the variance, {rows} lies between rows and {columns} between columns"
        captions = [str(unit) for unit in units]
        panels.append(Panel(pictures, captions, title, columns=12, scale=max(1, KERNEL // found.maps.shape[1])))
        data[layer] = {"units": units, "maps": found.maps[units], "banding": _banding(found.maps)}
    return Result(panels, data)


def _sorted(maps: np.ndarray, count: int) -> list[int]:
    """The first units, by their largest factor, and then by its mean height."""
    first = maps[:count]
    totals = first.sum((1, 2))
    largest = totals.argmax(1)
    heights = np.arange(maps.shape[1]) @ first.sum(2)[np.arange(len(first)), :, largest].T
    return [int(unit) for unit in np.lexsort((heights / np.maximum(totals.max(1), 1e-12), largest))]


def _own_scale(picture: np.ndarray) -> np.ndarray:
    return picture / max(float(picture.max()), 1e-12)


def _banding(maps: np.ndarray) -> dict[str, float]:
    """The fractions of the maps' variance that lie between rows and between columns, averaged over units."""
    centred = maps - maps.mean((1, 2), keepdims=True)
    total = max(float((centred**2).mean()), 1e-12)
    return {
        "between_rows": float((centred.mean(2) ** 2).mean() / total),
        "between_columns": float((centred.mean(1) ** 2).mean() / total),
    }
