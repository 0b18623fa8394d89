"""Names of units for shell completion, from the catalogue alone: neither torch nor a network is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lucid_port.modelzoo.catalogue import Entry

PRE_RELU = "_pre_relu"
"""End of the names of InceptionV1's layers before their ReLU."""
CLASS = "class:"


def unit_names(source: str, incomplete: str) -> list[str]:
    """Returns layers and classes of a model of the catalogue that start with a text.

    Layers before a ReLU are listed as well. Classes are listed as soon as `class:` is typed.
    """
    from lucid_port.modelzoo.catalogue import catalogue

    known = catalogue().get(source)
    return [] if known is None else [name for name in _offered(known, incomplete) if name.startswith(incomplete)]


def _offered(entry: Entry, incomplete: str) -> Iterator[str]:
    from lucid_port.modelzoo.catalogue import label_lists

    names = [name for name, _, _ in entry.layers]
    yield from (f"{name}:" for name in names)
    if "mixed4a" in names:  # Lucid's InceptionV1: every layer but the softmaxes is a ReLU
        yield from (f"{name}{PRE_RELU}:" for name in names if not name.startswith("softmax"))
    if entry.labels is None:
        return
    if incomplete.startswith(CLASS):
        yield from (f"{CLASS}{label}" for label in label_lists()[entry.labels].read())
    else:
        yield CLASS
