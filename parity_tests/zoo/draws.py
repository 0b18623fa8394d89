"""Constants of the stand-in networks, the same bits on every machine.

Uses numpy only and runs on Python 3.7, because TensorFlow 1.15's environment uses this module to build the networks.
Uniform draws of `RandomState` are the same in all versions of numpy, and every later step is one correctly rounded
elementwise operation: no sums, because their order could differ.
"""

from __future__ import annotations

import math

import numpy as np

# A standard deviation of 1 is this width of a uniform distribution.
WIDTH_OF_DEVIATION = math.sqrt(12.0)
_CHUNK = 2**20  # draws at a time: the stream is the same, and memory stays small


def draw(shape, seed: int, width: float, centre: float = 0.0, balance: float = 0.0) -> np.ndarray:
    """Uniform draws.

    Args:
        shape: of the constant.
        seed: of the draws.
        width: between the least and the greatest value of a draw.
        centre: half-way between them.
        balance: how much of the draw before it, along the last axis but one (a weight's inputs), is subtracted from
            each. With 1, a filter's weights sum up to zero and images that are the same everywhere give nothing, which
            filters of trained networks nearly do. With 0, every layer adds its own constant to all positions alike,
            and a deep network's last layers are almost the same everywhere.

    Returns:
        float32.
    """
    random = np.random.RandomState(seed)
    if balance:
        draws = random.random_sample(tuple(shape))
        draws -= 0.5
        draws = draws - balance * np.roll(draws, 1, axis=-2)
        draws *= width
        return draws.astype(np.float32)
    values = np.empty(int(np.prod(shape, dtype=np.int64)), np.float32)
    for start in range(0, len(values), _CHUNK):
        draws = random.random_sample(min(_CHUNK, len(values) - start))
        draws -= 0.5
        draws *= width
        draws += centre
        values[start : start + len(draws)] = draws
    return values.reshape(tuple(shape))
