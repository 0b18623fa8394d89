"""Resize, which onnx2torch computes exactly only in some of its modes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from converters import functional
from converters.errors import InputSizeError

# (mode, coordinate_transformation_mode, nearest_mode) -> method and convention of `functional.resize`. Where positions
# are interpolated between, the last one means nothing.
CONVENTIONS: Mapping[tuple[str, str, str], tuple[str, str]] = {
    ("linear", "asymmetric", ""): ("bilinear", "legacy"),
    ("linear", "half_pixel", ""): ("bilinear", "half_pixel"),
    ("linear", "align_corners", ""): ("bilinear", "corners"),
    ("nearest", "asymmetric", "floor"): ("nearest", "legacy"),
    ("nearest", "half_pixel", "round_prefer_ceil"): ("nearest", "half_pixel"),
    ("nearest", "align_corners", "round_prefer_ceil"): ("nearest", "corners"),
}


def convention_of(stated: Mapping[str, Any]) -> tuple[str, str] | None:
    """The method and the convention of a node with some attributes; None where TensorFlow has nothing like it."""
    mode = stated.get("mode", "nearest")
    nearest = stated.get("nearest_mode", "round_prefer_floor") if mode == "nearest" else ""
    return CONVENTIONS.get((mode, stated.get("coordinate_transformation_mode", "half_pixel"), nearest))


class Resize(nn.Module):
    """Resize of (N, C, H, W), to sizes or by scales that give whole sizes; it reads what onnx2torch's module reads."""

    def __init__(self, method: str, convention: str) -> None:
        super().__init__()
        self.method, self.convention = method, convention

    def forward(
        self, x: Tensor, roi: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
    ) -> Tensor:
        target = _target(x, scales, sizes)
        if target[:2] != list(x.shape[:2]):
            raise InputSizeError(f"it resizes {list(x.shape)} to {target}; the batch and the channels have to stay")
        return functional.resize(x, target[2:], self.method, self.convention)


def _target(x: Tensor, scales: Tensor | None, sizes: Tensor | None) -> list[int]:
    if sizes is not None and sizes.numel():
        return [int(size) for size in sizes.tolist()]
    exact = [size * scale for size, scale in zip(x.shape, scales.tolist() if scales is not None else [], strict=True)]
    if any(abs(size - round(size)) > 1e-4 for size in exact):
        raise InputSizeError(f"it scales {list(x.shape)} to {exact}, which are no whole numbers of pixels")
    return [round(size) for size in exact]
