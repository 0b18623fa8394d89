"""Cases of Lucid's objectives, one by one and combined; `lucid_functions.py` writes them.

Runs in the reference environment only (Python 3.7, TensorFlow 1.15.5, Lucid 0.3.10).
"""

from __future__ import absolute_import, division, print_function

import tensorflow as tf
from lucid.optvis import objectives

from recording import Group, arguments, fresh, seeded, session

NORMAL, UNIFORM = "normal", "uniform"
EVEN, ODD = (1, 6, 8, 5), (3, 7, 5, 5)


def objective_case(group, name, factory, kwargs, layers, seed, build=None):
    """`layers` is name -> (shape, kind); the gradient is that of each layer."""
    fresh(seed)
    tensors = {}
    for number, key in enumerate(sorted(layers)):
        shape, kind = layers[key]
        tensors[key] = tf.constant(seeded(seed + number, shape, kind))
    labels = ["dummy", "cat", "dog", "kite"]
    T = lambda key: labels if key == "labels" else tensors[key]
    objective = build() if build else getattr(objectives, factory)(**arguments(kwargs))
    value = tf.convert_to_tensor(objective(T), tf.float32)
    keys = sorted(layers)
    grads = tf.gradients(value, [tensors[key] for key in keys])
    kept = [(k, g) for k, g in zip(keys, grads) if g is not None]
    with session() as sess:
        out, gradients = sess.run([value, [g for _, g in kept]])
    arrays = {"output": out}
    for (key, _), gradient in zip(kept, gradients):
        arrays["gradient:" + key] = gradient
    case = {"name": name, "factory": factory, "kwargs": kwargs, "layers": layers, "seed": seed,
            "objective_name": objective.name, "description": objective.description}
    group.add(case, arrays)


def single_cases(shape):
    """Factory, arguments and layers of objectives on layers of one shape."""
    act = {"lay": (shape, NORMAL)}
    image = {"input": (shape[:3] + (3,), UNIFORM)}
    return [
        ("neuron", {"layer_name": "lay", "channel_n": 2}, act),
        ("neuron", {"layer_name": "lay", "channel_n": 4, "x": 5, "y": 1}, act),
        ("channel", {"layer": "lay", "n_channel": 3}, act),
        ("channel", {"layer": "lay", "n_channel": 3, "batch": 0}, act),
        ("direction", {"layer": "lay", "vec": {"array": [7, [5], NORMAL]}}, act),
        ("direction", {"layer": "lay", "vec": {"array": [7, [5], NORMAL]}, "cossim_pow": 1}, act),
        ("direction", {"layer": "lay", "vec": {"array": [8, [5], NORMAL]}, "cossim_pow": 2.5,
                       "batch": 0}, act),
        ("direction_neuron", {"layer_name": "lay", "vec": {"array": [9, [5], NORMAL]}}, act),
        ("direction_neuron", {"layer_name": "lay", "vec": {"array": [9, [5], NORMAL]},
                              "x": 2, "y": 4, "cossim_pow": 2}, act),
        ("tensor_direction", {"layer": "lay", "vec": {"array": [10, [3, 4, 5], NORMAL]}}, act),
        ("tensor_direction", {"layer": "lay", "vec": {"array": [10, [2, 3, 5], NORMAL]},
                              "cossim_pow": 1.5}, act),
        ("deepdream", {"layer": "lay"}, act),
        ("total_variation", {}, image),
        ("total_variation", {"layer": "lay"}, act),
        ("L1", {}, image),
        ("L1", {"layer": "lay", "constant": 0.3}, act),
        ("L2", {"constant": 0.5}, image),
        ("L2", {"layer": "lay", "epsilon": 0.1}, act),
        ("blur_input_each_step", {}, image),
        ("blur_alpha_each_step", {}, {"input": (shape[:3] + (4,), UNIFORM)}),
        ("penalize_boundary_complexity", {"shp": shape[:3] + (3,), "w": 2}, image),
        ("penalize_boundary_complexity",
         {"shp": shape[:3] + (3,), "mask": {"array": [11, shape[:3] + (1,), UNIFORM]},
          "C": 0.2}, image),
        ("diversity", {"layer": "lay"}, act),
        ("input_diff", {"orig_img": {"array": [12, shape[:3] + (3,), UNIFORM]}}, image),
        ("class_logit", {"layer": "head", "label": 2}, {"head": ((shape[0], 4), NORMAL)}),
        ("class_logit", {"layer": "head", "label": 3, "batch": 0},
         {"head": ((shape[0], 4), NORMAL)}),
        ("class_logit", {"layer": "head", "label": "kite"},
         {"head": ((shape[0], 4), NORMAL)}),
        ("neuron", {"layer_name": "head", "channel_n": 1}, {"head": ((shape[0], 4), NORMAL)}),
        ("channel", {"layer": "head", "n_channel": 1}, {"head": ((shape[0], 4), NORMAL)}),
    ]


def batch_cases():
    """Factory, arguments and layers of objectives that tell the images of a batch apart."""
    many = {"lay": ((6, 4, 5, 3), NORMAL)}
    return [
        ("channel", {"layer": "lay", "n_channel": 1, "batch": 2}, {"lay": (ODD, NORMAL)}),
        ("neuron", {"layer_name": "lay", "channel_n": 1, "batch": 2}, {"lay": (ODD, NORMAL)}),
        ("tensor_direction", {"layer": "lay", "vec": {"array": [10, [3, 3, 4, 5], NORMAL]}},
         {"lay": (ODD, NORMAL)}),
        ("alignment", {"layer": "lay"}, many),
        ("alignment", {"layer": "lay", "decay_ratio": 3}, {"lay": (ODD, NORMAL)}),
        ("diversity", {"layer": "lay"}, many),
        ("channel_interpolate", {"layer1": "lay", "n_channel1": 0, "layer2": "other",
                                 "n_channel2": 3},
         {"lay": ((6, 4, 5, 3), NORMAL), "other": ((6, 2, 3, 4), NORMAL)}),
        ("direction", {"layer": "lay", "vec": {"array": [7, [3], NORMAL]}, "cossim_pow": 1},
         {"lay": ((2, 3, 3, 3), "zero")}),
    ]


def combinations():
    """Expressions of several objectives, and functions that build them."""
    channel, L1, tv = objectives.channel, objectives.L1, objectives.total_variation
    return [
        ("channel('lay', 0) + channel('lay', 1)", lambda: channel("lay", 0) + channel("lay", 1)),
        ("2 * channel('lay', 0) - 0.5 * L1()", lambda: 2 * channel("lay", 0) - 0.5 * L1()),
        ("-channel('lay', 0) + 3", lambda: -channel("lay", 0) + 3),
        ("channel('lay', 0) * channel('lay', 1)", lambda: channel("lay", 0) * channel("lay", 1)),
        ("channel('lay', 0) - total_variation()", lambda: channel("lay", 0) - tv()),
        ("sum([channel('lay', 0), channel('lay', 1, batch=1)])",
         lambda: sum([channel("lay", 0), channel("lay", 1, batch=1)])),
        ("Objective.sum([channel('lay', 0), L1()])",
         lambda: objectives.Objective.sum([channel("lay", 0), L1()])),
        ("as_objective('lay: 3')", lambda: objectives.as_objective("lay: 3")),
    ]


def objectives_group():
    group = Group("objectives")
    table = single_cases(EVEN) + single_cases(ODD) + batch_cases()
    for number, (factory, kwargs, layers) in enumerate(table):
        name = "%s_%d" % (factory, number)
        objective_case(group, name, factory, kwargs, layers, 600 + 3 * number)
    act = {"lay": (ODD, NORMAL), "input": ((3, 6, 5, 3), UNIFORM)}
    for number, (expression, build) in enumerate(combinations()):
        objective_case(group, "algebra_%d" % number, expression, {}, act, 900 + 3 * number, build)
    return group
