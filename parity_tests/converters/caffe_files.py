"""Caffe's files for tests: written field by field from the numbers of caffe.proto, not with the reader's own table."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.frozen.graphdef import read_graph

# Field numbers of caffe.proto (github.com/BVLC/caffe): those needed to write the blobs of a layer.
NET_NAME, NET_LAYER_V1, NET_LAYER_V2 = 1, 2, 100
NAMES_V2 = {"name": 1, "type": 2, "bottom": 3, "top": 4, "blobs": 7}
NAMES_V1 = {"name": 4, "type": 5, "bottom": 2, "top": 3, "blobs": 6}
TYPES_V1 = {
    "Concat": 3, "Convolution": 4, "Data": 5, "Dropout": 6, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18,
    "Softmax": 20, "SoftmaxWithLoss": 21, "Split": 22, "Eltwise": 25,
}  # fmt: skip
PARAMETERS_V2 = {
    "batch_norm_param": 139, "concat_param": 104, "convolution_param": 106, "eltwise_param": 110,
    "inner_product_param": 117, "lrn_param": 118, "norm_param": 206, "permute_param": 202, "pooling_param": 121,
    "bias_param": 141, "scale_param": 142, "transform_param": 100,
}  # fmt: skip
PARAMETERS_V1 = {
    "concat_param": 9, "convolution_param": 10, "eltwise_param": 24, "inner_product_param": 17, "lrn_param": 18,
    "pooling_param": 19, "transform_param": 36,
}  # fmt: skip
SETTINGS = {
    "batch_norm_param": {"use_global_stats": 1, "eps": 3},
    "concat_param": {"axis": 2},
    "convolution_param": {
        "num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6, "dilation": 18,
    },
    "eltwise_param": {"operation": 1, "coeff": 2},
    "inner_product_param": {"num_output": 1, "bias_term": 2},
    "lrn_param": {"local_size": 1, "alpha": 2, "beta": 3, "k": 5},
    "pooling_param": {
        "pool": 1, "kernel_size": 2, "stride": 3, "pad": 4, "kernel_h": 5, "kernel_w": 6, "stride_h": 7, "stride_w": 8,
        "pad_h": 9, "pad_w": 10, "global_pooling": 12,
    },
    "norm_param": {"across_spatial": 1, "channel_shared": 3, "eps": 4},
    "permute_param": {"order": 1},
    "bias_param": {"axis": 1},
    "scale_param": {"axis": 1, "bias_term": 4},
    "transform_param": {"crop_size": 3},
}  # fmt: skip
ENUMS = {"MAX": 0, "AVE": 1, "PROD": 0, "SUM": 1}
ELTWISE_MAX = 2


@dataclass(frozen=True)
class CaffeLayer:
    """One layer, to be written in any form."""

    name: str
    type: str
    bottoms: Sequence[str]
    tops: Sequence[str]
    parameter: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    blobs: Sequence[np.ndarray] = ()


def caffemodel(layers: Sequence[CaffeLayer], form: int = 2) -> bytes:
    """A NetParameter with weights, in the old form (1) or the new one (2), whose blobs differ, too."""
    names, net = (NAMES_V1, NET_LAYER_V1) if form == 1 else (NAMES_V2, NET_LAYER_V2)
    return _text(NET_NAME, "net") + b"".join(_message(net, _layer(layer, names, form)) for layer in layers)


def prototxt(layers: Sequence[CaffeLayer], shape: Sequence[int] = (), form: int = 2) -> bytes:
    """The same layers as text, without weights; an input `data` of a (batch, channels, height, width) before them."""
    lines = ['name: "net"', *(['input: "data"'] if shape else []), *(f"input_dim: {size}" for size in shape)]
    for layer in layers:
        kind = f'"{layer.type}"' if form == 2 else _old_name(layer.type)
        lines += ["layer {" if form == 2 else "layers {", f'  name: "{layer.name}"', f"  type: {kind}"]
        lines += [f'  bottom: "{name}"' for name in layer.bottoms] + [f'  top: "{name}"' for name in layer.tops]
        settings = (f"{key}: {value}" for key, value in layer.settings.items())
        lines += [f"  {layer.parameter} {{ {' '.join(settings)} }}"] if layer.parameter else []
        lines.append("}")
    return "\n".join(lines).encode()


def _old_name(kind: str) -> str:
    old = {"InnerProduct": "INNER_PRODUCT", "SoftmaxWithLoss": "SOFTMAX_LOSS"}
    return old.get(kind, kind.upper())


def _layer(layer: CaffeLayer, names: Mapping[str, int], form: int) -> bytes:
    kind = _text(names["type"], layer.type) if form == 2 else _number(names["type"], TYPES_V1[layer.type])
    parts = [_text(names["name"], layer.name), kind]
    parts += [_text(names["bottom"], name) for name in layer.bottoms] + [_text(names["top"], t) for t in layer.tops]
    parts += [_message(names["blobs"], _blob(blob, form)) for blob in layer.blobs]
    if layer.parameter:
        number = (PARAMETERS_V2 if form == 2 else PARAMETERS_V1)[layer.parameter]
        parts.append(_message(number, _settings(layer)))
    return b"".join(parts)


def _settings(layer: CaffeLayer) -> bytes:
    parts = []
    for key, value in layer.settings.items():
        number = SETTINGS[layer.parameter][key]
        if isinstance(value, float):
            parts.append(_varint(number << 3 | 5) + struct.pack("<f", value))
        elif isinstance(value, str) and value == "MAX" and layer.parameter == "eltwise_param":
            parts.append(_number(number, ELTWISE_MAX))
        else:
            parts.append(
                _number(number, ENUMS[value] if isinstance(value, str) and value in ENUMS else _plain(value) % 2**64)
            )
    return b"".join(parts)


def _plain(value: object) -> int:
    return {"true": 1, "false": 0}.get(value, value) if isinstance(value, (str, int)) else int(str(value))


def _blob(values: np.ndarray, form: int) -> bytes:
    """Packed numbers (field 5), with four sizes (fields 1 to 4) in the old form and a BlobShape (7) in the new one."""
    if form == 1:
        sizes = (1,) * (4 - values.ndim) + values.shape
        shape = b"".join(_number(number, size) for number, size in enumerate(sizes, 1))
    else:
        shape = _message(7, _message(1, b"".join(_varint(size) for size in values.shape)))
    return shape + _message(5, values.astype("<f4").tobytes())


def _message(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode())


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


# -- GoogLeNet --------------------------------------------------------------------------------------------------------

# Outputs of an inception module: 1x1; 3x3 and its reduction; 5x5 and its reduction; the projection behind the pool
# (Szegedy et al. 2014, table 1).
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class _GoogLeNet:
    """BVLC's GoogLeNet as Caffe defines it, with the weights of a frozen graph."""

    def __init__(self, constants: Mapping[str, np.ndarray]) -> None:
        self.constants = constants
        self.layers: list[CaffeLayer] = []

    def add(self, name: str, kind: str, bottoms: Sequence[str], parameter: str = "", **settings: object) -> str:
        self.layers.append(CaffeLayer(name, kind, bottoms, [name], parameter, settings))
        return name

    def conv(self, name: str, bottom: str, features: int, size: int, pad: int = 0, stride: int = 1) -> str:
        settings = {"num_output": features, "pad": pad, "kernel_size": size, "stride": stride}
        weights, biases = (self.constants[f"{name.replace('/', '_')}/{kind}"] for kind in ("weights", "biases"))
        blobs = (weights.transpose(3, 2, 0, 1), biases)
        self.layers.append(CaffeLayer(name, "Convolution", [bottom], [name], "convolution_param", settings, blobs))
        place, _, last = name.rpartition("/")
        self.layers.append(CaffeLayer(f"{place}/relu_{last}", "ReLU", [name], [name]))
        return name

    def pool(self, name: str, bottom: str, kind: str, size: int, stride: int, pad: int = 0) -> str:
        return self.add(name, "Pooling", [bottom], "pooling_param", pool=kind, kernel_size=size, stride=stride, pad=pad)

    def norm(self, name: str, bottom: str) -> str:
        return self.add(name, "LRN", [bottom], "lrn_param", local_size=5, alpha=0.0001, beta=0.75)

    def inception(self, name: str, x: str, outputs: Sequence[int]) -> str:
        one, reduce3, three, reduce5, five, projected = outputs
        place = f"inception_{name}"
        towers = [
            self.conv(f"{place}/1x1", x, one, 1),
            self.conv(f"{place}/3x3", self.conv(f"{place}/3x3_reduce", x, reduce3, 1), three, 3, pad=1),
            self.conv(f"{place}/5x5", self.conv(f"{place}/5x5_reduce", x, reduce5, 1), five, 5, pad=2),
            self.conv(f"{place}/pool_proj", self.pool(f"{place}/pool", x, "MAX", 3, 1, pad=1), projected, 1),
        ]
        return self.add(f"{place}/output", "Concat", towers)

    def classifier(self, name: str, x: str) -> str:
        weights, biases = (self.constants[f"{name.replace('/', '_')}/{kind}"] for kind in ("weights", "biases"))
        settings = {"num_output": len(biases)}
        self.layers.append(
            CaffeLayer(name, "InnerProduct", [x], [name], "inner_product_param", settings, (weights.T, biases))
        )
        return name


def googlenet(graph_path: str) -> list[CaffeLayer]:
    """The layers of BVLC's deploy.prototxt, with the weights of InceptionV1_caffe.pb."""
    graph = read_graph(graph_path)
    net = _GoogLeNet({name: node.constant() for name, node in graph.nodes.items() if node.constant is not None})
    x = net.pool("pool1/3x3_s2", net.conv("conv1/7x7_s2", "data", 64, 7, pad=3, stride=2), "MAX", 3, 2)
    x = net.conv("conv2/3x3_reduce", net.norm("pool1/norm1", x), 64, 1)
    x = net.pool("pool2/3x3_s2", net.norm("conv2/norm2", net.conv("conv2/3x3", x, 192, 3, pad=1)), "MAX", 3, 2)
    for name, outputs in INCEPTIONS.items():
        x = net.inception(name, x, outputs)
        if name in ("3b", "4e"):
            x = net.pool(f"pool{int(name[0])}/3x3_s2", x, "MAX", 3, 2)
    x = net.pool("pool5/7x7_s1", x, "AVE", 7, 1)
    net.layers.append(CaffeLayer("pool5/drop_7x7_s1", "Dropout", [x], [x]))
    net.add("prob", "Softmax", [net.classifier("loss3/classifier", x)])
    return net.layers
