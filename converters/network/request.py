"""The request for layers: which layers one pass computes, and how.

A request is made once and handed on untouched, from an objective to the network that computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor, nn

from converters.errors import UnsupportedRequestError
from converters.program.layer_info import Layers

Function: TypeAlias = Callable[[Tensor], Tensor]
Channels: TypeAlias = tuple[int, ...]
ReluRule: TypeAlias = tuple[tuple[str, Function], ...]
"""(op, function) pairs: the function that computes every op of the kind "Relu" or "Relu6"."""


@dataclass(frozen=True)
class LayerRequest:
    """Layers to compute in one pass. Requests are hashable; networks cache by them what they build.

    Attributes:
        names: the layers, in the order of the result.
        channels: (name, channels) of those layers of which only some channels are wanted.
        relu_rule: functions that compute the ReLUs, for the sake of their gradients.
        interventions: (name, value) of layers whose value is replaced for all layers behind them. They do not count
            for equality.
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
        """The request for some layers, from the mappings that people write."""
        return cls(
            (names,) if isinstance(names, str) else tuple(names),
            tuple((name, tuple(chosen)) for name, chosen in (channels or {}).items()),
            tuple((relu_rule or {}).items()),
            tuple((interventions or {}).items()),
        )


def unsupported(request: LayerRequest) -> UnsupportedRequestError:
    """The error for a request that a network does not support."""
    if request.channels:
        return UnsupportedRequestError("This network computes whole layers only: ask for them without channels.")
    if request.interventions and not request.relu_rule:
        return UnsupportedRequestError("In this network no layer's value can be replaced: ask for layers as they are.")
    return UnsupportedRequestError(
        "A ReLU of this network lies inside of a module, or has a hook: it cannot be replaced."
    )


class LayeredNetwork(nn.Module):
    """A network whose layers have names: the base of all networks of the converters.

    Subclasses implement `compute`, and override `supports` if they honor more than names and interventions.

    Attributes:
        layers: name -> `LayerInfo`.
    """

    layers: Layers

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """The values of the requested layers, by the names of the request.

        Args:
            x: (N, C, H, W) in the network's own value range and channel order.
            request: the layers.

        Raises:
            LayerNotFoundError: a name is no layer's.
            UnsupportedRequestError: the network does not support the request; nothing was computed.
        """
        raise NotImplementedError

    def supports(self, request: LayerRequest) -> bool:
        """Whether `compute` honors the channels and the ReLU rule of a request."""
        return not (request.channels or request.relu_rule)

    def activations(
        self,
        x: Tensor,
        names: str | Sequence[str],
        instead: Mapping[str, Function] | None = None,
        channels: Mapping[str, Sequence[int]] | None = None,
        given: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """The values of some layers; only what they need is computed.

        Args:
            x: (N, C, H, W) in the network's own value range and channel order.
            names: of the layers, in any order. A converted graph takes `name:0` for `name`; `name:1` is the second
                output of an op.
            instead: op -> function that computes every "Relu" or "Relu6", if the network supports it.
            channels: name -> the channels that are wanted, if the network supports it. Only these are returned.
            given: name of a layer -> the value that the layers behind it read instead of its own.

        Returns:
            name -> value: images are (N, C, H, W). Other values keep the order of the graph that they come from:
            (rows, features) behind a reshape, where positions that do not fit into a row become rows of their own.
            `LayerInfo.layout` gives the layout of four axes.

        Raises:
            LayerNotFoundError: a name is no layer's; the error offers the nearest ones.
            InputSizeError: a layer cannot be computed at this input size.
            ValueError: `x` is not a batch of images with the input's number of channels; a value cannot be given, or
                is not a tensor; or the network does not support the request.
        """
        return self.compute(x, LayerRequest.of(names, channels, instead, given))

    def layer_module(self, name: str) -> nn.Module:
        """The module that computes a layer.

        Raises:
            LayerNotFoundError: there is no such layer.
            ValueError: the layer is a function, or the input.
        """
        raise NotImplementedError
