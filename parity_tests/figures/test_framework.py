"""The catalogue of figures, and what one writes."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image, ImageFont

from converters.frozen.writer import write_graph_def
from lucid_port.cli import main
from lucid_port.figures.base import ARTICLES, Head, Panel, Result, Table, catalogue
from lucid_port.figures.page import page
from lucid_port.figures.run import Request, named_files
from lucid_port.figures.sheet import broken, compose
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.optvis import checkpoints
from lucid_port.optvis.render import VisT


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """A small network with InceptionV1's names, and where it stands in the search path."""
    path = tmp_path_factory.mktemp("models") / "InceptionV1.pb"
    write_graph_def(seeded_inceptionv1(width=0.05), path)
    return path


@pytest.fixture(autouse=True)
def found(graph, monkeypatch):
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(graph.parent))


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def test_every_figure_says_what_it_needs():
    for name, figure in catalogue().items():
        assert figure.name == name
        assert figure.article in ARTICLES
        assert "InceptionV1" in figure.options
        assert figure.title
        assert figure.see
        assert figure.make.__doc__


def test_a_picture_a_page_and_a_recipe(tmp_path, capsys):
    units = "mixed3a:1,mixed3b:2"
    assert run("figure", "fv-channel", "--units", units, "--steps", 2, "-o", tmp_path) == 0
    names = ["fv-channel.png", "fv-channel.html", "fv-channel.json"]
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in names]
    text = (tmp_path / "fv-channel.html").read_text()
    assert text.count("data:image/png;base64,") == 2
    assert "mixed3a:1" in text
    assert "http" not in text.replace("https://distill.pub", "")
    recipe = json.loads((tmp_path / "fv-channel.json").read_text())
    assert recipe["data"]["units"] == ["mixed3a:1", "mixed3b:2"]
    with Image.open(tmp_path / "fv-channel.png") as picture:
        assert json.loads(picture.info["lucid_port"]) == recipe


def test_its_recipe_makes_it_again(tmp_path):
    assert run("figure", "fv-channel", "--steps", 2, "--units", "mixed3a:1", "-o", tmp_path / "a") == 0
    assert run("run", tmp_path / "a/fv-channel.json", "-o", tmp_path / "b") == 0
    assert (tmp_path / "a/fv-channel.png").read_bytes() == (tmp_path / "b/fv-channel.png").read_bytes()


def test_an_interrupted_figure_goes_on(tmp_path, monkeypatch, capsys):
    figure = ["figure", "fv-channel", "--steps", 3, "--units", "mixed3a:1,mixed3b:2"]
    assert run(*figure, "-o", tmp_path / "whole") == 0
    original, made = VisT.step, []

    def step(vis):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(vis.steps)
        return original(vis)

    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(VisT, "step", step)
        assert run(*figure, "-o", tmp_path / "parts") == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [".fv-channel.unfinished"]
    assert run(*figure, "-o", tmp_path / "parts") == 0
    whole, parts = ((tmp_path / folder / "fv-channel.png").read_bytes() for folder in ("whole", "parts"))
    assert parts == whole
    assert len(list((tmp_path / "parts").iterdir())) == 3


def test_another_picture_under_the_same_name_is_another_request(tmp_path):
    for path in (tmp_path / "a.png", tmp_path / "folder" / "a.png"):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(path)
    requests = [Request("aa-mini-atlas", image=str(path)) for path in (tmp_path / "a.png", tmp_path / "folder")]
    before = [named_files(request) for request in requests]
    assert [named_files(request) for request in requests] == before
    for path in (tmp_path / "a.png", tmp_path / "folder" / "a.png"):
        Image.new("RGB", (4, 4), "blue").save(path)
    assert all(named_files(request) != old for request, old in zip(requests, before, strict=True))


@pytest.mark.parametrize("options", [{"units": "mixed3a:1"}, ["mixed3a:1"]])
def test_a_recipe_whose_units_are_no_list(tmp_path, capsys, options):
    recipe = tmp_path / "own.json"
    recipe.write_text(json.dumps({"lucid_port_figure": 1, "figure": "fv-channel", "options": options}))
    assert run("run", recipe, "-o", tmp_path) == 1
    assert "A figure's options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seed": -1}, "A figure's seed is a whole number from 0 on, not -1"),
        ({"steps": 0}, "steps"),
        ({"model": 3}, "model"),
    ],
)
def test_a_recipe_whose_settings_make_no_sense(tmp_path, capsys, wrong, words):
    recipe = tmp_path / "own.json"
    recipe.write_text(json.dumps({"lucid_port_figure": 1, "figure": "fv-channel", **wrong}))
    assert run("run", recipe, "-o", tmp_path) == 1
    assert words in capsys.readouterr().err


def test_a_path_takes_the_units_of_a_model_like_it(tmp_path, graph, capsys):
    other = ["--model", graph, "-o", tmp_path, "--steps", 1]
    assert run("figure", "fv-channel", *other) == 1
    assert "values for black and white are unknown" in capsys.readouterr().err
    assert run("figure", "fv-channel", *other, "--like", "InceptionV1", "--units", "mixed3a:1") == 0
    assert "mixed3a:1" in (tmp_path / "fv-channel.html").read_text()


def test_the_command_line_that_a_page_names():
    request = Request("fv-channel", "my model.pb", options={"units": ["a:1", "b:2"]}, steps=3, seed=1, fast=True)
    assert request.command() == (
        "lucid-port figure fv-channel --model 'my model.pb' --steps 3 --units a:1,b:2 --seed 1 --fast"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fv-chanel"], "No figure is called 'fv-chanel'. Did you mean"),
        (["fv-channel", "--units", "mixed9:1", "--steps", "1"], "mixed9"),
        (["fv-channel", "--model", "InceptionV4_slim"], "InceptionV4_slim"),
        (["fv-channel", "--image", "cat.png"], "The figure fv-channel starts from no picture: leave out --image."),
    ],
)
def test_what_cannot_be_made(tmp_path, capsys, arguments, words):
    assert run("figure", *arguments, "-o", tmp_path) == 1
    assert words in capsys.readouterr().err


def test_the_list(capsys):
    assert run("figure", "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(catalogue())


def test_sheets_hold_pictures_of_any_size():
    small, large = np.zeros((10, 20, 3)), np.full((30, 40, 4), 0.5)
    large[..., 3] = 0
    sheet = compose([Panel([small, large], ["a", "b" * 99], "title"), Panel([small[..., :1]], scale=3)])
    assert sheet.shape[2] == 3
    assert (sheet == 0).any()
    assert sheet.shape[1] == 2 * 40 + 4 + 24
    with pytest.raises(ValueError, match="no pictures"):
        compose([Panel([])])


def _ink(sheet: np.ndarray) -> np.ndarray:
    return (sheet < 128).all(-1)


def test_a_table_has_heads_above_its_columns_and_left_of_its_rows():
    gray = np.full((40, 50, 3), 0.8)
    plain = compose([Panel([gray] * 6, columns=3)])
    table = compose([Table([gray] * 6, columns=3, heads=["1 step", "8 steps", "64 steps"], sides=["no blur", "blur"])])
    assert not _ink(plain).any()
    grays = np.argwhere((table == 204).all(-1))
    top, left = grays.min(0)
    for column in range(3):
        assert _ink(table)[:top, left + column * 54 : left + column * 54 + 50].any()
    for row in range(2):
        assert _ink(table)[top + row * 44 : top + row * 44 + 40, :left].any()
    assert not _ink(table)[:top, :left].any()
    assert len(grays) == 6 * 40 * 50


def test_a_head_may_be_a_picture():
    red, gray = np.zeros((20, 30, 3)), np.full((12, 16, 3), 0.8)
    red[..., 0] = 1
    heads = [Head("one", red), Head("", red)]
    table = compose([Table([gray] * 4, columns=2, heads=heads, sides=[Head("a", red), "b"])])
    assert (table == (255, 0, 0)).all(-1).sum() == 3 * 20 * 30
    assert (table == 204).all(-1).sum() == 4 * 12 * 16


def test_frames_of_a_table_lie_outside_of_the_pictures():
    gray = np.full((12, 16, 3), 0.8)
    table = compose([Table([gray] * 4, columns=2, framed=[3])])
    frame, pictures = (np.argwhere((table == value).all(-1)) for value in (150, 204))
    assert len(pictures) == 4 * 12 * 16
    np.testing.assert_array_equal(frame.max(0), pictures.max(0) + 2)
    assert (frame.min(0) > pictures.min(0)).all()


@pytest.mark.parametrize(("text", "width", "lines"), [("", 50, 0), ("a b", 500, 1), ("no negative weights", 90, 2)])
def test_heads_break_into_lines(text, width, lines):
    found = broken(text, ImageFont.load_default(12), width)
    assert len(found) == lines
    assert " ".join(found) == text


def test_a_page_has_the_heads_of_a_table():
    gray = np.full((12, 16, 3), 0.8)
    panel = Table([gray] * 4, ["a", "b", "c", "d"], columns=2, heads=["left"], sides=[Head("above", gray), "below"])
    text = page(catalogue()["fv-channel"], Result([panel]), {}, "lucid-port figure fv-channel")
    cells = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert cells == ["left", "above", "a", "b", "below", "c", "d"]
    assert text.count("<img") == 5
    assert text.count("<figure") == 9  # with the corner and the missing head


def test_a_sheet_is_as_wide_as_its_titles():
    def of(title: str) -> np.ndarray:
        return compose([Panel([np.ones((10, 20, 3))], title=title)])

    longest = of("what the panel shows " * 3)
    assert longest.shape[1] > 300
    assert (longest[:, -40:-12] < 128).any()  # the title's end


def test_a_figure_that_fails_leaves_no_folder(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        assert run("figure", "fv-channel", "--units", "mixed3a:9999", "-o", tmp_path / name) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_file_is_no_folder_for_figures(tmp_path, capsys):
    (tmp_path / "taken").touch()
    assert run("figure", "fv-channel", "--units", "mixed3a:1", "-o", tmp_path / "taken") == 1
    assert "taken is a file" in capsys.readouterr().err


def test_further_files_of_a_figure_are_written_and_named(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LUCID_PORT_PUBLISHED", raising=False)
    recipe = tmp_path / "own.json"
    options = {"units": ["mixed3a:1"], "size": 32, "texture_size": 16, "frames": 2}
    request = {"lucid_port_figure": 1, "figure": "dp-3d-texture", "options": options, "steps": 1}
    recipe.write_text(json.dumps(request))
    assert run("run", recipe, "-o", tmp_path / "made") == 0
    endings = [".png", ".html", ".json", "-turning.webp", "-1.html"]
    assert capsys.readouterr().out.split() == [str(tmp_path / "made" / f"dp-3d-texture{one}") for one in endings]
    text = (tmp_path / "made/dp-3d-texture.html").read_text()
    assert '<a href="dp-3d-texture-turning.webp">' in text
    assert run("run", tmp_path / "made/dp-3d-texture.json", "-o", tmp_path / "again") == 0
    for one in (".png", "-turning.webp", "-1.html"):
        first, second = ((tmp_path / folder / f"dp-3d-texture{one}").read_bytes() for folder in ("made", "again"))
        assert first == second
