"""Error messages for networks of a fixed input size (ViTs, MLPs) that get images of another size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from converters import InputSizeError
from converters.memory import is_out_of_memory
from converters.tracing.fake import UNKNOWN, run_without_numbers

# Errors for an unsupported image size: from torch's views and matrix products, and from assertions in ViTs.
MISFITS = (RuntimeError, ValueError, IndexError, AssertionError)

Run = Callable[[Tensor], object]


def explain_misfit(run: Run, network: object, x: Tensor, image_shape: Sequence[int | None], error: Exception) -> None:
    """Raises a clearer error if a network failed because of the size of the image or of the batch.

    The network runs again without numbers, which costs no memory: at the size that failed, and, if only sizes are
    needed to fail there, at the size that it was trained on and for a single image. For other failures, and for a
    network whose code needs numbers, this function returns.

    Args:
        run: the computation that failed, a function of (N, C, H, W).
        network: the network, whose modules keep their attributes.
        x: (N, C, H, W), in the network's own value range.
        image_shape: (height, width, channels) that the network was trained on; None for sizes that are not known.
        error: the error that `run(x)` raised.

    Raises:
        converters.InputSizeError: the network cannot be computed at this size; the message names a size that works
            and the argument to change.
    """
    if isinstance(x, FakeTensor) or any(is_out_of_memory(cause) for cause in _causes(error)):
        return
    first = failure(run, network, x.shape, x)
    if first is None or is_unknown(first):
        return
    sentence = _blame(run, network, x, image_shape, error, first)
    if sentence is not None:
        raise InputSizeError(sentence) from error


def failure(run: Run, network: object, shape: Sequence[int], like: Tensor) -> Exception | None:
    """Returns the error of a run without numbers at a shape; None if it succeeds.

    Args:
        run: the computation, a function of the image.
        network: the network, whose modules keep their attributes.
        shape: (N, C, H, W).
        like: a tensor of the image's dtype and device.
    """
    try:
        run_without_numbers(run, network, shape, like)
    except Exception as error:  # the network's own code may raise anything
        return error
    return None


def is_unknown(error: Exception) -> bool:
    """Returns whether the error of a run without numbers says nothing of a run with numbers."""
    causes = _causes(error)
    return any(isinstance(cause, UNKNOWN) for cause in causes) or not isinstance(error, MISFITS)


def _causes(error: BaseException | None) -> list[BaseException]:
    """Returns an error and those that it was raised from."""
    return [] if error is None else [error, *_causes(error.__cause__)]


def _blame(
    run: Run, network: object, x: Tensor, image_shape: Sequence[int | None], error: Exception, first: Exception
) -> str | None:
    """Returns an error message if a size is the cause of the failure; None for other failures.

    Args:
        run, network, x, image_shape, error: as for `explain_misfit`.
        first: the error of a run without numbers at the size of `x`.
    """
    given = tuple(x.shape[-2:])
    stated = str(error).rstrip(".") if isinstance(error, InputSizeError) else _failure_at(given, error)
    if len(x) > 1 and failure(run, network, (1, *x.shape[1:]), x) is None:
        return (
            f"{stated}. A batch of one image can be computed, not one of {len(x)}: pass batch_size=1, or make a single "
            "image (param.image without batch)."
        )
    height, width = image_shape[:2]
    is_stated = height is not None and width is not None and given != (height, width)
    second = failure(run, network, (*x.shape[:2], height or 0, width or 0), x) if is_stated else first
    if second is not None and len(x) == 1 and failure(run, network, (2, *x.shape[1:]), x) is None:
        return (
            f"{stated}. A batch of two images can be computed, not one of a single image: the network may squeeze all "
            "axes of size 1, so name those that are meant in its code, as in squeeze((2, 3)), or make two images "
            "(param.image with batch=2)."
        )
    if height is None or width is None or given == (height, width):
        return None
    if second is None:
        return f"{stated}. At {height}x{width} it can: {_advice(height, width)}."
    if str(second) == str(first) or is_unknown(second):
        return None
    return (
        f"{stated}. It also fails at {height}x{width}, the size of image_shape: if the network takes another size, "
        "pass image_shape=(height, width, channels)."
    )


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
