"""Reads logs by TensorBoard's own reader."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

ALL = {"scalars": 0, "images": 0, "tensors": 0, "histograms": 0}


def read(folder: Path) -> EventAccumulator:
    """All events of a run."""
    return EventAccumulator(str(folder), size_guidance=ALL).Reload()


def runs(folder: Path) -> list[str]:
    """Names of the runs in a folder, as TensorBoard lists them."""
    return sorted({file.parent.relative_to(folder).as_posix() for file in folder.rglob("events.out.tfevents.*")})


def steps(log: EventAccumulator, tag: str) -> list[int]:
    return [event.step for event in log.Scalars(tag)]


def values(log: EventAccumulator, tag: str) -> list[float]:
    return [event.value for event in log.Scalars(tag)]


def pictures(log: EventAccumulator, tag: str = "image") -> dict[int, Image.Image]:
    """Step -> picture."""
    return {event.step: Image.open(io.BytesIO(event.encoded_image_string)) for event in log.Images(tag)}


def text(log: EventAccumulator, tag: str = "recipe") -> str:
    (event,) = log.Tensors(f"{tag}/text_summary")
    return make_ndarray(event.tensor_proto).item().decode()
