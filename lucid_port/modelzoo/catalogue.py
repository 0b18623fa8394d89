"""The catalogue: one data file with everything that is known of each model but its weights."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from converters.errors import nearest_names


@dataclass(frozen=True)
class Download:
    """A public file.

    Attributes:
        url: its address.
        kind: "graph" (a frozen graph), "caffemodel", "checkpoint" (TensorFlow variables, without a graph), or
            "pytorch".
        hash: of the file at the address, as `algorithm:hexadecimal`; None where no public source states one.
        member: the wanted file's name, where the address is that of an archive.
        member_hash: of the wanted file, where it is known, too (SHA-256, by which files are recognised).
        source: where the address and its hash were read.
    """

    url: str
    kind: str = "graph"
    hash: str | None = None
    member: str | None = None
    member_hash: str | None = None
    source: str = ""

    @property
    def file_name(self) -> str:
        """What the wanted file is called."""
        return (self.member or self.url).rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Freezing:
    """How TF-Slim's scripts make the graph to which a checkpoint belongs.

    Attributes:
        network: TF-Slim's name of the network (`--model_name`).
        labels_offset: 1 where the network has no background class (`--labels_offset`).
    """

    network: str
    labels_offset: int


@dataclass(frozen=True)
class LabelList:
    """A list of classes, or of their synsets, that comes with this package.

    Attributes:
        name: Lucid's name of the list.
        file: the file in `labels/`, one class a line.
        source: where the list was read.
        first: a class that goes before those of the file.
    """

    name: str
    file: str
    source: str
    first: str | None = None

    def read(self) -> list[str]:
        """The classes, in the order of the network's output."""
        folder = resources.files("lucid_port.modelzoo").joinpath("labels")
        lines = folder.joinpath(self.file).read_text(encoding="utf-8").splitlines()
        return lines if self.first is None else [self.first, *lines]


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of one model.

    Attributes:
        name: Lucid's name.
        family: "InceptionV1", "caffe", "slim" or "other"; "stand-in" for what Lucid does not have.
        description: one line.
        dataset: what it was trained on.
        labels, synsets: names of lists in `label_lists()`; None where the model has none.
        input_name, image_shape, image_value_range, is_BGR: Lucid's metadata.
        fingerprint: the graph's `Graph.fingerprint()`, by which a file of another name is recognised.
        package_graph: the file in `data/` that comes with this package, which is then the network.
        files: file names under which the network is looked for; the first is this project's own.
        downloads: where it was published.
        freezing: how a checkpoint becomes a frozen graph.
        generator: name of the function that makes the graph, for a model without a file.
        layers: Lucid's layers as (name, depth, tags).
        layers_of: the model whose `Layer` objects these are, where it is another one.
    """

    name: str
    family: str
    description: str
    dataset: str | None
    labels: str | None
    synsets: str | None
    input_name: str
    image_shape: tuple[int, int, int]
    image_value_range: tuple[Any, Any]
    is_BGR: bool
    fingerprint: str | None
    package_graph: str | None
    files: tuple[str, ...]
    downloads: tuple[Download, ...]
    freezing: Freezing | None
    generator: str | None
    layers: tuple[tuple[str, int, frozenset[str]], ...]
    layers_of: str

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any], layers_of: Mapping[str, Any]) -> Entry:
        """An entry from the data file.

        Args:
            name: the model's name.
            data: what the file says of it.
            layers_of: what the file says of the model whose layers it has, usually itself.
        """
        low, high = data["image_value_range"]
        return cls(
            name=name,
            family=data["family"],
            description=data["description"],
            dataset=data.get("dataset"),
            labels=data.get("labels"),
            synsets=data.get("synsets"),
            input_name=data["input_name"],
            image_shape=tuple(data["image_shape"]),
            image_value_range=(low, high),
            is_BGR=data["is_BGR"],
            fingerprint=data.get("fingerprint"),
            package_graph=data.get("package_graph"),
            files=tuple(data.get("files", ())),
            downloads=tuple(Download(**download) for download in data.get("downloads", ())),
            freezing=Freezing(**data["freeze"]) if "freeze" in data else None,
            generator=data.get("generator"),
            layers=tuple((layer, depth, frozenset(tags)) for layer, depth, tags in layers_of["layers"]),
            layers_of=data.get("layers_of", name),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data with everything that the catalogue says."""
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
    """Lucid's name -> entry, for every model."""
    models = _data()["models"]
    return {name: Entry.from_json(name, data, models[data.get("layers_of", name)]) for name, data in models.items()}


@functools.cache
def label_lists() -> Mapping[str, LabelList]:
    """Lucid's name -> list, for every list of labels and of synsets."""
    return {name: LabelList(name=name, **data) for name, data in _data()["labels"].items()}


def entry(name: str) -> Entry:
    """The entry of one model.

    Raises:
        ValueError: there is no such model; the error offers the nearest names.
        TypeError: the name is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"A model's name is text, such as {next(iter(catalogue()))!r}, not {name!r}.")
    try:
        return catalogue()[name]
    except KeyError:
        hint = nearest_names(name, catalogue()) or f" The models are {', '.join(catalogue())}."
        raise ValueError(f"No model is called {name!r}.{hint}") from None
