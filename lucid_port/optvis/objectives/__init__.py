"""Objectives: the quantities that a visualization maximizes.

An `Objective` is a function of `T`. `T(layer)` is the activation of a layer with the axes (N, C, ...): NCHW, [N, C] for
dense layers, (N, C, L) for L tokens. `T.raw(layer)` is the network's own tensor, whose channels may be elsewhere.
`T("input")` is the image before any transform, `T("labels")` the class names of the model, and
`T("global_step")` or `T.steps` the number of updates made.
Objectives can be added, subtracted, multiplied and divided. Names, arguments, strings and
values are those of `lucid.optvis.objectives` 0.3.10.

A render sums the values of an objective that is not a scalar, as TensorFlow does.
"""

from lucid_port.optvis.objectives.base import Objective, as_objective
from lucid_port.optvis.objectives.batches import alignment, channel_interpolate, diversity
from lucid_port.optvis.objectives.from_text import text_objective  # noqa: F401  # `as_objective` calls it
from lucid_port.optvis.objectives.images import (
    L1,
    L2,
    blur_alpha_each_step,
    blur_input_each_step,
    input_diff,
    mean_transparency,
    penalize_boundary_complexity,
    total_variation,
)
from lucid_port.optvis.objectives.neurons import (
    channel,
    class_logit,
    class_probability,
    deepdream,
    direction,
    direction_cossim,
    direction_neuron,
    neuron,
    tensor_direction,
    token,
)
from lucid_port.optvis.objectives.wrapping import handle_batch, nhwc, wrap_objective

__all__ = [
    "L1",
    "L2",
    "Objective",
    "alignment",
    "as_objective",
    "blur_alpha_each_step",
    "blur_input_each_step",
    "channel",
    "channel_interpolate",
    "class_logit",
    "class_probability",
    "deepdream",
    "direction",
    "direction_cossim",
    "direction_neuron",
    "diversity",
    "handle_batch",
    "input_diff",
    "mean_transparency",
    "neuron",
    "nhwc",
    "penalize_boundary_complexity",
    "tensor_direction",
    "token",
    "total_variation",
    "wrap_objective",
]
