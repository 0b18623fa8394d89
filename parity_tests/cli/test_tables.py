"""Tables on a terminal of 80 columns: names are not broken."""

from __future__ import annotations

import re

import pytest

from lucid_port.cli import main
from lucid_port.cli.console import GAP, _column_widths, print_table
from lucid_port.figures.base import catalogue as figures
from lucid_port.modelzoo.catalogue import catalogue


@pytest.fixture
def shown(capsys, monkeypatch):
    """Runs a command on a terminal of 80 columns, and returns its lines without the codes of colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*words):
        assert main(list(words)) == 0
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()

    return run


@pytest.mark.parametrize(
    ("words", "names"), [(["models"], catalogue), (["figure", "list"], figures)], ids=["models", "figures"]
)
def test_names_are_whole_and_lines_fit(words, names, shown):
    lines = shown(*words)
    assert max(map(len, lines)) <= 80
    first = [line.split()[0] for line in lines if line[:1].strip()]
    assert first == ["name", *names()]


def test_models_say_where_their_file_is(shown, tmp_path, monkeypatch):
    (tmp_path / "VGG19_caffe").mkdir()
    (tmp_path / "VGG19_caffe" / "model.json").write_text("{}")
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(tmp_path))
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))
    ends = {line.split()[0]: line.rstrip() for line in shown("models")}
    for name, end in {
        "VGG19_caffe": "here",
        "VGG16_caffe": "download",
        "InceptionV1_slim": "by hand",
        "InceptionV1_seeded": "generated",
        "TinyInceptionV1": "in the package",
    }.items():
        assert ends[name].endswith(f"  {end}")


def test_a_row_with_too_long_a_name_is_one_line(shown, capsys):
    name = "InceptionV1/" * 9
    print_table(("name", "channels"), [(name, 3)])
    assert name in capsys.readouterr().out.splitlines()[1]


@pytest.mark.parametrize("total", [20, 37, 38, 44, 60, 80])
def test_widths_fit_or_are_whole(total):
    columns = [["name", "a-long-name"], ["two words", "x"], ["shows", "several words of prose"]]
    widths = _column_widths(columns, total)
    natural, words = [11, 9, 22], [11, 5, 7]
    if sum(words) + 2 * GAP > total:
        assert widths == natural
    else:
        assert sum(widths) + 2 * GAP <= total
        assert all(low <= width <= high for low, width, high in zip(words, widths, natural, strict=True))
