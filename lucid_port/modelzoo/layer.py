"""Lucid's description of a layer: name, depth and tags."""

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
        tags: "conv" or "dense", and further tags of Lucid.
        model_name: name of the model.
        width, height, shape: reserved; always None, as in Lucid.

    Example:
        >>> layer = Layer("mixed4a", 508, frozenset({"conv"}), "InceptionV1")
        >>> str(layer)
        'Layer of InceptionV1 <mixed4a: 508> (conv)'
        >>> layer["type"]
        'conv'
    """

    name: str
    depth: int
    tags: frozenset[str] = field(default_factory=frozenset)
    model_name: str = ""

    width: ClassVar[None] = None
    height: ClassVar[None] = None
    shape: ClassVar[None] = None

    def __getitem__(self, key: str) -> Any:
        """Returns an attribute by name, as in Lucid's older notebooks; "type" is the first tag.

        Raises:
            AttributeError: a layer has no attribute of this name.
        """
        if key == "type":
            return sorted(self.tags)[0]
        if key not in self.__dataclass_fields__:
            raise AttributeError(f"A layer has no {key!r}; it has {', '.join(self.__dataclass_fields__)}.")
        return getattr(self, key)

    @property
    def activations(self) -> np.ndarray:
        """The recorded activations, (samples, depth); see `aligned_activations`.

        Raises:
            FileNotFoundError: they are not on this machine.
        """
        return get_aligned_activations(self)

    def to_json(self) -> str:
        """Returns the name: the JSON form of a layer in Lucid."""
        return self.name

    def __str__(self) -> str:
        return f"Layer of {self.model_name} <{self.name}: {self.depth}> ({', '.join(sorted(self.tags))})"
