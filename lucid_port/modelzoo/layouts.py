"""Layouts of activations: the order of their axes, and the places of tokens in the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from converters import LayerInfo, checks
from converters.program.layer_info import Layers

__all__ = ["Layout", "channels_last", "described", "layout_of", "plain_layout"]

CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
"""Names that networks give to the class token."""


@dataclass(frozen=True)
class Layout:
    """The axes of an activation, and the places of its tokens.

    Attributes:
        layer: name of the layer.
        axes: one letter for each axis of the network's own tensor, as in `converters.LayerInfo.axes`.
        grid: (rows, columns) of the patches among the tokens of axis L; None if their places are not known.
        before, after: names of the tokens before and after the patches.
        obstacle: the reason why tokens have no places, as a clause; empty if there is a grid, or there are no tokens.

    Example:
        >>> layout = Layout("blocks.0", "NLC", (3, 5), ("cls_token",))
        >>> layout.positions, layout.token("class", 16), layout.token(-1, 16)
        ('L', 0, 15)
    """

    layer: str
    axes: str
    grid: tuple[int, int] | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    obstacle: str = ""

    @property
    def positions(self) -> str:
        """The letters of the axes behind the channels in (N, C, ...)."""
        return "".join(letter for letter in self.axes if letter not in "NC")

    @property
    def image_axis(self) -> int | None:
        """Index of the image axis of the network's own tensor; None if it has none."""
        return self.axes.index("N") if "N" in self.axes else None

    def channels_first(self, value: Tensor) -> Tensor:
        """Moves the axes of the network's own tensor to (N, C, ...), a view; see `LayerInfo.channels_first`."""
        return LayerInfo(self.layer, "", None, "", axes=self.axes).channels_first(value)

    def restore(self, value: Tensor) -> Tensor:
        """Moves the axes (N, C, ...) to those of the network's own tensor, a view."""
        if "C" not in self.axes:
            value = value[:, 0]
            return value[0] if self.image_axis is None else value.movedim(0, self.image_axis)
        if self.image_axis is None:
            return value[0].movedim(0, self.axes.index("C"))
        return value.movedim((0, 1), (self.image_axis, self.axes.index("C")))

    def in_places(self, value: Tensor) -> Tensor:
        """Arranges an activation (N, C, ...) by the places of its positions in the image.

        Tokens form the grid of patches; the class token and other tokens without a place are left out. The two token
        axes of attention maps are taken as rows (queries) and columns (keys).

        Returns:
            (N, C, rows, columns), a view.

        Raises:
            ValueError: the layer has no rows and columns.
        """
        if value.ndim == 4 and self.positions == "WH":
            return value.transpose(2, 3)
        if value.ndim == 4 and self.positions in ("HW", "LL"):
            return value
        if value.ndim == 3 and self.grid is not None:
            return value[:, :, len(self.before) : value.shape[2] - len(self.after)].unflatten(2, self.grid)
        raise ValueError(self.no_places())

    @property
    def has_places(self) -> bool:
        """Whether the positions are rows and columns, or tokens on a grid."""
        return self.positions in ("HW", "WH", "LL") or self.grid is not None

    def no_places(self) -> str:
        """Returns the sentence that says why the layer has no rows and columns."""
        if not self.positions:
            return (
                f"Layer {self.layer!r} is fully connected: it has no positions. Read it with objectives.channel, or "
                "name a convolutional layer."
            )
        if self.positions == "L":
            return (
                f"The tokens of layer {self.layer!r} have no rows and columns, because {self.obstacle}: read them by "
                "number with objectives.token, or all of them with objectives.channel."
            )
        return (
            f"Layer {self.layer!r} has no rows and columns: its axes are {self.axes} (N images, C channels, T times, L "
            "tokens, G other groups). Read all its positions with objectives.channel."
        )

    def at_time(self, value: Tensor, time: int | None) -> tuple[Tensor, Layout]:
        """Selects one time of an activation (N, C, ...).

        Args:
            value: the activation.
            time: its number; None for the middle one, if the layer has times.

        Returns:
            The activation without the time axis, and its layout.

        Raises:
            IndexError: the layer does not have this time.
            ValueError: the layer has no times.
        """
        if self.positions.count("T") != 1:
            if time is None:
                return value, self
            raise ValueError(f"Layer {self.layer!r} has no axis of times: its axes are {self.axes}. Leave out t.")
        count = value.shape[2 + self.positions.index("T")]
        return self._at(value, "T", count // 2 if time is None else time, "time")

    def at_head(self, value: Tensor, head: int | None) -> tuple[Tensor, Layout]:
        """Selects one attention head, or another group of axis G, of an activation (N, C, ...).

        Args:
            value: the activation.
            head: its number; None in layers without axis G.

        Returns:
            The activation without axis G, and its layout.

        Raises:
            IndexError: the layer does not have this head.
            ValueError: the layer has no heads, or has some and `head` names none of them.
        """
        groups = self.positions.count("G")
        if groups == 1 and head is not None:
            return self._at(value, "G", head, "head")
        if head is None and (groups == 0 or self.positions == "G"):  # objectives.token reads a single axis
            return value, self
        if groups == 1:
            count = value.shape[2 + self.positions.index("G")]
            rest = replace(self, axes=self.axes.replace("G", ""))
            kind = "neuron" if rest.has_places or rest.positions == "THW" else "token"
            reader = kind if len(rest.positions) == 1 or kind == "neuron" else "channel"
            raise ValueError(
                f"Layer {self.layer!r} has {count} attention heads or other groups (axis G of {self.axes}): name one, "
                f"as in objectives.{reader}(..., head={count - 1}), or read all of them with objectives.channel."
            )
        if groups:
            advice = "read" if head is None else "leave out head, and read"
            raise ValueError(
                f"Layer {self.layer!r} has {groups} axes of groups (G of {self.axes}), so that a head is not certain: "
                f"{advice} all of them with objectives.channel."
            )
        maps = " The heads of an attention map are its channels." if self.positions == "LL" else ""
        raise ValueError(
            f"Layer {self.layer!r} has no axis of attention heads: its axes are {self.axes}. Leave out head.{maps}"
        )

    def _at(self, value: Tensor, letter: str, number: int, kind: str) -> tuple[Tensor, Layout]:
        axis = 2 + self.positions.index(letter)
        count = value.shape[axis]
        if not -count <= number < count:
            raise IndexError(f"Layer {self.layer!r} has no {kind} {number}: its {kind}s are 0 to {count - 1}.")
        return value.select(axis, number), replace(self, axes=self.axes.replace(letter, ""))

    def token(self, which: int | str, count: int) -> int:
        """Returns the index of a token.

        Args:
            which: its number among all tokens (negative numbers count from the end), its name, or "class" for the class
                token under any of its usual names.
            count: number of tokens.

        Raises:
            IndexError: there is no token of this number.
            ValueError: there is no token of this name.
        """
        if isinstance(which, str):
            names = [*self.before, *[""] * (count - len(self.before) - len(self.after)), *self.after]
            wanted = CLASS_TOKENS if which == "class" and which not in names else (which,)
            found = [names.index(name) for name in wanted if name and name in names]
            if not found:
                known = [name for name in names if name]
                has = f"it names {', '.join(known)}" if known else "it names no tokens; give the token's number"
                raise ValueError(f"Layer {self.layer!r} has no token {which!r}: {has}.")
            return found[0]
        number = checks.whole(which, "A token, if it is not a name,")
        if not -count <= number < count:
            raise IndexError(f"Layer {self.layer!r} has no token {number}: its tokens are 0 to {count - 1}.")
        return number % count


_POSITIONS = {3: "L", 4: "HW", 5: "THW"}


def plain_layout(layer: str, rank: int) -> Layout:
    """Returns the layout (N, C, ...) of an activation that no network describes.

    Example:
        >>> plain_layout("mixed4a", 4).axes, plain_layout("tokens", 3).axes
        ('NCHW', 'NCL')
    """
    axes = "NC"[:rank] + _POSITIONS.get(rank, "G" * (rank - 2))
    return Layout(layer, axes, obstacle="the network does not describe them" if axes.endswith("L") else "")


def layout_of(
    info: LayerInfo | None, layer: str, value: Tensor, size: tuple[int, int], images: int | None = None
) -> Layout:
    """Returns the layout of an activation.

    Args:
        info: description of the layer; None if the network does not describe its layers: then the axes are (N, C, ...).
        layer: name of the layer.
        value: the network's own tensor.
        size: (height, width) of the images that the network got, in pixels.
        images: number of these images; None if it is not known.

    Raises:
        converters.ChannelAxisError: the axes of the layer are not known.

    Example:
        >>> import torch
        >>> from converters.program.layer_info import TokenGrid
        >>> info = LayerInfo("mix", "Linear", 24, "mix", axes="NLC", tokens=TokenGrid((4, 4), ("cls_token",)))
        >>> layout_of(info, "mix", torch.zeros(2, 16, 24), (12, 20)).grid
        (3, 5)
    """
    if info is None:
        return plain_layout(layer, value.ndim)
    axes = info.axes_of_value(value, images)
    if axes.count("L") != 1:
        return Layout(layer, axes)
    if info.tokens is None:
        return Layout(layer, axes, obstacle="the network does not state the size of their patches")
    count, tokens = value.shape[axes.index("L")], info.tokens
    grid = tokens.places(count, *size)
    if grid is None:
        tall, wide = tokens.stride
        named = len(tokens.before) + len(tokens.after)
        others = f" and {named} other token{'s' * (named != 1)}" if named else ""
        obstacle = f"images of {size[0]} x {size[1]} pixels have other numbers of patches of {tall:g} x {wide:g} pixels"
        return Layout(layer, axes, obstacle=f"{obstacle}{others}")
    return Layout(layer, axes, grid, tokens.before, tokens.after)


def described(model: Any, name: str) -> LayerInfo | None:
    """Returns the description of a model's layer; None if the model's network does not describe it.

    Raises:
        converters.LayerNotFoundError: the network describes its layers, and has no layer of this name.
    """
    known = getattr(getattr(model, "network", None), "layers", None)
    if isinstance(known, Layers):
        return known[name]
    found = known.get(name) if isinstance(known, Mapping) else None  # `layers` of a user's own network
    return found if isinstance(found, LayerInfo) else None


def channels_last(value: Tensor) -> Tensor:
    """Moves the channels of an activation to the end: (N, C, H, W) to (N, H, W, C), (N, C) to (N, 1, 1, C).

    Tokens (N, C, L) become (N, 1, L, C), and more axes (N, ..., C).

    Example:
        >>> import torch
        >>> [tuple(channels_last(torch.zeros(shape)).shape) for shape in ((2, 8), (2, 8, 5), (2, 8, 5, 3))]
        [(2, 1, 1, 8), (2, 1, 5, 8), (2, 5, 3, 8)]
    """
    if value.ndim == 2:
        return value[:, None, None, :]
    if value.ndim == 3:
        return value.movedim(1, 2)[:, None]
    return value.permute(0, 2, 3, 1) if value.ndim == 4 else value.movedim(1, -1)
