"""The progress bar: where it is drawn, what it says, and that it is silent elsewhere."""

from __future__ import annotations

import io
import re
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from lucid_port.cli import console
from lucid_port.misc import downloads, progress
from lucid_port.optvis.progress import ManyProgress, ProgressBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Loss:
    """Counts how often it is read."""

    def __init__(self):
        self.reads = 0

    def sum(self):
        self.reads += 1
        return torch.tensor(2.5)


def as_standard_error(monkeypatch):
    """A terminal in the place of standard error; in the test itself, since pytest sets it anew after fixtures."""
    made = Terminal()
    monkeypatch.setattr("sys.stderr", made)
    return made


@pytest.fixture
def notebook(monkeypatch):
    monkeypatch.setattr(progress, "is_notebook_environment", lambda: True)


def run(bar, first, last):
    loss = Loss()
    for step in range(first, last + 1):
        bar(SimpleNamespace(steps=step, loss=loss))
    bar.close()
    return loss


def test_a_render_on_a_terminal():
    stream = Terminal()
    loss = run(ProgressBar(120, every=50, stream=stream), 1, 120)
    assert loss.reads == 3  # after 50, 100 and 120 updates
    last = stream.getvalue().rstrip().rpartition("\r")[2]
    assert re.match(r"100%.*120/120 \[.*steps/s, objective=2\.5\]$", last)
    assert stream.getvalue().endswith("\n")


def test_a_resumed_render_goes_on_from_its_step():
    stream = Terminal()
    run(ProgressBar(100, stream=stream), 81, 90)
    assert "81/100" in stream.getvalue().split("\r")[1]
    assert stream.getvalue().rstrip().rpartition("\r")[2].startswith(" 90%")


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_no_terminal_and_no_notebook(stream, capsys):
    loss = run(ProgressBar(10, every=1, stream=stream), 1, 10)
    with ManyProgress(1, 10, stream=stream) as many:
        many.stepped(10)
        many.done(1)
    with console.progress_bar() as report:
        report("reading", 0.5)
    assert loss.reads == 0
    assert capsys.readouterr() == ("", "")
    assert stream is None or not stream.getvalue()


def test_a_notebook_has_a_bar_on_standard_error(notebook, capsys):
    run(ProgressBar(10), 1, 10)
    with ManyProgress(2, 10) as many:
        many.stepped(20)
        many.done(2)
    shown = capsys.readouterr().err
    assert "10/10" in shown
    assert "2/2 units 100%" in shown


def test_a_stream_of_the_users_is_no_notebook(notebook):
    stream = io.StringIO()
    run(ProgressBar(10, stream=stream), 1, 10)
    assert not stream.getvalue()


def test_many_units_from_several_threads():
    stream = Terminal()
    with ManyProgress(8, 500, stream=stream) as many:

        def work():
            for _ in range(1000):
                many.stepped(3)
                many.stepped(-2)  # lost
            many.done(2)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    last = stream.getvalue().rstrip().rpartition("\r")[2]
    assert re.match(r"8/8 units 100%\|.*units/min$", last)


def test_a_command_that_takes_long_draws_by_the_clock_and_leaves_nothing(monkeypatch):
    terminal = as_standard_error(monkeypatch)
    monkeypatch.setattr(console, "PROGRESS_AFTER", 0.0)
    monkeypatch.setattr(console, "REFRESH", 0.01)
    drawn = threading.Event()
    monkeypatch.setattr(terminal, "flush", drawn.set)
    with console.progress_bar() as report:
        report("reading", 0.5)
        drawn.clear()
        assert drawn.wait(60)
        report("writing", None)
        drawn.clear()
        assert drawn.wait(60)
        drawn.clear()
        assert drawn.wait(60)
    assert "reading |" in terminal.getvalue()
    assert "writing |" in terminal.getvalue()
    assert not terminal.getvalue().rpartition("\r")[0].rpartition("\r")[2].strip()  # cleared


def test_a_command_that_is_quick_draws_nothing(monkeypatch):
    terminal = as_standard_error(monkeypatch)
    monkeypatch.setattr(console, "PROGRESS_AFTER", 600.0)
    with console.progress_bar() as report:
        report("reading", 0.5)
    assert not terminal.getvalue()


class Answer:
    """What a server answers, in the place of requests' response."""

    headers = {"content-length": "4096"}  # noqa: RUF012

    def raise_for_status(self):
        pass

    def iter_content(self, chunk_size):
        for _ in range(4):
            time.sleep(0.11)  # bars are drawn every 0.1 s
            yield b"x" * 1024


def test_a_download_on_a_terminal(monkeypatch, tmp_path):
    terminal = as_standard_error(monkeypatch)
    monkeypatch.setattr("requests.get", lambda *_, **__: Answer())
    downloads.retrieve("http://host/a", None, tmp_path, "a", progress=True)
    assert re.search(r"100%.*4\.10k/4\.10k \[", terminal.getvalue())
    terminal.truncate(0)
    downloads.retrieve("http://host/a", None, tmp_path, "a", progress=True)  # it is there
    assert not terminal.getvalue()


def test_a_download_elsewhere(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("requests.get", lambda *_, **__: Answer())
    downloads.retrieve("http://host/a", None, tmp_path, "a", progress=True)
    assert "%|" not in capsys.readouterr().err
