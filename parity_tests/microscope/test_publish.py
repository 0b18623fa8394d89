"""Tables and pages: nothing is computed twice, and what changes is made anew."""

import os
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from lucid_port.microscope import crops, curves, executors, fields, links, publish, steps
from lucid_port.microscope import techniques as rendering
from lucid_port.microscope.drawings import Drawings
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import Pictures
from lucid_port.microscope.renders import render_units
from lucid_port.microscope.run import make_site, merge_site
from lucid_port.microscope.tables import open_site
from lucid_port.microscope.upkeep import check, remove
from lucid_port.modelzoo.vision_base import Model

UNITS = ["mixed3a:0-2", "mixed4a:5,9"]
pytestmark = pytest.mark.usefixtures("tiny_quality")


def make(model, folder, data, **options):
    return make_site(model, folder, data, **{"units": UNITS, "executor": "here", "verbose": False, **options})


def published(folder):
    """Path -> content of what a site publishes."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if ".state" not in path.parts}


def differences(one, other):
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


@pytest.fixture
def counted(monkeypatch):
    """Counts what is computed: (function, layers), units that are rendered, pictures that are opened, passes."""
    seen = Counter()

    def count(module, name, key):
        function = getattr(module, name)

        def counting(*arguments, **options):
            seen.update(key(*arguments))
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, counting)

    count(fields, "effective_fields", lambda model, layers, *_: [("fields", layer) for layer in layers])
    count(links, "links_of", lambda model, pair: [("links", *pair)])
    count(curves, "tuning_curves", lambda model, layers, *_: [("curves", layer) for layer in layers])
    count(rendering, "render_many", lambda model, units: [("render", unit) for unit in units])
    count(Pictures, "_read", lambda self, number: ["opened"])
    count(Model, "compute", lambda self, image, request: ["passes"])
    return seen


def test_a_second_run_computes_and_reads_nothing(tiny_model, drawings, tmp_path, counted):
    make(tiny_model, tmp_path, drawings)
    assert counted["opened"] > 0
    assert counted["passes"] > 0
    assert max(count for key, count in counted.items() if isinstance(key, tuple)) == 1
    counted.clear()
    make(tiny_model, tmp_path, drawings)
    assert not counted


def test_a_technique_that_is_added_is_all_that_is_computed(tiny_model, drawings, tmp_path, counted):
    make(tiny_model, tmp_path, drawings)
    counted.clear()
    make(tiny_model, tmp_path, drawings, techniques=["neuron"])
    assert {key for key in counted if key != "passes"} == {
        ("render", f"{layer}:{unit}[center]") for layer, unit in [("mixed3a", u) for u in range(3)] + [("mixed4a", 5)]
    } | {("render", "mixed4a:9[center]")}
    columns = open_site(tmp_path).units.column_names
    assert "value_neuron" in columns


def test_of_a_layer_that_is_added_the_others_are_kept(tiny_model, drawings, tmp_path, counted):
    make(tiny_model, tmp_path, drawings)
    before = published(tmp_path)
    counted.clear()
    make(tiny_model, tmp_path, drawings, units=["conv2d0:1"])
    named = {key for key in counted if isinstance(key, tuple)}
    assert named == {
        ("fields", "conv2d0"),
        ("curves", "conv2d0"),
        ("links", "conv2d0", "mixed3a"),
        *(key for key in named if key[0] == "render" and key[1].lstrip("-").startswith("conv2d0")),
    }
    after = published(tmp_path)
    kept = [name for name in before if name.startswith("data/mixed") and not name.endswith("details.json")]
    assert [name for name in kept if after[name] != before[name]] == []


def test_pictures_that_are_added_change_no_render_link_or_curve(tiny_model, tmp_path, counted):
    make(tiny_model, tmp_path, Drawings(20))
    counted.clear()
    make(tiny_model, tmp_path, Drawings(24))
    assert not [key for key in counted if key[0] in ("render", "links", "curves")]


def test_a_deepdream_is_of_the_layer_and_not_of_its_units(tiny_model, drawings, tmp_path):
    make(tiny_model, tmp_path, drawings)
    before = Places(tmp_path).deepdream("mixed3a").stat().st_mtime_ns
    make(tiny_model, tmp_path, drawings, units=["mixed3a:7"])
    assert Places(tmp_path).deepdream("mixed3a").stat().st_mtime_ns == before


# What comes back ---------------------------------------------------------------------------------


def test_pictures_that_are_taken_back_give_the_first_site(tiny_model, tmp_path):
    make(tiny_model, tmp_path, Drawings(20), originals="none")
    before = published(tmp_path)
    make(tiny_model, tmp_path, Drawings(24))
    assert differences(before, published(tmp_path))
    make(tiny_model, tmp_path, Drawings(20))
    assert differences(before, published(tmp_path)) == []


def test_a_quality_that_is_taken_back_gives_the_first_site(tiny_model, drawings, tmp_path, monkeypatch):
    from lucid_port.microscope import settings

    other = {"size": 40, "steps": 3, "dream_steps": 2}
    monkeypatch.setattr(settings, "QUALITIES", {**settings.QUALITIES, "standard": other})
    make(tiny_model, tmp_path, drawings)
    before = published(tmp_path)
    make(tiny_model, tmp_path, drawings, quality="standard")
    changed = differences(before, published(tmp_path))
    assert "data/mixed3a/renders/channel/0000.webp" in changed
    assert "data/mixed3a/deepdream.webp" in changed
    make(tiny_model, tmp_path, drawings, quality="preview")
    assert differences(before, published(tmp_path)) == []


def test_a_removed_picture_stays_removed(tiny_model, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"secret{number}.png")
    folder = tmp_path / "site"
    site = make(tiny_model, folder, photos)
    number = int(site["mixed3a"].examples.top.numbers[0, 0])
    key = site.pictures.to_pylist()[number]["key"]
    remove(folder, key)
    for options in ({}, {"units": ["conv2d0:1"]}, {"techniques": ["neuron"]}):
        site = make(tiny_model, folder, photos, **options)
        assert check(folder) == []
        assert site.manifest["problems"] == {str(number): "it was removed"}
        for layer in site:
            assert np.isnan(site[layer].max[number]).all()
            assert (site[layer].examples.top.numbers != number).all()
        assert not Places(folder).original(number).exists()
        for path in folder.rglob("*"):
            assert not path.is_file() or f"{key[:-4]}." not in path.read_bytes().decode("latin-1"), path


# Workers -----------------------------------------------------------------------------------------


@pytest.fixture
def one_core(monkeypatch):
    """One thread in each worker, as in this process: bits are those of equal threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(executors, "cores", lambda: 1)
    yield
    torch.set_num_threads(before)


def render_or_die(places, model, settings, task, report):
    """Ends its process without a word behind the first batch, as the system does for lack of memory."""
    mark = places.state / "died"
    if not mark.exists() and task.layer == "mixed4a":

        def die(count):
            mark.touch()
            os._exit(9)

        render_units(places, model, settings, task, die)
    render_units(places, model, settings, task, report)


def test_two_workers_make_the_site_of_one(tiny_model, drawings, tmp_path, one_core):
    make(tiny_model, tmp_path / "one", drawings)
    make(tiny_model, tmp_path / "two", drawings, executor="processes", workers=2)
    assert differences(published(tmp_path / "one"), published(tmp_path / "two")) == []


@pytest.mark.parametrize("executor", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_worker_that_dies_changes_nothing(tiny_model, drawings, tmp_path, one_core, monkeypatch, executor):
    make(tiny_model, tmp_path / "one", drawings)
    monkeypatch.setattr(steps, "PARTS", {**steps.PARTS, "renders": render_or_die})
    make(tiny_model, tmp_path / "two", drawings, executor=executor, workers=2)
    assert (tmp_path / "two" / ".state" / "died").exists()
    assert differences(published(tmp_path / "one"), published(tmp_path / "two")) == []


def test_parts_in_two_folders_become_the_site_of_one_run(tiny_model, drawings, tmp_path, one_core):
    make(tiny_model, tmp_path / "whole", drawings)
    make(tiny_model, tmp_path / "first", drawings, part="1/2")
    make(tiny_model, tmp_path / "second", drawings, part="2/2")
    merge_site(tiny_model, tmp_path / "first", [tmp_path / "second"], data=drawings, verbose=False)
    assert differences(published(tmp_path / "whole"), published(tmp_path / "first")) == []


def test_parts_of_other_settings_are_not_merged(tiny_model, drawings, tmp_path):
    make(tiny_model, tmp_path / "first", drawings, part="1/2")
    make(tiny_model, tmp_path / "second", drawings, part="2/2", seed=4)
    before = published(tmp_path / "first")
    with pytest.raises(ValueError, match="second is of another model or has other settings"):
        merge_site(tiny_model, tmp_path / "first", [tmp_path / "second"], data=drawings, verbose=False)
    assert published(tmp_path / "first") == before


# The manifest ------------------------------------------------------------------------------------


def test_the_manifest_describes_layers_graph_and_credits(tiny_model, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 50), (80 * number, 90, 30)).save(photos / f"{number}.png")
    (photos / "credits.csv").write_text("picture,author\n0.png,A. Nother\nnone.png,B\n")
    site = make(tiny_model, tmp_path / "site", photos, verbose=False)
    manifest = site.manifest
    assert manifest["credits"] == {"0.png": {"author": "A. Nother"}}
    nodes = {node["name"]: node for node in manifest["graph"]["nodes"]}
    assert nodes["mixed3a"]["layer"] == "mixed3a"
    assert nodes["mixed3b"]["layer"] is None
    assert all(0 <= end < len(nodes) for edge in manifest["graph"]["edges"] for end in edge)
    assert [entry["units"] for entry in manifest["layers"]] == [[0, 1, 2], [5, 9]]
    assert sum(manifest["layers"][0]["weights"]["counts"]) > 0


def test_credits_that_change_are_published_again(tiny_model, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 50)).save(photos / "0.png")
    make(tiny_model, tmp_path / "site", photos)
    (photos / "credits.toml").write_text('["0.png"]\nauthor = "A. Nother"\n')
    site = make(tiny_model, tmp_path / "site", photos)
    assert site.manifest["credits"] == {"0.png": {"author": "A. Nother"}}
    assert "A. Nother" in (tmp_path / "site" / "index.html").read_text()


def test_a_path_is_no_public_source():
    assert publish._public_source({"source": "/home/someone/model.pb"}) is None
    assert publish._public_source({"source": "timm:resnet18"}) == "timm:resnet18"


def test_only_units_of_new_examples_get_new_sprites(tiny_model, drawings, tmp_path, monkeypatch):
    made = []
    write = crops.write_crops

    def counting(*arguments, **options):
        found = write(*arguments, **options)
        made.append(found.made)
        return found

    monkeypatch.setattr(crops, "write_crops", counting)
    make(tiny_model, tmp_path, drawings)
    make(tiny_model, tmp_path, drawings, units=["conv2d0:1,2"])
    assert made == [5, 2]


def test_another_quality_for_some_units_is_refused(tiny_model, drawings, tmp_path):
    make(tiny_model, tmp_path, drawings)
    before = published(tmp_path)
    with pytest.raises(ValueError, match="'standard' would make all of its units again, not only those that are named"):
        make(tiny_model, tmp_path, drawings, units="mixed3a:1", quality="standard")
    assert published(tmp_path) == before
