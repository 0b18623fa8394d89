"""Networks read from ONNX files: they check their input, and errors name the layer that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor, fx

from converters.network.model import check_images, raise_located
from converters.network.request import LayerRequest
from converters.program.layer_info import Layers
from converters.program.program import Metadata
from converters.tracing.traced import TracedNetwork

# Errors that torch raises for wrong sizes; onnx2torch's layers do not check sizes themselves.
MISFITS = (RuntimeError, IndexError, TypeError, ValueError)


class OnnxNetwork(TracedNetwork):
    """A `TracedNetwork` whose errors name the layer that cannot be computed, as those of `ConvertedModel` do.

    Args:
        graph_module, names, metadata, ops: as for `TracedNetwork`; the first name is the input's.
        channels: number of channels of the input; None accepts any number.
        outputs: names of the layers that are the file's outputs.
        left_out: name of a layer of the file that the network does not have -> the reason, as a clause.

    Attributes:
        outputs: the argument.
    """

    def __init__(
        self,
        graph_module: fx.GraphModule,
        names: Mapping[str, str],
        metadata: Metadata,
        ops: Mapping[str, str],
        *,
        channels: int | None,
        outputs: Sequence[str],
        left_out: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(graph_module, names, metadata, ops)
        entry, *others = self.layers.values()
        self.layers = Layers([replace(entry, channels=channels), *others], left_out=left_out)
        self.outputs = tuple(outputs)

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """Computes the requested layers; an error names the layer that cannot be computed at this size."""
        check_images(x, next(iter(self.layers.values())).channels)
        if torch.compiler.is_compiling():
            return super().compute(x, request)
        try:
            return super().compute(x, request)
        except MISFITS as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            nodes = [self._names[self.layers[name].name] for name in request.names]
            layer_of = {node: name for name, node in reversed(self._names.items())}
            raise_located(
                self.module,
                self._graph.cut(self.module, nodes),
                x,
                MISFITS,
                lambda node: layer_of.get(node.name, node.name),
            )
            raise
