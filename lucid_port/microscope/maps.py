"""Maps of tokens: where in its strongest examples a unit of a transformer responds.

A token's crop says little about the picture, as every token can read all patches. A map shows the whole picture as the
network gets it: the brighter a patch, the stronger the unit's activation there.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from converters.atomic import write_bytes
from converters.signatures import checked
from lucid_port.microscope.crops import GRAY, METHOD, QUALITY, CropLayer
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import Pictures
from lucid_port.microscope.settings import hash_of
from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.inputs import read_layers

__all__ = ["COUNT", "SIDE", "map_of", "write_maps"]

COUNT = 4
"""Maps of a unit: those of its strongest examples."""

SIDE = 128
"""Height and width of a map in pixels."""

DIM = 0.2
"""Brightness of patches that do not respond, of 1."""


@checked
def map_of(image: np.ndarray, values: np.ndarray) -> Image.Image:
    """Draws where a unit responds in an image.

    Args:
        image: [height, width, 3] in [0, 1].
        values: [rows, columns]: activations; those below 0 count as 0.

    Returns:
        The image, `SIDE` pixels, whose patches are as bright as the unit's activation, in proportion to the strongest.

    Example:
        >>> drawn = map_of(np.ones((8, 8, 3)), np.array([[0.0, 2.0]]))
        >>> drawn.getpixel((20, 64)), drawn.getpixel((100, 64))
        ((51, 51, 51), (255, 255, 255))
    """
    strength = np.nan_to_num(values).clip(0)
    light = DIM + (1 - DIM) * strength / (strength.max() or 1)
    height, width = image.shape[:2]
    plane = Image.fromarray(light.astype(np.float32)).resize((width, height), Image.Resampling.NEAREST)
    pixels = (image.clip(0, 1) * np.asarray(plane)[..., None] * 255).round().astype(np.uint8)
    return ImageOps.pad(Image.fromarray(pixels), (SIDE, SIDE), color=(GRAY,) * 3)


@dataclass(frozen=True)
class _Sprite:
    """A sprite to make."""

    layer: str
    unit: int
    numbers: tuple[int, ...]
    path: Path
    hash: str


@checked
def write_maps(
    model: Model,
    pictures: Pictures,
    places: Places,
    layers: Mapping[str, CropLayer],
    key: str,
    batch_size: int = 32,
) -> int:
    """Writes the maps of all units of layers of tokens, `data/LAYER/maps/UNIT.webp`; those that exist are kept.

    Args:
        model: The model.
        pictures: The pictures.
        places: The site.
        layers: Name of a layer -> its examples and units; layers without tokens are left out.
        key: Hash of the model.
        batch_size: Number of pictures in a batch.

    Returns:
        Number of sprites that were made.
    """
    tokens = {name: layer for name, layer in layers.items() if layer.fields.kind == "patches"}
    notes = places.state / "maps.json"
    done = _read_notes(notes)
    missing = [
        sprite
        for name, layer in tokens.items()
        for sprite in _sprites(places, pictures, name, layer, key)
        if done.get(str(sprite.path.relative_to(places.root))) != sprite.hash or not sprite.path.is_file()
    ]
    if not missing:
        return 0
    tiles = np.full((len(missing), COUNT, SIDE, SIDE, 3), GRAY, np.uint8)
    wanted: dict[int, list[tuple[int, int]]] = {}
    for row, sprite in enumerate(missing):
        for slot, number in enumerate(sprite.numbers):
            wanted.setdefault(number, []).append((row, slot))
    for numbers, images in _batches(pictures, sorted(wanted), batch_size):
        values = _values(model, images, list(tokens))
        for at, number in enumerate(numbers):
            image = images[at].permute(1, 2, 0).numpy()
            for row, slot in wanted[number]:
                sprite = missing[row]
                tiles[row, slot] = np.asarray(map_of(image, values[sprite.layer][at, sprite.unit]))
    for row, sprite in enumerate(missing):
        sprite.path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(sprite.path, _webp(np.concatenate(list(tiles[row]), 1)))
        done[str(sprite.path.relative_to(places.root))] = sprite.hash
    notes.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(notes, json.dumps(done).encode())
    return len(missing)


def _sprites(places: Places, pictures: Pictures, name: str, layer: CropLayer, key: str) -> Iterator[_Sprite]:
    for unit in layer.shown:
        numbers = tuple(number for number in layer.examples.top.numbers[unit, :COUNT].tolist() if number >= 0)
        keys = [pictures.entries[number].key for number in numbers]
        what = hash_of([key, repr(pictures.prepare), SIDE, DIM, keys])
        yield _Sprite(name, unit, numbers, places.maps(name, unit), what)


def _batches(pictures: Pictures, numbers: Sequence[int], size: int) -> Iterator[tuple[list[int], Tensor]]:
    """Yields the numbers and the prepared images of pictures; those that cannot be read are left out."""
    for start in range(0, len(numbers), size):
        read = [(number, pictures[number][0]) for number in numbers[start : start + size]]
        known = [(number, image) for number, image in read if image is not None]
        if known:
            yield [number for number, _ in known], torch.stack([image for _, image in known])


def _values(model: Model, images: Tensor, layers: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns layer -> the activations of its patches, float32 [images, units, rows, columns]."""
    given = images.mean(1, keepdim=True) if model.image_shape[-1] == 1 else images
    with torch.inference_mode():
        found = read_layers(model, given.to(model.device), layers)
        return {layer: value.places().float().cpu().numpy() for layer, value in found.items()}


def _webp(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=QUALITY, method=METHOD)
    return stream.getvalue()


def _read_notes(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # lost notes cost only time
        return {}
