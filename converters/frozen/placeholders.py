"""A graph's placeholders: which of them is the image, and values for others, such as `is_training` and `keep_prob`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from converters.errors import GraphError, nearest_names
from converters.frozen.graph import Graph, Node

PLACEHOLDER, WITH_DEFAULT = OPS = ("Placeholder", "PlaceholderWithDefault")

DTYPES = frozenset(["bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16"])
# Kind of a placeholder's type -> kinds of numpy's values that it takes, and what they are called.
_TAKES = {
    "b": ("b", "true or false"),
    "f": ("fiu", "numbers"),
    "i": ("iu", "whole numbers"),
    "u": ("iu", "whole numbers"),
}


def image_placeholders(graph: Graph) -> list[str]:
    """Names of the placeholders that may be the image: those of numbers, or, where there are none, with a default.

    Where one alone has the four axes of a batch of images, it is the one.
    """
    for op in OPS:
        found = [node for node in graph.nodes.values() if node.op == op and node.attrs.get("dtype") != "bool"]
        pictures = [node for node in found if len(stated_shape(node) or ()) == 4]
        if op == WITH_DEFAULT or len(pictures) == 1:
            found = pictures
        if found:
            return [node.name for node in found]
    return []


def stated_shape(node: Node) -> tuple[Any, ...] | None:
    """A placeholder's shape; None where it is not stated, for which old versions of TensorFlow wrote the empty one."""
    shape = node.attrs.get("shape")
    return shape if isinstance(shape, tuple) and shape else None


def set_placeholders(graph: Graph, constants: Mapping[str, Any], image: str | None = None) -> Graph:
    """The graph with constants in the place of some placeholders.

    Args:
        graph: a frozen graph.
        constants: name of a placeholder -> its value.
        image: name of the input, where it is known: it takes no value.

    Raises:
        TypeError: the constants are no mapping from names.
        GraphError: there is no such placeholder, it is the image, or the value is not of its type or its shape.
    """
    values = placeholder_values(graph, constants, image)
    if not values:
        return graph
    return Graph(_constant(node, values[node.name]) if node.name in values else node for node in graph.nodes.values())


def placeholder_values(graph: Graph, constants: Mapping[str, Any], image: str | None = None) -> dict[str, np.ndarray]:
    """Values as the arrays that the placeholders of a graph take; arguments and errors as for `set_placeholders`."""
    if not isinstance(constants, Mapping) or not all(isinstance(name, str) for name in constants):
        raise TypeError(f"The constants are a mapping from placeholders' names to values, not {constants!r}.")
    found = {}
    for given, value in constants.items():
        name = given.removesuffix(":0")
        node = graph.nodes.get(name)
        if node is None or node.op not in OPS:
            raise GraphError(_no_placeholder(graph, name))
        if image is not None and name == image.removesuffix(":0"):
            raise GraphError(f"Placeholder {name!r} is the image, which takes no constant.")
        found[name] = _array(node, value)
    return found


def how_to_set(names: Iterable[str]) -> str:
    """What to do about placeholders without a value; the end of a sentence."""
    names = list(names)
    listed = ", ".join(f"{name!r}: ..." for name in names[:5])
    command = " ".join(f"--set {name}=VALUE" for name in names[:5])
    return f"give {'it a value' if len(names) == 1 else 'them values'}, constants={{{listed}}} ({command})"


def placeholders_behind(graph: Graph, name: str) -> list[str]:
    """The placeholders that a node's value depends on."""
    seen, waiting = {name}, [name]
    while waiting:
        sources = {source.node for source in graph.nodes[waiting.pop()].inputs} - seen
        seen |= sources
        waiting += sources
    return [each for each in graph.order if each in seen and graph.nodes[each].op in OPS]


def _constant(node: Node, value: np.ndarray) -> Node:
    return replace(node, op="Const", inputs=(), attrs={"dtype": value.dtype.name}, constant=lambda: value)


def _no_placeholder(graph: Graph, name: str) -> str:
    known = [node.name for node in graph.nodes.values() if node.op in OPS]
    if name in graph.nodes:
        what = f"Node {name!r} is a {graph.nodes[name].op}, no placeholder: only placeholders take constants."
    else:
        what = f"The graph has no placeholder called {name!r}."
    hint = nearest_names(name, known)
    return what + (hint or f" The graph's placeholders are {', '.join(known[:5]) or '(none)'}.")


def _array(node: Node, value: Any) -> np.ndarray:
    """A value as a placeholder's type and shape have it."""
    stated = str(node.attrs.get("dtype"))
    what = f"Placeholder {node.name!r} ({stated})"
    dtype = np.dtype(stated) if stated in DTYPES else None
    if dtype is None:
        raise GraphError(f"{what} takes no constant: only numbers, true and false are set.")
    kinds, wanted = _TAKES[dtype.kind]
    try:
        array = np.asarray(value)
        fits = array.dtype.kind in kinds and bool(np.all(np.isfinite(array.astype(dtype))))
        fits = fits and (dtype.kind == "f" or bool(np.all(array.astype(dtype) == array)))
    except (ValueError, TypeError, OverflowError):  # rows of different lengths, and what is no number at all
        fits = False
    if not fits:
        raise GraphError(f"{what} takes {wanted}, not {value!r}.")
    shape = stated_shape(node)
    if shape is not None and not _fits(array.shape, shape):
        sizes = ", ".join("?" if size is None else str(size) for size in shape)
        raise GraphError(f"{what} has shape [{sizes}], and the value given has {list(array.shape)}.")
    return array.astype(dtype)


def _fits(shape: tuple[int, ...], stated: tuple[int | None, ...]) -> bool:
    return len(shape) == len(stated) and all(n in (None, m) for n, m in zip(stated, shape, strict=True))
