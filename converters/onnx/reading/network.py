"""A network read from an ONNX file: its input is checked, and a layer that fails is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, fx

from converters.errors import InputSizeError
from converters.network.model import check_images
from converters.network.request import LayerRequest
from converters.program.layer_info import Layers
from converters.program.program import Metadata
from converters.tracing.traced import TracedNetwork

# What torch raises where sizes or arguments do not fit; onnx2torch's layers do not look at them first.
MISFITS = (RuntimeError, IndexError, TypeError, ValueError)


class OnnxNetwork(TracedNetwork):
    """A `TracedNetwork` that says which of its layers cannot be computed, as a `ConvertedModel` does.

    Args:
        graph_module, names, metadata, ops: as for `TracedNetwork`; the first name is the input's.
        channels: of the input; None where any number will do.
        outputs: names of the layers that are the file's outputs.

    Attributes:
        outputs: as above.
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
    ) -> None:
        super().__init__(graph_module, names, metadata, ops)
        entry, *others = self.layers.values()
        self.layers = Layers([replace(entry, channels=channels), *others])
        self.outputs = tuple(outputs)

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """The values of the requested layers; an error names the layer that cannot be computed at this size."""
        check_images(x, next(iter(self.layers.values())).channels)
        if torch.compiler.is_compiling():
            return super().compute(x, request)
        try:
            return super().compute(x, request)
        except MISFITS as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            self._locate_failure(x, request.names)
            raise

    def _locate_failure(self, x: Tensor, names: Sequence[str]) -> None:
        """Says which layer cannot be computed, if one cannot.

        Raises:
            InputSizeError: names it.
        """
        nodes = [self._names[self.layers[name].name] for name in names]
        locator = _Locator(self.module, self._graph.cut(self.module, nodes))
        try:
            with torch.no_grad():
                locator.run(x)
        except MISFITS as error:
            layer = next((name for name, node in self._names.items() if node == locator.node), locator.node)
            size = "x".join(str(length) for length in x.shape[-2:])
            reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
            raise InputSizeError(f"Layer {layer!r} cannot be computed for images of {size}: {reason}.") from error


class _Locator(fx.Interpreter):
    """Runs a graph node by node.

    Attributes:
        node: name of the node that ran last.
    """

    def __init__(self, module: fx.GraphModule, graph: fx.Graph) -> None:
        super().__init__(module, graph=graph)
        self.extra_traceback = False
        self.node = ""

    def run_node(self, n: fx.Node) -> object:
        self.node = n.name
        return super().run_node(n)
