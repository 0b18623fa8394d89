"""The catalogue: a data file that describes every model except for its weights."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeAlias

from converters import checks
from converters.errors import nearest_names

ValueRange: TypeAlias = tuple[float | Sequence[float], float | Sequence[float]]
"""(lo, hi): a network's input values for black and white, one number each or one number per channel."""


@dataclass(frozen=True)
class Download:
    """A public file.

    Attributes:
        url: URL of the file, or of an archive that holds it.
        kind: "graph" (a frozen graph), "caffemodel", "checkpoint" (TensorFlow variables without a graph), or
            "pytorch".
        hash: hash of the file at the URL, as `algorithm:hexadecimal`; None if no public source states one.
        member: name of the file within the archive; None if the URL is not an archive.
        member_hash: SHA-256 of the file within the archive, if it is known. Files are recognized by it.
        source: where URL and hash are published.
    """

    url: str
    kind: str = "graph"
    hash: str | None = None
    member: str | None = None
    member_hash: str | None = None
    source: str = ""

    @property
    def file_name(self) -> str:
        """Name of the file, without folders."""
        return (self.member or self.url).rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Freezing:
    """Arguments of TF-Slim's script that writes the graph of a checkpoint.

    Attributes:
        network: TF-Slim's name of the network (`--model_name`).
        labels_offset: 1 if the network has no background class (`--labels_offset`).
    """

    network: str
    labels_offset: int


@dataclass(frozen=True)
class LabelList:
    """A list of class names or synset ids that is part of this package.

    Attributes:
        name: Lucid's name of the list.
        file: file in `labels/`, one class per line.
        source: where the list is published.
        first: a class to insert before those of the file, or None.
    """

    name: str
    file: str
    source: str
    first: str | None = None

    def read(self) -> list[str]:
        """Reads the list, in the order of the network's output."""
        folder = resources.files("lucid_port.modelzoo").joinpath("labels")
        lines = folder.joinpath(self.file).read_text(encoding="utf-8").splitlines()
        return lines if self.first is None else [self.first, *lines]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The catalogue's description of one model.

    Attributes:
        name: Lucid's name.
        family: "InceptionV1", "caffe", "slim" or "other"; "stand-in" for models that Lucid does not have.
        description: one line.
        dataset: name of the training data.
        labels, synsets: names of lists in `label_lists()`, or None.
        input_name, image_shape, image_value_range, is_BGR: Lucid's metadata.
        fingerprint: `Graph.fingerprint()` of the graph. Files with other names are recognized by it.
        package_graph: file in `data/` with the network, for models that are part of this package.
        files: file names under which the network is searched for; the first is this project's own.
        downloads: public files of the network.
        freezing: how to freeze a checkpoint.
        generator: name of the function that generates the graph, for models without a file.
        layers: Lucid's layers as (name, depth, tags).
        layers_of: name of the model that the `Layer` objects belong to, usually `name`.
    """

    name: str
    family: str
    description: str
    dataset: str | None = None
    labels: str | None = None
    synsets: str | None = None
    input_name: str
    image_shape: tuple[int, int, int]
    image_value_range: ValueRange
    is_BGR: bool
    fingerprint: str | None = None
    package_graph: str | None = None
    files: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    freezing: Freezing | None = None
    generator: str | None = None
    layers: tuple[tuple[str, int, frozenset[str]], ...]
    layers_of: str

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any], layers_of: Mapping[str, Any]) -> Entry:
        """Creates an entry from the data file.

        Args:
            name: the model's name.
            data: the model's object in the file.
            layers_of: the object of the model whose layers it shares, usually `data`.
        """
        stated = {"layers_of": name, **data}
        if "freeze" in stated:
            stated["freezing"] = Freezing(**stated.pop("freeze"))
        for key in ("image_shape", "image_value_range", "files"):
            stated[key] = tuple(stated.get(key, ()))
        stated["downloads"] = tuple(Download(**download) for download in data.get("downloads", ()))
        stated["layers"] = tuple((layer, depth, frozenset(tags)) for layer, depth, tags in layers_of["layers"])
        return cls(name=name, **stated)

    def to_json(self) -> dict[str, Any]:
        """Converts the entry to data that JSON can hold."""
        return {
            **{key: value for key, value in vars(self).items() if key not in ("downloads", "freezing", "layers")},
            "downloads": [vars(download) for download in self.downloads],
            "freezing": self.freezing and vars(self.freezing),
            "layers": [{"name": name, "depth": depth, "tags": sorted(tags)} for name, depth, tags in self.layers],
        }


@functools.cache
def _data() -> Mapping[str, Any]:
    text = resources.files("lucid_port.modelzoo").joinpath("models.json").read_text(encoding="utf-8")
    return json.loads(text)


@functools.cache
def catalogue() -> Mapping[str, Entry]:
    """Returns the entries of all models by Lucid's name."""
    models = _data()["models"]
    return {name: Entry.from_json(name, data, models[data.get("layers_of", name)]) for name, data in models.items()}


@functools.cache
def label_lists() -> Mapping[str, LabelList]:
    """Returns all lists of labels and synsets by Lucid's name."""
    return {name: LabelList(name=name, **data) for name, data in _data()["labels"].items()}


def entry(name: str) -> Entry:
    """Returns the entry of one model.

    Raises:
        ValueError: the catalogue has no model of this name; the error suggests similar names.
        TypeError: the name is not a string.
    """
    if not isinstance(name, str):
        raise TypeError(f"A model's name is text, such as {next(iter(catalogue()))!r}, not {checks.shown(name)}.")
    try:
        return catalogue()[name]
    except KeyError:
        hint = nearest_names(name, catalogue()) or f" The models are {', '.join(catalogue())}."
        raise ValueError(f"No model is called {checks.shown(name)}.{hint}") from None
