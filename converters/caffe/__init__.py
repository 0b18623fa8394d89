"""Converts Caffe networks (.caffemodel and .prototxt) to the graphs that caffe-tensorflow makes of them."""

from converters.caffe.conversion import IMAGENET_RANGE, caffe_graph, from_caffe, imagenet_metadata
from converters.caffe.registry import Geometry, supported_layers

__all__ = ["IMAGENET_RANGE", "Geometry", "caffe_graph", "from_caffe", "imagenet_metadata", "supported_layers"]
