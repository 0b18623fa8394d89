"""Activation atlases: where activations come from, how they are laid out, binned, whitened, rendered and assembled."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from converters import LayerNotFoundError
from lucid_port.misc.io.saving import save
from lucid_port.optvis import objectives, param
from lucid_port.recipes import activation_atlas as atlas
from lucid_port.recipes.activation_atlas import render
from lucid_port.recipes.inputs import spatial_activations
from parity_tests.recipes.by_hand import by_hand

LAYER = "mixed3b"


@pytest.fixture(scope="module")
def pictures():
    """Three pictures of different sizes."""
    random = np.random.default_rng(0)
    return [random.random((*size, 3), np.float32) for size in ((48, 40), (72, 56), (64, 64))]


def clouds(count=60, channels=6, seed=0):
    """Vectors of three kinds, and their kinds."""
    random = np.random.default_rng(seed)
    kinds = np.arange(count) % 3
    vectors = 0.1 * random.random((count, channels))
    vectors[np.arange(count), kinds] += 1
    return vectors.astype(np.float32), kinds


# Activations -------------------------------------------------------------------------------------


def test_samples_are_the_layers_values_at_their_origins(model, pictures):
    found = atlas.sample_activations(model, pictures, LAYER, 2)
    assert found.activations.dtype == np.float32
    assert found.origins[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    for vector, (number, row, column) in zip(found.activations, found.origins, strict=True):
        values = spatial_activations(model, pictures[number], LAYER)
        np.testing.assert_array_equal(vector, values[row, column])
        assert found.grids[number].tolist() == list(values.shape[:2])


def test_positions_are_not_at_the_edge_and_none_comes_twice(model, pictures):
    found = atlas.sample_activations(model, pictures[1:2], LAYER, None)
    rows, columns = found.grids[0]
    assert sorted(map(tuple, found.origins[:, 1:].tolist())) == [
        (row, column) for row in range(1, rows - 1) for column in range(1, columns - 1)
    ]
    some = atlas.sample_activations(model, pictures[1:2], LAYER, len(found.origins) - 1)
    assert len(set(map(tuple, some.origins.tolist()))) == len(found.origins) - 1


def test_the_seed_decides_positions_and_pictures_do_not_disturb_each_other(model, pictures):
    first = atlas.sample_activations(model, pictures, LAYER, 3, seed=4)
    again = atlas.sample_activations(model, pictures[:2], LAYER, 3, seed=4)
    np.testing.assert_array_equal(first.origins[:6], again.origins)
    other = atlas.sample_activations(model, pictures, LAYER, 3, seed=5)
    assert not np.array_equal(first.origins, other.origins)


def test_an_unreadable_file_of_a_folder_is_named(model, tmp_path, pictures):
    for number, picture in enumerate(pictures):
        save(picture, str(tmp_path / f"{number}.png"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = atlas.sample_activations(model, tmp_path, LAYER, 1)
    assert len(found.activations) == 3
    assert len(found.skipped) == 1
    assert found.skipped[0].startswith("broken.png was left out")
    with Image.open(tmp_path / "1.png") as picture:
        resized = np.asarray(picture.size)
    assert resized.tolist() == [56, 72], "pictures of a folder are resized when they are read, not in their files"
    assert (found.grids == found.grids[0]).all()


@pytest.mark.parametrize(
    ("images", "layer", "error", "words"),
    [
        ("there/is/none", LAYER, FileNotFoundError, "no folder"),
        ([], LAYER, ValueError, "no pictures"),
        (3, LAYER, TypeError, "a folder, or a list"),
        ([np.full((48, 40, 3), np.nan)], LAYER, ValueError, "NaN"),
        ([np.zeros((48, 40, 3))], "mixed9", LayerNotFoundError, "mixed9"),
        ([np.zeros((224, 224, 3))], "softmax2", ValueError, "fully connected"),
        ([np.zeros((16, 16, 3))], LAYER, ValueError, "all at the edge"),
    ],
)
def test_what_gives_no_samples(model, images, layer, error, words):
    with pytest.raises(error, match=words):
        atlas.sample_activations(model, images, layer)


# Layout ------------------------------------------------------------------------------------------


def test_a_normalised_layout_is_lucids():
    points = np.random.default_rng(0).normal(size=(500, 2)) * [3, 0.2] + [5, -1]
    expected = []
    for axis in points.T:
        least, most = np.percentile(axis, 1), np.percentile(axis, 99)
        least -= 0.1 * (most - least)
        most += 0.1 * (most - least)  # of the range that has its lower margin already
        expected.append((np.clip(axis, least, most) - least) / (most - least))
    found = atlas.normalize_layout(points)
    np.testing.assert_allclose(found, np.array(expected).T, rtol=0, atol=1e-12)
    assert (found.min(), found.max()) >= (0, 0)
    assert found.max() <= 1


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.zeros((5, 3)), np.full((5, 2), np.nan), np.zeros((0, 2))])
def test_what_is_no_layout(points):
    with pytest.raises(ValueError, match="layout"):
        atlas.normalize_layout(points)


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        pytest.param("umap", {"n_neighbors": 8}, marks=pytest.mark.slow),  # it is compiled first
        ("tsne", {"perplexity": 8}),
    ],
)
def test_like_vectors_lie_near_each_other(layout, options):
    vectors, kinds = clouds()
    places = atlas.lay_out(vectors, layout, seed=1, options=options)
    assert places.shape == (60, 2)
    assert (places >= 0).all()
    assert (places <= 1).all()
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (kinds[distances.argmin(1)] == kinds).mean() > 0.95
    np.testing.assert_array_equal(atlas.lay_out(vectors, layout, seed=1, options=options), places)
    if layout == "umap":  # t-SNE begins from principal components
        assert not np.array_equal(atlas.lay_out(vectors, layout, seed=2, options=options), places)


@pytest.mark.parametrize(
    ("module", "name", "layout", "documented"),
    [
        ("umap", "UMAP", "umap", {"n_neighbors": 50, "min_dist": 0.05, "metric": "cosine"}),
        ("sklearn.manifold", "TSNE", "tsne", {"perplexity": 30, "metric": "cosine"}),
    ],
)
def test_layouts_have_the_documented_options(monkeypatch, module, name, layout, documented):
    given = {}

    class Recorded:
        def __init__(self, **options):
            given.update(options)

        def fit_transform(self, vectors):
            return vectors[:, :2]

    monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**{name: Recorded}))
    atlas.lay_out(clouds()[0], layout, seed=7)
    assert given.items() >= {**documented, "n_components": 2, "random_state": 7}.items()


def test_without_umap(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[atlas\]'"):
        atlas.lay_out(clouds()[0])


@pytest.mark.parametrize(
    ("vectors", "layout", "words"),
    [
        (np.zeros((60, 4)), "pca", "one of 'umap', 'tsne'"),
        (np.zeros((20, 4)), "tsne", "20 activations are too few"),
        (np.zeros((2, 3, 3, 4)), "tsne", "sample_activations"),
        (np.full((60, 4), np.nan), "tsne", "NaN"),
    ],
)
def test_what_cannot_be_laid_out(vectors, layout, words):
    with pytest.raises(ValueError, match=words):
        atlas.lay_out(vectors, layout)


# Cells -------------------------------------------------------------------------------------------


def test_cells_are_means_of_what_lies_in_them():
    random = np.random.default_rng(3)
    layout, vectors = random.random((200, 2)), random.normal(size=(200, 5)).astype(np.float32)
    layout[:2] = [[0, 1], [1, 0]]  # the upper border belongs to the last cell
    means, cells, counts = atlas.bin_laid_out_activations(layout, vectors, 4, 11)
    expected = {}
    for y in range(4):
        for x in range(4):
            inside = [
                vector
                for vector, place in zip(vectors, layout, strict=True)
                if min(int(place[0] * 4), 3) == x and min(int(place[1] * 4), 3) == y
            ]
            if len(inside) > 11:
                expected[x, y] = inside
    assert 0 < len(expected) < 16, "some cells have enough, and some have not"
    assert list(map(tuple, cells.tolist())) == list(expected)
    assert counts.tolist() == [len(inside) for inside in expected.values()]
    # A sum in another order of at most 200 float32 numbers of about 1.
    np.testing.assert_allclose(means, [np.mean(inside, 0) for inside in expected.values()], rtol=0, atol=1e-6)


def test_a_cell_needs_more_than_the_threshold():
    layout = np.array([[0.1, 0.1]] * 3 + [[0.9, 0.9]] * 2)
    vectors = np.ones((5, 2))
    assert atlas.bin_laid_out_activations(layout, vectors, 2, 2)[2].tolist() == [3]
    assert atlas.bin_laid_out_activations(layout, vectors, 2, 1)[2].tolist() == [3, 2]
    with pytest.raises(ValueError, match=r"more than 3 of the 5 activations \(the fullest has 3\)"):
        atlas.bin_laid_out_activations(layout, vectors, 2, 3)


def test_one_place_for_each_vector():
    with pytest.raises(ValueError, match="need"):
        atlas.bin_laid_out_activations(np.zeros((4, 2)), np.zeros((5, 3)), 2)


def test_the_canvas_has_y_upwards():
    icons = np.stack([np.full((2, 2, 3), value, np.float32) for value in (0.25, 0.5)])
    canvas = atlas.make_canvas(icons, [(0, 0), (2, 1)], 3)
    expected = np.ones((3, 3))
    expected[2, 0], expected[1, 2] = 0.25, 0.5
    np.testing.assert_array_equal(canvas[::2, ::2, 0], expected)
    assert canvas.shape == (6, 6, 3)
    with pytest.raises(ValueError, match="outside"):
        atlas.make_canvas(icons, [(0, 0), (3, 1)], 3)


# Whitening ---------------------------------------------------------------------------------------


def test_whitened_vectors_have_products_of_one():
    vectors = np.random.default_rng(0).normal(size=(400, 5)) @ np.diag([1, 2, 3, 4, 5]) + 1
    S = atlas.inverse_covariance(vectors)
    # S inverts the products of float64 in float32.
    np.testing.assert_allclose(S @ (vectors.T @ vectors / 400), np.eye(5), rtol=0, atol=1e-5)
    damped = atlas.inverse_covariance(vectors, 0.5)
    products = vectors.T @ vectors / 400
    products += 0.5 * np.trace(products) / 5 * np.eye(5)
    np.testing.assert_allclose(damped, np.linalg.inv(products), rtol=1e-4)


def test_too_few_vectors_for_whitening():
    vectors = np.random.default_rng(0).random((3, 5))
    with pytest.raises(ValueError, match="3 activations of 5 channels vary in 3 directions only"):
        atlas.inverse_covariance(vectors)
    assert np.isfinite(atlas.inverse_covariance(vectors, 0.01)).all()


# Icons -------------------------------------------------------------------------------------------


def lucids_objective(vector, power, border, size):
    """Lucid's `direction_neuron_cossim_S` and its border, term by term."""

    def value(T):
        layer = T(LAYER)[0]
        activation = layer[:, layer.shape[1] // 2, layer.shape[2] // 2]
        dot = (activation * torch.from_numpy(vector)).mean()
        cosine = torch.clamp(dot / (1e-4 + activation.square().sum().sqrt()), min=0.1)
        return dot * cosine**power + border * objectives.penalize_boundary_complexity((1, size, size, 3), w=5)(T)

    return value


@pytest.mark.parametrize(("power", "border"), [(0, 1), (2, 1), (2, 0)])
def test_an_icon_is_the_render_of_lucids_objective(model, power, border):
    channels = atlas.sample_activations(model, np.zeros((1, 48, 40, 3)), LAYER).activations.shape[1]
    vectors = np.random.default_rng(0).random((2, channels), np.float32)
    S = np.diag(np.linspace(0.5, 2, channels)).astype(np.float32)
    transforms = atlas.article_transforms()
    options = {"size": 48, "steps": 3, "attempts": 1, "cossim_pow": power, "border": border, "seed": 2}
    icons, values = atlas.render_icons(model, vectors, LAYER, S=S, transforms=transforms, batch_size=1, **options)
    for icon, value, vector in zip(icons, values, vectors, strict=True):
        wanted = lucids_objective(vector @ S, power, border, 48)
        expected, losses = by_hand(model, wanted, param.image(48), 3, transforms=transforms, seed=2)
        # Rounding of a matrix product in another order, which three updates of a small image hardly amplify.
        np.testing.assert_allclose(icon, expected[0], rtol=0, atol=1e-4)
        np.testing.assert_allclose(value, losses[-1], rtol=1e-4)


def test_tiny_activations_count_as_longer():
    """The length 5e-5 counts as 1.5e-4: the dot product 3.5e-5 has the cosine 3.5e-5 / 1.5e-4, and the least is 0.1."""
    middle = torch.tensor([[3e-5, 4e-5], [-3e-5, -4e-5]]).reshape(2, 2, 1, 1)
    found = render._values("layer", np.ones((2, 2), np.float32), 1.0, 16, 0)({"layer": middle}.get)
    expected = torch.tensor([3.5e-5 * 3.5e-5 / 1.5e-4, -3.5e-5 * 0.1])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_of_several_attempts_the_best_is_kept(model):
    channels = atlas.sample_activations(model, np.zeros((1, 48, 40, 3)), LAYER).activations.shape[1]
    vectors = np.random.default_rng(1).random((3, channels), np.float32)
    options = {"size": 16, "steps": 2, "batch_size": 3}
    alone = [atlas.render_icons(model, vectors, LAYER, attempts=1, seed=seed, **options) for seed in (0, 1)]
    icons, values = atlas.render_icons(model, vectors, LAYER, attempts=2, seed=0, **options)
    single = np.stack([one for _, one in alone])
    np.testing.assert_array_equal(values, single.max(0))
    for number, best in enumerate(single.argmax(0)):
        np.testing.assert_array_equal(icons[number], alone[best][0][number])


@pytest.mark.parametrize(
    ("directions", "layer", "S", "words"),
    [
        (np.ones((2, 3)), LAYER, None, "3 numbers each"),
        (np.ones((2, 3)), LAYER, np.eye(4), "need a square"),
        (np.full((2, 3), np.inf), LAYER, None, "NaN or infinite"),
        (np.ones((2, 3, 3, 4)), LAYER, None, "vectors"),
    ],
)
def test_what_cannot_be_rendered(model, directions, layer, S, words):
    with pytest.raises(ValueError, match=words):
        atlas.render_icons(model, directions, layer, S=S, size=16, steps=1)


# The whole ---------------------------------------------------------------------------------------

SMALL = {"layout": "tsne", "layout_options": {"perplexity": 5}, "grid_size": 2, "icon_size": 16, "steps": 1}


def test_an_atlas_of_pictures(model, pictures):
    options = {**SMALL, "threshold": 3, "damping": 0.1, "seed": 1}
    found = atlas.activation_atlas(model, LAYER, pictures, per_image=12, **options)
    samples = atlas.sample_activations(model, pictures, LAYER, 12, seed=1)
    np.testing.assert_array_equal(found.activations, samples.activations)
    means, cells, counts = atlas.bin_laid_out_activations(found.layout, samples.activations, 2, 3)
    np.testing.assert_array_equal(found.directions, means)
    np.testing.assert_array_equal(found.cells, cells)
    np.testing.assert_array_equal(found.canvas, atlas.make_canvas(found.icons, cells, 2))
    assert found.canvas.shape == (32, 32, 3)
    assert [len(found.origins_of(cell)) for cell in range(len(cells))] == counts.tolist()
    S = atlas.inverse_covariance(samples.activations, 0.1)
    icons, values = atlas.render_icons(model, means, LAYER, S=S, size=16, steps=1, attempts=1, seed=1)
    np.testing.assert_array_equal(found.icons, icons)
    np.testing.assert_array_equal(found.values, values)


def test_the_nearest_to_a_cells_mean_come_first():
    vectors = np.array([[0, 1], [1, 0.1], [1, 0], [1, 1]], np.float32)
    layout = np.array([[0.9, 0.9], [0.1, 0.1], [0.2, 0.1], [0.1, 0.2]])
    means, cells, counts = atlas.bin_laid_out_activations(layout, vectors, 2, 1)
    icons = np.zeros((1, 4, 4, 3))
    found = atlas.ActivationAtlas("any", 2, vectors, layout, means, cells, counts, icons, np.zeros(1))
    assert found.origins_of(0).tolist() == [1, 2, 3]  # the mean is (1, 0.37)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give one of them"),
        ({"images": [], "activations": np.ones((9, 9))}, "give one of them"),
        ({"activations": np.ones((1, 9))}, "too few"),
        ({"activations": np.ones((2, 7, 7, 9))}, "vectors"),
        ({"activations": np.full((9, 9), np.nan)}, "NaN"),
        ({"activations": np.ones((9, 9))}, "no inverse"),
    ],
)
def test_what_makes_no_atlas(model, given, words):
    with pytest.raises(ValueError, match=words):
        atlas.activation_atlas(model, LAYER, **given, **SMALL)
