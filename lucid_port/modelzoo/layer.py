"""Lucid's description of a layer: name, depth and tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from converters.program.layer_info import LayerInfo
from converters.signatures import checked
from lucid_port.misc.io.displaying import table_html
from lucid_port.modelzoo.aligned_activations import get_aligned_activations

__all__ = ["Layer", "ListedLayers"]


@checked
@dataclass(frozen=True)
class Layer:
    """A layer that Lucid lists for a model.

    Attributes:
        name: TensorFlow's name.
        depth: number of channels.
        tags: "conv" for places in the image or "dense" for one vector, and further tags of Lucid. Layers of networks
            from other libraries may also have "tokens" and "attention", or no tag if the axes are not known.
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
    __iter__: ClassVar[None] = None  # indexed by name only

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
    def size(self) -> int:
        """Number of channels: Lucid's older name of `depth`."""
        return self.depth

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


class ListedLayers(tuple[Layer, ...]):
    """The layers that a model lists; a notebook shows them as a table.

    Example:
        >>> ListedLayers([Layer("mixed4a", 508, frozenset({"conv"}), "InceptionV1")])
        ListedLayers(mixed4a: 508)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        shown = [f"{layer.name}: {layer.depth}" for layer in self[:20]]
        more = [f"... {len(self) - 20} more"] if len(self) > 20 else []
        return f"{type(self).__name__}({', '.join([*shown, *more])})"

    def _repr_html_(self) -> str:
        name = self[0].model_name if self else ""
        rows = [(layer.name, layer.depth, ", ".join(sorted(layer.tags))) for layer in self]
        return table_html(f"Layers of {name}", ("layer", "channels", "tags"), rows)


def layers_of(infos: Mapping[str, LayerInfo], model_name: str) -> ListedLayers:
    """Returns the layers of a network whose number of channels is known, without its input.

    Args:
        infos: `network.layers`.
        model_name: name of the model.

    Example:
        >>> infos = {"fc": LayerInfo("fc", "Linear", 10, "fc"), "sum": LayerInfo("sum", "add", None, "")}
        >>> layers_of(infos, "Small")
        ListedLayers(fc: 10)
    """
    return ListedLayers(
        Layer(info.name, info.channels, _tags(info), model_name)
        for info in infos.values()
        if info.channels is not None and info.op != "Placeholder"
    )


def _tags(info: LayerInfo) -> frozenset[str]:
    """Returns the tags of a layer: by its axes if they are known, otherwise by its op."""
    tags = set()
    if "H" in info.axes or (not info.axes and re.search("conv|pool", info.op, re.IGNORECASE)):
        tags.add("conv")
    elif info.axes == "NC" or (not info.axes and re.search("linear|matmul", info.op, re.IGNORECASE)):
        tags.add("dense")
    elif "L" in info.axes:
        tags.add("tokens")
    if "attention" in info.op.lower():
        tags.add("attention")
    return frozenset(tags)
