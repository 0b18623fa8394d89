"""Models by name, as Lucid's `nets_factory` gives them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from converters.sources import looks_like_source
from lucid_port.modelzoo.catalogue import entry
from lucid_port.modelzoo.files import find_graph
from lucid_port.modelzoo.vision_base import Model, read_network
from lucid_port.modelzoo.vision_models import MODELS

models_map = MODELS

NOT_GRAPHS = (".caffemodel", ".prototxt", ".onnx", ".meta")


def get_model(name: str) -> Model:
    """A model of the catalogue.

    Raises:
        ValueError: there is no such model; the error offers the nearest names.
        TypeError: the name is no text.
        FileNotFoundError: its file could be found nowhere.
    """
    return MODELS[entry(name).name]()


def open_model(source: str | os.PathLike[str], **overrides: Any) -> Model:
    """A model by its name in the catalogue, or from a file or folder.

    Args:
        source: a name, or whatever path `converters.open_source` reads.
        overrides: arguments of `Model` for a source that does not say them.

    Raises:
        ValueError: the source is neither a file nor a model's name, or does not say its value range.
        TypeError: the source is no text and no path.
        FileNotFoundError: a model of the catalogue whose file could be found nowhere.
    """
    _check_source(source)
    if looks_like_source(source):
        return Model(source, **overrides)
    return MODELS[entry(str(source)).name](**overrides)


def open_network(source: str | os.PathLike[str], input_name: str | None = None, **options: Any) -> Any:
    """The network alone, for which nobody needs to know a value range.

    Args:
        source: a model's name in the catalogue, or whatever path `converters.open_source` reads.
        input_name: the graph's input, where it has several.
        **options: further ones of `converters.open_source`, for a source that takes them.

    Raises:
        ValueError: the source is neither a path nor a model's name, or the file is nothing that converts.
        FileNotFoundError: the file is not there, or could be found nowhere.
    """
    _check_source(source)
    found = None if looks_like_source(source) else entry(str(source))
    return read_network(source if found is None else None, found, input_name, **options)


def graph_file(source: str | os.PathLike[str]) -> Path | None:
    """The frozen graph that a source stands for; None for a network from something else, or one that is made."""
    path = Path(source) if looks_like_source(source) else _found(str(source))
    return path if path is not None and path.is_file() and path.suffix not in NOT_GRAPHS else None


def _check_source(source: Any) -> None:
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"A model is opened by its name or by a path, not by {source!r}.")


def _found(name: str) -> Path | None:
    known = entry(name)
    return None if known.generator is not None else find_graph(known)
