"""How a user opens the files of each kind: calls that answer, or raise an error."""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import converters
from lucid_port.figures.run import Request, is_request, make, named_files, open_request
from lucid_port.misc.io import load
from lucid_port.misc.offline import offline
from lucid_port.modelzoo.vision_base import FrozenGraphModel, Model
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import grammar, objectives
from lucid_port.optvis.many.picture_folder import MANIFEST, Finished, PictureFolder, check_folder
from lucid_port.optvis.many.unit_spec import Channels, Unit, parse_units
from lucid_port.optvis.recipe import Recipe, describe_model, missing_model
from lucid_port.optvis.recipe_files import check_output, compare_pictures, read_document, read_recipe
from lucid_port.optvis.recipe_plan import Plan
from lucid_port.recipes.inputs import load_folder, load_image

SIZE = (33, 47)  # of the image for the forward pass
MAX_CHANNELS = 1024  # of that image
MUCH = 400  # a larger number, or a longer list, asks for a large picture or long work
MOST_UNITS = 64
FULL_FIGURES = 6  # one in so many figures is made; the others are only read
MADE_FIGURES = ("fv-channel", "fv-preconditioning", "dp-style-transfer", "bb-channel-attribution")

Call = Callable[[Path], str]


# -- networks ---------------------------------------------------------------------------------------------------------


def _network(name: str) -> Sequence[Call]:
    def run(folder: Path) -> str:
        text = folder / "net.prototxt"
        network = converters.open_source(folder / name, **({"prototxt": text} if text.exists() else {}))
        return _forward(network)

    return (run,)


def _forward(network: Any) -> str:
    """One small forward pass."""
    channels = network.layers[network.metadata.input_name].channels or 3
    if channels > MAX_CHANNELS:
        return "converted"
    height, width, _ = network.metadata.image_shape or (None, None, None)
    small = all(size is not None and 0 < size <= max(SIZE) for size in (height, width))
    size = (height, width) if small else SIZE
    with torch.no_grad():
        network.activations(torch.rand(1, channels, *size), list(network.outputs))
    return "converted and ran"


# -- recipes ----------------------------------------------------------------------------------------------------------


@functools.cache
def tiny() -> Model:
    """The model of all recipes."""
    return TinyInceptionV1()


@functools.cache
def _described() -> Mapping[str, Any]:
    return json.loads(json.dumps(describe_model(tiny())))


def asks_for_much(data: Any) -> bool:
    """Returns whether a number or a list in plain data is large."""
    values = list(_values(data))
    return len(values) > MUCH or any(isinstance(one, (int, float)) and not abs(one) <= MUCH for one in values)


def _values(data: Any) -> Iterator[Any]:
    items = data.values() if isinstance(data, Mapping) else data if isinstance(data, (list, tuple)) else None
    if items is None:
        yield data
        return
    for item in items:
        yield from _values(item)


def _recipe(folder: Path) -> str:
    recipe = read_recipe(folder / "recipe.json")
    model = tiny() if dict(recipe.model) == _described() else recipe.open_model()
    if asks_for_much([recipe.objective, recipe.image, recipe.transforms]):
        recipe.vis(model)
        return "built"
    replace(recipe, steps=1, compile=False).render(model)
    return "rendered"


def _plan(folder: Path) -> str:
    plan = Plan.from_document(read_document(next(folder.glob("plan.*"))))
    target = plan.target() if plan.output else Path("made" if plan.makes_folder else "made.png")
    (check_folder if plan.makes_folder else check_output)(target)
    is_plain = (plan.model, plan.value_range, plan.bgr) == ("TinyInceptionV1", None, None)
    model = tiny() if is_plain else plan.open_model()
    if _is_long(plan) or asks_for_much([plan.size, plan.image, plan.objective, plan.transforms]):
        return "read"
    replace(plan, steps=1, compile=False).run(target, model, [], verbose=False)
    return "rendered"


def _is_long(plan: Plan) -> bool:
    """Returns whether a plan renders many units; channels that no layer has are refused without a render."""
    if plan.units is None:
        return False
    count = 0
    for asked in parse_units(plan.units):
        ranges = asked.ranges or [(0, MUCH)] if isinstance(asked, Channels) else [(0, 0)]
        if any(last > 10 * MUCH for _, last in ranges):
            return False
        count += sum(last - first + 1 for first, last in ranges)
    return count > MOST_UNITS


def _figure(folder: Path) -> str:
    document = read_document(folder / "figure.json")
    if not is_request(document):
        Plan.from_document(document)
        return "read as a plan"
    request = Request.from_data(document)
    with offline(missing_model(request.model)):
        named_files(request)
        model = tiny() if (request.model, request.like) == ("TinyInceptionV1", None) else open_request(request)
        is_drawn = zlib.crc32((folder / "figure.json").read_bytes()) % FULL_FIGURES == 0
        if request.figure not in MADE_FIGURES or not is_drawn or asks_for_much(request.options):
            return "read"
        make(replace(request, steps=1, fast=True), model)
        return "made"


# -- manifests --------------------------------------------------------------------------------------------------------


def _manifest(folder: Path) -> str:
    """Goes on with a folder of pictures, or opens the model of a model's manifest."""
    if (folder / "graph.pb").exists():
        FrozenGraphModel.from_manifest(folder / MANIFEST)
        return "opened"
    data = (folder / MANIFEST).read_bytes()
    try:
        settings = dict(json.loads(data)["settings"])
    except Exception:
        settings = {}
    sheet = bool(settings.pop("sheet", False))
    pictures = PictureFolder(folder, settings, sheet, overwrite=zlib.crc32(data) % 5 == 0)
    try:
        kept = list(pictures.entries)
        unit = Unit(("mixed3a",), 7, objectives.channel("mixed3a", 7))
        pictures.begin(dict.fromkeys([*kept, "another"], unit))
        pictures.add([Finished("another", unit, np.zeros((28, 28, 3), np.float32), 1.0)], _any_recipe())
        pictures.finish([*kept, "another"])
    finally:
        pictures.close()
    return "went on"


@functools.cache
def _any_recipe() -> Recipe:
    seeds: Any = {"seed": 0}
    return Recipe({**_described()}, None, None, None, None, 1, seeds, True)  # type: ignore[typeddict-item]


# -- pictures ---------------------------------------------------------------------------------------------------------


def _of_picture(read: Callable[[Path], object]) -> Call:
    def run(folder: Path) -> str:
        read(next(folder.glob("picture.*")))
        return "read"

    return run


def _all_of(folder: Path) -> str:
    load_folder(folder)
    return "read"


def _compared(path: Path) -> object:
    return compare_pictures(path, np.zeros((9, 14, 3), np.float32))


# -- texts ------------------------------------------------------------------------------------------------------------


def _units(folder: Path) -> str:
    """Parses a text; each picture's own text names the same picture, and an error is at a place inside of the text."""
    text = (folder / "text.units").read_bytes().decode("utf-8", "surrogatepass")
    try:
        pictures = grammar.parse(text)
    except grammar.GrammarError as error:
        if not 0 <= error.position <= len(text):
            raise RuntimeError(f"the position {error.position} is outside of {text!r}") from error
        raise
    for one in pictures[:MOST_UNITS]:
        if _without_places(grammar.parse(str(one))) != _without_places([one]):
            raise RuntimeError(f"{text!r} names another picture than its text {str(one)!r}")
    return "parsed"


def _without_places(pictures: Sequence[grammar.Picture]) -> list[list[grammar.Term]]:
    return [[replace(term, position=0) for term in one.terms] for one in pictures]


OPENERS: Mapping[str, Sequence[Call]] = {
    "pb": _network("graph.pb"),
    "saved": _network(""),
    "caffe": _network("net.caffemodel"),
    "onnx": _network("net.onnx"),
    "recipe": (_recipe,),
    "plan": (_plan,),
    "figure": (_figure,),
    "manifest": (_manifest,),
    "units": (_units,),
    "picture": (*map(_of_picture, (load, load_image, read_document, _compared)), _all_of),
}
"""Kind -> the calls with a folder of its files, each of which answers with a word, or raises."""
