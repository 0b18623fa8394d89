"""ONNX files: converted models written as such (`export`), and networks read from them (`reading`).

The packages that this takes are optional and imported when they are used.
"""

from converters.onnx.export import to_onnx
from converters.onnx.reading import from_onnx

__all__ = ["from_onnx", "to_onnx"]
