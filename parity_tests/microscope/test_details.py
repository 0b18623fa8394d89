"""Details: the numbers of the rows and lists of a whole small site, against NumPy, through files and back."""

import numpy as np
import pytest

from lucid_port.microscope import tables
from lucid_port.microscope.crops import COUNT, CropLayer, picture_rows, write_crops
from lucid_port.microscope.curves import Family, tuning_curves
from lucid_port.microscope.details import details_of
from lucid_port.microscope.examples import find_examples, pool_activations
from lucid_port.microscope.fields import effective_fields, some_images
from lucid_port.microscope.links import links_of, similar_units
from lucid_port.microscope.pictures import Pictures, preparation
from lucid_port.modelzoo.vision_models import TinyInceptionV1

LAYERS = ["conv2d1", "conv2d2", "softmax2"]
LABELS = ["cat", "dog", None, "owl"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    model, place = TinyInceptionV1(), tmp_path_factory.mktemp("site")
    draws = np.random.default_rng(0)
    data = [draws.random((70 + n, 90, 3)) * scale for n, scale in enumerate(draws.random(21))]
    pictures = Pictures(data, preparation(model))
    labels = [LABELS[n % 4] for n in range(21)]
    pooled = pool_activations(model, pictures, LAYERS, place / ".state" / "pooled", batch_size=2, verbose=False)
    fields = effective_fields(model, LAYERS, some_images(pictures, 1))
    crops = [CropLayer(name, find_examples(pooled[name]), fields[name], [0, 3, 9]) for name in LAYERS]
    made = write_crops(place, pictures, crops, verbose=False)
    links, problems = links_of(model, LAYERS)
    similar = similar_units(pooled)
    levels = {"level": Family((0.0, 1.0), lambda size, level: [np.full((size, size, 3), level, np.float32)])}
    curves = tuning_curves(model, LAYERS, levels)
    found = {
        crop.folder: details_of(
            pooled[crop.folder],
            crop,
            pictures.prepare,
            made.sizes,
            labels=labels,
            links=links,
            similar=similar[crop.folder],
            curves=curves.get(crop.folder),
        )
        for crop in crops
    }
    for name, one in found.items():
        tables.write_details(place / "data" / name / "details.json", one.details)
    tables.write_units(place, [row for one in found.values() for row in one.rows])
    tables.write_pictures(place, picture_rows(pictures, made.sizes, labels))
    return place, pooled, found, labels, problems


def strongest(pooled, layer):
    return np.concatenate([block["max"] for _, block in pooled[layer].blocks()]).astype(np.float64)


@pytest.mark.parametrize("layer", LAYERS)
def test_rows_are_the_numbers_of_the_activations(parts, layer):
    place, pooled, _, labels, _ = parts
    values = strongest(pooled, layer)
    rows = [row for row in tables.read_table(place / "data" / "units.parquet").to_pylist() if row["layer"] == layer]
    assert [row["unit"] for row in rows] == [0, 3, 9]
    for row in rows:
        mine = values[:, row["unit"]]
        for column, expected in (("maximum", mine.max()), ("mean", mine.mean()), ("minimum", mine.min())):
            assert row[column] == pytest.approx(expected, rel=1e-5), column
        means = {
            name: mine[[n for n, label in enumerate(labels) if label == name]].mean() for name in ("cat", "dog", "owl")
        }
        assert row["best_class"] == max(means, key=means.get)
        assert row["dead"] == (mine.max() <= 0 and mine.min() == mine.max())
        assert row["dropped"] == 0
        assert (row["field"] is None) == (layer == "softmax2")


@pytest.mark.parametrize("layer", LAYERS)
def test_lists_are_written_and_read_back(parts, layer):
    place, pooled, _, _, _ = parts
    values = strongest(pooled, layer)
    details = tables.read_details(place / "data" / layer / "details.json")
    assert list(details) == [0, 3, 9]
    for unit, one in details.items():
        counts, edges = np.histogram(values[:, unit], 32)
        assert sum(one["histogram"]["counts"]) == 21
        assert np.abs(np.cumsum(one["histogram"]["counts"]) - np.cumsum(counts)).max() <= 1  # float32 edges
        assert one["histogram"]["low"] == pytest.approx(edges[0], rel=1e-4)
        assert {label for label, _ in one["classes"]} == {"cat", "dog", "owl"}
        shown = [value for _, value in one["classes"]]
        assert shown == sorted(shown, reverse=True)
        assert len(one["tuning"]["level"]) == 2
        assert len(one["box"]) == len(one["cell"]) == COUNT
        for box, cell in zip(one["box"], one["cell"], strict=True):
            assert 0 <= box[0] < box[2] <= 90
            assert (cell is None) == (layer == "softmax2")
        assert len(one["similar"]) == 10


def test_links_lead_to_the_neighboring_layers(parts):
    place, _, _, _, problems = parts
    first, second, last = (tables.read_details(place / "data" / layer / "details.json")[3] for layer in LAYERS)
    assert "in" not in first
    assert {row[0] for row in first["out"]} == {"conv2d2"}
    assert {row[0] for row in second["in"]} == {"conv2d1"}
    assert list(problems) == [("conv2d2", "softmax2")]
    assert "in" not in last
    magnitudes = [abs(row[2]) for row in second["in"]]
    assert magnitudes == sorted(magnitudes, reverse=True)


def test_a_unit_without_finite_values_is_dead_and_has_no_numbers(parts, tmp_path):
    _, pooled, _, _, _ = parts
    one = pooled["conv2d1"]

    class Lost(type(one)):
        def blocks(self):
            for first, block in super().blocks():
                block["max"][:, 0], block["max"][:, 3] = np.nan, 0
                yield first, block

    lost = Lost(*vars(one).values())
    crops = CropLayer(
        "conv2d1", find_examples(lost), effective_fields(TinyInceptionV1(), ["conv2d1"])["conv2d1"], [0, 3]
    )
    rows = details_of(lost, crops, None, {}).rows
    assert [row["dead"] for row in rows] == [True, True]
    assert np.isnan(rows[0]["maximum"])
    assert (rows[1]["maximum"], rows[1]["best_class"]) == (0, None)
    tables.write_units(tmp_path, rows)
    assert tables.read_table(tmp_path / "data" / "units.parquet").to_pylist()[0]["maximum"] is None
