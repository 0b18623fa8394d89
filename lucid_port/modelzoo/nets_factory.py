"""Models by name, as in Lucid's `nets_factory`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from converters import checks
from converters.paths import user_path
from converters.signatures import checked
from converters.sources import looks_like_source
from lucid_port.modelzoo.catalogue import entry
from lucid_port.modelzoo.files import find_graph
from lucid_port.modelzoo.libraries import open_library_model, overridden
from lucid_port.modelzoo.library_sources import names_function, names_library
from lucid_port.modelzoo.vision_base import Model, read_network
from lucid_port.modelzoo.vision_models import MODELS

models_map = MODELS

NOT_GRAPHS = (".caffemodel", ".prototxt", ".onnx", ".meta")


@checked
def get_model(name: str) -> Model:
    """Opens a model of the catalogue.

    Raises:
        ValueError: the catalogue has no model of this name; the error suggests similar names.
        TypeError: the name is not a string.
        FileNotFoundError: the model's file was not found.

    Example:
        >>> get_model("TinyInceptionV1").image_shape
        (96, 96, 3)
    """
    return MODELS[entry(name).name]()


@checked
def open_model(source: str | os.PathLike[str], **overrides: Any) -> Model:
    """Opens a model by its name in the catalogue, from a file or folder, or from another library.

    Args:
        source: a name, a path that `converters.open_source` reads, or a library's network with options, as in
            "torchvision:resnet50" and "timm:resnet18?weights=null&num_classes=7"; see `Model.source`.
        **overrides: arguments of `Model`, for example `image_value_range` for a file that does not state it.

    Raises:
        ValueError: the source is neither a path nor a model's name, or its value range is unknown.
        TypeError: the source is neither a string nor a path.
        FileNotFoundError: the file of a model of the catalogue was not found.

    Example:
        >>> model = open_model("TinyInceptionV1", labels=["one", "two"])
        >>> model.name, model.labels
        ('TinyInceptionV1', ['one', 'two'])
    """
    _check_source(source)
    if names_library(source):
        return overridden(open_library_model(str(source)), overrides)
    if looks_like_source(source):
        return Model(source, **overrides)
    return MODELS[entry(str(source)).name](**overrides)


@checked
def open_network(source: str | os.PathLike[str], input_name: str | None = None, **options: Any) -> Any:
    """Opens a network without the wrapper `Model`, which would require its value range.

    Args:
        source: a model's name in the catalogue, a path that `converters.open_source` reads, or a library's network as
            for `open_model`.
        input_name: the graph's input, if it has several.
        **options: further options of `converters.open_source`.

    Returns:
        The network, which takes (N, C, H, W) in its own value range.

    Raises:
        ValueError: the source is neither a path nor a model's name, or the file cannot be converted.
        FileNotFoundError: the file was not found.

    Example:
        >>> network = open_network("TinyInceptionV1")
        >>> network.layers["mixed4a"].channels
        127
    """
    _check_source(source)
    if names_library(source):
        return overridden(open_library_model(str(source)), {"input_name": input_name, **options}).network
    found = None if looks_like_source(source) else entry(str(source))
    return read_network(source if found is None else None, found, input_name, **options)


@checked
def graph_file(source: str | os.PathLike[str]) -> Path | None:
    """Returns the path of the frozen graph of a source; None if the network has no file or one of another format.

    Example:
        >>> graph_file("TinyInceptionV1").name
        'TinyInceptionV1.pb'
    """
    if names_library(source):
        return None
    if looks_like_source(source):
        path = user_path(source)
    else:
        known = entry(str(source))
        if known.generator is not None:
            return None
        path = find_graph(known)
    return path if path.is_file() and path.suffix not in NOT_GRAPHS else None


def _check_source(source: object) -> None:
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"A model is opened by its name or by a path, not by {checks.shown(source)}.")
    if names_function(source):
        raise ValueError(
            f"{source} names a Python function, which is not run from here: call the function, or name it on the "
            "command line, as SOURCE or with --model."
        )
