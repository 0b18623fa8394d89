"""Figures of Feature Visualization (2017)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lucid_port.figures.base import Panel, Result, Settings, Table, Takes, figure
from lucid_port.figures.common import (
    CAFFE,
    CHANNELS,
    TINY,
    a_class,
    a_layer,
    caffe_units,
    class_label,
    class_of,
    enlargement,
    for_models,
    likeliest,
    lucid_units,
    render_options,
    short,
    tile,
)
from lucid_port.figures.photographs import photograph
from lucid_port.optvis import objectives, transform
from lucid_port.optvis.engine.coerce import Model
from lucid_port.recipes.attribution import POOLS, class_number, gradient_magnitudes, logits_layer
from lucid_port.recipes.feature_visualization import FeatureVisualization, diversity, visualize
from lucid_port.recipes.inputs import ObjectiveLike, load_image, model_size, named_unit
from lucid_port.recipes.interaction import sums
from lucid_port.recipes.interpolation import interpolations
from lucid_port.recipes.regularization import (
    Study,
    frequency_penalties,
    preconditioning,
    transformation_robustness,
)

ARTICLE_STEPS = 2560
NOTEBOOK_STEPS = 512


def _of(lucid: str, caffe: str, tiny: str) -> dict[str, dict[str, Any]]:
    """The options of a figure for each model: channels before their ReLU, such as `"4a:476"` of mixed4a."""
    return for_models(lucid_units(lucid), caffe_units(caffe), lucid_units(tiny))


def footnote_transforms(size: int) -> list[transform.Transform]:
    """The transforms stated in a footnote of the article, which are smaller than Lucid's default."""
    return [
        transform.pad(16, mode="constant", constant_value=0.5),
        transform.jitter(16),
        transform.random_scale([1, 0.975, 1.025, 0.95, 1.05]),
        transform.random_rotate(range(-5, 6)),
        transform.jitter(8),
        transform.crop_or_pad_to(size, size),
    ]


def _as_the_article(settings: Settings, wanted: Sequence[ObjectiveLike], size: int) -> FeatureVisualization:
    options = render_options(settings, size)
    return visualize(settings.model, wanted, transforms=footnote_transforms(options["size"]), **options)


# Units -------------------------------------------------------------------------------------------


@figure(
    "fv-channel",
    "What a channel detects",
    of="the tutorial's first picture, and of any unit",
    steps=NOTEBOOK_STEPS,
    options=for_models(["mixed4a_pre_relu:476"], ["inception_4a_output:300"], ["mixed4a_pre_relu:48"]),
    takes=CHANNELS,
    see="The picture that maximizes a channel: in a trained network, a texture or an object that repeats.",
)
def channel(settings: Settings) -> Result:
    """Any units, with Lucid's default settings."""
    units = settings.units
    made = visualize(settings.model, units, **render_options(settings))
    values = made.losses[:, -1]
    captions = [f"{short(unit)} ({value:.4g})" for unit, value in zip(units, values, strict=True)]
    panel = Panel(made.pictures, captions, columns=min(len(units), 6))
    return Result([panel], {"units": units, "values": values})


@figure(
    "fv-objectives",
    "Objectives: a neuron, a channel, a layer, a class",
    of="the optimization objectives",
    steps=ARTICLE_STEPS,
    options=for_models(
        [*lucid_units("4a:476"), "tiger cat"],
        [*caffe_units("4a:194"), "tiger cat"],
        [*lucid_units("4a:95"), "spiral"],
        [*lucid_units("4a:476"), "55"],  # the same class, for a network without labels
    ),
    takes=Takes("a unit, layer:channel, and a class", [named_unit, a_class], least=2, most=2),
    see="The neuron's feature appears once, in the middle; the channel's feature appears everywhere; the whole layer, "
    "squared, gives a mixture of its features. The logit of a class shows evidence for the class. Its probability can "
    "also grow when the other logits shrink, and its picture resembles the class less.",
    fast_steps=24,
    fast_options={"size": 96},
)
def what_to_ask_for(settings: Settings) -> Result:
    """Neuron, channel, layer, logit and probability. Classes are rendered at the size that the classifier needs."""
    unit, label = settings.units
    model = settings.model
    layer, number = named_unit(model, unit)
    one = class_number(model, class_of(label))
    before = logits_layer(model)
    local = [objectives.neuron(layer, number), objectives.channel(layer, number), objectives.deepdream(layer)]
    classes = [objectives.class_logit(before, one), objectives.class_logit(_after(model, before), one)]
    first = _as_the_article(settings, local, 224)
    height, width = model_size(model)
    crop = [*footnote_transforms(width)[:-1], transform.crop_or_pad_to(height, width)]
    second = visualize(model, classes, transforms=crop, **{**render_options(settings), "size": max(height, width)})
    size = first.pictures.shape[1]
    pictures = [*first.pictures, *(load_image(picture, size) for picture in second.pictures)]
    values = [*first.losses[:, -1], *second.losses[:, -1]]
    label = class_label(model, one)
    captions = [f"neuron {short(unit)}", f"channel {short(unit)}", f"layer {short(layer)}"]
    captions += [f"logit of {label}", f"probability of {label}"]
    data = {"unit": unit, "class": label, "objectives": captions, "values": values}
    return Result([Panel(pictures, captions)], data)


def _after(model: Model, logits: str) -> str:
    """The name of the softmax of a layer of logits."""
    softmaxes = [step for step in model.network.program.steps if step.op == "Softmax"]
    return next(step.name for step in softmaxes if logits in map(str, step.inputs))


HERO_SIZE, EDGE_STEPS, BORDER = 200, 24, 24
COLUMNS = ("Edges", "Textures", "Patterns", "Parts", "Objects")
HERO = {
    "InceptionV1": [
        [f"conv2d0_pre_relu:{unit}" for unit in (9, 53, 15, 22, 3, 49)],
        lucid_units("3a:19 3a:33 3a:66 3a:155 3a:200 3a:6"),
        lucid_units("4a:476 4a:6 4a:453 4a:97 4a:41 4a:11"),
        lucid_units("4b:464 4b:237 4b:373 4c:449 4c:450 4b:462"),
        lucid_units("4d:479 4d:503 4d:417 4e:55 4e:815 4d:241"),
    ],
    CAFFE: [
        [f"conv1_7x7_s2/conv1_7x7_s2:{unit}" for unit in (3, 4, 31, 5, 19)],
        caffe_units("3b:122 3b:142 3b:242 3b:462 3b:2"),
        caffe_units("4a:173 4a:47 4a:341 4a:236 4a:26"),
        caffe_units("4c:507 4c:276 4a:299 4c:45 4c:108"),
        caffe_units("4d:73 4d:293 4d:513 4d:447 4c:423"),
    ],
    TINY: [
        [f"conv2d2_pre_relu:{unit}" for unit in (32, 7, 34, 22, 24, 4)],  # the pictures of conv2d0 are flat colors
        lucid_units("3a:13 3a:3 3a:7 3a:36 3a:40 3a:11"),
        lucid_units("4a:48 4a:36 4a:16 4a:3 4a:111 4a:73"),
        lucid_units("4b:34 4d:72 4b:77 4d:24 4b:116 4d:20"),
        lucid_units("5a:45 5a:19 5a:3 5a:182 5a:53 5a:27"),
    ],
}
HERO["InceptionV1_seeded"] = HERO["InceptionV1"]


def _rows(families: list[list[str]]) -> dict[str, list[str]]:
    """Returns the units row by row. Each row has one unit of each family."""
    return {"units": [unit for row in zip(*families, strict=True) for unit in row]}


@figure(
    "fv-hero",
    "From edges to objects",
    of="the opening figure",
    steps=ARTICLE_STEPS,
    options={model: _rows(families) for model, families in HERO.items()},
    takes=Takes("units, layer:channel, five to a row", [named_unit]),
    see="From left to right, units of increasingly late layers: edges, textures, patterns, parts, and objects.",
    fast_steps=48,
    fast_options={"size": 80, "rows": 3},
)
def hero(settings: Settings) -> Result:
    """Units of five depths of the network, with the article's transforms. The first column gets fewer updates."""
    columns = len(COLUMNS)
    rows = settings.options.get("rows")
    units = settings.units[: None if rows is None else columns * rows]
    later = [unit for number, unit in enumerate(units) if number % columns]
    pictures: dict[str, np.ndarray] = {}
    values: dict[str, float] = {}
    for which, make in ((units[::columns], _edges), (later, _later)):
        if not which:
            continue
        made = make(settings, which)
        pictures |= dict(zip(which, made.pictures, strict=True))
        values |= dict(zip(which, made.losses[:, -1], strict=True))
    tiles = [tile(pictures[unit]) for unit in units]
    panel = Table(tiles, [short(unit) for unit in units], columns=columns, heads=COLUMNS)
    return Result([panel], {"units": units, "values": [values[unit] for unit in units]})


def _edges(settings: Settings, units: Sequence[str]) -> FeatureVisualization:
    """Units of the first column. After many updates their pictures are black and white, and at the border, they detect
    the edge between the picture and its padding: the middle of a larger picture is shown, after few updates.
    """
    options = settings.options
    size = options.get("size", HERO_SIZE)
    early = replace(settings, options={**options, "size": size + 2 * BORDER}, steps=min(settings.steps, EDGE_STEPS))
    made = _as_the_article(early, units, size)
    return replace(made, pictures=made.pictures[:, BORDER:-BORDER, BORDER:-BORDER])


def _later(settings: Settings, units: Sequence[str]) -> FeatureVisualization:
    return _as_the_article(settings, units, HERO_SIZE)


# Several pictures of a unit ----------------------------------------------------------------------


@figure(
    "fv-diversity",
    "Several pictures of one unit",
    of="the diversity figures",
    steps=NOTEBOOK_STEPS,
    options=_of(
        "5a:9 4a:97 4a:143 4e:55",
        "4a:194 4c:444 4a:299 4d:513",
        "4a:43 4a:39 4a:71 4a:112",
    ),
    takes=CHANNELS,
    see="One picture does not show everything that a unit responds to. Pictures optimized to differ in style show "
    "other facets of the unit. If a unit responds to several things, they show different things.",
    fast_steps=40,
    fast_options={"size": 72, "most": 2},
)
def facets(settings: Settings) -> Result:
    """A single picture of each unit, and four diverse pictures."""
    units = settings.units[: settings.options.get("most")]
    options = render_options(settings)
    alone = visualize(settings.model, units, **options)
    count = settings.options.get("count", 4)
    shown, values = [], []
    for unit, simple in zip(units, alone.pictures, strict=True):
        layer, number = named_unit(settings.model, unit)
        found = diversity(settings.model, layer, number, count, **options)
        shown += [tile(one) for one in (simple, *found.pictures)]
        values.append(found.losses[-1])
    heads = ["one picture alone", *(f"diverse, {number} of {count}" for number in range(1, count + 1))]
    panel = Table(shown, columns=count + 1, heads=heads, sides=[short(unit) for unit in units])
    return Result([panel], {"units": units, "alone": alone.losses[:, -1], "values": values})


@figure(
    "fv-negative",
    "Maximum and minimum of a unit",
    of="the spectrum of examples, its two optimized ends",
    steps=NOTEBOOK_STEPS,
    options=_of(
        "4a:492 4a:6 4a:240 4b:482 4d:479 4e:718",
        "4a:194 4a:299 4a:173 4b:482 4d:293 4c:507",
        "4a:48 4a:36 4a:35 4a:111 4a:23 4a:16",
    ),
    takes=CHANNELS,
    see="Above, pictures that maximize channels; below, pictures that minimize them before their ReLU. The latter "
    "often show something that must not be confused with the former.",
    fast_steps=48,
    fast_options={"size": 72, "most": 4},
)
def both_ends(settings: Settings) -> Result:
    """Each channel maximized and minimized."""
    units = settings.units[: settings.options.get("most")]
    wanted = [objectives.as_objective(unit) for unit in units]
    made = visualize(settings.model, [*wanted, *(-one for one in wanted)], **render_options(settings))
    values = made.losses[:, -1]
    positive, negative = values[: len(units)], -values[len(units) :]
    captions = [short(unit) for unit in units] + [f"-{short(unit)}" for unit in units]
    captions = [f"{name} ({value:.3g})" for name, value in zip(captions, [*positive, *negative], strict=True)]
    data = {"units": units, "positive": positive, "negative": negative, "differences": positive - negative}
    return Result([Panel([tile(one) for one in made.pictures], captions, columns=len(units))], data)


# Units together ----------------------------------------------------------------------------------


@figure(
    "fv-neuron-addition",
    "Sums of units",
    of="neuron addition",
    steps=NOTEBOOK_STEPS,
    options=_of(
        "4b:111 3a:139 3b:81 4a:97 4a:41 4a:479 4a:476 4b:360 4b:482 4c:440 4d:479 4e:718",
        "4a:173 3a:1 3b:2 4a:47 4a:299 4a:68 4a:194 4b:9 4b:30 4c:444 4d:293 4c:507",
        "3a:7 3a:3 4a:72 4a:36 3a:13 4a:50 4a:48 4a:16 4a:73 4a:111 4a:81 4a:97",
    ),
    takes=Takes("units, layer:channel, half for the columns, then half for the rows", [named_unit], least=2, even=True),
    see="The picture that maximizes the sum of two channels mixes both: the texture of one in the shape of the other. "
    "The first row and the first column show the single channels.",
    fast_steps=40,
    fast_options={"size": 64, "most": 2},
)
def addition(settings: Settings) -> Result:
    """The sums of all pairs of a unit from the first half and a unit from the second."""
    units = settings.units
    half, most = len(units) // 2, settings.options.get("most")
    found = sums(settings.model, units[:half][:most], units[half:][:most], **render_options(settings))
    above, left, values = len(found.columns), len(found.rows), found.losses[:, -1]
    blank = np.ones_like(found.of_columns[0])
    pictures = [blank, *found.of_columns]
    captions = ["", *(f"{short(unit)} ({value:.4g})" for unit, value in zip(found.columns, values, strict=False))]
    for row, unit in enumerate(found.rows):
        pictures += [found.of_rows[row], *found.pictures[row]]
        own = values[above + left + row * above :][:above]
        captions += [f"{short(unit)} ({values[above + row]:.4g})", *(f"{value:.4g}" for value in own)]
    data = {
        "above": found.columns,
        "left": found.rows,
        "alone": values[: above + left],
        "sums": values[above + left :].reshape(left, above),
    }
    return Result([Panel([tile(one) for one in pictures], captions, columns=above + 1)], data)


@figure(
    "fv-interpolation",
    "Interpolation between units",
    of="neuron interpolation",
    steps=NOTEBOOK_STEPS,
    options=_of(
        "4a:476 4a:455 4a:476 4a:460 4a:460 4a:501 4b:475 4a:476 4c:369 4a:476 "
        "4d:503 5a:791 5a:810 5a:200 4d:503 5a:810 5a:810 5a:791",
        "4a:194 4a:299 4a:173 4a:236 4c:444 4c:423 4a:467 4a:341 4c:507 4c:45 4d:73 4d:513 4d:293 4d:161",
        "4a:48 4a:73 4a:16 4a:39 4a:95 4a:40 4a:111 4a:3 4a:23 4a:81",
    ),
    takes=Takes("pairs of units, layer:channel", [named_unit], least=2, pairs=True),
    see="Pictures that share most of their parameters, from one channel's maximum to another's. Shapes keep their "
    "positions and change into other things.",
    fast_steps=40,
    fast_options={"size": 64, "most": 2, "frames": 4},
)
def interpolation(settings: Settings) -> Result:
    """A row of aligned pictures for each pair of units."""
    units = settings.units
    pairs = list(zip(units[::2], units[1::2], strict=True))[: settings.options.get("most")]
    found = interpolations(settings.model, pairs, settings.options.get("frames", 6), **render_options(settings))
    panels = [Panel([tile(one) for one in row.pictures], title=" to ".join(map(short, row.names))) for row in found]
    return Result(panels, {"pairs": pairs, "values": [row.losses[-1] for row in found]})


# The enemy of feature visualization --------------------------------------------------------------

STUDIED = _of("4b:452", "4a:300", "4a:16")
STUDIED_SIZE = 128
study_figure = functools.partial(figure, steps=2048, options=STUDIED, takes=CHANNELS, fast_options={"size": 48})


def _thresholds(settings: Settings, article: Sequence[int]) -> list[int]:
    """The numbers of updates after which pictures are shown: the article's, up to the number of steps."""
    return [*(count for count in article if count < settings.steps), settings.steps]


def _studied(settings: Settings, article: Sequence[int]) -> dict[str, Any]:
    options = render_options(settings, STUDIED_SIZE)
    return {"thresholds": _thresholds(settings, article), **{key: options[key] for key in ("size", "seed", "verbose")}}


def _tables(study: Study, words: Mapping[str, str]) -> Result:
    """A table for each unit: a row for each combination of settings, and a column for each number of updates.

    Args:
        study: the study.
        words: name of a setting -> a text with a place for its value. A setting with one value is left out.
    """
    names = [name for name, _ in study.axes]
    combinations = list(itertools.product(*(values for _, values in study.axes)))
    pictures = study.pictures.reshape(len(combinations), len(study.units), *study.pictures.shape[-4:])
    told = {name for name, values in study.axes if len(values) > 1}
    sides = [
        [
            words[name].format(value)
            for name, value in zip(names, values, strict=True)
            if value and name in told and (name, value) != ("scale", 1)
        ]
        for values in combinations
    ]
    order = sorted(range(len(combinations)), key=lambda index: len(sides[index]))
    panels = [
        Table(
            [picture for index in order for picture in pictures[index, number]],
            title=short(unit),
            columns=len(study.thresholds),
            scale=max(1, STUDIED_SIZE // study.pictures.shape[-2]),
            heads=[f"{count} {'step' if count == 1 else 'steps'}" for count in study.thresholds],
            sides=[" + ".join(sides[index]) or words["nothing"] for index in order],
        )
        for number, unit in enumerate(study.units)
    ]
    data = {
        "units": study.units,
        "settings": {name: list(values) for name, values in study.axes},
        "thresholds": study.thresholds,
        "values": study.losses[..., -1],
    }
    return Result(panels, data)


@study_figure(
    "fv-preconditioning",
    "Pixels or decorrelated frequencies, with and without transforms",
    of="the preconditioning figure",
    see="Plain optimization ends in high-frequency noise. Transforms or decorrelation alone remove much of it. "
    "Together they give a clear picture after few steps.",
    fast_steps=96,
)
def conditioned(settings: Settings) -> Result:
    """Pixels and decorrelated frequencies, with and without transforms, at several numbers of updates."""
    rates = settings.options.get("rates", (0.05,))
    study = preconditioning(settings.model, settings.units, rates=rates, **_studied(settings, (1, 32, 128, 256)))
    words = {"nothing": "plain pixels", "decorrelate": "decorrelated", "transforms": "transforms", "rate": "rate {}"}
    return _tables(study, words)


@study_figure(
    "fv-robustness",
    "Pictures that are robust to shifts, rotations and scales",
    of="the transformation robustness figure",
    see="Without transforms, high frequencies dominate. Each kind of transform reduces them a little, and all of them "
    "together much more.",
    fast_steps=64,
)
def robust(settings: Settings) -> Result:
    """All combinations of jitter, rotation and scaling, each with and without."""
    study = transformation_robustness(settings.model, settings.units, **_studied(settings, (8, 32, 128, 512)))
    words = {"nothing": "no transform", "rotate": "rotate {}°", "jitter": "jitter {} px", "scale": "scale {}"}
    return _tables(study, words)


@study_figure(
    "fv-frequency-penalty",
    "Pictures with penalties on high frequencies",
    of="the frequency penalization figure",
    see="Penalties on noise (L1 from gray, total variation, and a blur at each step) leave larger shapes, but also "
    "remove fine detail that belongs to the picture. A weak L1 penalty alone changes little.",
    fast_steps=64,
)
def penalised(settings: Settings) -> Result:
    """All combinations of three penalties, with plain pixels and without transforms."""
    study = frequency_penalties(settings.model, settings.units, **_studied(settings, (1, 32, 128, 256)))
    words = {"nothing": "no penalty", "L1": "L1 {}", "total_variation": "total variation {}", "blur": "blur {}"}
    return _tables(study, words)


ABREAST = 4  # layers in a row
DEPTHS = ["input", "conv2d0", "conv2d2", "mixed3b", "mixed4a", "mixed4c", "mixed4e", "mixed5a"]


def _a_depth(model: Model, name: str) -> str:
    return name if name == "input" else a_layer(model, name)


@figure(
    "fv-gradient-artefacts",
    "The origin of high frequencies: gradients, layer by layer",
    of="the figure of gradient magnitudes",
    steps=0,
    options=for_models(
        DEPTHS,
        ["input", "conv1_7x7_s2/conv1_7x7_s2", "conv2_3x3/conv2_3x3"]
        + [f"inception_{layer}_output" for layer in ("3b", "4a", "4c", "4e", "5a")],
        DEPTHS,
    ),
    takes=Takes("layers, or 'input'", [_a_depth]),
    see="The length of a class's gradient at each position, from the input to the last layers. Each strided "
    "convolution and each max pool adds a grid pattern to the gradient that passes through it. A smoother gradient of "
    "the max pools reduces the pattern near the input. In the last layers shown, the pattern stays.",
    fast_steps=0,
    of_picture=True,
)
def gradients(settings: Settings) -> Result:
    """Magnitudes of the gradient of the likeliest class, with the exact gradient of max pools and a smoother one."""
    layers = settings.units
    model, picture = settings.model, photograph(settings, "one thing")
    (toward,) = likeliest(model, picture, 1)
    panels = [Panel([picture], [class_label(model, toward)], scale=enlargement(picture))]
    sides = ["The gradient itself", "Max pools with a smoother gradient"]
    maps = {pools: gradient_magnitudes(model, picture, layers, toward, pools=pools) for pools in POOLS[:2]}
    for start in range(0, len(layers), ABREAST):
        abreast = layers[start : start + ABREAST]
        shown = [_grey(found[layer], model_size(model)) for found in maps.values() for layer in abreast]
        heads = [short(layer) for layer in abreast]
        panels.append(Table(shown, columns=len(heads), heads=heads, sides=sides, scale=enlargement(picture)))
    data = {pools: {layer: values.mean() for layer, values in found.items()} for pools, found in maps.items()}
    return Result(panels, {"class": class_label(model, toward), "mean_magnitudes": data})


def _grey(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A map [h, w] as gray squares, with white at its 99th percentile."""
    scaled = (values / max(float(np.percentile(values, 99)), 1e-30)).clip(0, 1)
    scale = max(1, size[0] // values.shape[0])
    return np.repeat(np.repeat(scaled, scale, 0), scale, 1)[..., None].repeat(3, -1).astype(np.float32)
