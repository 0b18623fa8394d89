"""NASNet-A and PNASNet-5, with TF-Slim's op names.

Zoph, Vasudevan, Shlens and Le, "Learning Transferable Architectures for Scalable Image Recognition" (2017), figures 2
and 4; Liu et al., "Progressive Neural Architecture Search" (2017), figure 1. A cell is a list of pairs of operations,
each on one of the states so far: 0 is the cell's input, 1 the input of the cell before, then the sums of the pairs.
"""

from __future__ import absolute_import, division, print_function

import collections

import tensorflow as tf
from scopes import CLASSES, batch_norm_scope, slim

Cell = collections.namedtuple("Cell", "pairs joined")
NASNET_NORMAL = Cell(
    ((("separable_5x5_2", 0), ("separable_3x3_2", 1)), (("separable_5x5_2", 1), ("separable_3x3_2", 1)),
     (("avg_pool_3x3", 0), ("none", 1)), (("avg_pool_3x3", 1), ("avg_pool_3x3", 1)),
     (("separable_3x3_2", 0), ("none", 0))),
    (1, 2, 3, 4, 5, 6))
NASNET_REDUCTION = Cell(
    ((("separable_5x5_2", 0), ("separable_7x7_2", 1)), (("max_pool_3x3", 0), ("separable_7x7_2", 1)),
     (("avg_pool_3x3", 0), ("separable_5x5_2", 1)), (("none", 3), ("avg_pool_3x3", 2)),
     (("separable_3x3_2", 2), ("max_pool_3x3", 0))),
    (3, 4, 5, 6))
PNASNET = Cell(
    ((("separable_5x5_2", 1), ("max_pool_3x3", 1)), (("separable_7x7_2", 0), ("max_pool_3x3", 0)),
     (("separable_5x5_2", 0), ("separable_3x3_2", 0)), (("separable_3x3_2", 4), ("max_pool_3x3", 0)),
     (("separable_3x3_2", 1), ("none", 0))),
    (2, 3, 4, 5, 6))


def channels_of(net):
    """Number of channels."""
    return net.shape[3].value


def linear(net, channels, stride, scope, norm):
    """A 1x1 convolution and batch norm, without an activation."""
    net = slim.conv2d(net, channels, 1, stride=stride, scope=scope)
    return slim.batch_norm(net, scope=norm)


def factorized_reduction(net, channels, scope):
    """Halves the map without losing information: every other position, and those shifted by one, half the channels each."""
    with tf.variable_scope(scope):
        first = tf.nn.avg_pool2d(net, [1, 1, 1, 1], [1, 2, 2, 1], "VALID", name="AvgPool2D")
        first = slim.conv2d(first, channels // 2, 1, scope="path1_conv")
        shifted = tf.pad(net, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1:, 1:, :]
        second = tf.nn.avg_pool2d(shifted, [1, 1, 1, 1], [1, 2, 2, 1], "VALID", name="AvgPool2D_1")
        second = slim.conv2d(second, channels - channels // 2, 1, scope="path2_conv")
        return slim.batch_norm(tf.concat([first, second], 3), scope="final_path_bn")


def separable(net, kernel, layers, channels, stride):
    """ReLU, separable convolution and batch norm, several times; the first with the stride."""
    for index in range(layers):
        size = "%dx%d_%d" % (kernel, kernel, index + 1)
        net = slim.separable_conv2d(tf.nn.relu(net), channels, kernel, depth_multiplier=1,
                                    stride=stride if index == 0 else 1, scope="separable_" + size)
        net = slim.batch_norm(net, scope="bn_sep_" + size)
    return net


def apply_operation(net, operation, channels, stride):
    """One operation of a pair: `separable_KxK_N`, `avg_pool_KxK`, `max_pool_KxK` or `none`."""
    words = operation.split("_")
    if words[0] == "separable":
        return separable(net, int(words[1][0]), int(words[2]), channels, stride)
    if operation == "none":
        if stride == 1 and channels_of(net) == channels:
            return net
        return linear(tf.nn.relu(net), channels, stride, "1x1", "bn_1")
    pool = {"avg": slim.avg_pool2d, "max": slim.max_pool2d}[words[0]]
    net = pool(net, int(words[2][0]), stride=stride, padding="SAME")
    return net if channels_of(net) == channels else linear(net, channels, 1, "1x1", "bn_1")


def build_cell(cell, net, previous, channels, stride, scope):
    """One cell; returns `scope/cell_output/concat`."""
    with tf.variable_scope(scope):
        states = [None, fit_previous(previous, net, channels)]
        states[0] = slim.batch_norm(slim.conv2d(tf.nn.relu(net), channels, 1, scope="1x1"), scope="beginning_bn")
        for index, pair in enumerate(cell.pairs):
            with tf.variable_scope("comb_iter_%d" % index):
                sides = []
                for side, (operation, state) in zip(("left", "right"), pair):
                    with tf.variable_scope(side):
                        sides.append(apply_operation(states[state], operation, channels, stride if state < 2 else 1))
                with tf.variable_scope("combine"):
                    states.append(sides[0] + sides[1])
        with tf.variable_scope("cell_output"):
            return tf.concat([states[index] for index in cell.joined], 3)


def fit_previous(previous, net, channels):
    """The output of the cell before the last, brought to the last one's size and this one's channels."""
    if previous is None:
        previous = net
    if previous.shape[2].value != net.shape[2].value:
        return factorized_reduction(tf.nn.relu(previous), channels, "reduce")
    if channels_of(previous) != channels:
        return linear(tf.nn.relu(previous), channels, 1, "prev_1x1", "prev_bn")
    return previous


def stem(images, cell, channels, multiplier):
    """A 3x3 convolution and two cells that halve the map; returns all outputs so far."""
    net = slim.conv2d(images, int(32 * multiplier), 3, stride=2, padding="VALID", scope="conv0")
    outputs = [None, slim.batch_norm(net, scope="conv0_bn")]
    for index, fraction in enumerate((0.25, 0.5)):
        outputs.append(build_cell(cell, outputs[-1], outputs[-2], int(channels * fraction), 2, "cell_stem_%d" % index))
    return outputs


def head(net):
    """ReLU, mean over all positions, a fully connected layer, softmax."""
    with tf.variable_scope("final_layer"):
        net = tf.reduce_mean(tf.nn.relu(net), [1, 2])
        logits = slim.fully_connected(net, CLASSES, activation_fn=None, scope="FC")
        return tf.nn.softmax(logits, name="predictions")


def plain_scope():
    """Convolutions without bias, batch norm or activation: cells add those where they want them."""
    return slim.arg_scope([slim.conv2d, slim.separable_conv2d], activation_fn=None, normalizer_fn=None,
                          biases_initializer=None)


def nasnet(images, channels, cells, stem_multiplier, skip):
    """NASNet-A.

    Args:
        images: batch.
        channels: number of channels of the first cells' operations; doubled at every reduction.
        cells: number of normal cells, in three equal parts with a reduction cell between.
        stem_multiplier: factor of the first convolution's 32 channels.
        skip: whether a normal cell after a reduction has the same second input as the reduction, not its first input.
    """
    with batch_norm_scope(tf.nn.relu, scale=True), plain_scope(), slim.arg_scope([slim.batch_norm], activation_fn=None):
        outputs = stem(images, NASNET_REDUCTION, channels, stem_multiplier)
        for index in range(cells):
            previous = outputs[-2]
            if index in (cells // 3, cells * 2 // 3):
                channels *= 2
                name = "reduction_cell_%d" % (index * 3 // cells - 1)
                outputs.append(build_cell(NASNET_REDUCTION, outputs[-1], outputs[-2], channels, 2, name))
            previous = previous if skip else outputs[-2]
            outputs.append(build_cell(NASNET_NORMAL, outputs[-1], previous, channels, 1, "cell_%d" % index))
        return head(outputs[-1])


def pnasnet(images, channels, cells, stem_multiplier):
    """PNASNet-5: one kind of cell, which also reduces; arguments as for `nasnet`."""
    with batch_norm_scope(tf.nn.relu, scale=True), plain_scope(), slim.arg_scope([slim.batch_norm], activation_fn=None):
        outputs = stem(images, PNASNET, channels, stem_multiplier)
        for index in range(cells):
            reduces = index in (cells // 3, cells * 2 // 3)
            channels *= 2 if reduces else 1
            outputs.append(
                build_cell(PNASNET, outputs[-1], outputs[-2], channels, 2 if reduces else 1, "cell_%d" % index)
            )
        return head(outputs[-1])
