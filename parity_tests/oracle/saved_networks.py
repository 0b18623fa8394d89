"""Saves a small network in every form that TensorFlow has for it: python saved_networks.py FOLDER

    ckpt/model.ckpt-1           a checkpoint with its meta graph, of a network in training
    other/model.ckpt            a checkpoint of the same graph that lacks a variable
    saved/                      a SavedModel of TensorFlow 1 with one signature
    signatures/                 one with the signatures `first` and `second`
    tags/                       one with the graphs `train` and `serve,gpu`
    function/                   one that TensorFlow 2 exports (where this is TensorFlow 2)
    values.npz                  the network's values: `image`, `relu`, `prob`; `function` of the last
"""

from __future__ import annotations

import os
import sys

import numpy as np
import tensorflow

tf = tensorflow.compat.v1
tf.logging.set_verbosity(tf.logging.ERROR)


def network():
    """A network with all that a training adds. Returns (image, labels, relu, prob, classes, the training's step)."""
    image = tf.placeholder(tf.float32, [None, None, None, 3], name="image")
    labels = tf.placeholder(tf.int32, [None], name="labels")
    kernel = tf.get_variable("conv/w", [3, 3, 3, 8], initializer=tf.random_normal_initializer(seed=1))
    bias = tf.get_variable("conv/b", [8], initializer=tf.random_normal_initializer(seed=2))
    conv = tf.nn.conv2d(image, kernel, [1, 2, 2, 1], "SAME", name="conv/Conv2D")
    relu = tf.nn.relu(tf.nn.bias_add(conv, bias, name="conv/BiasAdd"), name="conv/Relu")
    pool = tf.reduce_mean(relu, [1, 2], name="pool")
    matrix = tf.get_variable("fc/w", [8, 5], initializer=tf.random_normal_initializer(seed=3))
    logits = tf.matmul(pool, matrix, name="logits")
    prob = tf.nn.softmax(logits, name="prob")
    classes = tf.argmax(logits, 1, name="classes", output_type=tf.int32)
    tf.nn.sigmoid(pool, name="unread")
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits), name="loss")
    tf.reduce_mean(tf.cast(tf.equal(classes, labels), tf.float32), name="accuracy")
    tf.summary.scalar("loss", loss)
    tf.summary.histogram("relu", relu)
    return image, labels, relu, prob, classes, tf.train.AdamOptimizer(0.01).minimize(loss)


def save_all(folder):
    """Everything that both versions of TensorFlow save."""
    with tf.Graph().as_default(), tf.Session() as session:
        image, labels, relu, prob, classes, step = network()
        saver = tf.train.Saver()
        session.run(tf.global_variables_initializer())
        random = np.random.RandomState(0)
        session.run(step, {image: random.rand(2, 9, 9, 3), labels: [1, 2]})
        for name in ("ckpt", "other"):
            os.makedirs(os.path.join(folder, name))
        saver.save(session, os.path.join(folder, "ckpt", "model.ckpt"), global_step=1)
        lacking = [variable for variable in tf.global_variables() if variable.op.name != "fc/w"]
        tf.train.Saver(lacking).save(session, os.path.join(folder, "other", "model.ckpt"))
        tf.saved_model.simple_save(session, os.path.join(folder, "saved"), {"x": image}, {"p": prob, "c": classes})
        signatures = {
            name: tf.saved_model.predict_signature_def({"x": image}, {"y": value})
            for name, value in (("first", relu), ("second", prob))
        }
        for name, tags in (("signatures", [["serve"]]), ("tags", [["train"], ["serve", "gpu"]])):
            builder = tf.saved_model.Builder(os.path.join(folder, name))
            builder.add_meta_graph_and_variables(session, tags[0], signatures)
            for more in tags[1:]:
                builder.add_meta_graph(more, signatures)
            builder.save()
        pictures = random.rand(2, 9, 11, 3).astype(np.float32)
        values = session.run({"relu": relu, "prob": prob}, {image: pictures})
    return dict(values, image=pictures)


def save_function(folder, pictures):
    """Saves a SavedModel whose graph is in functions, and returns its values."""
    module = tensorflow.Module()
    module.kernel = tensorflow.Variable(np.random.RandomState(5).randn(3, 3, 3, 4).astype(np.float32))

    @tensorflow.function(input_signature=[tensorflow.TensorSpec([None, None, None, 3], tensorflow.float32, name="image")])
    def compute(image):
        return {"y": tensorflow.nn.relu(tensorflow.nn.conv2d(image, module.kernel, 1, "SAME", name="conv"), name="relu")}

    tensorflow.saved_model.save(module, os.path.join(folder, "function"), signatures=compute)
    return compute(tensorflow.constant(pictures))["y"].numpy()


if __name__ == "__main__":
    values = save_all(sys.argv[1])
    if not tensorflow.__version__.startswith("1."):
        values["function"] = save_function(sys.argv[1], values["image"])
    np.savez(os.path.join(sys.argv[1], "values.npz"), **values)
