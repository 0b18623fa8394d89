"""Elements of values that are not tensors: `layer:0` of a tuple or list, `layer:key` of a dict or dataclass.

As in converted graphs, `layer:1` is the second value of a layer, and `layer:0` of a tensor is the tensor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor


def splits_of(name: str) -> list[tuple[str, str]]:
    """Returns the ways to read a name as a layer and an element of its value, the longest layer first.

    Example:
        >>> splits_of("encoder.0:1"), splits_of("encoder.0")
        ([('encoder.0:1', ''), ('encoder.0', '1')], [('encoder.0', '')])
    """
    parts = name.split(":")
    return [(name, ""), *((":".join(parts[:end]), ":".join(parts[end:])) for end in range(len(parts) - 1, 0, -1))]


def elements_of(value: object) -> dict[str, object]:
    """Returns the elements of a tuple, list, mapping or dataclass by their names; of other values nothing.

    Example:
        >>> elements_of(("a", "b")), elements_of({"logits": "a"})
        ({'0': 'a', '1': 'b'}, {'logits': 'a'})
    """
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return {str(index): item for index, item in enumerate(value)}
    return {}


_DEPTH = 8  # of nested values; lists may contain themselves


def nested_elements(value: object, depth: int = _DEPTH) -> dict[str, object]:
    """Returns all elements of a value by their names, those of its elements included.

    Example:
        >>> nested_elements({"logits": "a", "states": ("b", "c")})
        {'logits': 'a', 'states': ('b', 'c'), 'states:0': 'b', 'states:1': 'c'}
    """
    found: dict[str, object] = {}
    for key, item in elements_of(value).items() if depth else ():
        found.setdefault(key, item)
        for inner, part in nested_elements(item, depth - 1).items():
            found.setdefault(f"{key}:{inner}", part)
    return found


def tensor_elements(value: object) -> dict[str, Tensor]:
    """Returns the elements that are tensors, by their names."""
    return {key: item for key, item in nested_elements(value).items() if isinstance(item, Tensor)}


def tensor_of(value: object, layer: str, element: str = "") -> Tensor:
    """Returns the tensor of a layer or of an element.

    Args:
        value: the value of the layer.
        layer: name of the layer.
        element: name of the element; empty for the value itself.

    Raises:
        ValueError: the value is not a tensor, or it has no such element.
    """
    if isinstance(value, Tensor):
        if element in ("", "0"):
            return value
        raise ValueError(f"Layer {layer!r} returns one tensor, so it has no element {element!r}: name {layer!r}.")
    found = nested_elements(value)
    chosen = found.get(element)
    if isinstance(chosen, Tensor):
        return chosen
    known = [f"{layer}:{key}" for key in tensor_elements(value)]
    shown = ", ".join(map(repr, known[:8])) + (" and more" if len(known) > 8 else "")
    advice = f"name one of its tensors, {shown}" if known else "use a layer inside it, or request a layer after it"
    if not element:
        raise ValueError(f"Layer {layer!r} returns {_shown(value)}, not a tensor: {advice}.")
    if element in found:
        raise ValueError(f"Element {element!r} of layer {layer!r} is {_shown(chosen)}, not a tensor: {advice}.")
    raise ValueError(f"The {type(value).__name__} of layer {layer!r} has no element {element!r}: {advice}.")


def _shown(value: object) -> str:
    kind = type(value).__name__
    return "None" if value is None else f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
