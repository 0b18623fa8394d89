"""Memory of one evaluation of an image: values of its parts, and the draws of transforms within it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from lucid_port.optvis.sampling import RandomSource

__all__ = ["DrawingMemo", "Transforming"]


class Transforming(Protocol):
    """The part of a transform that parameterizations use; see `lucid_port.optvis.transform.Transform`."""

    @property
    def kind(self) -> str: ...

    def make_params(self, source: RandomSource, shape: tuple[int, ...]) -> Any: ...

    def apply(self, image: torch.Tensor, params: Any) -> torch.Tensor: ...


class DrawingMemo(dict[int, torch.Tensor]):
    """Values of one evaluation by the `id` of the parameterization, and its draws.

    The n-th transform of an image draws in the scope `n` of the source. Separate images that are joined to a batch have
    the draws that they would have alone.

    Args:
        source: Source of the draws; by default a new one with the default seed, so that evaluations outside of a render
            are equal.
    """

    def __init__(self, source: RandomSource | None = None) -> None:
        super().__init__()
        self._source = RandomSource() if source is None else source
        self._drawn: dict[Any, Any] = {}
        self._count = 0

    def params(self, transform: Transforming, shape: tuple[int, ...]) -> Any:
        """Returns the parameters of the next transform for a batch of NCHW `shape`."""
        same = transform if _is_hashable(transform) else id(transform)
        key = (self._count, self._source.per_image and self._source.seeds, same, shape)
        if key not in self._drawn:
            source = self._source.scope(str(self._count)).scope(transform.kind)
            self._drawn[key] = transform.make_params(source, shape)
        self._count += 1
        return self._drawn[key]

    @contextmanager
    def of_image(self, index: int) -> Iterator[None]:
        """A context in which transforms draw as for a render of the image `index` alone."""
        source, self._source, self._count = self._source, self._source.of_image(index), 0
        try:
            yield
        finally:
            self._source = source


def _is_hashable(transform: Transforming) -> bool:
    try:
        hash(transform)
    except TypeError:  # of a user's own transform with a list or an array
        return False
    return True
