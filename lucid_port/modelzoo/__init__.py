"""Models: Lucid's by name, and networks from other libraries. Locates their files and prepares their input."""

from typing import TYPE_CHECKING

from converters.on_use import import_on_use

if TYPE_CHECKING:
    from lucid_port.modelzoo.from_torch import from_torch
    from lucid_port.modelzoo.huggingface import huggingface
    from lucid_port.modelzoo.timm import timm
    from lucid_port.modelzoo.torchvision import torchvision
else:
    __getattr__, __dir__ = import_on_use(
        __name__, {name: (name,) for name in ("from_torch", "huggingface", "timm", "torchvision")}
    )

__all__ = ["from_torch", "huggingface", "timm", "torchvision"]
