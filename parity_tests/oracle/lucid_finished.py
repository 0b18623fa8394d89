"""Whole renders by the real Lucid: objective values and pictures.

Runs in the reference environment only (Python 3.7, TensorFlow 1.15.5, Lucid 0.3.10), driven by
``parity_tests/finished.py``:

    python parity_tests/oracle/lucid_finished.py JOB.json
"""

from __future__ import absolute_import, division, print_function

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import numpy as np
import tensorflow as tf

from lucid.optvis import param, render
from lucid_renders import model_of


def one(model, unit, seed, size, steps):
    """Losses before each update, and the picture after the last, as Lucid's render_vis makes them by default."""
    with tf.Graph().as_default(), tf.Session() as session:
        np.random.seed(seed)
        tf.set_random_seed(seed)
        T = render.make_vis_T(model, unit, lambda: param.image(size), None, None, relu_gradient_override=True)
        tf.global_variables_initializer().run()
        losses = [session.run([T("loss"), T("vis_op")])[0] for _ in range(steps)]
        return np.asarray(losses, np.float32), T("input").eval()[0]


def main(path):
    with open(path) as handle:
        job = json.load(handle)
    model = model_of(job["network"])
    losses, pictures = [], []
    for unit in job["units"]:
        for seed in job["seeds"]:
            loss, picture = one(model, unit, seed, job["size"], job["steps"])
            losses.append(loss)
            pictures.append((picture * 255).astype(np.uint8))
            print(unit, seed, loss[-1], flush=True)
    shape = (len(job["units"]), len(job["seeds"]))
    losses, pictures = np.stack(losses), np.stack(pictures)
    np.savez_compressed(
        job["output"],
        losses=losses.reshape(shape + losses.shape[1:]),
        pictures=pictures.reshape(shape + pictures.shape[1:]),
        tensorflow=tf.__version__,
    )


if __name__ == "__main__":
    main(sys.argv[1])
