"""Models and renders of the port for the benchmarks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, render
from lucid_port.optvis.render_many import make_many_T

LAYER = "mixed4a_pre_relu"
Step = Callable[[], torch.Tensor]


def load(graph: str | os.PathLike[str] | None = None, device: str | None = None) -> Model:
    """Returns InceptionV1 from a graph file; without a file, InceptionV1 with seeded weights."""
    model = vision_models.InceptionV1_seeded() if graph is None else vision_models.InceptionV1(graph)
    return model if device is None else model.to(device)


def one_objective(
    model: Model,
    layer: str,
    unit: int,
    size: int = 128,
    images: int = 1,
    seed: int = 0,
    override: bool = True,
    **options: Any,
) -> render.VisT:
    """Returns a render of one unit: one objective for the batch, and defaults of `render_vis` except for `options`."""
    return render.make_vis_T(
        model,
        objectives.channel(layer, unit),
        lambda: param.image(size, batch=images),
        relu_gradient_override=override,
        seed=seed,
        **options,
    )


def many_vis(
    model: Model,
    layer: str,
    units: Sequence[int],
    size: int = 128,
    seed: int = 0,
    override: bool = True,
    precision: str = "float32",
    seeds: Sequence[int] | None = None,
) -> render.VisT:
    """Returns a render of several units in one batch, one image per unit, otherwise with defaults of `render_many`."""
    return make_many_T(
        model,
        [(layer, unit) for unit in units],
        size=size,
        relu_gradient_override=override,
        seed=seed,
        seeds=seeds,
        precision=precision,
    )


def many_units(
    model: Model, layer: str, units: Sequence[int], size: int = 128, seed: int = 0, override: bool = True
) -> Step:
    """Renders several units in one batch, one image per unit.

    Returns:
        A function that makes one step and returns the sum of the units' objective values.
    """
    vis = many_vis(model, layer, units, size, seed, override)
    return lambda: vis.step().sum()


def circumstances(model: Model) -> dict[str, object]:
    """Returns number of threads and device, for the result file."""
    return {"threads": torch.get_num_threads(), "device": device_name(model.device)}


def device_name(device: torch.device) -> str:
    """Returns the GPU's name; for other devices, the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def synchronize(model: Model) -> None:
    """Waits until the model's device has finished its queued work. Call this before you read a clock."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
