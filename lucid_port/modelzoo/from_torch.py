"""Any PyTorch network as a model that objectives, overrides and renders accept."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from converters import LayerInfo
from converters.model import Layers
from lucid_port.misc import checks
from lucid_port.modelzoo.vision_base import Model


class _Found(Exception):
    """Ends a forward pass when all asked layers have their values."""


class TorchNetwork(nn.Module):
    """A PyTorch network whose layers answer to their dotted module names (`layer4.2.conv1`).

    Args:
        module: the network; put into evaluation mode, its weights frozen.

    Attributes:
        layers: dotted name -> `converters.LayerInfo`, whose op is the module's class.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.eval().requires_grad_(False)
        self._lock = threading.Lock()
        names = [(name, part) for name, part in module.named_modules() if name]
        self.layers = Layers([LayerInfo(name, type(part).__name__, _channels(part), name) for name, part in names])

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lock = threading.Lock()

    def forward(self, x: Tensor) -> Any:
        """What the network itself gives."""
        return self.module(x)

    def activations(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Some layers' values. The network runs no further than the last of them.

        Where a layer runs several times in one pass, its first value counts.

        Args:
            x: what the network takes.
            names: dotted module names.

        Raises:
            converters.LayerNotFoundError: a name is no module's.
            ValueError: a layer does not run in this network, or its value is not a tensor.
        """
        if isinstance(names, str):
            names = [names]
        if self.module.training:
            raise ValueError("The network is in training mode, in which renders change it: call its eval() first.")
        modules = {name: self.module.get_submodule(self.layers[name].module) for name in names}
        found: dict[str, Tensor] = {}
        with self._lock:  # hooks sit on the modules, where passes of other threads would meet them
            handles = [_capture(part, name, found, len(modules)) for name, part in modules.items()]
            try:
                self.module(x)
            except _Found:
                pass
            finally:
                for handle in handles:
                    handle.remove()
        missing = [name for name in modules if name not in found]
        if missing:
            raise ValueError(f"Layer {missing[0]!r} did not run: the network's forward pass does not use it.")
        return {name: found[name] for name in names}


def _capture(part: nn.Module, name: str, found: dict[str, Tensor], wanted: int) -> RemovableHandle:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if name in found:
            return
        if not isinstance(output, Tensor):
            kind = type(output).__name__
            raise ValueError(f"Layer {name!r} gives a {kind}, not a tensor; ask for a layer inside it.")
        found[name] = output
        if len(found) == wanted:
            raise _Found
        # The pass goes on, and the next op may work in place on the original: the copy is what the layer gave.
        found[name] = output.clone()

    return part.register_forward_hook(hook)


def _channels(part: nn.Module) -> int | None:
    """The number of channels that a module says it gives."""
    for attribute in ("out_channels", "out_features", "num_features"):
        value = getattr(part, attribute, None)
        if isinstance(value, int):
            return value
    return None


def from_torch(
    module: nn.Module,
    image_value_range: tuple[Any, Any] | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    is_BGR: bool = False,
    image_shape: Sequence[int] = (224, 224, 3),
    labels: Sequence[str] | None = None,
) -> Model:
    """A PyTorch network as a model to render.

    Args:
        module: the network; put into evaluation mode, its weights frozen.
        image_value_range: (lo, hi), the network's values for black and white; numbers, or one for each channel.
        mean, std: instead, what torchvision's `Normalize` takes for images in [0, 1].
        is_BGR: whether the network's channels are blue, green, red.
        image_shape: (height, width, channels) that the network was trained on.
        labels: names of the classes.

    Raises:
        TypeError: the network is none, or an argument is not of the kind that is wanted.
        ValueError: neither, or both, of the range and mean with std are given, or they do not fit the channels.
    """
    if not isinstance(module, nn.Module):
        made = " (a class: call it first)" if isinstance(module, type) else ""
        raise TypeError(f"from_torch takes a torch.nn.Module, not {checks.shown(module)}{made}.")
    shape = _image_shape(image_shape)
    if (image_value_range is None) == (mean is None and std is None) or (mean is None) != (std is None):
        raise ValueError("Say which values the network takes: either image_value_range, or mean and std.")
    if image_value_range is None:
        image_value_range = _range_of_normalised(_channel_values(mean, "mean"), _channel_values(std, "std"))
    return Model(
        network=TorchNetwork(module),
        image_value_range=_value_range(image_value_range, shape[-1]),
        is_BGR=is_BGR,
        image_shape=shape,
        labels=None if labels is None else checks.items(labels, "labels", "a list of names"),
    )


def _image_shape(shape: Any) -> tuple[Any, ...]:
    wanted = "(height, width, channels)"
    given = checks.items(shape, "image_shape", wanted)
    if len(given) != 3:
        raise ValueError(f"image_shape is {wanted}, not {checks.shown(shape)}.")
    return tuple(None if size is None else checks.whole(size, "Every size of image_shape", 1) for size in given)


def _channel_values(values: Any, what: str) -> list[int | float]:
    """One finite number for each channel."""
    given = checks.items(values, what, "a list of one number for each channel, as in (0.485, 0.456, 0.406)")
    return [checks.number(value, f"Each number of {what}") for value in given]


def _range_of_normalised(mean: list[int | float], std: list[int | float]) -> tuple[Any, Any]:
    if len(mean) != len(std):
        raise ValueError(f"mean has {len(mean)} numbers and std {len(std)}: give both one for each channel.")
    if min(std, default=1) <= 0:
        raise ValueError(f"std has numbers above 0 only, because the image is divided by them; it is {tuple(std)}.")
    pairs = list(zip(mean, std, strict=True))
    return tuple(-m / s for m, s in pairs), tuple((1 - m) / s for m, s in pairs)


def _value_range(value_range: Any, channels: int | None) -> tuple[Any, Any]:
    """The range for black and white, checked to be numbers, or one for each channel.

    Raises:
        TypeError: it holds something else than numbers.
        ValueError: it has not two ends, one that does not fit the channels, or no difference between them.
    """
    ends = checks.items(value_range, "image_value_range", "(lo, hi), the network's values for black and white")
    if len(ends) != 2:
        raise ValueError(f"image_value_range is (lo, hi), two numbers or two rows, not {checks.shown(value_range)}.")
    for end in ends:
        checks.finite_values(end, "image_value_range")
        if np.ndim(end) > 1 or (channels is not None and np.size(end) not in (1, channels)):
            raise ValueError(
                f"The values for black and white are one number each, or {channels} as image_shape has {channels} "
                f"channels, not {checks.shown(end)}."
            )
    if np.any(np.equal(*ends)):
        raise ValueError(f"Black and white have the same value in image_value_range, {checks.shown(value_range)}.")
    return ends[0], ends[1]
