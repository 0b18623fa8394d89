"""ONNX files: `writing` exports converted models, `reading` converts ONNX files to networks.

The package `onnx` is optional; it is imported when a function needs it.
"""
