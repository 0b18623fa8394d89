"""Attributions: Building Blocks (2018) and its notebooks AttrChannel and AttrSpatial."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.attribution import POOLS, channel_attribution, spatial_attribution
from parity_tests.published.activations import DOG_CAT, FLOWERS, TUX
from parity_tests.published.checks import Record, Run, absolute, check, eight_bit, require
from parity_tests.published.files import Published, Recorder

NOTEBOOK = "nb_channel_attribution_mixed4d.json"
TEASER = "bb_teaser_attr_all6.json"
TEASER_FIELD = "bb_dog_cat_teaser_spatial.npy"
CHANNELS = "bb_dog_cat_channel_attr.json"
MAPS = "nb_spatial_attribution.npz"

DECIMALS = 1e-3  # printed values have three decimals, which can be rounded in two ways

# Cells whose numbers depend on the picture only; numbers of other cells also depend on TensorFlow's draws.
LINEAR = {
    "cell17_out01": (DOG_CAT, "Labrador retriever", "tiger cat"),
    "cell18_out01": (FLOWERS, "vase", "lemon"),
    "cell19_out01": (TUX, "bow tie", "sunglasses"),
    "cell21_out01": (DOG_CAT, "Labrador retriever", "tiger cat"),
}
PATHS = {
    "cell25_out07": (DOG_CAT, "Labrador retriever", "tiger cat"),
    "cell26_out07": (FLOWERS, "vase", "lemon"),
}
PATH_STEPS = 100  # of the notebook, unless a file says N=


# Channels ----------------------------------------------------------------------------------------


def _steps(row: Mapping[str, Any]) -> int:
    said = re.search(r"N=(\d+)", row["what"])
    return PATH_STEPS if said is None else int(said[1])


def _notebook_row(values: np.ndarray, what: str) -> dict[str, Any]:
    order = np.argsort(-values, kind="stable")
    pairs = [[int(number), str(values[number])[:5]] for number in order]
    return {
        "what": what,
        "sorted_attribution_528": values[order].tolist(),
        "top_pos": pairs[:3],
        "top_neg": pairs[-3:],
    }


def _recorded(model: Model, recorder: Recorder, name: str, row: dict[str, Any]) -> None:
    """Adds a row to the notebook's file, which two checks share."""
    path = recorder.folder / NOTEBOOK
    recorder.json(NOTEBOOK, {**(recorder.published.json(NOTEBOOK) if path.exists() else {}), name: row})


def _record_linear(model: Model, recorder: Recorder) -> None:
    for name, (image, toward, against) in LINEAR.items():
        found = channel_attribution(model, recorder.published.path(image), "mixed4d", toward, against)
        _recorded(model, recorder, name, _notebook_row(found.values, "linear"))


def _record_paths(model: Model, recorder: Recorder) -> None:
    for name, (image, toward, against) in PATHS.items():
        path = recorder.published.path(image)
        found = channel_attribution(model, path, "mixed4d", toward, against, path_steps=5)
        _recorded(model, recorder, name, _notebook_row(found.values, "path integrated N=5"))


def _same_attributions(name: str, values: np.ndarray, row: Mapping[str, Any]) -> None:
    """All values in order, and which channels have the first and the last of them."""
    ordered = np.asarray(row["sorted_attribution_528"])
    absolute(f"{name}: attributions in order", -np.sort(-values), ordered, DECIMALS)
    first, last = ([number for number, _ in row[end]] for end in ("top_pos", "top_neg"))
    absolute(f"{name}: channels {first[:3]}", values[first], ordered[: len(first)], DECIMALS)
    absolute(f"{name}: channels {last[-3:]}", values[last], ordered[len(ordered) - len(last) :], DECIMALS)


@check("channel_attribution", DOG_CAT, FLOWERS, TUX, NOTEBOOK, record=_record_linear)
def linear_attribution(model: Model, published: Published) -> None:
    """Contributions of all 528 channels of mixed4d to one class against another, for three pictures."""
    rows = published.json(NOTEBOOK)
    for name, (image, toward, against) in LINEAR.items():
        found = channel_attribution(model, published.path(image), "mixed4d", toward, against)
        _same_attributions(name, found.values, rows[name])


@check("channel_attribution_path", DOG_CAT, FLOWERS, NOTEBOOK, record=_record_paths, slow=True)
def path_attribution(model: Model, published: Published) -> None:
    """The same, integrated along the path from no activation."""
    rows = published.json(NOTEBOOK)
    for name, (image, toward, against) in PATHS.items():
        path, steps = published.path(image), _steps(rows[name])
        found = channel_attribution(model, path, "mixed4d", toward, against, path_steps=steps)
        _same_attributions(name, found.values, rows[name])


TEASERS = {"dog_cat": DOG_CAT, "flowers": FLOWERS, "bowtie_guy": TUX}
"""Teaser -> its lossless picture; the other three have only JPEGs, of which one is known to be another."""


def _pairs(rows: Mapping[str, Any]) -> dict[int, dict[int, float]]:
    """Class -> channel -> attribution."""
    found: dict[int, dict[int, float]] = {}
    for name, entries in rows.items():
        if "-" in name:
            for number, key in zip(map(int, name.split("-")), ("nv0", "nv1"), strict=True):
                known = found.setdefault(number, {})
                known.update({entry["c"]: entry[key] for entry in entries if isinstance(entry, dict)})
    return found


def _record_teaser(model: Model, recorder: Recorder) -> None:
    examples = {}
    for example, image in TEASERS.items():
        both = [channel_attribution(model, recorder.published.path(image), "mixed4d", n).values for n in (176, 55)]
        entries = [{"c": c, "nv0": float(a), "nv1": float(b)} for c, (a, b) in enumerate(zip(*both, strict=True))]
        examples[example] = {"176-55": [*entries[:4], "...", *entries[-4:]], "max": 1.0, "classes": [176, 55]}
        examples[example]["channels"] = [0, 1, 2, 3]
    recorder.json(TEASER, examples)


@check("teaser_attribution", DOG_CAT, FLOWERS, TUX, TEASER, record=_record_teaser)
def teaser_attribution(model: Model, published: Published) -> None:
    """Contributions of channels to each class, as in the article's teaser."""
    examples = published.json(TEASER)
    for example, image in TEASERS.items():
        for number, channels in _pairs(examples[example]).items():
            values = channel_attribution(model, published.path(image), "mixed4d", number).values
            absolute(
                f"{example}: channels toward class {number}", values[list(channels)], [*channels.values()], DECIMALS
            )


def _record_channels(model: Model, recorder: Recorder) -> None:
    rows: dict[str, Any] = {"output": {"l": [{"c": 3, "v": 0.5}, {"c": 7, "v": 0.25}, 1.0]}}
    for layer in ("mixed4a", "mixed4d"):
        both = {n: channel_attribution(model, recorder.published.path(DOG_CAT), layer, n).values for n in (3, 7)}
        channels = range(0, len(both[3]), 3)
        rows[layer] = {
            str(c): {"l": [*({"c": n, "v": round(float(values[c]), 3)} for n, values in both.items()), 1.0]}
            for c in channels
        }
    recorder.json(CHANNELS, rows)


@check("channel_to_class", DOG_CAT, CHANNELS, record=_record_channels)
def channel_to_class(model: Model, published: Published) -> None:
    """Contributions of hundreds of channels of five layers to the five most likely classes."""
    layers = published.json(CHANNELS)
    classes = [entry["c"] for entry in layers.pop("output")["l"] if isinstance(entry, dict)]
    for layer, channels in layers.items():
        for number in classes:
            values = channel_attribution(model, published.path(DOG_CAT), layer, number).values
            theirs = {
                int(channel): entry["v"]
                for channel, row in channels.items()
                for entry in row["l"]
                if isinstance(entry, dict) and entry["c"] == number
            }
            if theirs:
                what = f"{layer}: channels toward class {number}"
                absolute(what, values[list(theirs)], [*theirs.values()], DECIMALS)


# Positions ---------------------------------------------------------------------------------------

CELLS = {
    "native": {
        "cell16_out00": (DOG_CAT, "mixed4d", "mixed5a"),
        "cell17_out00": (DOG_CAT, "mixed4a", "mixed4d"),
        "cell21_out01": (DOG_CAT, "mixed4d", "mixed5a"),
        "cell22_out01": (FLOWERS, "mixed4d", "mixed5a"),
    },
    "smooth": {
        "cell21_out03": (DOG_CAT, "mixed4d", "mixed5a"),
        "cell22_out03": (FLOWERS, "mixed4d", "mixed5a"),
    },
    "smooth_blurred": {
        "cell21_out05": (DOG_CAT, "mixed4d", "mixed5a"),
        "cell22_out05": (FLOWERS, "mixed4d", "mixed5a"),
    },
}
"""Gradient of max pools -> cell of the notebook -> picture, earlier layer, later layer."""


def _map(model: Model, published: Published, cell: tuple[str, str, str], pools: str) -> np.ndarray:
    """[h2, w2, h1, w1]: the positive part over the greatest value, in bytes cut off as the notebook's pictures."""
    image, layer, later = cell
    found = spatial_attribution(model, published.path(image), layer, later, pools=pools)
    return (found.normalised * 255).astype(np.uint8)


def _record_maps(pools: str) -> Record:
    def record(model: Model, recorder: Recorder) -> None:
        path = recorder.folder / MAPS
        known = recorder.published.arrays(MAPS) if path.exists() else {}
        found = {f"{name}_map": _map(model, recorder.published, cell, pools) for name, cell in CELLS[pools].items()}
        recorder.arrays(MAPS, {**known, **found})

    return record


def _check_maps(pools: str) -> Run:
    def run(model: Model, published: Published) -> None:
        maps = published.arrays(MAPS)
        for name, cell in CELLS[pools].items():
            image, layer, later = cell
            what = f"{image}: {later} from {layer}, pools {pools}"
            eight_bit(what, _map(model, published, cell, pools), maps[f"{name}_map"])

    return run


for _pools in POOLS:
    check(f"spatial_attribution_{_pools}", DOG_CAT, FLOWERS, MAPS, record=_record_maps(_pools))(_check_maps(_pools))


def _fields(model: Model, published: Published, rows: Mapping[str, Any], pools: str) -> np.ndarray:
    """[classes, 14, 14, channels], as the teaser shows where channels argue."""
    found = [
        channel_attribution(model, published.path(DOG_CAT), "mixed4d", number, pools=pools).field[..., rows["channels"]]
        for number in rows["classes"]
    ]
    return np.stack(found)


def _record_field(model: Model, recorder: Recorder) -> None:
    rows = recorder.published.json(TEASER)["dog_cat"]
    recorder.array(TEASER_FIELD, _fields(model, recorder.published, rows, "smooth"))


@check("teaser_field", DOG_CAT, TEASER, TEASER_FIELD, record=_record_field)
def teaser_field(model: Model, published: Published) -> None:
    """Where channels argue for each class in the teaser, with one of the smoother pools: it does not say which."""
    rows, theirs = published.json(TEASER)["dog_cat"], published.array(TEASER_FIELD)
    off = {}
    for pools in POOLS[1:]:
        found = _fields(model, published, rows, pools)
        off[pools] = float(np.abs(found - theirs).max() / np.abs(theirs).max())
    said = ", ".join(f"{share:.2g} with pools {pools}" for pools, share in off.items())
    require(min(off.values()) <= DECIMALS, f"The teaser's fields: off by {said} of the greatest value.")
