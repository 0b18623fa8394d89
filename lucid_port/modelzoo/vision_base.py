"""Vision models: networks that take images in [0, 1]."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

import converters
from converters import checks
from converters.errors import UnsupportedRequestError, nearest_names
from converters.frozen.graphdef import Source
from converters.network.request import Function, LayeredNetwork, LayerRequest, unsupported
from converters.paths import MODEL_FILE, user_path
from converters.signatures import checked
from converters.tracing.traced import TracedNetwork
from lucid_port.misc.tensors import as_tensor, is_traced
from lucid_port.modelzoo import saving
from lucid_port.modelzoo.arguments import check_flag, check_image_shape, check_labels, check_value_range, plain_options
from lucid_port.modelzoo.catalogue import Entry, ValueRange, catalogue, label_lists
from lucid_port.modelzoo.class_values import class_values
from lucid_port.modelzoo.get_activations import get_activations
from lucid_port.modelzoo.image_sizes import MISFITS, explain_misfit
from lucid_port.modelzoo.image_values import warn_about_values
from lucid_port.modelzoo.layer import Layer, ListedLayers, layers_of
from lucid_port.modelzoo.missing import MissingListError, UnknownValueRangeError, missing_list
from lucid_port.modelzoo.network_files import read_network
from lucid_port.modelzoo.preprocessing import Preprocessing
from lucid_port.modelzoo.summary import Summary, model_html, summary
from lucid_port.modelzoo.wordnet import synsets_from_ids

__all__ = [
    "FrozenGraphModel",
    "Layer",
    "MissingListError",
    "Model",
    "Network",
    "SerializedModel",
    "check_value_range",
    "model_class",
    "read_network",
]

Result = TypeVar("Result")

# Means that Caffe's models subtract from images in [0, 255], in R, G, B and in B, G, R order.
IMAGENET_MEAN = (123.68, 116.779, 103.939)
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)

_GRAPHS = (converters.ConvertedModel, TracedNetwork)
"""Networks whose first layer is their input."""


class Network(Protocol):
    """The interface of a model's network, which is also an `nn.Module`.

    Networks that derive from `converters.network.request.LayeredNetwork` also take channels, ReLU rules and
    interventions; see `Model.supports`.
    """

    @property
    def layers(self) -> Mapping[str, converters.LayerInfo]:
        """All layers by name."""
        ...

    def activations(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Computes the values of some layers, NCHW, by name."""
        ...

    def layer_module(self, name: str) -> nn.Module:
        """Returns the module that computes a layer."""
        ...

    def __call__(self, x: Tensor) -> Any:
        """Computes the network's outputs."""
        ...


class Model(nn.Module):
    """A network that takes RGB images in [0, 1].

    The model maps images to the network's input as Lucid's `create_input` does: it reverses the channels if `is_BGR`,
    and then computes lo + x * (hi - lo).

    Args:
        path: a frozen graph (.pb), a folder written by `converters.save`, or another file that
            `converters.open_source` reads. Models of the catalogue find their own file by default.
        input_name, image_shape, image_value_range, is_BGR: override the metadata of the catalogue or of the file. The
            range is (value of black, value of white), and may be descending.
        labels: names of the classes; override those of the catalogue.
        network: a network to use instead of a file.
        **options: further options of `converters.open_source`, for example `constants`.

    Attributes:
        network: the network, which takes (N, C, H, W) in its own value range.
        image_shape: (height, width, channels) of the training images; None for unknown sizes.
        image_value_range: (lo, hi), numbers, or one number per channel in the network's channel order.
        is_BGR: whether the network's channel order is blue, green, red.
        source: the `path` argument; for a network of a library its name and options, as in "timm:resnet18", which
            `nets_factory.open_model` opens; otherwise None.
        preprocessing: function that resizes and crops a photograph as the network's evaluation does; None if it is not
            known.
        layers: Lucid's list of the model's main layers; for other models, all layers whose number of channels is known.
            `network.layers` has all layers.

    Raises:
        FileNotFoundError: the file was not found.
        ValueError: the value range is unknown or invalid.
        TypeError: an option does not apply to this kind of file or network.
        converters.GraphError: the file cannot be converted.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> model = TinyInceptionV1()
        >>> model.image_shape, model.image_value_range
        ((96, 96, 3), (-117, 138))
        >>> model.activations(torch.rand(1, 3, 32, 32), "mixed3a")["mixed3a"].shape
        torch.Size([1, 64, 4, 4])
        >>> model.layers[0].name
        'conv2d0'
    """

    catalogue_entry: ClassVar[Entry | None] = None
    preprocessing: Preprocessing | None = None
    _listed: ListedLayers | None = None
    _low: Tensor
    _span: Tensor

    @checked
    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        input_name: str | None = None,
        image_shape: Sequence[int | None] | None = None,
        image_value_range: ValueRange | None = None,
        is_BGR: bool | None = None,
        labels: Sequence[str] | None = None,
        network: Network | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        entry = self.catalogue_entry
        if network is not None and options:
            raise TypeError(f"The option {next(iter(options))} applies to files only, not to network=.")
        self.network: Network = read_network(path, entry, input_name, **options) if network is None else network
        self.source = None if path is None else os.fspath(path)
        self.opened_with = plain_options({"input_name": input_name, "image_shape": image_shape, **options})
        stated = getattr(self.network, "metadata", converters.Metadata(""))
        unknown = _unknown_shape(self.network)
        shape = _first(image_shape, entry and entry.image_shape, stated.image_shape, unknown)
        self.image_shape = check_image_shape(shape)
        self.is_BGR = bool(_first(check_flag(is_BGR, "is_BGR"), entry.is_BGR if entry else None, stated.is_BGR))
        value_range = _first(image_value_range, entry and entry.image_value_range, stated.image_value_range, None)
        if value_range is None:
            raise UnknownValueRangeError(path, self.network.layers)
        self.image_value_range = check_value_range(value_range, self.image_shape[-1])
        dtype = _dtype(self.network)
        lo, hi = (as_tensor(value, dtype).reshape(1, -1, 1, 1) for value in self.image_value_range)
        self.register_buffer("_low", lo, persistent=False)
        self.register_buffer("_span", hi - lo, persistent=False)
        self._labels = None if labels is None else check_labels(labels)
        self.eval()

    @property
    def name(self) -> str:
        """The model's name in the catalogue, or the name of its class."""
        return self.catalogue_entry.name if self.catalogue_entry else type(self).__name__

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self._low.device

    @property
    def layers(self) -> ListedLayers:
        """The layers that the model lists, with their depths and tags."""
        return layers_of(self.network.layers, self.name) if self._listed is None else self._listed

    @property
    def dataset(self) -> str | None:
        """Name of the training data; None if it is unknown."""
        return None if self.catalogue_entry is None else self.catalogue_entry.dataset

    @property
    def input_name(self) -> str:
        """TensorFlow's name of the network's input; empty for a network that does not come from a graph."""
        return getattr(self.network, "metadata", converters.Metadata("")).input_name

    @property
    def labels(self) -> list[str]:
        """The names of the classes, in the order of the network's output.

        Raises:
            MissingListError: the model has no label list.
        """
        if self._labels is None:
            self._labels = self._read_list("labels")
        return self._labels

    @property
    def synset_ids(self) -> list[str]:
        """WordNet's ids of the classes ("n01440764"), in the order of the network's output; "dummy" for unused outputs.

        Raises:
            MissingListError: the model has no list of synsets.
        """
        return self._read_list("synsets")

    @property
    def synsets(self) -> list[Any]:
        """nltk's synsets of the classes, None for "dummy".

        Raises:
            MissingListError: the model has no list of synsets.
            ImportError, LookupError: nltk or its WordNet corpus is missing.
        """
        return synsets_from_ids(self.synset_ids)

    def _read_list(self, kind: str) -> list[str]:
        name = getattr(self.catalogue_entry, kind, None)
        if name is None:
            raise missing_list(self.name, kind)
        return label_lists()[name].read()

    def __getattr__(self, name: str) -> Any:
        if name in ("labels", "synset_ids", "synsets"):  # called when the property has raised MissingListError
            raise missing_list(self.name, "labels" if name == "labels" else "synsets")
        return super().__getattr__(name)

    def create_input(self, image: Tensor) -> Tensor:
        """Maps images to the network's input.

        Args:
            image: (N, 3, H, W) or (3, H, W), RGB in [0, 1], floating point.

        Returns:
            (N, C, H, W) in the network's value range, channel order and dtype.

        Raises:
            ValueError: the image is not a floating point tensor, or has another number of channels.
        """
        if (not isinstance(image, Tensor) and is_traced(image)) or torch.jit.is_tracing():
            return self._mapped(image[None] if isinstance(image, Tensor) and image.dim() == 3 else image)
        if not isinstance(image, Tensor):
            raise ValueError(
                f"The image is {checks.shown(image)}, not a tensor: give (N, C, H, W) in [0, 1], as recipes.inputs."
                "as_batch(model, recipes.inputs.load_image(picture)) does for pictures, or use get_activations."
            )
        if not image.is_floating_point():
            raise ValueError(f"The image is {image.dtype}; images are floating point numbers in [0, 1]: divide by 255.")
        if image.dim() == 3:
            image = image[None]
        channels = self.image_shape[-1]
        if image.dim() != 4 or (channels is not None and image.shape[1] != channels):
            wanted = channels if channels is not None else "C"
            advice = f": param.image(..., channels={channels}) makes such images" if channels not in (None, 3) else ""
            raise ValueError(f"The image has shape {list(image.shape)}; the model takes (N, {wanted}, H, W){advice}.")
        return self._mapped(image)

    def _mapped(self, image: Tensor) -> Tensor:
        if self.is_BGR:
            image = image.flip(1)
        return (self._low + image * self._span).to(_dtype(self.network))

    def supports(self, request: LayerRequest) -> bool:
        """Returns whether `compute` supports the channels and the ReLU rule of a request."""
        network = self.network
        return (
            network.supports(request) if isinstance(network, LayeredNetwork) else request == LayerRequest(request.names)
        )

    def compute(self, image: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """Returns the values of the requested layers for images in [0, 1]; see `activations`."""
        x, network = self.create_input(image), self.network
        compute = network.compute if isinstance(network, LayeredNetwork) else self._compute_by_names
        if torch.compiler.is_compiling():
            return compute(x, request)
        try:
            return compute(x, request)
        except UnsupportedRequestError:
            raise
        except MISFITS as error:
            explain_misfit(lambda x: compute(x, request), network, x, self.image_shape, error)
            raise

    def _compute_by_names(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """Computes layers of a user's network that has only the method `activations`."""
        if request != LayerRequest(request.names) or request.interventions:
            raise unsupported(request)
        return self.network.activations(x, request.names)

    @checked
    def activations(
        self,
        image: Tensor,
        names: str | Sequence[str],
        instead: Mapping[str, Function] | None = None,
        channels: Mapping[str, Sequence[int]] | None = None,
        given: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Computes the values of some layers for images in [0, 1].

        Only the layers and their inputs are computed, in one pass. Gradients flow between the values.

        Args:
            image: (N, 3, H, W) or (3, H, W), RGB in [0, 1].
            names: names of layers.
            instead: op ("Relu" or "Relu6") -> function that replaces all ops of this kind. Not all networks support it.
            channels: layer name -> channels to return; others are not computed. Not all networks support it.
            given: layer name -> value that replaces the layer's own for all later layers.

        Returns:
            Layer name -> (N, C, H, W), or (rows, features) for fully connected layers.

        Raises:
            converters.LayerNotFoundError: the network has no layer of this name.
            converters.InputSizeError: a layer cannot be computed at this image size.
            ValueError: the value of a layer is not a tensor or cannot be replaced, or the network does not support the
                request.
        """
        request = LayerRequest.of(names, channels, instead, given)
        found = self.compute(image, request)
        warn_about_values(image)
        return found

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        """Computes the network's outputs for images (N, 3, H, W) in [0, 1].

        Raises:
            converters.InputSizeError: they cannot be computed at this image size.
        """
        x = self.create_input(image)
        warn_about_values(image)
        try:
            return self.network(x)
        except MISFITS as error:
            explain_misfit(self.network, self.network, x, self.image_shape, error)
            raise

    @checked
    def get_layer(self, name: str) -> Layer:
        """Returns one of `layers` by name.

        If no layer has this name, warns and returns the first layer whose name contains it, as Lucid does.

        Raises:
            KeyError: no name contains `name`.
        """
        exact = next((layer for layer in self.layers if layer.name == name), None)
        close = [layer for layer in self.layers if name.lower() in layer.name.lower()]
        if exact is None and close:
            warnings.warn(f"{self.name} lists no layer {name!r}; taking {close[0].name!r}.", stacklevel=2)
        if exact is None and not close:
            hint = nearest_names(name, self.network.layers)
            raise KeyError(
                f"{self.name} lists no layer {name!r}; it lists {[layer.name for layer in self.layers]}.{hint}"
            )
        return exact or close[0]

    @checked
    def summary(self, image_shape: Sequence[int] | None = None) -> Summary:
        """Lists sizes, strides and receptive fields of the layers; see `lucid_port.modelzoo.summary.summary`."""
        return summary(self, image_shape)

    def load_graphdef(self) -> None:
        """Does nothing, because the constructor loads the graph. Lucid's notebooks call it."""

    @checked
    def get_activations(self, layer: str | Layer, examples: np.ndarray | Iterable[Any], **options: Any) -> np.ndarray:
        """Computes activations for many images; see `lucid_port.modelzoo.get_activations.get_activations`."""
        return get_activations(self, layer, examples, **options)

    @staticmethod
    def suggest_save_args(graph: Source) -> dict[str, Any]:
        """Guesses the arguments of `Model.save`; see `lucid_port.modelzoo.saving.suggest_save_args`."""
        return saving.suggest_save_args(graph)

    @staticmethod
    def save(
        save_url: str | os.PathLike[str],
        input_name: str,
        output_names: Sequence[str],
        image_shape: Sequence[int] | None,
        image_value_range: ValueRange,
        *,
        graph: Source,
    ) -> Path:
        """Writes a frozen graph with Lucid's metadata; see `lucid_port.modelzoo.saving.save_graph`."""
        names = checks.items(output_names, "output_names", "a list of names, as in ['softmax2']")
        shape = None if image_shape is None else check_image_shape(image_shape)
        value_range = check_value_range(image_value_range, None if shape is None else shape[-1])
        return saving.save_graph(save_url, graph, input_name, names, image_shape, value_range)

    @staticmethod
    def load(url: str | os.PathLike[str]) -> Model:
        """Opens a frozen graph with Lucid's metadata (.pb), a manifest (.json), or a folder of `converters.save`.

        Raises:
            ValueError: the file is none of these, or lacks the metadata.
            FileNotFoundError: the file does not exist.
        """
        path = user_path(url)
        if path.suffix == ".json":
            return Model.load_from_manifest(path)
        if path.suffix == ".pb" or (path / MODEL_FILE).is_file():
            return Model(path)
        raise ValueError(f"Model.load reads graphs (.pb), manifests (.json) and saved folders, not {path}.")

    @staticmethod
    def load_from_graphdef(graphdef_url: str | os.PathLike[str]) -> Model:
        """Opens a frozen graph with Lucid's metadata (.pb), as `Model.load` does.

        Raises:
            ValueError: the graph lacks the metadata, or cannot be converted.
            FileNotFoundError: the file does not exist.
        """
        return Model(graphdef_url)

    @staticmethod
    def load_from_manifest(manifest_url: str | os.PathLike[str]) -> FrozenGraphModel:
        """Opens the model of a manifest file, as `FrozenGraphModel.from_manifest` does."""
        return FrozenGraphModel.from_manifest(manifest_url)

    @staticmethod
    def load_from_metadata(model_url: str | os.PathLike[str], metadata: Mapping[str, Any]) -> Model:
        """Opens a frozen graph with separate metadata.

        Args:
            model_url: the graph's file.
            metadata: `input_name`, `image_shape` and `image_value_range`.

        Raises:
            ValueError: a key is missing, or the graph cannot be converted.
            FileNotFoundError: the file does not exist.
        """
        return Model(model_url, **saving.required(metadata, "The metadata"))

    def to_json(self) -> str:
        """Returns the name: the JSON form of a model in Lucid."""
        return self.name

    def _repr_html_(self) -> str:
        return model_html(self)

    def extra_repr(self) -> str:
        return f"image_value_range={self.image_value_range}, is_BGR={self.is_BGR}, image_shape={self.image_shape}"


class FrozenGraphModel(Model):
    """A model from a frozen graph and its manifest, the content of a `manifest.json`.

    Args:
        model_directory: the manifest's folder. A `model_path` that starts with "./" is relative to it.
        manifest: required keys are `model_path`, `input_name`, `image_shape` and `image_value_range`. Optional keys
            are `layers` (names, or objects with `name`, `depth` and `tags`), `is_BGR`, `labels` (a list) and
            `model_name`. Further keys become attributes.

    Attributes:
        manifest: the manifest.
        layer_names: names of the layers in the manifest.

    Raises:
        ValueError: the manifest lacks a required key, or its layers are neither names nor objects.
        NotImplementedError: the manifest's `type` is not "frozen".
        FileNotFoundError: the graph does not exist.
    """

    @checked
    def __init__(self, model_directory: str | os.PathLike[str], manifest: Mapping[str, Any]) -> None:
        if manifest.get("type", "frozen") != "frozen":
            raise NotImplementedError(
                f"Manifests of type {checks.shown(manifest['type'])} are not known, only 'frozen' ones."
            )
        arguments = saving.required(manifest, "The manifest", "model_path")
        path = str(arguments.pop("model_path"))
        path = str(Path(model_directory, path)) if path.startswith("./") else path
        super().__init__(path, is_BGR=manifest.get("is_BGR"), labels=manifest.get("labels"), **arguments)
        self.manifest = dict(manifest)
        self.model_name = manifest.get("model_name")
        self._listed, self.layer_names = _manifest_layers(manifest.get("layers") or (), self.name)
        for key in manifest:
            if not hasattr(self, key):
                setattr(self, key, manifest[key])

    @property
    def name(self) -> str:
        """The manifest's `model_name`, or the name of the class."""
        return self.model_name or type(self).__name__

    @classmethod
    def from_manifest(cls, path: str | os.PathLike[str]) -> FrozenGraphModel:
        """Opens the model of a manifest file.

        Raises:
            ValueError: the file is not a JSON object, or lacks a required key.
            FileNotFoundError: the file does not exist.
        """
        return cls(user_path(path).parent, saving.read_manifest(path))

    @classmethod
    def from_directory(
        cls, model_path: str | os.PathLike[str], manifest_path: str | os.PathLike[str] | None = None
    ) -> FrozenGraphModel:
        """Opens the model of a folder with a `manifest.json`."""
        return cls.from_manifest(manifest_path or user_path(model_path) / "manifest.json")


SerializedModel = FrozenGraphModel


def _unknown_shape(network: Network) -> tuple[int | None, ...]:
    """Returns an image shape of unknown height and width, with the channels of a graph's input, 3 by default."""
    entry = next(iter(network.layers.values()), None) if isinstance(network, _GRAPHS) else None
    return None, None, 3 if entry is None or entry.channels is None else entry.channels


def _dtype(network: Network) -> torch.dtype:
    """Returns the dtype of a network's weights."""
    tensors = (*network.parameters(), *network.buffers()) if isinstance(network, nn.Module) else ()
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.get_default_dtype())


def _first(*candidates: Any) -> Any:
    """Returns the first candidate that is not None; None if there is none."""
    return next((candidate for candidate in candidates if candidate is not None), None)


def _manifest_layers(stated: Sequence[Any], model_name: str) -> tuple[ListedLayers, list[str]]:
    """Returns a manifest's layers and their names. Names alone give no `Layer` objects, which need depths."""
    try:
        if all(isinstance(layer, str) for layer in stated) and not isinstance(stated, str):
            return ListedLayers(), list(stated)
        layers = ListedLayers(
            Layer(layer["name"], layer["depth"], frozenset(layer.get("tags", ())), model_name) for layer in stated
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("A manifest's layers are names, or objects with name, depth and tags.") from error
    return layers, [layer.name for layer in layers]


@functools.cache
def _layers(name: str) -> ListedLayers:
    """Returns the layers of a catalogue model. Cached, so that models share the objects."""
    return ListedLayers(Layer(layer, depth, tags, name) for layer, depth, tags in catalogue()[name].layers)


@checked
def model_class(entry: Entry) -> type[Model]:
    """Creates the class of a model of the catalogue, under Lucid's name."""
    attributes: Mapping[str, Any] = {
        "__doc__": f"{entry.description}.",
        "__module__": "lucid_port.modelzoo.vision_models",
        "catalogue_entry": entry,
        **class_values(Model, entry),
        "layers": _layers(entry.layers_of),
    }
    return type(entry.name, (Model,), dict(attributes))
