"""Freezes a SavedModel, or a checkpoint and its meta graph, in the real TensorFlow.

A standalone script, like `oracle_script.py`: it needs only TensorFlow (1.15 on Python 3.7, or any 2.x) and imports nothing
from this project.

    python freezing_script.py job.json

The job is an object with
    kind        "saved_model" or "checkpoint"
    path        the SavedModel's folder, or the .meta file
    checkpoint  the checkpoint's prefix (of a checkpoint)
    input       optional: name of the image placeholder
    outputs     optional: names of the outputs; only the nodes that they depend on are kept
    signature   optional: of a SavedModel
    tags        optional: of a SavedModel
    constants   optional: names of placeholders that get a constant value later
    graph       file to write the frozen graph to
    reply       file to write the answer to

The answer is `{"tensorflow": version, "input": name or null, "outputs": [names]}`, or `{"error": sentence}`.
"""

from __future__ import annotations

import json
import os
import re
import sys

# Python puts a script's own folder first on the path. TensorFlow must not import its modules.
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != os.path.dirname(os.path.abspath(__file__))]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import tensorflow
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

tf = tensorflow.compat.v1
tf.logging.set_verbosity(tf.logging.ERROR)

SERVING_TAG, SERVING_SIGNATURE = "serve", "serving_default"
INIT_SIGNATURE = "__saved_model_init_op"
CALLS = {"StatefulPartitionedCall", "PartitionedCall"}
# Prefix of the names of inlined nodes: the name of the call.
CALL_PREFIX = re.compile(r"\A(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")
VARIABLES = {"Variable", "VariableV2", "VarHandleOp"}
LOSSES = {"SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits", "L2Loss", "CTCLoss", "InTopK", "InTopKV2"}
UPDATES = re.compile(r"\A(Assign|Apply|ResourceApply|Scatter|ResourceScatter|Save|Restore|.*Summary|.*Grad\Z|.*Grad[A-Z])")
MESSAGE_LENGTH = 200


class Refusal(Exception):
    """An error with one sentence for the user."""


def main(path):
    """Runs the job in a file."""
    with open(path) as file:
        job = json.load(file)
    try:
        answer = {"tensorflow": tensorflow.__version__}
        answer.update(KINDS[job["kind"]](job))
    except Refusal as refusal:
        answer = {"error": str(refusal)}
    except Exception as error:  # TensorFlow raises errors of many types
        failure = "TensorFlow %s: %s: %s" % (tensorflow.__version__, type(error).__name__, shorten(str(error)))
        answer = {"error": failure + newer_writer(job)}
    with open(job["reply"], "w") as file:
        json.dump(answer, file)


def newer_writer(job):
    """Returns a hint if another major version of TensorFlow wrote the file, otherwise an empty string."""
    try:
        if job["kind"] == "saved_model":
            meta = read_saved_model(job["path"]).meta_graphs[0]
        else:
            meta = meta_graph_pb2.MetaGraphDef()
            with open(job["path"], "rb") as file:
                meta.ParseFromString(file.read())
    except (IndexError, ValueError, OSError, DecodeError):
        return ""
    version = meta.meta_info_def.tensorflow_version
    if version.split(".")[0] in ("", tensorflow.__version__.split(".")[0]):
        return ""
    return " (TensorFlow %s wrote it: name a Python that has it)" % version


# -- SavedModels ------------------------------------------------------------------------------------------------------


def saved_model(job):
    """Freezes a SavedModel."""
    meta = choose_meta_graph(read_saved_model(job["path"]), job.get("tags"))
    name, signature = choose_signature(meta, job.get("signature"))
    if calls_functions(meta, signature):
        return freeze_function(job, meta, name)
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        tf.saved_model.load(session, list(meta.meta_info_def.tags), job["path"])
        entry = job.get("input") or signature_input(signature, job)
        stated = signature_outputs(signature) if signature is not None else []
        outputs = job.get("outputs") or stated or guess_outputs(graph, entry, job)
        return freeze_session(session, job, entry, outputs)


def read_saved_model(folder):
    """Reads the SavedModel's protobuf message."""
    saved = saved_model_pb2.SavedModel()
    binary, text = (os.path.join(folder, "saved_model" + suffix) for suffix in (".pb", ".pbtxt"))
    if os.path.exists(binary):
        with open(binary, "rb") as file:
            saved.ParseFromString(file.read())
    else:
        from google.protobuf import text_format

        with open(text) as file:
            text_format.Parse(file.read(), saved)
    return saved


def choose_meta_graph(saved, tags):
    """Returns the graph with the given tags; by default the only one, or the one for serving."""
    found = list(saved.meta_graphs)
    if tags:
        matching = [meta for meta in found if set(meta.meta_info_def.tags) == set(tags)]
    else:
        matching = found if len(found) == 1 else [m for m in found if set(m.meta_info_def.tags) == {SERVING_TAG}]
    if len(matching) != 1:
        there = "; ".join(",".join(sorted(meta.meta_info_def.tags)) or "(none)" for meta in found)
        raise Refusal("The SavedModel has graphs with the tags %s: choose one by its tags (--tags)." % (there or "(no graph)"))
    return matching[0]


def choose_signature(meta, name):
    """Returns the named signature and its name; by default the only or the serving one; (None, None) if there is none."""
    found = {key: meta.signature_def[key] for key in sorted(meta.signature_def) if key != INIT_SIGNATURE}
    found = {key: signature for key, signature in found.items() if signature.outputs}
    if name is None and not found:
        return None, None
    if name is None:
        name = next(iter(found)) if len(found) == 1 else SERVING_SIGNATURE
    if name not in found:
        there = ", ".join(found) or "(none)"
        lacks = "" if name == SERVING_SIGNATURE else " and none called %r" % str(name)
        raise Refusal("The SavedModel has the signatures %s%s: name one with signature (--signature)." % (there, lacks))
    return name, found[name]


def calls_functions(meta, signature):
    """Returns whether a signature calls functions, as exported by TensorFlow 2."""
    if signature is None:
        return False
    ops = {node.name: node.op for node in meta.graph_def.node}
    return any(ops.get(node_of(info.name)) in CALLS for info in signature.outputs.values())


def signature_input(signature, job):
    """Returns the name of a signature's image: its only input of rank 4, or its only possible image; None if ambiguous."""
    if signature is None:
        return None
    infos = [info for info in signature.inputs.values() if node_of(info.name) not in job.get("constants", ())]
    images = [info for info in infos if is_image(tf.as_dtype(info.dtype), info.tensor_shape)]
    sure = [info for info in images if len(info.tensor_shape.dim) == 4] or images
    return node_of(sure[0].name) if len(sure) == 1 else None


def is_image(dtype, shape):
    """Returns whether a placeholder of this dtype and shape (a proto) can be an image."""
    return dtype.is_floating and (shape.unknown_rank or len(shape.dim) in (0, 4))


def signature_outputs(signature):
    """Returns the names of a signature's outputs: the floating-point ones, or all if none is floating point."""
    infos = [signature.outputs[key] for key in sorted(signature.outputs)]
    real = [info for info in infos if tf.as_dtype(info.dtype).is_floating]
    return unique(node_of(info.name) for info in real or infos)


def freeze_function(job, meta, signature):
    """Freezes a signature that is a function, as exported by TensorFlow 2; the prefix of the call is removed from names."""
    if tensorflow.__version__.startswith("1."):
        raise Refusal(
            "The SavedModel was exported by TensorFlow 2, and this is TensorFlow %s: name a Python with TensorFlow 2."
            % tensorflow.__version__
        )
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = tensorflow.saved_model.load(job["path"], tags=list(meta.meta_info_def.tags))
    frozen = convert_variables_to_constants_v2(loaded.signatures[signature])
    graph_def = without_call_prefixes(frozen.graph.as_graph_def())
    images = [tensor for tensor in frozen.inputs if is_image(tensor.dtype, tensor.shape.as_proto())]
    real = [tensor for tensor in frozen.outputs if tensor.dtype.is_floating] or frozen.outputs
    outputs = job.get("outputs") or unique(tensor.op.name for tensor in real)
    check_nodes(outputs, {node.name for node in graph_def.node})
    write(tf.graph_util.extract_sub_graph(graph_def, outputs), job["graph"])
    entry = job.get("input") or (images[0].op.name if len(images) == 1 else None)
    return {"input": entry, "outputs": outputs}


def without_call_prefixes(graph_def):
    """Renames nodes to their names in their functions, unless two nodes would have the same name."""
    short = {node.name: CALL_PREFIX.sub("", node.name) for node in graph_def.node}
    times = {}
    for name in short.values():
        times[name] = times.get(name, 0) + 1
    short = {name: new if new and times[new] == 1 else name for name, new in short.items()}
    for node in graph_def.node:
        node.name = short[node.name]
        for index, source in enumerate(node.input):
            control = "^" if source.startswith("^") else ""
            name, colon, output = source[len(control):].partition(":")
            node.input[index] = control + short.get(name, name) + colon + output
    return graph_def


# -- checkpoints ------------------------------------------------------------------------------------------------------


def checkpoint(job):
    """Freezes a meta graph with a checkpoint's variables."""
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        saver = tf.train.import_meta_graph(job["path"], clear_devices=True)
        entry = job.get("input") or image_placeholder(graph, job)
        outputs = job.get("outputs") or guess_outputs(graph, entry, job)
        check_nodes(outputs, {op.name for op in graph.get_operations()})
        restore(session, job["checkpoint"], outputs, saver)
        return freeze_session(session, job, entry, outputs)


def restore(session, prefix, outputs, saver):
    """Restores the variables that the outputs depend on; others may be missing in the checkpoint."""
    needed = {node.name for node in tf.graph_util.extract_sub_graph(session.graph.as_graph_def(), outputs).node}
    ops = {name for name in needed if session.graph.get_operation_by_name(name).type in VARIABLES}
    variables = [variable for variable in tf.global_variables() if variable.op.name in ops]
    reader = tf.train.NewCheckpointReader(prefix)
    missing = sorted(variable.op.name for variable in variables if not reader.has_tensor(variable.op.name))
    if missing:
        raise Refusal(
            "The checkpoint lacks %d of the %d variables that the graph needs (%s): it is the checkpoint of another graph."
            % (len(missing), len(ops), ", ".join(missing[:3]))
        )
    if len(variables) == len(ops):
        saver = tf.train.Saver(variables) if variables else None
    if saver is not None:
        saver.restore(session, prefix)


# -- both -------------------------------------------------------------------------------------------------------------


def freeze_session(session, job, entry, outputs):
    """Writes the graph of a session's outputs, with variables as constants."""
    graph_def = session.graph.as_graph_def()
    check_nodes(outputs, {node.name for node in graph_def.node})
    for node in graph_def.node:
        node.device = ""
    write(tf.graph_util.convert_variables_to_constants(session, graph_def, outputs), job["graph"])
    return {"input": entry, "outputs": outputs}


def write(graph_def, path):
    with open(path, "wb") as file:
        file.write(graph_def.SerializeToString())


def check_nodes(names, there):
    missing = [name for name in names if name not in there]
    if missing:
        raise Refusal("The graph has no node called %r, which was named as an output." % str(missing[0]))


def image_placeholder(graph, job):
    """Returns the name of the only placeholder that can be an image."""
    placeholders = [op for op in graph.get_operations() if op.type in ("Placeholder", "PlaceholderWithDefault")]
    placeholders = [op for op in placeholders if op.name not in job.get("constants", ())]
    images = [op for op in placeholders if is_image(op.outputs[0].dtype, op.outputs[0].shape.as_proto())]
    sure = [op for op in images if op.outputs[0].shape.ndims == 4] or images
    if len(sure) != 1:
        names = ", ".join(op.name for op in placeholders[:5]) or "(none)"
        raise Refusal("The graph has the placeholders %s: choose the image with input_name (--input-name)." % names)
    return sure[0].name


def guess_outputs(graph, entry, job):
    """Returns the outputs of a network: nodes that no node reads, and that depend on the image but not on labels or losses.

    These nodes are ignored: gradients, updates of variables, nodes that only gradients and updates read, and nodes without
    floating-point outputs, such as summaries and class indices.
    """
    entry = entry or image_placeholder(graph, job)
    check_nodes([entry], {op.name for op in graph.get_operations()})
    image, loss, update = {entry}, set(), set()
    for op in graph.get_operations():  # always in topological order, except for loops
        sources = {tensor.op.name for tensor in op.inputs}
        if is_update(op) or sources & update:
            update.add(op.name)
        if is_label(op, [entry] + job.get("constants", [])) or op.type in LOSSES or sources & loss:
            loss.add(op.name)
        if sources & image:
            image.add(op.name)
    real = {op.name for op in graph.get_operations() if any(tensor.dtype.base_dtype.is_floating for tensor in op.outputs)}
    network = (image & real) - loss - update - {entry}
    readers = {name: readers_of(graph.get_operation_by_name(name)) for name in network}
    idle = {name for name, reading in readers.items() if reading and reading <= update}
    while idle:  # nodes that only updates read; repeated for the nodes before them
        network -= idle
        update |= idle
        idle = {name for name in network if readers[name] and readers[name] <= update}
    outputs = {name for name in network if not readers[name] & network}
    if not outputs:
        raise Refusal("No node of the graph depends on its placeholder %r alone: name the outputs (--outputs)." % str(entry))
    return [op.name for op in graph.get_operations() if op.name in outputs]


def is_update(op):
    """Returns whether an op belongs to the training, or has side effects."""
    return bool(UPDATES.match(op.type)) or "gradients" in op.name.split("/")


def is_label(op, known):
    """Returns whether an op is a placeholder for labels: not in `known`, and of integer dtype or of rank 1 or more."""
    if op.type != "Placeholder" or op.name in known:
        return False
    tensor = op.outputs[0]
    return tensor.dtype.is_integer or (tensor.shape.ndims or 0) > 0


def readers_of(op):
    return {reader.name for tensor in op.outputs for reader in tensor.consumers()}


def node_of(tensor):
    """Returns the node of `node:0`."""
    return tensor.split(":")[0]


def unique(names):
    return list(dict.fromkeys(names))


def shorten(message):
    """Returns the first non-empty line of an error message, shortened."""
    line = next((line.strip() for line in message.splitlines() if line.strip()), "")
    return line if len(line) <= MESSAGE_LENGTH else line[: MESSAGE_LENGTH - 3] + "..."


KINDS = {"saved_model": saved_model, "checkpoint": checkpoint}

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python freezing_script.py job.json")
    main(sys.argv[1])
