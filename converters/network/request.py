"""Requests for layers, and the base class of the networks that compute them.

A request says which layers one forward pass computes, and how. It is passed unchanged from objectives to the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor, nn

from converters.errors import UnsupportedRequestError
from converters.program.layer_info import Layers

Function: TypeAlias = Callable[[Tensor], Tensor]
Channels: TypeAlias = tuple[int, ...]
ReluRule: TypeAlias = tuple[tuple[str, Function], ...]
"""(op, function) pairs: the function that computes every op of the kind "Relu" or "Relu6"."""


RELUS = ("Relu", "Relu6")
CHANNELS = ("channels is a mapping from a layer's name to channels", "{'mixed4a': [3, 8]}")
INSTEAD = ("instead is a mapping from 'Relu' or 'Relu6' to a function", "{'Relu': torch.nn.functional.softplus}")
GIVEN = ("given is a mapping from a layer's name to the value that replaces its own", "{'mixed4a': tensor}")


@dataclass(frozen=True)
class LayerRequest:
    """Layers to compute in one forward pass. Requests are hashable, so networks use them as keys of caches.

    Attributes:
        names: the layers, in the order of the result.
        channels: (name, channels) of each layer of which only these channels are computed.
        relu_rule: functions that compute the ReLUs, usually with other gradients.
        interventions: (name, value) of each layer whose value is replaced for all layers after it. Comparisons and
            hashes of requests ignore them.
    """

    names: tuple[str, ...]
    channels: tuple[tuple[str, Channels], ...] = ()
    relu_rule: ReluRule = ()
    interventions: tuple[tuple[str, Tensor], ...] = field(default=(), compare=False)

    @classmethod
    def of(
        cls,
        names: str | Sequence[str],
        channels: Mapping[str, Sequence[int]] | None = None,
        relu_rule: Mapping[str, Function] | None = None,
        interventions: Mapping[str, Tensor] | None = None,
    ) -> LayerRequest:
        """Makes a request from the arguments of `LayeredNetwork.activations`.

        Raises:
            TypeError: `names` is neither a name nor a list of names, or another argument is not a mapping or has items
                of a wrong type.
            ValueError: `relu_rule` names another op than "Relu" and "Relu6".
        """
        _check_names(names)
        for value, (what, example) in ((channels, CHANNELS), (relu_rule, INSTEAD), (interventions, GIVEN)):
            if value is not None and not isinstance(value, Mapping):
                raise TypeError(f"{what}, as in {example}, not of type {type(value).__name__}.")
        for name, chosen in (channels or {}).items():
            if not isinstance(chosen, Iterable) or isinstance(chosen, str):
                raise TypeError(f"channels[{name!r}] is a list of channels, not of type {type(chosen).__name__}.")
        for op, function in (relu_rule or {}).items():
            if op not in RELUS:
                raise ValueError(f"instead replaces ops of the kinds {' and '.join(RELUS)}, not {op!r}.")
            if not callable(function):
                raise TypeError(f"instead[{op!r}] is a function of a tensor, not of type {type(function).__name__}.")
        for name, given in (interventions or {}).items():
            if not isinstance(given, Tensor):
                raise TypeError(f"given[{name!r}] is a tensor, not of type {type(given).__name__}.")
        return cls(
            (names,) if isinstance(names, str) else tuple(names),
            tuple((name, tuple(chosen)) for name, chosen in (channels or {}).items()),
            tuple((relu_rule or {}).items()),
            tuple((interventions or {}).items()),
        )


def _check_names(names: object) -> None:
    """Raises TypeError if `names` is neither a name nor a list of names."""
    if not isinstance(names, Iterable) or isinstance(names, Tensor | bytes | Mapping):
        raise TypeError(f"names is a layer's name or a list of names, not of type {type(names).__name__}.")


def unsupported(request: LayerRequest) -> UnsupportedRequestError:
    """Returns the error for a request that a network does not support."""
    if request.channels:
        return UnsupportedRequestError(
            "This network cannot compute single channels: request the layers without channels."
        )
    if request.interventions and not request.relu_rule:
        return UnsupportedRequestError(
            "This network cannot replace the values of layers: request the layers without interventions."
        )
    return UnsupportedRequestError(
        "A ReLU of this network cannot be replaced, because it is inside a module or has a hook."
    )


class LayeredNetwork(nn.Module):
    """A network whose layers have names: the base of all networks of the converters.

    Subclasses implement `compute`, and override `supports` if they support channels or ReLU rules.

    Attributes:
        layers: name -> `LayerInfo`.
    """

    layers: Layers

    @property
    def left_out(self) -> Mapping[str, str]:
        """Layers of the source that this network does not have: name -> the reason, as a clause."""
        return self.layers.left_out

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """Computes the requested layers; the keys of the result are the names of the request.

        Args:
            x: (N, C, H, W) in the network's own value range and channel order.
            request: the layers.

        Raises:
            LayerNotFoundError: a name is not that of a layer.
            UnsupportedRequestError: the network does not support the request; nothing was computed.
        """
        raise NotImplementedError

    def supports(self, request: LayerRequest) -> bool:
        """Returns whether `compute` honors the channels and the ReLU rule of a request."""
        return not (request.channels or request.relu_rule)

    def activations(
        self,
        x: Tensor,
        names: str | Sequence[str],
        instead: Mapping[str, Function] | None = None,
        channels: Mapping[str, Sequence[int]] | None = None,
        given: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Computes some layers, and only the layers that they depend on.

        Args:
            x: (N, C, H, W) in the network's own value range and channel order.
            names: names of the layers, in any order. In converted graphs, `name:0` is the same as `name`, and `name:1`
                is the second output of an op.
            instead: op -> function that computes every "Relu" or "Relu6", if the network supports it.
            channels: name -> indices of the channels to return, if the network supports it.
            given: name of a layer -> value that replaces the layer's own for all later layers.

        Returns:
            name -> value. Images are (N, C, H, W). Other values keep the order of the graph that they come from, such
            as (rows, features) after a reshape; an image larger than the original one yields several rows.
            `LayerInfo.layout` gives the layout of rank-4 values.

        Raises:
            LayerNotFoundError: a name is not that of a layer; the error suggests the nearest names.
            InputSizeError: a layer cannot be computed at this input size.
            ValueError: `x` is not a batch of images with the input's number of channels; a value cannot be replaced or
                is not a tensor; or the network does not support the request.
        """
        return self.compute(x, LayerRequest.of(names, channels, instead, given))

    def layer_module(self, name: str) -> nn.Module:
        """Returns the module that computes a layer.

        Raises:
            LayerNotFoundError: the network has no layer of this name.
            ValueError: the layer is a function, or the input.
        """
        raise NotImplementedError
