"""Finds the axes of the named values of a network in one pass, if possible with fake tensors."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from converters.tracing.axes.reading import FoundAxes, read_axes
from converters.tracing.axes.tracker import AxisTracker
from converters.tracing.axes.untouched import forget_fake_tensors, untouched
from converters.tracing.fake import silent_errors, uncompiled


@dataclass(frozen=True)
class Findings:
    """The axes of the named values of a network.

    Attributes:
        values: name -> axes, in the order of execution.
        failure: the error of the network, as a clause, if it does not run; `values` has those before the error.
    """

    values: Mapping[str, FoundAxes]
    failure: str = ""


Report = Callable[[str, object], None]
Run = Callable[[Tensor, Report], object]

_IMAGES = 2  # an axis of one image would be lost among other axes of size 1


def find_axes(
    module: nn.Module, run: Run, shape: Sequence[int], layout: str = "NCHW", batches: Sequence[int] = (_IMAGES, 1)
) -> Findings:
    """Finds which axis of each named value counts channels, images, places and tokens.

    The network runs once with torch's fake tensors, which have shapes but no values. If that fails, it runs with real
    ones, without gradients. The network, its hooks and buffers and the random state stay as they are; the network's
    forward hooks do not run.

    Args:
        module: the network, whose parameters name tokens, such as "cls_token".
        run: runs the network on a batch, and reports each named value where it is computed: `report(name, value)`.
            Values that are reported under the same name again are ignored.
        shape: shape of the network's input. The number of images is ignored.
        layout: one letter for each axis of the input.
        batches: numbers of images to try, in this order.

    Returns:
        The axes of the values that were reported.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2))
        >>> def run(image, report):
        ...     report("conv", network[0](image))
        ...     report("tokens", network(image))
        >>> found = find_axes(network, run, (1, 3, 32, 32)).values
        >>> found["conv"].axes, found["tokens"].axes, found["tokens"].tokens.stride
        ('NCHW', 'NCL', (4.0, 4.0))
    """
    found: dict[str, FoundAxes] = {}
    reason = ""
    for is_fake, images in itertools.product((True, False), batches):
        attempt: dict[str, FoundAxes] = {}
        try:
            _attempt(module, run, _with_images(shape, layout, images), layout, is_fake, attempt)
            return Findings(attempt)
        except Exception as error:  # the network's own code may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]  # the last runs have numbers
        found = {**attempt, **found}
    return Findings(found, f"the network does not run on an input of shape {tuple(shape)} ({reason})")


def _attempt(
    module: nn.Module, run: Run, shape: Sequence[int], layout: str, is_fake: bool, found: dict[str, FoundAxes]
) -> None:
    """Runs the network once, and adds what is found, also before an error."""
    names = {
        id(tensor): name.rpartition(".")[2] for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    images = shape[layout.index("N")] if "N" in layout else 1
    size = (shape[layout.index("H")], shape[layout.index("W")]) if "H" in layout and "W" in layout else None
    first = next((tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()), None)
    dtype, device = (torch.float32, torch.device("cpu")) if first is None else (first.dtype, first.device)
    tracker = AxisTracker(names, images)

    def report(name: str, value: object) -> None:
        if name not in found:
            found[name] = _read(tracker, value, size, images)

    mode: Any = FakeTensorMode(allow_non_fake_inputs=True) if is_fake else contextlib.nullcontext()
    try:
        with silent_errors(), uncompiled(), untouched(module), torch.no_grad(), mode:
            image = torch.zeros(*shape, dtype=dtype, device=device)
            tracker.start(image, layout)
            with tracker:
                run(image, report)
            del image
    finally:
        if is_fake and tracker.has_survivors():
            forget_fake_tensors()


def _with_images(shape: Sequence[int], layout: str, images: int) -> list[int]:
    return [images if letter == "N" else size for letter, size in zip(layout, shape, strict=True)]


def _read(tracker: AxisTracker, value: object, size: tuple[int, int] | None, images: int) -> FoundAxes:
    if not isinstance(value, Tensor):
        return FoundAxes(unknown=f"its value is a {type(value).__name__}, not a tensor", is_tensor=False)
    return replace(read_axes(tracker.describe(value), size, images), shape=tuple(value.shape))


# Modules whose class states their axes --------------------------------------------------------

_CLASSES: Mapping[type[nn.Module], tuple[str, str]] = {
    nn.Conv1d: ("NCL", "out_channels"),
    nn.Conv2d: ("NCHW", "out_channels"),
    nn.Conv3d: ("NCTHW", "out_channels"),
    nn.ConvTranspose2d: ("NCHW", "out_channels"),
    nn.BatchNorm2d: ("NCHW", "num_features"),
    nn.BatchNorm3d: ("NCTHW", "num_features"),
    nn.Linear: ("N*C", "out_features"),
    nn.LayerNorm: ("N*C", "normalized_shape"),
    nn.Embedding: ("N*C", "embedding_dim"),
}


def axes_of_class(part: nn.Module) -> FoundAxes | None:
    """Returns the axes that the class of a module states; * stands for any number of axes."""
    for kind, (axes, attribute) in _CLASSES.items():
        if isinstance(part, kind):
            size = getattr(part, attribute)
            return FoundAxes(axes, size[-1] if isinstance(size, tuple) else size)
    return None
