"""Inputs that recipes share: pictures, layers, units and positions, converted and checked in one place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from converters import checks
from converters.errors import LayerNotFoundError
from converters.network.request import LayerRequest
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.misc.io.loading import open_picture
from lucid_port.misc.io.pictures import Use, gray, pixels_of, strips_of, unit_floats, upright, without_alpha
from lucid_port.misc.io.serialize_array import PICTURES, to_array
from lucid_port.misc.tensors import as_tensor
from lucid_port.modelzoo.layouts import Layout, layout_of, plain_layout
from lucid_port.optvis.engine.coerce import Model, as_computing, image_shape, layer_info
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.precision import strictly
from lucid_port.optvis.many.unit_spec import name_of
from lucid_port.optvis.objectives import Objective, as_objective
from lucid_port.optvis.objectives.base import ObjectiveFunction, parse_unit
from lucid_port.optvis.objectives.from_text import check_channels

__all__ = [
    "PICTURES",
    "activations_of",
    "as_batch",
    "before_relu",
    "channels_of",
    "check_middle",
    "check_positions",
    "check_units",
    "height_and_width",
    "load_folder",
    "load_image",
    "model_size",
    "named_objectives",
    "named_unit",
    "scaled_size",
    "spatial_activations",
]

LARGE = 2**24
"""Number of pixels of a picture above which it is resized in strips."""
PAIRS = "a list of (row, column) pairs"

ClassLike = int | str
"""A class, by its number or its label."""
ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray | torch.Tensor | Sequence[Any]
"""A picture: a path or address, Pillow's image, or an array, tensor or nested list; see `load_image`."""
ObjectiveLike = str | Objective | ObjectiveFunction
"""`"layer:channel"`, an objective, or a function of `T`."""
PositionsLike = Iterable[Sequence[int]]
"""Positions of a layer: (row, column) pairs."""
Size = tuple[int, int]
"""(height, width) in pixels."""
SizeLike = int | Sequence[int]
"""(height, width) in pixels, or one number for both."""
UnitLike = str | tuple[str, int]
"""A channel of a layer: `"layer:channel"` or (layer, channel)."""


# Pictures ----------------------------------------------------------------------------------------


@checked
def load_image(image: ImageLike, size: SizeLike | None = None, background: float = 1.0) -> np.ndarray:
    """Loads a picture, or converts an array to one.

    Args:
        image: a path or address of a picture, or Pillow's image, of any mode (gray, palette, alpha, CMYK, 16 bits,
            rotated by EXIF), or an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]: floats in [0, 1], uint8 (0 to 255)
            or uint16 (0 to 65535).
        size: (height, width), or one number for both. The picture is resized by Lanczos; None keeps its size.
        background: gray value behind transparent pixels, from 0 (black) to 1 (white).

    Returns:
        float32 [H, W, 3] in [0, 1].

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a picture, or the array has another shape or values outside [0, 1].
        TypeError: `image` is neither a path nor an array of numbers.

    Example:
        >>> import numpy as np
        >>> load_image(np.zeros((4, 6), np.uint8), size=(8, 12)).shape
        (8, 12, 3)
    """
    wanted, gray_value = (
        None if size is None else height_and_width(size),
        checks.number(background, "background", 0, most=1),
    )
    if isinstance(image, (str, os.PathLike)):
        picture = _from_file(image, "floats" if wanted is None else "resized")
        return _converted(picture, wanted, gray_value)
    pixels = _without_alpha(_from_array(image), gray_value)
    return pixels if wanted is None else _resized(pixels, wanted)


@checked
def height_and_width(size: SizeLike) -> Size:
    """Converts one number, or (height, width), to (height, width).

    Raises:
        TypeError, ValueError: `size` is neither, a number is not whole and above 0, or the picture is too large.

    Example:
        >>> height_and_width(8), height_and_width([8, 12])
        ((8, 8), (8, 12))
    """
    is_list = isinstance(size, Iterable) and getattr(size, "ndim", 1) > 0
    height, width = checks.sizes(size if is_list else (size, size), "size", 2)
    checks.fits((height, width, 3), "A picture")
    return height, width


def load_scaled(image: ImageLike, longest: int | None) -> np.ndarray:
    """A picture as from `load_image` whose longer side has `longest` pixels; None keeps its size.

    Raises:
        TypeError, ValueError: as `load_image`, or `longest` is not a whole number from 1 on.
    """
    if longest is None:
        return load_image(image)
    longest = checks.whole(longest, "size", 1)
    if isinstance(image, (str, os.PathLike)):
        picture = _from_file(image, "resized")
        size = scaled_size((picture.height, picture.width), longest / max(picture.size))
        return _converted(picture, size, 1.0)
    pixels = load_image(image)
    return load_image(pixels, scaled_size(pixels.shape, longest / max(pixels.shape[:2])))


def _from_file(path: str | os.PathLike[str], use: Use) -> Image.Image:
    path = user_path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name one of its pictures.")
    if not path.exists():
        raise FileNotFoundError(f"There is no picture {path}.")
    if path.suffix.lower() not in PICTURES:
        raise ValueError(f"{path} is no picture: the names of pictures end in {', '.join(PICTURES)}.")
    return upright(open_picture(path, use))


def _converted(picture: Image.Image, size: Size | None, background: float) -> np.ndarray:
    """The pixels of an upright picture, float32 [H, W, 3].

    A large picture is not converted as a whole if a size is asked for: rows are resized in strips, and then columns.
    """
    if size is None or picture.width * picture.height <= LARGE:
        pixels = _without_alpha(pixels_of(picture), background)
        return pixels if size is None else _resized(pixels, size)
    strips = (_without_alpha(strip, background) for _, strip in strips_of(picture))
    narrow = np.concatenate([_stretched(strip, (len(strip), size[1])) for strip in strips])
    return _stretched(narrow, size).clip(0, 1)


def _from_array(image: Image.Image | np.ndarray | torch.Tensor | Sequence[Any]) -> np.ndarray:
    array = pixels_of(image) if isinstance(image, Image.Image) else to_array(image)
    if array.dtype.kind not in "iuf" or array.ndim not in (2, 3) or array.size == 0:
        raise TypeError(f"A picture is a path or an array [height, width, channels], not {checks.shown(image)}.")
    array = unit_floats(array)
    if not np.isfinite(array).all():
        raise ValueError("The picture has values that are NaN or infinite.")
    if array.min() < -1e-3 or array.max() > 1 + 1e-3:
        raise ValueError(
            f"The picture has values from {array.min():.3g} to {array.max():.3g}, but floats must be in [0, 1]: "
            "divide by 255, or pass bytes."
        )
    return array.clip(0, 1).reshape(*array.shape[:2], -1)


def _without_alpha(pixels: np.ndarray, background: float) -> np.ndarray:
    channels = pixels.shape[-1]
    if channels not in (1, 2, 3, 4):
        raise ValueError(f"A picture has 1 to 4 channels on its last axis, not {channels}.")
    pixels = without_alpha(pixels, background)
    return np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels


@checked
def scaled_size(shape: Sequence[int], factor: float) -> Size:
    """(height, width) of a shape [H, W, ...] times a factor, rounded, at least 1 pixel each.

    Example:
        >>> scaled_size((224, 200, 3), 0.5)
        (112, 100)
    """
    height, width = (max(1, round(side * factor)) for side in shape[:2])
    return height, width


def _resized(pixels: np.ndarray, size: Size) -> np.ndarray:
    if pixels.shape[:2] == size:
        return pixels
    return _stretched(pixels, size).clip(0, 1)  # Lanczos overshoots


def _stretched(pixels: np.ndarray, size: Size) -> np.ndarray:
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize(size[::-1], Image.Resampling.LANCZOS)
        for plane in np.moveaxis(pixels, -1, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], -1)


@checked
def load_folder(folder: str | os.PathLike[str], size: SizeLike | None = None) -> tuple[np.ndarray, list[str]]:
    """Loads all pictures of a folder, ordered by name.

    Args:
        folder: path of the folder.
        size: as for `load_image`; required if the pictures differ in size.

    Returns:
        The pictures, float32 [N, H, W, 3], and one sentence for each file that could not be read.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the folder has no readable picture, or its pictures differ in size.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (6, 4)).save(f"{folder}/a.png")
        ...     pictures, skipped = load_folder(folder)
        >>> pictures.shape, skipped
        ((1, 4, 6, 3), [])
    """
    folder = user_path(folder)
    if not folder.is_dir():
        kind = "is a file, which is no folder" if folder.exists() else "is no folder"
        raise FileNotFoundError(f"{folder} {kind}: name a folder of pictures.")
    found, skipped = [], []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file()):
        try:
            found.append(load_image(path, size))
        except (OSError, ValueError) as error:
            skipped.append(f"{path.name} was left out: {error}")
    if not found:
        raise ValueError(f"{folder} has no picture that can be read{': ' + skipped[0] if skipped else '.'}")
    if len({picture.shape for picture in found}) > 1:
        raise ValueError(f"The pictures of {folder} differ in size: pass a size for all.")
    # A large picture alone is not copied.
    return found[0][None] if len(found) == 1 else np.stack(found), skipped


@checked
def model_size(model: Model, otherwise: int = 224) -> Size:
    """(height, width) of the images that a model was trained on; `otherwise` if the model does not state it.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> model_size(TinyInceptionV1())
        (96, 96)
    """
    height, width, _ = image_shape(model)
    return height or otherwise, width or otherwise


# Activations -------------------------------------------------------------------------------------


@checked
def as_batch(model: Model, image: np.ndarray) -> torch.Tensor:
    """Converts pictures [H, W, C] or [N, H, W, C] to a batch (N, C, H, W) on the model's device.

    Args:
        model: the model. If it takes images of one channel, colors become gray as in Pillow (0.299, 0.587, 0.114).
        image: floats in [0, 1], uint8 or uint16.

    Raises:
        TypeError: the pictures have numbers of another type.
        ValueError: the array has other axes, or no pixels.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> as_batch(TinyInceptionV1(), np.zeros((32, 40, 3), np.float32)).shape
        torch.Size([1, 3, 32, 40])
    """
    if image.ndim not in (3, 4) or not image.size:
        raise ValueError(f"Pictures are an array [H, W, C] or [N, H, W, C] with pixels, not {checks.shown(image)}.")
    pixels = unit_floats(image[None] if image.ndim == 3 else image)
    if image_shape(model)[-1] == 1 and pixels.shape[-1] == 3:
        pixels = gray(pixels)
    return as_tensor(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(own_device(model))


@strictly
@checked
def activations_of(model: Model, image: np.ndarray, layers: Iterable[str]) -> dict[str, np.ndarray]:
    """The activations of layers for one picture.

    Args:
        model: the model.
        image: [H, W, 3] in [0, 1].
        layers: names of layers.

    Returns:
        layer -> float32 [h, w, C], [C] if the layer is fully connected, or [L, C] if it has L tokens.

    Raises:
        converters.LayerNotFoundError: a layer does not exist.
        converters.ChannelAxisError: the axes of a layer are not known.
        converters.InputSizeError: a layer cannot be computed at this size.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = activations_of(TinyInceptionV1(), np.full((32, 32, 3), 0.5, np.float32), ["mixed4a"])
        >>> found["mixed4a"].shape
        (2, 2, 127)
    """
    with torch.no_grad():
        found = read_layers(model, as_batch(model, image), list(layers))
    return {name: one.array() for name, one in found.items()}


@dataclass(frozen=True)
class LayerValue:
    """An activation, or a gradient of the same shape, and the layout of its layer.

    Attributes:
        value: the network's own tensor.
        layout: its axes.
        images: number of images.
    """

    value: torch.Tensor
    layout: Layout
    images: int = 1

    def holding(self, value: torch.Tensor) -> LayerValue:
        """Another tensor of the same layout."""
        return replace(self, value=value)

    @property
    def first(self) -> torch.Tensor:
        """The tensor with the channels first, (N, C, ...), a view."""
        return self.layout.channels_first(self.value)

    def places(self) -> torch.Tensor:
        """The tensor by places in the image, (N, C, rows, columns), a view without tokens that have no place.

        Raises:
            ValueError: the layer has no rows and columns, or splits an image into windows.
        """
        places = self.layout.in_places(self.first)
        if len(places) != self.images:
            windows = f"{len(places) // self.images} windows"
            raise ValueError(f"Layer {self.layout.layer!r} splits an image into {windows}: it has no positions in it.")
        return places

    def array(self) -> np.ndarray:
        """The value for the only image of a batch: float32 [h, w, C], [C], or [L, C] of L tokens.

        A layer that flattens positions or windows into rows has one more axis in front.
        """
        return _last(self.first)

    def arranged(self) -> np.ndarray:
        """As `array`, but [rows, columns, C] for tokens on a grid."""
        whole = self.first
        return _last(self.places() if self.layout.has_places and len(whole) == self.images else whole)


def _last(first: torch.Tensor) -> np.ndarray:
    """The value of one image (rows, C, ...) as float32 [..., C]; without the axis of rows if there is one row."""
    last = first.detach().movedim(1, -1).float().cpu().numpy()
    return np.ascontiguousarray(last[0] if len(last) == 1 else last)


def read_layers(model: Model, images: torch.Tensor, layers: Sequence[str]) -> dict[str, LayerValue]:
    """Reads layers for images (N, 3, H, W) in [0, 1]; gradients flow between the values.

    Raises:
        converters.LayerNotFoundError: a layer does not exist.
        converters.ChannelAxisError: the axes of a layer are not known.
        converters.InputSizeError: a layer cannot be computed at this size.
    """
    height, width = images.shape[2:]
    # Not `activations`, which warns about values outside of [0, 1].
    values = as_computing(model).compute(images, LayerRequest(tuple(layers)))
    count = len(images)
    return {
        name: LayerValue(value, layout_of(layer_info(model, name), name, value, (height, width), count), count)
        for name, value in values.items()
    }


@strictly
@checked
def spatial_activations(model: Model, image: np.ndarray, layer: str) -> np.ndarray:
    """The activation of a layer with positions for one picture [H, W, 3], float32 [h, w, C].

    In a layer of tokens, the positions are those of the patches; the class token and other tokens are left out.

    Raises:
        converters.LayerNotFoundError: the layer does not exist.
        ValueError: the layer has no rows and columns: it is fully connected, or has tokens that are not on a grid.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> spatial_activations(TinyInceptionV1(), np.zeros((32, 32, 3), np.float32), "mixed4a").shape
        (2, 2, 127)
    """
    with torch.no_grad():
        places = read_layers(model, as_batch(model, image), [layer])[layer].places()
    return _last(places)


@checked
def check_middle(value: torch.Tensor | np.ndarray, layer: str) -> None:
    """Checks that the activation of a layer, with its batch axis, has positions.

    Raises:
        ValueError: the layer is fully connected.

    Example:
        >>> import numpy as np
        >>> check_middle(np.zeros((1, 28)), "softmax2")
        Traceback (most recent call last):
        ValueError: Layer 'softmax2' is fully connected: it has no positions. Read it with objectives.channel, ...
    """
    layout = plain_layout(layer, value.ndim)
    if not layout.has_places:
        raise ValueError(layout.no_places())


@checked
def channels_of(model: Model, layer: str) -> int:
    """The number of channels of a layer.

    Raises:
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> channels_of(TinyInceptionV1(), "mixed3a")
        64
    """
    info = layer_info(model, layer)
    count = None if info is None else info.channels
    if count is None or (info is not None and info.unknown):  # run the model, which raises if the axes are not known
        shape = (*model_size(model), image_shape(model)[-1] or 3)
        count = activations_of(model, np.zeros(shape, np.float32), [layer])[layer].shape[-1]
    return int(count)


# Units -------------------------------------------------------------------------------------------


@checked
def check_units(model: Model, layer: str, units: Iterable[int]) -> list[int]:
    """Converts channel numbers of a layer to a list, and checks that the channels exist.

    Raises:
        converters.LayerNotFoundError: the layer does not exist.
        TypeError: `units` is not a list of numbers.
        ValueError: the layer has no such channel, or `units` is empty.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> check_units(TinyInceptionV1(), "mixed3a", np.arange(3))
        [0, 1, 2]
    """
    named = checks.items(units, f"The argument for units of {layer!r}", "a list of channels")
    numbers = [checks.whole(unit, f"A unit of {layer!r}", 0) for unit in named]
    if not numbers:
        raise ValueError(f"No units of {layer!r} are named: name at least one channel.")
    if layer_info(model, layer) is not None:  # otherwise the objective checks the channel before the first update
        check_channels(layer, numbers, channels_of(model, layer))
    return numbers


@checked
def named_unit(model: Model, unit: UnitLike) -> tuple[str, int]:
    """The layer and channel of a unit, checked to exist.

    Args:
        model: the model.
        unit: `"layer:channel"`, or (layer, channel).

    Raises:
        TypeError: `unit` has another type.
        ValueError: the text has another form, or the layer has no such channel.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> named_unit(TinyInceptionV1(), "mixed4a:48")
        ('mixed4a', 48)
    """
    is_pair = isinstance(unit, (tuple, list)) and len(unit) == 2 and isinstance(unit[0], str)
    if not is_pair and not isinstance(unit, str):
        raise TypeError(f"A unit is 'layer:channel' or (layer, channel), not {checks.shown(unit)}.")
    layer, channel = parse_unit(unit) if isinstance(unit, str) else unit
    return layer, check_units(model, layer, [channel])[0]


def unit_names(units: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """`"layer:channel"` of each unit."""
    return tuple(f"{layer}:{channel}" for layer, channel in units)


@checked
def named_objectives(wanted: Iterable[ObjectiveLike], model: Model | None = None) -> list[tuple[str, Objective]]:
    """Converts the arguments of a recipe to objectives, with the name of each.

    Args:
        wanted: a list of objectives, of texts such as `"layer:channel"`, or of functions of `T`.
        model: the model, which texts such as `"class:goldfish"` need.

    Raises:
        TypeError: `wanted` is not a list, or an item has another type.
        ValueError: `wanted` is empty, or a text has another form.

    Example:
        >>> [name for name, _ in named_objectives(["mixed3a:1", "mixed4a:2"])]
        ['mixed3a:1', 'mixed4a:2']
    """
    given = checks.items(wanted, "wanted", "a list of objectives, as in ['mixed4a:476']")
    if not given:
        raise ValueError("wanted has no objectives: name at least one, as in ['mixed4a:476'].")
    made = [as_objective(one, model) for one in given]
    return [(one if isinstance(one, str) else name_of(own), own) for one, own in zip(given, made, strict=True)]


@checked
def before_relu(model: Model, layer: str) -> str:
    """The name of a layer before its ReLU (Lucid's `..._pre_relu`), or the layer itself if there is none.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> before_relu(TinyInceptionV1(), "mixed3a"), before_relu(TinyInceptionV1(), "softmax2")
        ('mixed3a_pre_relu', 'softmax2')
    """
    name = f"{layer}_pre_relu"
    with contextlib.suppress(LayerNotFoundError):
        return layer if layer_info(model, name) is None else name
    return layer


@checked
def check_positions(asked: PositionsLike | None, rows: int, columns: int) -> list[Size]:
    """Converts positions of a layer to (row, column) pairs, and checks that they exist.

    Args:
        asked: (row, column) pairs; None for all positions.
        rows, columns: size of the layer.

    Raises:
        TypeError, ValueError: `asked` is not a list of pairs of whole numbers, or a position is outside of the layer.

    Example:
        >>> check_positions(None, 1, 3)
        [(0, 0), (0, 1), (0, 2)]
    """
    if asked is None:
        return [(row, column) for row in range(rows) for column in range(columns)]
    pairs = [checks.items(one, "A position", "a pair (row, column)") for one in checks.items(asked, "positions", PAIRS)]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"positions is {PAIRS}, not {checks.shown(asked)}.")
    found = [(checks.whole(row, "A row"), checks.whole(column, "A column")) for row, column in pairs]
    for row, column in found:
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(f"There is no position ({row}, {column}): the layer has {rows} x {columns}.")
    return found
