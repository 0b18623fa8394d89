"""Caffe's protobuf messages, built at run time from a table; neither Caffe nor compiled protos are needed.

Field numbers are those of caffe.proto (github.com/BVLC/caffe, src/caffe/proto/caffe.proto); Permute and Normalize have
those of the SSD branch (github.com/weiliu89/caffe). Fields that no converted
layer reads are omitted, and ignored in files.

Settings that are single values in old versions of Caffe and one value for each axis in new versions (`kernel_size`,
`pad`, `stride`) are declared as repeated, which reads both. `blobs` reads the values of blobs, so they have no field.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from converters.errors import GraphError

PACKAGE = "lucid_port.caffe"

CaffeMessage: TypeAlias = Any
"""A protobuf message of a class that is built at run time, so that no type checker knows its fields."""

# Enum -> its names and numbers.
ENUMS: Mapping[str, str] = {
    "Phase": "TRAIN=0 TEST=1",
    "PoolMethod": "MAX=0 AVE=1 STOCHASTIC=2",
    "EltwiseOp": "PROD=0 SUM=1 MAX=2",
    "NormRegion": "ACROSS_CHANNELS=0 WITHIN_CHANNEL=1",
    "LayerType": (
        "NONE=0 ACCURACY=1 BNLL=2 CONCAT=3 CONVOLUTION=4 DATA=5 DROPOUT=6 EUCLIDEAN_LOSS=7 FLATTEN=8 HDF5_DATA=9 "
        "HDF5_OUTPUT=10 IM2COL=11 IMAGE_DATA=12 INFOGAIN_LOSS=13 INNER_PRODUCT=14 LRN=15 MULTINOMIAL_LOGISTIC_LOSS=16 "
        "POOLING=17 RELU=18 SIGMOID=19 SOFTMAX=20 SOFTMAX_LOSS=21 SPLIT=22 TANH=23 WINDOW_DATA=24 ELTWISE=25 POWER=26 "
        "SIGMOID_CROSS_ENTROPY_LOSS=27 HINGE_LOSS=28 MEMORY_DATA=29 ARGMAX=30 THRESHOLD=31 DUMMY_DATA=32 SLICE=33 "
        "MVN=34 ABSVAL=35 SILENCE=36 CONTRASTIVE_LOSS=37 EXP=38 DECONVOLUTION=39"
    ),
}

# Message -> its fields: number, name, type; * marks a repeated field, = a default.
_PARAMETERS = (
    "{concat} concat_param ConcatParameter; {convolution} convolution_param ConvolutionParameter;"
    "{data} data_param DataParameter; {dummy} dummy_data_param DummyDataParameter;"
    "{eltwise} eltwise_param EltwiseParameter; {image} image_data_param ImageDataParameter;"
    "{inner} inner_product_param InnerProductParameter; {lrn} lrn_param LRNParameter;"
    "{memory} memory_data_param MemoryDataParameter; {pooling} pooling_param PoolingParameter;"
    "{power} power_param PowerParameter; {relu} relu_param ReLUParameter; {slice} slice_param SliceParameter;"
    "{softmax} softmax_param SoftmaxParameter; {transform} transform_param TransformationParameter"
)
_V2_NUMBERS = {
    "concat": 104, "convolution": 106, "data": 107, "dummy": 109, "eltwise": 110, "image": 115, "inner": 117,
    "lrn": 118, "memory": 119, "pooling": 121, "power": 122, "relu": 123, "slice": 126, "softmax": 125,
    "transform": 100,
}  # fmt: skip
_V1_NUMBERS = {
    "concat": 9, "convolution": 10, "data": 11, "dummy": 26, "eltwise": 24, "image": 15, "inner": 17, "lrn": 18,
    "memory": 22, "pooling": 19, "power": 21, "relu": 30, "slice": 31, "softmax": 39, "transform": 36,
}  # fmt: skip
MESSAGES: Mapping[str, str] = {
    "BlobShape": "1 dim int64*",
    "BlobProto": "7 shape BlobShape; 1 num int64; 2 channels int64; 3 height int64; 4 width int64",
    "NetStateRule": "1 phase Phase; 2 min_level int64; 3 max_level int64; 4 stage string*; 5 not_stage string*",
    "NetParameter": (
        "1 name string; 3 input string*; 8 input_shape BlobShape*; 4 input_dim int64*; 100 layer LayerParameter*;"
        "2 layers V1LayerParameter*"
    ),
    "LayerParameter": (
        "1 name string; 2 type string; 3 bottom string*; 4 top string*; 5 loss_weight float*; 7 blobs BlobProto*;"
        "8 include NetStateRule*; 9 exclude NetStateRule*; 139 batch_norm_param BatchNormParameter;"
        "141 bias_param BiasParameter; 140 elu_param ELUParameter; 135 flatten_param FlattenParameter;"
        "143 input_param InputParameter; 206 norm_param NormalizeParameter; 202 permute_param PermuteParameter;"
        "131 prelu_param PReLUParameter; 133 reshape_param ReshapeParameter;"
        "142 scale_param ScaleParameter;" + _PARAMETERS.format(**_V2_NUMBERS)
    ),
    "V1LayerParameter": (
        "4 name string; 5 type LayerType; 2 bottom string*; 3 top string*; 35 loss_weight float*; 6 blobs BlobProto*;"
        "32 include NetStateRule*; 33 exclude NetStateRule*; 1 layer V0LayerParameter;"
        + _PARAMETERS.format(**_V1_NUMBERS)
    ),
    "V0LayerParameter": "1 name string; 2 type string",
    "TransformationParameter": "3 crop_size uint64",
    "DataParameter": "5 crop_size uint64",
    "ImageDataParameter": "5 crop_size uint64; 9 new_height uint64; 10 new_width uint64; 11 is_color bool=true",
    "MemoryDataParameter": "2 channels uint64; 3 height uint64; 4 width uint64",
    "DummyDataParameter": "6 shape BlobShape*; 3 channels uint64*; 4 height uint64*; 5 width uint64*",
    "InputParameter": "1 shape BlobShape*",
    "BatchNormParameter": "1 use_global_stats bool; 3 eps float=1e-5",
    "BiasParameter": "1 axis int64=1; 2 num_axes int64=1",
    "ConcatParameter": "2 axis int64=1; 1 concat_dim uint64=1",
    "ConvolutionParameter": (
        "1 num_output uint64; 2 bias_term bool=true; 3 pad uint64*; 4 kernel_size uint64*; 6 stride uint64*;"
        "18 dilation uint64*; 9 pad_h uint64; 10 pad_w uint64; 11 kernel_h uint64; 12 kernel_w uint64;"
        "13 stride_h uint64; 14 stride_w uint64; 5 group uint64=1; 16 axis int64=1"
    ),
    "EltwiseParameter": "1 operation EltwiseOp=SUM; 2 coeff float*",
    "ELUParameter": "1 alpha float=1",
    "FlattenParameter": "1 axis int64=1; 2 end_axis int64=-1",
    "InnerProductParameter": "1 num_output uint64; 2 bias_term bool=true; 5 axis int64=1; 6 transpose bool=false",
    "LRNParameter": (
        "1 local_size uint64=5; 2 alpha float=1; 3 beta float=0.75; 4 norm_region NormRegion=ACROSS_CHANNELS;"
        "5 k float=1"
    ),
    "NormalizeParameter": "1 across_spatial bool=true; 3 channel_shared bool=true; 4 eps float=1e-10",
    "PermuteParameter": "1 order int64*",
    "PoolingParameter": (
        "1 pool PoolMethod=MAX; 4 pad uint64*; 9 pad_h uint64; 10 pad_w uint64; 2 kernel_size uint64*;"
        "5 kernel_h uint64; 6 kernel_w uint64; 3 stride uint64*; 7 stride_h uint64; 8 stride_w uint64;"
        "12 global_pooling bool=false"
    ),
    "PowerParameter": "1 power float=1; 2 scale float=1; 3 shift float=0",
    "PReLUParameter": "2 channel_shared bool=false",
    "ReLUParameter": "1 negative_slope float=0",
    "ReshapeParameter": "1 shape BlobShape; 2 axis int64=0; 3 num_axes int64=-1",
    "ScaleParameter": "1 axis int64=1; 2 num_axes int64=1; 4 bias_term bool=false",
    "SliceParameter": "3 axis int64=1; 2 slice_point uint64*; 1 slice_dim uint64=1",
    "SoftmaxParameter": "2 axis int64=1",
}

_FIELD = re.compile(r"(\d+) (\w+) (\w+)(\*?)(?:=(\S+))?")
_Proto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int64": _Proto.TYPE_INT64,
    "uint64": _Proto.TYPE_UINT64,
    "float": _Proto.TYPE_FLOAT,
    "bool": _Proto.TYPE_BOOL,
    "string": _Proto.TYPE_STRING,
}


def parse_binary(data: bytes, name: str) -> CaffeMessage:
    """Parses a .caffemodel to a NetParameter.

    Args:
        data: the file's bytes.
        name: the file's name in errors.

    Raises:
        GraphError: the bytes are not a NetParameter, or it has no layers.
    """
    net = net_parameter()()
    try:
        net.ParseFromString(data)
    except DecodeError as error:
        raise GraphError(
            f"{name} is not a .caffemodel, or is cut short: its bytes do not parse as Caffe's NetParameter."
        ) from error
    if not (net.layer or net.layers):
        raise GraphError(f"{name} has no layers: it is empty, or not a .caffemodel.")
    return net


def parse_text(data: bytes, name: str) -> CaffeMessage:
    """Parses a .prototxt to a NetParameter; unknown fields are ignored.

    Args:
        data: the file's bytes.
        name: the file's name in errors.

    Raises:
        GraphError: the text is not a NetParameter, or it has no layers.
    """
    net = net_parameter()()
    try:
        text_format.Parse(_decoded(data), net, allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GraphError(f"{name} is not a .prototxt that can be read: {reason}.") from error
    if not (net.layer or net.layers):
        raise GraphError(f"{name} has no layers: it does not define a network (the text of a solver does not, either).")
    return net


def _decoded(data: bytes) -> str:
    """Decodes the text of a definition.

    Caffe's own parser takes any bytes in comments and names. Bytes that are not UTF-8 become escapes, as in the names
    of a .caffemodel.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", _ESCAPED)


_ESCAPED = "lucid_port.caffe.escaped"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Replaces bytes that are not UTF-8 by text that protobuf reads as `\x..` in a quoted name."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(rf"\\x{byte:02x}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ESCAPED, _escaped)


@functools.cache
def net_parameter() -> type[Any]:
    """Returns the class of Caffe's NetParameter, through which all other messages are accessible."""
    file = descriptor_pb2.FileDescriptorProto(name="lucid_port/caffe.proto", package=PACKAGE, syntax="proto2")
    for name, values in ENUMS.items():
        # Each enum has its own message, because its names are in the scope that surrounds it, and two enums have a MAX.
        enum = file.message_type.add(name=f"{name}Scope").enum_type.add(name=name)
        for value in values.split():
            key, _, number = value.partition("=")
            enum.value.add(name=key, number=int(number))
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split(";"):
            _add_field(message, text.strip())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: type[Any] = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.NetParameter"))
    return found


def enum_name(message: CaffeMessage, field: str) -> str:
    """Returns the name of the value of an enum field."""
    number = getattr(message, field)
    return str(message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[number].name)


def _add_field(message: descriptor_pb2.DescriptorProto, text: str) -> None:
    match = _FIELD.fullmatch(text)
    if match is None:
        raise ValueError(f"Field {text!r} of the table cannot be parsed.")
    number, name, kind, repeated, default = match.groups()
    label = _Proto.LABEL_REPEATED if repeated else _Proto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=int(number), label=label)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    elif kind in ENUMS:
        field.type, field.type_name = _Proto.TYPE_ENUM, f".{PACKAGE}.{kind}Scope.{kind}"
    else:
        field.type, field.type_name = _Proto.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    if default is not None:
        field.default_value = default
