"""lucid_port: Lucid's feature visualisation in PyTorch, with numerical proof that it is the same."""

from __future__ import annotations

__version__ = "0.1.0"
