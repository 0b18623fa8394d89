"""What a visualisation maximises.

An `Objective` is a function of `T`, where `T(layer)` is that layer's activation
(NCHW, or [N, C] for dense layers), `T("input")` the image before any transform, and
`T("labels")` the model's labels. Objectives add, subtract, scale, multiply and divide. Names,
arguments, strings and values are those of `lucid.optvis.objectives` 0.3.10.

A value that is no scalar is summed by the optimisation, as TensorFlow sums it.
"""

from lucid_port.optvis.objectives.base import Objective, as_objective
from lucid_port.optvis.objectives.batches import alignment, channel_interpolate, diversity
from lucid_port.optvis.objectives.images import (
    L1,
    L2,
    blur_alpha_each_step,
    blur_input_each_step,
    input_diff,
    penalize_boundary_complexity,
    total_variation,
)
from lucid_port.optvis.objectives.neurons import (
    channel,
    class_logit,
    deepdream,
    direction,
    direction_cossim,
    direction_neuron,
    neuron,
    tensor_direction,
)
from lucid_port.optvis.objectives.wrapping import handle_batch, wrap_objective

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
    "deepdream",
    "direction",
    "direction_cossim",
    "direction_neuron",
    "diversity",
    "handle_batch",
    "input_diff",
    "neuron",
    "penalize_boundary_complexity",
    "tensor_direction",
    "total_variation",
    "wrap_objective",
]
