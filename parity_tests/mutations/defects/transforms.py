"""Defects of transforms."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lucid_port.optvis import resampling, transform
from parity_tests.mutations.patching import Patches
from parity_tests.mutations.registry import PARAMS, PARTS, TRANSFORMS, mutation


@mutation(TRANSFORMS, "rotat")
def bilinear_rotation(p: Patches) -> None:
    """Rotation interpolates bilinearly instead of taking the nearest pixel."""

    def rotate(image: torch.Tensor, angle: float) -> torch.Tensor:
        height, width = image.shape[2:]
        matrix = torch.from_numpy(resampling._rotation_matrix(angle, height, width))
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        at = torch.stack([x, y, torch.ones_like(x)], -1).float() @ matrix.T
        grid = 2 * at / (torch.tensor([width, height]) - 1) - 1
        return F.grid_sample(image, grid.expand(len(image), -1, -1, -1), align_corners=True)

    p.everywhere(resampling.rotate_nearest, rotate)


@mutation(TRANSFORMS, "rotat")
def rotation_gradient_is_the_adjoint(p: Patches) -> None:
    """The gradient of rotation is the exact adjoint, not TensorFlow's inverse rotation."""

    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        height, width = gradient.shape[2:]
        index = resampling._rotation_table(ctx.angle, height, width, False, gradient.device)
        sums = gradient.new_zeros(*gradient.shape[:2], height * width + 1).index_add_(2, index, gradient.flatten(2))
        return sums[:, :, :-1].reshape(gradient.shape), None

    p.attribute(resampling._RotateNearest, "backward", staticmethod(backward))


@mutation(TRANSFORMS, "rotat")
def true_pi(p: Patches) -> None:
    """Degrees are converted with pi, not with Lucid's 3.14."""
    radians = transform.RandomRotate._radians

    def convert(self: Any, angle: float) -> float:
        in_degrees = self.units.lower() not in transform._RADIANS
        return float(np.pi * angle / 180) if in_degrees else radians(self, angle)

    p.attribute(transform.RandomRotate, "_radians", convert)


@mutation(TRANSFORMS, "rotat")
def rotation_fills_with_grey(p: Patches) -> None:
    """Rotation fills the corners with grey, not with zeros."""

    def gather(image: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        flat = torch.nn.functional.pad(image.flatten(0, 1).flatten(1), (0, 1), value=0.5)
        return flat.index_select(1, index).reshape(image.shape)

    p.everywhere(resampling._gather_pixels, gather)


def _resize_with(p: Patches, position: Callable[[np.ndarray, int, int], np.ndarray]) -> None:
    @cache
    def table(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.clip(position(np.arange(target), source, target), 0, source - 1).astype(np.float32)
        low = np.floor(at).astype(np.int64)
        return low, np.minimum(low + 1, source - 1), at - low.astype(np.float32)

    p.everywhere(resampling._bilinear_table, table)


@mutation(f"{TRANSFORMS} {PARAMS}", "scale or lowres or resize")
def half_pixel_resize(p: Patches) -> None:
    """Bilinear resizing has half-pixel centres, as torch's `align_corners=False`."""
    _resize_with(p, lambda i, source, target: (i + 0.5) * source / target - 0.5)


@mutation(f"{TRANSFORMS} {PARAMS}", "scale or lowres or resize")
def aligned_corners_resize(p: Patches) -> None:
    """Bilinear resizing aligns corners, as torch's `align_corners=True`."""
    _resize_with(p, lambda i, source, target: i * (source - 1) / max(target - 1, 1))


@mutation(TRANSFORMS, "scale or standard")
def scale_rounded(p: Patches) -> None:
    """Sizes are rounded, not truncated, when an image is scaled."""
    p.everywhere(resampling.scaled_size, lambda size, scale: round(size * scale))


@mutation(PARTS, "jitter")
def jitter_excludes_the_last_offset(p: Patches) -> None:
    """The largest crop offset never occurs."""

    def draw(self: Any, source: Any, shape: Any) -> tuple[int, ...]:
        return tuple(int(v) for v in source.reseeded(self.seed).integers("offset", self.d, 2))

    p.attribute(transform.Jitter, "make_params", draw)


@mutation(TRANSFORMS, "pad")
def symmetric_pad_reflects(p: Patches) -> None:
    """SYMMETRIC padding does not repeat the edge, as torch's only mirror mode."""
    original = resampling.pad_image

    def pad(image: torch.Tensor, width: int, mode: str, value: float = 0.0) -> torch.Tensor:
        return original(image, width, "reflect" if mode == "symmetric" else mode, value)

    p.everywhere(original, pad)


@mutation(TRANSFORMS, "crop_or_pad")
def crop_or_pad_larger_half_first(p: Patches) -> None:
    """An odd number of rows is split with the larger half before the image."""

    def apply(self: Any, image: torch.Tensor, params: Any) -> torch.Tensor:
        for axis, size in ((2, self.height), (3, self.width)):
            missing = size - image.shape[axis]
            if missing < 0:
                image = image.narrow(axis, -(missing // 2), size)
            else:
                before = -(-missing // 2)
                amounts = (before, missing - before)
                image = F.pad(image, (0, 0, *amounts) if axis == 2 else amounts)
        return image

    p.attribute(transform.CropOrPadTo, "apply", apply)


@mutation(TRANSFORMS, "normalize_gradient")
def gradient_norm_of_the_whole_batch(p: Patches) -> None:
    """Gradients are normalised over the batch, not image by image."""

    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        scaled = gradient if ctx.scales is None else gradient * ctx.scales[:, None, None, None]
        return scaled / gradient.norm(), None, None

    p.attribute(transform.UnitGradient, "backward", staticmethod(backward))
