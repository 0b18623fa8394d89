"""Attributes of the catalogue's classes: Lucid's notebooks read `InceptionV1.image_shape` without an instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucid_port.modelzoo.arguments import check_image_shape, check_value_range
from lucid_port.modelzoo.catalogue import Entry, label_lists
from lucid_port.modelzoo.missing import missing_list
from lucid_port.modelzoo.wordnet import synsets_from_ids

__all__ = ["class_values"]

_BUCKET = "https://storage.googleapis.com/modelzoo/"


class _ClassValue(property):
    """A property of instances that has a value on the class as well.

    Args:
        inherited: the property of the base class, which instances keep.
        value: function that returns the value on the class.
    """

    def __init__(self, inherited: property, value: Callable[[], Any]) -> None:
        super().__init__(inherited.fget, doc=inherited.__doc__)
        self._value = value

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self._value() if instance is None else super().__get__(instance, owner)


def class_values(base: type, entry: Entry) -> dict[str, Any]:
    """Returns the attributes of an entry's class, by name.

    Args:
        base: the base class, whose properties instances keep.
        entry: the entry.
    """
    values: dict[str, Callable[[], Any]] = {
        "name": lambda: entry.name,
        "dataset": lambda: entry.dataset,
        "input_name": lambda: entry.input_name,
        "labels": lambda: _listed(entry, "labels"),
        "synset_ids": lambda: _listed(entry, "synsets"),
        "synsets": lambda: _synsets(entry),
    }
    return {
        **{name: _ClassValue(vars(base)[name], value) for name, value in values.items()},
        "image_shape": check_image_shape(entry.image_shape),
        "image_value_range": check_value_range(entry.image_value_range, entry.image_shape[-1]),
        "is_BGR": entry.is_BGR,
        "model_path": _model_path(entry),
    }


def _listed(entry: Entry, kind: str) -> list[str]:
    name = getattr(entry, kind)
    if name is None:
        raise missing_list(entry.name, kind)
    return label_lists()[name].read()


def _synsets(entry: Entry) -> list[Any]:
    try:
        return synsets_from_ids(_listed(entry, "synsets"))
    except (ImportError, LookupError) as error:  # tools that list a class's members expect no other error
        raise AttributeError(str(error)) from error


def _model_path(entry: Entry) -> str | None:
    """Returns Lucid's address of the graph; None for models that Lucid does not have."""
    addresses = (file.url for file in entry.downloads if file.kind == "graph")
    return next((f"gs://modelzoo/{url.removeprefix(_BUCKET)}" for url in addresses if url.startswith(_BUCKET)), None)
