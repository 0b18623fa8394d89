"""Cases of resizing, transposed and atrous convolutions, and positions moved into the batch or the channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity_tests.cases.base import ONE_SIZE, Build, CaseWriter, case

FEW = {"sizes": ONE_SIZE, "batch": 2, "channels": 3}
CONVENTIONS = {
    "legacy": {},
    "corners": {"align_corners": True},
    "half-pixel": {"half_pixel_centers": True},
}
RESIZES = {"up": (12, 11), "down": (3, 4), "twice": (10, 14), "one": (1, 1), "same": (5, 7)}


def resize(op: str, size: Sequence[int], **attrs: bool) -> Build:
    given = {"align_corners": False, "half_pixel_centers": False, **attrs}
    return lambda w: w.op("y", op, [w.x, w.const("size", list(size))], **given)


def transposed(kernel: Sequence[int], stride: Sequence[int], padding: str, size: Sequence[int]) -> Build:
    """A transposed convolution to a fixed size, with its bias."""

    def build(w: CaseWriter) -> None:
        weights = w.seeded("weights", (*kernel, 4, w.channels))
        sizes = w.const("sizes", [2, *size, 4])
        y = w.op(
            "conv", "Conv2DBackpropInput", [sizes, weights, w.x], strides=[1, *stride, 1], padding=padding,
            data_format="NHWC",
        )  # fmt: skip
        w.bias_add("y", y, w.seeded("bias", (4,)))

    return build


# Kernel, stride, padding, and the size that 5 x 7 comes from: several sizes come to the same.
TRANSPOSED = [
    ((3, 3), (2, 2), "SAME", (10, 14)),
    ((3, 3), (2, 2), "SAME", (9, 13)),
    ((4, 4), (2, 2), "SAME", (10, 14)),
    ((3, 3), (2, 2), "VALID", (11, 15)),
    ((3, 3), (2, 2), "VALID", (12, 16)),
    ((2, 3), (3, 2), "SAME", (13, 14)),
    ((1, 1), (2, 2), "SAME", (10, 13)),
    ((2, 2), (3, 3), "VALID", (15, 22)),
    ((5, 4), (1, 1), "SAME", (5, 7)),
    ((5, 4), (1, 1), "VALID", (9, 10)),
]


def atrous(rate: int, padding: Sequence[int], crops: Sequence[int]) -> Build:
    """A dilated convolution as `tf.nn.atrous_conv2d` writes it, with fixed paddings."""

    def build(w: CaseWriter) -> None:
        block = w.const("block", [rate, rate])
        paddings = w.const("paddings", np.array(padding, np.int32).reshape(2, 2))
        cut = w.const("crops", np.array(crops, np.int32).reshape(2, 2))
        kinds = {"Tblock_shape": np.int32}
        x = w.op("apart", "SpaceToBatchND", [w.x, block, paddings], Tpaddings=np.int32, **kinds)
        x = w.conv2d("conv", x, w.seeded("weights", (3, 3, w.channels, 4)), 1, "VALID")
        w.op("y", "BatchToSpaceND", [x, block, cut], Tcrops=np.int32, **kinds)

    return build


def moved(op: str, block: int) -> Build:
    return lambda w: w.op("y", "Tanh", [w.op("moved", op, [w.x], block_size=block, data_format="NHWC")])


def rows_to_batch(w: CaseWriter) -> None:
    """Blocks of one axis alone, which do not fit evenly."""
    inputs = [w.x, w.const("block", [3]), w.const("paddings", np.array([[0, 1]], np.int32))]
    kinds = {"Tblock_shape": np.int32, "Tpaddings": np.int32}
    x = w.op("apart", "SpaceToBatchND", inputs, **kinds)
    inputs = [x, w.const("block/back", [3]), w.const("crops", np.array([[1, 2]], np.int32))]
    w.op("y", "BatchToSpaceND", inputs, Tblock_shape=np.int32, Tcrops=np.int32)


def add() -> None:
    """Adds the cases."""
    for op in ("ResizeBilinear", "ResizeNearestNeighbor"):
        for convention, attrs in CONVENTIONS.items():
            for name, size in RESIZES.items():
                case(f"{op}-{convention}-{name}", resize(op, size, **attrs), **FEW)
    for kernel, stride, padding, size in TRANSPOSED:
        name = f"transposed-{kernel[0]}x{kernel[1]}-stride-{stride[0]}x{stride[1]}-{padding}-{size[0]}x{size[1]}"
        case(name, transposed(kernel, stride, padding, size), **FEW)
    case("transposed-refuses", transposed((3, 3), (2, 2), "SAME", (10, 14)), **{**FEW, "sizes": ((5, 7), (5, 6))})
    case("atrous-2", atrous(2, (2, 3, 2, 3), (0, 1, 0, 1)), **FEW)
    case("atrous-3", atrous(3, (3, 4, 3, 2), (0, 1, 0, 0)), **{**FEW, "sizes": ((5, 7), (8, 10), (6, 6))})
    case("SpaceToBatchND-of-rows", rows_to_batch, **FEW)
    for block in (2, 3):
        case(f"SpaceToDepth-{block}", moved("SpaceToDepth", block), **{**FEW, "sizes": ((6, 12),)})
        case(
            f"DepthToSpace-{block}",
            moved("DepthToSpace", block),
            **{**FEW, "channels": 3 * block**2, "sizes": ((2, 3),)},
        )
