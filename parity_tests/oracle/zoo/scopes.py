"""Shared by the stand-in networks: TF-Slim under one name, and its naming of ops."""

from __future__ import absolute_import, division, print_function

import contextlib

import tensorflow as tf
from tensorflow.contrib import slim

CLASSES = 1001  # TF-Slim's ImageNet, whose first class is a dummy


@contextlib.contextmanager
def base_scope(name):
    """The scope of a TF-Slim network's body: variables in `name`, ops in `name/name`, as a scope entered twice has it."""
    with tf.variable_scope(name) as outer:
        with tf.variable_scope(outer, name):
            yield outer


@contextlib.contextmanager
def batch_norm_scope(activation, epsilon=0.001, scale=False, is_training=False, fused=True):
    """Convolutions without biases, followed by batch norm and an activation."""
    norm = {"is_training": is_training, "epsilon": epsilon, "scale": scale, "fused": fused}
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], activation_fn=activation,
                        normalizer_fn=slim.batch_norm, normalizer_params=norm):
        with slim.arg_scope([slim.batch_norm], **norm):
            yield


def chain(net, convolutions):
    """One convolution after another.

    Args:
        net: input of the first one.
        convolutions: (name, channels, kernel) each, or with a fourth entry, a dict of further arguments.
    """
    for name, channels, kernel, *more in convolutions:
        net = slim.conv2d(net, channels, kernel, scope=name, **(more[0] if more else {}))
    return net


def branches(net, scope, *towers):
    """An inception module: towers side by side, joined by their channels as `scope/concat`.

    Args:
        net: input of every tower.
        scope: the module's name.
        towers: functions of `net`; tower i is built in the scope `Branch_i`.
    """
    with tf.variable_scope(scope):
        outputs = []
        for index, tower in enumerate(towers):
            with tf.variable_scope("Branch_%d" % index):
                outputs.append(tower(net))
        return tf.concat(outputs, 3)
