"""Converts frozen TensorFlow graphs to PyTorch, without TensorFlow.

model = converters.convert("InceptionV1.pb")
model.activations(x, ["mixed4a_pre_relu"])
model.save("inceptionv1")
model = converters.load("inceptionv1")
"""

from converters.caffe import from_caffe
from converters.conversion import convert, load, save
from converters.errors import (
    ConverterError,
    GraphError,
    InputSizeError,
    LayerNotFoundError,
    MissingPackageError,
    SaveError,
    TensorFlowMissingError,
    UnsupportedOpsError,
)
from converters.layer_info import LayerInfo
from converters.lower import supported_ops
from converters.model import ConvertedModel
from converters.onnx.reading import from_onnx
from converters.program import Metadata
from converters.sources import open_source

__all__ = [
    "ConvertedModel",
    "ConverterError",
    "GraphError",
    "InputSizeError",
    "LayerInfo",
    "LayerNotFoundError",
    "Metadata",
    "MissingPackageError",
    "SaveError",
    "TensorFlowMissingError",
    "UnsupportedOpsError",
    "convert",
    "from_caffe",
    "from_onnx",
    "load",
    "open_source",
    "save",
    "supported_ops",
]
