"""Random numbers.

All random draws of a render (initial parameters, crop offsets, scales, angles, noise) come from one
`RandomSource`. It owns its generators (NumPy's Philox on the host, so draws do not depend on the
device) and does not read global state. It can record draws and replay them; tests replay the draws
of TensorFlow.

The key of a draw is its *name*, such as `"transforms/1/jitter/offset"`, and the *seed of its image*.
The n-th draw with a key always has the same numbers, independent of other draws and of the other
images of the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from converters import checks
from converters.signatures import checked

__all__ = ["DEFAULT_SEED", "Draws", "RandomSource"]

DEFAULT_SEED = 0
"""Default seed: a call that is repeated on the same CPU returns the same picture."""

Draws: TypeAlias = dict[str, list[np.ndarray]]
"""Draws by name, in order."""

Size: TypeAlias = int | Sequence[int]
"""Shape of a draw."""


class _State:
    """State that a source shares with its views: generators, recorded draws, draws to replay."""

    def __init__(self, replay: Mapping[str, Sequence[Any]] | None, record: bool) -> None:
        self.generators: dict[tuple[int, str], np.random.Generator] = {}
        self.recorded: Draws | None = {} if record else None
        self.replay = None if replay is None else {k: list(v) for k, v in replay.items()}
        self.position: dict[str, int] = {}


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.sha256(name.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=words)
    return np.random.Generator(np.random.Philox(sequence))


def _generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """Returns the state of a generator as plain data."""
    state: Any = generator.bit_generator.state
    inner = {name: value.tolist() for name, value in state["state"].items()}
    return {**state, "state": inner, "buffer": state["buffer"].tolist()}


class RandomSource:
    """Source of the random numbers of a render.

    Args:
        seed: Non-negative integer. Image k of a batch has the seed `seed + k` and starts with the same
            values as a single image with `RandomSource(seed + k)`. With `per_image`, it also has the
            same transforms, except for those that change the size. Without `per_image`, all images
            have the transforms of `seed`.
        seeds: One seed for each image, in place of `seed`. Images with equal seeds have equal draws.
        shared: Seed of the draws that the images share, `seeds[0]` by default; ignored without `seeds`.
        per_image: Whether transforms draw for each image of a batch. By default, and in Lucid, the
            images share one draw. Draws that determine the size are always shared, because a batch
            is one tensor.
        record: Whether to keep a copy of all draws, see `draws`.
        replay: Draws by name, which are returned in order in place of generated ones. A missing name,
            an exhausted list or another shape is an error.

    Raises:
        ValueError: A seed is negative or not an integer, or `seeds` is empty.

    Example:
        >>> source = RandomSource(seed=3)
        >>> bool((source.integers("offset", 8, 2) == RandomSource(3).integers("offset", 8, 2)).all())
        True
        >>> source.normal("noise", (2, 4), images=3).shape
        (3, 2, 4)
    """

    @checked
    def __init__(
        self,
        seed: int = DEFAULT_SEED,
        *,
        seeds: Iterable[int] | None = None,
        shared: int | None = None,
        per_image: bool = False,
        record: bool = False,
        replay: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self.seeds = None if seeds is None else tuple(_checked_seed(s) for s in seeds)
        if self.seeds is not None and not self.seeds:
            raise ValueError("`seeds` is empty: give one seed per image, or `seed` alone.")
        self.seed = self.seeds[0] if self.seeds else _checked_seed(seed)
        if self.seeds and shared is not None:
            self.seed = _checked_seed(shared)
        self.per_image = per_image
        self._state = _State(replay, record)
        self._prefix = ""

    @property
    def replays(self) -> bool:
        """Whether draws are replayed, not generated."""
        return self._state.replay is not None

    def state(self) -> dict[str, Any]:
        """Returns the state of all generators as plain data, for `restore`."""
        return {
            "streams": [[seed, name, _generator_state(one)] for (seed, name), one in self._state.generators.items()],
            "position": dict(self._state.position),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores the state of a source with the same seeds."""
        for seed, name, stream in state["streams"]:
            generator = self._state.generators[seed, name] = _generator(seed, name)
            generator.bit_generator.state = stream
        self._state.position.update(state["position"])

    def image_seed(self, index: int) -> int:
        """Returns the seed of image `index` of the batch.

        Raises:
            IndexError: The source has `seeds`, but not for this image.
        """
        if self.seeds is None:
            return self.seed + index
        if not 0 <= index < len(self.seeds):
            raise IndexError(
                f"Image {index} has no seed: {len(self.seeds)} seeds were given. Give one seed per image of the batch."
            )
        return self.seeds[index]

    def scope(self, name: str) -> RandomSource:
        """Returns a view of this source with the prefix `name/` for the names of draws."""
        view = object.__new__(RandomSource)
        view.seeds, view.seed, view.per_image = self.seeds, self.seed, self.per_image
        view._state = self._state
        view._prefix = f"{self._prefix}{name}/"
        return view

    def reseeded(self, seed: int | None) -> RandomSource:
        """Returns a view with another seed for all images, or this source if `seed` is None."""
        if seed is None:
            return self
        view = self.scope("")
        view._prefix = self._prefix
        view.seed = _checked_seed(seed)
        view.seeds = None if self.seeds is None else (view.seed,) * len(self.seeds)
        return view

    def of_image(self, index: int) -> RandomSource:
        """Returns a view with the seed of one image, and the same draws that the images share."""
        view = self.scope("")
        view._prefix = self._prefix
        view.seeds = (self.image_seed(index),)
        return view

    def images(self, count: int) -> int | None:
        """Returns `count` if each image of a batch of `count` images draws separately, else None."""
        first = self.seed if self.seeds is None else self.seeds[0]
        return count if self.per_image and (count > 1 or first != self.seed) else None

    def integers(self, name: str, high: int, size: Size = (), *, images: int | None = None) -> np.ndarray:
        """Draws uniform integers in `[0, high)`.

        Args:
            name: Name of the draw.
            high: Exclusive upper bound, at least 1.
            size: Shape of the draw.
            images: Number of images, each with its own draw; the draws are stacked along axis 0.

        Returns:
            int64 array of shape `size`, or `(images, *size)`.
        """
        if high < 1:
            raise ValueError(f"{self._prefix}{name} cannot be drawn below {high}: the bound is at least 1.")
        return self._draw(name, size, images, 0, "integers", 0, high)

    def uniform(self, name: str, size: Size = (), *, images: int | None = None) -> np.ndarray:
        """Draws uniform float64 numbers in `[0, 1)`; arguments as in `integers`."""
        return self._draw(name, size, images, 0, "random")

    def normal(self, name: str, size: Size = (), *, images: int | None = None, axis: int = 0) -> np.ndarray:
        """Draws standard normal float64 numbers; with `images`, stacked along `axis`."""
        return self._draw(name, size, images, axis, "standard_normal")

    @property
    def draws(self) -> Draws:
        """Recorded draws.

        Raises:
            RuntimeError: The source does not record.
        """
        if self._state.recorded is None:
            raise RuntimeError("This source does not record: make it with `record=True`.")
        return self._state.recorded

    def _draw(self, name: str, size: Size, images: int | None, axis: int, method: str, *bounds: int) -> np.ndarray:
        shape = (size,) if isinstance(size, int) else tuple(size)
        full = shape if images is None else (*shape[:axis], images, *shape[axis:])
        key = self._prefix + name
        if self._state.replay is not None:
            value = self._replayed(key, full)
        elif images is None:
            value = np.asarray(getattr(self._stream(self.seed, key), method)(*bounds, shape))
        else:
            seeds = [self.image_seed(k) for k in range(images)]
            drawn = {seed: getattr(self._stream(seed, key), method)(*bounds, shape) for seed in dict.fromkeys(seeds)}
            value = np.stack([drawn[seed] for seed in seeds], axis=axis)
        if self._state.recorded is not None:
            self._state.recorded.setdefault(key, []).append(value.copy())
        return value

    def _stream(self, seed: int, key: str) -> np.random.Generator:
        generators = self._state.generators
        generator = generators.get((seed, key))
        if generator is None:
            generator = generators[seed, key] = _generator(seed, key)
        return generator

    def _replayed(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        queue = (self._state.replay or {}).get(key)
        if queue is None:
            known = ", ".join(sorted(self._state.replay or {})) or "none"
            raise KeyError(f"No recorded draws for {key!r}. Recorded: {known}.")
        position = self._state.position.get(key, 0)
        if position >= len(queue):
            raise IndexError(f"The {len(queue)} recorded draws for {key!r} are used up.")
        recorded = np.asarray(queue[position])
        value = np.array(recorded, recorded.dtype.newbyteorder("="), order="C")
        if value.shape != shape:
            raise ValueError(f"Recorded draw {position} for {key!r} has shape {value.shape}, needed is {shape}.")
        self._state.position[key] = position + 1
        return value


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"A seed is a non-negative integer, not {checks.shown(seed)}.")
    return int(seed)
