"""Wraps any PyTorch network as a model for objectives, overrides and renders.

Layers are the network's modules by their dotted names (`layer4.2.conv1`), repeated calls of a module
(`layer4.2.relu_1`), and the functions between modules (`layer4.2.add`).
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial

from torch import nn
from torch.export import ExportedProgram
from torch.nn.parameter import is_lazy

from converters import ConvertedModel, checks
from converters.signatures import checked
from converters.stack_level import stack_level
from converters.tracing.traced import TracedNetwork
from lucid_port.modelzoo.arguments import check_image_shape, check_value_range
from lucid_port.modelzoo.catalogue import ValueRange
from lucid_port.modelzoo.descriptions import NAMES_OF_T
from lucid_port.modelzoo.image_values import check_normalization
from lucid_port.modelzoo.torch_network import Adapter, TorchNetwork
from lucid_port.modelzoo.tracing import Trace as Trace  # its old place
from lucid_port.modelzoo.unwrapping import unwrap
from lucid_port.modelzoo.vision_base import Model


@checked
def from_torch(
    module: nn.Module | ExportedProgram | str | os.PathLike[str],
    image_value_range: ValueRange | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    is_BGR: bool = False,
    image_shape: Sequence[int] = (224, 224, 3),
    labels: Sequence[str] | None = None,
    trace: bool = True,
    adapter: Adapter | None = None,
    input_shape: Sequence[int | None] | None = None,
    layouts: Mapping[str, str] | None = None,
) -> Model:
    """Wraps a PyTorch network as a model to render.

    The network is switched to evaluation mode, and its weights are frozen (`requires_grad_(False)`). To continue its
    training, wrap a copy (`copy.deepcopy`). The names of the layers are `list(model.network.layers)`.

    Args:
        module: the network, which takes one image batch (N, C, H, W). A `converters.ConvertedModel` or `TracedNetwork`
            keeps its layers. Networks in `nn.DataParallel`, compiled ones and peft's are unwrapped. A
            `torch.export.ExportedProgram`, or the path of its file (.pt2), has the layers of the exported network.
        image_value_range: (lo, hi), the network's values for black and white: numbers, or one number per channel.
        mean, std: alternative to `image_value_range`: the arguments of torchvision's `Normalize`, one per channel.
        is_BGR: whether the channel order of the network is blue, green, red.
        image_shape: (height, width, channels) of the training images.
        labels: names of the classes.
        trace: whether functions between modules are layers, too. The network is traced with `torch.fx` if possible.
            Pass False if tracing changes the network's behavior, for example because of `isinstance(x, Tensor)`.
        adapter: maps images (N, C, H, W), in the network's value range, to the input of a network that takes other
            tensors, such as videos (N, C, T, H, W) or waveforms (N, C, T).
        input_shape: the shape that the adapter makes, without the batch axis; None for sizes that may vary.
        layouts: layer -> one letter for each axis of its value, as in `{"mixer": "NLC"}`, where they cannot be found: N
            images, C channels, H rows, W columns, L tokens, T times, G others.

    Returns:
        A model that takes RGB images (N, 3, H, W) in [0, 1].

    Raises:
        TypeError: `module` is not a network, or an argument has another type.
        FileNotFoundError: the file of an exported network does not exist.
        ValueError: neither or both of `image_value_range` and `mean` with `std` are given, their lengths do not match
            the channels, the network takes another number of channels or more than one image, or its weights are lazy.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> model = from_torch(network, image_value_range=(-1, 1), image_shape=(16, 16, 3))
        >>> list(model.network.layers)
        ['0', '1', '2']
        >>> model.activations(torch.rand(1, 3, 16, 16), "1")["1"].shape
        torch.Size([1, 8, 14, 14])
    """
    if isinstance(module, Model):
        raise TypeError(f"This {type(module).__name__} is a model already: use it as it is.")
    found = unwrap(module)
    shape = check_image_shape(image_shape)
    _check_adapter(adapter, input_shape)
    value_range = check_value_range(_value_range(image_value_range, mean, std), shape[-1])
    network = found.module
    if not isinstance(network, _NETWORKS):
        _check_shapes_are_known(network)
        _check_takes_an_image(network)
        _warn_of_names(network)
        make = partial(TorchNetwork, image_shape=shape, adapter=adapter, input_shape=input_shape, layouts=layouts)
        network = make(network, trace, origins=found.origins)
    elif layouts:
        if isinstance(network, TorchNetwork):
            raise ValueError("The network is wrapped already: give layouts where it is wrapped first.")
        network.layers = network.layers.stated(layouts)
    if isinstance(network, TorchNetwork):
        network.check_channels(shape[-1])
    return Model(
        network=network,
        image_value_range=value_range,
        is_BGR=is_BGR,
        image_shape=shape,
        labels=None if labels is None else checks.items(labels, "labels", "a list of names"),
    )


_NETWORKS = (ConvertedModel, TracedNetwork, TorchNetwork)


def _check_shapes_are_known(module: nn.Module) -> None:
    """Checks that a network has no lazy weights, which get their shape in the first pass.

    Raises:
        ValueError: a module has lazy weights.
    """
    for name, part in module.named_modules():
        if any(is_lazy(tensor) for tensor in (*part._parameters.values(), *part._buffers.values())):
            place = f"Module {name!r}" if name else "The network"
            raise ValueError(
                f"{place} ({type(part).__name__}) has lazy weights without a shape: run the network once on an image "
                "of its size before it becomes a model."
            )


def _check_takes_an_image(module: nn.Module) -> None:
    """Checks that a network can be called with one argument.

    Raises:
        ValueError: the network's `forward` takes no argument, or requires more than one.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in optional]
    others = [name for name in needed if name != places[0]] if places else needed
    if others or not places:
        takes = f"takes {', '.join(needed)}" if needed else "takes no value"
        raise ValueError(
            f"{type(module).__name__}.forward {takes}, and a model takes one image: wrap the network in a module whose "
            "forward(self, image) passes the other arguments, and give that module to from_torch."
        )


def _warn_of_names(module: nn.Module) -> None:
    """Warns of modules whose names mean something else in objectives."""
    for name, meaning in NAMES_OF_T.items():
        if name in dict(module.named_children()):
            warnings.warn(
                f"The network has a module called {name!r}, but in objectives {name!r} is {meaning}: the module's "
                f"layer is '{name}:0', and its channel 3 is '{name}:0:3'.",
                stacklevel=stack_level(),
            )


def _check_adapter(adapter: object, input_shape: object) -> None:
    """Checks the arguments for networks that take other tensors than images.

    Raises:
        TypeError: the adapter is not a function, or the shape has another type.
        ValueError: the shape is stated without an adapter, or holds invalid sizes.
    """
    if adapter is not None and not callable(adapter):
        raise TypeError(f"adapter is a function of images (N, C, H, W), not {checks.shown(adapter)}.")
    if input_shape is None:
        return
    for size in checks.items(input_shape, "input_shape", "a shape without its batch axis, as in (3, 16, 112, 112)"):
        if size is not None:
            checks.whole(size, "Every size of input_shape", 1)
    if adapter is None:
        raise ValueError(
            "input_shape is the shape that adapter makes: give adapter=, a function of images (N, C, H, W), too. "
            "The size of images is image_shape=(height, width, channels)."
        )


def _value_range(
    image_value_range: ValueRange | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> ValueRange:
    if (image_value_range is None) == (mean is None and std is None) or (mean is None) != (std is None):
        raise ValueError("The network's value range is missing: give either image_value_range, or mean and std.")
    if image_value_range is not None:
        return image_value_range
    return range_of_normalized(mean, std)


def _channel_values(values: object, what: str) -> list[int | float]:
    """Checks that the values are finite numbers, one per channel."""
    given = checks.items(values, what, "a list of one number for each channel, as in (0.485, 0.456, 0.406)")
    return [checks.number(value, f"Each number of {what}") for value in given]


def range_of_normalized(mean: object, std: object) -> ValueRange:
    """Returns the values for black and white of a network whose input is (x - mean) / std of images x in [0, 1].

    Args:
        mean, std: one number for each channel.

    Raises:
        TypeError: they are not lists of numbers.
        ValueError: their lengths differ, or a standard deviation is not above 0.

    Example:
        >>> range_of_normalized([0.5], [0.5])
        ((-1.0,), (1.0,))
    """
    means, stds = _channel_values(mean, "mean"), _channel_values(std, "std")
    if len(means) != len(stds):
        raise ValueError(f"mean has {len(means)} numbers and std {len(stds)}: give both one for each channel.")
    if min(stds, default=1) <= 0:
        raise ValueError(f"std has numbers above 0 only, because the image is divided by them; it is {tuple(stds)}.")
    check_normalization(means, stds)
    pairs = list(zip(means, stds, strict=True))
    return tuple(-m / s for m, s in pairs), tuple((1 - m) / s for m, s in pairs)
