"""Descriptions of layers, and the mapping from a network's layer names to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from converters.errors import LayerNotFoundError
from converters.frozen.graph import NHWC, Output
from converters.program.program import Program, Step


@dataclass(frozen=True)
class LayerInfo:
    """The description of a layer.

    Attributes:
        name: TensorFlow's name.
        op: TensorFlow's op type.
        channels: size of its channel axis; None if it is known only when the model runs.
        module: path of its submodule in the model; empty for the input, which has none.
        layout: TensorFlow's axis order of rank-4 values. NHWC: tensors are transposed to (N, C, H, W). NCHW: tensors
            have TensorFlow's order.

    Example:
        >>> info = LayerInfo("mixed4a", "Concat", channels=508, module="mixed4a")
        >>> info.layout, info.channel_axis
        ('NHWC', 1)
    """

    name: str
    op: str
    channels: int | None
    module: str
    layout: str = NHWC

    @property
    def channel_axis(self) -> int:
        """The channel axis of the layer's tensor, which is (N, C, H, W) for images and (N, features) for rows."""
        return 1


class Layers(Mapping[str, LayerInfo]):
    """TensorFlow name -> `LayerInfo`, in the graph's order. As in Lucid, `name:0` is the same as `name`.

    Args:
        infos: the layers.
        further: the second and later outputs of ops, such as `name:1`. They can be looked up, but iteration skips them.
    """

    def __init__(self, infos: Sequence[LayerInfo], further: Sequence[LayerInfo] = ()) -> None:
        self._infos = {info.name: info for info in infos}
        self._further = {info.name: info for info in further}

    def __getitem__(self, name: str) -> LayerInfo:
        if not isinstance(name, str):
            raise LayerNotFoundError(repr(name), self._infos)
        info = self._infos.get(name) or self._infos.get(name.removesuffix(":0")) or self._further.get(name)
        if info is None:
            raise LayerNotFoundError(name, self._infos)
        return info

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __repr__(self) -> str:
        return f"Layers({list(self)})"


def module_of(root: nn.Module, info: LayerInfo) -> nn.Module:
    """Returns the module that computes a layer.

    Args:
        root: the module that `info.module` is a path in.
        info: the layer.

    Raises:
        ValueError: the layer is the input or a function, not a module.
    """
    if not info.module:
        kind = "the network's input" if info.op == "Placeholder" else f"a function ({info.op})"
        raise ValueError(f"Layer {info.name!r} is {kind}, not a module: name a layer that a module computes.")
    return root.get_submodule(info.module)


def layers_of(program: Program) -> Layers:
    """Returns the layers of a converted graph: its input, then all steps that are not hidden."""
    entry = LayerInfo(program.metadata.input_name, "Placeholder", program.input_channels, "", program.input_layout)
    steps = [step for step in program.steps if not step.hidden]
    further = [_info(step, index) for step in steps for index in range(1, step.outputs)]
    return Layers([entry, *(_info(step) for step in steps)], further)


def _info(step: Step, index: int = 0) -> LayerInfo:
    return LayerInfo(str(Output(step.name, index)), step.op, step.channels, step.module, step.layout)
