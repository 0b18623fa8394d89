"""ONNX files: `writing` exports converted models, `reading` converts ONNX files to networks.

The packages `onnx` and `onnx2torch` are optional; they are imported when a function needs them.
"""
