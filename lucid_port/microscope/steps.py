"""The parts of a site: which function does each kind of task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from converters.atomic import write_chunks
from lucid_port.microscope.drawings import Drawings
from lucid_port.microscope.examples import PooledLayer, find_examples
from lucid_port.microscope.executors import Do
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import Pictures
from lucid_port.microscope.plan import Records, Task
from lucid_port.microscope.renders import make_caricature, make_deepdream, render_units

__all__ = ["PARTS", "are_drawings", "parts_of", "publish_examples"]

PARTS: Mapping[str, Do] = {"renders": render_units, "deepdream": make_deepdream, "caricatures": make_caricature}
"""Part -> the function that does its tasks, in a worker."""

CHUNK = 2**22


def parts_of(images: Mapping[str, str]) -> dict[str, str]:
    """Returns the parts that belong to whole layers -> what decides them beside the model.

    Args:
        images: Name -> hash of the pictures whose caricatures are made.
    """
    return {"deepdream": "", **{f"caricatures/{name}": key for name, key in images.items()}}


def are_drawings(pictures: Pictures) -> bool:
    """Whether pictures are the bundled network's own drawings."""
    return isinstance(pictures.data, Drawings)


# Examples ---------------------------------------------------------------------------------------


def publish_examples(places: Places, pooled: PooledLayer, key: str, layer: str) -> None:
    """Writes the arrays and examples of a layer into a site, if it does not have them."""
    task = Task("examples", layer, (), key)
    records = Records(places)
    if records.missing(task) is None and places.examples(layer).is_file():
        return
    records.claim(task)
    places.layer(layer).mkdir(parents=True, exist_ok=True)
    for part in ("max", "mean", "place"):
        write_chunks(places.array(layer, part), _chunks(pooled.folder / f"{part}.npy"))
    find_examples(pooled).save(places.examples(layer))
    records.add(task, {-1: None})


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
