"""The published files agree with each other through the checks' own code: no network is needed, only the files.

This is what can be proved of the code and of the official weights' numbers together without having the weights.
"""

from __future__ import annotations

import numpy as np
import pytest

from parity_tests.published import activations, attributions, renders, weights
from parity_tests.published.checks import absolute, eight_bit, relative
from parity_tests.published.files import NotHere, Published


class OrSkip(Published):
    """The published files; a test that needs one that is not here is skipped."""

    def path(self, name):
        try:
            return super().path(name)
        except NotHere as error:
            pytest.skip(str(error))


@pytest.fixture
def published():
    return OrSkip()


def test_the_cosines_of_the_published_activations_are_the_published_picture(published):
    found = activations._cosines(published.array(activations.GOLDEN)[0])
    eight_bit("cosines", found, published.picture(activations.COSINES))


def test_the_heat_maps_of_the_published_activations_are_the_published_tiles(published):
    found = activations._heat_maps(published.array(activations.GOLDEN)[0])
    sheet = published.picture(activations.SPRITES, "sprite_mixed4d_activations.png")
    eight_bit("heat maps", found, activations._tiles(sheet, *found.shape))


def test_the_strongest_of_the_published_activations_are_the_notebooks(published):
    rows, golden = published.json(activations.TOP)["dog_cat"], published.array(activations.GOLDEN)[0]
    relative("strongest", -np.sort(-golden)[..., :4], np.asarray(rows["v"]), activations.ROUNDING)
    theirs = np.take_along_axis(golden, np.asarray(rows["n"]), -1)
    relative("channels", theirs, np.asarray(rows["v"]), activations.ROUNDING)


def test_the_teaser_and_the_notebook_say_the_same_of_a_channel(published):
    row = published.json(attributions.NOTEBOOK)["cell21_out01"]
    classes = attributions._pairs({"176-55": published.json(attributions.TEASER)["dog_cat"]["176-55"]})
    rank = {channel: n for n, (channel, _) in enumerate(row["top_pos"])}
    shared = [channel for channel in classes[176] if channel in rank]
    assert len(shared) == 3
    difference = [classes[176][channel] - classes[55][channel] for channel in shared]
    values = [row["sorted_attribution_528"][rank[channel]] for channel in shared]
    absolute("Labrador less cat", difference, values, 1.5 * attributions.DECIMALS)  # a difference of two rounded ones


def test_the_teaser_and_the_channels_figure_say_the_same_of_a_class(published):
    """So that figure's numbers come from max pools' own gradient too, as the notebook's."""
    classes = attributions._pairs(published.json(attributions.TEASER)["dog_cat"])
    pairs = [
        (entry["v"], classes[entry["c"]][int(channel)])
        for channel, row in published.json(attributions.CHANNELS)["mixed4d"].items()
        for entry in row["l"]
        if isinstance(entry, dict) and int(channel) in classes.get(entry["c"], {})
    ]
    assert len(pairs) >= 20
    absolute("channels toward classes", *np.asarray(pairs).T, 1e-6)


def test_the_kernel_pictures_are_the_published_weights_the_same_way_up(published):
    circuit = published.json(weights.CHAIN)
    first, theirs = circuit["naturalNeurons"][0], np.asarray(circuit["naturalWeights"][0])
    picture = published.arrays(weights.KERNELS)["conv2d0"][first["neuron"]].sum(-1, dtype=float)
    assert weights._correlation(picture, theirs) > 0.999
    assert abs(weights._correlation(picture[::-1, ::-1], theirs)) < 0.999


def test_two_figures_say_the_same_of_the_likeliest_classes(published):
    one = [(row["n"], row["v"]) for row in published.json(activations.SPATIAL)["output"]]
    other = published.json(attributions.CHANNELS)["output"]["l"]
    assert one == [(row["c"], row["v"]) for row in other if isinstance(row, dict)]


@pytest.mark.parametrize("name", renders.RENDERS)
def test_every_render_has_a_published_value(name, published):
    render = renders.RENDERS[name]
    row = renders._row(published.json(renders.VALUES), render)
    assert row is not None
    steps, value = row["values_step_objective"][render.index]
    assert steps in (512, 1024)
    assert 700 < value < 6000


def test_one_render_was_published_four_times_within_the_spread_that_is_allowed(published):
    """`mixed4a_pre_relu:476` with everything as it is by default."""
    rows = published.json(renders.VALUES)
    named = [renders.RENDERS[name] for name in ("4a476", "4a476_again", "4a476_aligned", "4a476_default")]
    values = np.asarray([renders._row(rows, one)["values_step_objective"][one.index][1] for one in named])
    assert 0.05 < np.abs(values / values.mean() - 1).max() < renders.SPREAD


def test_the_path_is_as_long_as_the_notebook_says(published):
    rows = published.json(attributions.NOTEBOOK)
    assert [attributions._steps(rows[name]) for name in attributions.PATHS] == [100, 100]
