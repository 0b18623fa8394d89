"""Seeded inputs, and the groups of cases that the scripts of this folder write.

Runs in the reference environment only (Python 3.7, TensorFlow 1.15.5, Lucid 0.3.10).
"""

from __future__ import absolute_import, division, print_function

import io
import json
import os
import sys
import warnings
import zipfile

warnings.filterwarnings("ignore")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

tf.logging.set_verbosity(tf.logging.ERROR)

import lucid

F32 = np.float32


# Shared with the tests: parity_tests/optvis/cases.py has the same two functions.


def seeded(seed, shape, kind="uniform"):
    if kind == "zero":
        return np.zeros(shape, F32)
    random = np.random.RandomState(seed)
    values = random.rand(*shape) if kind == "uniform" else random.randn(*shape)
    return np.asarray(values, F32)


def pattern(shape):
    count = int(np.prod(shape))
    return ((np.arange(count) * 7919 % 101).astype(F32) / F32(50) - F32(1)).reshape(shape)


def tf_pattern(tensor):
    index = tf.range(tf.size(tensor))
    values = tf.cast(index * 7919 % 101, tf.float32) / 50.0 - 1.0
    return tf.reshape(values, tf.shape(tensor))


def arguments(kwargs):
    """Arguments of a case: {"array": [seed, shape, kind]} is replaced by a seeded array."""
    made = {}
    for key, value in kwargs.items():
        if isinstance(value, dict) and "array" in value:
            value = seeded(*value["array"])
        made[key] = value
    return made


class Group(object):
    def __init__(self, name):
        self.name = name
        self.arrays = {}
        self.cases = []

    def add(self, case, arrays):
        for key, value in arrays.items():
            self.arrays["%s|%s" % (case["name"], key)] = np.asarray(value)
        self.cases.append(case)

    def write(self, folder):
        # Fixed time stamps, so that the same numbers make the same file.
        path = os.path.join(folder, self.name + ".npz")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key in sorted(self.arrays):
                buffer = io.BytesIO()
                np.save(buffer, self.arrays[key])
                info = zipfile.ZipInfo(key.replace("/", "~") + ".npy", (1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, buffer.getvalue())
        content = {
            "made_by": "parity_tests/oracle/lucid_functions.py",
            "versions": {
                "python": sys.version.split()[0],
                "tensorflow": tf.__version__,
                "lucid": lucid.__version__,
                "numpy": np.__version__,
            },
            "cases": self.cases,
        }
        with open(os.path.join(folder, self.name + ".json"), "w") as handle:
            json.dump(content, handle, indent=1, sort_keys=True)
            handle.write("\n")
        print(self.name, len(self.cases), "cases", os.path.getsize(path), "bytes")


def fresh(seed=0):
    tf.reset_default_graph()
    tf.set_random_seed(seed)
    np.random.seed(seed)


def session():
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    return tf.Session(config=config)


def random_ops():
    kinds = ("RandomUniformInt", "RandomUniform", "RandomStandardNormal")
    return [op for op in tf.get_default_graph().get_operations() if op.type in kinds]
