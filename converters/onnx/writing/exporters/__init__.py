"""One function for each kind of layer: the ONNX nodes (opset 17) that compute what the layer computes.

Values lie in ONNX as they lie in torch: images are (N, C, H, W).
"""

from converters.onnx.writing.exporters import channels, elementwise, resizing, shapes, windows
from converters.onnx.writing.exporters.base import EXPORTERS, OPSET, TO_NCHW, TO_NHWC, Call, Value

# Layers that are not written, each with the reason.
NOT_EXPORTED: dict[str, str] = {
    "SqueezeAll": "which axes it drops depends on the image's size and the batch",
}

__all__ = [
    "EXPORTERS", "NOT_EXPORTED", "OPSET", "TO_NCHW", "TO_NHWC", "Call", "Value", "channels", "elementwise", "resizing",
    "shapes", "windows",
]  # fmt: skip
