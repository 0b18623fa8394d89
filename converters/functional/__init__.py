"""Stateless torch functions that compute what TensorFlow's ops compute, at every input size; images are NCHW."""

from converters.functional import elementwise, norms, shapes, windows
from converters.functional.elementwise import check_broadcast, maximum, minimum, selu
from converters.functional.norms import local_response_norm, lrn_band
from converters.functional.shapes import concat, from_tensorflow_order, linear, reshape, to_tensorflow_order
from converters.functional.windows import (
    FEW_CHANNELS,
    Padding,
    Pair,
    avg_pool2d,
    conv2d,
    is_strided_square,
    max_pool2d,
    padding_amounts,
    pointwise,
    pool_arguments,
    spatial_padding,
    strided_input_gradient,
)

# In this order a standalone module holds their code.
MODULES = (windows, norms, elementwise, shapes)

__all__ = [
    "FEW_CHANNELS",
    "MODULES",
    "Padding",
    "Pair",
    "avg_pool2d",
    "check_broadcast",
    "concat",
    "conv2d",
    "from_tensorflow_order",
    "is_strided_square",
    "linear",
    "local_response_norm",
    "lrn_band",
    "max_pool2d",
    "maximum",
    "minimum",
    "padding_amounts",
    "pointwise",
    "pool_arguments",
    "reshape",
    "selu",
    "spatial_padding",
    "strided_input_gradient",
    "to_tensorflow_order",
]
