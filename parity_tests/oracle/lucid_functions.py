"""Record Lucid's values: outputs and gradients of its public functions.

Runs in the reference environment only (Python 3.7, TensorFlow 1.15.5, Lucid 0.3.10):

    python parity_tests/oracle/lucid_functions.py reference_outputs/functions [group ...]

Each group is written as GROUP.npz with its cases in GROUP.json. Inputs are not stored: the tests
make them again from the seed and shape in the case (`seeded` in recording.py; NumPy's legacy generator is
frozen). Incoming gradients follow a fixed pattern (`pattern`). Random draws of TensorFlow are
fetched in the same session run as the output, and stored under the names that the port gives
them.
"""

from __future__ import absolute_import, division, print_function

import os
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

tf.logging.set_verbosity(tf.logging.ERROR)

from lucid.misc.gradient_override import gradient_override_map
from lucid.optvis import param, style, transform
from lucid.optvis import overrides  # noqa: F401, which makes the next two modules known
from lucid.optvis.param import color, spatial, unit_balls

from lucid_objectives import objectives_group
from recording import Group, arguments, fresh, random_ops, seeded, session, tf_pattern

F32 = np.float32
redirected = sys.modules["lucid.optvis.overrides.redirected_relu_grad"]
smoothed = sys.modules["lucid.optvis.overrides.smoothed_maxpool_grad"]
cppn_module = sys.modules["lucid.optvis.param.cppn"]


# Transforms -----------------------------------------------------------------------------------

SHAPES = [(1, 16, 16, 3), (3, 15, 12, 3), (1, 17, 23, 3)]


def draws_of(factory, values, kwargs):
    """TensorFlow's raw draws under the port's names."""
    if factory == "jitter":
        raw = values[0]
        return {"jitter/offset": np.array([[v % (kwargs["d"] + 1) for v in raw[1:3]]])}
    if factory in ("random_scale", "random_rotate"):
        return {factory + "/choice": np.array([values[0]])}
    if factory == "pad" and values:
        return {"pad/constant_value": np.array([values[0]])}
    if factory == "collapse_alpha_random":
        return {"collapse_alpha_random/noise": np.stack(values)[None]}
    return {}


def transform_case(group, name, factory, kwargs, shape, seed):
    fresh(seed)
    x = tf.constant(seeded(seed, shape))
    before = len(random_ops())
    y = getattr(transform, factory)(**arguments(kwargs))(x)
    ops = [op.outputs[0] for op in random_ops()[before:]]
    grad = tf.gradients(y, x, tf_pattern(y))[0]
    with session() as sess:
        out, gradient, values = sess.run([y, grad, ops])
    arrays = {"output": out, "gradient": gradient}
    for key, value in draws_of(factory, values, kwargs).items():
        arrays["draw:" + key] = value
    case = {"name": name, "factory": factory, "kwargs": kwargs, "shape": shape, "seed": seed}
    group.add(case, arrays)


def transforms_group():
    group = Group("transforms")
    configs = [
        ("jitter", {"d": 5}),
        ("jitter", {"d": 8}),
        ("pad", {"w": 3}),
        ("pad", {"w": 4, "mode": "symmetric"}),
        ("pad", {"w": 12, "mode": "constant", "constant_value": 0.5}),
        ("pad", {"w": 2, "mode": "CONSTANT", "constant_value": "uniform"}),
        ("random_scale", {"scales": [0.5]}),
        ("random_scale", {"scales": [0.9]}),
        ("random_scale", {"scales": [1.06]}),
        ("random_scale", {"scales": [2.3]}),
        ("random_scale", {"scales": [0.94, 1.1, 1.3]}),
        ("random_rotate", {"angles": [-7]}),
        ("random_rotate", {"angles": [33]}),
        ("random_rotate", {"angles": [90]}),
        ("random_rotate", {"angles": [0.6], "units": "radians"}),
        ("random_rotate", {"angles": [-10, 3, 0, 45]}),
        ("normalize_gradient", {}),
        ("crop_or_pad_to", {"height": 20, "width": 9}),
        ("crop_or_pad_to", {"height": 11, "width": 25}),
    ]
    seed = 0
    for number, (factory, kwargs) in enumerate(configs):
        for index, shape in enumerate(SHAPES):
            seed += 1
            transform_case(group, "%s_%d_%d" % (factory, number, index), factory, kwargs, shape, seed)
    transform_case(
        group,
        "normalize_gradient_scales",
        "normalize_gradient",
        {"grad_scales": [0.5, 2.0, 3.0]},
        SHAPES[1],
        90,
    )
    for index, (shape, sd) in enumerate([((1, 16, 16, 4), 0.5), ((3, 15, 13, 4), 0.2)]):
        kwargs = {"sd": sd}
        name = "collapse_alpha_random_%d" % index
        transform_case(group, name, "collapse_alpha_random", kwargs, shape, 91 + index)
    standard_cases(group)
    rotation_table(group)
    return group


def standard_cases(group):
    """The whole default chain, and draws of each of its five transforms."""
    for index, shape in enumerate([(1, 64, 64, 3), (3, 41, 50, 3)]):
        fresh(200 + index)
        x = tf.constant(seeded(200 + index, shape))
        y = transform.compose(transform.standard_transforms)(x)
        ops = [op.outputs[0] for op in random_ops()]
        grad = tf.gradients(y, x, tf_pattern(y))[0]
        with session() as sess:
            for repeat in range(2):
                out, gradient, values = sess.run([y, grad, ops])
                first, scale, angle, last = values
                arrays = {
                    # The whole output would be large: every third row and column shows any shift.
                    "output": out[:, ::3, ::3],
                    "output_shape": np.array(out.shape),
                    "gradient": gradient[:, ::3, ::3],
                    "draw:1.jitter/offset": np.array([[v % 9 for v in first[1:3]]]),
                    "draw:2.random_scale/choice": np.array([scale]),
                    "draw:3.random_rotate/choice": np.array([angle]),
                    "draw:4.jitter/offset": np.array([[v % 5 for v in last[1:3]]]),
                }
                case = {"name": "standard_%d_%d" % (index, repeat), "factory": "standard",
                        "kwargs": {}, "shape": shape, "seed": 200 + index}
                group.add(case, arrays)


def rotation_table(group):
    """Index images under each default angle: which pixel goes where, at real sizes."""
    fresh(0)
    height, width = 131, 140
    index = np.arange(1, height * width + 1, dtype=F32).reshape(1, height, width, 1)
    x = tf.constant(index)
    angle = tf.placeholder(tf.float32, [])
    y = tf.contrib.image.rotate(x, angle)
    grad = tf.gradients(y, x, tf.constant(index))[0]
    with session() as sess:
        for degrees in range(-10, 11, 5):
            theta = F32(3.14) * F32(degrees) / F32(180)
            out, back = sess.run([y, grad], {angle: theta})
            arrays = {"output": out[0, ..., 0].astype(np.uint16),
                      "gradient": back[0, ..., 0].astype(np.uint16)}
            case = {"name": "rotation_%d" % degrees, "factory": "rotation_table",
                    "kwargs": {"degrees": degrees}, "shape": (height, width), "seed": 0}
            group.add(case, arrays)


# Parameterizations ----------------------------------------------------------------------------


def param_case(group, name, factory, kwargs, seed, make=None, noise=False):
    fresh(seed)
    image = (make or getattr(param, factory, None) or getattr(spatial, factory))(**arguments(kwargs))
    variables = tf.trainable_variables()
    grads = tf.gradients(image, variables, tf_pattern(image)) if variables else []
    ops = [op.outputs[0] for op in random_ops()] if noise else []
    with session() as sess:
        sess.run(tf.global_variables_initializer())
        # Zero weights (the last layer of a CPPN) would hide everything before them.
        if factory == "cppn":
            for number, variable in enumerate(variables):
                shift = 0.3 * seeded(1000 + number, variable.shape.as_list(), "normal")
                variable.load(sess.run(variable) + shift, sess)
        out, gradients, values, noises = sess.run([image, grads, variables, ops])
    arrays = {"output": out}
    for number, (value, gradient) in enumerate(zip(values, gradients)):
        arrays["variable%02d" % number] = value
        arrays["gradient%02d" % number] = gradient
    if noise:
        arrays["draw:0/noise"] = np.stack(noises, 1)[None]
    case = {"name": name, "factory": factory, "kwargs": kwargs, "seed": seed,
            "variables": len(values)}
    group.add(case, arrays)


def params_group():
    group = Group("params")
    seed = 300
    table = [
        ("image", {"w": 16}),
        ("image", {"w": 15, "h": 12, "batch": 3}),
        ("image", {"w": 9, "h": 17, "fft": False, "sd": 0.5}),
        ("image", {"w": 13, "decorrelate": False, "sd": 0.2}),
        ("image", {"w": 12, "alpha": True, "batch": 3, "sd": 0.3}),
        ("image", {"w": 11, "channels": 5}),
        ("image", {"w": 10, "channels": 2, "fft": False}),
        ("grayscale_image_rgb", {"w": 14, "h": 9}),
        ("fft_image", {"shape": [1, 16, 16, 3]}),
        ("fft_image", {"shape": [3, 15, 15, 3], "sd": 0.1}),
        ("fft_image", {"shape": [1, 8, 13, 4], "decay_power": 2}),
        ("fft_image", {"shape": [2, 13, 8, 1], "decay_power": 0.5}),
        ("fft_image", {"shape": [1, 1, 7, 3]}),
        ("pixel_image", {"shape": [3, 7, 8, 3], "sd": 0.7}),
        ("laplacian_pyramid_image", {"shape": [3, 16, 21, 3], "sd": 1.0}),
        ("laplacian_pyramid_image", {"shape": [1, 9, 8, 2], "n_levels": 3}),
        ("lowres_tensor", {"shape": [1, 16, 16, 3], "underlying_shape": [1, 4, 4, 3], "sd": 1.0}),
        ("lowres_tensor", {"shape": [6, 9, 14, 3], "underlying_shape": [2, 3, 5, 3], "sd": 1.0}),
        ("lowres_tensor", {"shape": [5, 12, 12, 6], "underlying_shape": [1, 12, 6, 3], "sd": 1.0,
                           "offset": True}),
        ("lowres_tensor", {"shape": [2, 12, 10, 3], "underlying_shape": [2, 3, 5, 3], "sd": 1.0,
                           "offset": [0, 2, True, False]}),
        ("lowres_tensor", {"shape": [7, 8, 3], "underlying_shape": [10, 3, 3], "sd": 1.0,
                           "offset": 1}),
    ]
    for number, (factory, kwargs) in enumerate(table):
        make = None
        if factory == "laplacian_pyramid_image":
            make = lambda shape, **k: spatial.laplacian_pyramid_image(tuple(shape), **k)
        param_case(group, "%s_%d" % (factory, number), factory, kwargs, seed + number, make)
    activations = {
        "composite": cppn_module._composite_activation,
        "unbiased_composite": lambda x: cppn_module._composite_activation(x, biased=False),
        "relu_normalized": cppn_module._relu_normalized_activation,
    }
    for number, kwargs in enumerate([
        {"width": 9, "num_layers": 3, "num_hidden_channels": 6},
        {"width": 8, "batch": 3, "num_layers": 2, "num_hidden_channels": 5,
         "num_output_channels": 4, "activation_func": "unbiased_composite", "normalize": True},
        {"width": 7, "num_layers": 4, "num_hidden_channels": 6,
         "activation_func": "relu_normalized"},
    ]):
        def make(activation_func="composite", **k):
            return param.cppn(activation_func=activations[activation_func], **k)
        param_case(group, "cppn_%d" % number, "cppn", kwargs, 400 + number, make)
    for number, kwargs in enumerate([
        {"shape": [1, 12, 12, 3], "sd": 0.4},
        {"shape": [3, 9, 7, 3], "decorrelate": False, "decay_power": 1.5},
    ]):
        param_case(group, "image_sample_%d" % number, "image_sample", kwargs, 410 + number,
                   noise=True)
    from lucid.recipes.image_interpolation_params import multi_interpolation_basis
    for number, kwargs in enumerate([
        {"n_objectives": 3, "n_interp_steps": 5, "width": 8},
        {"n_objectives": 2, "n_interp_steps": 4, "width": 9},
    ]):
        param_case(group, "multi_interpolation_basis_%d" % number, "multi_interpolation_basis",
                   kwargs, 420 + number, multi_interpolation_basis)
    pure_cases(group)
    return group


def pure_case(group, name, factory, function, kwargs, shape, seed, kind="normal"):
    """A function of one tensor, without variables."""
    fresh(seed)
    x = tf.constant(seeded(seed, shape, kind))
    y = function(x, **kwargs)
    grad = tf.gradients(y, x, tf_pattern(y))[0]
    with session() as sess:
        out, gradient = sess.run([y, grad])
    case = {"name": name, "factory": factory, "kwargs": kwargs, "shape": shape, "seed": seed,
            "kind": kind}
    group.add(case, {"output": out, "gradient": gradient})


def pure_cases(group):
    number = 0
    for decorrelate in (False, True):
        for sigmoid in (False, True):
            for shape in [(1, 6, 6, 3), (3, 5, 8, 3)]:
                number += 1
                pure_case(group, "to_valid_rgb_%d" % number, "to_valid_rgb", color.to_valid_rgb,
                          {"decorrelate": decorrelate, "sigmoid": sigmoid}, shape, 500 + number)
    for number, (shape, target) in enumerate([
        ((2, 3), (6, 7)), ((1, 4, 5, 3), (1, 9, 5, 3)), ((3, 4, 5, 2), (5, 3, 11, 4)),
        ((2, 3, 4, 5, 2), (2, 6, 4, 9, 3)),
    ]):
        pure_case(group, "resize_bilinear_nd_%d" % number, "resize_bilinear_nd",
                  lambda t, target_shape: sys.modules[
                      "lucid.optvis.param.resize_bilinear_nd"
                  ].resize_bilinear_nd(t, list(target_shape)),
                  {"target_shape": target}, shape, 520 + number)
    for number, name in enumerate(("constrain_L2", "constrain_L_inf",
                                   "constrain_L_inf_precondition")):
        for index, shape in enumerate([(5, 4), (2, 3, 3, 2), (1, 3)]):
            pure_case(group, "%s_%d" % (name, index), name, getattr(unit_balls, name), {}, shape,
                      530 + 10 * number + index)
    for number, (texture, uv) in enumerate([((6, 9, 3), (4, 5, 2)), ((5, 5, 1), (20, 2))]):
        coordinates = seeded(570 + number, uv, "normal")
        pure_case(group, "bilinearly_sampled_image_%d" % number, "bilinearly_sampled_image",
                  lambda t, uv_seed, uv_shape: spatial.bilinearly_sampled_image(
                      t, tf.constant(coordinates)),
                  {"uv_seed": 570 + number, "uv_shape": uv}, texture, 560 + number)


# Gradient overrides ---------------------------------------------------------------------------


def relu_case(group, name, op_type, step, shape, seed):
    fresh(seed)
    value = seeded(seed, shape, "normal") * F32(5)
    value.reshape(-1)[::11] = 0.0
    value.reshape(-1)[5::13] = 6.0
    if shape[0] > 1:
        value[0] = -np.abs(value[0]) - F32(0.01)
        value[-1] = np.abs(value[-1]) + F32(6.5)
    x = tf.constant(value)
    tf.train.get_or_create_global_step()
    rules = {"Relu": redirected.redirected_relu_grad, "Relu6": redirected.redirected_relu6_grad}
    with gradient_override_map(rules):
        y = tf.nn.relu(x) if op_type == "Relu" else tf.nn.relu6(x)
    grad = tf.gradients(y, x, tf_pattern(y))[0]
    with session() as sess:
        sess.run(tf.global_variables_initializer())
        tf.train.get_global_step().load(step, sess)
        out, gradient = sess.run([y, grad])
    case = {"name": name, "factory": op_type, "kwargs": {"step": step}, "shape": shape,
            "seed": seed}
    group.add(case, {"input": value, "output": out, "gradient": gradient})


def pool_case(group, name, smooth, kwargs, shape, seed):
    fresh(seed)
    x = tf.constant(seeded(seed, shape, "normal"))
    k, s = kwargs["ksize"], kwargs["stride"]
    grad_f = smoothed.make_smoothed_maxpool_grad(smooth)
    with gradient_override_map({"MaxPool": grad_f}):
        y = tf.nn.max_pool(x, [1, k, k, 1], [1, s, s, 1], kwargs["padding"])
    grad = tf.gradients(y, x, tf_pattern(y))[0]
    with session() as sess:
        out, gradient = sess.run([y, grad])
    case = {"name": name, "factory": "MaxPool", "kwargs": dict(kwargs, smooth_type=smooth),
            "shape": shape, "seed": seed}
    group.add(case, {"output": out, "gradient": gradient})


def overrides_group():
    group = Group("overrides")
    seed = 1000
    for op_type in ("Relu", "Relu6"):
        for step in (0, 16, 17, 300):
            for shape in [(1, 5, 4, 3), (4, 3, 3, 2), (3, 7)]:
                seed += 1
                name = "%s_%d_%d" % (op_type, step, seed)
                relu_case(group, name, op_type, step, shape, seed)
    for smooth in ("avg", "L2"):
        for ksize, stride, padding in [(3, 2, "SAME"), (3, 1, "SAME"), (2, 2, "VALID"),
                                       (3, 2, "VALID")]:
            for shape in [(1, 8, 8, 2), (3, 9, 7, 2)]:
                seed += 1
                pool_case(group, "MaxPool_%s_%d" % (smooth, seed), smooth,
                          {"ksize": ksize, "stride": stride, "padding": padding}, shape, seed)
    return group


# Optimiser ------------------------------------------------------------------------------------


def optimizer_group():
    """TensorFlow's Adam under given gradients, from 1e-9 to 10."""
    group = Group("optimizer")
    fresh(0)
    count, steps = 60, 600
    start = seeded(1100, (count,), "normal")
    scales = F32(10.0) ** np.linspace(-9, 1, count).astype(F32)
    gradient = tf.placeholder(tf.float32, [count])
    variable = tf.Variable(start)
    optimizer = tf.train.AdamOptimizer(0.05)
    update = optimizer.apply_gradients([(gradient, variable)])
    kept, moments, squares = [], [], []
    at = [1, 2, 3, 10, 17, 18, 100, 300, 600]
    with session() as sess:
        sess.run(tf.global_variables_initializer())
        for step in range(1, steps + 1):
            sess.run(update, {gradient: seeded(1100 + step, (count,), "normal") * scales})
            if step in at:
                values = sess.run([variable, optimizer.get_slot(variable, "m"),
                                   optimizer.get_slot(variable, "v")])
                for store, value in zip((kept, moments, squares), values):
                    store.append(value)
    case = {"name": "adam", "factory": "TFAdam", "kwargs": {"lr": 0.05}, "seed": 1100,
            "shape": [count], "steps": at}
    group.add(case, {"values": np.stack(kept), "m": np.stack(moments), "v": np.stack(squares),
                     "scales": scales})
    return group


# Style ----------------------------------------------------------------------------------------


def style_group():
    group = Group("style")
    shapes = [(1, 6, 5, 4), (3, 5, 7, 3)]
    number = 0
    for loss in ("mean_l1_loss", "mean_l2_loss"):
        for decay in (None, 0.6):
            number += 1
            fresh(1700 + number)
            layers = [tf.placeholder(tf.float32, s) for s in shapes]
            style_loss = style.StyleLoss(layers, decay, loss_func=getattr(style, loss))
            grads = tf.gradients(style_loss.style_loss, layers)
            with session() as sess:
                sess.run(tf.global_variables_initializer())
                target = [seeded(1750 + i, s, "normal") for i, s in enumerate(shapes)]
                style_loss.set_style(dict(zip(layers, target)))
                arrays = {}
                for step in range(3):
                    feeds = [seeded(1800 + 10 * step + i, s, "normal")
                             for i, s in enumerate(shapes)]
                    value, gradients = sess.run([style_loss.style_loss, grads],
                                                dict(zip(layers, feeds)))
                    arrays["output%d" % step] = value
                    for i, gradient in enumerate(gradients):
                        arrays["gradient%d_%d" % (step, i)] = gradient
            case = {"name": "style_%d" % number, "factory": loss, "kwargs": {"ema_decay": decay},
                    "shapes": shapes, "seed": 1700 + number}
            group.add(case, arrays)
    return group


# Miscellaneous --------------------------------------------------------------------------------


def misc_group():
    """Pure NumPy helpers: no gradients."""
    from lucid.misc import ndimage_utils, stimuli
    from lucid.misc.io.collapse_channels import collapse_channels, hue_to_rgb
    from lucid.misc.io.serialize_array import _normalize_array

    group = Group("misc")

    def add(name, factory, kwargs, arrays):
        group.add({"name": name, "factory": factory, "kwargs": kwargs}, arrays)

    angles = list(range(-90, 460, 7))
    for warp in (True, False):
        add("hue_%d" % warp, "hue_to_rgb", {"angles": angles, "warp": warp},
            {"output": np.stack([hue_to_rgb(a, warp) for a in angles])})
    for number, (shape, kind) in enumerate([((4, 5, 7), "uniform"), ((2, 3, 3, 5), "normal")]):
        add("collapse_%d" % number, "collapse_channels", {"array": [2000 + number, shape, kind]},
            {"output": collapse_channels(seeded(2000 + number, shape, kind))})
    for number, domain in enumerate([None, (0, 1), (-1, 1), (0.2, 0.7)]):
        add("normalize_%d" % number, "normalize_array",
            {"array": [2010 + number, (6, 7, 3), "normal"], "domain": domain},
            {"output": _normalize_array(seeded(2010 + number, (6, 7, 3), "normal"), domain)})
    for number, r in enumerate([0, 0.5, 2]):
        x, y = seeded(2020 + number, (9, 8), "normal"), seeded(2030 + number, (9, 8), "normal")
        add("rmin_%d" % number, "rmin", {"r": r, "seeds": [2020 + number, 2030 + number]},
            {"output": stimuli.rmin(x, y, r)})
    for number, kwargs in enumerate([
        {"orientation": 30, "r": 5, "size": 24},
        {"orientation": 200, "r": 12, "size": 25, "angular_width": 60, "boundary_line": True,
         "boundary_width": 2},
        {"orientation": 77, "r": 8, "size": 31, "blur_beyond_radius": 6, "fade_beyond_radius": 9,
         "color_a": [1, 0.5, 0], "color_b": [0, 0.2, 1]},
    ]):
        np.random.seed(2040 + number)
        picture = stimuli.rounded_corner(**kwargs)
        np.random.seed(2040 + number)
        offsets = np.stack([np.random.uniform(-.5, .5, size=2) for _ in range(10)])
        add("corner_%d" % number, "rounded_corner", kwargs,
            {"output": picture, "offsets": offsets})
    for number, amount in enumerate([0.333, 0.0]):
        add("blend_%d" % number, "soft_alpha_blend",
            {"array": [2050 + number, (5, 6, 4), "uniform"], "amount_background": amount},
            {"output": ndimage_utils.soft_alpha_blend(seeded(2050 + number, (5, 6, 4)), amount)})
    for number, (shape, target) in enumerate([((8, 9, 3), (13, 5)), ((2, 7, 7, 3), 11)]):
        add("resize_%d" % number, "resize",
            {"array": [2060 + number, shape, "uniform"], "target_size": target},
            {"output": ndimage_utils.resize(seeded(2060 + number, shape), target)})
    add("composite", "composite", {}, {"output": ndimage_utils.composite(
        seeded(2070, (20, 24, 3)), seeded(2071, (9, 9, 3)), 0.4, (0.5, 0.2))})
    return group


GROUPS = {
    "misc": misc_group,
    "transforms": transforms_group,
    "params": params_group,
    "objectives": objectives_group,
    "overrides": overrides_group,
    "optimizer": optimizer_group,
    "style": style_group,
}


def main(folder, names):
    if not os.path.isdir(folder):
        os.makedirs(folder)
    for name in names or sorted(GROUPS):
        GROUPS[name]().write(folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
