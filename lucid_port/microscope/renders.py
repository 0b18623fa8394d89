"""Pictures that a network makes: renders of units, DeepDreams of layers, and caricatures of a user's pictures.

Each is a task whose result is a file of the site. Renders are read once more by the network, as a picture of the data
is: the activation that a render reaches says how far to believe it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from converters.atomic import write_bytes
from converters.signatures import checked
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import PICTURE_CHANNELS, preparation
from lucid_port.microscope.plan import Records, Task
from lucid_port.microscope.settings import Settings
from lucid_port.microscope.techniques import TECHNIQUES, Made
from lucid_port.misc.io.serialize_array import serialize_array
from lucid_port.modelzoo.preprocessing import Preprocessing
from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.caricature import caricature
from lucid_port.recipes.deepdream import deepdream
from lucid_port.recipes.inputs import model_size, read_layers

__all__ = ["activations_of_pictures", "make_caricature", "make_deepdream", "render_units"]

QUALITY = 85
"""Quality of WebP files."""

DREAMS = 2
"""Side of a DeepDream as a multiple of that of a render, whose smallest octave then holds several patterns."""

GRAY, NOISE = 0.5, 0.1
"""Mean and standard deviation of the noise that a DeepDream starts from."""

RATE = 0.06
"""Length of an update of a DeepDream: noise has nothing to keep, so that it may be longer than for a photograph."""

Report = Callable[[int], None]
"""Is called with the number of results that are in place."""


@checked
def render_units(places: Places, model: Model, settings: Settings, task: Task, report: Report) -> None:
    """Makes the renders of a task that are missing, and publishes them.

    Args:
        places: The site.
        model: The model.
        settings: The settings of the site.
        task: A task with a technique.
        report: Called for each batch that is in place.
    """
    technique = TECHNIQUES[str(task.technique)]
    records, prepare = Records(places), preparation(model)
    left = records.missing(task)
    if left is None:  # another worker was ended behind the last result
        return
    records.claim(task)
    _write_recipe(places, settings, task)  # first, as a task whose pictures are all recorded is not done again
    folder = places.task(task.part, task.layer, task.name)
    for batch in technique.render(model, task.layer, left.units, settings, folder):
        values = _values(model, prepare, task.layer, batch)
        for made in batch:
            strip = np.concatenate(list(made.pictures), 1)
            path = places.render(task.layer, technique.name, made.unit)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, webp(strip, made.recipe))
        records.add(task, {made.unit: value for made, value in zip(batch, values, strict=True)})
        report(len(batch))


def webp(picture: np.ndarray, recipe: str = "") -> bytes:
    """Returns a picture as a WebP file that carries its recipe."""
    return serialize_array(picture, (0, 255), "webp", QUALITY, recipe or None)


def _write_recipe(places: Places, settings: Settings, task: Task) -> None:
    """Writes the settings that a technique's pictures share, for people and scripts; each picture carries its own."""
    path = places.recipe(task.layer, str(task.technique))
    technique = TECHNIQUES[str(task.technique)]
    shared = {name: getattr(settings, name) for name in ("size", "steps", "seed", "batch_size")}
    about = {"technique": technique.name, "title": technique.title, "pictures": technique.count, "layer": task.layer}
    data = json.dumps({**about, "key": task.key, **shared}, indent=1).encode()
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)


# The activation of a render ---------------------------------------------------------------------


def _values(model: Model, prepare: Preprocessing, layer: str, batch: Sequence[Made]) -> list[float | None]:
    """Returns the activation that each unit has in its pictures.

    It is None if it is not finite, and if the network takes images of another number of channels than pictures have.
    """
    if model.image_shape[-1] not in PICTURE_CHANNELS:
        return [None] * len(batch)
    pictures = [picture for made in batch for picture in made.pictures]
    owners = [index for index, made in enumerate(batch) for _ in made.pictures]
    reached = activations_of_pictures(model, prepare, layer, pictures)
    best = np.full(len(batch), -np.inf)
    for picture, owner in enumerate(owners):
        best[owner] = np.fmax(best[owner], reached[picture, batch[owner].unit])
    return [float(value) if np.isfinite(value) else None for value in best]


@checked
def activations_of_pictures(
    model: Model, prepare: Callable[[Image.Image], torch.Tensor], layer: str, pictures: Sequence[np.ndarray]
) -> np.ndarray:
    """Returns each unit's strongest activation over all places in pictures that are prepared like the data.

    Args:
        model: The model.
        prepare: Resizes and crops a picture.
        layer: Name of the layer.
        pictures: uint8 arrays [height, width, channels] or [height, width].

    Returns:
        float32 [pictures, units].
    """
    images = torch.stack([prepare(_as_picture(one)) for one in pictures]).to(model.device)
    if model.image_shape[-1] == 1:
        images = images.mean(1, keepdim=True)
    with torch.inference_mode():
        value = read_layers(model, images, [layer])[layer]
        cells = value.places() if value.layout.has_places else value.first
        top = cells.float().flatten(2).amax(2) if cells.ndim > 2 else cells.float()
    return top.cpu().numpy()


def _as_picture(array: np.ndarray) -> Image.Image:
    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array).convert("RGB")


# Pictures of layers -----------------------------------------------------------------------------


@checked
def make_deepdream(places: Places, model: Model, settings: Settings, task: Task, report: Report) -> None:
    """Makes the DeepDream of a layer: noise that is changed so that the whole layer responds more.

    A layer without places, or one that takes a single size of images, has none.
    """
    side = DREAMS * settings.size
    noise = np.random.default_rng(settings.seed).normal(GRAY, NOISE, (side, side, model.image_shape[-1] or 3))
    layer = read_layers(model, _noise_batch(model), [task.layer])[task.layer]
    Records(places).claim(task)
    if layer.layout.has_places and model.image_shape[-1] != 1:
        try:
            start = noise.clip(0, 1).astype(np.float32)
            made = deepdream(model, start, task.layer, steps=settings.dream_steps, rate=RATE, seed=settings.seed)
        except ValueError:  # the network takes images of one size, and the octaves have others
            pass
        else:
            path = places.deepdream(task.layer)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, webp(_levels(made.pictures[0])))
    Records(places).add(task, {-1: None})
    report(1)


def _levels(picture: np.ndarray) -> np.ndarray:
    """Returns a picture of values in [0, 1] as uint8; NaN of a network that overflows becomes black."""
    return (np.nan_to_num(picture).clip(0, 1) * 255).astype(np.uint8)


def _noise_batch(model: Model) -> torch.Tensor:
    height, width = model_size(model)
    return torch.full((1, model.image_shape[-1] or 3, height, width), GRAY, device=model.device)


@checked
def make_caricature(places: Places, model: Model, settings: Settings, task: Task, report: Report) -> None:
    """Makes the caricature of a user's picture in a layer; the part of the task is "caricatures/NAME"."""
    name = task.part.partition("/")[2]
    picture = caricature_source(places, name)
    made = caricature(str(picture), model, task.layer, settings.steps, verbose=False, seed=settings.seed)
    Records(places).claim(task)
    path = places.caricature(task.layer, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, webp(_levels(made.pictures[0])))
    Records(places).add(task, {-1: None})
    report(1)


def caricature_source(places: Places, name: str) -> Path:
    """Returns the place of the copy of a user's picture whose caricatures are made."""
    return places.state / "images" / f"{name}.png"


def picture_name(path: Path) -> str:
    """Returns the name that a user's picture has in a site.

    Example:
        >>> picture_name(Path("My Dog.JPG"))
        'my_dog'
    """
    return re.sub(r"[^a-z0-9-]+", "_", path.stem.lower()).strip("_")[:60] or "picture"
