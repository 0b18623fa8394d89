"""What recipes are given: pictures of any kind, layers, units. Checked once, with the same words everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lucid_port.misc import checks
from lucid_port.misc.io.loading import load
from lucid_port.misc.io.serialize_array import PICTURES, to_array
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.precision import strictly
from lucid_port.optvis.many.unit_spec import check_channels, name_of
from lucid_port.optvis.objectives import Objective, as_objective
from lucid_port.optvis.objectives.base import parse_unit

__all__ = [
    "PICTURES",
    "activations_of",
    "as_batch",
    "before_relu",
    "channels_of",
    "check_middle",
    "check_positions",
    "check_units",
    "load_folder",
    "load_image",
    "model_size",
    "named_objectives",
    "named_unit",
    "scaled_size",
    "spatial_activations",
]

PAIRS = "a list of (row, column) pairs"
Size = tuple[int, int]


# Pictures ----------------------------------------------------------------------------------------


def load_image(image: Any, size: int | Sequence[int] | None = None, background: float = 1.0) -> np.ndarray:
    """A picture as recipes want it.

    Args:
        image: a path or address of any mode (grey, palette, alpha, 16 bits, turned by EXIF), or an array [H, W],
            [H, W, 1], [H, W, 3] or [H, W, 4]: floats in [0, 1], or integers up to their type's maximum.
        size: (height, width), or one number for both; the picture's own by default. Resized by Lanczos.
        background: what shows through where the picture is transparent, 0 (black) to 1 (white).

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no picture, or the array has another shape or values outside [0, 1].
        TypeError: it is neither.
    """
    is_path = isinstance(image, (str, os.PathLike))
    pixels = _from_file(image) if is_path else _from_array(image)
    pixels = _without_alpha(pixels, checks.number(background, "background", 0, most=1))
    if size is None:
        return pixels
    height, width = (size, size) if np.ndim(size) == 0 else tuple(size)  # type: ignore[arg-type]
    wanted = (checks.whole(height, "A picture's height", 1), checks.whole(width, "A picture's width", 1))
    return _resized(pixels, wanted)


def _from_file(path: Any) -> np.ndarray:
    if Path(path).suffix.lower() not in PICTURES:
        raise ValueError(f"{path} is no picture: pictures end in {', '.join(PICTURES)}.")
    return load(os.fspath(path))


def _from_array(image: Any) -> np.ndarray:
    array = to_array(image)
    if array.dtype.kind not in "iuf" or array.ndim not in (2, 3) or array.size == 0:
        raise TypeError(f"A picture is a path or an array [height, width, channels], not {checks.shown(image)}.")
    if array.dtype.kind in "iu":
        array = array / np.float32(np.iinfo(array.dtype).max)
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError("The picture has values that are NaN or infinite.")
    if array.min() < -1e-3 or array.max() > 1 + 1e-3:
        raise ValueError(
            f"The picture has values from {array.min():.3g} to {array.max():.3g}; floats are in [0, 1]: "
            "divide by 255, or pass bytes."
        )
    return array.clip(0, 1) if array.ndim == 3 else array.clip(0, 1)[..., None]


def _without_alpha(pixels: np.ndarray, background: float) -> np.ndarray:
    channels = pixels.shape[-1]
    if channels not in (1, 2, 3, 4):
        raise ValueError(f"A picture has 1 to 4 channels, the last axis, not {channels}.")
    if channels in (2, 4):
        alpha = pixels[..., -1:]
        pixels = pixels[..., :-1] * alpha + np.float32(background) * (1 - alpha)
    return np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels


def scaled_size(shape: Sequence[int], factor: float) -> Size:
    """(height, width) of an array of pictures' shape [H, W, ...] times a factor, one pixel at the least."""
    height, width = (max(1, round(side * factor)) for side in shape[:2])
    return height, width


def _resized(pixels: np.ndarray, size: Size) -> np.ndarray:
    if pixels.shape[:2] == size:
        return pixels
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize(size[::-1], Image.Resampling.LANCZOS)
        for plane in np.moveaxis(pixels, -1, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], -1).clip(0, 1)  # Lanczos overshoots


def load_folder(
    folder: str | os.PathLike[str], size: int | Sequence[int] | None = None
) -> tuple[np.ndarray, list[str]]:
    """All pictures of a folder, in the order of their names.

    Args:
        folder: the folder.
        size: as for `load_image`; needed where the pictures differ in size.

    Returns:
        [N, H, W, 3], and a sentence for each file that was left out because it cannot be read.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has no picture that can be read, or the pictures differ in size.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder{' but a file' if folder.exists() else ''}: name one of pictures."
        )
    found, skipped = [], []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES):
        try:
            found.append(load_image(path, size))
        except (OSError, ValueError) as error:
            skipped.append(f"{path.name} was left out: {error}")
    if not found:
        raise ValueError(f"{folder} has no picture that can be read{': ' + skipped[0] if skipped else '.'}")
    if len({picture.shape for picture in found}) > 1:
        raise ValueError(f"The pictures of {folder} differ in size: give a size for all.")
    return np.stack(found), skipped


def model_size(model: Model, otherwise: int = 224) -> Size:
    """(height, width) that a model was trained on; `otherwise` where it does not say."""
    height, width = tuple(getattr(model, "image_shape", (None, None, 3)))[:2]
    return height or otherwise, width or otherwise


# Activations -------------------------------------------------------------------------------------


def as_batch(model: Model, image: np.ndarray) -> torch.Tensor:
    """Pictures [H, W, 3] or [N, H, W, 3] as a model takes them: (N, 3, H, W), on its device."""
    pixels = image[None] if image.ndim == 3 else image
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(own_device(model))


@strictly
def activations_of(model: Model, image: np.ndarray, layers: Iterable[str]) -> dict[str, np.ndarray]:
    """Layers' values for one picture.

    Args:
        model: the model.
        image: [H, W, 3] in [0, 1].
        layers: their names.

    Returns:
        name -> [h, w, C], or [C] for fully connected layers; float32.

    Raises:
        converters.LayerNotFoundError: a name is no layer's.
        converters.InputSizeError: a layer cannot be computed at this size.
    """
    with torch.no_grad():
        found = model.activations(as_batch(model, image), list(layers))
    return {name: channels_last(value) for name, value in found.items()}


def channels_last(value: torch.Tensor) -> np.ndarray:
    """The first image's activation as an array, [h, w, C] or [C]."""
    first = value[0].detach().float().cpu().numpy()
    return np.ascontiguousarray(first.transpose(1, 2, 0)) if first.ndim == 3 else first


def spatial_activations(model: Model, image: np.ndarray, layer: str) -> np.ndarray:
    """One layer's values for one picture, [h, w, C].

    Raises:
        converters.LayerNotFoundError: there is no such layer.
        ValueError: the layer is fully connected, so that it has no positions.
    """
    found = activations_of(model, image, [layer])[layer]
    if found.ndim != 3:
        raise ValueError(
            f"Layer {layer!r} is fully connected: it has {found.shape[-1]} units, but no positions. Name a "
            "convolutional layer."
        )
    return found


def check_middle(value: torch.Tensor, layer: str) -> None:
    """Refuses a layer whose value (N, C, ...) has no positions, of which one would be the middle.

    Raises:
        ValueError: the layer is fully connected.
    """
    if value.dim() != 4:
        raise ValueError(f"Layer {layer!r} is fully connected: it has no middle. Name a convolutional layer.")


def channels_of(model: Model, layer: str) -> int:
    """How many channels a layer has.

    Raises:
        converters.LayerNotFoundError: there is no such layer.
    """
    known = getattr(model.network, "layers", None)
    count = None if known is None else known[layer].channels
    if count is None:  # only running the model tells
        count = activations_of(model, np.zeros((*model_size(model), 3), np.float32), [layer])[layer].shape[-1]
    return int(count)


def check_units(model: Model, layer: str, units: Iterable[Any]) -> list[int]:
    """Channels of a layer, checked to exist.

    Raises:
        converters.LayerNotFoundError: there is no such layer.
        TypeError: they are no list of numbers.
        ValueError: the layer has no such channel, or none is named.
    """
    named = checks.items(units, f"What names units of {layer!r}", "a list of channels")
    numbers = [checks.whole(unit, f"A unit of {layer!r}", 0) for unit in named]
    if not numbers:
        raise ValueError(f"No units of {layer!r} are named.")
    known = getattr(model.network, "layers", None)
    check_channels(layer, numbers, None if known is None else known[layer].channels)
    return numbers


def named_unit(model: Model, unit: Any) -> tuple[str, int]:
    """Layer and channel of a unit, checked to exist.

    Args:
        model: the model.
        unit: `"layer:channel"`, or (layer, channel).

    Raises:
        TypeError: it is neither.
        ValueError: the text is not of that form, or the layer has no such channel.
        converters.LayerNotFoundError: there is no such layer.
    """
    is_pair = isinstance(unit, (tuple, list)) and len(unit) == 2 and isinstance(unit[0], str)
    if not is_pair and not isinstance(unit, str):
        raise TypeError(f"A unit is 'layer:channel' or (layer, channel), not {checks.shown(unit)}.")
    layer, channel = unit if is_pair else parse_unit(unit)
    return layer, check_units(model, layer, [channel])[0]


def named_objectives(wanted: Any) -> list[tuple[str, Objective]]:
    """What pictures maximise, and what to call it.

    Args:
        wanted: a list of objectives, of `"layer:channel"`, or of functions of `T`.

    Raises:
        TypeError: it is none, or an item is nothing of these.
        ValueError: it is empty, or a text is not of that form.
    """
    given = checks.items(wanted, "wanted", "a list of objectives, as in ['mixed4a:476']")
    if not given:
        raise ValueError("wanted has no objectives.")
    made = [as_objective(one) for one in given]
    return [(one if isinstance(one, str) else name_of(own), own) for one, own in zip(given, made, strict=True)]


def before_relu(model: Model, layer: str) -> str:
    """A layer before its ReLU, where the model has it under Lucid's name (`..._pre_relu`); else the layer itself."""
    name = f"{layer}_pre_relu"
    known = getattr(model.network, "layers", None)
    return name if known is not None and name in known else layer


def check_positions(asked: Sequence[Any] | None, rows: int, columns: int) -> list[tuple[int, int]]:
    """Positions of a layer, checked to exist.

    Args:
        asked: (row, column) pairs; None for all.
        rows, columns: of the layer.

    Raises:
        TypeError, ValueError: they are none, or outside of the layer.
    """
    if asked is None:
        return [(row, column) for row in range(rows) for column in range(columns)]
    pairs = [checks.items(one, "A position", "a pair (row, column)") for one in checks.items(asked, "positions", PAIRS)]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"positions is {PAIRS}.")
    found = [(checks.whole(row, "A row"), checks.whole(column, "A column")) for row, column in pairs]
    for row, column in found:
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(f"There is no position ({row}, {column}): the layer has {rows} x {columns}.")
    return found
