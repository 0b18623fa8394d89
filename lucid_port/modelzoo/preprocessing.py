"""How a network's training prepared photographs: resizing and cropping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["Preprocessing"]

_FILTERS = {one.name.lower(): one for one in Image.Resampling}


@dataclass(frozen=True)
class Preprocessing:
    """Resizes and crops photographs as the evaluation of a network does.

    Attributes:
        size: (height, width) of the result in pixels.
        resize: size before the center is cropped: length of the shorter side, or (height, width), which may change the
            aspect ratio. None: `size`.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming".

    Example:
        >>> prepare = Preprocessing((224, 224), resize=256)
        >>> prepare(Image.new("RGB", (640, 480))).shape
        torch.Size([3, 224, 224])
    """

    size: tuple[int, int]
    resize: int | tuple[int, int] | None = None
    interpolation: str = "bilinear"

    def __call__(self, picture: Image.Image) -> Tensor:
        """Returns a picture as a float32 tensor (3, height, width) in [0, 1]."""
        resized = self._resized(picture.convert("RGB"))
        return torch.from_numpy(np.array(self._cropped(resized), np.uint8)).permute(2, 0, 1).float() / 255

    def original_box(
        self, box: tuple[float, float, float, float], size: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        """Returns the part of a picture that a box of the prepared image shows.

        Args:
            box: left, top, right and bottom in pixels of the prepared image; a pixel reaches from its number to the
                next.
            size: (width, height) of the picture.

        Returns:
            left, top, right and bottom in pixels of the picture; outside of it where the image has black borders.

        Example:
            >>> Preprocessing((224, 224), resize=256).original_box((0, 0, 224, 224), (1024, 512))
            (288.0, 32.0, 736.0, 480.0)
        """
        resized = self._resized_size(size)
        offset = [self._offset(whole, part) for whole, part in zip(resized, self.size[::-1], strict=True)]
        left, top, right, bottom = (
            (edge + offset[at % 2]) * size[at % 2] / resized[at % 2] for at, edge in enumerate(box)
        )
        return left, top, right, bottom

    def _resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns the (width, height) that a picture of (width, height) is resized to."""
        if not isinstance(self.resize, int):
            height, width = self.resize or self.size
            return width, height
        longer = int(self.resize * max(size) / min(size))
        return (self.resize, longer) if size[0] <= size[1] else (longer, self.resize)

    @staticmethod
    def _offset(whole: int, part: int) -> int:
        """Returns the place of the first pixel of the result in the resized picture, below 0 if it is padded."""
        short = max(part - whole, 0)
        return round((whole + short - part) / 2) - short // 2

    def _resized(self, picture: Image.Image) -> Image.Image:
        return picture.resize(self._resized_size(picture.size), _FILTERS[self.interpolation])

    def _cropped(self, picture: Image.Image) -> Image.Image:
        """Returns the center of a picture, with black borders where the picture is smaller."""
        height, width = self.size
        left, top = self._offset(picture.width, width), self._offset(picture.height, height)
        return picture.crop((left, top, left + width, top + height))  # black outside of the picture


def known_interpolation(name: object) -> str:
    """Returns the name of an interpolation: of a name, PIL's number, or an enumeration's member.

    Raises:
        ValueError: it is unknown.

    Example:
        >>> known_interpolation(3), known_interpolation("BICUBIC")
        ('bicubic', 'bicubic')
    """
    text = str(getattr(name, "value", name)).lower()
    numbers = {str(one.value): known for known, one in _FILTERS.items()}
    found = numbers.get(text, text.replace("-exact", ""))
    if found not in _FILTERS:
        raise ValueError(f"The interpolation {name!r} is unknown; there are {', '.join(_FILTERS)}.")
    return found
