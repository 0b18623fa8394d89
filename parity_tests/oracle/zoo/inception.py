"""Inception-v4 and Inception-ResNet-v2, with TF-Slim's op names.

Szegedy, Ioffe, Vanhoucke and Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning" (2016), figures 3 to 19; the widths of Inception-ResNet-v2 are those of the released checkpoint.
"""

from __future__ import absolute_import, division, print_function

import tensorflow as tf
from scopes import CLASSES, base_scope, batch_norm_scope, branches, chain, slim

VALID2 = {"stride": 2, "padding": "VALID"}
VALID = {"padding": "VALID"}


def convs(*convolutions):
    """A tower of convolutions."""
    return lambda net: chain(net, convolutions)


def pooled(*convolutions):
    """A tower of an average pool and convolutions."""
    return lambda net: chain(slim.avg_pool2d(net, 3, 1, "SAME", scope="AvgPool_0a_3x3"), convolutions)


def max_pooled(name):
    """A tower of a max pool that halves the map."""
    return lambda net: slim.max_pool2d(net, 3, 2, "VALID", scope=name)


def split_end(names, *convolutions):
    """A tower that ends in a 1x3 and a 3x1 convolution side by side."""

    def tower(net):
        net = chain(net, convolutions)
        wide = slim.conv2d(net, 256, [1, 3], scope=names[0])
        return tf.concat([wide, slim.conv2d(net, 256, [3, 1], scope=names[1])], 3)

    return tower


def head(net, pool_name, dense_name):
    """Global average pool, one fully connected layer, softmax; in the scope `Logits` of the network."""
    with tf.variable_scope("Logits"):
        net = slim.avg_pool2d(net, net.shape[1:3].as_list(), padding="VALID", scope=pool_name)
        net = slim.flatten(net, scope="PreLogitsFlatten")
        logits = slim.fully_connected(net, CLASSES, activation_fn=None, scope=dense_name)
        return tf.nn.softmax(logits, name="Predictions")


def inception_v4(images):
    """Inception-v4; returns its softmax."""
    with base_scope("InceptionV4") as outer, batch_norm_scope(tf.nn.relu):
        net = chain(images, [("Conv2d_1a_3x3", 32, 3, VALID2), ("Conv2d_2a_3x3", 32, 3, VALID), ("Conv2d_2b_3x3", 64, 3)])
        net = branches(net, "Mixed_3a", max_pooled("MaxPool_0a_3x3"), convs(("Conv2d_0a_3x3", 96, 3, VALID2)))
        net = branches(
            net, "Mixed_4a",
            convs(("Conv2d_0a_1x1", 64, 1), ("Conv2d_1a_3x3", 96, 3, VALID)),
            convs(("Conv2d_0a_1x1", 64, 1), ("Conv2d_0b_1x7", 64, [1, 7]), ("Conv2d_0c_7x1", 64, [7, 1]),
                  ("Conv2d_1a_3x3", 96, 3, VALID)))
        net = branches(net, "Mixed_5a", convs(("Conv2d_1a_3x3", 192, 3, VALID2)), max_pooled("MaxPool_1a_3x3"))
        for letter in "bcde":
            net = branches(
                net, "Mixed_5" + letter,
                convs(("Conv2d_0a_1x1", 96, 1)),
                convs(("Conv2d_0a_1x1", 64, 1), ("Conv2d_0b_3x3", 96, 3)),
                convs(("Conv2d_0a_1x1", 64, 1), ("Conv2d_0b_3x3", 96, 3), ("Conv2d_0c_3x3", 96, 3)),
                pooled(("Conv2d_0b_1x1", 96, 1)))
        net = branches(
            net, "Mixed_6a",
            convs(("Conv2d_1a_3x3", 384, 3, VALID2)),
            convs(("Conv2d_0a_1x1", 192, 1), ("Conv2d_0b_3x3", 224, 3), ("Conv2d_1a_3x3", 256, 3, VALID2)),
            max_pooled("MaxPool_1a_3x3"))
        for letter in "bcdefgh":
            net = branches(
                net, "Mixed_6" + letter,
                convs(("Conv2d_0a_1x1", 384, 1)),
                convs(("Conv2d_0a_1x1", 192, 1), ("Conv2d_0b_1x7", 224, [1, 7]), ("Conv2d_0c_7x1", 256, [7, 1])),
                convs(("Conv2d_0a_1x1", 192, 1), ("Conv2d_0b_7x1", 192, [7, 1]), ("Conv2d_0c_1x7", 224, [1, 7]),
                      ("Conv2d_0d_7x1", 224, [7, 1]), ("Conv2d_0e_1x7", 256, [1, 7])),
                pooled(("Conv2d_0b_1x1", 128, 1)))
        net = branches(
            net, "Mixed_7a",
            convs(("Conv2d_0a_1x1", 192, 1), ("Conv2d_1a_3x3", 192, 3, VALID2)),
            convs(("Conv2d_0a_1x1", 256, 1), ("Conv2d_0b_1x7", 256, [1, 7]), ("Conv2d_0c_7x1", 320, [7, 1]),
                  ("Conv2d_1a_3x3", 320, 3, VALID2)),
            max_pooled("MaxPool_1a_3x3"))
        for letter in "bcd":
            net = branches(
                net, "Mixed_7" + letter,
                convs(("Conv2d_0a_1x1", 256, 1)),
                split_end(("Conv2d_0b_1x3", "Conv2d_0c_3x1"), ("Conv2d_0a_1x1", 384, 1)),
                split_end(("Conv2d_0d_1x3", "Conv2d_0e_3x1"), ("Conv2d_0a_1x1", 384, 1),
                          ("Conv2d_0b_3x1", 448, [3, 1]), ("Conv2d_0c_1x3", 512, [1, 3])),
                pooled(("Conv2d_0b_1x1", 256, 1)))
    with tf.variable_scope(outer, auxiliary_name_scope=False), tf.name_scope(outer.original_name_scope):
        return head(net, "AvgPool_1a", "Logits")


def residual(towers, scale, activation=tf.nn.relu):
    """A residual block: towers, a linear 1x1 convolution back to the block's channels, and a scaled sum.

    Args:
        towers: functions of the block's input.
        scale: factor of the residual.
        activation: activation of the sum, or None.
    """

    def block(net, scope):
        with tf.variable_scope(scope, "Block", [net]):
            outputs = []
            for index, tower in enumerate(towers):
                with tf.variable_scope("Branch_%d" % index):
                    outputs.append(tower(net))
            joined = tf.concat(outputs, 3)
            up = slim.conv2d(joined, net.shape[3].value, 1, activation_fn=None, normalizer_fn=None, scope="Conv2d_1x1")
            net = net + up * scale
            return activation(net) if activation else net

    return block


def inception_resnet_v2(images):
    """Inception-ResNet-v2; returns its softmax."""
    block35 = (convs(("Conv2d_1x1", 32, 1)),
               convs(("Conv2d_0a_1x1", 32, 1), ("Conv2d_0b_3x3", 32, 3)),
               convs(("Conv2d_0a_1x1", 32, 1), ("Conv2d_0b_3x3", 48, 3), ("Conv2d_0c_3x3", 64, 3)))
    block17 = (convs(("Conv2d_1x1", 192, 1)),
               convs(("Conv2d_0a_1x1", 128, 1), ("Conv2d_0b_1x7", 160, [1, 7]), ("Conv2d_0c_7x1", 192, [7, 1])))
    block8 = (convs(("Conv2d_1x1", 192, 1)),
              convs(("Conv2d_0a_1x1", 192, 1), ("Conv2d_0b_1x3", 224, [1, 3]), ("Conv2d_0c_3x1", 256, [3, 1])))
    with base_scope("InceptionResnetV2") as outer, batch_norm_scope(tf.nn.relu):
        net = chain(images, [("Conv2d_1a_3x3", 32, 3, VALID2), ("Conv2d_2a_3x3", 32, 3, VALID), ("Conv2d_2b_3x3", 64, 3)])
        net = slim.max_pool2d(net, 3, 2, "VALID", scope="MaxPool_3a_3x3")
        net = chain(net, [("Conv2d_3b_1x1", 80, 1, VALID), ("Conv2d_4a_3x3", 192, 3, VALID)])
        net = slim.max_pool2d(net, 3, 2, "VALID", scope="MaxPool_5a_3x3")
        net = branches(
            net, "Mixed_5b",
            convs(("Conv2d_1x1", 96, 1)),
            convs(("Conv2d_0a_1x1", 48, 1), ("Conv2d_0b_5x5", 64, 5)),
            convs(("Conv2d_0a_1x1", 64, 1), ("Conv2d_0b_3x3", 96, 3), ("Conv2d_0c_3x3", 96, 3)),
            pooled(("Conv2d_0b_1x1", 64, 1)))
        net = repeat(net, "Repeat", "block35", 10, residual(block35, 0.17))
        net = branches(
            net, "Mixed_6a",
            convs(("Conv2d_1a_3x3", 384, 3, VALID2)),
            convs(("Conv2d_0a_1x1", 256, 1), ("Conv2d_0b_3x3", 256, 3), ("Conv2d_1a_3x3", 384, 3, VALID2)),
            max_pooled("MaxPool_1a_3x3"))
        net = repeat(net, "Repeat_1", "block17", 20, residual(block17, 0.10))
        net = branches(
            net, "Mixed_7a",
            convs(("Conv2d_0a_1x1", 256, 1), ("Conv2d_1a_3x3", 384, 3, VALID2)),
            convs(("Conv2d_0a_1x1", 256, 1), ("Conv2d_1a_3x3", 288, 3, VALID2)),
            convs(("Conv2d_0a_1x1", 256, 1), ("Conv2d_0b_3x3", 288, 3), ("Conv2d_1a_3x3", 320, 3, VALID2)),
            max_pooled("MaxPool_1a_3x3"))
        net = repeat(net, "Repeat_2", "block8", 9, residual(block8, 0.20))
        net = residual(block8, 1.0, activation=None)(net, "Block8")
        net = slim.conv2d(net, 1536, 1, scope="Conv2d_7b_1x1")
    with tf.variable_scope(outer, auxiliary_name_scope=False), tf.name_scope(outer.original_name_scope):
        return head(net, "AvgPool_1a_8x8", "Logits")


def repeat(net, scope, name, count, block):
    """A block several times over, as `scope/name_1`, `scope/name_2`, ..."""
    with tf.variable_scope(scope):
        for index in range(count):
            net = block(net, "%s_%d" % (name, index + 1))
    return net
