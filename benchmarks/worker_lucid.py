"""Worker that renders with Lucid 0.3.10, on TensorFlow 1.15 or on TensorFlow 2's v1 API. Python 3.7 or later.

Uses `make_vis_T` with Lucid's own transforms and optimizer, and the same loop as `render_vis`: one `session.run` per
step, which makes the update and fetches the objective's value.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import lucid_on_tf2

# isort: split
import numpy as np
import tensorflow as tf  # the v1 API, also on TensorFlow 2
from lucid.modelzoo.vision_models import InceptionV1
from lucid.optvis import objectives, param, render
from pace import Pace, job


def objective_of(layer: str, units: Sequence[int]) -> objectives.Objective:
    """Returns the objective of one unit, or of one unit for each image of the batch."""
    if len(units) == 1:
        return objectives.channel(layer, units[0])
    return sum(objectives.channel(layer, unit, batch=image) for image, unit in enumerate(units))


def main(task: dict[str, Any]) -> None:
    """Runs steps until the driver closes the pipe."""
    pace = Pace(task)
    threads = task["threads"] or 0  # 0: TensorFlow's own choice
    config = tf.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)

    class Given(InceptionV1):
        model_path = task["graph"]
        labels_path = synsets_path = None

    with tf.Graph().as_default(), tf.Session(config=config) as session:
        np.random.seed(task["seed"])  # noqa: NPY002  # Lucid draws from this state
        tf.set_random_seed(task["seed"])
        T = render.make_vis_T(
            Given(),
            objective_of(task["layer"], task["units"]),
            lambda: param.image(task["size"], batch=len(task["units"])),
            relu_gradient_override=task["relu_gradient_override"],
        )
        loss, update = T("loss"), T("vis_op")
        tf.global_variables_initializer().run()
        python = ".".join(str(part) for part in sys.version_info[:3])
        versions = {"tensorflow": lucid_on_tf2.VERSION, "lucid": "0.3.10", "numpy": np.__version__}
        pace.ready({"python": python, **versions})
        while True:
            pace.step_done(session.run([loss, update])[0])


if __name__ == "__main__":
    main(job())
