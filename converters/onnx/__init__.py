"""ONNX files: converted models written as such (`export`), and networks read from them (`reading`).

The packages that this takes are optional and imported when they are used.
"""
