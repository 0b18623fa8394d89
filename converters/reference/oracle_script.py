"""Runs frozen graphs in the real TensorFlow and writes its values to files.

A standalone script: it needs only numpy and TensorFlow (1.15 on Python 3.7, or any 2.x through its v1 API). It imports
nothing from this project, and no module imports it, because TensorFlow and torch cannot share a process.

    python oracle_script.py jobs.json

jobs.json holds `{"jobs": [job, ...]}`, each job an object with
    graph       path of a frozen GraphDef
    input       path of an .npz file
    feeds       {name of a placeholder: key in that file}; arrays are in TensorFlow's order (NHWC)
    fetches     "all" (every node that depends on the feeds and that runs), or a list of node names
    pre_relu    true: also compute the concatenations `<module>_pre_relu` that Lucid adds after import
    gradients   [[layer, channel], ...]: d mean(layer[..., channel]) / d (the only placeholder)
    draws       how many times to recompute every gradient with each input value changed by one unit in the last place
    seed        seed of the directions of these changes
    lucid_class optional: name of a class in lucid.modelzoo.vision_models whose `_pre_relu` layers are compared
    out         path of the .npz file to write

The result's keys are `activation/<name>`, `gradient/<layer>:<channel>`, `moved/<layer>:<channel>` (the gradient's
difference at each draw) and `report`. The report is JSON: TensorFlow's version; the layers that TensorFlow refuses to
compute for this input, each with a shortened error message; the error message for gradients, if TensorFlow refuses them;
and the largest differences from Lucid's class.
"""

from __future__ import annotations

import json
import os
import sys

# Python puts a script's own folder first on the path. TensorFlow must not import its modules.
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != os.path.dirname(os.path.abspath(__file__))]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow 2 uses oneDNN's kernels by default, which round differently on every kind of CPU.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow

tf = tensorflow.compat.v1
tf.logging.set_verbosity(tf.logging.ERROR)
if not tensorflow.__version__.startswith("1."):
    tf.disable_v2_behavior()

MESSAGE_LENGTH = 200
RANDOM = {"RandomStandardNormal", "RandomUniform", "RandomUniformInt", "TruncatedNormal"}


def main(path):
    """Runs every job of a job file."""
    with open(path) as file:
        jobs = json.load(file)["jobs"]
    for job in jobs:
        run_job(job)
        print("done: " + job["out"], flush=True)


def run_job(job):
    """Runs one job and writes its result file."""
    with np.load(job["input"]) as arrays:
        feeds = {name: arrays[key] for name, key in job["feeds"].items()}
    report = {"tensorflow": tensorflow.__version__, "refused": {}}
    results = {}
    graph = tf.Graph()
    with graph.as_default(), new_session(graph) as session:
        tf.import_graph_def(read_graph_def(job["graph"]), name="")
        added = add_pre_relu_concats(graph) if job.get("pre_relu") else {}
        names = computed_names(session, feeds) if job["fetches"] == "all" else list(job["fetches"])
        names = list(dict.fromkeys(names + list(added)))
        tensors = {name: added[name] if name in added else first_output(graph, name) for name in names}
        tensors = {name: tensor for name, tensor in tensors.items() if tensor.dtype == tf.float32}
        feed = {graph.get_tensor_by_name(name + ":0"): value for name, value in feeds.items()}
        values, report["refused"] = fetch_all(session, tensors, feed)
        results.update(("activation/" + name, value) for name, value in values.items())
        wanted = [(layer, channel) for layer, channel in job.get("gradients", []) if layer in values]
        if wanted:
            try:
                results.update(gradients(session, tensors, feed, wanted, job))
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
                report["gradients_refused"] = shorten(error.message)  # e.g. for dilated convolutions in 1.15
    if job.get("lucid_class"):
        report["lucid"] = compare_with_lucid(job, feeds, values)
    results["report"] = np.array(json.dumps(report))
    np.savez(job["out"], **results)


def new_session(graph):
    """Returns a session with one thread, so that numbers are always added in the same order."""
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    return tf.Session(graph=graph, config=config)


def read_graph_def(path):
    """Reads the GraphDef in a file, and clears its devices as Lucid does."""
    graph_def = tf.GraphDef()
    with open(path, "rb") as file:
        graph_def.ParseFromString(file.read())
    for node in graph_def.node:
        node.device = ""
    return graph_def


def first_output(graph, name):
    """Returns the first output of the named node."""
    return graph.get_operation_by_name(name).outputs[0]


def computed_names(session, feeds):
    """Returns the names of all nodes that depend on the feeds, and whose first output has a value.

    Random ops do not count as dependent, because only the shapes of their outputs depend on the feeds.
    """
    dependent, dead = set(feeds), dead_outputs(session)
    names = []
    for op in session.graph.get_operations():  # always in topological order
        if op.name in feeds or op.type in RANDOM:
            continue
        if any(tensor.op.name in dependent for tensor in op.inputs):
            dependent.add(op.name)
            if op.outputs and op.outputs[0].name not in dead:
                names.append(op.name)
    return names


def dead_outputs(session):
    """Returns the names of the outputs that have no value, because they are on a branch of a Switch that is not taken."""
    dead = set()
    for op in session.graph.get_operations():
        inputs = [tensor.name in dead for tensor in op.inputs]
        if any(inputs) and (op.type != "Merge" or all(inputs)):
            dead.update(tensor.name for tensor in op.outputs)
        elif op.type == "Switch":
            try:
                taken = session.run(op.inputs[1])
            except tf.errors.InvalidArgumentError:  # the op depends on the fed values
                continue
            dead.add(op.outputs[0 if taken else 1].name)
    return dead


def add_pre_relu_concats(graph):
    """Adds for each concatenation of image channels a second one, over the same inputs before their ReLUs.

    This is Lucid's rule for the old Concat, whose result is named after the first component of the op's name. For ConcatV2,
    on which Lucid fails, the whole name is used.

    Returns:
        The new tensors by the name that TensorFlow gave them (a duplicate name gets `_1`, `_2`, ...).
    """
    added = {}
    for op in list(graph.get_operations()):
        if op.type == "Concat":
            axis, towers, name = op.inputs[0], list(op.inputs)[1:], op.name.split("/")[0]
        elif op.type == "ConcatV2":
            axis, towers, name = op.inputs[-1], list(op.inputs)[:-1], op.name
        else:
            continue
        name += "_pre_relu"
        if towers[0].dtype != tf.float32 or not is_channel_axis(axis, towers):
            continue
        towers = [tower.op.inputs[0] if tower.op.type == "Relu" else tower for tower in towers]
        concat = tf.concat(towers, -1, name=name)
        added[concat.op.name] = concat
    return added


def is_channel_axis(axis, towers):
    """Returns whether a concatenation's axis, a constant, is the channel axis of images."""
    value = int(tensorflow.make_ndarray(axis.op.get_attr("value")))
    rank = next((tower.shape.ndims for tower in towers if tower.shape.ndims is not None), 4)
    return rank == 4 and value in (-1, 3)


def fetch_all(session, tensors, feed):
    """Returns the values of all tensors that TensorFlow computes, and a message for each tensor that it refuses.

    TensorFlow stops at the first op that refuses. The tensors that depend on it are removed, and the others run again.
    """
    remaining, refused = dict(tensors), {}
    while remaining:
        try:
            return session.run(remaining, feed), refused
        except tf.errors.InvalidArgumentError as error:
            if error.op is None:
                raise
            message = shorten(error.message)
            lost = [name for name, tensor in remaining.items() if needs(tensor.op, error.op.name)]
            if not lost:
                raise
            for name in lost:
                refused[name] = message
                del remaining[name]
    return {}, refused


def needs(op, name):
    """Returns whether an op is the named op or depends on it."""
    seen, stack = set(), [op]
    while stack:
        current = stack.pop()
        if current.name == name:
            return True
        for tensor in current.inputs:
            if tensor.op.name not in seen:
                seen.add(tensor.op.name)
                stack.append(tensor.op)
    return False


def shorten(message):
    """Returns the first line of an error message, shortened for the manifest."""
    line = message.strip().splitlines()[0]
    return line if len(line) <= MESSAGE_LENGTH else line[: MESSAGE_LENGTH - 3] + "..."


def channel_gradient(layer, channel, placeholder):
    """Returns d mean(layer[..., channel]) / d placeholder; zeros if they are not connected, None if it is forbidden."""
    try:
        (gradient,) = tf.gradients(tf.reduce_mean(layer[..., channel]), placeholder)
    except LookupError:  # an op such as PreventGradient
        return None
    return tf.zeros_like(placeholder) if gradient is None else tf.convert_to_tensor(gradient)  # Gather has a sparse gradient


def gradients(session, tensors, feed, pairs, job):
    """Returns the gradients of channel means, and their changes if the last bits of the input change."""
    ((placeholder, image),) = feed.items()
    wanted = {f"{layer}:{channel}": channel_gradient(tensors[layer], channel, placeholder) for layer, channel in pairs}
    wanted = {key: gradient for key, gradient in wanted.items() if gradient is not None}
    base = session.run(wanted, feed)
    results = {"gradient/" + key: value for key, value in base.items()}
    random = np.random.RandomState(job.get("seed", 0))
    moved = {key: [] for key in base}
    for _ in range(job.get("draws", 0)):
        up = random.randint(0, 2, size=image.shape).astype(bool)
        away = np.where(up, np.float32(np.inf), np.float32(-np.inf))
        for key, value in session.run(wanted, {placeholder: np.nextafter(image, away)}).items():
            moved[key].append(value - base[key])
    results.update(("moved/" + key, np.stack(values)) for key, values in moved.items() if values)
    return results


def compare_with_lucid(job, feeds, values):
    """Returns the largest absolute difference between each `_pre_relu` layer and the same layer of Lucid's class."""
    import lucid.modelzoo.vision_models as models

    ((input_name, image),) = feeds.items()
    parent = getattr(models, job["lucid_class"])
    model = type("Subject", (parent,), {"model_path": job["graph"]})()
    graph = tf.Graph()
    with graph.as_default(), new_session(graph) as session:
        placeholder = tf.placeholder(tf.float32, [None, None, None, 3])
        layer = model.import_graph(placeholder, input_map={input_name: placeholder})
        names = [
            op.name[len("import/") :]
            for op in graph.get_operations()
            if op.name.endswith("_pre_relu") and "Concat" in op.type
        ]
        theirs = session.run({name: layer(name) for name in names}, {placeholder: image})
    return {name: float(np.max(np.abs(theirs[name] - values[name]))) for name in names}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python oracle_script.py jobs.json")
    main(sys.argv[1])
