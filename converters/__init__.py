"""Converts frozen TensorFlow graphs, Caffe networks and ONNX files to PyTorch, without TensorFlow.

Example:
    model = converters.convert("InceptionV1.pb")
    model.activations(x, ["mixed4a_pre_relu"])
    model.save("inceptionv1")
    model = converters.load("inceptionv1")
"""

from typing import TYPE_CHECKING

from converters.on_use import import_on_use
from converters.renamed import keep_old_names

if TYPE_CHECKING:
    from converters.caffe import from_caffe
    from converters.conversion import convert, load, save
    from converters.errors import (
        ChannelAxisError,
        ConverterError,
        GraphError,
        InputSizeError,
        LayerLeftOutError,
        LayerNotFoundError,
        MissingPackageError,
        SaveError,
        TensorFlowMissingError,
        UnsupportedOpsError,
    )
    from converters.lowering.lower import supported_ops
    from converters.network.model import ConvertedModel
    from converters.onnx.reading.conversion import from_onnx
    from converters.program.layer_info import LayerInfo
    from converters.program.program import Metadata
    from converters.sources import open_source
else:
    __getattr__, __dir__ = import_on_use(
        __name__,
        {
            "caffe": ("from_caffe",),
            "conversion": ("convert", "load", "save"),
            "errors": (
                "ChannelAxisError",
                "ConverterError",
                "GraphError",
                "InputSizeError",
                "LayerLeftOutError",
                "LayerNotFoundError",
                "MissingPackageError",
                "SaveError",
                "TensorFlowMissingError",
                "UnsupportedOpsError",
            ),
            "lowering.lower": ("supported_ops",),
            "network.model": ("ConvertedModel",),
            "onnx.reading.conversion": ("from_onnx",),
            "program.layer_info": ("LayerInfo",),
            "program.program": ("Metadata",),
            "sources": ("open_source",),
        },
    )

__all__ = [
    "ChannelAxisError",
    "ConvertedModel",
    "ConverterError",
    "GraphError",
    "InputSizeError",
    "LayerInfo",
    "LayerLeftOutError",
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

keep_old_names(
    __name__,
    {
        "arguments": "program.validation",
        "check": "reference.check",
        "constants": "lowering.constants",
        "effects": "tracing.aliasing",
        "evaluate": "lowering.evaluate",
        "folding": "network.folding",
        "freeze": "tensorflow.freeze",
        "fusion": "network.fusion",
        "given": "network.interventions",
        "graph": "frozen.graph",
        "graphdef": "frozen.graphdef",
        "inputs": "network.model",
        "intervals": "lowering.intervals",
        "layer_info": "program.layer_info",
        "lower": "lowering.lower",
        "model": "network.model",
        "onnx.checks": "onnx.reading.validation",
        "onnx.export": "onnx.writing.export",
        "onnx.exporters": "onnx.writing.exporters",
        "onnx.files": "onnx.reading.files",
        "onnx.network": "onnx.reading.network",
        "onnx.padding": "onnx.reading.padding",
        "onnx.reading.reading": "onnx.reading.conversion",
        "onnx.resizing": "onnx.reading.resizing",
        "onnx.rewriting": "onnx.reading.rewriting",
        "ops": "lowering.ops",
        "placeholders": "frozen.placeholders",
        "references": "reference.store",  # `inputs` and `samples` are separate modules now
        "selection": "network.selection",
        "simplify": "lowering.simplify",
        "single_image": "frozen.single_image",
        "sizes": "program.sizes",
        "slices": "lowering.slices",
        "standalone": "program.standalone",
        "storage": "program.storage",
        "tensor_file": "program.tensor_file",
        "tensorflow_process": "tensorflow.process",
        "traced": "tracing.traced",
        "wire": "frozen.wire",
        "writer": "frozen.writer",
    },
)
