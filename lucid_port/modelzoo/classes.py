"""The classes of a network: the layers of their scores, and their numbers by label."""

from __future__ import annotations

import difflib
from typing import Any, Protocol

from converters import checks
from converters.signatures import checked

__all__ = ["HasLabels", "class_number", "logits_layer", "probabilities_layer"]


class HasLabels(Protocol):
    """A model with names of its classes."""

    @property
    def network(self) -> Any: ...

    @property
    def labels(self) -> Any: ...


def _softmaxes(model: HasLabels) -> list[Any]:
    """The steps of a converted network that are a softmax, and whose value no other layer of the network reads.

    A transformer has others, in its attention.
    """
    program = getattr(model.network, "program", None)
    steps = () if program is None else program.steps
    same = {step.name for step in steps if step.op in ("Identity", "Reshape", "Squeeze", "Flatten")}
    read = {source.node for step in steps if step.name not in same for source in step.inputs}
    return [step for step in steps if step.op == "Softmax" and step.name not in read]


@checked
def logits_layer(model: HasLabels) -> str:
    """The name of the layer before a model's last softmax; without a softmax, the network's output.

    Raises:
        ValueError: the network has several outputs, or a softmax whose input is not known.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> logits_layer(TinyInceptionV1())
        'softmax2_pre_activation'
    """
    softmaxes = _softmaxes(model)
    if softmaxes:
        return str(softmaxes[-1].inputs[0])
    name = _output(model)
    if _is_softmax(model, name):
        raise ValueError("The layer of the classes' logits cannot be found, because the network's output is a softmax.")
    return name


@checked
def probabilities_layer(model: HasLabels) -> str | None:
    """The name of a model's last softmax; None if its output has the logits.

    Raises:
        ValueError: the network has no softmax, but several outputs.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> probabilities_layer(TinyInceptionV1())
        'softmax2'
    """
    softmaxes = _softmaxes(model)
    if softmaxes:
        return str(softmaxes[-1].name)
    name = _output(model)
    return name if _is_softmax(model, name) else None


def _output(model: HasLabels) -> str:
    """The name of the network's only output."""
    network = model.network
    stated = getattr(getattr(network, "program", None), "outputs", None) or getattr(network, "outputs", ())
    names = tuple(stated or ())
    if len(names) != 1:
        raise ValueError(
            "The layer of the classes' logits cannot be found in the model"
            + (f", which has {len(names)} outputs ({', '.join(names[:5])}): name one of them." if names else ".")
        )
    return str(names[0])


def _is_softmax(model: HasLabels, name: str) -> bool:
    layers = getattr(model.network, "layers", {})
    try:
        return str(layers[name].op).lower() in ("softmax", "logsoftmax", "log_softmax")
    except (KeyError, AttributeError):
        return False


@checked
def class_number(model: HasLabels, label: int | str) -> int:
    """The number of a class.

    Args:
        model: the model.
        label: a number, a label, or one of the synonyms of a label (`"tabby"` for `"tabby, tabby cat"`). Case does not
            matter.

    Raises:
        ValueError: no class or several classes have this label.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> model = TinyInceptionV1()
        >>> model.labels[class_number(model, "spiral")]
        'spiral'
    """
    if not isinstance(label, str):
        return checks.whole(label, "A class", 0)
    names = [str(name).lower() for name in model.labels]
    wanted = label.lower()
    exact = [number for number, name in enumerate(names) if name == wanted]
    found = exact or [number for number, name in enumerate(names) if wanted in name.split(", ")]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(map(str, found))
        raise ValueError(
            f"{checks.shown(label)} names {len(found)} classes of the model, not one: give a number, of {numbers}."
        )
    near = [name for name in names if wanted in name] or difflib.get_close_matches(wanted, names, 5)
    hint = f"Did you mean {', '.join(dict.fromkeys(near[:5]))}?" if near else f"It has {len(names)} classes."
    raise ValueError(f"No class of the model is called {checks.shown(label)}. {hint}")
