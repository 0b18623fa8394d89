"""Resize. onnx2torch computes it exactly only in some modes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from converters import functional
from converters.errors import InputSizeError

# (mode, coordinate_transformation_mode, nearest_mode) -> arguments of `functional.resize`. Linear modes have
# no nearest_mode.
CONVENTIONS: Mapping[tuple[str, str, str], tuple[str, str]] = {
    ("linear", "asymmetric", ""): ("bilinear", "legacy"),
    ("linear", "half_pixel", ""): ("bilinear", "half_pixel"),
    ("linear", "align_corners", ""): ("bilinear", "corners"),
    ("nearest", "asymmetric", "floor"): ("nearest", "legacy"),
    ("nearest", "half_pixel", "round_prefer_ceil"): ("nearest", "half_pixel"),
    ("nearest", "align_corners", "round_prefer_ceil"): ("nearest", "corners"),
}


def convention_of(stated: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns the method and the convention for a node's attributes, or None if TensorFlow has no equivalent."""
    mode = stated.get("mode", "nearest")
    nearest = stated.get("nearest_mode", "round_prefer_floor") if mode == "nearest" else ""
    return CONVENTIONS.get((mode, stated.get("coordinate_transformation_mode", "half_pixel"), nearest))


class Resize(nn.Module):
    """Resizes (N, C, H, W) to sizes, or by scales that yield whole sizes. Inputs are those of onnx2torch's module."""

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
        raise InputSizeError(f"it scales {list(x.shape)} to {exact}, which are not whole numbers of pixels")
    return [round(size) for size in exact]
