"""Makes torchvision importable with a CPU build of torch. Import this module before Lucent.

The torchvision of package indexes is built for CUDA. With a CPU build of torch, its compiled operators do not load, and
its import fails because it registers further functions for two of them. This module declares these two operators. They
are never called: Lucent imports a transform and the list of models from torchvision, and a render of its InceptionV1
uses neither. So Lucent and the port can be measured with the same build of torch.
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
