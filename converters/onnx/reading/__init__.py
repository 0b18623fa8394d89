"""Converts ONNX files to networks."""

from converters.renamed import keep_old_contents

__getattr__ = keep_old_contents(__name__, "conversion")
