"""Elements of values that are not tensors: `layer:0` of a tuple or list, `layer:key` of a dict or dataclass.

As in converted graphs, `layer:1` is the second value of a layer, and `layer:0` of a tensor is the tensor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor


def split_element(name: str) -> tuple[str, str]:
    """Splits `layer:element`; the element is empty if the name has none.

    Example:
        >>> split_element("encoder.0:1"), split_element("encoder.0")
        (('encoder.0', '1'), ('encoder.0', ''))
    """
    layer, _, element = name.rpartition(":")
    return (layer, element) if layer else (name, "")


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


def tensor_elements(value: object) -> list[str]:
    """Returns the names of the elements that are tensors."""
    return [key for key, item in elements_of(value).items() if isinstance(item, Tensor)]


def tensor_of(value: object, name: str) -> Tensor:
    """Returns the tensor of a layer or of an element.

    Args:
        value: the value of the layer.
        name: `layer` or `layer:element`.

    Raises:
        ValueError: the value is not a tensor, or it has no such element.
    """
    layer, element = split_element(name)
    if isinstance(value, Tensor):
        if element in ("", "0"):
            return value
        raise ValueError(f"Layer {layer!r} returns one tensor, so it has no element {element!r}: name {layer!r}.")
    found = elements_of(value)
    chosen = found.get(element)
    if isinstance(chosen, Tensor):
        return chosen
    kind = type(value).__name__ if chosen is None or not element else type(chosen).__name__
    known = [f"{layer}:{key}" for key in tensor_elements(value)]
    shown = ", ".join(map(repr, known[:8])) + (" and more" if len(known) > 8 else "")
    advice = f"name one of its elements, {shown}" if known else "use a layer inside it, or request a layer after it"
    raise ValueError(f"Layer {name!r} returns a {kind}, not a tensor: {advice}.")
