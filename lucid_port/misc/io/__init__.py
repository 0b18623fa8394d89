"""Loading, saving and showing of images, arrays and data."""

from __future__ import annotations

from lucid_port.misc.io.loading import load
from lucid_port.misc.io.sanitizing import sanitize
from lucid_port.misc.io.saving import CaptureSaveContext, batch_save, save
from lucid_port.misc.io.scoping import io_scope, scope_url
from lucid_port.misc.io.showing import show

__all__ = [
    "CaptureSaveContext",
    "batch_save",
    "io_scope",
    "load",
    "sanitize",
    "save",
    "scope_url",
    "show",
]
