"""Images that interpolate between each pair of several objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.param.base import Parameterization, parameterization, total
from lucid_port.optvis.param.lowres import lowres_tensor
from lucid_port.optvis.param.operations import stack

__all__ = ["multi_interpolation_basis"]


def _pyramid(frames: int, keys: int, width: int, channels: int, levels: Sequence[int]) -> Parameterization:
    return total(
        [lowres_tensor((frames, width, width, channels), (keys, width // k, width // k, channels)) for k in levels]
    )


def _along_frames(weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights, np.float32).reshape(-1, 1, 1, 1)


@parameterization
@checked
def multi_interpolation_basis(
    n_objectives: int = 6,
    n_interp_steps: int = 5,
    width: int = 128,
    channels: int = 3,
    *,
    symmetric: bool = True,
) -> Parameterization:
    """Unbounded images `t[a, b, i]` that interpolate between each pair of objectives a and b.

    Args:
        n_objectives: Number of objectives, N, at least 2.
        n_interp_steps: Number of images from one objective to the other, M, at least 2.
        width: Width and height of the images in pixels, at least 8.
        channels: Number of channels.
        symmetric: Whether the images have the symmetries that Lucid documents:
            `t[a, b] == t[b, a, ::-1]`, and `t[a, i, 0]` and `t[a, a, i]` do not depend on i. False
            computes the same as Lucid, without these symmetries, for 3 channels only.

    Returns:
        A parameterization of shape [N, N, M, width, width, channels] in Lucid's axis order.

    Raises:
        TypeError, ValueError: A number is too small or not an integer.

    Example:
        >>> basis = multi_interpolation_basis(2, 3, width=16)
        >>> basis.shape, bool((basis()[0, 1] == basis()[1, 0].flip(0)).all())
        ((2, 2, 3, 16, 16, 3), True)
    """
    function = "multi_interpolation_basis"
    build = _symmetric_basis if symmetric else _lucid_basis
    return build(
        checks.whole(n_objectives, f"{function}'s n_objectives", 2),
        checks.whole(n_interp_steps, f"{function}'s n_interp_steps", 2),
        checks.whole(width, f"{function}'s width", 8),
        checks.whole(channels, f"{function}'s channels", 1),
    )


_LEVELS = (1, 2, 4, 8)


def _constant_term(width: int, channels: int) -> Parameterization:
    return total([lowres_tensor((width, width, channels), (width // k, width // k, channels)) for k in _LEVELS])


def _symmetric_basis(count: int, frames: int, width: int, channels: int) -> Parameterization:
    fade = np.linspace(1.0, 0.0, frames)
    inner = np.ones(frames)
    inner[[0, -1]] = 0.0
    constant = _constant_term(width, channels)
    own = [_pyramid(1, 1, width, channels, _LEVELS) for _ in range(count)]
    pairs: dict[tuple[int, int], Parameterization] = {}
    for a in range(count):
        pairs[a, a] = constant + own[a] * _along_frames(np.ones(frames))
        for b in range(a + 1, count):
            extra = _pyramid(frames, frames, width, channels, (1, 2))
            mixed = own[a] * _along_frames(fade) + own[b] * _along_frames(fade[::-1])
            pairs[a, b] = constant + mixed + extra * _along_frames(inner)
            pairs[b, a] = pairs[a, b][::-1]
    return stack([stack([pairs[a, b] for b in range(count)]) for a in range(count)])


def _lucid_basis(count: int, frames: int, width: int, channels: int) -> Parameterization:
    if channels != 3:
        raise ValueError("Lucid's own basis has three channels: use symmetric=True for others.")
    constant = _constant_term(width, channels)
    examples = [_pyramid(frames, 2, width, channels, _LEVELS) for _ in range(count)]
    extra: dict[tuple[int, int], Parameterization] = {}
    for n in range(count):
        for m in range(n):
            # Lucid reads entry N - n of row m, although entry n would be right; the result is the same as Lucid's.
            if (m, count - n) in extra:
                extra[n, m] = extra[m, count - n][::-1]
        for m in range(n + 1, count):
            extra[n, m] = _pyramid(frames, frames, width, channels, (1, 2))

    def between(n: int, m: int) -> Parameterization:
        ends = examples[n] + examples[m][::-1]
        return constant + (ends + extra[n, m] if (n, m) in extra else ends)

    return stack([stack([between(n, m) for m in range(count)]) for n in range(count)])
