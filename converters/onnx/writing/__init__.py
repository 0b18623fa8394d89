"""Converted graphs written as ONNX files."""
