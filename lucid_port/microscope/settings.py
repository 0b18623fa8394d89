"""The settings of a site: all options that change its results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from converters import checks
from converters.signatures import checked

__all__ = ["ORIGINALS", "QUALITIES", "Originals", "Settings"]

Originals = Literal["none", "small", "full"]

ORIGINALS: tuple[str, ...] = get_args(Originals)
"""Whether whole pictures are copied to a site: no, at most 512 pixels, or at their own size."""


@checked
@dataclass(frozen=True)
class Settings:
    """All options that change the results of a site, except its layers, units, techniques and pictures.

    Attributes:
        quality: Name of the preset.
        size: Height and width of renders in pixels.
        steps: Number of updates of a render.
        dream_steps: Number of updates in each octave of a DeepDream.
        seed: Seed of all random draws.
        batch_size: Number of renders in a batch.
        pictures_in_batch: Number of pictures in a batch of the pass over the data.
        originals: Whether whole pictures are copied.

    Example:
        >>> Settings.of("preview", seed=3).size
        64
    """

    quality: str
    size: int
    steps: int
    dream_steps: int
    seed: int = 0
    batch_size: int = 16
    pictures_in_batch: int = 32
    originals: Originals = "small"

    def __post_init__(self) -> None:
        for name in ("size", "steps", "dream_steps", "batch_size", "pictures_in_batch"):
            checks.whole(getattr(self, name), name, 1)
        checks.whole(self.seed, "seed", 0)
        if self.originals not in ORIGINALS:
            raise ValueError(f"originals is {', '.join(ORIGINALS)}, not {self.originals!r}.")

    @classmethod
    def of(cls, quality: str, **changes: Any) -> Settings:
        """Returns the settings of a quality: "preview", "standard" or "microscope".

        Args:
            quality: Name of a preset.
            changes: Values that replace those of the preset; None keeps them.

        Raises:
            ValueError: There is no such preset, or a value is out of range.
            TypeError: There is no such setting.
        """
        if quality not in QUALITIES:
            raise ValueError(f"There is no quality {quality!r}; there are {', '.join(QUALITIES)}.")
        known = {one.name for one in fields(cls)}
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise TypeError(f"There is no setting {unknown[0]!r}; there are {', '.join(sorted(known))}.")
        given = {name: value for name, value in changes.items() if value is not None}
        return cls(**{"quality": quality, **QUALITIES[quality], **given})

    def to_data(self) -> dict[str, Any]:
        """Returns the settings as JSON data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Settings:
        """Returns the settings of JSON data.

        Raises:
            ValueError: The data is of another form.
        """
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"These are no settings of a site: {error}.") from error

    def key(self, *names: str) -> str:
        """Returns a hash of some settings, 16 hexadecimal digits.

        Args:
            names: Names of settings; all by default.
        """
        data = self.to_data()
        return hash_of({name: data[name] for name in names or data})


QUALITIES: Mapping[str, Mapping[str, int]] = {
    "preview": {"size": 64, "steps": 64, "dream_steps": 20},
    "standard": {"size": 128, "steps": 513, "dream_steps": 50},
    "microscope": {"size": 128, "steps": 4096, "dream_steps": 50},
}
"""Presets: fast; Lucid's defaults; the number of updates of OpenAI's Microscope."""


def hash_of(data: Any) -> str:
    """Returns a hash of JSON data, 16 hexadecimal digits.

    Example:
        >>> hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
