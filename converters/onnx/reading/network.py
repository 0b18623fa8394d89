"""Networks read from ONNX files: they check their input, and errors name the layer that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx, nn

from converters.errors import InputSizeError
from converters.memory import is_out_of_memory
from converters.network.model import MISFITS, check_images, raise_located
from converters.network.request import LayerRequest
from converters.network.tracers import fixed_size
from converters.onnx.reading.axes import SIDE, with_axes
from converters.program.layer_info import Layers, module_of
from converters.program.program import Metadata
from converters.tracing.traced import TracedNetwork

# Methods of a ConvertedModel -> what to do instead.
_OF_CONVERTED = {
    "save": "keep the .onnx file, which converters.from_onnx reads",
    "to_onnx": "keep the .onnx file that it was read from",
    "subgraph": "call activations, which computes only what the named layers need",
}


class OnnxNetwork(TracedNetwork):
    """A `TracedNetwork` whose errors name the layer that cannot be computed, as those of `ConvertedModel` do.

    Args:
        graph_module, names, metadata, ops: as for `TracedNetwork`; the first name is the input's.
        channels: number of channels of the input; None accepts any number.
        outputs: names of the layers that are the file's outputs, which the graph returns: one value, or a dictionary.
        takes_one_image: compute the images of a batch one by one, because the file states a batch of one, and its
            images may influence each other in a batch.
        left_out: name of a layer of the file that the network does not have -> the reason, as a clause.
        follows_ranks: whether the axes of all layers follow from their ranks; if not, a pass without values finds
            them.

    Attributes:
        outputs, takes_one_image: the arguments.
        layers: `LayerInfo.module` is a path in this network, as in a `ConvertedModel`.
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
        takes_one_image: bool = False,
        left_out: Mapping[str, str] = MappingProxyType({}),
        follows_ranks: bool = True,
    ) -> None:
        super().__init__(graph_module, names, metadata, ops)
        paths = (f"module.{info.module}" if info.module else "" for info in self.layers.values())
        infos = [replace(info, module=path) for info, path in zip(self.layers.values(), paths, strict=True)]
        if not follows_ranks:
            height, width, _ = self.metadata.image_shape or (None, None, None)
            shape = (1, channels or 3, height or SIDE, width or SIDE)
            infos = with_axes(infos, self.module, names, shape, takes_one_image)
        entry, *others = infos
        self.layers = Layers([replace(entry, channels=channels), *others], left_out=left_out)
        self.outputs = tuple(outputs)
        self.takes_one_image = takes_one_image

    def layer_module(self, name: str) -> nn.Module:
        """Returns the module that computes a layer.

        Raises:
            LayerNotFoundError: the network has no layer of this name.
            ValueError: the layer is the input.
        """
        return module_of(self, self.layers[name])

    def __getattr__(self, name: str) -> Any:
        if name in _OF_CONVERTED:
            raise AttributeError(f"An OnnxNetwork has no {name}: {_OF_CONVERTED[name]}.")
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        """Computes the file's outputs.

        Args:
            x: (N, C, H, W) in the input's own value range and channel order (`metadata`).

        Returns:
            The output, or a dictionary of outputs by name if there are several.

        Raises:
            InputSizeError: an output cannot be computed at this input size.
        """
        if isinstance(x, fx.Proxy) or torch.compiler.is_compiling():
            return self._recorded(x)
        found = self.activations(x, self.outputs)
        return found if len(found) > 1 else next(iter(found.values()))

    def _recorded(self, x: Tensor | fx.Proxy) -> Tensor | dict[str, Tensor]:
        """Calls the graph's module, so that tracers see its layers."""
        if isinstance(x, fx.Proxy) and self.takes_one_image:
            x = check_single(x)  # type: ignore[arg-type]  # recorded
        if isinstance(x, fx.Proxy) or not self.takes_one_image or len(x) == 1:
            found: Tensor | dict[str, Tensor] = self.module(x)
            return found
        parts = [self.module(image) for image in x.split(1)]
        if isinstance(parts[0], Tensor):
            return _joined(parts)
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """Computes the requested layers; an error names the layer that cannot be computed at this size."""
        check_images(x, next(iter(self.layers.values())).channels)
        if self.takes_one_image and len(x) > 1:
            parts = [self.compute(image, _part(request, index, len(x))) for index, image in enumerate(x.split(1))]
            return {name: _joined([part[name] for part in parts]) for name in request.names}
        if torch.compiler.is_compiling():
            return super().compute(x, request)
        if torch.jit.is_tracing():
            with fixed_size(x, is_batch_fixed=self.takes_one_image) as images:
                return super().compute(images, request)
        try:
            return super().compute(x, request)
        except MISFITS as error:
            if is_out_of_memory(error):
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


def _joined(values: Sequence[Tensor]) -> Tensor:
    """Joins the values of single images; values without axes get one of images."""
    return torch.cat([value if value.ndim else value[None] for value in values])


def check_single(x: Tensor) -> Tensor:
    """Returns a batch of one image. torch.fx records the call, because a graph cannot split batches.

    Raises:
        InputSizeError: the batch has several images.
    """
    if len(x) > 1:
        raise InputSizeError(f"The traced graph computes one image at a time, not a batch of {len(x)}.")
    return x


fx.wrap("check_single")


def _part(request: LayerRequest, index: int, count: int) -> LayerRequest:
    """Returns the request for one of `count` images; given values are split evenly among them."""
    given = tuple((name, value.chunk(count)[index]) for name, value in request.interventions)
    return replace(request, interventions=given)
