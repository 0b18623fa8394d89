"""Folders and sheets that `render_many` writes, resumes or refuses."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from PIL import Image

import converters
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param
from lucid_port.optvis.many import picture_folder
from parity_tests.optvis.many import Killed, files, inception, killed_after, manifest, many
from parity_tests.optvis.tiny import TinyModel


def test_a_folder_of_pictures(tmp_path):
    found = many("mixed:1,4", output=tmp_path)
    assert files(tmp_path) == ["manifest.json", "mixed_0001.png", "mixed_0004.png"]
    assert all(one.image is None for one in found)
    expected = many("mixed:1,4")
    for one, other, entry in zip(found, expected, manifest(tmp_path)["units"], strict=True):
        with Image.open(one.path) as picture:
            assert np.array_equal(np.asarray(picture), (other.image * 255).astype(np.uint8))
        assert (entry["layer"], entry["unit"], entry["seed"]) == ("mixed", one.unit, 0)
        assert entry["value"] == one.value
        assert tmp_path / entry["file"] == one.path
    assert manifest(tmp_path)["settings"]["steps"] == 3
    assert manifest(tmp_path)["versions"]["torch"] == torch.__version__
    assert many("mixed:0", output=tmp_path, keep=True)[0].image.shape == (12, 12, 3)


@pytest.mark.parametrize("sheet", [False, True])
def test_a_killed_run_goes_on_where_it_stopped(monkeypatch, tmp_path, sheet):
    options = {"batch_size": 2, "sheet": sheet, "output": tmp_path / "killed"}
    whole = many("mixed:0-5", **{**options, "output": tmp_path / "whole"})
    with monkeypatch.context() as patch:
        killed_after(patch, 8)
        with pytest.raises(Killed):
            many("mixed:0-5", **options)
    assert len(manifest(tmp_path / "killed")["units"]) == 4
    with monkeypatch.context() as patch:
        made = killed_after(patch, 3)
        found = many("mixed:0-5", **options)
    assert len(made) == 3
    assert (found.asked, found.reused, len(found)) == (6, 4, 6)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    for one, other in zip(found, whole, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()
        assert one.value == other.value
    assert many("mixed:0-5", **options).reused == 6


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_picture_that_is_gone_is_made_again(tmp_path):
    found = many("mixed:0-3", output=tmp_path)
    before = pixels(found[2].path)
    found[2].path.unlink()
    assert many("mixed:0-3", output=tmp_path).reused == 3
    np.testing.assert_array_equal(pixels(found[2].path), before)


def test_a_damaged_picture_is_made_again(tmp_path):
    made = many("mixed:0-3", output=tmp_path)
    made[2].path.write_bytes(b"")
    assert many("mixed:0-3", output=tmp_path).reused == 3
    assert np.asarray(Image.open(made[2].path)).shape == (12, 12, 3)


def test_pictures_of_a_users_own_objectives_are_made_again(tmp_path):
    first = many([lambda t: t("mixed")[:, 1].mean()], output=tmp_path)
    second = many([lambda t: t("mixed")[:, 4].mean()], output=tmp_path)
    assert second.reused == 0
    assert second[0].value != first[0].value


def test_a_users_own_transforms_need_a_new_folder(tmp_path):
    many("mixed:1", output=tmp_path, transforms=[lambda x: 0.5 * x])
    with pytest.raises(ValueError, match=r"transforms is .*own code"):
        many("mixed:1", output=tmp_path, transforms=[lambda x: 0.1 * x])


def test_a_changed_network_needs_a_new_folder(tmp_path):
    network = converters.convert(seeded_inceptionv1(width=0.1))
    model = Model(network=network, image_value_range=(-117, 138))
    unit = "conv2d0_pre_relu:1"
    many(unit, model, output=tmp_path / "replaced")
    many(unit, model, output=tmp_path / "hooked")
    handle = network.conv2d0_pre_relu.register_forward_hook(lambda module, args, result: 2 * result)
    with pytest.raises(ValueError, match="model is"):
        many(unit, model, output=tmp_path / "hooked")
    handle.remove()
    network.conv2d0_pre_relu = torch.nn.Identity()
    with pytest.raises(ValueError, match="model is"):
        many(unit, model, output=tmp_path / "replaced")


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    first = picture_folder.PictureFolder(tmp_path, {}, sheet=False, overwrite=False)
    with contextlib.closing(first), pytest.raises(BlockingIOError, match="is being written by another run"):
        many("mixed:1", output=tmp_path)
    assert len(many("mixed:1", output=tmp_path)) == 1


def test_other_settings_are_refused(tmp_path):
    many("mixed:1", output=tmp_path)
    before = files(tmp_path)
    for words, kwargs in {
        "steps is 3 there and 4 now": {"steps": 4},
        "seed is 0 there and 1 now": {"seed": 1},
        "size is": {"size": 13},
        "transforms is": {"transforms": []},
        "optimizer is": {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1)},
        "sheet is False there and True now": {"sheet": True},
        "model is": {"model": inception(False), "asked": "mixed4a:1", "size": 32},
    }.items():
        with pytest.raises(ValueError, match=f"(?s){words}.*choose another folder, or pass overwrite=True"):
            many(**{"asked": "mixed:1", "output": tmp_path, **kwargs})
    assert files(tmp_path) == before
    (tmp_path / "mine.png").write_bytes(b"mine")
    many("mixed:2", output=tmp_path, steps=4, overwrite=True)
    assert files(tmp_path) == ["manifest.json", "mine.png", "mixed_0002.png"]


def test_a_manifest_that_is_none(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="choose another folder"):
        many("mixed:1", output=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        many("mixed:1", output=tmp_path / "file" / "folder")


def test_a_sheet(tmp_path):
    found = many("mixed:0-4", output=tmp_path, sheet=True, batch_size=2)
    assert files(tmp_path) == ["manifest.json", "sheet.png"]
    assert [one.tile for one in found] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    with Image.open(tmp_path / "sheet.png") as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (24, 36, 3)
    for one, entry in zip(many("mixed:0-4"), manifest(tmp_path)["units"], strict=True):
        row, column = entry["tile"]
        tile = sheet[12 * row : 12 * row + 12, 12 * column : 12 * column + 12]
        assert np.array_equal(tile, (one.image * 255).astype(np.uint8))


def test_a_sheet_grows(monkeypatch, tmp_path):
    whole = many("mixed:*", output=tmp_path / "whole", sheet=True)
    many("mixed:3-5", output=tmp_path / "grown", sheet=True)
    with monkeypatch.context() as patch:
        killed_after(patch, 2)
        with pytest.raises(Killed):
            many("mixed:*", output=tmp_path / "grown", sheet=True)
    grown = many("mixed:*", output=tmp_path / "grown", sheet=True)
    assert grown.reused == 3
    assert [one.tile for one in grown] == [one.tile for one in whole]
    sheets = [np.asarray(Image.open(tmp_path / name / "sheet.png"), int) for name in ("grown", "whole")]
    assert np.abs(sheets[0] - sheets[1]).max() <= 1  # other batches, rounded elsewhere
    assert files(tmp_path / "grown") == ["manifest.json", "sheet.png"]


def test_names_that_would_be_one_file(tmp_path):
    class Slashes(TinyModel):
        def activations(self, image, names):
            values = super().activations(image, ["conva"])["conva"]
            return {name: values if name == "a/b" else -values for name in names}

    found = many(["a/b:0", "a_b:0"], Slashes(), output=tmp_path)
    assert len({one.path for one in found}) == 2
    seeds = many(["a/b:1"], Slashes(), output=tmp_path, seeds=[4]) + many(["a/b:1"], Slashes(), output=tmp_path)
    assert [one.path.name for one in seeds] == ["a_b_0001.png", "a_b_0001_seed0.png"]


def test_a_picture_of_nan_does_not_end_the_run(tmp_path):
    def broken(T):
        return T("mixed").mean() * float("nan")

    with pytest.warns(RuntimeWarning, match=r"became NaN or infinite.* broken \(from update 1 on\)"):
        found = many([broken, objectives.channel("mixed", 1)], output=tmp_path, size=None, param_f=_pixels)
    assert np.isnan(found[0].value)
    assert manifest(tmp_path)["units"][0]["value"] is None
    assert np.isfinite(found[1].value)


def _pixels(batch):
    return param.image(12, batch=batch, fft=False)
