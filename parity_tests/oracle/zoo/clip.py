"""CLIP's image encoder ResNet-50x4.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021), section 2.4 and
appendix F: a ResNet-50 with a stem of three convolutions, blur pooling by averages before strided convolutions, and
attention instead of the last pool; scaled to 80 channels, (4, 6, 10, 6) blocks, 288 pixels and 640 outputs. Lucid
lists no layers for it, so all names here are this project's own.
"""

from __future__ import absolute_import, division, print_function

import numpy as np
import tensorflow as tf
from scopes import batch_norm_scope, slim

MEAN = (122.7709383, 116.7460125, 104.09373615)  # of 0 to 255, red, green, blue
DEVIATION = (68.5005327, 66.6321375, 70.3231630)


def bottleneck(net, channels, stride, scope):
    """1x1, 3x3, an average pool where the map is halved, 1x1 to four times the channels; added to the shortcut."""
    with tf.variable_scope(scope):
        residual = slim.conv2d(slim.conv2d(net, channels, 1, scope="conv1"), channels, 3, scope="conv2")
        shortcut = net
        if stride > 1:
            residual = slim.avg_pool2d(residual, stride, stride, scope="avgpool")
            shortcut = slim.avg_pool2d(shortcut, stride, stride, scope="downsample_avgpool")
        residual = slim.conv2d(residual, 4 * channels, 1, activation_fn=None, scope="conv3")
        if shortcut.shape[3].value != 4 * channels:
            shortcut = slim.conv2d(shortcut, 4 * channels, 1, activation_fn=None, scope="downsample")
        return tf.nn.relu(residual + shortcut)


def dense(net, outputs, scope):
    """A fully connected layer on the last axis of (batch, positions, channels)."""
    with tf.variable_scope(scope):
        channels = net.shape[2].value
        weights = tf.get_variable("weights", [channels, outputs])
        flat = tf.nn.xw_plus_b(tf.reshape(net, [-1, channels]), weights, tf.get_variable("biases", [outputs]))
        return tf.reshape(flat, tf.stack([tf.shape(net)[0], tf.shape(net)[1], outputs]))


def attention_pool(net, heads, outputs, scope):
    """Attention of the mean position over all positions; returns (batch, outputs)."""
    with tf.variable_scope(scope):
        height, width, channels = net.shape[1:].as_list()
        tokens = tf.reshape(net, [-1, height * width, channels])
        tokens = tf.concat([tf.reduce_mean(tokens, 1, keepdims=True), tokens], 1)
        tokens += tf.get_variable("positional_embedding", [height * width + 1, channels])

        def split_heads(x, name):
            x = dense(x, channels, name)
            x = tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], heads, channels // heads])
            return tf.transpose(x, [0, 2, 1, 3])

        query = split_heads(tokens[:, :1], "q_proj") * np.float32((channels // heads) ** -0.5)
        key, value = split_heads(tokens, "k_proj"), split_heads(tokens, "v_proj")
        attention = tf.nn.softmax(tf.matmul(query, key, transpose_b=True), name="attention")
        pooled = tf.transpose(tf.matmul(attention, value), [0, 2, 1, 3])
        pooled = dense(tf.reshape(pooled, [-1, 1, channels]), outputs, "c_proj")
        return tf.squeeze(pooled, [1], name="output")


def clip_resnet50_4x(images):
    """The encoder; images in 0 to 255."""
    width, blocks, heads, outputs = 80, (4, 6, 10, 6), 40, 640
    net = (images - np.float32(MEAN)) / np.float32(DEVIATION)
    with batch_norm_scope(tf.nn.relu, epsilon=1e-5, scale=True):
        net = tf.pad(net, [[0, 0], [1, 1], [1, 1], [0, 0]])  # symmetric, as PyTorch pads
        net = slim.conv2d(net, width // 2, 3, stride=2, padding="VALID", scope="stem/conv1")
        net = slim.conv2d(net, width // 2, 3, scope="stem/conv2")
        net = slim.conv2d(net, width, 3, scope="stem/conv3")
        net = slim.avg_pool2d(net, 2, 2, scope="stem/avgpool")
        for index, count in enumerate(blocks):
            for unit in range(count):
                stride = 2 if index and not unit else 1
                net = bottleneck(net, width * 2**index, stride, "layer%d/block%d" % (index + 1, unit))
    return attention_pool(net, heads, outputs, "attnpool")
