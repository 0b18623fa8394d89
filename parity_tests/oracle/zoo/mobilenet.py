"""MobileNet v1 and v2, with TF-Slim's op names.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications" (2017), table 1;
Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 2.
"""

from __future__ import absolute_import, division, print_function

import tensorflow as tf
from scopes import CLASSES, base_scope, batch_norm_scope, slim

V1_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)) + ((512, 1),) * 5 + ((1024, 2), (1024, 1))
# Expansion, channels, repetitions, stride of the first.
V2_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def depthwise(net, stride, scope):
    """A 3x3 depthwise convolution, batch norm and ReLU6."""
    return slim.separable_conv2d(net, None, 3, depth_multiplier=1, stride=stride, scope=scope)


def head(net, is_training, dropout):
    """Global average pool, a 1x1 convolution as classifier, softmax; in the network's own scope."""
    with tf.variable_scope("Logits"):
        net = slim.avg_pool2d(net, net.shape[1:3].as_list(), padding="VALID", scope="AvgPool_1a")
        if dropout:
            net = slim.dropout(net, 0.999, is_training=is_training, scope="Dropout_1b")
        net = slim.conv2d(net, CLASSES, 1, activation_fn=None, normalizer_fn=None, scope="Conv2d_1c_1x1")
        logits = tf.squeeze(net, [1, 2], name="SpatialSqueeze")
    return slim.softmax(logits, scope="Predictions")


def mobilenet_v1(images, multiplier=1.0, is_training=False, fused=True):
    """MobileNet v1.

    Args:
        images: batch.
        multiplier: factor of all numbers of channels, which are at least 8.
        is_training: False, or a boolean tensor, with which both kinds of batch norm and the dropout stay in the graph.
        fused: whether a batch norm is one op.
    """
    width = lambda channels: max(int(channels * multiplier), 8)  # noqa: E731
    norm = batch_norm_scope(tf.nn.relu6, scale=True, is_training=is_training, fused=fused)
    with base_scope("MobilenetV1") as outer, norm:
        net = slim.conv2d(images, width(32), 3, stride=2, scope="Conv2d_0")
        for index, (channels, stride) in enumerate(V1_BLOCKS, 1):
            net = depthwise(net, stride, "Conv2d_%d_depthwise" % index)
            net = slim.conv2d(net, width(channels), 1, scope="Conv2d_%d_pointwise" % index)
    with tf.variable_scope(outer, auxiliary_name_scope=False), tf.name_scope(outer.original_name_scope):
        return head(net, is_training, dropout=is_training is not False)


def divisible(channels, by=8):
    """The multiple of `by` nearest to a number of channels, but at least 90 % of it (Sandler's rule)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def mobilenet_v2(images, multiplier=1.0):
    """MobileNet v2; `multiplier` on all channels."""
    width = lambda channels: divisible(channels * multiplier)  # noqa: E731
    with tf.variable_scope("MobilenetV2"), batch_norm_scope(tf.nn.relu6, scale=True):
        net = slim.conv2d(images, width(32), 3, stride=2, scope="Conv")
        count = 0
        for expansion, channels, repetitions, first in V2_BLOCKS:
            for index in range(repetitions):
                scope = "expanded_conv_%d" % count if count else "expanded_conv"
                net = inverted_residual(net, expansion, width(channels), first if index == 0 else 1, scope)
                count += 1
        net = slim.conv2d(net, max(1280, width(1280)), 1, scope="Conv_1")
        return head(net, False, dropout=False)


def inverted_residual(net, expansion, channels, stride, scope):
    """Expand, filter by depth, project linearly; added to the input where the shapes agree."""
    with tf.variable_scope(scope):
        inputs = tf.identity(net, name="input")
        net = inputs
        if expansion > 1:
            net = slim.conv2d(net, expansion * net.shape[3].value, 1, scope="expand")
        net = depthwise(net, stride, "depthwise")
        net = slim.conv2d(net, channels, 1, activation_fn=tf.identity, scope="project")
        if stride == 1 and channels == inputs.shape[3].value:
            net = tf.add(net, inputs, name="add")
        return tf.identity(net, name="output")
