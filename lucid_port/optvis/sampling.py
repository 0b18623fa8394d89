"""Random draws, apart from what they are used for.

Every draw of a render (initial parameters, crop offsets, scale and angle choices, noise) is asked
of one `RandomSource`. It owns its generators (NumPy's Philox on the host, so the device
does not matter), reads no global state, and can record what it gave and give it again. That is
how a test feeds TensorFlow's own draws to the port, and how a picture is made a second time.

A draw is keyed by its *name* (say `"transforms/1/jitter/offset"`) and by the *seed of its
image*; the n-th draw under one key is always the same numbers. So neither other draws nor other
images of the batch change it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lucid_port.misc import checks

__all__ = ["DEFAULT_SEED", "Draws", "RandomSource"]

DEFAULT_SEED = 0
"""Seed used where none is given: a call repeated on the same CPU gives the same picture."""

Draws = dict[str, list[np.ndarray]]
"""Draws by name, in the order in which they were made."""


class _State:
    """What a source shares with its scoped views: generators, record, replay queue."""

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


def _plain(generator: np.random.Generator) -> dict[str, Any]:
    """A generator's state, without arrays."""
    state: Any = generator.bit_generator.state
    inner = {name: value.tolist() for name, value in state["state"].items()}
    return {**state, "state": inner, "buffer": state["buffer"].tolist()}


class RandomSource:
    """The one place where random numbers come from.

    Args:
        seed: non-negative integer. Image k of a batch has the seed `seed + k`: it starts as it does alone with
            `RandomSource(seed + k)`, and with `per_image` its transforms are the same, too, but for those that decide
            the size. Without, the batch shares the transforms' draws, which are those of `seed`.
        seeds: one seed per image instead; images of the same seed get the same draws.
        shared: seed of the draws that a batch with `seeds` shares, by default the first of them.
        per_image: whether transforms draw anew for each image of a batch. Lucid's draws are
            shared by the batch (the default). Draws that decide the size of the image stay
            shared, because a batch is one tensor.
        record: keep a copy of every draw, see `draws`.
        replay: draws by name, given out in order instead of generated ones. A name without an
            entry, an exhausted entry or a shape that does not fit is an error.

    Raises:
        ValueError: a seed is negative or no integer, or `seeds` is empty.
    """

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
        """Whether its draws were given, not drawn from a seed."""
        return self._state.replay is not None

    def state(self) -> dict[str, Any]:
        """Where its streams of draws are, as plain data, for `restore`."""
        return {
            "streams": [[seed, name, _plain(one)] for (seed, name), one in self._state.generators.items()],
            "position": dict(self._state.position),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where a source with the same seeds was when `state` was asked for."""
        for seed, name, stream in state["streams"]:
            generator = self._state.generators[seed, name] = _generator(seed, name)
            generator.bit_generator.state = stream
        self._state.position.update(state["position"])

    def image_seed(self, index: int) -> int:
        """Seed of image `index` of the batch.

        Raises:
            IndexError: seeds were given one per image, and there are fewer.
        """
        if self.seeds is None:
            return self.seed + index
        if not 0 <= index < len(self.seeds):
            raise IndexError(
                f"Image {index} has no seed: {len(self.seeds)} seeds were given. Give one seed per image of the batch."
            )
        return self.seeds[index]

    def scope(self, name: str) -> RandomSource:
        """A view of this source whose draws are named `name/...`."""
        view = object.__new__(RandomSource)
        view.seeds, view.seed, view.per_image = self.seeds, self.seed, self.per_image
        view._state = self._state
        view._prefix = f"{self._prefix}{name}/"
        return view

    def reseeded(self, seed: int | None) -> RandomSource:
        """A view with another seed for all images; this source itself if `seed` is None."""
        if seed is None:
            return self
        view = self.scope("")
        view._prefix = self._prefix
        view.seed = _checked_seed(seed)
        view.seeds = None if self.seeds is None else (view.seed,) * len(self.seeds)
        return view

    def images(self, count: int) -> int | None:
        """`count` if each image of a batch of `count` draws for itself, else None."""
        differs = count > 1 or self.image_seed(0) != self.seed
        return count if self.per_image and differs else None

    def integers(
        self, name: str, high: int, size: int | Sequence[int] = (), *, images: int | None = None
    ) -> np.ndarray:
        """Uniform integers in `[0, high)`.

        Args:
            name: what they are for.
            high: exclusive upper bound, at least 1.
            size: shape of the draw.
            images: number of images that draw one each; the results are stacked in front.

        Returns:
            int64 array of shape `size`, or `(images, *size)`.
        """
        if high < 1:
            raise ValueError(f"Nothing to draw for {self._prefix}{name}: no choice below {high}.")
        return self._draw(name, size, images, 0, lambda g, s: g.integers(0, high, s))

    def uniform(self, name: str, size: int | Sequence[int] = (), *, images: int | None = None) -> np.ndarray:
        """Uniform numbers in `[0, 1)`, float64; arguments as in `integers`."""
        return self._draw(name, size, images, 0, lambda g, s: g.random(s))

    def normal(
        self,
        name: str,
        size: int | Sequence[int] = (),
        *,
        images: int | None = None,
        axis: int = 0,
    ) -> np.ndarray:
        """Standard normal numbers, float64; with `images`, stacked along `axis`."""
        return self._draw(name, size, images, axis, lambda g, s: g.standard_normal(s))

    @property
    def draws(self) -> Draws:
        """What was drawn so far, by name, in order (only if recording).

        Raises:
            RuntimeError: the source does not record.
        """
        if self._state.recorded is None:
            raise RuntimeError("This source does not record: make it with `record=True`.")
        return self._state.recorded

    def _draw(
        self,
        name: str,
        size: int | Sequence[int],
        images: int | None,
        axis: int,
        make: Any,
    ) -> np.ndarray:
        shape = (size,) if isinstance(size, int) else tuple(size)
        full = shape if images is None else (*shape[:axis], images, *shape[axis:])
        key = self._prefix + name
        if self._state.replay is not None:
            value = self._replayed(key, full)
        elif images is None:
            value = np.asarray(make(self._stream(self.seed, key), shape))
        else:
            seeds = [self.image_seed(k) for k in range(images)]
            drawn = {seed: np.asarray(make(self._stream(seed, key), shape)) for seed in dict.fromkeys(seeds)}
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
        value = np.asarray(queue[position])
        if value.shape != shape:
            raise ValueError(f"Recorded draw {position} for {key!r} has shape {value.shape}, needed is {shape}.")
        self._state.position[key] = position + 1
        return value


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"A seed is a non-negative integer, not {checks.shown(seed)}.")
    return int(seed)
