"""Lucid's neuron_diversity: several facets of one feature."""

from __future__ import annotations

import numpy as np

import lucid_port.optvis.objectives as objectives
import lucid_port.optvis.param as param
import lucid_port.optvis.render as render
from parity_tests.notebooks.measure import first_image, value

UNIT = ("mixed5a_pre_relu", 9)


def start():
    return param.image(32, batch=4)


def test_diversity_keeps_the_images_of_a_channel_apart(model):
    channel = objectives.channel(*UNIT)
    similar = objectives.diversity("mixed5a")
    pictures = {
        name: render.render_vis(model, obj, start, transforms=[], thresholds=(4,), verbose=False)[-1]
        for name, obj in {"plain": channel, "diverse": channel - 1e2 * similar}.items()
    }
    before = first_image(model, start)
    assert pictures["diverse"].shape == (4, 32, 32, 3)
    # `diversity` measures similarity, which is why it is subtracted.
    assert value(model, similar, pictures["diverse"]) < value(model, similar, pictures["plain"])
    assert value(model, similar, pictures["diverse"]) < value(model, similar, before)
    assert value(model, channel, pictures["plain"]) > value(model, channel, before)
    differences = [np.abs(a - b).mean() for n, a in enumerate(pictures["diverse"]) for b in pictures["diverse"][:n]]
    assert min(differences) > 1e-2
