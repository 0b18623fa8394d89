"""Window geometry of Caffe's convolutions and pools, and of the TensorFlow windows that replace them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.caffe.messages import CaffeMessage
from converters.errors import GraphError
from converters.program.validation import MAX_WINDOW

Pair = tuple[int, int]
Size = tuple[int | None, int | None]


@dataclass(frozen=True)
class Window:
    """A sliding window; every attribute is (rows, columns).

    Attributes:
        kernel, stride, dilation: positive sizes.
        pad: padding on each side.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def extent(self) -> Pair:
        """The window's size including the gaps of its dilation."""
        rows, columns = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, columns

    def keeps_size(self) -> bool:
        """Returns whether the padding equals TensorFlow's SAME at every size: half the extent, and stride 1."""
        halves = all(extent == 2 * pad + 1 for extent, pad in zip(self.extent, self.pad, strict=True))
        return halves and self.stride == (1, 1)


def read_window(parameter: CaffeMessage, name: str) -> Window:
    """Reads the window of a ConvolutionParameter or a PoolingParameter.

    Args:
        parameter: the message.
        name: the layer's name, for errors.

    Raises:
        GraphError: a setting is missing or out of range.
    """
    kernel = _pair(parameter, "kernel_size", ("kernel_h", "kernel_w"), None, 1, name)
    stride = _pair(parameter, "stride", ("stride_h", "stride_w"), 1, 1, name)
    pad = _pair(parameter, "pad", ("pad_h", "pad_w"), 0, 0, name)
    dilation = (1, 1)
    if "dilation" in parameter.DESCRIPTOR.fields_by_name:
        dilation = _pair(parameter, "dilation", (), 1, 1, name)
    return Window(kernel, stride, pad, dilation)


def _pair(parameter: CaffeMessage, both: str, each: Sequence[str], default: int | None, least: int, name: str) -> Pair:
    """Returns a setting of both axes: a field with one or two values, or one field for each axis."""
    separate = [getattr(parameter, field) for field in each if parameter.HasField(field)]
    values = separate if len(separate) == 2 else list(getattr(parameter, both))
    if not values and default is not None:
        values = [default]
    if len(values) not in (1, 2) or min(values) < least or max(values) > MAX_WINDOW:
        raise GraphError(
            f"Layer {name!r} has {both} {values[:4]}; it takes one or two sizes from {least} to {MAX_WINDOW}."
        )
    return int(values[0]), int(values[-1])


def caffe_size(size: Size, window: Window, round_up: bool) -> Size:
    """Returns the (height, width) of the output of a window in Caffe; None for unknown sizes.

    Args:
        size: (height, width) of the input.
        window: the window.
        round_up: round the number of windows up, as pools do. If there is padding, the last window has to start on the
            image or before it.
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
    """Returns the padding, SAME or VALID, that gives Caffe's output size, as in caffe-tensorflow; None if neither does.

    Args:
        size: (height, width) of the input; None for unknown sizes.
        window: Caffe's window.
        made: (height, width) of Caffe's output.
    """
    for padding, extent in (("SAME", (1, 1)), ("VALID", window.extent)):
        axes = zip(size, extent, window.stride, strict=True)
        if None not in size and made == tuple(-(-(n - e + 1) // stride) for n, e, stride in axes if n is not None):
            return padding
    return None


def pool_margins(window: Window) -> Pair:
    """Rows and columns of end padding that give a VALID pool as many windows as Caffe's at every input size.

    Rounding the number of windows up equals rounding it down after adding stride - 1 rows. If there is padding, at most
    kernel - 1 rows are added, so that the last window starts on the image or before it.
    """
    clipped = any(window.pad)
    rows, columns = (
        min(pad + stride - 1, kernel - 1) if clipped else stride - 1
        for kernel, stride, pad in zip(window.kernel, window.stride, window.pad, strict=True)
    )
    return rows, columns
