"""Builds the stand-in networks in TensorFlow 1.15 and writes their structures: graphs without their large constants.

    python build.py FOLDER [NAME ...]

A structure is the frozen GraphDef, gzipped, in which a constant that was a variable has no values, but a string
attribute `_draws`: JSON of the arguments of `parity_tests/zoo/draws.py`'s `draw`, by which anyone makes it again.

Weights have He's variance. Batch norm has the statistics of its input: the graph is run once on one image, and each
batch norm's variance becomes the mean square of its input at that moment, so that activations keep their size through
any depth.
"""

from __future__ import absolute_import, division, print_function

import gzip
import importlib.util
import json
import math
import os
import re
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import script_ops

tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)

from registry import NETWORKS

DRAWS = os.path.join(HERE, "..", "..", "zoo", "draws.py")
FUSED = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
BALANCED_FROM = 16  # input channels; with fewer there is too little to balance


def load_draws():
    """The module `draws`, from beside the tests, which this script is not part of."""
    spec = importlib.util.spec_from_file_location("draws", DRAWS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


draws = load_draws()


def main(folder, names):
    """Writes the structures of the named networks, or of all."""
    for index, (name, network) in enumerate(NETWORKS.items()):
        if names and name not in names:
            continue
        frozen, variables, output = build(network)
        constants = describe(network, variables, first_seed=index * 10**6)
        calibrate(network, frozen, output, constants)
        if network.form:
            frozen, _, _ = build(network, network.form)
        if network.free:
            forget_size(frozen, network.input_name)
        write(os.path.join(folder, name + ".pb.gz"), strip(frozen, constants))
        values = sum(int(np.prod(shape)) for shape in variables.values())
        print("%s: %d nodes, %.1f M values" % (name, len(frozen.node), values / 1e6), flush=True)


# -- graphs -----------------------------------------------------------------------------------------------------------


def build(network, form=None):
    """Builds and freezes a network.

    Args:
        network: an entry of the registry.
        form: None, or one of `FORMS`.

    Returns:
        The frozen graph, the shape of every variable that it holds, and the last layer's name.
    """

    def zeros(getter, *args, **kwargs):
        kwargs["initializer"] = tf.zeros_initializer()  # all of them are drawn later
        return getter(*args, **kwargs)

    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session() as session:
        images = tf.compat.v1.placeholder(tf.float32, (None,) + network.size + (3,), network.input_name)
        with tf.compat.v1.variable_scope("", custom_getter=zeros):
            output = network.build(images, **(FORMS[form]() if form else {}))
        session.run(tf.compat.v1.global_variables_initializer())
        variables = {v.op.name: tuple(v.shape.as_list()) for v in tf.compat.v1.global_variables()}
        frozen = tf.compat.v1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), [output.op.name], sorted(variables)
        )
    kept = {node.name for node in frozen.node}
    return frozen, {name: shape for name, shape in variables.items() if name in kept}, output.op.name


def switched():
    """The predicate on which batch norm and dropout depend, left in the graph with its default."""
    return {"is_training": tf.compat.v1.placeholder_with_default(False, [], "is_training")}


def unfused():
    """Options for batch norm as single ops (Rsqrt, Mul, Sub, Add), as in graphs of older releases."""
    return {"fused": False}


# Other ways to freeze a network, and the builder's arguments for them.
FORMS = {"switched": switched, "unfused": unfused}


def forget_size(graph_def, name):
    """Makes a placeholder take images of any size."""
    for node in graph_def.node:
        if node.name == name:
            for axis in (1, 2):
                node.attr["shape"].shape.dim[axis].size = -1


def write(path, graph_def):
    """Writes a gzipped graph, the same bytes each time."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(graph_def.SerializeToString(deterministic=True))


def strip(graph_def, constants):
    """Returns the graph with `_draws` instead of the values of the described constants."""
    stripped = tf.compat.v1.GraphDef()
    stripped.CopyFrom(graph_def)
    for node in stripped.node:
        if node.name in constants and node.op == "Const":
            tensor = node.attr["value"].tensor
            tensor.ClearField("tensor_content")
            tensor.ClearField("float_val")
            node.attr["_draws"].s = json.dumps(constants[node.name], sort_keys=True).encode()
    return stripped


# -- constants --------------------------------------------------------------------------------------------------------


def rounded(value):
    """A number with four digits: enough for a scale, and its decimal text is the number."""
    return float("%.4g" % value)


def uniform(deviation, centre=0.0, balance=0.0):
    """Arguments of `draw` for a standard deviation."""
    width = deviation * draws.WIDTH_OF_DEVIATION / math.sqrt(1.0 + balance**2)
    return {"width": rounded(width), "centre": rounded(centre), "balance": balance}


def describe(network, variables, first_seed):
    """Arguments of `draw` for each variable; batch norm's statistics are set later, from its input."""
    constants = {}
    for number, (name, shape) in enumerate(sorted(variables.items())):
        gain = np.prod([factor for pattern, factor in network.gains if re.search(pattern, name)] or [1.0])
        constants[name] = dict(variable(name.split("/")[-1], shape, float(gain), network), seed=first_seed + number)
    return constants


def variable(kind, shape, gain, network):
    """Arguments of `draw` for a variable by its kind, shape and gain."""
    if kind == "depthwise_weights":  # read by a linear convolution, or by batch norm
        return uniform(gain / math.sqrt(shape[0] * shape[1]))
    if kind.endswith("weights"):
        inputs = int(np.prod(shape[:-1]))
        balance = network.balance if len(shape) == 4 and shape[2] >= BALANCED_FROM else 0.0
        return uniform(gain * math.sqrt(2.0 / inputs), balance=balance)
    if kind == "gamma":
        return uniform(0.2 * gain, gain)
    if kind == "beta":
        return uniform(0.3)
    if kind == "biases":
        return uniform(0.02 * max(map(abs, network.high)))
    if kind == "positional_embedding":
        return uniform(0.2)
    if kind in ("moving_mean", "moving_variance"):
        return uniform(0.1, 1.0)
    raise ValueError("No rule for a variable called %r." % kind)


def calibration_image(network):
    """Noise at four scales in the network's value range."""
    height, width = network.size
    random = np.random.RandomState(zlib.crc32(b"calibration") % 2**31)
    total = np.zeros((1, height, width, 3))
    for block in (1, 4, 16, 64):
        coarse = random.random_sample((1, -(-height // block), -(-width // block), 3))
        total += coarse.repeat(block, 1).repeat(block, 2)[:, :height, :width]
    low, high = np.array(network.low), np.array(network.high)
    return (total / 4 * (high - low) + low).astype(np.float32)


def calibrate(network, frozen, output, constants):
    """Sets the moving means and variances: one run, in which each batch norm looks at its input before it computes.

    Every batch norm is replaced by a Python function of its input that writes down the mean square, derives the
    statistics and returns what batch norm gives with them.
    """
    nodes = {node.name: node for node in frozen.node}
    graph_def = tf.compat.v1.GraphDef()
    graph_def.CopyFrom(frozen)
    kept = []  # the functions, which TensorFlow holds weakly
    for node in graph_def.node:
        if node.op in FUSED:
            kept.append(batch_norm(node, nodes, constants))
            token = script_ops._py_funcs.insert(kept[-1])
            inputs = list(node.input)[:1]
            node.op = "PyFunc"
            del node.input[:]
            node.input.extend(inputs)
            node.attr.clear()
            node.attr["token"].s = token.encode()
            node.attr["Tin"].list.type.append(tf.float32.as_datatype_enum)
            node.attr["Tout"].list.type.append(tf.float32.as_datatype_enum)
        elif node.name in constants:
            value = make(node.name, nodes, constants)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    if kept:
        graph = tf.Graph()
        with graph.as_default(), tf.compat.v1.Session() as session:
            tf.import_graph_def(shapeless(graph_def), name="")
            session.run(output + ":0", {network.input_name + ":0": calibration_image(network)})


def shapeless(graph_def):
    """The graph without the shapes that TensorFlow inferred, which a Python function's output does not have."""
    for node in graph_def.node:
        if "_output_shapes" in node.attr:
            del node.attr["_output_shapes"]
    return graph_def


def make(name, nodes, constants):
    """The values of a described constant."""
    shape = [dim.size for dim in nodes[name].attr["value"].tensor.tensor_shape.dim]
    return draws.draw(shape, **constants[name])


def source_of(name, nodes):
    """The Const behind a chain of Identity ops."""
    while nodes[name].op == "Identity":
        name = nodes[name].input[0]
    return name


def batch_norm(node, nodes, constants):
    """Returns the function that replaces one batch norm during the calibration."""
    names = [source_of(name, nodes) for name in list(node.input)[1:]]
    epsilon = node.attr["epsilon"].f

    def values(name):
        if name in constants:
            return make(name, nodes, constants)
        return tf.make_ndarray(nodes[name].attr["value"].tensor)

    def compute(x):
        square = float(np.mean(np.square(x, dtype=np.float64)))
        mean, variance = names[2:]
        constants[mean].update(uniform(0.2 * math.sqrt(square)))
        constants[variance].update(uniform(0.25 * square, square))
        gamma, beta, mean, variance = map(values, names)
        return ((x - mean) / np.sqrt(variance + epsilon) * gamma + beta).astype(np.float32)

    return compute


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python build.py FOLDER [NAME ...]")
    main(sys.argv[1], sys.argv[2:])
