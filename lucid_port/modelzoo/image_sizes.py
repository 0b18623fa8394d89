"""Error messages for networks of a fixed input size (ViTs, MLPs) that get images of another size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from converters import InputSizeError

# Errors for an unsupported image size: from torch's views and matrix products, and from assertions in ViTs.
MISFITS = (RuntimeError, ValueError, IndexError, AssertionError)


def explain_misfit(
    run: Callable[[Tensor], object], x: Tensor, image_shape: Sequence[int | None], error: Exception
) -> None:
    """Raises a clearer error if a network failed because of the image size.

    The network runs again at the size that it was trained on. If it also fails there, this function returns.

    Args:
        run: the computation that failed, a function of (N, C, H, W).
        x: (N, C, H, W), in the network's own value range.
        image_shape: (height, width, channels) that the network was trained on; None for sizes that are not known.
        error: the error that `run(x)` raised.

    Raises:
        converters.InputSizeError: the network cannot be computed at this size; the message names a size that works
            and the argument to change.
    """
    sentence = None if isinstance(error, torch.OutOfMemoryError) else _blame(run, x, image_shape, error)
    if sentence is not None:
        raise InputSizeError(sentence) from error


def _blame(
    run: Callable[[Tensor], object], x: Tensor, image_shape: Sequence[int | None], error: Exception
) -> str | None:
    """Returns an error message if the image size is the cause of the failure; None for other failures."""
    height, width = image_shape[:2]
    given = tuple(x.shape[-2:])
    if height is None or width is None or given == (height, width):
        return None
    second = _failure(run, x.new_zeros((*x.shape[:2], height, width)))
    failure = str(error).rstrip(".") if isinstance(error, InputSizeError) else _failure_at(given, error)
    if second is None:
        return f"{failure}. At {height}x{width} it can: {_advice(height, width)}."
    if str(second) == str(error):
        return None
    return (
        f"{failure}. It also fails at {height}x{width}, the size of image_shape: if the network takes another size, "
        "pass image_shape=(height, width, channels)."
    )


def _failure(run: Callable[[Tensor], object], x: Tensor) -> Exception | None:
    try:
        with torch.no_grad():
            run(x)
    except MISFITS as error:
        return error
    return None


def _failure_at(size: tuple[int, ...], error: Exception) -> str:
    reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    return f"The network cannot be computed for images of {size[0]}x{size[1]} ({reason})"


def _advice(height: int, width: int) -> str:
    image, option = (f"{width}", f" (--size {width})") if height == width else (f"{width}, {height}", "")
    return (
        f"make images of that size with param.image({image}){option}; if it takes no other size, also use transforms "
        f"that keep the size: transforms=[] (--no-transforms), or transform.crop_or_pad_to({height}, {width}) as the "
        "last one"
    )
