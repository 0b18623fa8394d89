"""Loading, saving and showing of images, arrays and data."""

from typing import TYPE_CHECKING

from converters.on_use import import_on_use

if TYPE_CHECKING:
    from lucid_port.misc.io.loading import load
    from lucid_port.misc.io.sanitizing import sanitize
    from lucid_port.misc.io.saving import CaptureSaveContext, batch_save, save
    from lucid_port.misc.io.scoping import io_scope, scope_url
    from lucid_port.misc.io.showing import show
else:
    __getattr__, __dir__ = import_on_use(
        __name__,
        {
            "loading": ("load",),
            "sanitizing": ("sanitize",),
            "saving": ("CaptureSaveContext", "batch_save", "save"),
            "scoping": ("io_scope", "scope_url"),
            "showing": ("show",),
        },
    )

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
