"""Record states of real renders: parameters, moments, draws, gradient and update at chosen steps.

Runs in the reference environment only (Python 3.7, TensorFlow 1.15.5, Lucid 0.3.10), driven by
``parity_tests/optvis/make_references.py``:

    python parity_tests/oracle/lucid_renders.py JOB.json

The job names graph files, renders and the output folder. At each chosen step the variables are
rounded to float16 and set to the result, so that the stored values are exactly those used. Moments,
gradients and updates are stored at seeded positions only.
"""

from __future__ import absolute_import, division, print_function

import json
import os
import sys
import time
import warnings

warnings.filterwarnings("ignore")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import numpy as np
import tensorflow as tf

from lucid.modelzoo import vision_models
from lucid.modelzoo.vision_base import Model
from lucid.optvis import objectives, param, render, transform
from double_precision import in_double_precision, lrn_channels, parameterizations_in_double_precision
from recording import Group, seeded, session

F32 = np.float32


class Adam(tf.train.AdamOptimizer):
    """Lucid's default optimiser, which shows its gradients."""

    def compute_gradients(self, *args, **kwargs):
        found = super(Adam, self).compute_gradients(*args, **kwargs)
        self.pairs = [(g, v) for g, v in found if g is not None]
        return found


def read_graph(path):
    graph_def = tf.GraphDef()
    with open(path, "rb") as handle:
        graph_def.ParseFromString(handle.read())
    return graph_def


def model_of(network, graph_def):

    # Lucid's class of this graph, if there is one, adds the layers that the graph itself lacks.
    base = getattr(vision_models, network["lucid_class"]) if network["lucid_class"] else Model

    class Recorded(base):
        model_path = None
        image_value_range = tuple(np.asarray(v, F32) for v in network["image_value_range"])
        input_name = network["input_name"]
        is_BGR = network["is_BGR"]

    Recorded.graph_def = property(lambda self: graph_def)
    return Recorded()


def build(expression):
    scope = {"objectives": objectives, "param": param, "transform": transform, "seeded": seeded}
    return eval(expression, scope)


DRAWS = {"jitter": "offset", "random_scale": "choice", "random_rotate": "choice"}


def named_draws(transforms, values):
    """Raw draws of all transforms, in order, under the port's names."""
    values = list(values)
    named = {}
    for index, (kind, kwargs) in enumerate(transforms):
        key = "transforms/%d.%s/" % (index, kind)
        if kind == "jitter":
            raw = values.pop(0)
            named[key + "offset"] = np.array([v % (kwargs["d"] + 1) for v in raw[1:3]])
        elif kind in DRAWS:
            named[key + DRAWS[kind]] = np.array(values.pop(0))
        elif kind == "pad" and kwargs.get("constant_value") == "uniform":
            named[key + "constant_value"] = np.array(values.pop(0))
        elif kind == "collapse_alpha_random":
            count = len([v for v in values if np.ndim(v) == 4])
            named[key + "noise"] = np.stack([values.pop(0) for _ in range(count)])
    if values:
        raise ValueError("%d draws were not recognised" % len(values))
    return named


def flat(values):
    return np.concatenate([np.asarray(v).reshape(-1) for v in values])


def moved_by_one_ulp(values, seed):
    random = np.random.RandomState(seed)
    return [(v * (1 + np.where(random.rand(*v.shape) < 0.5, -1, 1) * F32(2.0) ** -23)).astype(F32)
            for v in values]


class Setup(object):
    """A render as Lucid sets it up, with everything that is recorded of it."""

    def __init__(self, model, job, sess):
        optimizer = Adam(0.05)
        transforms = [getattr(transform, kind)(**kwargs) for kind, kwargs in job["transforms"]]
        kinds = ("RandomUniformInt", "RandomUniform", "RandomStandardNormal")
        self.sess = sess
        self.T = render.make_vis_T(model, build(job["objective"]), lambda: tf.cast(build(job["param"]), tf.float32),
                                   optimizer, transforms, relu_gradient_override=True)
        self.variables = [v for _, v in optimizer.pairs]
        self.gradients = [g for g, _ in optimizer.pairs]
        # Not those that initialise variables: they run once, and their values are recorded.
        self.draws = [op.outputs[0] for op in tf.get_default_graph().get_operations()
                      if op.type in kinds and "nitializer" not in op.name]
        self.initialiser = tf.global_variables_initializer()
        sess.run(self.initialiser)
        self.slots = [(optimizer.get_slot(v, "m"), optimizer.get_slot(v, "v"))
                      for v in self.variables]
        size = sum(int(np.prod(v.shape.as_list())) for v in self.variables)
        self.positions = np.sort(np.random.RandomState(job["seed"]).permutation(size)[:2000])

    def padding_values(self):
        """Tensors that hold the constants which images are padded with, and their values."""
        pads = [op.inputs[2] for op in tf.get_default_graph().get_operations()
                if op.type == "PadV2" and op.inputs[2].op.type == "Const" and not op.name.startswith("gradients")]
        return list(zip(pads, self.sess.run(pads))) if pads else []

    def load(self, values):
        for variable, value in zip(self.variables, values):
            variable.load(value, self.sess)

    def update(self, gradients, feed=None):
        """One update with given gradients: computing them beside the update would be a race."""
        feed = dict(feed or {})
        feed.update(zip(self.gradients, gradients))
        self.sess.run(self.T("vis_op"), feed)

    def parameters(self):
        return flat(self.sess.run(self.variables))[self.positions]


def begin(job):
    tf.reset_default_graph()
    tf.set_random_seed(job["seed"])
    np.random.seed(job["seed"])


class State(object):
    """The inputs of a state's gradient, and the gradient."""

    def __init__(self, step, variables, draws, gradient):
        self.key = "state%03d/" % step
        self.variables, self.draws, self.gradient = variables, draws, gradient


def record_rounding(model, job, kept, arrays):
    """How far each gradient is from the one for which network and image compute in float64."""
    begin(job)
    with session() as sess, parameterizations_in_double_precision():
        setup = Setup(model, job, sess)
        for state in kept:
            setup.load(state.variables)
            exact = flat(sess.run(setup.gradients, dict(zip(setup.draws, state.draws))))
            error = np.abs(exact - state.gradient).max() / np.abs(state.gradient).max()
            arrays[state.key + "rounding"] = np.array(error, F32)


def record_states(model, job, states, perturbations):
    """Single steps, from states along a render."""
    begin(job)
    with session() as sess:
        setup = Setup(model, job, sess)
        arrays = {"positions": setup.positions.astype(np.int32), "states": np.array(states)}
        losses, kept = [], []
        for step in range(max(states) + 1):
            values = sess.run(setup.variables)
            if step in states:
                half = [v.astype(np.float16) for v in values]
                values = [h.astype(F32) for h in half]
                setup.load(values)
            fetches = [setup.T("loss"), setup.gradients, setup.draws]
            loss, grads, raw = sess.run(fetches)
            losses.append(np.sum(loss))
            if step in states:
                key = "state%03d/" % step
                moments = sess.run(setup.slots)
                full = flat(grads)
                largest = np.abs(full).max()
                moved = []
                for draw in range(perturbations):
                    setup.load(moved_by_one_ulp(values, draw))
                    other = flat(sess.run(setup.gradients, dict(zip(setup.draws, raw))))
                    moved.append(np.abs(other - full).max() / largest)
                setup.load(values)
                kept.append(State(step, values, raw, full))
                arrays.update({
                    key + "m": flat([m for m, _ in moments])[setup.positions],
                    key + "v": flat([v for _, v in moments])[setup.positions],
                    key + "gradient": full[setup.positions],
                    key + "largest": largest,
                    key + "loss": np.asarray(loss),
                    key + "moved": np.array(moved, F32),
                })
                for number, value in enumerate(half):
                    arrays[key + "variable%02d" % number] = value
                for name, value in named_draws(job["transforms"], raw).items():
                    arrays[key + "draw:" + name] = value
            setup.update(grads)
            if step in states:
                arrays[key + "next"] = setup.parameters()
        arrays["initial_losses"] = np.array(losses[:20], F32)
    return arrays, kept


FREE_DRAWS = 6
"""Perturbed free runs with random signs, beside the two in which everything moves alike."""


def relative_moves(variables, paddings):
    """Returns factors of 1 (first) and 1 +- 1e-6 for the initial parameters and the constants of the padding."""
    sizes = [v.shape for v in variables] + [np.shape(p) for p in paddings]
    moves = [[np.full(size, factor) for size in sizes] for factor in (1.0, 1 + 1e-6, 1 - 1e-6)]
    for draw in range(FREE_DRAWS):
        random = np.random.RandomState(draw)
        moves.append([1 + 1e-6 * np.where(random.rand(*size) < 0.5, -1, 1) for size in sizes])
    return moves


def record_free(group, model, job, steps):
    """Records the first steps, and their change when parameters and padding are multiplied by 1 +- 1e-6.

    The padding is perturbed, too: in a constant area, all positions of a ReLU flip together, and perturbed parameters
    do not affect this area.
    """
    begin(job)
    with session() as sess:
        setup = Setup(model, job, sess)
        half = [v.astype(np.float16) for v in sess.run(setup.variables)]
        start = [h.astype(F32) for h in half]
        arrays = {}
        for number, value in enumerate(half):
            arrays["variable%02d" % number] = value
        filled = setup.padding_values()
        recorded, paths = [], []
        for moves in relative_moves(start, [value for _, value in filled]):
            sess.run(setup.initialiser)
            setup.load([(v * move).astype(F32) for v, move in zip(start, moves)])
            padding = {t: (v * m).astype(F32) for (t, v), m in zip(filled, moves[len(start):])}
            path = []
            for step in range(steps):
                feed = dict(padding)
                if step < len(recorded):
                    feed.update(zip(setup.draws, recorded[step]))
                grads, raw = sess.run([setup.gradients, setup.draws], feed)
                if not paths:
                    recorded.append(raw)
                    for name, value in named_draws(job["transforms"], raw).items():
                        arrays["step%d/draw:%s" % (step, name)] = value
                setup.update(grads)
                path.append(sess.run(setup.T("input")).reshape(-1))
            paths.append(np.stack(path))
        # Images, not parameters: some parameters have no effect, and drift on rounding noise.
        pixels = np.random.RandomState(job["seed"]).permutation(paths[0].shape[1])[:2000]
        arrays["pixels"] = np.sort(pixels).astype(np.int32)
        arrays["path"] = paths[0][:, arrays["pixels"]]
        for name, norm in (("max", np.max), ("mean", np.mean)):
            distances = [norm(np.abs(p - paths[0]), axis=1) for p in paths[1:]]
            arrays["own_" + name] = np.stack(distances)
    group.add(job, arrays)


def main(path):
    with open(path) as handle:
        job = json.load(handle)
    models, twins = {}, {}
    for one in job["renders"]:
        started = time.time()
        name = one["network"]
        if name not in models:
            network = job["networks"][name]
            graph_def = read_graph(network["path"])
            models = {name: model_of(network, graph_def)}
            twins = {}
            if network["is_smooth"]:  # in other networks rounding flips decisions, so the difference means nothing
                twins[name] = model_of(network, in_double_precision(graph_def, lrn_channels(graph_def)))
        model = models[name]
        if job["states"]:
            group = Group(one["name"])
            arrays, kept = record_states(model, one, job["states"], job["perturbations"])
            if name in twins:
                record_rounding(twins[name], one, kept, arrays)
            group.add(one, arrays)
            group.write(job["output"])
        group = Group(one["name"] + "_free")
        record_free(group, model, one, job["free_steps"])
        group.write(job["output"])
        print(one["name"], "%.0f s" % (time.time() - started))
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
