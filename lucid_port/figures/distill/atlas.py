"""Figures of Activation Atlas (2019)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters import checks
from lucid_port.figures.base import Head, Panel, Result, Settings, Table, Takes, figure
from lucid_port.figures.collections import PATCHED, photographs
from lucid_port.figures.common import INCEPTION, ONE_LAYER, TINY, class_label, render_options, short
from lucid_port.figures.drawing import bars, part
from lucid_port.modelzoo.tiny.drawings import draw_block
from lucid_port.optvis.engine.coerce import Model
from lucid_port.recipes.activation_atlas import (
    ActivationAtlas,
    Samples,
    activation_atlas,
    article_transforms,
    sample_activations,
)
from lucid_port.recipes.activation_atlas.layout import check_layout
from lucid_port.recipes.inputs import load_folder, load_image, model_size
from lucid_port.recipes.patches import PatchTable, patch_table

LAYER = {**dict.fromkeys(INCEPTION, "mixed4c"), "InceptionV1_caffe": "inception_4c_output"}
CROP = 92  # width of a part of a picture, in pixels
LISTED = 6  # classes of a table, as in the article
DAMPING = 0.1  # a few thousand activations are too few to whiten 512 channels
ACTIVATIONS, LEAST_PER_IMAGE, MOST_PER_IMAGE = 8000, 4, 300  # aim for all pictures together, and bounds for each
NEAREST, AROUND = 7, 2.0  # activations shown for each cell, and positions shown around each of these activations
NEIGHBOURS = {"n_neighbors": 20, "min_dist": 0.01}  # as in the notebook


@figure(
    "aa-mini-atlas",
    "A small activation atlas",
    of="the atlas of one layer",
    steps=512,
    options={
        **{name: {"units": [layer]} for name, layer in LAYER.items()},
        TINY: {"units": ["mixed4c"], "drawings": 1200, "per_image": 4},
    },
    takes=ONE_LAYER,
    see="Each icon shows the mean of the activations in its cell of the map. Similar activations lie near each other. "
    "The rows below show, for the fullest cells, the parts of pictures that the activations come from. The article's "
    "map has a million activations of as many photographs. This one has a few thousand: with --image, of the pictures "
    "in your folder (some hundreds give a good map); without, of twelve photographs (of drawings, for "
    "TinyInceptionV1), so it has fewer regions, each from one or two pictures. The covariance of so few pictures "
    "describes the pictures more than the network, so the means are not whitened, unlike in the article. The icons of "
    "a draft are faint, and its map, made by t-SNE, is small.",
    fast_steps=64,
    fast_options={"grid": 5, "size": 64, "per_image": 60, "drawings": 150, "layout": "tsne", "layout_options": {}},
    of_picture=True,
)
def mini_atlas(settings: Settings) -> Result:
    """The map of icons, and the sources of the activations in the fullest cells."""
    (layer,) = settings.units
    layout = settings.options.get("layout", "umap")
    check_layout(layout)
    pictures, skipped = _pictures(settings)
    share = min(MOST_PER_IMAGE, max(LEAST_PER_IMAGE, ACTIVATIONS // max(len(pictures), 1)))
    per_image = checks.whole(settings.options.get("per_image", share), "per_image", 1)
    found = sample_activations(settings.model, pictures, layer, per_image, seed=settings.seed)
    options = render_options(settings, 80)
    atlas = activation_atlas(
        settings.model,
        layer,
        activations=found.activations,
        layout=layout,
        layout_options=settings.options.get("layout_options", NEIGHBOURS),
        grid_size=settings.options.get("grid", 10),
        threshold=settings.options.get("threshold", 5),
        damping=settings.options.get("damping", DAMPING),
        whiten=settings.options.get("whiten", False),
        icon_size=options.pop("size"),
        cossim_pow=4,
        border=0,
        transforms=article_transforms(),
        **options,
    )
    title = f"{short(layer)}: {len(atlas.activations)} activations of {len(pictures)} pictures"
    title += f" ({len(skipped)} unreadable ones left out)" if skipped else ""
    panels = [Panel([_filled(atlas)], title=title), *_sources(settings, atlas, found, pictures)]
    data = {
        "layer": layer,
        "pictures": len(pictures),
        "activations": len(atlas.activations),
        "cells": atlas.cells,
        "counts": atlas.counts,
        "values": atlas.values,
        "skipped": skipped,
    }
    return Result(panels, data)


def _pictures(settings: Settings) -> tuple[Sequence[np.ndarray], list[str]]:
    """The pictures of the user's folder, or else drawings for TinyInceptionV1 and photographs for other models."""
    if settings.image is not None:
        folder, skipped = load_folder(settings.image, model_size(settings.model))
        return list(folder), skipped
    if "drawings" in settings.options and getattr(settings.model, "name", "") == TINY:
        count = checks.whole(settings.options["drawings"], "drawings", 1)
        drawn, _ = draw_block(count, model_size(settings.model), settings.seed)
        return list(drawn.permute(0, 2, 3, 1).numpy()), []
    return photographs(), []


def _filled(atlas: ActivationAtlas) -> np.ndarray:
    """The map without empty rows and columns at its border."""
    sides = [side // atlas.grid_size for side in atlas.canvas.shape[:2]]
    columns, rows = atlas.cells[:, 0], atlas.grid_size - 1 - atlas.cells[:, 1]
    top, left = int(rows.min()) * sides[0], int(columns.min()) * sides[1]
    return atlas.canvas[top : (int(rows.max()) + 1) * sides[0], left : (int(columns.max()) + 1) * sides[1]]


def _sources(settings: Settings, atlas: ActivationAtlas, found: Samples, pictures: Sequence[np.ndarray]) -> list[Panel]:
    """A table with a row for each of the fullest cells: its icon, and crops around the activations nearest its mean."""
    rows = checks.whole(settings.options.get("rows", 6), "rows", 1)
    sides, seen = [], []
    for cell in np.argsort(-atlas.counts, kind="stable")[:rows]:
        nearest = found.origins[atlas.origins_of(int(cell))][:NEAREST]
        crops = [part(pictures[number], place, found.grids[number], CROP, AROUND) for number, *place in nearest]
        seen += [*crops, *[np.ones((CROP, CROP, 3), np.float32)] * (NEAREST - len(crops))]
        x, y = atlas.cells[cell] - atlas.cells.min(0)
        place = f"row {atlas.cells[:, 1].max() - atlas.cells[:, 1].min() - y}, column {x}"
        sides.append(Head(f"{place} ({atlas.counts[cell]})", load_image(atlas.icons[cell], CROP)))
    title = "The fullest cells (number of activations), and where the activations nearest to their means come from"
    return [Table(seen, title=title, columns=NEAREST, sides=sides)]


# Patches -----------------------------------------------------------------------------------------


def _pair(_: Model, name: str) -> str:
    if name not in PATCHED:
        raise ValueError(f"The figure knows no pair {name!r}; it knows {', '.join(PATCHED)}.")
    return name


@figure(
    "aa-adversarial-table",
    "A patch changes the class of a picture",
    of="the tables of adversarial patches",
    steps=0,
    options={name: {"units": list(PATCHED)} for name in ("InceptionV1", "InceptionV1_caffe")},
    takes=Takes(f"pairs of picture and patch, of {', '.join(PATCHED)}", [_pair]),
    see="A patch in a corner makes a class likely (orange) that is not among the likeliest classes of the picture or "
    "of the patch: a man with a tripod plus a wheel become a tricycle or a unicycle, and a cup plus a dozen coins "
    "become a dial telephone. The network adds up what it sees, regardless of position. In the article, a snorkel plus "
    "a train become a scuba diver. The article's pictures have other owners; these photographs come with scikit-image, "
    "and the pairs were found by trying crops of them on each other with InceptionV1_caffe. Another network may see "
    "other classes. --image pastes the patches onto your own picture.",
    fast_steps=0,
    of_picture=True,
)
def adversarial_table(settings: Settings) -> Result:
    """For each pair: the picture, the patch, and both combined in two sizes, with the six likeliest classes of each."""
    panels, data = [], {}
    for pair in settings.units:
        how = PATCHED[pair]
        picture, patch = how.pictures()
        base = picture if settings.image is None else load_image(settings.image, model_size(settings.model))
        table = patch_table(settings.model, base, patch, how.ratios, how.place)
        rows = {
            title: _likeliest(settings, one)
            for title, one in zip(_titles(table), [*table.probabilities, table.patch_probabilities], strict=True)
        }
        own = {name for title in ("the picture", "the patch alone") for name, _ in rows[title]}
        pictures, width = [*table.pictures, table.patch], table.patch.shape[1]
        tables = [bars(row, width, "" if row[0][0] in own else row[0][0]) for row in rows.values()]
        thing, patched = pair.split("+")
        title = f"{thing if settings.image is None else 'your picture'} and {patched}"
        panels += [Panel(pictures, list(rows), title=title), Panel(tables)]
        data[pair] = {title: [[name, 100 * share] for name, share in row] for title, row in rows.items()}
    return Result(panels, {"percentages": data})


def _titles(table: PatchTable) -> list[str]:
    sizes = [f"with the patch, {100 * ratio:.0f} % of its side" for ratio in table.ratios[1:]]
    return ["the picture", *sizes, "the patch alone"]


def _likeliest(settings: Settings, probabilities: np.ndarray) -> list[tuple[str, float]]:
    """Names and probabilities of the likeliest classes."""
    order = np.argsort(-probabilities, kind="stable")[:LISTED]
    return [(class_label(settings.model, int(number)), float(probabilities[number])) for number in order]
