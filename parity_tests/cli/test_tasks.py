"""What people want to render, as the commands and lines that they type first."""

import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from lucid_port.cli import main
from lucid_port.cli.units import protected
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import grammar, render_many
from lucid_port.optvis.recipe_files import read_recipe

FAST = " --steps 2 --size 32"
CLASS = " --steps 2"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("direction.npy", np.random.default_rng(0).normal(size=127).astype("f4"))
    np.save("patch.npy", np.random.default_rng(0).normal(size=(2, 2, 127)).astype("f4"))
    return tmp_path


def command(text):
    return main(shlex.split(text)[1:])


TASKS = {
    # units
    "lucid-port render TinyInceptionV1 mixed4a:3 -o unit.png" + FAST: ["unit.png"],
    "lucid-port render TinyInceptionV1 mixed4a:3,7,10-12 -o units" + FAST: [
        f"units/mixed4a_{n:04d}.png" for n in (3, 7, 10, 11, 12)
    ],
    "lucid-port render TinyInceptionV1 'conv2d0:*' -o conv2d0" + FAST: [f"conv2d0/{n:04d}.png" for n in range(16)],
    "lucid-port render TinyInceptionV1 mixed4a:3 mixed4b:8 -o two" + FAST: [
        "two/mixed4a_0003.png",
        "two/mixed4b_0008.png",
    ],
    "lucid-port render TinyInceptionV1 mixed4a:3,mixed4b:8 -o two" + FAST: [
        "two/mixed4a_0003.png",
        "two/mixed4b_0008.png",
    ],
    # signs, sums and weights
    "lucid-port render TinyInceptionV1 -mixed4a_pre_relu:45 -o low.png" + FAST: ["low.png"],
    "lucid-port render TinyInceptionV1 '-mixed4a_pre_relu:45' -o low" + FAST: ["low/minus_mixed4a_pre_relu_0045.png"],
    "lucid-port render TinyInceptionV1 mixed4a:3+0.5*mixed4b:8 -o sum.png" + FAST: ["sum.png"],
    "lucid-port render TinyInceptionV1 'mixed4a:3 - mixed4b:8' -o difference.png" + FAST: ["difference.png"],
    # classes
    "lucid-port render TinyInceptionV1 class:spiral -o spiral.png" + CLASS: ["spiral.png"],
    "lucid-port render TinyInceptionV1 logit:3 -o logit.png" + CLASS: ["logit.png"],
    "lucid-port render TinyInceptionV1 prob:spiral -o prob.png" + CLASS: ["prob.png"],
    "lucid-port render TinyInceptionV1 class:spiral,heart -o classes" + CLASS: [
        "classes/class_spiral.png",
        "classes/class_heart.png",
    ],
    "lucid-port render TinyInceptionV1 class:SPIRAL -o spiral.png" + CLASS: ["spiral.png"],
    # directions
    "lucid-port render TinyInceptionV1 mixed4a@direction.npy -o direction.png" + FAST: ["direction.png"],
    "lucid-port render TinyInceptionV1 mixed4a@patch.npy -o patch.png" + FAST: ["patch.png"],
    "lucid-port render TinyInceptionV1 -mixed4a@direction.npy -o against.png" + FAST: ["against.png"],
    # neurons
    "lucid-port render TinyInceptionV1 'mixed4a:3[1,0]' -o place.png" + FAST: ["place.png"],
    "lucid-port render TinyInceptionV1 'mixed4a:3[center]' -o center.png" + FAST: ["center.png"],
    "lucid-port render TinyInceptionV1 mixed4a:3 --neuron -o neuron.png" + FAST: ["neuron.png"],
    # options
    "lucid-port render TinyInceptionV1 mixed4a_pre_relu:3,4 --negative -o low" + FAST: [
        "low/minus_mixed4a_pre_relu_0003.png",
        "low/minus_mixed4a_pre_relu_0004.png",
    ],
    "lucid-port render TinyInceptionV1 mixed4a:3 --diversity 4 -o styles" + FAST: [
        f"styles/mixed4a_3_{n}.png" for n in range(4)
    ],
    "lucid-port render TinyInceptionV1 mixed4a:3 --alpha -o alpha.png" + FAST: ["alpha.png"],
    "lucid-port render TinyInceptionV1 mixed4a:3-5 --alpha -o alpha" + FAST: [
        "alpha/mixed4a_3.png",
        "alpha/mixed4a_4.png",
        "alpha/mixed4a_5.png",
    ],
    "lucid-port render TinyInceptionV1 mixed4a --deepdream -o dream.png" + FAST: ["dream.png"],
    "lucid-port render TinyInceptionV1 deepdream:mixed4a -o dream.png" + FAST: ["dream.png"],
    # films
    "lucid-port render TinyInceptionV1 mixed4a:3 -o unit.gif" + FAST: ["unit.gif"],
    "lucid-port render TinyInceptionV1 mixed4a:3 -o unit.webp --frames 3" + FAST: ["unit.webp"],
    "lucid-port render TinyInceptionV1 mixed4a:3 -o unit.mp4" + FAST: ["unit.mp4"],
    # sheets
    "lucid-port render TinyInceptionV1 mixed4a:3-6 -o units --sheet" + FAST: [
        "units/sheet.png",
        "units/mixed4a_0006.png",
    ],
}


@pytest.mark.parametrize("text", TASKS)
def test_commands(text, here):
    assert command(text) == 0
    for file in TASKS[text]:
        assert (here / file).is_file(), sorted(map(str, here.rglob("*")))


def test_there_are_thirty_commands():
    assert len(TASKS) >= 30


def test_a_bare_model_shows_what_can_be_rendered(capsys):
    assert command("lucid-port render TinyInceptionV1") == 0
    out = capsys.readouterr().out
    assert "mixed4a:0-126" in out
    assert "class:bricks" in out
    commands = [line.strip() for line in out.splitlines() if line.strip().startswith("lucid-port render")]
    assert len(commands) == 3
    for line in commands:
        assert command(line + CLASS) == 0


def test_a_bare_file_shows_commands_that_work(here, capsys):
    assert command("lucid-port convert TinyInceptionV1 -o tiny") == 0
    capsys.readouterr()
    assert command("lucid-port render tiny") == 0
    commands = [
        line.strip() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("lucid-port render")
    ]
    assert command(commands[0] + FAST) == 0


def test_a_sheet_later_renders_nothing(here, monkeypatch, capsys):
    assert command("lucid-port render TinyInceptionV1 mixed4a:3-6 -o units" + FAST) == 0
    monkeypatch.setattr(render_many, "render_many", lambda *_, **__: pytest.fail("rendered"))
    assert command("lucid-port sheet units") == 0
    assert command("lucid-port sheet units") == 0
    assert command("lucid-port sheet units -o all.png --columns 4 --title Eyes") == 0
    assert Image.open("all.png").width > 4 * 32
    assert "sheet.png" in capsys.readouterr().out


def test_a_sheet_does_not_replace_another_picture(here, capsys):
    assert command("lucid-port render TinyInceptionV1 mixed4a:3-6 -o units" + FAST) == 0
    Image.new("RGB", (3, 3)).save("mine.png")
    assert command("lucid-port sheet units -o mine.png") == 1
    assert "is not an earlier sheet" in capsys.readouterr().err
    assert command("lucid-port sheet units -o mine.png --overwrite") == 0


def test_a_sprite_is_never_replaced(here, capsys):
    render_many.render_many(TinyInceptionV1(), "mixed4a:3-4", size=32, steps=1, output="all", sheet=True, verbose=False)
    before = (here / "all/sheet.png").read_bytes()
    assert command("lucid-port sheet all --overwrite") == 1
    assert "has the pictures of the folder themselves" in capsys.readouterr().err
    assert (here / "all/sheet.png").read_bytes() == before
    assert command("lucid-port sheet all -o labelled.png") == 0


def test_a_picture_of_other_settings_is_not_replaced(here, capsys):
    first = "lucid-port render TinyInceptionV1 mixed4a:3 -o unit.png" + FAST
    assert command(first) == 0
    assert command(first) == 0
    before = (here / "unit.png").read_bytes()
    for changed in (first + " --seed 1", first.replace("4a:3", "4a:4"), first + " --alpha"):
        assert command(changed) == 1
        assert "unit.png exists, and this command did not make it" in capsys.readouterr().err
        assert (here / "unit.png").read_bytes() == before
    assert command(first + " --seed 1 --overwrite") == 0


def test_a_photograph_is_not_replaced(here, capsys):
    Image.new("RGB", (3, 3)).save("photo.png")
    assert command("lucid-port render TinyInceptionV1 mixed4a:3 -o photo.png" + FAST) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert Image.open("photo.png").size == (3, 3)


def test_finished_styles_are_kept(here, capsys):
    text = "lucid-port render TinyInceptionV1 mixed4a:3 --diversity 2 -o styles" + FAST
    assert command(text) == 0
    assert command(text) == 0
    assert "1 of them were there" in capsys.readouterr().out
    assert command(text + " --seed 1") == 1


def test_pictures_are_made_again_from_their_recipes(here):
    for text, file in {
        "lucid-port render TinyInceptionV1 -mixed4a_pre_relu:45 -o low.png": "low.png",
        "lucid-port render TinyInceptionV1 mixed4a:3 --alpha -o alpha.png": "alpha.png",
        "lucid-port render TinyInceptionV1 mixed4a:3 --diversity 2 -o styles": "styles/mixed4a_3_1.png",
        "lucid-port render TinyInceptionV1 mixed4a@direction.npy -o direction.png": "direction.png",
    }.items():
        assert command(text + FAST) == 0
        again = read_recipe(file).render(TinyInceptionV1())
        there = np.asarray(Image.open(file)) / 255
        np.testing.assert_allclose(again, there, atol=1.01 / 255)  # pictures have whole levels


def test_transparency_is_in_the_picture(here):
    assert command("lucid-port render TinyInceptionV1 mixed4a:3 --alpha -o alpha.png --steps 8 --size 40") == 0
    assert Image.open("alpha.png").mode == "RGBA"


def test_recipe_files_take_the_grammar(here):
    (here / "plan.toml").write_text(
        'model = "TinyInceptionV1"\nunits = "-mixed4a_pre_relu:3, mixed4a:3+mixed4b:8"\nsize = 32\nsteps = 2\n'
        'output = "made"\n'
    )
    assert command("lucid-port run plan.toml") == 0
    assert (here / "made/minus_mixed4a_pre_relu_0003.png").is_file()
    assert (here / "made/mixed4a_3_plus_mixed4b_8.png").is_file()
    (here / "one.toml").write_text(
        'model = "TinyInceptionV1"\nobjective = "class:spiral"\nsteps = 2\noutput = "one.png"\n'
    )
    assert command("lucid-port run one.toml") == 0


WRONG = {
    "lucid-port render TinyInceptionV1 mixed4a -o x.png": "as in 'mixed4a:3'",
    "lucid-port render TinyInceptionV1 mixed4a:3": "name a picture to write",
    "lucid-port render TinyInceptionV1 mixed4a:3,4 -o x.png": "give a folder",
    "lucid-port render TinyInceptionV1 mixed4a:3,4 -o x.gif": "give a folder",
    "lucid-port render TinyInceptionV1 mixed4a:3 -o x.avi": "pictures end in",
    "lucid-port render TinyInceptionV1 mixed4a:3 -o x.png --frames 4": "films end in",
    "lucid-port render TinyInceptionV1 mixed4a:3 -o x.png --diversity 4": "name a folder",
    "lucid-port render TinyInceptionV1 mixed4a:3 -o x.jpg --alpha": "transparency",
    "lucid-port render TinyInceptionV1 mixed4a:3 -o x.png --deepdream": "names of layers",
    "lucid-port render TinyInceptionV1 class:spiral -o x.png --neuron": "is not a channel",
    "lucid-port render TinyInceptionV1 class:spirl -o x.png": "near: spiral",
    "lucid-port render TinyInceptionV1 mixed4a:999 -o x.png": "has channels 0..126",
    "lucid-port render TinyInceptionV1 mixed4q:3 -o x.png": "mixed4q",
    "lucid-port render TinyInceptionV1 mixed4a@none.npy -o x.png": "none.npy",
    "lucid-port sheet none": "There is no folder none",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_commands_are_answered_before_the_work(text, here, capsys):
    there = set(here.iterdir())
    assert command(text) in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert WRONG[text] in lines[0]
    assert set(here.iterdir()) == there


def test_units_with_a_minus_sign_are_no_options():
    words = ["m", "-mixed4a:3", "-a@d.npy", "-o", "x:y.png", "-h", "--mean=1:2", "-5"]
    assert protected(words) == ["m", " -mixed4a:3", " -a@d.npy", "-o", "x:y.png", "-h", "--mean=1:2", "-5"]
    assert str(grammar.parse_one(" -mixed4a:3")) == "-mixed4a:3"


def test_a_film_has_as_many_frames_as_asked_for(here):
    assert command("lucid-port render TinyInceptionV1 mixed4a:3 -o unit.webp --frames 5 --steps 16 --size 32") == 0
    assert Image.open("unit.webp").n_frames == 5
    assert command("lucid-port rerender unit.webp.json") == 0
    shutil.copy("unit.webp", "still.webp")
    assert command("lucid-port render TinyInceptionV1 mixed4a:3 -o still.png --steps 16 --size 32") == 0


def test_a_figure_without_its_model_names_one_at_hand(here, capsys, monkeypatch):
    monkeypatch.setenv("LUCID_PORT_MODELZOO", "")
    monkeypatch.setattr("lucid_port.modelzoo.files.find_local", lambda names: None)
    monkeypatch.setattr("lucid_port.modelzoo.files.checked_downloads", lambda entry: [])
    assert command("lucid-port figure fv-channel -o figures") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "lucid-port figure fv-channel --model TinyInceptionV1" in line
    assert command("lucid-port figure fv-channel --model TinyInceptionV1 --fast --steps 1 -o figures") == 0
