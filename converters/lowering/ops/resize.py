"""Converters of ResizeBilinear and ResizeNearestNeighbor."""

from __future__ import annotations

from converters.frozen.graph import NHWC
from converters.lowering.ops.registry import Call, Operation, Read, register

METHODS = {"ResizeBilinear": "bilinear", "ResizeNearestNeighbor": "nearest"}
MAX_SIZE = 2**15


@register(*METHODS)
def resize(op: Operation) -> Call:
    channels = op.image_channels(0, NHWC)  # resizing ops have no data_format
    size = op.sizes(1)
    if len(size) != 2 or any(isinstance(n, int) and not 1 <= n <= MAX_SIZE for n in size):
        raise op.error(f"resizes to {list(size)}; it takes a height and a width from 1 to {MAX_SIZE}")
    corners, centers = op.flag("align_corners"), op.flag("half_pixel_centers")
    if corners and centers:
        raise op.error("has both align_corners and half_pixel_centers, which TensorFlow refuses")
    convention = "corners" if corners else "half_pixel" if centers else "legacy"
    arguments = {"size": size, "method": METHODS[op.node.op], "convention": convention}
    height, width = (n if isinstance(n, int) else None for n in size)
    return Call("Resize", (None, height, width, channels), arguments, inputs=(Read(0, NHWC),), layout=NHWC)
