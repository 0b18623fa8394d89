"""The other models, as in Lucid's `modelzoo.other_models`: classes of `vision_models`."""

from __future__ import annotations

from lucid_port.modelzoo.families import models_of

_models = models_of("other", "InceptionV1")
globals().update(_models)

__all__ = list(_models)
