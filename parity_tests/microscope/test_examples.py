"""Dataset examples: equal to brute force, in parts as at once, and with unreadable pictures."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lucid_port.microscope import examples as module
from lucid_port.microscope.examples import find_examples, pool_activations
from lucid_port.microscope.names import layer_folder
from lucid_port.microscope.pictures import Pictures, preparation
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.preprocessing import Preprocessing
from lucid_port.modelzoo.vision_models import TinyInceptionV1

LAYERS = ["conv2d0", "mixed4a", "softmax2"]
BATCH = 4
SHARD = BATCH * module.BATCHES


@pytest.fixture(scope="module")
def model():
    return TinyInceptionV1()


@pytest.fixture(scope="module")
def pictures(model):
    draws = np.random.default_rng(0)
    data = [draws.random((96, 96, 3)) * scale for scale in draws.random(70)]
    return Pictures(data, preparation(model))


@pytest.fixture(scope="module")
def pooled(model, pictures, tmp_path_factory):
    return pool_activations(model, pictures, LAYERS, tmp_path_factory.mktemp("pooled"), batch_size=BATCH, verbose=False)


@pytest.fixture(scope="module")
def brute(model, pictures):
    """Layer -> strongest activation, mean and place of all pictures, from plain activations of the same batches."""
    found = {layer: ([], [], []) for layer in LAYERS}
    for batch in pictures.batches(BATCH):
        values = {name: value.detach() for name, value in model.activations(batch.images, LAYERS).items()}
        for layer, (top, mean, place) in found.items():
            flat = values[layer].numpy().reshape(len(batch.images), values[layer].shape[1], -1)
            top.append(flat.max(2))
            mean.append(values[layer].flatten(2).mean(2).numpy() if values[layer].ndim > 2 else values[layer].numpy())
            place.append(flat.argmax(2))
    return {layer: tuple(map(np.concatenate, parts)) for layer, parts in found.items()}


def ranked(values, unit, reverse):
    return sorted(range(len(values)), key=lambda n: (-values[n, unit] if reverse else values[n, unit], n))


@pytest.mark.parametrize("layer", LAYERS)
def test_pooled_values_are_those_of_plain_activations(pooled, brute, layer):
    top, mean, place = brute[layer]
    np.testing.assert_array_equal(pooled[layer].array("max"), top.astype(np.float16))
    np.testing.assert_array_equal(pooled[layer].array("place"), place)
    np.testing.assert_allclose(pooled[layer].array("mean"), mean, rtol=2e-3, atol=1e-6)
    assert pooled[layer].array("max").dtype == np.float16
    assert pooled[layer].array("place").dtype == np.uint16


@pytest.mark.parametrize("layer", LAYERS)
def test_examples_equal_brute_force(pooled, brute, layer):
    values, _, places = brute[layer]
    found = find_examples(pooled[layer])
    stored = values.astype(np.float16)
    for unit in range(values.shape[1]):
        top, bottom = ranked(values, unit, True)[:12], ranked(values, unit, False)[:5]
        assert found.top.numbers[unit].tolist() == top
        assert found.bottom.numbers[unit].tolist() == bottom
        np.testing.assert_array_equal(found.top.values[unit], values[top, unit])
        np.testing.assert_array_equal(found.top.places[unit], places[top, unit])
        order = ranked(stored, unit, False)
        for q, chosen in found.quantiles.items():
            rank = int(np.rint(q / 100 * (len(values) - 1)))
            assert chosen.numbers[unit].tolist() == [order[rank], order[rank - 1]]
            np.testing.assert_array_equal(chosen.values[unit], values[chosen.numbers[unit], unit])


def test_an_interrupted_pass_equals_one_at_once(model, pictures, pooled, tmp_path, monkeypatch):
    compute, made = module._Pass._compute, []

    def interrupted(self, layers, number, first, last):
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(number)
        compute(self, layers, number, first, last)

    monkeypatch.setattr(module._Pass, "_compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool_activations(model, pictures, LAYERS, tmp_path, batch_size=BATCH, verbose=False)
    monkeypatch.undo()
    resumed = pool_activations(model, pictures, LAYERS, tmp_path, batch_size=BATCH, verbose=False)
    for layer in LAYERS:
        for part in ("max", "mean", "place"):
            np.testing.assert_array_equal(resumed[layer].array(part), pooled[layer].array(part))


def counted(monkeypatch):
    compute, made = module._Pass._compute, []

    def counting(self, layers, number, first, last):
        made.append((tuple(layers), number))
        compute(self, layers, number, first, last)

    monkeypatch.setattr(module._Pass, "_compute", counting)
    return made


def test_finished_shards_and_layers_are_not_computed_again(model, pictures, tmp_path, monkeypatch):
    made = counted(monkeypatch)
    pool_activations(model, pictures, ["conv2d0"], tmp_path, batch_size=BATCH, verbose=False)
    assert [number for _, number in made] == list(range(-(-len(pictures) // SHARD)))
    made.clear()
    pool_activations(model, pictures, ["conv2d0", "mixed4a"], tmp_path, batch_size=BATCH, verbose=False)
    assert {layers for layers, _ in made} == {("mixed4a",)}
    made.clear()
    pool_activations(model, pictures, ["conv2d0", "mixed4a"], tmp_path, batch_size=BATCH, verbose=False)
    assert made == []


def test_of_added_pictures_only_new_shards_are_computed(model, pictures, pooled, tmp_path, monkeypatch):
    few = Pictures(pictures.data[:64], pictures.prepare)
    pool_activations(model, few, ["mixed4a"], tmp_path, batch_size=BATCH, verbose=False)
    made = counted(monkeypatch)
    more = pool_activations(model, pictures, ["mixed4a"], tmp_path, batch_size=BATCH, verbose=False)["mixed4a"]
    assert [number for _, number in made] == list(range(64 // SHARD, -(-len(pictures) // SHARD)))
    np.testing.assert_array_equal(more.array("max"), pooled["mixed4a"].array("max"))


def test_another_model_or_batch_size_needs_another_folder(model, pictures, tmp_path):
    pool_activations(model, pictures, ["conv2d0"], tmp_path, batch_size=BATCH, verbose=False)
    with pytest.raises(ValueError, match="batch_size differ"):
        pool_activations(model, pictures, ["conv2d0"], tmp_path, batch_size=8, verbose=False)


def test_worker_processes_give_the_same(model, tmp_path):
    for number in range(9):
        Image.fromarray(np.full((40, 50, 3), 20 * number, np.uint8)).save(tmp_path / f"{number}.png")
    data = Pictures(tmp_path, preparation(model))
    alone = torch.cat([batch.images for batch in data.batches(4)])
    shared = torch.cat([batch.images for batch in data.batches(4, workers=2)])
    torch.testing.assert_close(alone, shared, rtol=0, atol=0)


class Odd(torch.nn.Module):
    """A network whose activations exceed float16, or are NaN for black pictures."""

    def forward(self, x):
        mean = x.mean((2, 3))
        return torch.cat([1e6 * mean, mean / mean], 1)


@pytest.fixture(scope="module")
def odd():
    return from_torch(Odd().eval(), image_shape=(8, 8, 3), image_value_range=(0, 1))


def test_large_values_are_stored_as_float32(odd, tmp_path):
    data = Pictures([np.full((8, 8, 3), level) for level in (0.25, 0.5)], Preprocessing((8, 8)))
    found = pool_activations(odd, data, ["output"], tmp_path, verbose=False)["output"]
    assert found.array("max").dtype == np.float32
    np.testing.assert_allclose(found.array("max")[1, 0], 1e6 * 128 / 255, rtol=1e-6)  # pictures have whole levels


def test_ties_are_broken_by_the_number(odd, tmp_path):
    levels = [0.2, 0.4, 0.2, 0.2, 0.4]
    data = Pictures([np.full((8, 8, 3), level) for level in levels], Preprocessing((8, 8)))
    pooled = pool_activations(odd, data, ["output"], tmp_path, batch_size=1, verbose=False)["output"]
    found = find_examples(pooled, top=5, bottom=5, quantiles=[50])
    assert found.top.numbers[0].tolist() == [1, 4, 0, 2, 3]
    assert found.bottom.numbers[0].tolist() == [0, 2, 3, 1, 4]
    assert found.quantiles[50].numbers[0].tolist() == [3, 2]


def test_nan_is_dropped_and_counted(odd, tmp_path):
    data = Pictures([np.full((8, 8, 3), level) for level in (0.0, 0.5, 0.0, 1.0)], Preprocessing((8, 8)))
    found = find_examples(pool_activations(odd, data, ["output"], tmp_path, verbose=False)["output"], top=3, bottom=1)
    assert found.dropped.tolist() == [0, 0, 0, 2, 2, 2]
    assert found.top.numbers[0].tolist() == [3, 1, 0]
    assert found.top.numbers[3].tolist() == [1, 3, -1]
    assert np.isnan(found.top.values[3, 2])


def test_unreadable_pictures_are_named_and_not_ranked(model, tmp_path):
    folder = tmp_path / "data"
    (folder / "cat").mkdir(parents=True)
    Image.new("RGB", (30, 20), (200, 10, 10)).save(folder / "cat/a.png")
    (folder / "cat/b.jpg").write_bytes(b"no picture")
    (folder / "cat/c.png").write_bytes(b"")
    Image.new("L", (1, 1), 200).save(folder / "d.webp")
    data = Pictures(folder, preparation(model))
    assert [(entry.key, entry.label) for entry in data.entries] == [
        ("d.webp", None),
        ("cat/a.png", "cat"),
        ("cat/b.jpg", "cat"),
        ("cat/c.png", "cat"),
    ]
    found = pool_activations(model, data, ["mixed4a"], tmp_path / "out", verbose=False)["mixed4a"]
    assert sorted(found.problems) == [2, 3]
    chosen = find_examples(found, top=4)
    assert set(chosen.top.numbers.ravel().tolist()) == {0, 1, -1}
    assert chosen.dropped.tolist() == [2] * 127


def test_a_folder_of_unreadable_pictures_alone(model, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    found = pool_activations(model, Pictures(tmp_path, preparation(model)), ["mixed4a"], tmp_path / "o", verbose=False)
    assert list(found["mixed4a"].problems) == [0]


def test_datasets_of_other_libraries():
    image = Image.new("RGB", (6, 8), (255, 0, 0))

    class Features(dict):
        pass

    class Label:
        names = ("cat", "dog")

    class HuggingFace(list):
        features = Features(label=Label())

    prepare = Preprocessing((4, 4))
    for data in (
        HuggingFace([{"image": image, "label": 1}]),
        [(image, "dog")],
        HuggingFace([(torch.zeros(3, 8, 6), 1)]),
    ):
        pictures = Pictures(data, prepare)
        assert pictures.label(0) == "dog"
        assert pictures.original(0).size == (6, 8)
    assert Pictures([image], prepare).label(0) is None


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("RGBA", (9, 7), (10, 20, 30, 128)),
        Image.new("P", (9, 7)),
        Image.new("CMYK", (9, 7)),
        Image.new("I;16", (9, 7)),
        Image.new("1", (9, 7)),
        np.zeros((7, 9), np.uint16),
        torch.zeros(1, 7, 9),
    ],
)
def test_pictures_of_any_mode(picture):
    pictures = Pictures([picture], Preprocessing((4, 4)))
    image, problem = pictures[0]
    assert problem == ""
    assert image.shape == (3, 4, 4)


def test_what_is_no_picture_is_a_problem():
    pictures = Pictures([np.zeros((4, 4), np.int64), {"text": "a"}, np.full((4, 4, 3), np.nan)], Preprocessing((4, 4)))
    assert all(pictures[number][0] is None and pictures[number][1] for number in range(3))


def test_transparent_parts_are_white():
    pictures = Pictures([Image.new("RGBA", (4, 4), (0, 0, 0, 0))], Preprocessing((4, 4)))
    assert pictures[0][0].min() == 1


def test_wrong_data(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no pictures"):
        Pictures(tmp_path, Preprocessing((4, 4)))
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        Pictures(tmp_path / "none", Preprocessing((4, 4)))
    with pytest.raises(TypeError, match="which has a length"):
        Pictures(iter([]), Preprocessing((4, 4)))


def test_examples_are_saved_by_name(pooled, tmp_path):
    from safetensors.numpy import load_file

    path = find_examples(pooled["softmax2"]).save(tmp_path / "examples.safetensors")
    found = load_file(path)
    assert found["top/numbers"].shape == (28, 12)
    assert found["quantile 99.9/values"].dtype == np.float32


def test_names_of_folders_differ_where_only_case_does():
    assert layer_folder("Conv") != layer_folder("conv")
    assert layer_folder("conv") == "conv"
    assert len(layer_folder("x" * 300)) < 100
    assert json.dumps(layer_folder("a/b:c d")).isascii()
