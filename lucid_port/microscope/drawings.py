"""The drawings that the bundled network was tested on, as a dataset: its site needs no other data."""

from __future__ import annotations

import functools

import numpy as np

from converters import checks
from lucid_port.modelzoo.tiny.drawings import CLASSES, draw_block
from lucid_port.modelzoo.tiny.evaluate import HELD_OUT
from lucid_port.modelzoo.tiny.network import SIZE

__all__ = ["COUNT", "Drawings"]

COUNT = 2000
"""Drawings by default."""

BLOCK = 4 * len(CLASSES)
"""Drawings that are drawn at once, with all classes equally often."""


class Drawings:
    """Held-out drawings of TinyInceptionV1's classes, a map-style dataset; drawing k is the same in every run.

    Args:
        count: Number of drawings.

    Attributes:
        classes: Names of the classes.
        targets: Number of each drawing's class.

    Example:
        >>> picture, label = Drawings(200)[150]
        >>> picture.shape, picture.dtype, label == Drawings(200).targets[150]
        ((96, 96, 3), dtype('uint8'), True)
    """

    def __init__(self, count: int = COUNT) -> None:
        self.count = checks.whole(count, "count", 1)
        self.classes = list(CLASSES)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        if not 0 <= index < self.count:
            raise IndexError(f"There is no drawing {index} of {self.count}.")
        pictures, labels = _block(index // BLOCK)
        return pictures[index % BLOCK], int(labels[index % BLOCK])

    @functools.cached_property
    def targets(self) -> list[int]:
        """Number of each drawing's class."""
        blocks = [_block(block)[1] for block in range(-(-self.count // BLOCK))]
        return [int(label) for block in blocks for label in block][: self.count]


@functools.lru_cache(maxsize=4)
def _block(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 [n, height, width, 3] and the numbers of their classes."""
    pictures, labels = draw_block(BLOCK, (SIZE, SIZE), HELD_OUT + number)
    return (pictures.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8), labels.numpy()
