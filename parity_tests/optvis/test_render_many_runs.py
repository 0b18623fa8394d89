"""Runs of `render_many`: interruption, devices, progress."""

from __future__ import annotations

import contextlib

import pytest

from lucid_port.optvis import objectives
from lucid_port.optvis.many import picture_folder, setup, unit_spec, workers
from parity_tests.optvis.many import fail_above, manifest, many
from parity_tests.optvis.tiny import TinyModel


@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu"]])
def test_ctrl_c_keeps_what_is_finished(monkeypatch, tmp_path, devices):
    main, made = picture_folder.PictureFolder.add, []

    def interrupting(folder, finished, recipe):
        paths = main(folder, finished, recipe)
        made.append(paths)
        if len(made) == 2 and len(devices) == 1:
            raise KeyboardInterrupt
        return paths

    monkeypatch.setattr(picture_folder.PictureFolder, "add", interrupting)
    if len(devices) > 1:  # Ctrl-C reaches the thread that waits
        wait = workers.wait

        def waiting(running, timeout, return_when):
            result = wait(running, timeout, return_when)
            if made:
                raise KeyboardInterrupt
            return result

        monkeypatch.setattr(workers, "wait", waiting)
    found = many("mixed:*", batch_size=1, output=tmp_path, devices=devices, steps=20)
    assert found.interrupted
    assert 0 < len(found) < 9
    assert [one.path.name for one in found] == sorted(entry["file"] for entry in manifest(tmp_path)["units"])
    monkeypatch.undo()
    again = many("mixed:*", batch_size=1, output=tmp_path, steps=20)
    assert (again.interrupted, again.reused, len(again)) == (False, len(found), 9)


def test_an_error_in_one_thread_ends_all(monkeypatch):
    sizes = fail_above(monkeypatch, 0, ArithmeticError("in a thread"))
    with pytest.raises(ArithmeticError, match="in a thread"):
        many("mixed:*", batch_size=1, devices=["cpu", "cpu"])
    assert len(sizes) <= 2


def test_each_device_has_its_own_model():
    model, used = TinyModel(), set()
    vis = setup.Setup.vis

    def noting(self, model, *args):
        used.add(id(model))
        return vis(self, model, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup.Setup, "vis", noting)
        many("mixed:*", model, batch_size=1, devices=["cpu", "cpu"])
    assert len(used) == 2
    assert id(model) in used


def test_nothing_is_shown_where_there_is_no_terminal(capsys):
    many("mixed:0-1", verbose=True)
    assert capsys.readouterr() == ("", "")


def test_units_of_a_layer_stop_the_network_there():
    model = TinyModel()
    many(["conva:0", "mixed:1", "conva:2"], model, steps=1)
    assert model.calls[-2:] == [["conva"], ["mixed"]]


def test_nothing_is_rendered_before_all_is_checked(tmp_path):
    with contextlib.suppress(ValueError):
        many(["mixed:1", "mixed:40"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_units_know_what_they_are():
    asked = unit_spec.parse_units(["a:1", objectives.L2("b")])
    found = unit_spec.find_units(
        asked, None, lambda name: (name, 5), lambda objective: ["b", "c"], lambda count: [0] * count
    )
    assert [(unit.layer, unit.channel) for unit in found] == [("a", 1), ("b, c", None)]
    assert unit_spec.identity(found[1], 0) == unit_spec.identity(found[1], 7)
