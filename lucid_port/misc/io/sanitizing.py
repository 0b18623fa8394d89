"""Names that are safe as file names."""

from __future__ import annotations

from lucid_port.misc import checks

__all__ = ["sanitize"]


def sanitize(string: str) -> str:
    """Replace the slashes of layer names."""
    return checks.text(string, "What sanitize takes", "a name").replace("/", "_")
