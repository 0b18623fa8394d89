"""The catalogue's models as classes under Lucid's names: `vision_models.InceptionV1()`."""

from __future__ import annotations

from typing import NoReturn

from converters.errors import nearest_names
from lucid_port.modelzoo.catalogue import catalogue
from lucid_port.modelzoo.vision_base import Layer, Model, model_class

MODELS: dict[str, type[Model]] = {name: model_class(entry) for name, entry in catalogue().items()}
globals().update(MODELS)

__all__ = ["Layer", "Model", *MODELS]


def __getattr__(name: str) -> NoReturn:
    """Raises an error that suggests models. Type checkers and editors read vision_models.pyi."""
    if name.startswith("__"):
        raise AttributeError(name)
    near = nearest_names(name, MODELS, 3)
    raise AttributeError(f"No model is called {name!r}.{near or ' The models are ' + ', '.join(MODELS) + '.'}")
