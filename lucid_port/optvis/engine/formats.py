"""Sizes and channels of images that a network takes, for the default image and transforms of a render."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from converters.tracing.fake import UNKNOWN, run_without_numbers
from lucid_port.optvis import param
from lucid_port.optvis.engine.coerce import Model, TransformsLike, image_shape
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.param.base import Parameterization
from lucid_port.optvis.transform import crop_or_pad_to, standard_transforms

__all__ = ["DEFAULT_SIZE", "ImageFormat", "Reader", "find_format", "format_of"]

DEFAULT_SIZE = 128
"""Height and width of an image by default, as in Lucid."""

Reader = Callable[[Callable[[str], Any]], object]
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
        return param.image(self.width, self.height, batch=batch, channels=channels)

    def transforms(self, given: TransformsLike) -> TransformsLike:
        """Returns the transforms of a render: the default ones restore the size if the network takes no other."""
        if given is not None or not self.is_fixed:
            return given
        return [*standard_transforms, crop_or_pad_to(self.height, self.width)]

    @property
    def note(self) -> str:
        """One line for the user about a size that the network requires; empty if there is none."""
        size = f"{self.height}x{self.width}"
        if self.replaces_default:
            return f"The network takes images of {size} here: this is the image's size, and the last transform restores it."
        if self.is_fixed:
            return f"The network does not take every size here: a last transform restores {size}."
        return ""


def find_format(
    model: Model,
    readers: Iterable[Reader],
    size: tuple[int, int] | None = None,
    has_default_transforms: bool = True,
) -> ImageFormat:
    """Returns the format of a render's images.

    The network runs without numbers, up to the layers that are read, at the size and at two sizes that the default
    transforms give. Lucid's own models always have Lucid's defaults, and so do networks that are not known to refuse
    them.

    Args:
        model: The model.
        readers: Functions that read the render's layers.
        size: (height, width) of the image; None for 128 pixels or, if the network does not take them, its own size.
        has_default_transforms: Whether the default transforms change the size of the image.
    """
    height, width, channels = image_shape(model)
    asked = (DEFAULT_SIZE, DEFAULT_SIZE) if size is None else size
    plain = ImageFormat(*asked, channels)
    if not _may_have_fixed_size(model, height, width):
        return plain
    own = (int(height or 0), int(width or 0))
    takes = _Sizes(model, list(readers), channels or 3)
    if takes(asked) is True:
        found = plain
    elif size is None and own != asked and takes(asked) is False and takes(own) is True:
        found = replace(plain, height=own[0], width=own[1], replaces_default=True)
    else:
        return plain
    refuses = found.replaces_default or any(takes(other) is False for other in _transformed(found.height, found.width))
    return replace(found, is_fixed=has_default_transforms and refuses)


def _transformed(height: int, width: int) -> list[tuple[int, int]]:
    """Returns a large and a small size, with odd sides, that the default transforms give."""
    sides = [(side + 24 - 8) * (9 if smaller else 11) // 10 - 4 for smaller in (False, True) for side in (height, width)]
    odd = [(side - 1) | 1 for side in sides]
    return [(odd[0], odd[1]), (odd[2], odd[3])]


def format_of(
    image: Parameterization, model: Model, readers: Iterable[Reader], has_default_transforms: bool
) -> ImageFormat:
    """Returns the format of a given image; with other arguments as for `find_format`.

    The image's size is read only if it matters: for the default transforms of a network that may have a fixed size.
    """
    height, width, channels = image_shape(model)
    if not (has_default_transforms and _may_have_fixed_size(model, height, width)):
        return ImageFormat(channels=channels)
    shape = image.shape
    return find_format(model, readers, (shape[1], shape[2])) if len(shape) == 4 else ImageFormat(channels=channels)


def _may_have_fixed_size(model: Model, height: int | None, width: int | None) -> bool:
    is_lucids = getattr(model, "catalogue_entry", None) is not None
    return not is_lucids and bool(height and width) and isinstance(model.network, torch.nn.Module)


class _Sizes:
    """Returns whether the read layers can be computed at a size; None if it cannot be told without numbers."""

    def __init__(self, model: Model, readers: list[Reader], channels: int) -> None:
        self._model, self._readers, self._channels = model, readers, channels
        self._known: dict[tuple[int, int], bool | None] = {}

    def __call__(self, size: tuple[int, int]) -> bool | None:
        if size not in self._known:
            self._known[size] = self._try(size)
        return self._known[size]

    def _try(self, size: tuple[int, int]) -> bool | None:
        like = torch.zeros(0, dtype=torch.float32, device=own_device(self._model))
        failures: list[Exception] = []
        try:
            run_without_numbers(
                lambda image: self._read(image, failures), self._model.network, (1, self._channels, *size), like
            )
        except Exception:  # of an objective, which may need numbers: only the network's failures matter
            pass
        if any(isinstance(failure, UNKNOWN) for failure in failures):
            return None
        return not failures

    def _read(self, image: torch.Tensor, failures: list[Exception]) -> None:
        def values(name: str) -> Any:
            if name in ("input", "labels"):
                return image if name == "input" else self._model.labels
            try:
                return self._model.activations(image, [name])[name]
            except Exception as error:
                failures.append(error)
                raise

        for reader in self._readers:
            reader(values)
