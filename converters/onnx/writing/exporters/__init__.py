"""Exporters: for each class of layers, a function that writes the ONNX nodes (opset 17) that compute it.

Values have the same axis order as in torch: images are (N, C, H, W).
"""

from converters.onnx.writing.exporters import channels, elementwise, resizing, shapes, windows
from converters.onnx.writing.exporters.base import EXPORTERS, OPSET, TO_NCHW, TO_NHWC, Call, Value

# Layers that cannot be exported, with the reason.
NOT_EXPORTED: dict[str, str] = {
    "SqueezeAll": "which axes it drops depends on the image's size and the batch",
}

__all__ = [
    "EXPORTERS", "NOT_EXPORTED", "OPSET", "TO_NCHW", "TO_NHWC", "Call", "Value", "channels", "elementwise", "resizing",
    "shapes", "windows",
]  # fmt: skip
