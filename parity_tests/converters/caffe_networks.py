"""Small Caffe networks with seeded weights, their models, and a reference convolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

import converters
from converters.caffe import from_caffe
from parity_tests.converters.caffe_files import CaffeLayer, caffemodel, prototxt

RANDOM = np.random.RandomState(0)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def layer(
    name: str, kind: str, *bottoms: str, top: str = "", blobs: Sequence[np.ndarray] = (), **settings
) -> CaffeLayer:
    """A layer of one top; `parameter` among the settings names their message."""
    parameter = settings.pop("parameter", "")
    return CaffeLayer(name, kind, bottoms, [top or name], parameter, settings, blobs)


def convolution(name: str, bottom: str, inputs: int, outputs: int, size: int, **settings) -> CaffeLayer:
    blobs = [floats(outputs, inputs // settings.get("group", 1), size, size)]
    blobs += [floats(outputs)] if settings.get("bias_term") != "false" else []
    chosen = {"num_output": outputs, "kernel_size": size, **settings}
    return layer(name, "Convolution", bottom, blobs=blobs, parameter="convolution_param", **chosen)


def pooling(name: str, bottom: str, **settings) -> CaffeLayer:
    return layer(name, "Pooling", bottom, parameter="pooling_param", **settings)


def dense(name: str, bottom: str, inputs: int, outputs: int) -> CaffeLayer:
    blobs = [floats(outputs, inputs), floats(outputs)]
    return layer(name, "InnerProduct", bottom, blobs=blobs, parameter="inner_product_param", num_output=outputs)


def loss(name: str, bottom: str) -> CaffeLayer:
    return CaffeLayer(name, "SoftmaxWithLoss", [bottom, "label"], [name])


def model_of(layers: Sequence[CaffeLayer], size: Sequence[int] = (9, 12), channels: int = 3, **options):
    """The model of some layers behind an input `data`."""
    return from_caffe(caffemodel(layers), prototxt(layers, (1, channels, *size)), **options)


def values(model, x: np.ndarray, name: str) -> np.ndarray:
    return model.activations(torch.from_numpy(x), [name])[name].numpy()


def convolved(
    x: np.ndarray, blobs: Sequence[np.ndarray], stride: int, pad: int, dilation: int, groups: int
) -> np.ndarray:
    """Caffe's convolution: padded alike on all sides, rounded down."""
    kernel, bias = blobs
    size = kernel.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    extent = (size - 1) * dilation + 1
    height, width = ((n - extent) // stride + 1 for n in padded.shape[2:])
    made = np.zeros((len(x), len(kernel), height, width))
    for row in range(height):
        for column in range(width):
            top, left = row * stride, column * stride
            part = padded[:, :, top : top + extent : dilation, left : left + extent : dilation]
            for group, filters in enumerate(np.split(kernel, groups)):
                channels = np.split(part, groups, axis=1)[group]
                place = slice(group * len(filters), (group + 1) * len(filters))
                made[:, place, row, column] = np.einsum("nchw,fchw->nf", channels, filters)
    return made + bias[:, None, None]


SMALL = [convolution("conv", "data", 3, 2, 3, pad=1), layer("relu", "ReLU", "conv", top="conv")]
TEXT = prototxt(SMALL, (1, 3, 8, 8))


def refused(data: object, text: object, *words: str, **options) -> str:
    """Checks that files raise an error with all of these words, and returns its message."""
    with pytest.raises(converters.ConverterError) as caught:
        from_caffe(data, text, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 500
    for word in words:
        assert word in sentence
    return sentence


def refuses(net: Sequence[CaffeLayer], *words: str, size: Sequence[int] = (8, 8), **options) -> str:
    return refused(caffemodel(net), prototxt(net, (1, 3, *size)), *words, **options)
