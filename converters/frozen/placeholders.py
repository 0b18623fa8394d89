"""A graph's placeholders: finds the image, and sets others, such as `is_training` and `keep_prob`, to constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from converters.dependencies import with_dependencies
from converters.errors import GraphError, nearest_names
from converters.frozen.graph import Graph, Node

PLACEHOLDER, WITH_DEFAULT = OPS = ("Placeholder", "PlaceholderWithDefault")

DTYPES = frozenset(["bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16"])
# dtype.kind of a placeholder -> dtype.kinds of the values that it accepts, and their name in errors.
_TAKES = {
    "b": ("b", "true or false"),
    "f": ("fiu", "numbers"),
    "i": ("iu", "whole numbers"),
    "u": ("iu", "whole numbers"),
}


def image_placeholders(graph: Graph) -> list[str]:
    """Returns the names of the placeholders that may be the image.

    These are the placeholders of numbers that a node reads. If exactly one of them has rank 4, only this one is
    returned. If there are none, placeholders with a default and rank 4 are returned, and if there are none of these,
    placeholders of text.
    """
    read = {source.node for node in graph.nodes.values() for source in node.inputs}
    inputs = [node for node in graph.nodes.values() if node.op in OPS and node.attrs.get("dtype") != "bool"]
    inputs = [node for node in inputs if node.name in read] or inputs
    for op in OPS:
        found = [node for node in inputs if node.op == op and not is_text(node)]
        images = [node for node in found if len(stated_shape(node) or ()) == 4]
        if op == WITH_DEFAULT or len(images) == 1:
            found = images
        if found:
            return [node.name for node in found]
    return [node.name for node in inputs if node.op == PLACEHOLDER and is_text(node)]


def is_text(node: Node) -> bool:
    """Returns whether a placeholder takes text: the bytes of a picture, or a serialized example."""
    return node.attrs.get("dtype") == "DT_STRING"


def is_fed_by_image(node: Node) -> bool:
    """Returns whether a placeholder takes a value for each image, such as labels: text, or a shape with open sizes.

    Other placeholders, such as `is_training` and `keep_prob`, take one value for all images.
    """
    return is_text(node) or None in (stated_shape(node) or ())


def stated_shape(node: Node) -> tuple[Any, ...] | None:
    """Returns a placeholder's shape; None if it is unknown. Old TensorFlow writes an unknown shape as empty."""
    shape = node.attrs.get("shape")
    return shape if isinstance(shape, tuple) and shape else None


def set_placeholders(graph: Graph, constants: Mapping[str, ArrayLike], image: str | None = None) -> Graph:
    """Replaces placeholders with constants.

    Args:
        graph: a frozen graph.
        constants: name of a placeholder -> its value; a number fills the placeholder's shape.
        image: name of the input, if it is known; it cannot be set.

    Raises:
        TypeError: `constants` is not a mapping from names.
        GraphError: a name is not that of a placeholder or is that of the image, or a value has the wrong type or shape.
    """
    values = placeholder_values(graph, constants, image)
    if not values:
        return graph
    return Graph(_constant(node, values[node.name]) if node.name in values else node for node in graph.nodes.values())


def placeholder_values(
    graph: Graph, constants: Mapping[str, ArrayLike], image: str | None = None
) -> dict[str, np.ndarray]:
    """Converts values to arrays of the placeholders' dtypes; arguments and errors as for `set_placeholders`."""
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


def how_to_set(names: Iterable[str], value: str | None = None) -> str:
    """Returns the part of an error message that says how to set placeholders.

    Args:
        names: the placeholders.
        value: the value to set, as on the command line; None if it is the user's choice.
    """
    names = list(names)
    shown = "..." if value is None else value.capitalize()
    listed = ", ".join(f"{name!r}: {shown}" for name in names[:5])
    command = " ".join(f"--set {name}={value or 'VALUE'}" for name in names[:5])
    return f"give {'it a value' if len(names) == 1 else 'them values'}, constants={{{listed}}} ({command})"


def placeholders_behind(graph: Graph, name: str) -> list[str]:
    """Returns the names of the placeholders that a node depends on."""
    needed = with_dependencies([name], lambda node: [source.node for source in graph.nodes[node].inputs])
    return [each for each, node in graph.nodes.items() if each in needed and node.op in OPS]


def _constant(node: Node, value: np.ndarray) -> Node:
    return replace(node, op="Const", inputs=(), attrs={"dtype": value.dtype.name}, constant=lambda: value)


def _no_placeholder(graph: Graph, name: str) -> str:
    known = [node.name for node in graph.nodes.values() if node.op in OPS]
    if name in graph.nodes:
        problem = f"Node {name!r} is a {graph.nodes[name].op}, no placeholder: only placeholders take constants."
    else:
        problem = f"The graph has no placeholder called {name!r}."
    hint = nearest_names(name, known)
    return problem + (hint or f" The graph's placeholders are {', '.join(known[:5]) or '(none)'}.")


def _array(node: Node, value: ArrayLike) -> np.ndarray:
    """Converts a value to a placeholder's dtype, and checks its shape."""
    stated = str(node.attrs.get("dtype"))
    title = f"Placeholder {node.name!r} ({stated})"
    if stated not in DTYPES:
        raise GraphError(f"{title} takes no constant: only numbers, true and false can be set.")
    dtype = np.dtype(stated)
    kinds, wanted = _TAKES[dtype.kind]
    try:
        array = np.asarray(value)
        fits = array.dtype.kind in kinds and bool(np.all(np.isfinite(array.astype(dtype))))
        fits = fits and (dtype.kind == "f" or bool(np.all(array.astype(dtype) == array)))
    except (ValueError, TypeError, OverflowError):  # ragged rows, or not a number
        fits = False
    if not fits:
        raise GraphError(f"{title} takes {wanted}, not {value!r}.")
    return shaped(array.astype(dtype), stated_shape(node), title)


def shaped(value: np.ndarray, sizes: Sequence[int | None] | None, title: str) -> np.ndarray:
    """Returns the value of an input in the input's shape: a number fills the shape, with 1 for each unknown size.

    Args:
        value: the value.
        sizes: the input's shape; None if it is unknown.
        title: the input, as the start of an error.

    Raises:
        GraphError: the value has another shape.
    """
    if sizes is None:
        return value
    if not value.ndim:
        return np.full([1 if size is None else size for size in sizes], value)
    if len(sizes) != value.ndim or any(size not in (None, n) for size, n in zip(sizes, value.shape, strict=True)):
        shown = ", ".join("?" if size is None else str(size) for size in sizes)
        raise GraphError(f"{title} has shape [{shown}], and the value given has {list(value.shape)}.")
    return value
