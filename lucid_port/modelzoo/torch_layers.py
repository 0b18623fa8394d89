"""The layers of a torch network, and the values that are requested of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from converters import LayerInfo
from converters.program.layer_info import Layers
from converters.tracing.elements import splits_of


@dataclass(frozen=True)
class Target:
    """A requested value.

    Attributes:
        name: its name in the request.
        info: its layer.
        element: the requested element of the layer's value; empty if the value is a tensor.
        is_output: whether it is the value that the network returns.
    """

    name: str
    info: LayerInfo
    element: str
    is_output: bool

    @property
    def is_hookable(self) -> bool:
        """Whether it is the first output of a module, or the network's."""
        return self.is_output or self.info.module == self.info.name

    @property
    def key(self) -> str:
        """The name of the layer, with the element."""
        return f"{self.info.name}:{self.element}" if self.element else self.info.name


class TorchLayers(Layers):
    """The layers of a torch network. Elements of tuples and dicts can be looked up as `layer:element`.

    Args:
        infos: the layers that iteration yields.
        further: descriptions that iteration skips: of functions that return tuples, of the value that the network
            returns, of elements, and of values that do not depend on the image.
    """

    def __getitem__(self, name: str) -> LayerInfo:
        if isinstance(name, str) and name in self._further:
            return self._further[name]
        info, element = self.find(name)
        if element in ("", "0"):  # `layer:0` of a tensor is the tensor
            return replace(info, name=name) if element else info
        return replace(info, name=name, channels=None, unknown=info.unknown or "the layer has no such element")

    def find(self, name: str) -> tuple[LayerInfo, str]:
        """Returns a layer, and the element of its value that a name refers to.

        Raises:
            converters.LayerNotFoundError: there is no layer of this name.
        """
        for layer, element in splits_of(name) if isinstance(name, str) else ():
            if element and (layer in self._infos or layer in self._further):
                return super().__getitem__(layer), element
            if not element and name in self._infos:
                return self._infos[name], ""
        return super().__getitem__(name), ""
