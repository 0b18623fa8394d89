"""Descriptions of layers, and the mapping from a network's layer names to them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from torch import Tensor, nn

from converters.errors import ChannelAxisError, LayerLeftOutError, LayerNotFoundError
from converters.frozen.graph import NHWC, Output
from converters.program.lucid_names import lucid_names
from converters.program.program import Program, Step
from converters.stack_level import stack_level


@dataclass(frozen=True)
class TokenGrid:
    """The tokens of a layer: patches of the image on a grid, with other tokens before and after them.

    Attributes:
        stride: (height, width) of a patch in pixels of the network's input.
        before, after: names of the tokens before and after the patches, such as ("cls_token",).

    Example:
        >>> grid = TokenGrid((16, 16), before=("cls_token",))
        >>> grid.places(197, 224, 224)
        (14, 14)
    """

    stride: tuple[float, float]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def places(self, tokens: int, height: int, width: int) -> tuple[int, int] | None:
        """Returns the number of rows and columns of patches.

        Args:
            tokens: number of all tokens.
            height, width: size of the network's input.

        Returns:
            (rows, columns); None if the patches of an image of this size do not give this number of tokens.
        """
        patches = tokens - len(self.before) - len(self.after)
        for rounded in (round, math.floor, math.ceil):  # networks cut off the rest of an image, or pad it
            rows, columns = rounded(height / self.stride[0]), rounded(width / self.stride[1])
            if rows * columns == patches:
                return rows, columns
        return None


@dataclass(frozen=True)
class LayerInfo:
    """The description of a layer.

    Attributes:
        name: TensorFlow's name.
        op: TensorFlow's op type.
        channels: size of its channel axis; None if it is known only when the model runs.
        module: path of its submodule in the model; empty for the input, which has none.
        layout: TensorFlow's axis order of rank-4 values. NHWC: tensors are transposed to (N, C, H, W). NCHW: tensors
            have TensorFlow's order. Empty for layers of torch networks, whose tensors have the order of `axes`.
        axes: one letter for each axis of the layer's tensor: N images, C channels, H rows, W columns, L tokens,
            T times, G other groups such as attention heads. N*C has any number of axes between N and C. Without C,
            such as NLL of attention with one head, the tensor is one channel. Empty if the axes follow from the rank,
            as in a TensorFlow graph: (N, C, H, W), (N, features), and the last axis for other ranks.
        tokens: the tokens of axis L; None if they do not form a grid.
        unknown: the reason why the channel axis is not known, as a clause; empty if it is known.

    Example:
        >>> info = LayerInfo("mixed4a", "Concat", channels=508, module="mixed4a")
        >>> info.layout, info.channel_axis(4), info.channel_axis(3)
        ('NHWC', 1, 2)
        >>> LayerInfo("blocks.0", "Block", 192, "blocks.0", axes="NLC").channel_axis(3)
        2
    """

    name: str
    op: str
    channels: int | None
    module: str
    layout: str = NHWC
    axes: str = ""
    tokens: TokenGrid | None = None
    unknown: str = ""

    def channel_axis(self, rank: int) -> int:
        """Returns the index of the channel axis of the layer's tensor.

        Args:
            rank: number of axes of the tensor.

        Raises:
            ChannelAxisError: it is not known, there is none, or the tensor does not have the axes of the description.
        """
        axes = self.axes_of(rank)
        if "C" not in axes:
            raise ChannelAxisError(
                f"Layer {self.name!r} has no channel axis: its axes are {axes}, those of one channel."
            )
        return axes.index("C")

    def axes_of(self, rank: int) -> str:
        """Returns one letter for each axis of the layer's tensor, as in `axes`.

        Args:
            rank: number of axes of the tensor.

        Raises:
            ChannelAxisError: the axes are not known, or the tensor does not have the axes of the description.
        """
        if self.unknown:
            example = {self.name: _STATED_AXES.get(rank, "N" + "G" * (rank - 2) + "C")}
            raise ChannelAxisError(
                f"The channel axis of layer {self.name!r} is not known, because {self.unknown}: state the axes with "
                f"layouts={example}, in from_torch or where the file is opened."
            )
        axes = self.axes or AXES_OF_RANK.get(rank) or "N" + "G" * (rank - 2) + "C"
        if "*" in axes:  # any number of other axes
            axes = axes.replace("*", "G" * (rank - len(axes) + 1))
        if len(axes) != rank:
            advice = ": a network that squeezes all axes of size 1 has to name them, as in squeeze((2, 3))"
            advice = advice if rank < len(axes) else ""
            raise ChannelAxisError(f"Layer {self.name!r} gave a tensor of {rank} axes, not the axes {axes}{advice}.")
        return axes

    def axes_of_value(self, value: Tensor, images: int | None = None) -> str:
        """Returns one letter for each axis of a tensor of the layer, as `axes_of`.

        A network that squeezes axes of size 1 also removes the image axis of a single image.

        Args:
            value: the layer's tensor.
            images: number of images in the batch; None if it is not known.

        Raises:
            ChannelAxisError: the axes are not known, or the tensor does not have the axes of the description.
        """
        if images != 1 or self.unknown or "*" in self.axes or value.ndim != len(self.axes) - 1:
            return self.axes_of(value.ndim)
        squeezed = self.axes.replace("N", "")
        channels = value.shape[squeezed.index("C")] if "C" in squeezed and len(squeezed) == value.ndim else 1
        is_whole = len(squeezed) == value.ndim and channels == self.channels
        return squeezed if is_whole else self.axes_of(value.ndim)

    def channels_first(self, value: Tensor, images: int | None = None) -> Tensor:
        """Moves the image axis of the layer's tensor to the front, and the channel axis behind it.

        Args:
            value: the layer's tensor.
            images: number of images in the batch; None if it is not known.

        Returns:
            A view: (N, C, ...). Values without an image axis get one of size 1, and so do values of one channel.

        Raises:
            ChannelAxisError: the channel axis is not known.
        """
        axes = self.axes_of_value(value, images)
        if axes[:2] == "NC":
            return value
        if "C" not in axes:
            value, axes = value[None], f"C{axes}"
        if "N" not in axes:
            return value.movedim(axes.index("C"), 0)[None]
        return value.movedim((axes.index("N"), axes.index("C")), (0, 1))


_STATED_AXES = {1: "C", 2: "NC", 3: "NLC", 4: "NCHW", 5: "NCTHW"}  # usual ones, as an example
AXES_OF_RANK = {1: "C", 2: "NC", 4: "NCHW"}
"""Number of axes of a value -> the axes, unless the layer states others."""
_LETTERS = "NCHWLTG"


class Layers(Mapping[str, LayerInfo]):
    """TensorFlow name -> `LayerInfo`, in the graph's order. As in Lucid, `name:0` is the same as `name`.

    Args:
        infos: the layers.
        further: the second and later outputs of ops, such as `name:1`. They can be looked up, but iteration skips them.
        left_out: name of a layer of the source that the network does not have -> the reason, as a clause.
        lucid_names: Lucid's names for layers of an InceptionV1 that has other names. They can be looked up, but
            iteration skips them. The first look-up warns, because the network's units are not those of Lucid's.

    Attributes:
        left_out: the argument. A look-up of such a name raises `LayerLeftOutError`.
    """

    def __init__(
        self,
        infos: Sequence[LayerInfo],
        further: Sequence[LayerInfo] = (),
        left_out: Mapping[str, str] = MappingProxyType({}),
        lucid_names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._infos = {info.name: info for info in infos}
        self._further = {info.name: info for info in further}
        self._lucid_names, self._has_warned = dict(lucid_names), False
        self.left_out = dict(left_out)

    def __getitem__(self, name: str) -> LayerInfo:
        if not isinstance(name, str):
            raise LayerNotFoundError(repr(name), self._infos)
        info = self._infos.get(name) or self._infos.get(name.removesuffix(":0")) or self._further.get(name)
        if info is None and name in self._lucid_names:
            info = self._by_lucid_name(name)
        if info is None:
            node = Output.parse(name).node
            reason = self.left_out.get(name) or self.left_out.get(node)
            if reason:
                raise LayerLeftOutError(name, reason)
            raise LayerNotFoundError(name, [*self._infos, *self.left_out])
        return info

    def _by_lucid_name(self, name: str) -> LayerInfo:
        own = self._lucid_names[name]
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"Layer {name!r} of Lucid's InceptionV1 is {own!r} here. This network was trained separately, so that "
                "its units are others.",
                stacklevel=stack_level(),
            )
        return self._infos[own]

    def stated(self, layouts: Mapping[str, str]) -> Layers:
        """Returns these layers with the axes that a user states: name -> one letter for each axis.

        Raises:
            TypeError, ValueError: the axes are invalid (see `check_layouts`).
            LayerNotFoundError: there is no layer of a name.
        """
        axes = {self[name].name: letters for name, letters in check_layouts(layouts).items()}
        infos, further = (
            [_stated(info, axes[info.name]) if info.name in axes else info for info in group.values()]
            for group in (self._infos, self._further)
        )
        return Layers(infos, further, self.left_out, self._lucid_names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __repr__(self) -> str:
        return f"Layers({list(self)})"


def _stated(info: LayerInfo, axes: str) -> LayerInfo:
    """Returns a layer with the axes that a user states; its number of channels is known when the network runs."""
    return replace(info, axes=axes, channels=None, tokens=None, unknown="")


def check_layouts(layouts: object) -> dict[str, str]:
    """Checks the axes that a user states.

    Args:
        layouts: layer -> one letter an axis; None for no layers.

    Raises:
        TypeError: it is not a dictionary of strings.
        ValueError: axes have other letters, or not exactly one C, or several N.
    """
    if layouts is None:
        return {}
    if not isinstance(layouts, Mapping):
        raise TypeError(f"layouts is a dictionary such as {{'blocks.0': 'NLC'}}, not {layouts!r:.80}.")
    for name, axes in layouts.items():
        if not isinstance(name, str) or not isinstance(axes, str):
            raise TypeError(
                f"layouts maps names of layers to letters, as in {{'blocks.0': 'NLC'}}, not {name!r}: {axes!r}."
            )
        if set(axes) - set(_LETTERS) or axes.count("C") != 1 or axes.count("N") > 1:
            raise ValueError(
                f"layouts has the axes {axes!r} for layer {name!r}: give one letter for each axis, C for channels "
                "once, N for images at most once, and H, W, L (tokens), T (times) or G (others)."
            )
    return dict(layouts)


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
    infos = [entry, *(_info(step) for step in steps)]
    return Layers(infos, further, program.left_out, lucid_names(program))


def _info(step: Step, index: int = 0) -> LayerInfo:
    return LayerInfo(str(Output(step.name, index)), step.op, step.channels, step.module, step.layout)
