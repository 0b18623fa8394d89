"""Sizes and channels of images that a network takes, for the default image and transforms of a render."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from converters.network.model import ConvertedModel
from converters.onnx.reading.network import OnnxNetwork
from converters.tracing.fake import run_without_numbers
from lucid_port.modelzoo.image_sizes import is_unknown
from lucid_port.optvis import param, serialization
from lucid_port.optvis.engine.coerce import Model, TransformsLike, image_shape
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.objectives.base import Objective
from lucid_port.optvis.objectives.readers import BESIDE_LAYERS
from lucid_port.optvis.param.base import Parameterization
from lucid_port.optvis.transform import crop_or_pad_to, standard_transforms

__all__ = ["DEFAULT_SIZE", "ImageFormat", "LayerReader", "find_format", "format_of", "square", "takes_one_image"]

DEFAULT_SIZE = 128
"""Height and width of an image by default, as in Lucid."""

LayerReader = Callable[[Callable[[str], Any]], object]
"""A function of `T` that reads layers, such as an objective."""


@dataclass(frozen=True)
class ImageFormat:
    """The images of a render.

    Attributes:
        height, width: Size of the image in pixels.
        channels: Number of channels; None if the model does not state it.
        is_fixed: Whether the network takes this size only, so that the default transforms have to restore it.
        replaces_default: Whether the size replaces Lucid's default of 128 pixels, which the network does not take.
    """

    height: int = DEFAULT_SIZE
    width: int = DEFAULT_SIZE
    channels: int | None = None
    is_fixed: bool = False
    replaces_default: bool = False

    def image(self, batch: int | None = None) -> Parameterization:
        """Returns `param.image` of this format."""
        channels = None if self.channels in (None, 3) else self.channels
        height = None if self.height == self.width else self.height
        return param.image(self.width, height, batch=batch, channels=channels)

    def transforms(self, given: TransformsLike) -> TransformsLike:
        """Returns the transforms of a render: the default ones restore the size if the network takes no other."""
        if given is not None or not self.is_fixed:
            return given
        return [*standard_transforms, crop_or_pad_to(self.height, self.width)]

    @property
    def note(self) -> str:
        """One line for the user about a size that the network requires; empty if there is none."""
        size = f"{self.height}x{self.width}"
        restored = f"crop_or_pad_to({self.height}, {self.width}) restores it after the default transforms"
        if self.replaces_default:
            return f"The network takes images of {size} here: the image has this size{', and ' * self.is_fixed}" + (
                f"{restored}." if self.is_fixed else "."
            )
        return f"The network does not take every size here: the image has {size}, and {restored}." * self.is_fixed


def square(model: Model, size: int) -> ImageFormat:
    """Returns the format of images of one size that have the model's number of channels."""
    return ImageFormat(size, size, image_shape(model)[-1])


def find_format(
    model: Model,
    readers: Iterable[LayerReader],
    size: tuple[int, int] | None = None,
    has_default_transforms: bool = True,
) -> ImageFormat:
    """Returns the format of a render's images.

    The network runs without numbers, up to the layers that are read, at the size and at two sizes that the default
    transforms give, if it has them. Networks that are not known to refuse Lucid's defaults have these.

    Args:
        model: The model.
        readers: Functions that read the render's layers.
        size: (height, width) of the image; None for 128 pixels or, if the network does not take them, its own size.
        has_default_transforms: Whether the default transforms change the size of the image.
    """
    height, width, channels = image_shape(model)
    asked = (DEFAULT_SIZE, DEFAULT_SIZE) if size is None else size
    plain = ImageFormat(*asked, channels)
    readers = list(readers)
    if not _may_have_fixed_size(model, height, width, readers):
        return plain
    own = (int(height or 0), int(width or 0))
    takes = _Sizes(model, readers, channels or 3)
    if takes(asked) is True:
        found = plain
    elif size is None and own != asked and takes(asked) is False and takes(own) is True:
        found = replace(plain, height=own[0], width=own[1], replaces_default=True)
    else:
        return plain
    if not has_default_transforms or found.replaces_default:
        return replace(found, is_fixed=has_default_transforms)
    return replace(found, is_fixed=any(takes(other) is False for other in _transformed(found.height, found.width)))


def size_for(model: Model, layer: str, size: int) -> int | None:
    """Returns the size of renders of a layer; None for the network's own, if the layer can be computed at no other."""
    format = find_format(model, [lambda T: T(layer)])
    return None if format.replaces_default else size


def _transformed(height: int, width: int) -> list[tuple[int, int]]:
    """Returns a large and a small size, with odd sides, that the default transforms give."""

    def scaled(side: int, tenths: int) -> int:
        return ((side + 24 - 8) * tenths // 10 - 4 - 1) | 1

    return [(scaled(height, tenths), scaled(width, tenths)) for tenths in (11, 9)]


def takes_one_image(model: Model, readers: Iterable[LayerReader], form: ImageFormat) -> bool:
    """Returns whether a network is known to take single images of a format, but no batches of separate images.

    In a converted graph, images of a batch may influence each other, as in a mean over all axes. Such a graph has a
    gradient of one image's values with respect to another image.

    Args:
        model: The model.
        readers: Functions that read the render's layers.
        form: The format.
    """
    if getattr(model, "catalogue_entry", None) is not None or not isinstance(model.network, torch.nn.Module):
        return False
    read = list(readers)
    takes, size = _Sizes(model, read, form.channels or 3), (form.height, form.width)
    if takes(size, 2) is False:
        return takes(size) is True
    return isinstance(model.network, ConvertedModel | OnnxNetwork) and _joins_images(model, read, form)


def _joins_images(model: Model, readers: Iterable[LayerReader], form: ImageFormat) -> bool:
    """Returns whether read layers of the first of two images have a gradient with respect to the second image."""
    draws = torch.rand((2, form.channels or 3, form.height, form.width), generator=torch.Generator().manual_seed(0))
    images = draws.to(own_device(model)).requires_grad_()
    own: list[torch.Tensor] = []

    @functools.cache  # an objective of many terms reads a layer for each
    def values(name: str) -> Any:
        if name in BESIDE_LAYERS:
            return _beside_layers(name, images, model)
        value = model.activations(images, [name])[name]
        if value.requires_grad and value.ndim:
            own.append(value[: max(1, len(value) // 2)])
        return value

    with torch.enable_grad():
        for reader in readers:
            with contextlib.suppress(Exception):  # the render shows errors of objectives and of the network
                reader(values)
        if not own:
            return False
        # Weights that differ: a sum over all values may be constant, as that of a softmax is.
        weights = [torch.linspace(0.5, 1.5, value.numel(), device=value.device).view_as(value) for value in own]
        (gradient,) = torch.autograd.grad(own, images, weights, allow_unused=True)
    return gradient is not None and bool(gradient[1].any())


def _beside_layers(name: str, image: torch.Tensor, model: Model) -> Any:
    """Returns the first step's value of a name that is no layer."""
    if name == "input":
        return image
    return model.labels if name == "labels" else 0


def format_of(
    image: Parameterization, model: Model, readers: Iterable[LayerReader], has_default_transforms: bool
) -> ImageFormat:
    """Returns the format of a given image; with other arguments as for `find_format`.

    Only the default transforms of a network that may have a fixed size can fail: other images are not looked at, and
    keep the default size in the format.
    """
    height, width, channels = image_shape(model)
    readers = list(readers)
    if not (has_default_transforms and _may_have_fixed_size(model, height, width, readers)):
        return ImageFormat(channels=channels)
    shape = copy.deepcopy(image).shape  # of a copy, because an image may draw when it is computed
    return find_format(model, readers, (shape[1], shape[2])) if len(shape) == 4 else ImageFormat(channels=channels)


def _may_have_fixed_size(model: Model, height: int | None, width: int | None, readers: Sequence[LayerReader]) -> bool:
    """Returns whether sizes have to be tried; Lucid's own models refuse sizes at fully connected layers only."""
    if not (height and width and isinstance(model.network, torch.nn.Module)):
        return False
    is_lucids = getattr(model, "catalogue_entry", None) is not None
    return not is_lucids or any(_reads_dense_layer(model, reader) for reader in readers)


def _reads_dense_layer(model: Model, reader: LayerReader) -> bool:
    """Returns whether an objective with plain data names a layer behind a fully connected one."""
    program = getattr(model.network, "program", None)
    try:
        data = reader.to_data() if program is not None and isinstance(reader, Objective) else None
    except serialization.NotSerialisable:
        return False
    named = [model.network.layers[name].name for name in _layer_names(data) if name in model.network.layers]
    return program is not None and any(step.layer == "Linear" for step in program.needed(named))


def _layer_names(data: Any) -> Iterator[str]:
    """Yields the values of the arguments for layers in the plain data of an objective."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key in ("layer", "layer_name") and isinstance(value, str):
                yield value
            yield from _layer_names(value)
    elif isinstance(data, list):
        for value in data:
            yield from _layer_names(value)


class _Sizes:
    """Returns whether the read layers can be computed at a size; None if it cannot be told without numbers."""

    def __init__(self, model: Model, readers: list[LayerReader], channels: int) -> None:
        self._model, self._readers, self._channels = model, readers, channels
        self._known: dict[tuple[int, int, int], bool | None] = {}

    def __call__(self, size: tuple[int, int], images: int = 1) -> bool | None:
        key = (images, *size)
        if key not in self._known:
            self._known[key] = self._try(size, images)
        return self._known[key]

    def _try(self, size: tuple[int, int], images: int) -> bool | None:
        like = torch.zeros(0, dtype=torch.float32, device=own_device(self._model))
        failures: list[Exception] = []
        with contextlib.suppress(Exception):  # of an objective, which may need numbers: only the network's matter
            run_without_numbers(
                lambda image: self._read(image, failures), self._model.network, (images, self._channels, *size), like
            )
        return None if any(is_unknown(failure) for failure in failures) else not failures

    def _read(self, image: torch.Tensor, failures: list[Exception]) -> None:
        @functools.cache  # an objective of many terms reads a layer for each
        def values(name: str) -> Any:
            if name in BESIDE_LAYERS:
                return _beside_layers(name, image, self._model)
            try:
                value = self._model.activations(image, [name])[name]
                if value.ndim == 0 or value.shape[0] % image.shape[0]:
                    raise ValueError(f"Layer {name!r} has no rows for each image.")
            except Exception as error:
                failures.append(error)
                raise
            return value

        for reader in self._readers:
            reader(values)
