"""Errors of models that lack labels, synsets, or a value range."""

from __future__ import annotations

from collections.abc import Mapping

from converters import LayerInfo

_ADVICE = {
    "labels": "give labels=[...] to from_torch or to the model, one name for each class, or use the classes' numbers",
    "synsets": "only models of the catalogue that are trained on ImageNet have one",
}


class MissingListError(RuntimeError, AttributeError):
    """A model has no list of labels or synsets.

    It is an AttributeError, so that `hasattr(model, "labels")` is False.
    """


def missing_list(model: str, kind: str) -> MissingListError:
    """Returns the error of a model without a list.

    Args:
        model: name of the model.
        kind: "labels" or "synsets".
    """
    return MissingListError(f"{model} has no list of {kind}: {_ADVICE[kind]}.")


class UnknownValueRangeError(ValueError):
    """The network's values for black and white are not known.

    Args:
        source: the file of the network.
        layers: the layers of the network, for errors that go before this one.
    """

    def __init__(self, source: object, layers: Mapping[str, LayerInfo]) -> None:
        super().__init__(
            f"The values for black and white are unknown for {source}: give image_value_range (--value-range), "
            "for example (-117, 138) for InceptionV1 and (-1, 1) for TF-Slim's models."
        )
        self.layers = layers
