"""Logs of the renders of a site, read back by TensorBoard's own reader."""

from __future__ import annotations

import pytest

from lucid_port.microscope.run import make_site
from parity_tests.event_files import pictures, read, runs, steps


class Writer:
    """A user's own writer, which keeps the tags."""

    def __init__(self):
        self.tags = set()

    def add_scalar(self, tag, value, step):
        self.tags.add(tag)

    def add_image(self, tag, picture, step, dataformats):
        self.tags.add(tag)

    def add_text(self, tag, text, step):
        self.tags.add(tag)


def _site(model, folder, techniques=("channel",), **options):
    return make_site(
        model, folder, layers=["mixed4a"], units="mixed4a:3,8", techniques=techniques, verbose=False, **options
    )


@pytest.mark.parametrize("executor", ["here", "processes"])
def test_each_batch_of_a_technique_is_a_run(tiny_model, drawings, tiny_quality, tmp_path, executor):
    options = {"executor": executor, "workers": 1, "log_dir": tmp_path / "runs"}
    _site(tiny_model, tmp_path / "site", ["channel", "diversity"], data=drawings, **options)
    assert runs(tmp_path / "runs") == ["channel/mixed4a_3-8/mixed4a/3-8", "diversity/mixed4a_3-8/2_objectives"]
    log = read(tmp_path / "runs/channel/mixed4a_3-8/mixed4a/3-8")
    assert steps(log, "objective/mixed4a:3") == [1, 2]
    assert pictures(log)[2].size == (64, 32)


def test_a_writer_logs_in_this_process(tiny_model, drawings, tiny_quality, tmp_path):
    writer = Writer()
    _site(tiny_model, tmp_path / "site", data=drawings, executor="here", log_dir=writer)
    assert "channel/mixed4a_3-8/mixed4a/3-8/objective" in writer.tags


def test_a_writer_is_refused_by_other_processes(tiny_model, drawings, tiny_quality, tmp_path):
    with pytest.raises(ValueError, match="Only executor='here' logs to a writer"):
        _site(tiny_model, tmp_path / "site", data=drawings, executor="processes", workers=2, log_dir=Writer())


def test_a_file_is_no_log(tiny_model, drawings, tmp_path):
    (tmp_path / "log").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file: name a folder"):
        _site(tiny_model, tmp_path / "site", data=drawings, log_dir=tmp_path / "log")
    assert not (tmp_path / "site").exists()
