"""The catalogue's models by Lucid's families, for the modules `caffe_models`, `slim_models` and `other_models`."""

from __future__ import annotations

from lucid_port.modelzoo.vision_base import Model
from lucid_port.modelzoo.vision_models import MODELS

__all__ = ["models_of"]


def models_of(*families: str) -> dict[str, type[Model]]:
    """Returns the classes of families by name.

    Args:
        *families: values of `Entry.family`.

    Example:
        >>> list(models_of("other"))
        ['AlexNet', 'Clip_ResNet50_4x']
    """
    entries = {name: made.catalogue_entry for name, made in MODELS.items()}
    return {name: MODELS[name] for name, entry in entries.items() if entry is not None and entry.family in families}
