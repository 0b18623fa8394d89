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

    def _resized(self, picture: Image.Image) -> Image.Image:
        filter = _FILTERS[self.interpolation]
        if not isinstance(self.resize, int):
            height, width = self.resize or self.size
            return picture.resize((width, height), filter)
        longer = int(self.resize * max(picture.size) / min(picture.size))
        is_upright = picture.width <= picture.height
        return picture.resize((self.resize, longer) if is_upright else (longer, self.resize), filter)

    def _cropped(self, picture: Image.Image) -> Image.Image:
        """Returns the center of a picture, with black borders where the picture is smaller."""
        height, width = self.size
        short_x, short_y = max(width - picture.width, 0), max(height - picture.height, 0)
        if short_x or short_y:
            padded = Image.new("RGB", (picture.width + short_x, picture.height + short_y))
            padded.paste(picture, (short_x // 2, short_y // 2))
            picture = padded
        left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
        return picture.crop((left, top, left + width, top + height))


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
