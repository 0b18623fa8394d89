"""Gradient overrides at Lucid's import path; see `lucid_port.optvis.overrides`."""

from __future__ import annotations

from lucid_port.optvis.overrides import gradient_override_map, use_gradient

__all__ = ["gradient_override_map", "use_gradient"]
