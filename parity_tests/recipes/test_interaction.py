"""Sums of channels, random directions, grids of pairs, and rows that lead from one unit to another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.optvis import objectives, param
from lucid_port.optvis.objectives import Objective
from lucid_port.recipes import interaction, interpolation
from lucid_port.recipes.interaction import interaction_grid, random_directions, sums
from lucid_port.recipes.interpolation import SHARING, interpolate, interpolations
from parity_tests.recipes.by_hand import by_hand, likeness, values

A, B, C = ("mixed3b_pre_relu", 3), ("mixed3b_pre_relu", 5), ("mixed4a_pre_relu", 2)


# Sums --------------------------------------------------------------------------------------------


def test_sums_are_renders_of_the_sum(model):
    made = sums(model, [A, "mixed3b_pre_relu:5"], [C], size=32, steps=8, batch_size=1)
    assert made.pictures.shape == (1, 2, 32, 32, 3)
    assert (made.columns, made.rows) == (("mixed3b_pre_relu:3", "mixed3b_pre_relu:5"), ("mixed4a_pre_relu:2",))
    both = objectives.channel(*B) + objectives.channel(*C)
    for wanted, picture, losses in (
        (both, made.pictures[0, 1], made.losses[4]),
        (objectives.channel(*A), made.of_columns[0], made.losses[0]),
        (objectives.channel(*C), made.of_rows[0], made.losses[2]),
    ):
        expected, by_step = by_hand(model, wanted, param.image(32), 8, relu_gradient_override=True)
        np.testing.assert_array_equal(picture, expected[0])
        np.testing.assert_array_equal(losses, by_step)


def test_the_mosaic_has_the_single_channels_above_and_to_the_left(model):
    made = sums(model, [A, B], [C], size=32, steps=1)
    assert made.mosaic.shape == (64, 96, 3)
    np.testing.assert_array_equal(made.mosaic[:32, :32], 1)
    np.testing.assert_array_equal(made.mosaic[:32, 64:], made.of_columns[1])
    np.testing.assert_array_equal(made.mosaic[32:, :32], made.of_rows[0])
    np.testing.assert_array_equal(made.mosaic[32:, 32:64], made.pictures[0, 0])


def test_random_directions_excite_their_direction(model):
    made = random_directions(model, "mixed3b_pre_relu", 2, size=32, steps=10)
    assert made.pictures.shape == (2, 32, 32, 3)
    assert (made.losses[:, -1] > made.losses[:, 0]).all()
    other = random_directions(model, "mixed3b_pre_relu", 2, size=32, steps=1, seed=1)
    assert not np.array_equal(other.losses[:, 0], made.losses[:, 0]), "another seed gives other directions"


# Grids -------------------------------------------------------------------------------------------


def notebooks_grid(neurons, size):
    """The notebook's N x N images and their objective, term by term."""
    count = len(neurons)
    pure = param.fft_image((count, size, size, 3))
    blend = param.fft_image((count * (count - 1) // 2, size, size, 3))
    shared = param.fft_image((1, size, size, 3)), param.lowres_tensor((1, size, size, 3), (1, size // 4, size // 4, 3))
    places = {}
    for n in range(count):
        for m in range(n + 1, count):
            places[n, m] = places[m, n] = len(places) // 2

    def images(pure, blend, fine, coarse):
        found = []
        for n in range(count):
            for m in range(count):
                mean = (pure[n] + pure[m]) / 2
                own = pure[n] if n == m else blend[places[n, m]]
                found.append((mean if n == m else mean.detach()) + own + 2.0 * (fine[0] + coarse[0]))
        return param.color.to_valid_rgb_tensor(0.5 * torch.stack(found), decorrelate=True)

    def of(n, i):
        return 0.2 * objectives.channel(*neurons[n], batch=i) + objectives.neuron(*neurons[n], batch=i)

    pairs = [(n, m) for n in range(count) for m in range(count)]
    wanted = Objective.sum([of(n, i) + of(m, i) for i, (n, m) in enumerate(pairs)])
    parts = [pure, blend, *shared]
    return param.base.Derived(images, parts), wanted - 10.0 * objectives.blur_input_each_step()


def test_a_grid_is_the_notebooks(model):
    neurons = [A, B, C]
    made = interaction_grid(model, neurons, size=32, steps=6)
    images, wanted = notebooks_grid(neurons, 32)
    expected, losses = by_hand(model, wanted, images, 6)
    assert made.pictures.shape == (3, 3, 32, 32, 3)
    # The notebook renders each mixed picture twice; here one counts twice, which is added in another order.
    np.testing.assert_allclose(made.losses, losses, rtol=3e-6)  # measured 3e-7
    np.testing.assert_allclose(made.pictures.reshape(9, 32, 32, 3), expected, atol=3e-6)  # measured 3e-7
    np.testing.assert_array_equal(made.pictures[0, 2], made.pictures[2, 0])


def test_pairs_are_like_the_neurons_that_they_are_made_of(model):
    neurons = [A, B, C]
    made = interaction_grid(model, neurons, size=32, steps=12)
    separate = sums(model, neurons, neurons, size=32, steps=12)
    distinct = np.triu_indices(3)
    assert likeness(made.pictures[distinct]) > likeness(separate.pictures[distinct]) + 0.1
    assert made.losses[-1] > made.losses[0]
    assert made.mosaic.shape == (3 * (32 - 4 - 6), 3 * (32 - 4 - 6), 3)


def test_a_grid_is_shown_without_its_borders():
    """15/128 at the start and 25/128 at the end: 5 and 8 of 40 rows, 8 and 12 of 64 columns, rounded."""
    pictures = np.arange(2 * 2 * 40 * 64 * 3, dtype=np.float32).reshape(2, 2, 40, 64, 3)
    cropped = interaction.InteractionGrid(("a", "b"), pictures, np.zeros(1)).cropped
    np.testing.assert_array_equal(cropped, pictures[:, :, 5:32, 8:52])


def test_one_neuron_is_a_grid(model):
    assert interaction_grid(model, [A], size=16, steps=1).pictures.shape == (1, 1, 16, 16, 3)


# Interpolations ----------------------------------------------------------------------------------


def pyramid(size):
    """The notebook's six pictures: a part of their own and six shared ones."""
    unique = param.fft_image((6, size, size, 3))
    shared = [
        param.lowres_tensor((6, size, size, 3), (count, size // coarser, size // coarser, 3))
        for count, coarser in ((1, 2), (1, 4), (1, 8), (2, 8), (1, 16), (2, 16))
    ]
    total = unique + shared[0]
    for part in shared[1:]:
        total = total + part
    return param.to_valid_rgb(total, decorrelate=True)


@pytest.mark.parametrize("align", [[], ["mixed3a", "mixed3b"]])
def test_a_row_is_the_notebooks(model, align):
    made = interpolate(model, A, C, size=32, steps=6, align=align)
    wanted = objectives.channel_interpolate(*A, *C)
    for layer in align:
        wanted = wanted + 0.1 * objectives.alignment(layer, 5)
    expected, losses = by_hand(model, wanted, pyramid(32), 6, relu_gradient_override=True)
    # The shared parts are added among themselves first.
    np.testing.assert_allclose(made.losses, losses, rtol=1e-6)  # measured 9e-8
    np.testing.assert_allclose(made.pictures, expected, atol=3e-6)  # measured 2e-7
    assert made.names == ("mixed3b_pre_relu:3", "mixed4a_pre_relu:2")


def test_frames_without_anything_shared_are_images_of_their_own(model):
    made = interpolate(model, A, C, 3, sharing="none", size=32, steps=5)
    expected, losses = by_hand(
        model, objectives.channel_interpolate(*A, *C), param.image(32, batch=3), 5, relu_gradient_override=True
    )
    np.testing.assert_array_equal(made.pictures, expected)
    np.testing.assert_array_equal(made.losses, losses)
    np.testing.assert_array_equal(made.unique, made.pictures)
    assert made.shared.std() == 0


def test_rows_of_a_batch_are_those_made_alone(model):
    pairs = [(A, B), (C, A), (B, C)]
    together = interpolations(model, pairs, 2, size=32, steps=3, batch_size=2)
    for pair, row in zip(pairs, together, strict=True):
        alone = interpolate(model, *pair, 2, size=32, steps=3)
        np.testing.assert_allclose(row.pictures, alone.pictures, atol=1e-5)
        np.testing.assert_allclose(row.losses, alone.losses, rtol=1e-4)


@pytest.fixture(scope="module")
def alone(model):
    """Frames that share nothing."""
    return interpolate(model, A, C, 4, sharing="none", size=32, steps=12)


@pytest.mark.parametrize("sharing", sorted(set(SHARING) - {"none"}))
def test_frames_that_share_are_more_alike(model, alone, sharing):
    aligned = interpolate(model, A, C, 4, sharing=sharing, size=32, steps=12)
    assert likeness(aligned.pictures) > likeness(alone.pictures) + 0.1
    assert aligned.losses[-1] > aligned.losses[0]


def test_aligned_layers_are_more_alike(model):
    free, held = (
        interpolate(model, A, C, 4, sharing="none", align=["mixed3b"], alignment=weight, size=32, steps=15)
        for weight in (0, 100)
    )
    differences = [values(model, "mixed3b", made.pictures).diff(dim=0).square().mean() for made in (free, held)]
    assert differences[1] < 0.8 * differences[0]


def test_a_row_leads_from_the_first_unit_to_the_second(model):
    made = interpolate(model, A, C, 4, size=32, steps=20)
    first = values(model, A[0], made.pictures)[:, A[1]].mean((1, 2))
    second = values(model, C[0], made.pictures)[:, C[1]].mean((1, 2))
    assert first[0] > first[-1]
    assert second[-1] > second[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: sums(model, [], [A]), "columns names no units"),
        (lambda model: sums(model, [A], ["mixed3b"]), "write 'layer:channel'"),
        (lambda model: sums(model, [A], [("mixed3b", 10**6)]), "There is no unit"),
        (lambda model: sums(model, [A], [7]), "A unit is"),
        (lambda model: interaction_grid(model, [A], size=8), "size"),
        (lambda model: random_directions(model, "mixed3b", 0), "count"),
        (lambda model: interpolate(model, A, C, 1), "frames"),
        (lambda model: interpolate(model, A, C, sharing="all"), "sharing is one of"),
        (lambda model: interpolations(model, [(A, B, C)]), "A pair is two units"),
        (lambda model: interpolations(model, []), "names no pairs"),
    ],
)
def test_arguments_that_make_no_sense(model, call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call(model)


def test_layers_that_do_not_exist(model):
    with pytest.raises(LookupError, match="mixed9z"):
        interaction.sums(model, [A], ["mixed9z:3"])
    with pytest.raises(LookupError, match="mixed9z"):
        interpolation.interpolate(model, A, B, align=["mixed9z"], size=16, steps=1)
