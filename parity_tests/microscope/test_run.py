"""The whole way to a site: what exists is not made again, and what is missing is."""

import json

import numpy as np
import pytest
from PIL import Image

from lucid_port.microscope import state, steps
from lucid_port.microscope import techniques as rendering
from lucid_port.microscope.drawings import Drawings
from lucid_port.microscope.estimate import CropRates, Estimate, Rates, measure_crops
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import Pictures, preparation
from lucid_port.microscope.plan import LayerPlan, Plan
from lucid_port.microscope.run import _Run, _Say, make_site, merge_site, status
from lucid_port.microscope.settings import Settings
from lucid_port.modelzoo.vision_base import Model
from lucid_port.modelzoo.vision_models import TinyInceptionV1

UNITS = ["mixed3a:0-2", "mixed4a:5,9"]
pytestmark = pytest.mark.usefixtures("tiny_quality")


def make(model, folder, data, **options):
    return make_site(model, folder, data, **{"units": UNITS, "executor": "here", "verbose": False, **options})


def files(folder, below="data"):
    """Path -> content of the files of a site."""
    return {path.relative_to(folder): path.read_bytes() for path in (folder / below).rglob("*") if path.is_file()}


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def site(tiny_model, drawings, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        from lucid_port.microscope import settings
        from parity_tests.microscope.conftest import TINY

        patch.setattr(settings, "QUALITIES", {**settings.QUALITIES, "preview": TINY})
        folder = tmp_path_factory.mktemp("site")
        make(tiny_model, folder, drawings)
    return folder


def test_a_site_has_the_renders_and_examples_of_its_units(site):
    places = Places(site)
    for layer, units in (("mixed3a", (0, 1, 2)), ("mixed4a", (5, 9))):
        for technique in ("channel", "channel-negative"):
            found = sorted(path.name for path in places.renders(layer, technique).glob("*.webp"))
            assert found == [f"{unit:04d}.webp" for unit in units]
        assert np.load(places.array(layer, "max")).shape[0] == 30
        assert places.examples(layer).is_file()


def test_status_counts_what_exists(site):
    found = status(site)
    assert (
        dict(found.done) == dict(found.total) == {"renders/channel": 5, "renders/channel-negative": 5, "deepdream": 2}
    )
    assert found.examples == 2
    assert "renders/channel: 5 of 5" in str(found)


def test_a_second_run_writes_nothing(site, tiny_model, drawings, monkeypatch):
    before = times(site)
    monkeypatch.setattr(rendering, "render_many", None)
    make(tiny_model, site, drawings)
    assert times(site) == before


def test_what_is_named_later_is_added_and_nothing_is_made_twice(tiny_model, drawings, tmp_path):
    make(tiny_model, tmp_path, drawings)
    before = {path: time for path, time in times(tmp_path / "data").items() if "renders" in path.parts}
    make(tiny_model, tmp_path, drawings, units=["mixed3a:40", "conv2d0:1"], techniques=["neuron"])
    after = times(tmp_path / "data")
    assert {path: after[path] for path in before} == before
    places = Places(tmp_path)
    assert places.render("mixed4a", "neuron", 9).is_file()
    assert places.render("mixed3a", "channel", 40).is_file()
    assert [layer.name for layer in state.read(places).layers] == ["conv2d0", "mixed3a", "mixed4a"]


def test_pictures_that_are_added_later_change_the_examples_alone(tiny_model, tmp_path):
    make(tiny_model, tmp_path, Drawings(20))
    renders = {path: time for path, time in times(tmp_path / "data").items() if "renders" in path.parts}
    make(tiny_model, tmp_path, Drawings(25))
    assert np.load(Places(tmp_path).array("mixed3a", "max")).shape[0] == 25
    after = times(tmp_path / "data")
    assert {path: after[path] for path in renders} == renders


def test_a_lost_picture_is_published_again(site, tiny_model, drawings):
    path = Places(site).render("mixed4a", "channel", 5)
    before = path.read_bytes()
    path.unlink()
    make(tiny_model, site, drawings)
    assert path.read_bytes() == before


def test_parts_that_are_merged_equal_one_run(site, tiny_model, drawings, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    assert make(tiny_model, one, drawings, part="1/2") is None
    with pytest.raises(ValueError, match=r"results are missing .* run the parts that did not finish"):
        merge_site(tiny_model, one, data=drawings, verbose=False)
    make(tiny_model, other, drawings, part="2/2")
    merge_site(tiny_model, one, [other], data=drawings, verbose=False)
    assert files(one) == files(site)


def test_an_interrupted_run_goes_on(site, tiny_model, drawings, tmp_path, monkeypatch):
    done = []

    def interrupted(*arguments, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments)
        return render_many(*arguments, **options)

    render_many = rendering.render_many
    monkeypatch.setattr(rendering, "render_many", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tiny_model, tmp_path, drawings)
    monkeypatch.setattr(rendering, "render_many", render_many)
    make(tiny_model, tmp_path, drawings)
    assert files(tmp_path) == files(site)


def test_caricatures_are_made_of_named_images(tiny_model, drawings, tmp_path):
    picture = tmp_path / "My dog.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)).save(picture)
    make(tiny_model, tmp_path / "site", drawings, images=[picture])
    assert Places(tmp_path / "site").caricature("mixed3a", "my_dog").is_file()


def test_the_site_of_another_model_is_refused(site, tiny_model, drawings):
    other = Model(network=tiny_model.network, image_value_range=(0, 1), image_shape=(96, 96, 3))
    with pytest.raises(ValueError, match="is the site of another model"):
        make(other, site, drawings)


def test_a_folder_that_holds_something_else_is_refused(tiny_model, drawings, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"is no site, and holds 'thesis.tex': choose another folder"):
        make(tiny_model, tmp_path, drawings)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_notes_that_are_there_first_belong_to_the_site(tiny_model, tmp_path):
    (tmp_path / "notes.toml").write_text("")
    state.refuse_others(Places(tmp_path))


def test_a_file_is_no_folder(tiny_model, drawings, tmp_path):
    (tmp_path / "site").write_text("x")
    with pytest.raises(NotADirectoryError, match="is a file: name a folder for the site"):
        make(tiny_model, tmp_path / "site", drawings)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_missing_pictures_are_an_error_before_anything_is_written(tiny_model, tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=name):
        make(tiny_model, tmp_path / "site", tmp_path / name)
    assert not (tmp_path / "site").exists()


def test_two_runs_do_not_write_to_one_site(tiny_model, drawings, tmp_path):
    with state.locked(Places(tmp_path), None), pytest.raises(BlockingIOError, match="another run"):
        make(tiny_model, tmp_path, drawings)


@pytest.mark.parametrize(("first", "second"), [(None, "2/2"), ("1/2", None)])
def test_a_part_and_a_whole_run_do_not_write_to_one_site(tiny_model, drawings, tmp_path, first, second):
    with state.locked(Places(tmp_path), first), pytest.raises(BlockingIOError, match="another run"):
        make(tiny_model, tmp_path, drawings, part=second)


def test_parts_write_to_one_site_at_the_same_time(tmp_path):
    with state.locked(Places(tmp_path), "1/2"), state.locked(Places(tmp_path), "2/2"):
        pass


def test_other_pictures_are_said(tiny_model, drawings, tmp_path, capsys):
    make(tiny_model, tmp_path / "site", drawings)
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (20, 30), "red").save(other / "red.png")
    make(tiny_model, tmp_path / "site", other, verbose=True)
    assert f"those of drawings, and are those of {other}: examples are made again" in capsys.readouterr().out


def test_a_model_without_data_has_a_site_without_examples(tiny_model, tmp_path):
    other = Model(network=tiny_model.network, image_value_range=(-117, 138), image_shape=(96, 96, 3))
    make(other, tmp_path, None, units="mixed3a:1")
    places = Places(tmp_path)
    assert places.render("mixed3a", "channel", 1).is_file()
    assert not places.array("mixed3a", "max").exists()


def test_a_quality_that_is_not_named_is_that_of_the_site(tiny_model, drawings, tmp_path):
    make(tiny_model, tmp_path, drawings, quality="preview", seed=7)
    make(tiny_model, tmp_path, drawings)
    assert state.read(Places(tmp_path)).settings.seed == 7


def test_a_refused_estimate_makes_nothing(tiny_model, drawings, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("lucid_port.microscope.run.TRIAL_FROM", 1)
    assert make(tiny_model, tmp_path, drawings, confirm=lambda found: asked.append(found)) is None
    assert asked[0].units == 5
    assert asked[0].renders == 10
    assert asked[0].seconds > 0
    assert not (tmp_path / "data").exists()


def test_a_budget_takes_the_most_selective_units(tiny_model, drawings, tmp_path):
    plan = Plan((LayerPlan("mixed3a", 64, tuple(range(64))),), ("channel",), Settings.of("preview"), "m", {})
    run = _Run(tiny_model, Places(tmp_path), plan, Pictures(drawings, preparation(tiny_model)), None, _Say(False))
    run._read_pictures()
    labels = [run.pictures.label(number) for number in range(30)]
    selectivity = run._selectivity("mixed3a", labels)
    rates = Rates({"mixed3a": 1.0}, 0.0, 0.0)
    kept = run._within(plan.tasks(), rates, 10.5 * plan.settings.steps)
    units = {unit for task in kept for unit in task.units}
    assert units == set(np.argsort(-selectivity, kind="stable")[:10])


def test_estimates_count_time_and_bytes():
    settings = Settings("preview", size=64, steps=10, dream_steps=1)
    plan = Plan((LayerPlan("a", 100, tuple(range(50))),), ("channel", "diversity"), settings, "m", {})
    found = Rates({"a": 0.1}, 0.5, 1000.0, CropRates(0.1, 0.02, 40000.0, 3000.0)).estimate(plan, plan.tasks(), 20)
    assert found.renders == 50 + 4 * 50
    assert found.seconds == pytest.approx(250 * 10 * 0.1 + 20 * (0.5 + 0.1) + 50 * 27 * 0.02)
    assert found.bytes == pytest.approx(2 * 250 * 1000 + 20 * (100 * 18 + 40000) + 50 * (45000 + 27 * 3000))
    assert str(Estimate(1451, 12, 2902, 2000, 7200, 1e9)).startswith("1,451 units of 12 layers, 2,902 renders")


def test_drawings_are_the_same_in_every_run():
    some = Drawings(300)
    picture, label = some[299]
    np.testing.assert_array_equal(Drawings(400)[299][0], picture)
    assert some.targets[299] == label
    with pytest.raises(IndexError):
        some[300]


def test_the_state_of_a_site_has_no_path_in_its_public_files(site):
    for path, content in files(site).items():
        assert str(site).encode() not in content, path
    assert json.loads((site / ".state" / "site.json").read_text())["format"] == 1


def test_parts_have_a_function_each():
    for part in ("renders/channel", *steps.parts_of({"dog": "key"})):
        assert part.partition("/")[0] in steps.PARTS


def test_the_trial_cuts_pictures_of_the_data(tmp_path):
    draws = np.random.default_rng(0)
    for number in range(3):
        blocks = draws.integers(0, 256, (70, 90, 3), np.uint8).repeat(10, 0).repeat(10, 1)
        Image.fromarray(blocks).save(tmp_path / f"{number}.png")
    (tmp_path / "empty.png").write_bytes(b"")
    pictures = Pictures(tmp_path, preparation(TinyInceptionV1()))
    small, none = measure_crops(pictures, "small"), measure_crops(pictures, "none")
    assert small.picture > 0 < small.crop
    assert small.crop_bytes == none.crop_bytes > 1000
    assert small.picture_bytes > 10000 > none.picture_bytes == 0
