"""Models: Lucid's by name, and networks from other libraries. Locates their files and prepares their input."""

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.huggingface import huggingface
from lucid_port.modelzoo.timm import timm
from lucid_port.modelzoo.torchvision import torchvision

__all__ = ["from_torch", "huggingface", "timm", "torchvision"]
