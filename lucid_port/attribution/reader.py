"""A network as a module of one number for each image, with a module that holds a layer: the form that Captum needs.

Captum finds a layer by hooks on its module. A network may call a module several times, or compute a layer by a
function. So the reader passes the layer's value through a module of its own, the tap, and computes the target from the
tap's output. Captum hooks the tap, which runs once in each pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from converters.network.request import LayerRequest
from lucid_port.attribution.units import Unit, first_axes, pieces_of
from lucid_port.modelzoo.layouts import Layout
from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.inputs import channels_of

__all__ = ["Reader"]

Part = Callable[[Tensor], Tensor]


class Reader(nn.Module):
    """Computes a unit for each image.

    With a layer, the layer is computed first, and then the target from the tap's output. The second pass reads the
    images, too, for paths around the layer. They have no gradient with respect to the layer, so the second pass reads
    detached images, and keeps nothing for gradients before the layer.

    Args:
        model: the network.
        target: the unit; None for passes that stop at the layer, which return the sum over the layer.
        layer: name of the layer that the tap holds, as (N, C, ...); None for no tap.
        gate: only this unit of the layer has a gradient; None for all.
        detaches: whether the second pass reads detached images. Captum's hooks on modules before the layer need a
            gradient.
        most: number of images that are computed together. Larger batches are computed in parts, and each part again
            for its gradient. None for no limit.

    Attributes:
        tap: the module that holds the layer.
        layout: the axes of the layer, after the first pass.
    """

    def __init__(
        self,
        model: Model,
        target: Unit | None,
        layer: str | None = None,
        gate: Unit | None = None,
        detaches: bool = True,
        most: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.target, self.layer, self.gate = model, target, layer, gate
        self.detaches, self.most = detaches, most
        self.tap = nn.Identity()
        self.layout: Layout | None = None
        self._pieces = () if layer is None else pieces_of(model, layer)

    def apply(self, fn: Callable[[nn.Module], None]) -> Reader:
        """Applies a function to each module once; torch visits a module of two names twice."""
        super().apply(lambda module: None)  # converted networks call their modules one by one from now on
        for module in list(self.modules()):
            fn(module)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Returns the unit's values, (N,), for images (N, C, H, W) in [0, 1]."""
        if self.layer is None:
            return self._in_parts(self._directly, images)
        value = self.tap(self._in_parts(self.first, images))
        if self.target is None:
            return value.flatten(1).sum(1)
        if self.gate is not None:
            assert self.layout is not None
            value = only(self.gate, value, self.layout)
        return self._in_parts(self._second, images.detach() if self.detaches else images, value)

    def _in_parts(self, part: Callable[..., Tensor], *batch: Tensor) -> Tensor:
        if self.most is None or len(batch[0]) <= self.most:
            return part(*batch)
        pieces = zip(*(one.split(self.most) for one in batch), strict=True)
        if torch.is_grad_enabled() and any(one.requires_grad for one in batch):
            return torch.cat([checkpoint(part, *piece, use_reentrant=False) for piece in pieces])
        return torch.cat([part(*piece) for piece in pieces])

    @property
    def _own_target(self) -> Unit:
        assert self.target is not None
        return self.target

    def _directly(self, images: Tensor) -> Tensor:
        layer = self._own_target.layer
        return self._target_of(self.model.compute(images, LayerRequest.of([layer]))[layer], images)

    def first(self, images: Tensor) -> Tensor:
        """Returns the layer's value, (N, C, ...), without the tap."""
        assert self.layer is not None
        value = self.model.compute(images, LayerRequest.of([self.layer]))[self.layer]
        read = first_axes(self.model, self.layer, value, _size(images), len(images))
        self.layout = read.layout
        return read.first

    def _second(self, images: Tensor, value: Tensor) -> Tensor:
        assert self.layer is not None
        assert self.layout is not None
        own = self.layout.restore(value)
        counts = (
            [channels_of(self.model, piece) for piece in self._pieces] if len(self._pieces) > 1 else [value.shape[1]]
        )
        given = dict(zip(self._pieces, own.split(counts, self.layout.axes.index("C")), strict=True))
        target = self._own_target
        request = LayerRequest.of([target.layer], interventions=given)
        return self._target_of(self.model.compute(images, request)[target.layer], images)

    def _target_of(self, value: Tensor, images: Tensor) -> Tensor:
        target = self._own_target
        read = first_axes(self.model, target.layer, value, _size(images), len(images))
        return target.of(read.first, read.layout)


def only(unit: Unit, value: Tensor, layout: Layout) -> Tensor:
    """Returns a layer's value (N, C, ...) of which only a unit has a gradient."""
    channel = value[:, unit.number]
    chosen = torch.zeros_like(channel, dtype=torch.bool)
    index: tuple[int | slice, ...] = (slice(None),)
    if unit.place is not None:
        index = (slice(None), *unit.indices(channel, layout))
    chosen[index] = True
    mask = torch.zeros_like(value, dtype=torch.bool)
    mask[:, unit.number] = chosen
    return torch.where(mask, value, value.detach())


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]
