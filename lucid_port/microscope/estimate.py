"""How long a site takes and how large it is, measured by a short trial on this machine."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from converters.signatures import checked
from lucid_port.microscope.crops import COUNT, PROBLEMS, crop_of, webp_of, whole_picture
from lucid_port.microscope.pictures import Pictures
from lucid_port.microscope.plan import Plan, Task
from lucid_port.microscope.renders import webp
from lucid_port.microscope.settings import Originals
from lucid_port.microscope.techniques import TECHNIQUES, render_size
from lucid_port.misc.threads import torch_threads
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.grammar import Channels, Picture, Term
from lucid_port.optvis.render_many import make_many_T
from lucid_port.recipes.inputs import read_layers
from lucid_port.recipes.steps import run_through

__all__ = ["Estimate", "Rates", "measure_rates"]

TRIED = 4
"""Layers that the trial renders; the others are estimated by the nearest of them."""

OPENED = 8
"""Pictures that the trial opens."""

STEPS = 2
"""Updates that are timed, after one that is not."""

POOLED_BYTES = 18
"""Bytes of a unit in a picture: float16, float16 and uint16 in the site, and twice that for resuming."""

PAGE_BYTES = 45_000
"""Bytes of a unit's page with its numbers and icons, as in a site of TinyInceptionV1."""


@checked
@dataclass(frozen=True)
class Estimate:
    """What a site needs.

    Attributes:
        units: Number of units of the site.
        layers: Number of layers.
        renders: Number of pictures to render.
        pictures: Number of pictures of the data.
        seconds: Time.
        bytes: Size on disk.
    """

    units: int
    layers: int
    renders: int
    pictures: int
    seconds: float
    bytes: float

    @property
    def hours(self) -> float:
        return self.seconds / 3600

    def __str__(self) -> str:
        time_ = f"{self.hours:.1f} hours" if self.hours >= 1 else f"{max(1, round(self.seconds / 60))} min"
        return (
            f"{self.units:,} units of {self.layers} layers, {self.renders:,} renders, {self.pictures:,} pictures: "
            f"about {time_} and {self.bytes / 1e9:.2f} GB, by a trial on this machine"
        )


@checked
@dataclass(frozen=True)
class CropRates:
    """Measured times and sizes; zeros if nothing was measured.

    Attributes:
        picture, crop: Seconds to open a picture and to encode it whole, and to cut and encode a crop of it.
        picture_bytes, crop_bytes: Bytes of a whole picture and of a crop.
    """

    picture: float = 0.0
    crop: float = 0.0
    picture_bytes: float = 0.0
    crop_bytes: float = 0.0


def measure_crops(pictures: Pictures, originals: Originals, most: int = OPENED) -> CropRates:
    """Cuts and encodes some pictures of the data as for a site.

    Args:
        pictures: The pictures.
        originals: Which whole pictures a site has.
        most: Number of pictures at most.
    """
    opened: list[Image.Image] = []
    started = time.perf_counter()
    for number in range(0, len(pictures), max(1, len(pictures) // most))[:most]:
        with contextlib.suppress(*PROBLEMS):
            opened.append(pictures.original(number))
    if not opened:
        return CropRates()
    whole = 0 if originals == "none" else sum(len(webp_of(whole_picture(one, originals))) for one in opened)
    cut = time.perf_counter()
    tiles = [np.asarray(crop_of(one, (0.0, 0.0, *one.size))) for one in opened]
    size = len(webp_of(Image.fromarray(np.concatenate(tiles, 1))))
    ended, count = time.perf_counter(), len(opened)
    return CropRates((cut - started) / count, (ended - cut) / count, whole / count, size / count)


NO_CROPS = CropRates()


@checked
@dataclass(frozen=True)
class Rates:
    """Measured times and sizes.

    Attributes:
        update: Layer -> seconds of one update of one render, with all workers at work.
        picture: Seconds to read a picture of the data and to compute all layers.
        render_bytes: Bytes of a published render.
        crops: Seconds and bytes of crops and whole pictures.
    """

    update: Mapping[str, float]
    picture: float
    render_bytes: float
    crops: CropRates = NO_CROPS

    def of_unit(self, plan: Plan, layer: str, techniques: Sequence[str] | None = None) -> float:
        """Returns the seconds of a unit's renders by some techniques; by all of the plan by default."""
        names = plan.techniques if techniques is None else techniques
        return self.update[layer] * plan.settings.steps * sum(TECHNIQUES[name].count for name in names)

    def estimate(self, plan: Plan, missing: Sequence[Task], pictures: int) -> Estimate:
        """Returns what the missing tasks and a pass over a number of pictures need."""
        renders = seconds = 0.0
        for task in missing:
            if task.technique is not None:
                renders += TECHNIQUES[task.technique].count * len(task.units)
                seconds += len(task.units) * self.of_unit(plan, task.layer, [task.technique])
        size = 2 * renders * self.render_bytes  # once published, once for resuming
        size += pictures * (sum(layer.total for layer in plan.layers) * POOLED_BYTES + self.crops.picture_bytes)
        size += plan.units * (PAGE_BYTES + COUNT * self.crops.crop_bytes)
        seconds += pictures * (self.picture + self.crops.picture) + plan.units * COUNT * self.crops.crop
        return Estimate(plan.units, len(plan.layers), round(renders), pictures, seconds, size)


@checked
def measure_rates(
    model: Model, plan: Plan, missing: Sequence[Task], pictures: Pictures | None, workers: int, threads: int
) -> Rates:
    """Renders a few updates in a few layers, and reads one batch of pictures.

    Args:
        model: The model.
        plan: The plan.
        missing: The tasks that are not done.
        pictures: The data, if the pass over it is not done.
        workers: Number of workers that share the tasks.
        threads: Threads of each of them.
    """
    layers = list(dict.fromkeys(task.layer for task in missing if task.technique is not None))
    count = min(TRIED, len(layers))
    tried = [layers[round(at * (len(layers) - 1) / max(1, count - 1))] for at in range(count)]
    update, size = {}, 0.0
    with torch_threads(threads):
        for layer in tried:
            units = next(task.units for task in missing if task.layer == layer and task.technique is not None)
            update[layer], size = _update(model, plan, layer, units[: plan.settings.batch_size])
    nearest = {layer: min(tried, key=lambda one: abs(layers.index(one) - layers.index(layer))) for layer in layers}
    rates = {layer: update[one] / workers for layer, one in nearest.items()}
    if pictures is None:
        return Rates(rates, 0.0, size)
    return Rates(rates, _picture(model, plan, pictures), size, measure_crops(pictures, plan.settings.originals))


def _update(model: Model, plan: Plan, layer: str, units: Sequence[int]) -> tuple[float, float]:
    """Returns the seconds of an update of one render, and the bytes of a picture."""
    texts = [str(Picture((Term(Channels(layer, ((unit, unit),))),))) for unit in units]
    vis = make_many_T(model, texts, relu_gradient_override=True, size=render_size(model, layer, plan.settings))

    def now() -> float:
        _wait(model)
        return time.perf_counter()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of units that never fire
        (started, ended), _ = run_through(vis, [1, 1 + STEPS], now)
    seconds = (ended - started) / STEPS / len(units)
    return seconds, float(len(webp((vis.image()[0].clip(0, 1) * 255).astype("uint8"))))


def _picture(model: Model, plan: Plan, pictures: Pictures) -> float:
    """Returns the seconds of a picture of the data."""
    started = time.perf_counter()
    (batch,) = pictures.batches(plan.settings.pictures_in_batch, 0, plan.settings.pictures_in_batch)
    images = batch.images.to(model.device)
    if images.ndim != 4:  # no picture of the batch can be read
        return 0.0
    if model.image_shape[-1] == 1:
        images = images.mean(1, keepdim=True)
    with torch.inference_mode():
        read_layers(model, images, [layer.name for layer in plan.layers])
    _wait(model)
    return (time.perf_counter() - started) / len(images)


def _wait(model: Model) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
