"""Import this before Lucent, and torchvision can be imported beside a torch that was built without CUDA.

The torchvision that package indexes hold was built for CUDA. Beside a torch without CUDA its compiled operators do not
load, and it fails to import because it wants to describe two of them. They are declared here; nothing calls them:
Lucent takes a transform and the list of models from torchvision, and a render of its InceptionV1 uses neither. So
Lucent can be measured on the very build of torch that the port runs on.
"""

from __future__ import annotations

import sys

import torch

operators = torch.library.Library("torchvision", "FRAGMENT")


def _declare() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for name in ("nms", "qnms"):
        operators.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


try:
    import torchvision  # noqa: F401
except RuntimeError:
    _declare()
