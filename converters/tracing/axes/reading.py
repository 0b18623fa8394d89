"""Letters of axes: which axis of a value counts channels, images, places and tokens."""

from __future__ import annotations

from dataclasses import dataclass

from converters.program.layer_info import TokenGrid
from converters.tracing.axes.factors import Axes, Axis, Description, Unknown, length, roles, segments_of


@dataclass(frozen=True)
class FoundAxes:
    """The axes of a named value.

    Attributes:
        axes: one letter an axis, as in `LayerInfo.axes`; empty if the channel axis is not known.
        channels: size of the channel axis; 1 without this axis.
        tokens: the grid of the tokens of axis L, if they form one.
        unknown: the reason why the channel axis is not known, as a clause; empty if it is known.
        depends: whether the value depends on the image. Other values are no layers to render.
        shape: the shape of the value in the pass that found it; empty if there was none.
        is_tensor: whether the value is a tensor, not a tuple of tensors or None.
    """

    axes: str = ""
    channels: int | None = None
    tokens: TokenGrid | None = None
    unknown: str = ""
    depends: bool = True
    shape: tuple[int, ...] = ()
    is_tensor: bool = True


def read_axes(found: Description | None, image: tuple[int, int] | None, images: int = 2) -> FoundAxes:
    """Returns the letters of a description.

    Args:
        found: the description of a value; None if it does not depend on the image.
        image: (height, width) of the network's input; None if it has no places.
        images: number of images in the batch.
    """
    if found is None:
        return FoundAxes(unknown="its value does not depend on the image", depends=False)
    if isinstance(found, Unknown):
        return FoundAxes(unknown=found.reason)
    unknown, index = _channel_axis(found)
    is_one_channel = unknown == _NO_CHANNELS
    if unknown and not is_one_channel:
        return FoundAxes(unknown=unknown)
    letters = ["C" if number == index and not is_one_channel else _letter(axis) for number, axis in enumerate(found)]
    for number in range(len(found)):
        same = [other for other, letter in enumerate(letters) if letter == letters[number] and letter in "HWT"]
        if len(same) > 1 and number != max(same, key=lambda other: (_is_outer(found[other]), -other)):
            letters[number] = "G"
    if images == 1 and letters and "N" not in letters and letters[0] == "G" and length(found[0]) == 1:
        letters[0] = "N"
    if is_one_channel:
        others = [number for number, letter in enumerate(letters) if letter == "G"]
        if len(others) == 1 and length(found[others[0]]) == 1:
            letters[others[0]] = "C"  # the one channel has an axis of its own
        if not _are_places(letters):
            return FoundAxes(unknown=unknown)
        return FoundAxes("".join(letters), 1, _grid(found, letters, image))
    return FoundAxes("".join(letters), length(found[index]), _grid(found, letters, image))


_NO_CHANNELS = "no axis counts channels"


def _are_places(letters: list[str]) -> bool:
    """Returns whether axes are those of images and of places or tokens alone. The value is one channel."""
    return letters.count("N") == 1 and set(letters) <= set("NCHWLT")


def _channel_axis(axes: Axes) -> tuple[str, int]:
    """Returns the reason why the channel axis is not known, or "", and its index."""
    images = [number for number, axis in enumerate(axes) if any(factor.role == "N" for factor in axis)]
    if len(images) > 1:
        return "images are along several axes", 0
    if images and not roles(axes[images[0]]).startswith("N") and len(roles(axes[images[0]])) > 1:
        return "an axis has the images inside other axes", 0
    places = [
        (factor.generation, -factor.stride, number)
        for number, axis in enumerate(axes)
        for factor in axis
        if factor.role == "C" and (factor.size > 1 or len(axis) == 1)
    ]
    if not places:
        return _NO_CHANNELS, 0
    index = max(places)[2]
    if index in images:
        return "one axis joins images and channels", 0
    kinds = roles(axes[index])
    if set(kinds) <= {"C", "G"}:
        return "", index
    others = [axis for number, axis in enumerate(axes) if number != index and set(roles(axis)) - {"N"}]
    inner = all(not factor.outer for factor in axes[index] if factor.role in "HWTL")
    if not others or inner:  # all features of an image, or of a patch
        return "", index
    return "one axis joins channels and places", 0


def _is_outer(axis: Axis) -> bool:
    return bool(axis) and axis[0].outer


def _letter(axis: Axis) -> str:
    kinds = set(roles(axis)) or {factor.role for factor in axis[:1]}
    if "N" in kinds:
        return "N"
    if not kinds or not kinds <= {"H", "W", "L", "T"}:
        return "G"
    return next(iter(kinds)) if len(kinds) == 1 else "L"


def _grid(axes: Axes, letters: list[str], image: tuple[int, int] | None) -> TokenGrid | None:
    """Returns the grid of the first axis of tokens, if it has the patches of the complete image once."""
    if image is None or "L" not in letters:
        return None
    segments = segments_of(axes[letters.index("L")])
    grids = [number for number, segment in enumerate(segments) if segment.grid is not None]
    if len(grids) != 1:
        return None
    index = grids[0]
    names = [segment.name for number, segment in enumerate(segments) if number != index]
    if not all(names):
        return None
    rows, columns = segments[index].grid or (1, 1)
    stride = (image[0] / rows, image[1] / columns)
    return TokenGrid(stride, tuple(names[:index]), tuple(names[index:]))
