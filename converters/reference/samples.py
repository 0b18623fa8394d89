"""Samples of arrays: a few values and the means of the channels, small enough to commit.

The sampled positions follow from the array's name and shape, so only the values are stored.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from converters.reference.inputs import ReferencesError, Shape

BORDER = 2  # rows or columns that count as the border


@dataclass(frozen=True)
class Amounts:
    """Numbers of values to store of an input's arrays.

    Attributes:
        layer: number of values of a layer. A smaller layer is stored whole.
        gradient: number of values of a gradient.
        channels: number of channels of a layer whose means are stored; None for all channels.
    """

    layer: int = 512
    gradient: int = 2048
    channels: int | None = None


USUAL = Amounts()


def sample_positions(shape: Shape, name: str, count: int) -> np.ndarray:
    """Returns flat positions at which to sample a large array.

    Half are uniform. For images the other half lie on the borders: top, bottom, left, right and corners in turn.

    Args:
        shape: shape of the array, NHWC for images.
        name: name of the array. Different names get different positions.
        count: number of positions.

    Returns:
        (count,) int64.
    """
    random = np.random.RandomState(zlib.crc32(name.encode()))
    uniform = random.randint(0, int(np.prod(shape)), count, dtype=np.int64)
    if len(shape) != 4:
        return uniform
    border = count // 2
    batch, height, width, channels = shape
    rows, columns = random.randint(0, height, border), random.randint(0, width, border)
    turn = np.arange(border) % 5
    depth_rows, depth_columns = (random.randint(0, min(BORDER, size), border) for size in (height, width))
    opposite = random.randint(0, 2, (2, border)).astype(bool)  # selects one of the four corners
    at_top, at_bottom = (turn == 0) | ((turn == 4) & opposite[0]), (turn == 1) | ((turn == 4) & ~opposite[0])
    at_left, at_right = (turn == 2) | ((turn == 4) & opposite[1]), (turn == 3) | ((turn == 4) & ~opposite[1])
    rows = np.where(at_top, depth_rows, np.where(at_bottom, height - 1 - depth_rows, rows))
    columns = np.where(at_left, depth_columns, np.where(at_right, width - 1 - depth_columns, columns))
    images, depths = random.randint(0, batch, border), random.randint(0, channels, border)
    uniform[:border] = np.ravel_multi_index((images, rows, columns, depths), shape)
    return uniform


@dataclass(frozen=True)
class Sample:
    """The stored part of one array.

    Attributes:
        name: name of the layer, with its channel for a gradient.
        shape: shape of the whole array.
        maximum: greatest absolute value of the whole array.
        means: means of `channels` (last axis); empty if the array is stored whole.
        values: the whole array, flat, or its values at `positions`.
        positions: flat positions of the values; None if the array is stored whole.
        channels: indices of the channels whose means are stored; None for all channels.
    """

    name: str
    shape: Shape
    maximum: float
    means: np.ndarray
    values: np.ndarray
    positions: np.ndarray | None
    channels: np.ndarray | None = None

    def error(self, other: np.ndarray) -> float:
        """Returns the greatest difference from another array of the same shape, relative to `maximum`.

        Returns:
            The error; infinity if the other array holds NaN, or differs from an array of zeros.
        """
        if not other.size:
            return 0.0
        flat = other.reshape(-1)
        values = flat if self.positions is None else flat[self.positions]
        means = channel_means(other, self.channels) if self.means.size else self.means
        return self._relative(values, means)

    def distance(self, other: Sample) -> float:
        """Returns the greatest difference from another sample of the same layer, relative to `maximum`."""
        return self._relative(other.values, other.means) if self.values.size else 0.0

    def pack(self) -> list[np.ndarray]:
        """Returns the numbers to store, in the order in which `SampleReader` reads them."""
        return [np.array([self.maximum], np.float32), self.means, self.values.astype(np.float32)]

    def _relative(self, values: np.ndarray, means: np.ndarray) -> float:
        worst = max(_distance(values, self.values), _distance(means, self.means) if means.size else 0.0)
        if worst == 0.0:
            return 0.0
        return worst / self.maximum if self.maximum > 0 else float("inf")


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    distance = float(np.max(np.abs(a - b)))
    return float("inf") if np.isnan(distance) else distance


def take_sample(name: str, array: np.ndarray, samples: int = USUAL.layer, means: int | None = None) -> Sample:
    """Returns the sample of an array.

    Args:
        name: name of the array.
        array: the array, of any shape.
        samples: number of values. A smaller array is stored whole.
        means: number of channels whose means are stored; None for all channels.
    """
    maximum = float(np.max(np.abs(array))) if array.size else 0.0
    positions, channels = _selection(name, array.shape, samples, means)
    flat = array.reshape(-1)
    if positions is None:
        return Sample(name, array.shape, maximum, np.zeros(0, np.float32), flat, None)
    return Sample(name, array.shape, maximum, channel_means(array, channels), flat[positions], positions, channels)


def channel_means(array: np.ndarray, channels: np.ndarray | None = None) -> np.ndarray:
    """Returns the means over all axes but the last, of some channels or all, as float32 (summed in float64)."""
    flat = array.reshape(-1, array.shape[-1])
    return (flat if channels is None else flat[:, channels]).mean(0, dtype=np.float64).astype(np.float32)


def _selection(name: str, shape: Shape, samples: int, means: int | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns the positions and the channels of a sample; (None, None) if the array is stored whole."""
    if int(np.prod(shape)) <= samples:
        return None, None
    positions = sample_positions(shape, name, samples)
    if means is None or shape[-1] <= means:
        return positions, None
    random = np.random.RandomState(zlib.crc32(name.encode()))
    return positions, np.sort(random.permutation(shape[-1])[:means])


class SampleReader:
    """Reads samples from a packed array, in the order in which they were packed."""

    def __init__(self, packed: np.ndarray) -> None:
        self._packed, self._next = packed, 0

    def take(self, count: int) -> np.ndarray:
        """Returns the next numbers.

        Raises:
            ReferencesError: fewer numbers remain.
        """
        self._next += count
        if self._next > len(self._packed):
            raise ReferencesError("A reference file is shorter than the manifest states; record the references again.")
        return self._packed[self._next - count : self._next]

    def sample(self, name: str, shape: Shape, samples: int, means: int | None = None) -> Sample:
        """Returns the next sample; the arguments are those of `take_sample`."""
        maximum = float(self.take(1)[0])
        positions, channels = _selection(name, shape, samples, means)
        if positions is None:
            return Sample(name, shape, maximum, self.take(0), self.take(int(np.prod(shape))), None)
        stored = self.take(shape[-1] if channels is None else len(channels))
        return Sample(name, shape, maximum, stored, self.take(samples), positions, channels)
