"""File names made from layer names."""

from __future__ import annotations

from converters import checks
from converters.signatures import checked

__all__ = ["sanitize"]


@checked
def sanitize(string: str) -> str:
    """Replaces slashes by underscores, so that a layer's name can be a file name.

    Raises:
        TypeError: the name is not a string.

    Example:
        >>> sanitize("mixed4a/conv")
        'mixed4a_conv'
    """
    return checks.text(string, "sanitize's string", "a name").replace("/", "_")
