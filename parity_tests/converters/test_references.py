"""Reference files: what they keep, how they are found, and what a comparison notices."""

from __future__ import annotations

import json

import numpy as np
import pytest

from converters.frozen.writer import GraphWriter
from converters.reference import check, store
from converters.reference.inputs import InputSpec, ReferencesError
from converters.reference.samples import sample_positions, take_sample
from converters.reference.store import MANIFEST, ReferenceWriter, find_references, read_references

SPEC = InputSpec("noise", (2, 5, 7, 3), (-1.0,), (1.0,), seed=3)
RANDOM = np.random.RandomState(0)
LARGE = RANDOM.standard_normal((2, 20, 21, 4)).astype(np.float32)
SMALL = RANDOM.standard_normal((3, 8)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    gradient = RANDOM.standard_normal(SPEC.shape).astype(np.float32)
    result = {
        "activation/large": LARGE,
        "activation/block/small": SMALL,
        "gradient/block/small:2": gradient,
        "moved/block/small:2": np.stack([gradient * 1e-6, gradient * -3e-6]),
        "report": np.array(json.dumps({"tensorflow": "1.15.5", "refused": {"head": "does not fit"}})),
    }
    writer = ReferenceWriter(tmp_path)
    writer.add("net", "abc", "a test", "5x7", SPEC, result, "graphs/net.npz")
    writer.save()
    return tmp_path


def test_what_is_written_is_read_back(folder):
    found = read_references(folder)["net"].inputs["5x7"]
    assert (found.tensorflow, dict(found.refused)) == ("1.15.5", {"head": "does not fit"})
    assert dict(found.shapes) == {"large": LARGE.shape, "block/small": SMALL.shape}
    assert found.layers["block/small"].positions is None
    np.testing.assert_array_equal(found.layers["block/small"].values, SMALL.ravel())
    assert found.layers["large"].maximum == np.abs(LARGE).max()
    np.testing.assert_array_equal(found.layers["large"].values, LARGE.ravel()[found.layers["large"].positions])
    (gradient,) = found.gradients
    assert (gradient.layer, gradient.channel, len(gradient.images)) == ("block/small", 2, 2)
    assert gradient.moved == pytest.approx([3e-6, 3e-6])
    np.testing.assert_array_equal(found.make_input(), SPEC.make())


def test_an_exact_copy_has_no_error_and_any_change_of_a_small_layer_shows():
    assert take_sample("small", SMALL).error(SMALL) == 0.0
    for index in np.ndindex(SMALL.shape):
        changed = SMALL.copy()
        changed[index] += 0.01
        assert take_sample("small", SMALL).error(changed) == pytest.approx(0.01 / np.abs(SMALL).max(), rel=1e-4)


@pytest.mark.parametrize("edge", [np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]])
def test_a_change_of_one_border_of_a_large_layer_shows_in_its_sample(edge):
    changed = LARGE.copy()
    changed[edge] += 1.0
    sample = take_sample("large", LARGE)
    assert np.abs(changed.ravel()[sample.positions] - sample.values).max() == pytest.approx(1.0)


def test_a_change_of_any_single_value_of_a_large_layer_shows_in_its_means():
    sample = take_sample("large", LARGE)
    for index in range(0, LARGE.size, 97):
        changed = LARGE.copy()
        changed.ravel()[index] += 1.0
        assert sample.error(changed) > 1e-4


def test_swapped_channels_show():
    assert take_sample("large", LARGE).error(LARGE[..., [1, 0, 2, 3]]) > 0.1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_infinitely_wrong(bad):
    assert take_sample("small", SMALL).error(np.full_like(SMALL, bad)) == np.inf


def test_a_layer_of_zeros_has_to_be_zeros():
    zeros = np.zeros_like(SMALL)
    assert take_sample("dead", zeros).error(zeros) == 0.0
    assert take_sample("dead", zeros).error(zeros + 1e-9) == np.inf


@pytest.mark.parametrize("shape", [(3, 9, 9, 5), (1, 1, 1, 3), (2, 1, 7, 4), (600, 5)])
def test_positions_are_inside_and_the_same_every_time(shape):
    positions = sample_positions(shape, "layer", 512)
    assert positions.shape == (512,)
    assert positions.min() >= 0
    assert positions.max() < np.prod(shape)
    np.testing.assert_array_equal(positions, sample_positions(shape, "layer", 512))
    if np.prod(shape) > 512:
        assert (positions != sample_positions(shape, "other", 512)).any()


def test_half_of_the_positions_are_on_borders_and_all_corners_are_met():
    shape = (1, 100, 100, 1)
    _, rows, columns, _ = np.unravel_index(sample_positions(shape, "layer", 512), shape)
    top, bottom, left, right = rows < 2, rows >= 98, columns < 2, columns >= 98
    assert 0.5 <= (top | bottom | left | right).mean() < 0.7
    assert all((a & b).sum() >= 5 for a in (top, bottom) for b in (left, right))


def test_references_are_found_by_fingerprint(folder, monkeypatch):
    monkeypatch.setenv(store.ENVIRONMENT, str(folder))
    assert find_references("abc").graph == "net"
    assert find_references("abd") is None


def test_references_beside_the_package_are_found(monkeypatch):
    monkeypatch.delenv(store.ENVIRONMENT, raising=False)
    assert [path.name for path in store.reference_folders()] == ["reference_outputs"]


def test_an_input_that_cannot_be_repeated_is_an_error(folder):
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(ReferencesError, match="differs"):
        read_references(folder)["net"].inputs["5x7"].make_input()


def test_another_format_is_an_error(folder):
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ReferencesError, match="format 2"):
        read_references(folder)


def test_a_file_that_is_too_short_is_an_error(folder):
    np.savez(folder / "graphs" / "net.npz", **{"net/5x7": np.zeros(5, np.float32)})
    with pytest.raises(ReferencesError, match="shorter"):
        read_references(folder)["net"].inputs["5x7"].read()


def test_an_unknown_kind_of_input_is_an_error():
    with pytest.raises(ReferencesError, match="photo"):
        InputSpec("film", (1, 2, 2, 3), (0.0,), (1.0,)).make()


def test_inputs_fill_their_range():
    for kind in ("noise", "steps", "texture"):
        image = InputSpec(kind, (2, 70, 65, 3), (-1.0, 0.0, 10.0), (1.0, 5.0, 11.0), seed=1).make()
        assert image.dtype == np.float32
        for channel, (low, high) in enumerate(((-1, 1), (0, 5), (10, 11))):
            values = image[..., channel]
            assert low <= values.min() < values.max() <= high


def test_a_photo_is_whole_pixels_of_the_picture_that_scikit_image_ships():
    from skimage import data

    picture = data.astronaut()
    image = InputSpec("photo", (1, 10, 12, 3), (-5.0,), (250.0,), bgr=True).make()
    np.testing.assert_allclose(image[0, 3, 4] + 5, picture[6, 8, ::-1], atol=1e-4)


def test_the_default_inputs_are_even_odd_and_not_square():
    shapes = {spec.make().shape for spec in check.default_inputs((-1.0,), (1.0,)).values()}
    assert shapes == {(1, 224, 224, 3), (1, 225, 225, 3), (2, 97, 161, 3)}


def test_tensorflow_gets_the_part_of_a_graph_that_layers_need():
    graph = GraphWriter()
    decoded = graph.op("decoded", "DecodeJpeg", [graph.placeholder("text", [])])
    scaled = graph.op("scaled", "Mul", [decoded, graph.const("scale", np.float32(2))])
    graph.op("relu", "Relu", [scaled])
    graph.op("update", "AssignSub", [graph.const("mean", np.float32(0)), "relu"])
    graph.op("last", "Identity", ["relu"])
    graph.op("loss", "Sum", ["last"])
    graph_def = graph.graph_def()
    next(node for node in graph_def.node if node.name == "last").input.append("^update")
    part = check._part(graph_def, "scaled", ["scaled", "last", "lost"])
    assert [(node.name, node.op, list(node.input)) for node in part.node] == [
        ("scaled", "Placeholder", []), ("relu", "Relu", ["scaled"]), ("last", "Identity", ["relu"]),
    ]  # fmt: skip
