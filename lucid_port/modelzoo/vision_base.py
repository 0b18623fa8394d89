"""A vision model: a network, and how an image in [0, 1] has to be prepared for it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef
from torch import Tensor, nn

import converters
from converters.storage import MODEL_FILE
from lucid_port.modelzoo import files, seeded
from lucid_port.modelzoo.catalogue import Entry, catalogue

# Means that Caffe's models subtract, in R, G, B and in B, G, R order.
IMAGENET_MEAN = (123.68, 116.779, 103.939)
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)

GENERATORS: dict[str, Callable[[], GraphDef]] = {"seeded_inceptionv1": seeded.seeded_inceptionv1}


@dataclass(frozen=True)
class Layer:
    """A layer that Lucid lists for a model.

    Attributes:
        name: TensorFlow's name.
        depth: number of channels.
        tags: "conv" or "dense", and what else Lucid notes.
        model_name: the model it belongs to.
    """

    name: str
    depth: int
    tags: frozenset[str] = field(default_factory=frozenset)
    model_name: str = ""

    def to_json(self) -> str:
        """The name, as Lucid writes a layer to JSON."""
        return self.name


class Network(Protocol):
    """What a model needs of its network, which is an `nn.Module` besides."""

    @property
    def layers(self) -> Mapping[str, converters.LayerInfo]:
        """Every layer by name."""
        ...

    def activations(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Some layers' values, NCHW, by name; nothing is computed that they do not need."""
        ...

    def __call__(self, x: Tensor) -> Any:
        """The network's outputs."""
        ...


class Model(nn.Module):
    """A network that takes images in [0, 1], RGB, and maps them to what it was trained on.

    The mapping is Lucid's `create_input`: the channels are reversed first where the model is BGR, then
    lo + x * (hi - lo).

    Args:
        path: the frozen graph (.pb) or a folder written by `converters.save`. A model of the catalogue finds its
            own file where this is left out.
        input_name, image_shape, image_value_range, is_BGR: override what the catalogue or the graph's own metadata
            say.
        labels: names of the classes, where the catalogue has none.
        network: a network that is there already, instead of a file.

    Attributes:
        network: the network itself, in its own value range: a `converters.ConvertedModel`, or whatever else has
            `layers` and `activations(x, names)`.
        image_shape: (height, width, channels) that it was trained on.
        image_value_range: (lo, hi), numbers or one number for each channel in the network's own order.
        is_BGR: whether the network's channels are blue, green, red.
        source: the path that was given for the network; None where there was none.
        layers: Lucid's list of the model's main layers; `network.layers` has every name.

    Raises:
        FileNotFoundError: the file is missing, or could be found nowhere.
        ValueError: nothing says what range of values the network wants.
        converters.GraphError: the file is not a graph that converts.
    """

    catalogue_entry: ClassVar[Entry | None] = None
    layers: tuple[Layer, ...] = ()
    _low: Tensor
    _span: Tensor

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        input_name: str | None = None,
        image_shape: Sequence[int] | None = None,
        image_value_range: tuple[Any, Any] | None = None,
        is_BGR: bool | None = None,
        labels: Sequence[str] | None = None,
        network: Network | None = None,
    ) -> None:
        super().__init__()
        entry = self.catalogue_entry
        self.network: Network = read_network(path, entry, input_name) if network is None else network
        self.source = None if path is None else os.fspath(path)
        stated = getattr(self.network, "metadata", converters.Metadata(""))
        self.image_shape = _first(image_shape, entry and entry.image_shape, stated.image_shape, (None, None, 3))
        self.is_BGR = bool(_first(is_BGR, entry.is_BGR if entry else None, stated.is_BGR))
        value_range = _first(image_value_range, entry and entry.image_value_range, stated.image_value_range, None)
        if value_range is None:
            raise ValueError(
                f"Nothing says which values {path} wants for black and white: give image_value_range (--value-range), "
                "for example (-117, 138) for InceptionV1 and (-1, 1) for TF-Slim's models."
            )
        if len(value_range) != 2 or isinstance(value_range, str):
            raise ValueError(f"image_value_range is two numbers, or two rows of numbers, not {value_range!r}.")
        self.image_value_range = value_range
        dtype = _dtype(self.network)
        lo, hi = (torch.as_tensor(value, dtype=dtype).reshape(1, -1, 1, 1) for value in value_range)
        self.register_buffer("_low", lo, persistent=False)
        self.register_buffer("_span", hi - lo, persistent=False)
        self._labels = None if labels is None else list(labels)
        self.eval()

    @property
    def name(self) -> str:
        """The model's name in the catalogue, or its class's."""
        return self.catalogue_entry.name if self.catalogue_entry else type(self).__name__

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._low.device

    @property
    def labels(self) -> list[str]:
        """The names of the classes, in the order of the network's output.

        Raises:
            RuntimeError: the model has no label list.
            FileNotFoundError: it has one, which could be found nowhere.
        """
        if self._labels is None:
            self._labels = _read_labels(self.catalogue_entry, self.name)
        return self._labels

    def create_input(self, image: Tensor) -> Tensor:
        """An image as the network wants it.

        Args:
            image: (N, 3, H, W) or (3, H, W), values in [0, 1], RGB.

        Returns:
            (N, C, H, W) in the network's own value range, channel order and precision.

        Raises:
            ValueError: the image is no floating point tensor, or has another number of channels.
        """
        if not isinstance(image, Tensor):
            raise ValueError(f"The image is a {type(image).__name__}, not a tensor: use torch.as_tensor (NCHW).")
        if not image.is_floating_point():
            raise ValueError(f"The image is {image.dtype}; images are floating point numbers in [0, 1]: divide by 255.")
        if image.dim() == 3:
            image = image[None]
        channels = self.image_shape[-1]
        if image.dim() != 4 or (channels is not None and image.shape[1] != channels):
            wanted = channels if channels is not None else "C"
            advice = f": param.image(..., channels={channels}) makes such images" if channels not in (None, 3) else ""
            raise ValueError(f"The image has shape {list(image.shape)}; the model takes (N, {wanted}, H, W){advice}.")
        if self.is_BGR:
            image = image.flip(1)
        return (self._low + image * self._span).to(_dtype(self.network))

    @property
    def can_replace(self) -> bool:
        """Whether `activations` takes `instead`: converted networks do, traced ones say it."""
        return getattr(self.network, "can_replace", isinstance(self.network, converters.ConvertedModel))

    def activations(
        self, image: Tensor, names: Sequence[str], instead: Mapping[str, Callable[[Tensor], Tensor]] | None = None
    ) -> dict[str, Tensor]:
        """Some layers' values for images in [0, 1]; nothing is computed that they do not need.

        Args:
            image: (N, 3, H, W) or (3, H, W), values in [0, 1], RGB.
            names: TensorFlow's layer names.
            instead: functions in the place of every "Relu" or "Relu6" (see `can_replace`).

        Returns:
            name -> (N, C, H, W), or (rows, features) for fully connected layers.

        Raises:
            converters.LayerNotFoundError: a name is no layer's.
            converters.InputSizeError: a layer cannot be computed at this image size.
        """
        extra = {} if instead is None else {"instead": instead}
        return self.network.activations(self.create_input(image), names, **extra)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        """The network's outputs for images in [0, 1]."""
        return self.network(self.create_input(image))

    def get_layer(self, name: str) -> Layer:
        """One of `layers`: the one of that name, else the first whose name contains it (with a warning), as in Lucid.

        Raises:
            KeyError: no listed layer's name contains it.
        """
        exact = next((layer for layer in self.layers if layer.name == name), None)
        close = [layer for layer in self.layers if name.lower() in layer.name.lower()]
        if exact is None and close:
            warnings.warn(f"{self.name} lists no layer {name!r}; taking {close[0].name!r}.", stacklevel=2)
        if exact is None and not close:
            raise KeyError(f"{self.name} lists no layer {name!r}; it lists {[layer.name for layer in self.layers]}.")
        return exact or close[0]

    def load_graphdef(self) -> None:
        """Does nothing: the graph is loaded when the model is made. Lucid's notebooks call it."""

    def extra_repr(self) -> str:
        return f"image_value_range={self.image_value_range}, is_BGR={self.is_BGR}, image_shape={self.image_shape}"


def read_network(
    path: str | os.PathLike[str] | None, entry: Entry | None, input_name: str | None
) -> converters.ConvertedModel:
    """A network from its file, or as the catalogue says where no path is given.

    Raises:
        FileNotFoundError: the file is missing, or could be found nowhere.
        converters.GraphError: the file is not a graph that converts.
    """
    if path is None and entry is None:
        raise ValueError("A model that is not in the catalogue needs the path of its graph.")
    if path is None and entry is not None and entry.generator is not None:
        return converters.convert(GENERATORS[entry.generator](), metadata=_metadata(entry))
    if path is None and entry is not None:
        path = files.find_graph(entry)
    folder = Path(path or "")
    if folder.is_dir() and (folder / MODEL_FILE).is_file():
        return converters.load(folder)
    if not folder.exists():
        raise FileNotFoundError(f"There is no file {folder}.")
    if entry is not None and input_name is None:
        return converters.convert(folder, metadata=_metadata(entry))
    return _recognised(converters.convert(folder, input_name=input_name))


def _recognised(network: converters.ConvertedModel) -> converters.ConvertedModel:
    """A network from a file that says nothing of itself, with the catalogue's metadata where its graph is known."""
    program = network.program
    for entry in catalogue().values():
        known = program.fingerprint == entry.fingerprint
        known = known or (entry.graph is not None and program.source_sha256 == entry.graph.member_sha256)
        if known and program.metadata.image_value_range is None and program.metadata.input_name == entry.input_name:
            network.program = replace(program, metadata=_metadata(entry))
    return network


def _metadata(entry: Entry) -> converters.Metadata:
    return converters.Metadata(entry.input_name, entry.image_shape, entry.image_value_range, entry.is_BGR)


def _read_labels(entry: Entry | None, name: str) -> list[str]:
    if entry is not None and entry.package_labels:
        folder = resources.files("lucid_port.modelzoo").joinpath("labels")
        return folder.joinpath(entry.package_labels).read_text(encoding="utf-8").splitlines()
    if entry is not None and entry.label_files:
        return files.find_labels(entry).read_text(encoding="utf-8").splitlines()
    raise RuntimeError(f"{name} has no list of labels.")


def _dtype(network: Any) -> torch.dtype:
    """The precision of a network's weights."""
    tensors = (*network.parameters(), *network.buffers()) if isinstance(network, nn.Module) else ()
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.get_default_dtype())


def _first(*candidates: Any) -> Any:
    """The first that is not None."""
    return next((candidate for candidate in candidates if candidate is not None), None)


def model_class(entry: Entry) -> type[Model]:
    """The class of a model of the catalogue, under Lucid's name."""
    layers = tuple(Layer(name, depth, tags, entry.name) for name, depth, tags in entry.layers)
    attributes: Mapping[str, Any] = {
        "__doc__": f"{entry.description}.",
        "__module__": "lucid_port.modelzoo.vision_models",
        "catalogue_entry": entry,
        "layers": layers,
    }
    return type(entry.name, (Model,), dict(attributes))
