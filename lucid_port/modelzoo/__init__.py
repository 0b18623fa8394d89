"""Models under Lucid's names, and from elsewhere: where their files are found, and what they want to be fed."""

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.torchvision import torchvision

__all__ = ["from_torch", "torchvision"]
