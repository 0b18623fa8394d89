"""The files of a site: what is written is read back, and damaged or foreign folders give one sentence."""

import copy
import json
import sys

import numpy as np
import pytest

from lucid_port.microscope import tables
from lucid_port.microscope.examples import Chosen, Examples

LAYER = {
    "name": "features/0",
    "folder": "features_0-1a2b3c4d",
    "units": [0, 2],
    "total_units": 3,
    "grid": [5, 7],
    "axes": "NCHW",
    "tokens": None,
    "field": {"size": 21, "stride": 8.5},
    "dtypes": {"max": "float16", "mean": "float16", "place": "uint16"},
    "techniques": ["channel"],
    "weights": None,
    "deepdream": False,
    "caricatures": [],
}
MANIFEST = {
    "model": {"name": "n", "source": None, "hash": "h", "image_shape": [None, None, 3], "value_range": [0, 1]},
    "preprocessing": {"size": [33, 47]},
    "settings": {"quality": "preview"},
    "layers": [LAYER],
    "graph": {"nodes": [{"name": "features/0", "layer": "features_0-1a2b3c4d", "op": "Conv2d"}], "edges": [[0, 0]]},
    "techniques": {"channel": {"title": "Channel", "size": 64, "steps": 64}},
    "pictures": 4,
    "problems": {"3": "its content is no picture"},
    "labels": ["cat"],
    "credits": {},
    "versions": {"torch": "2"},
}
UNIT = {
    "layer": "features/0",
    "unit": 0,
    "maximum": np.float32(1.5),
    "mean": 0.5,
    "minimum": float("nan"),
    "selectivity": None,
    "best_class": "cat",
    "sparseness": 0.25,
    "dead": False,
    "dropped": np.int32(1),
    "field": 21,
}


def chosen(k, seed):
    draws = np.random.default_rng(seed)
    return Chosen(
        draws.integers(0, 4, (3, k)).astype(np.int32),
        draws.random((3, k)).astype(np.float32),
        draws.integers(0, 35, (3, k)).astype(np.uint32),
    )


@pytest.fixture
def site(tmp_path):
    tables.write_manifest(tmp_path, MANIFEST)
    pictures = [
        {"number": n, "key": f"cat/{n}.png", "label": None if n else "cat", "width": 9, "height": 5} for n in range(4)
    ]
    tables.write_pictures(tmp_path, pictures)
    tables.write_units(tmp_path, [UNIT, {**UNIT, "unit": 2, "value_channel": 2.0}])
    folder = tmp_path / "data" / LAYER["folder"]
    folder.mkdir()
    for part, kind in LAYER["dtypes"].items():
        np.save(folder / f"{part}.npy", np.arange(12).reshape(4, 3).astype(kind))
    quantiles = {99.9: chosen(2, 2), 50.0: chosen(2, 3)}
    Examples(chosen(12, 0), chosen(5, 1), quantiles, np.arange(3, dtype=np.int32)).save(folder / "examples.safetensors")
    details = {"in": [["a", 1, 0.5, True, [[1.0, float("nan")]]]], "box": [(0, 0, 4, 5), None]}
    tables.write_details(folder / "details.json", {0: details, 2: {}})
    return tmp_path


def test_a_site_is_read_back(site):
    found = tables.open_site(site)
    assert found.layers == ("features/0",)
    assert found.manifest == {"format": tables.FORMAT, "version": 1, **MANIFEST}
    assert found.pictures.column("label").to_pylist() == ["cat", None, None, None]
    assert found.pictures.column_names == ["number", "key", "label", "width", "height"]
    assert found.units.column("value_channel").to_pylist() == [None, 2.0]
    assert found.units.to_pylist()[0]["minimum"] is None
    layer = found["features/0"]
    assert isinstance(layer.max, np.memmap)
    assert layer.max.dtype == np.float16
    np.testing.assert_array_equal(layer.place, np.arange(12).reshape(4, 3))
    assert layer.details(0)["in"] == [["a", 1, 0.5, True, [[1.0, None]]]]
    assert layer.details(0)["box"] == [[0, 0, 4, 5], None]
    assert list(layer.examples.quantiles) == [99.9, 50.0]


def test_examples_are_read_back_bit_for_bit(site):
    layer = tables.open_site(site)["features/0"].examples
    for k, seed, group in [(12, 0, layer.top), (5, 1, layer.bottom), (2, 2, layer.quantiles[99.9])]:
        for part, expected in vars(chosen(k, seed)).items():
            np.testing.assert_array_equal(getattr(group, part), expected)
            assert getattr(group, part).dtype == expected.dtype
    np.testing.assert_array_equal(layer.dropped, np.arange(3))


def test_a_folder_that_is_no_site_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is no site: it has no data/manifest.json\.$"):
        tables.open_site(tmp_path)


def test_a_layer_that_does_not_exist_is_named(site):
    with pytest.raises(KeyError, match="features/0"):
        tables.open_site(site)["features/1"]
    with pytest.raises(KeyError, match="has no unit 1"):
        tables.open_site(site)["features/0"].details(1)


def changed(**keys):
    manifest = {"format": tables.FORMAT, "version": 1, **copy.deepcopy(MANIFEST)}
    return {**manifest, **keys}


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ([], "its format is not"),
        (changed(format="other"), "its format is not"),
        (changed(version=2), "has version 2"),
        (changed(pictures=-1), "pictures"),
        (changed(extra=1), "extra"),
        ({**changed(), "layers": [{**LAYER, "folder": "../up"}]}, "no file name"),
        ({**changed(), "layers": [{**LAYER, "folder": ".state"}]}, "no file name"),
        ({**changed(), "layers": [LAYER, {**LAYER, "folder": LAYER["folder"].upper()}]}, "twice"),
        ({**changed(), "layers": [{**LAYER, "units": [3]}]}, "unit 3"),
        (changed(graph={"nodes": [], "edges": [[0, 1]]}), "edge"),
    ],
)
def test_a_foreign_manifest_gives_one_sentence(site, manifest, sentence):
    (site / "data" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=sentence) as error:
        tables.open_site(site)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"{", b"PAR1"])
@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("manifest.json", lambda site: tables.open_site(site)),
        ("pictures.parquet", lambda site: tables.open_site(site).pictures),
        ("units.parquet", lambda site: tables.open_site(site).units),
        ("features_0-1a2b3c4d/max.npy", lambda site: tables.open_site(site)["features/0"].max),
        ("features_0-1a2b3c4d/examples.safetensors", lambda site: tables.open_site(site)["features/0"].examples),
        ("features_0-1a2b3c4d/details.json", lambda site: tables.open_site(site)["features/0"].details(0)),
    ],
)
def test_a_damaged_file_is_named_in_one_sentence(site, file, read, content):
    (site / "data" / file).write_bytes(content)
    with pytest.raises(ValueError, match=file.rsplit("/", 1)[-1]) as error:
        read(site)
    assert "\n" not in str(error.value)
    (site / "data" / file).unlink()
    with pytest.raises(FileNotFoundError, match=file.rsplit("/", 1)[-1]):
        read(site)


def test_details_with_nan_written_by_another_program_are_refused(site):
    (site / "data" / LAYER["folder"] / "details.json").write_text('{"0": {"tuning": {"hue": [NaN]}}}')
    with pytest.raises(ValueError, match="hue"):
        tables.open_site(site)["features/0"].details(0)


def test_an_array_of_another_layer_is_refused(site):
    np.save(site / "data" / LAYER["folder"] / "max.npy", np.zeros((4, 5), np.float16))
    with pytest.raises(ValueError, match=r"\[pictures, 3\]"):
        _ = tables.open_site(site)["features/0"].max


def test_columns_of_units_are_checked(tmp_path):
    with pytest.raises(ValueError, match="no column 'colour'"):
        tables.write_units(tmp_path, [{**UNIT, "colour": 1}])
    with pytest.raises(ValueError, match="lacks the column 'dead'"):
        tables.write_units(tmp_path, [{name: value for name, value in UNIT.items() if name != "dead"}])


def test_a_missing_pyarrow_is_named_with_its_extra(site, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[microscope\]'"):
        _ = tables.open_site(site).units


def test_a_file_is_complete_or_absent(site, monkeypatch):
    before = (site / "data" / "manifest.json").read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match="disk full"):
        tables.write_manifest(site, {**MANIFEST, "pictures": 5})
    assert (site / "data" / "manifest.json").read_bytes() == before
    assert [one.name for one in (site / "data").iterdir() if "partial" in one.name] == []
