"""Names that are safe as file names."""

from __future__ import annotations

__all__ = ["sanitize"]


def sanitize(string: str) -> str:
    """Replace the slashes of layer names."""
    return string.replace("/", "_")
