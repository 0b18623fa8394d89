"""A layer as Lucid lists it: a name, a depth and tags."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from lucid_port.modelzoo.aligned_activations import get_aligned_activations

__all__ = ["Layer"]


@dataclass(frozen=True)
class Layer:
    """A layer that Lucid lists for a model.

    Attributes:
        name: TensorFlow's name.
        depth: number of channels.
        tags: "conv" or "dense", and what else Lucid notes.
        model_name: the model it belongs to.
        width, height, shape: always None, as in Lucid, which reserves them.
    """

    name: str
    depth: int
    tags: frozenset[str] = field(default_factory=frozenset)
    model_name: str = ""

    width: ClassVar[None] = None
    height: ClassVar[None] = None
    shape: ClassVar[None] = None

    def __getitem__(self, key: str) -> Any:
        """`layer["name"]`, as Lucid's older notebooks write it; "type" is the first tag.

        Raises:
            AttributeError: a layer has no such value.
        """
        if key == "type":
            return sorted(self.tags)[0]
        if key not in self.__dataclass_fields__:
            raise AttributeError(f"A layer has no {key!r}; it has {', '.join(self.__dataclass_fields__)}.")
        return getattr(self, key)

    @property
    def activations(self) -> np.ndarray:
        """The layer's recorded activations (see `aligned_activations`).

        Raises:
            FileNotFoundError: they are not on this machine.
        """
        return get_aligned_activations(self)

    def to_json(self) -> str:
        """The name, as Lucid writes a layer to JSON."""
        return self.name

    def __str__(self) -> str:
        return f"Layer of {self.model_name} <{self.name}: {self.depth}> ({', '.join(sorted(self.tags))})"
