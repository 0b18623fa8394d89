"""Networks of the Caffe model zoo with the op names that caffe-tensorflow gives them, and AlexNet under its own.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks" (2012); the deploy
files of BVLC's AlexNet, CaffeNet and GoogLeNet; Simonyan and Zisserman, "Very Deep Convolutional Networks for
Large-Scale Image Recognition" (2014), table 1; Szegedy et al., "Going Deeper with Convolutions" (2014), table 1.
"""

from __future__ import absolute_import, division, print_function

import tensorflow as tf

LRN = {"depth_radius": 2, "alpha": 2e-05, "beta": 0.75, "bias": 1.0}
VGG = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
VGG_CHANNELS = (64, 128, 256, 512, 512)
# 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
GOOGLENET = (
    ("3a", 64, 96, 128, 16, 32, 32), ("3b", 128, 128, 192, 32, 96, 64), ("4a", 192, 96, 208, 16, 48, 64),
    ("4b", 160, 112, 224, 24, 64, 64), ("4c", 128, 128, 256, 24, 64, 64), ("4d", 112, 144, 288, 32, 64, 64),
    ("4e", 256, 160, 320, 32, 128, 128), ("5a", 256, 160, 320, 32, 128, 128), ("5b", 384, 192, 384, 48, 128, 128),
)


def conv(net, channels, kernel, name, stride=1, padding="SAME", groups=1):
    """A convolution, bias and ReLU in one scope, the ReLU named like the scope; groups as Split, Conv2D and Concat."""
    with tf.variable_scope(name) as scope:
        weights = tf.get_variable("weights", [kernel, kernel, net.shape[3].value // groups, channels])
        biases = tf.get_variable("biases", [channels])
        convolve = lambda x, w: tf.nn.conv2d(x, w, [1, stride, stride, 1], padding)  # noqa: E731
        if groups == 1:
            net = convolve(net, weights)
        else:
            parts = zip(tf.split(net, groups, 3), tf.split(weights, groups, 3))
            net = tf.concat([convolve(x, w) for x, w in parts], 3)
        return tf.nn.relu(tf.nn.bias_add(net, biases), name=scope.name)


def dense(net, outputs, name, relu=True):
    """A fully connected layer named like its scope; images are flattened in the order rows, columns, channels."""
    with tf.variable_scope(name) as scope:
        if net.shape.ndims == 4:
            net = tf.reshape(net, [-1, int(net.shape[1] * net.shape[2] * net.shape[3])])
        weights = tf.get_variable("weights", [net.shape[1].value, outputs])
        biases = tf.get_variable("biases", [outputs])
        layer = tf.nn.relu_layer if relu else tf.nn.xw_plus_b
        return layer(net, weights, biases, name=scope.name)


def max_pool(net, name, kernel=3, stride=2, padding="VALID"):
    """A max pool."""
    return tf.nn.max_pool2d(net, kernel, stride, padding, name=name)


def lrn(net, name):
    """Local response normalisation as Caffe's AlexNet has it."""
    return tf.nn.local_response_normalization(net, name=name, **LRN)


def dense_head(net, classes):
    """The three fully connected layers of AlexNet and VGG, and the softmax."""
    net = dense(dense(net, 4096, "fc6"), 4096, "fc7")
    return tf.nn.softmax(dense(net, classes, "fc8", relu=False), name="prob")


def caffenet(images, classes=1000, pool_first=True):
    """CaffeNet; `pool_first` is the order of pooling and normalisation, the other way round in Caffe's AlexNet."""
    steps = ((max_pool, "pool%d"), (lrn, "norm%d"))
    net = conv(images, 96, 11, "conv1", 4, "VALID")
    for index in (1, 2):
        for step, name in steps if pool_first else steps[::-1]:
            net = step(net, name % index)
        if index == 1:
            net = conv(net, 256, 5, "conv2", groups=2)
    net = conv(net, 384, 3, "conv3")
    net = conv(net, 384, 3, "conv4", groups=2)
    net = conv(net, 256, 3, "conv5", groups=2)
    return dense_head(max_pool(net, "pool5"), classes)


def vgg(images, depth, classes=1000):
    """VGG with 16 or 19 layers."""
    net = images
    for block, (count, channels) in enumerate(zip(VGG[depth], VGG_CHANNELS), 1):
        for index in range(count):
            net = conv(net, channels, 3, "conv%d_%d" % (block, index + 1))
        net = max_pool(net, "pool%d" % block, 2, 2)
    return dense_head(net, classes)


def googlenet(images, classes):
    """GoogLeNet without its auxiliary heads."""
    net = conv(images, 64, 7, "conv1_7x7_s2", 2)
    net = lrn(max_pool(net, "pool1_3x3_s2", padding="SAME"), "pool1_norm1")
    net = conv(conv(net, 64, 1, "conv2_3x3_reduce"), 192, 3, "conv2_3x3")
    net = max_pool(lrn(net, "conv2_norm2"), "pool2_3x3_s2", padding="SAME")
    for module in GOOGLENET:
        net = googlenet_module(net, "inception_" + module[0], *module[1:])
        if module[0] in ("3b", "4e"):
            net = max_pool(net, "pool%s_3x3_s2" % module[0][0], padding="SAME")
    net = tf.nn.avg_pool2d(net, 7, 1, "VALID", name="pool5_7x7_s1")
    return tf.nn.softmax(dense(net, classes, "loss3_classifier", relu=False), name="prob")


def googlenet_module(net, name, one, reduce3, three, reduce5, five, projection):
    """One inception module, joined as `name_output`."""
    towers = [
        conv(net, one, 1, name + "_1x1"),
        conv(conv(net, reduce3, 1, name + "_3x3_reduce"), three, 3, name + "_3x3"),
        conv(conv(net, reduce5, 1, name + "_5x5_reduce"), five, 5, name + "_5x5"),
        conv(max_pool(net, name + "_pool", 3, 1, "SAME"), projection, 1, name + "_pool_proj"),
    ]
    return tf.concat(towers, 3, name=name + "_output")


def alexnet(images):
    """AlexNet in one flat scope: `Conv2D` to `Conv2D_7` (grouped convolutions are two ops), `Relu`, `Relu_1`, `Softmax`.

    Names other than those that Lucid lists are this project's own.
    """
    net = lrn(flat_conv(images, 96, 11, "conv1", 4), "lrn1")
    net = lrn(flat_conv(max_pool(net, "maxpool1"), 256, 5, "conv2", groups=2), "lrn2")
    net = flat_conv(max_pool(net, "maxpool2"), 384, 3, "conv3")
    net = flat_conv(net, 384, 3, "conv4", groups=2)
    net = flat_conv(net, 256, 3, "conv5", groups=2)
    net = max_pool(net, "maxpool5")
    net = tf.reshape(net, [-1, int(net.shape[1] * net.shape[2] * net.shape[3])])
    for name, outputs in (("fc6", 4096), ("fc7", 4096)):
        net = tf.nn.relu(flat_dense(net, outputs, name))
    return tf.nn.softmax(flat_dense(net, 1000, "fc8"))


def flat_conv(net, channels, kernel, name, stride=1, groups=1):
    """A convolution whose op is called `Conv2D`; its ReLU has the layer's name."""
    weights = tf.get_variable(name + "/weights", [kernel, kernel, net.shape[3].value // groups, channels])
    biases = tf.get_variable(name + "/biases", [channels])
    inputs, kernels = ([net], [weights]) if groups == 1 else (tf.split(net, groups, 3), tf.split(weights, groups, 3))
    # Named here because TensorFlow 1.15 would number the op by its own count of conv2d calls.
    parts = [tf.nn.conv2d(x, w, [1, stride, stride, 1], "SAME", name="Conv2D") for x, w in zip(inputs, kernels)]
    net = parts[0] if groups == 1 else tf.concat(parts, 3)
    return tf.nn.relu(tf.nn.bias_add(net, biases), name=name)


def flat_dense(net, outputs, name):
    """Product and sum of a fully connected layer."""
    weights = tf.get_variable(name + "/weights", [net.shape[1].value, outputs])
    return tf.nn.xw_plus_b(net, weights, tf.get_variable(name + "/biases", [outputs]))
