"""The page of an inspection: one file of HTML without scripts, which needs no network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.atomic import check_writable
from converters.errors import LayerNotFoundError
from converters.paths import user_path
from lucid_port import __version__
from lucid_port.attribution.drawing import heat_map, over
from lucid_port.attribution.units import Unit, checked_unit
from lucid_port.inspection.charts import Chart, histogram_path, line_chart, number
from lucid_port.inspection.measures import Statistics, unit_name
from lucid_port.misc.io.showing import image_url
from lucid_port.misc.templates import render

if TYPE_CHECKING:
    from lucid_port.inspection.result import Inspection

__all__ = ["INDEX", "page", "page_path"]

INDEX = "index.html"
"""The page in a folder."""

MARK = b'<meta name="generator" content="lucid-port inspect'
"""Text by which an earlier page is known, in its first bytes."""

MARK_WITHIN = 1024

LONGEST = 320
"""Longest side of a picture on the page in pixels; larger ones are resized."""

MAP = 208
"""Longest side of a feature map in pixels."""

MOST_COLUMNS = 6
"""Feature maps in a row of the page, at most."""

MOST_FILTERS = 96
"""Number of filters that a page shows."""

HISTOGRAM = (150, 46)
"""(width, height) of a histogram of weights."""

GRAY = 128
"""Level of pixels at which photographs are enlarged by whole factors."""


# Files -------------------------------------------------------------------------------------------


def page_path(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Returns the file of a page, checked before the work.

    Args:
        path: a file that ends in .html, or a folder, which gets an index.html.
        overwrite: whether to replace a file that is not an earlier page.

    Raises:
        ValueError: the file has another extension.
        OSError: it cannot be written, it is not an earlier page, or the folder holds something else.
    """
    path = user_path(path)
    suffix = path.suffix.lower()
    is_folder = path.is_dir() or (suffix == "" and not path.exists())
    if not is_folder and suffix not in (".html", ".htm"):
        raise ValueError(f"{path} is no page's name: name a file that ends in .html, or a folder.")
    target = path / INDEX if is_folder else path
    check_writable(target)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name another page.")
    if overwrite or (target.exists() and _is_page(target)):
        return target
    if target.exists():
        raise FileExistsError(
            f"{target} exists, and is not an earlier page of this command: name another file with -o, or pass "
            "--overwrite to replace it."
        )
    if is_folder and path.is_dir() and any(path.iterdir()):
        raise FileExistsError(
            f"{path} is a folder that holds something else: name a file in it, as in {path / 'inspection.html'}, or "
            "another folder."
        )
    return target


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK in file.read(MARK_WITHIN)


# Content -----------------------------------------------------------------------------------------


def page(found: Inspection, count: int, icons: Mapping[str, np.ndarray], title: str, command: str) -> str:
    """Returns the page.

    Args:
        found: the inspection.
        count: number of channels of each layer.
        icons: `LAYER:CHANNEL` -> render [H, W, C].
        title: name of the network.
        command: the command line that makes the page; empty for none.
    """
    photo = _colors(found.photo)
    return render(
        "inspection.html",
        title=title,
        photo=_picture(photo, LONGEST, "jpeg"),
        size=f"{photo.shape[1]} × {photo.shape[0]}",
        classes=found.top_classes,
        label=_label,
        number=number,
        target=_target(found),
        gradients=None if found.gradients is None else _gradient_pictures(found, photo),
        no_gradients=found.no_gradients,
        charts=[chart for chart in _charts(found) if chart is not None],
        layers=[_layer(found, at, name, count, icons, photo) for at, name in enumerate(found.layers)],
        columns=min(count, MOST_COLUMNS),
        has_icons=bool(icons),
        filters=_filters(found),
        filter_count=0 if found.filters is None else len(found.filters),
        no_filters=found.no_filters,
        weights=[_weight(one) for one in found.weights.values()],
        histogram=HISTOGRAM,
        parameters=sum(parameter.numel() for parameter in found.model.parameters()),
        command=command,
        version=__version__,
    )


def _colors(photo: np.ndarray) -> np.ndarray:
    """Returns a picture [H, W, C] as [H, W, 3]; of other numbers of channels than 1 and 3, their mean."""
    return photo if photo.shape[-1] == 3 else np.repeat(photo.mean(-1, keepdims=True), 3, -1)


def _picture(pixels: np.ndarray, longest: int, fmt: str = "webp") -> dict[str, Any]:
    """Returns a picture's address and its size on the page."""
    from PIL import Image

    height, width = pixels.shape[:2]
    image = Image.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if scale < 1:
        image = image.resize(size, Image.Resampling.LANCZOS)
    url = image_url(np.asarray(image), "png" if image.width * image.height < GRAY**2 // 4 else fmt, domain=(0, 255))
    return {"url": url, "width": size[0], "height": size[1]}


def _label(label: str | None, other: str) -> str:
    """Returns the first of a label's synonyms, or another text for units without a label."""
    return other if label is None else label.split(", ")[0]


def _target(found: Inspection) -> dict[str, str] | None:
    if found.gradients is None:
        return None
    unit = found.gradients
    return {"name": _label(unit.label, unit.target), "unit": unit.target, "score": number(unit.score)}


def _gradient_pictures(found: Inspection, photo: np.ndarray) -> list[dict[str, Any]] | None:
    assert found.gradients is not None
    magnitude = np.nan_to_num(found.gradients.magnitude)
    if not magnitude.any():
        return None
    alone, both = heat_map(magnitude), over(photo, magnitude)
    words = "Magnitude of the gradient at each pixel"
    return [
        {**_picture(alone, LONGEST), "text": words, "caption": "|gradient|"},
        {**_picture(both, LONGEST), "text": f"{words}, over the picture", "caption": "over the picture"},
    ]


def _charts(found: Inspection) -> list[Chart | None]:
    rows = [found.statistics[name] for name in found.layers]
    means = {} if found.gradients is None else found.gradients.means
    return [
        line_chart(
            "Scale of the activations",
            {"maximum": [one.maximum for one in rows], "standard deviation": [one.std for one in rows],
             "|mean|": [abs(one.mean) for one in rows]},
        ),
        line_chart(
            "Silence", {"zeros": [one.zeros for one in rows], "dead channels": [one.dead for one in rows]}, "share"
        ),
        line_chart("Mean |gradient|", {"mean |gradient|": [means.get(name) for name in found.layers]}),
    ]  # fmt: skip


def _layer(
    found: Inspection, at: int, name: str, count: int, icons: Mapping[str, np.ndarray], photo: np.ndarray
) -> dict[str, Any]:
    """Returns the part of a layer."""
    maps, statistics = found.feature_maps[name], found.statistics[name]
    channels = maps.strongest(count)
    most = float(np.nan_to_num(maps.peaks).max())
    cells = []
    for channel in channels:
        unit, peak = unit_name(name, channel), float(maps.peaks[channel])
        cell = {
            "channel": channel,
            "label": _unit_label(found, name, channel),
            "peak": number(peak),
            "share": max(0.0, min(1.0, peak / most)) if most > 0 and np.isfinite(peak) else 0.0,
            "map": None,
            "icon": _icon(icons.get(unit), unit),
        }
        if maps.has_maps:
            cell["map"] = {**_map(found, name, channel, photo), "text": f"Activation of {unit} {_where(found, name)}"}
        cells.append(cell)
    gradient, missing = _layer_gradient(found, name)
    return {
        "number": at + 1,
        "name": name,
        "op": _op(found, name),
        "shape": _shape_text(statistics, maps.has_maps),
        "statistics": statistics,
        "cells": cells,
        "has_maps": maps.has_maps,
        "gradient": gradient,
        "missing": missing,
        "not_rendered": bool(icons) and all(cell["icon"] is None for cell in cells),
    }


def _where(found: Inspection, name: str) -> str:
    return "over the picture" if found.feature_maps[name].covers_picture else "between tokens"


def _map(found: Inspection, name: str, channel: int, photo: np.ndarray) -> dict[str, Any]:
    maps = found.feature_maps[name]
    if maps.covers_picture:
        return _picture(over(photo, np.nan_to_num(maps.heat_map(channel, photo.shape[:2]))), MAP)
    return _picture(heat_map(np.nan_to_num(maps.values[..., channel])), MAP)


def _icon(render_of: np.ndarray | None, unit: str) -> dict[str, Any] | None:
    return None if render_of is None else {**_picture(_colors(render_of), MAP), "text": f"Render of {unit}"}


def _unit_label(found: Inspection, name: str, channel: int) -> str | None:
    label = checked_unit(found.model, Unit(name, channel)).label
    return None if label is None else _label(label, "")


def _op(found: Inspection, name: str) -> str:
    try:
        return str(found.model.network.layers[name].op)
    except (LayerNotFoundError, KeyError, AttributeError):
        return ""


def _shape_text(statistics: Statistics, has_maps: bool) -> str:
    channels, *places = statistics.shape
    text = f"{channels:,} channel{'s' * (channels != 1)}"
    if not places:
        return text
    sizes = " × ".join(map(str, places))
    return (
        f"{text} · {sizes} {'places' if len(places) > 1 and has_maps else 'tokens' if len(places) == 1 else 'values'}"
    )


def _layer_gradient(found: Inspection, name: str) -> tuple[dict[str, Any] | None, str]:
    """Returns a layer's mean |gradient| and strongest channels, or the reason why there are none."""
    if found.gradients is None:
        return None, ""
    if name in found.gradients.missing:
        return None, found.gradients.missing[name]
    values = found.gradients.channels[name]
    strongest = [(one, number(float(values[one]))) for one in found.gradients.strongest(name, 3)]
    return {"mean": number(found.gradients.means[name]), "channels": strongest}, ""


def _filters(found: Inspection) -> list[dict[str, Any]]:
    kernels = [] if found.filters is None else list(found.filters[:MOST_FILTERS])
    shown = []
    for at, kernel in enumerate(kernels):
        levels = np.round(_colors(kernel) * 255).astype(np.uint8)
        shown.append({"url": image_url(levels, "png", domain=(0, 255)), "text": f"Filter {at}"})
    return shown


def _weight(one: Any) -> dict[str, Any]:
    return {
        "name": one.layer,
        "shape": " × ".join(map(str, one.shape)),
        "path": histogram_path(one, *HISTOGRAM),
        "low": number(float(one.edges[0])),
        "high": number(float(one.edges[-1])),
        "zero": _zero(one),
        "std": number(one.std),
        "not_finite": one.not_finite,
    }


def _zero(one: Any) -> float | None:
    """Returns the place of 0 in a histogram; None if it is outside."""
    low, high = float(one.edges[0]), float(one.edges[-1])
    return round(-low / (high - low) * HISTOGRAM[0], 1) if low < 0 < high else None
