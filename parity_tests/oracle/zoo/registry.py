"""The stand-in networks by Lucid's names: builder, input, and scale of the constants."""

from __future__ import absolute_import, division, print_function

import collections
from functools import partial

import caffe
import clip
import inception
import mobilenet
import nasnet
import tensorflow as tf
from scopes import CLASSES, slim
from tensorflow.contrib.slim.python.slim.nets import (
    inception_v1,
    inception_v2,
    inception_v3,
    resnet_utils,
    resnet_v1,
    resnet_v2,
)

# build: function of the images (and of the arguments of its form); returns the last layer.
# size: height and width that the graph is built and calibrated for; free: whether its placeholder forgets them.
# gains: (regular expression, factor) on the weights, or on gammas, whose names match; all that match count.
# form: None, or how it is frozen, one of `FORMS` in build.py.
# balance: of its filters, as `draw` in parity_tests/zoo/draws.py has it.
Network = collections.namedtuple("Network", "build input_name size low high free gains form balance")

PLUS_MINUS = ((-1.0,), (1.0,))
LUCID = ((-117.0,), (138.0,))
CAFFE = ((-103.939, -116.779, -123.68), (151.061, 138.221, 131.32))
BYTES = ((0.0,), (255.0,))
PLAIN_LOGITS = (("fc8/weights|loss3_classifier/weights", 0.06),)
RESIDUAL = 0.3  # scale of a residual branch, relative to a plain layer


def network(build, size, values=PLUS_MINUS, input_name="input", gains=(), form=None, free=False, balance=1.0):
    """A network with the usual defaults."""
    return Network(build, input_name, size, values[0], values[1], free, gains, form, balance)


def slim_inception(module, name):
    """One of `contrib.slim`'s Inception networks."""

    def build(images):
        with slim.arg_scope(getattr(module, name + "_arg_scope")()):
            return getattr(module, name)(images, CLASSES, is_training=False)[1]["Predictions"]

    return build


def slim_resnet(module, name, classes):
    """One of `contrib.slim`'s ResNets."""

    def build(images, is_training=False):
        with slim.arg_scope(resnet_utils.resnet_arg_scope()):
            points = getattr(module, name)(images, classes, is_training=is_training)[1]
        return tf.squeeze(points["predictions"], [1, 2], name="probabilities")

    return build


RESNET_V1 = (("bottleneck_v1/conv3/BatchNorm/gamma", RESIDUAL), ("logits/weights", 0.5))
RESNET_V2 = (("bottleneck_v2/conv3/weights", RESIDUAL), ("logits/weights", 0.5))
# Of balanced filters each layer multiplies a difference by some 1.1. In networks without shortcuts that makes 1e-4 of
# rounding in 150 layers (TensorFlow's own, against float64, is 8e-5 then); half balanced ones are calm.
CALM = 0.5
SATURATING = (("BatchNorm/gamma", 2.5),)  # so that ReLU6 meets its upper bound, too

# In this order their constants are seeded: new ones go to the end.
NETWORKS = collections.OrderedDict(
    AlexNet=network(caffe.alexnet, (227, 227), CAFFE, "Placeholder", PLAIN_LOGITS),
    AlexNet_caffe_Places365=network(
        partial(caffe.caffenet, classes=365, pool_first=False), (227, 227), CAFFE, "input", PLAIN_LOGITS
    ),
    CaffeNet_caffe=network(caffe.caffenet, (227, 227), CAFFE, "data", PLAIN_LOGITS),
    Clip_ResNet50_4x=network(clip.clip_resnet50_4x, (288, 288), BYTES, "input_image",
                             (("layer./.*conv3/BatchNorm/gamma", RESIDUAL),)),
    InceptionResnetV2_slim=network(inception.inception_resnet_v2, (139, 171)),
    InceptionV1_caffe_Places205=network(
        partial(caffe.googlenet, classes=205), (224, 224), CAFFE, "data", PLAIN_LOGITS
    ),
    InceptionV1_caffe_Places365=network(
        partial(caffe.googlenet, classes=365), (224, 224), CAFFE, "data", PLAIN_LOGITS
    ),
    InceptionV1_slim=network(slim_inception(inception_v1, "inception_v1"), (224, 224)),
    InceptionV2_slim=network(slim_inception(inception_v2, "inception_v2"), (224, 224)),
    InceptionV3_slim=network(slim_inception(inception_v3, "inception_v3"), (299, 299), balance=CALM),
    InceptionV4_slim=network(inception.inception_v4, (139, 171), balance=0.25),
    MobilenetV1_025_slim=network(
        partial(mobilenet.mobilenet_v1, multiplier=0.25), (129, 161), gains=SATURATING, form="unfused"
    ),
    MobilenetV1_050_slim=network(
        partial(mobilenet.mobilenet_v1, multiplier=0.5), (129, 161), gains=SATURATING, form="switched"
    ),
    MobilenetV1_slim=network(mobilenet.mobilenet_v1, (129, 161), gains=SATURATING),
    MobilenetV2_10_slim=network(mobilenet.mobilenet_v2, (129, 161), gains=SATURATING, balance=CALM),
    MobilenetV2_14_slim=network(
        partial(mobilenet.mobilenet_v2, multiplier=1.4), (129, 161), gains=SATURATING, balance=CALM
    ),
    NasnetLarge_slim=network(
        partial(nasnet.nasnet, channels=168, cells=18, stem_multiplier=3.0, skip=True), (97, 129)
    ),
    NasnetMobile_slim=network(
        partial(nasnet.nasnet, channels=44, cells=12, stem_multiplier=1.0, skip=False), (129, 161)
    ),
    PnasnetLarge_slim=network(partial(nasnet.pnasnet, channels=216, cells=12, stem_multiplier=3.0), (97, 129)),
    PnasnetMobile_slim=network(partial(nasnet.pnasnet, channels=54, cells=9, stem_multiplier=1.0), (129, 161)),
)
for depth in (50, 101, 152):
    v1 = slim_resnet(resnet_v1, "resnet_v1_%d" % depth, CLASSES - 1)
    v2 = slim_resnet(resnet_v2, "resnet_v2_%d" % depth, CLASSES)
    NETWORKS["ResnetV1_%d_slim" % depth] = network(v1, (97, 129), LUCID, gains=RESNET_V1, free=True)
    form = "switched" if depth == 50 else None
    NETWORKS["ResnetV2_%d_slim" % depth] = network(v2, (97, 129), gains=RESNET_V2, form=form, free=True)
for depth in (16, 19):
    NETWORKS["VGG%d_caffe" % depth] = network(partial(caffe.vgg, depth=depth), (224, 224), CAFFE, gains=PLAIN_LOGITS)
