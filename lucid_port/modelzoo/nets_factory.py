"""Models by name, as Lucid's `nets_factory` gives them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from converters import ConvertedModel
from lucid_port.modelzoo.catalogue import entry
from lucid_port.modelzoo.files import find_graph
from lucid_port.modelzoo.vision_base import Model, read_network
from lucid_port.modelzoo.vision_models import MODELS

models_map = MODELS


def get_model(name: str) -> Model:
    """A model of the catalogue.

    Raises:
        ValueError: there is no such model; the error offers the nearest names.
        FileNotFoundError: its file could be found nowhere.
    """
    return MODELS[entry(name).name]()


def open_model(source: str | os.PathLike[str], **overrides: Any) -> Model:
    """A model by its name in the catalogue, or from a file or a saved folder.

    Args:
        source: a name, or a path.
        overrides: arguments of `Model` for a source that does not say them.

    Raises:
        ValueError: the source is neither a file nor a model's name, or does not say its value range.
        FileNotFoundError: a model of the catalogue whose file could be found nowhere.
    """
    if _is_path(source):
        return Model(source, **overrides)
    return MODELS[entry(str(source)).name](**overrides)


def open_network(source: str | os.PathLike[str], input_name: str | None = None) -> ConvertedModel:
    """The network alone, for which nobody needs to know a value range.

    Args:
        source: a model's name in the catalogue, a frozen graph, or a saved folder.
        input_name: the graph's input, where it has several.

    Raises:
        ValueError: the source is neither a file nor a model's name.
        FileNotFoundError: the file is not there, or could be found nowhere.
    """
    found = None if _is_path(source) else entry(str(source))
    return read_network(source if found is None else None, found, input_name)


def graph_file(source: str | os.PathLike[str]) -> Path | None:
    """The frozen graph that a source stands for; None for a saved folder, or a graph that is made, not read."""
    path = Path(source)
    if _is_path(source):
        return path if path.is_file() else None
    found = entry(str(source))
    return None if found.generator is not None else find_graph(found)


def _is_path(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a path rather than a name; a path need not exist, but then it has to look like one."""
    path = Path(source)
    return path.exists() or os.sep in str(source) or path.suffix in (".pb", ".json")
