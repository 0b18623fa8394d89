"""Any PyTorch network as a model that objectives, overrides and renders accept."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from converters import LayerInfo
from converters.model import Layers
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
        ValueError: neither, or both, of the range and mean with std are given.
    """
    if (image_value_range is None) == (mean is None or std is None):
        raise ValueError("Say which values the network takes: either image_value_range, or mean and std.")
    if mean is not None and std is not None:
        pairs = list(zip(mean, std, strict=True))
        image_value_range = (tuple(-m / s for m, s in pairs), tuple((1 - m) / s for m, s in pairs))
    return Model(
        network=TorchNetwork(module),
        image_value_range=image_value_range,
        is_BGR=is_BGR,
        image_shape=image_shape,
        labels=labels,
    )
