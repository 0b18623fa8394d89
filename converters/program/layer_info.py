"""Layer descriptions: which layers a network has, and where each of them lives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from converters.errors import LayerNotFoundError
from converters.frozen.graph import NHWC, Output
from converters.program.program import Program, Step


@dataclass(frozen=True)
class LayerInfo:
    """What a layer is.

    Attributes:
        name: TensorFlow's name.
        op: TensorFlow's op type.
        channels: size of its channel axis; None where only running the model tells.
        module: path of its submodule in the model; empty for the input, which has none.
        layout: how TensorFlow's axes lie in the tensor, if it has four: NHWC where they are turned to (N, C, H, W),
            NCHW where they are as in TensorFlow.
    """

    name: str
    op: str
    channels: int | None
    module: str
    layout: str = NHWC


class Layers(Mapping[str, LayerInfo]):
    """TensorFlow name -> `LayerInfo`, in the graph's order. `name:0` is the same as `name`, as in Lucid.

    Args:
        infos: the layers.
        further: outputs of ops behind the first, as `name:1`: they are found, but not listed.
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
    """The module that computes a layer.

    Args:
        root: what `info.module` is a path in.
        info: the layer.

    Raises:
        ValueError: no module does.
    """
    if not info.module:
        kind = "the network's input" if info.op == "Placeholder" else f"a function ({info.op})"
        raise ValueError(f"Layer {info.name!r} is {kind}, not a module: name a layer that a module computes.")
    return root.get_submodule(info.module)


def layers_of(program: Program) -> Layers:
    """The layers of a converted graph: its input, then every step that is no hidden one."""
    entry = LayerInfo(program.metadata.input_name, "Placeholder", program.input_channels, "", program.input_layout)
    steps = [step for step in program.steps if not step.hidden]
    further = [_info(step, index) for step in steps for index in range(1, step.outputs)]
    return Layers([entry, *(_info(step) for step in steps)], further)


def _info(step: Step, index: int = 0) -> LayerInfo:
    return LayerInfo(str(Output(step.name, index)), step.op, step.channels, step.module, step.layout)
