"""What every network of the converters is fed: a batch of images."""

from __future__ import annotations

from torch import Tensor


def check_images(x: Tensor, channels: int | None) -> None:
    """Refuses what is no batch of images.

    Args:
        x: what a network was given.
        channels: of the network's input; None where any number will do.

    Raises:
        ValueError: it is no floating point tensor, or has not the shape (N, channels, H, W).
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"The input is {kind}; the network reads a tensor of floating point numbers.")
    if x.dim() != 4 or (channels is not None and x.shape[1] != channels):
        wanted = channels if channels is not None else "channels"
        raise ValueError(
            f"The input has shape {list(x.shape)}; the network reads a batch of images, (N, {wanted}, H, W)."
        )
