"""The geometry of Caffe's convolutions and pools, and of the TensorFlow windows that caffe-tensorflow took for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from converters.errors import GraphError
from converters.program.validation import MAX_WINDOW

Pair = tuple[int, int]
Size = tuple[int | None, int | None]
AXES = ("height", "width")


@dataclass(frozen=True)
class Window:
    """A sliding window: (rows, columns) of everything.

    Attributes:
        kernel, stride, dilation: sizes from 1 on.
        pad: rows and columns added on either side.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def extent(self) -> Pair:
        """What the window spans, holes of a dilation included."""
        rows, columns = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, columns

    def keeps_size(self) -> bool:
        """Whether it pads at every size as TensorFlow's SAME does: by half its extent, with no stride."""
        halves = all(extent == 2 * pad + 1 for extent, pad in zip(self.extent, self.pad, strict=True))
        return halves and self.stride == (1, 1)


def read_window(parameter: Any, name: str) -> Window:
    """The window of a ConvolutionParameter or a PoolingParameter.

    Args:
        parameter: the message.
        name: of the layer, for errors.

    Raises:
        GraphError: a setting is missing or beyond any image network.
    """
    kernel = _pair(parameter, "kernel_size", ("kernel_h", "kernel_w"), None, 1, name)
    stride = _pair(parameter, "stride", ("stride_h", "stride_w"), 1, 1, name)
    pad = _pair(parameter, "pad", ("pad_h", "pad_w"), 0, 0, name)
    dilation = (1, 1)
    if "dilation" in parameter.DESCRIPTOR.fields_by_name:
        dilation = _pair(parameter, "dilation", (), 1, 1, name)
    return Window(kernel, stride, pad, dilation)


def _pair(parameter: Any, both: str, each: Sequence[str], default: int | None, least: int, name: str) -> Pair:
    """A setting of both axes, given once, once for each axis, or by one field for each axis."""
    stated = list(getattr(parameter, both))
    apart = [getattr(parameter, field) for field in each if parameter.HasField(field)]
    values = apart if len(apart) == 2 else stated
    if not values and default is not None:
        values = [default]
    if len(values) not in (1, 2) or min(values) < least or max(values) > MAX_WINDOW:
        raise GraphError(
            f"Layer {name!r} has {both} {values[:4]}; it takes one or two sizes from {least} to {MAX_WINDOW}."
        )
    return int(values[0]), int(values[-1])


def caffe_size(size: Size, window: Window, round_up: bool) -> Size:
    """What Caffe's window makes of an input of some (height, width); None for what is not known.

    Args:
        size: of the input.
        window: the window.
        round_up: for pools, which cover what is left over by a last window; where anything is padded, that window
            has to start on the image or before it.
    """
    clipped = round_up and any(window.pad)
    rows, columns = (
        None if n is None else _positions(n, extent, stride, pad, round_up, clipped)
        for n, extent, stride, pad in zip(size, window.extent, window.stride, window.pad, strict=True)
    )
    return rows, columns


def _positions(size: int, extent: int, stride: int, pad: int, round_up: bool, clipped: bool) -> int:
    left = size + 2 * pad - extent
    count = (-(-left // stride) if round_up else left // stride) + 1
    return count - 1 if clipped and (count - 1) * stride >= size + pad else count


def tensorflow_padding(size: Size, window: Window, made: Size) -> str | None:
    """SAME or VALID, whichever makes of an input what Caffe makes of it, as caffe-tensorflow chooses; None for neither.

    Args:
        size: of the input.
        window: Caffe's window.
        made: what Caffe makes of it.
    """
    if None in size:
        return None
    same = tuple(-(-n // stride) for n, stride in zip(size, window.stride, strict=True) if n is not None)
    if made == same:
        return "SAME"
    inside = [n - extent + 1 for n, extent in zip(size, window.extent, strict=True) if n is not None]
    return "VALID" if made == tuple(-(-n // stride) for n, stride in zip(inside, window.stride, strict=True)) else None


def pool_margins(window: Window) -> Pair:
    """Rows and columns behind the input with which a VALID pool has as many positions as Caffe's, at every size.

    Rounding up is rounding down after stride - 1 more rows; a last window that starts on the image or before it is one
    that starts at most kernel - 1 rows before the end of as many rows more.
    """
    clipped = any(window.pad)
    rows, columns = (
        min(pad + stride - 1, kernel - 1) if clipped else stride - 1
        for kernel, stride, pad in zip(window.kernel, window.stride, window.pad, strict=True)
    )
    return rows, columns
