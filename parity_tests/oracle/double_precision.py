"""Computes renders in float64: the frozen graph, and the Fourier transform of the image.

The graph keeps the names, inputs and outputs of the float32 one: every float op `X` becomes `X` + SUFFIX in float64, followed by a cast to float32 named `X`, so that
Lucid and its objectives read it as before, and gradients flow in float64. The difference between a float32 gradient
and this one is TensorFlow's own rounding.
"""

from __future__ import absolute_import, division, print_function

import contextlib
from unittest import mock

import numpy as np
import tensorflow as tf

SUFFIX = "/float64"
FLOAT, DOUBLE = tf.float32.as_datatype_enum, tf.float64.as_datatype_enum


def _double_source(name, floats):
    node, _, output = name.partition(":")
    return name if node not in floats else node + SUFFIX + (":" + output if output else "")


def _constant(name, value):
    node = tf.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return node


def _op(name, op, inputs, **attributes):
    node = tf.NodeDef(name=name, op=op, input=inputs)
    node.attr["T"].type = DOUBLE
    for key, value in attributes.items():
        node.attr[key].CopyFrom(value)
    return node


def _cast(name, source, from_type, to_type):
    node = tf.NodeDef(name=name, op="Cast", input=[source])
    node.attr["SrcT"].type, node.attr["DstT"].type = from_type, to_type
    return node


def _local_response_norm(node, name, source, channels):
    """LRN, which TensorFlow has in float32 only, from its parts: x * (bias + band * x^2) ** -beta."""
    index = np.arange(channels)
    near = np.abs(index[:, None] - index[None, :]) <= node.attr["depth_radius"].i
    band = (near * np.float64(node.attr["alpha"].f))[None, None]
    strides = tf.AttrValue(list=tf.AttrValue.ListValue(i=[1, 1, 1, 1]))
    return [
        _constant(name + "/band", band),
        _constant(name + "/bias", np.float64(node.attr["bias"].f)),
        _constant(name + "/power", -np.float64(node.attr["beta"].f)),
        _op(name + "/square", "Square", [source]),
        _op(name + "/sums", "Conv2D", [name + "/square", name + "/band"],
            strides=strides, padding=tf.AttrValue(s=b"SAME")),
        _op(name + "/biased", "Add", [name + "/sums", name + "/bias"]),
        _op(name + "/scale", "Pow", [name + "/biased", name + "/power"]),
        _op(name, "Mul", [source, name + "/scale"]),
    ]


def _is_float(node):
    return any(node.attr[key].type == FLOAT for key in ("T", "dtype") if key in node.attr)


def in_double_precision(graph_def, channels):
    """The float64 graph.

    Args:
        graph_def: a frozen float32 GraphDef.
        channels: name of each LRN -> number of its channels.
    """
    floats = {node.name for node in graph_def.node if _is_float(node)}
    result = tf.GraphDef(versions=graph_def.versions)
    for node in graph_def.node:
        if node.name not in floats:
            result.node.add().CopyFrom(node)
            continue
        name = node.name + SUFFIX
        sources = [_double_source(source, floats) for source in node.input]
        if node.op == "Placeholder":
            result.node.extend([node, _cast(name, node.name, FLOAT, DOUBLE)])
            continue
        if node.op == "Const":
            result.node.extend([_constant(name, tf.make_ndarray(node.attr["value"].tensor).astype(np.float64))])
        elif node.op == "LRN":
            result.node.extend(_local_response_norm(node, name, sources[0], channels[node.name]))
        else:
            twin = tf.NodeDef()
            twin.CopyFrom(node)
            twin.name = name
            del twin.input[:]
            twin.input.extend(sources)
            for key in ("T", "dtype"):
                if key in twin.attr and twin.attr[key].type == FLOAT:
                    twin.attr[key].type = DOUBLE
            result.node.extend([twin])
        result.node.extend([_cast(node.name, name, DOUBLE, FLOAT)])
    return result


def lrn_channels(graph_def):
    """Number of channels of each LRN, from TensorFlow's own shape inference."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        return {op.name: op.outputs[0].shape[-1].value for op in graph.get_operations() if op.type == "LRN"}


def _fourier(size, frequencies):
    angles = 2 * np.pi * np.outer(np.arange(size), np.arange(frequencies)) / size
    return tf.constant(np.cos(angles)), tf.constant(np.sin(angles))


def irfft2d(spectrum, name=None):
    """`tf.signal.irfft2d` by its definition, because TensorFlow's transform supports float32 only.

    Its rounding matters: of lengths that are no power of 2, TensorFlow's gradient is wrong by some 2e-6 of the
    largest coefficient, most of it in the last row.
    """
    height, half = spectrum.shape.as_list()[-2:]
    width = 2 * (half - 1)
    real, imaginary = (tf.cast(part(spectrum), tf.float64) for part in (tf.math.real, tf.math.imag))
    cos, sin = _fourier(height, height)
    rows_real = _along_rows(real, cos) - _along_rows(imaginary, sin)
    rows_imaginary = _along_rows(real, sin) + _along_rows(imaginary, cos)
    weights = np.r_[1.0, np.full(half - 2, 2.0), 1.0] / (height * width)
    cos, sin = _fourier(width, half)
    image = _along_rows(rows_real, cos * weights) - _along_rows(rows_imaginary, sin * weights)
    return tf.cast(image, tf.float32)


def _along_rows(values, matrix):
    """Multiplies the last axis but one by a matrix; the new axis comes last."""
    return tf.tensordot(values, matrix, [[values.shape.ndims - 2], [1]])


def _linspace(start, stop, num, name=None):
    """`tf.linspace`, the values of float32 in float64: with its coordinates, a CPPN computes in float64."""
    return tf.cast(_float32_linspace(start, stop, num), tf.float64)


_float32_linspace = tf.linspace


@contextlib.contextmanager
def parameterizations_in_double_precision():
    """Lucid's `fft_image` and `cppn` compute in float64; the latter gives a float64 image."""
    with mock.patch.object(tf.signal, "irfft2d", irfft2d), mock.patch.object(tf, "linspace", _linspace):
        yield
