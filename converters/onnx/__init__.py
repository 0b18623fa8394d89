"""ONNX files: `export` writes converted models, `reading` reads networks.

The packages `onnx` and `onnx2torch` are optional; they are imported when a function needs them.
"""
