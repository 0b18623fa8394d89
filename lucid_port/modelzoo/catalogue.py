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
    """A public file and the proof that it is the right one.

    Attributes:
        url: its address.
        sha256: of the file at the address.
        member: the wanted file's name, where the address is that of a zip archive.
        member_sha256: of the wanted file.
    """

    url: str
    sha256: str
    member: str | None = None
    member_sha256: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Download | None:
        if data is None or "url" not in data:
            return None
        return cls(data["url"], data["sha256"], data.get("member"), data.get("member_sha256"))


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of one model.

    Attributes:
        name: Lucid's name.
        description: one line.
        dataset: what it was trained on.
        input_name, image_shape, image_value_range, is_BGR: Lucid's metadata.
        fingerprint: the graph's `Graph.fingerprint()`, by which a file of another name is recognised.
        files: file names under which the graph is looked for.
        graph: where the graph can be downloaded.
        elsewhere: addresses without a known hash, for people to try by hand.
        generator: name of the function that makes the graph, for a model without a file.
        label_files: file names under which the labels are looked for.
        labels: where the labels can be downloaded.
        package_labels: a label file that comes with this package.
        layers: Lucid's layers as (name, depth, tags).
    """

    name: str
    description: str
    dataset: str | None
    input_name: str
    image_shape: tuple[int, int, int]
    image_value_range: tuple[Any, Any]
    is_BGR: bool
    fingerprint: str | None
    files: tuple[str, ...]
    graph: Download | None
    elsewhere: tuple[str, ...]
    generator: str | None
    label_files: tuple[str, ...]
    labels: Download | None
    package_labels: str | None
    layers: tuple[tuple[str, int, frozenset[str]], ...]

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any]) -> Entry:
        labels = data.get("labels", {})
        low, high = data["image_value_range"]
        return cls(
            name=name,
            description=data["description"],
            dataset=data.get("dataset"),
            input_name=data["input_name"],
            image_shape=tuple(data["image_shape"]),
            image_value_range=(low, high),
            is_BGR=data["is_BGR"],
            fingerprint=data.get("fingerprint"),
            files=tuple(data.get("files", ())),
            graph=Download.from_json(data.get("graph")),
            elsewhere=tuple(data.get("elsewhere", ())),
            generator=data.get("generator"),
            label_files=tuple(labels.get("files", ())),
            labels=Download.from_json(labels),
            package_labels=labels.get("package_file"),
            layers=tuple((layer, depth, frozenset(tags)) for layer, depth, tags in data["layers"]),
        )


@functools.cache
def catalogue() -> Mapping[str, Entry]:
    """Lucid's name -> entry, for every model."""
    text = resources.files("lucid_port.modelzoo").joinpath("models.json").read_text(encoding="utf-8")
    return {name: Entry.from_json(name, data) for name, data in json.loads(text).items()}


def entry(name: str) -> Entry:
    """The entry of one model.

    Raises:
        ValueError: there is no such model; the error offers the nearest names.
    """
    try:
        return catalogue()[name]
    except KeyError:
        hint = nearest_names(name, catalogue()) or f" The models are {', '.join(catalogue())}."
        raise ValueError(f"No model is called {name!r}.{hint}") from None
