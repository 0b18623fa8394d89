"""Builds small graphs as other projects freeze them: python strangers.py FOLDER

FOLDER/inputs.npz holds one input for each graph, by the graph's name. For each graph this writes

    NAME.pb     the frozen graph: constants for variables, nothing else removed
    NAME.npz    `activation/<node>`: the value of every node that depends on the input, computed by the network before it
                is frozen; `report`: JSON with TensorFlow's version

It needs TensorFlow 1.15 (`contrib.slim` is in no later release).
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import tensorflow as tf

tf.logging.set_verbosity(tf.logging.ERROR)


def slim_switches():
    """A network of slim that switches to inference by a placeholder whose default trains."""
    slim = tf.contrib.slim
    image = tf.placeholder(tf.float32, [None, 9, 7, 3], name="image")
    train = tf.placeholder_with_default(True, [], name="phase_train")
    norm = {"is_training": train, "updates_collections": None, "decay": 0.9, "scale": True}
    y = slim.conv2d(image, 6, 3, normalizer_fn=slim.batch_norm, normalizer_params=dict(norm, fused=True), scope="c1")
    y = slim.conv2d(
        y, 8, 3, stride=2, normalizer_fn=slim.batch_norm, normalizer_params=dict(norm, fused=False), scope="c2"
    )
    y = slim.dropout(tf.reduce_mean(y, [1, 2], name="pool"), 0.5, is_training=train, scope="Dropout")
    y = slim.fully_connected(y, 5, activation_fn=None, scope="Bottleneck")
    tf.nn.l2_normalize(y, 1, 1e-10, name="embeddings")
    return image, {train: False}, ["embeddings"]


def loss_behind_logits():
    """Two losses behind the logits; one of them has only ops that convert."""
    image = tf.placeholder(tf.float32, [None, 8, 9, 3], name="x")
    labels = tf.placeholder(tf.float32, [None, 4], name="labels")
    y = tf.nn.relu(tf.nn.conv2d(image, variable("w", [3, 3, 3, 4]), [1, 1, 1, 1], "SAME"), name="relu")
    logits = tf.reduce_mean(y, [1, 2], name="logits")
    tf.nn.softmax_cross_entropy_with_logits_v2(labels=labels, logits=logits, name="loss")
    tf.reduce_mean(tf.square(logits - labels), name="mse")
    return image, {}, ["loss", "mse"]


def encoded_picture():
    """The first op decodes a JPEG, as in the Inception of 2015."""
    contents = tf.placeholder(tf.string, [], name="DecodeJpeg/contents")
    picture = tf.cast(tf.image.decode_jpeg(contents, channels=3), tf.float32)
    resized = tf.image.resize_bilinear(tf.expand_dims(picture, 0), [9, 7], name="ResizeBilinear")
    image = tf.multiply(tf.subtract(resized, 128.0, name="Sub"), 1 / 128.0, name="Mul")
    y = tf.pad(image, [[0, 0], [1, 1], [1, 1], [0, 0]])
    tf.nn.relu(tf.nn.conv2d(y, variable("w", [3, 3, 3, 4]), [1, 2, 2, 1], "VALID"), name="relu")
    return image, {}, ["relu"]


def gray():
    """A network of one channel."""
    image = tf.placeholder(tf.float32, [None, None, None, 1], name="x")
    y = tf.nn.relu(tf.nn.conv2d(image, variable("w", [5, 5, 1, 4]), [1, 1, 1, 1], "SAME"))
    y = tf.nn.max_pool(y, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
    tf.nn.tanh(tf.nn.conv2d(y, variable("w2", [3, 3, 4, 6]), [1, 1, 1, 1], "VALID"), name="y")
    return image, {}, ["y"]


def rows_of_pixels():
    """Images as rows of numbers, labels and a keep probability: TensorFlow's first tutorial."""
    rows = tf.placeholder(tf.float32, [None, 48], name="rows")
    labels = tf.placeholder(tf.float32, [None, 5], name="labels")
    keep = tf.placeholder(tf.float32, name="keep_prob")
    image = tf.reshape(rows, [-1, 8, 6, 1], name="Reshape")
    y = tf.nn.relu(tf.nn.conv2d(image, variable("w", [3, 3, 1, 4]), [1, 1, 1, 1], "SAME"))
    y = tf.nn.max_pool(y, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
    y = tf.nn.dropout(tf.reshape(y, [-1, 4 * 3 * 4]), keep)
    logits = tf.matmul(y, variable("fc", [48, 5]), name="logits")
    right = tf.equal(tf.argmax(logits, 1), tf.argmax(labels, 1))
    tf.reduce_mean(tf.cast(right, tf.float32), name="accuracy")
    return image, {keep: 1.0}, ["logits", "accuracy"]


def detector():
    """A loop before the image, a backbone, boxes, and a loop of non-maximum suppressions."""
    pictures = tf.placeholder(tf.uint8, [None, None, None, 3], name="image_tensor")
    with tf.name_scope("Preprocessor"):
        resized = tf.map_fn(
            lambda picture: tf.image.resize_bilinear(picture[None], [16, 12])[0], tf.cast(pictures, tf.float32)
        )
        image = tf.subtract(resized * (2.0 / 255.0), 1.0, name="sub")
    with tf.name_scope("FeatureExtractor"):
        y = tf.nn.conv2d(image, variable("w", [3, 3, 3, 8]), [1, 2, 2, 1], "SAME")
        norm = [variable("norm%d" % index, [8]) for index in range(3)] + [variable("norm_variance", [8])]
        y, _, _ = tf.nn.fused_batch_norm(y, *norm, is_training=False)
        y = tf.nn.relu6(y)
        y = tf.nn.relu6(tf.nn.depthwise_conv2d(y, variable("w2", [3, 3, 8, 1]), [1, 1, 1, 1], "SAME"), name="features")
    boxes = tf.nn.conv2d(y, variable("boxes", [1, 1, 8, 4]), [1, 1, 1, 1], "SAME")
    boxes = tf.reshape(boxes, [tf.shape(boxes)[0], -1, 4], name="raw_boxes")
    scores = tf.nn.sigmoid(tf.nn.conv2d(y, variable("scores", [1, 1, 8, 1]), [1, 1, 1, 1], "SAME"))
    scores = tf.reshape(scores, [tf.shape(scores)[0], -1], name="raw_scores")

    def suppressed(pair):
        best = tf.image.non_max_suppression(pair[0], pair[1], 5)
        return tf.gather(pair[0], best), tf.gather(pair[1], best)

    with tf.name_scope("Postprocessor"):
        found = tf.map_fn(suppressed, (boxes, scores), back_prop=False)
    tf.identity(found[0], name="detection_boxes")
    best, _ = tf.nn.top_k(scores, 3)
    tf.identity(best, name="detection_scores")
    return image, {}, ["detection_boxes", "detection_scores"]


def keras_like():
    """Batch norm and dropout that Keras's learning phase switches; its default is inference."""
    image = tf.placeholder(tf.float32, [None, 11, 8, 3], name="input_1")
    phase = tf.placeholder_with_default(False, [], name="keras_learning_phase")
    y = tf.layers.conv2d(image, 6, 3, padding="same", name="conv1")
    y = tf.nn.relu(tf.layers.batch_normalization(y, training=phase, name="bn1"))
    y = tf.layers.separable_conv2d(y, 8, 3, name="sep")
    y = tf.nn.elu(tf.layers.batch_normalization(y, training=phase, fused=False, name="bn2"))
    y = tf.layers.dropout(tf.reduce_mean(y, [1, 2]), training=phase)
    tf.nn.softmax(tf.layers.dense(y, 4, name="dense"), name="predictions")
    return image, {}, ["predictions"]


def estimator():
    """Serialized examples as input, a training switch without a default, and class names as an output."""
    examples = tf.placeholder(tf.string, [None], name="input_example_tensor")
    parsed = tf.parse_example(examples, {"pixels": tf.FixedLenFeature([9 * 7 * 3], tf.float32)})
    image = tf.reshape(parsed["pixels"], [-1, 9, 7, 3], name="input_layer")
    training = tf.placeholder(tf.bool, [], name="training")
    y = tf.layers.conv2d(image, 6, 3, strides=2, activation=tf.nn.relu, name="conv")
    y = tf.layers.dropout(tf.layers.flatten(y), training=training)
    logits = tf.layers.dense(y, 4, name="logits")
    with tf.name_scope("head/predictions"):
        tf.nn.softmax(logits, name="probabilities")
        tf.as_string(tf.argmax(logits, 1), name="str_classes")
    return image, {training: False}, ["head/predictions/probabilities", "head/predictions/str_classes"]


def darknet_like():
    """Explicit padding, batch norm as single ops, leaky ReLU as a maximum, and a reorganized passthrough."""
    image = tf.placeholder(tf.float32, [None, 12, 10, 3], name="input")

    def convolved(y, name, inputs, outputs):
        y = tf.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]])
        y = tf.nn.conv2d(y, variable(name, [3, 3, inputs, outputs]), [1, 1, 1, 1], "VALID")
        y = (y - variable(name + "_mean", [outputs])) / (tf.sqrt(variable(name + "_variance", [outputs])) + 1e-5)
        y = y * variable(name + "_gamma", [outputs]) + variable(name + "_bias", [outputs])
        return tf.maximum(0.1 * y, y, name=name + "-leaky")

    y = passthrough = convolved(image, "0", 3, 4)
    y = tf.nn.max_pool(y, [1, 2, 2, 1], [1, 2, 2, 1], "VALID", name="1-maxpool")
    y = convolved(y, "2", 4, 6)
    stacked = tf.concat([tf.space_to_depth(passthrough, 2, name="3-reorg"), y], 3, name="4-concat")
    convolved(stacked, "5", 22, 5)
    patches = tf.extract_image_patches(passthrough, [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID", name="6-reorg")
    tf.concat([patches, y], 3, name="output")
    return image, {}, ["5-leaky", "output"]


GRAPHS = {
    function.__name__: function
    for function in (
        slim_switches,
        loss_behind_logits,
        encoded_picture,
        gray,
        rows_of_pixels,
        detector,
        keras_like,
        estimator,
        darknet_like,
    )
}


def variable(name, shape):
    return tf.get_variable(name, shape)


def seeded(name, shape, random):
    """Values of a variable; variances are positive."""
    if "variance" in name:
        return random.uniform(0.5, 1.5, shape)
    return random.normal(0, 0.5, shape)


def main(folder):
    """Builds every graph."""
    with np.load(os.path.join(folder, "inputs.npz")) as arrays:
        inputs = dict(arrays)
    for number, (name, build) in enumerate(GRAPHS.items()):
        config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        with tf.Graph().as_default() as graph, tf.Session(graph=graph, config=config) as session:
            tf.set_random_seed(number)
            image, feeds, outputs = build()
            random = np.random.RandomState(number)
            for each in tf.global_variables():
                each.load(seeded(each.op.name, each.shape.as_list(), random), session)
            frozen = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), outputs)
            frozen.library.Clear()
            with open(os.path.join(folder, name + ".pb"), "wb") as file:
                file.write(frozen.SerializeToString(deterministic=True))
            values = computed(session, image, {**feeds, image: inputs[name]}, [node.name for node in frozen.node])
        report = json.dumps({"tensorflow": tf.__version__, "refused": {}})
        np.savez(os.path.join(folder, name + ".npz"), report=np.array(report), **values)
        print(name, len(values), flush=True)


def computed(session, image, feed, names):
    """Returns the values, as float32, of the nodes of numbers that depend on the input and have a value."""
    found = {}
    dependent = behind(image.op.outputs)
    for op in session.graph.get_operations():
        if op.type.startswith("FusedBatchNorm"):  # in inference mode, the statistics are memory that nothing wrote
            dependent -= behind(op.outputs[1:])
    for op in dependent:  # TensorFlow marks the inside of a cond as not fetchable, too
        if op._get_control_flow_context() is not None and not op._get_control_flow_context().IsWhileContext():
            session.graph._unfetchable_ops.discard(op)
    for name in names:
        op = session.graph.get_operation_by_name(name)
        if op in dependent and op.outputs and op.outputs[0].dtype in (tf.float32, tf.int32, tf.int64):
            try:
                found["activation/" + name] = np.asarray(session.run(op.outputs[0], feed), np.float32)
            except (tf.errors.InvalidArgumentError, ValueError):
                pass  # the dead side of a Switch, the inside of a loop, or behind a placeholder without a value
    return found


def behind(tensors):
    """Returns the ops that depend on some tensors, in a set. Ops of a cond are not in topological order."""
    found, waiting = set(), list(tensors)
    while waiting:
        new = [op for op in waiting.pop().consumers() if op not in found]
        found.update(new)
        waiting += [tensor for op in new for tensor in op.outputs]
    return found


if __name__ == "__main__":
    main(sys.argv[1])
