"""What scripts and shells rely on: JSON alone on standard output, examples that parse, completion, narrow terminals."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
import torch
import typer.main

from converters.atomic import write_bytes
from lucid_port.cli import main
from lucid_port.cli.app import app
from lucid_port.figures.distill import atlas as distill_atlas
from lucid_port.modelzoo import nets_factory
from lucid_port.optvis.render import render_many

GROUP = typer.main.get_command(app)
GROUPS = {name: group for name, group in GROUP.commands.items() if hasattr(group, "commands")}
SINGLE = {name: command for name, command in GROUP.commands.items() if name not in GROUPS}
ALL = {**SINGLE, **{f"{name} {own}": one for name, group in GROUPS.items() for own, one in group.commands.items()}}
COMMANDS = sorted(ALL)
MODEL = "TinyInceptionV1"
SMALL = ["--size", "24", "--steps", "2"]
RECIPE = f'model = "{MODEL}"\nunits = "mixed3a:1"\nsize = 24\nsteps = 2\noutput = "run.png"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test works in a folder of its own, which has a recipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.toml").write_text(RECIPE)
    return tmp_path


def told(capsys, *arguments):
    """What a command writes to standard output with --json, which has to be JSON and nothing else."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# -- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_speaks_json(name):
    assert "--json" in {option for one in ALL[name].params for option in one.opts}


def test_convert(capsys, folder):
    facts = told(capsys, "convert", MODEL, "-o", "tiny", "--check")
    assert facts["output"] == "tiny"
    assert facts["outputs"] == ["output", "output1", "output2"]
    assert facts["checked"] is True
    assert facts["layers"] > 150


def test_export(capsys, folder):
    assert told(capsys, "export", MODEL, "-o", "t.onnx", "--layers", "mixed3a") == {
        "output": "t.onnx",
        "layers": ["mixed3a"],
    }


def test_figure(capsys, folder):
    facts = told(capsys, "figure", "fv-channel", "--model", MODEL, "--units", "mixed3a:1", "--steps", "2", "-o", "out")
    assert facts["figure"] == "fv-channel"
    assert facts["files"] == [os.path.join("out", f"fv-channel.{ending}") for ending in ("png", "html", "json")]


@pytest.mark.parametrize("arguments", [["figure", "list"], ["layers", MODEL], ["models"], ["doctor"]])
def test_lists(arguments, capsys):
    rows = told(capsys, *arguments)
    assert len(rows) > 10
    assert len({tuple(row) for row in rows}) == 1  # every row has the same keys


def test_parity(capsys, folder):
    facts = told(capsys, "parity", MODEL, "--no-functions")
    assert facts["failed"] == facts["functions"] == 0
    assert facts["layers"] > 100
    assert (folder / facts["output"]).is_file()


def test_render_and_rerender(capsys, folder):
    facts = told(capsys, "render", MODEL, "mixed3a:1", "-o", "a.png", *SMALL, "--seed", "7")
    assert {name: facts[name] for name in ("output", "units", "size", "steps", "seed")} == {
        "output": "a.png",
        "units": "mixed3a:1",
        "size": 24,
        "steps": 2,
        "seed": 7,
    }
    assert isinstance(facts["objective"], float)
    again = told(capsys, "rerender", "a.png", "-o", "b.png")
    assert again["compared"] == "the same, bit for bit"
    assert again["differences"] == []
    assert (folder / again["output"]).is_file()


def test_render_of_many(capsys, folder):
    facts = told(capsys, "render", MODEL, "mixed3a:1,4", "-o", "out", *SMALL)
    assert (facts["unfinished"], facts["reused"], len(facts["pictures"])) == (0, 0, 2)
    assert all((folder / path).is_file() for path in facts["pictures"])
    assert told(capsys, "render", MODEL, "mixed3a:1,4", "-o", "out", *SMALL)["reused"] == 2


def test_the_process_is_left_as_it_was(tmp_path):
    before = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    assert main(["render", MODEL, "mixed3a:1", "-o", str(tmp_path / "a.png"), "--size", "24", "--steps", "2"]) == 0
    torch.set_num_threads(before[1] + 1)
    assert main(["rerender", str(tmp_path / "a.png")]) == 0
    assert (signal.getsignal(signal.SIGTERM), torch.get_num_threads() - 1) == before
    torch.set_num_threads(before[1])


def test_an_interrupted_render_says_how_much_is_left(capsys, monkeypatch):
    from lucid_port.optvis.render_many import ManyRenders, render_many

    def interrupted(*args, **kwargs):
        found = render_many(*args, **kwargs)
        part = ManyRenders(list(found)[:1])
        part.asked, part.reused, part.interrupted = 2, 0, True
        part.folder, part.size = found.folder, found.size
        return part

    monkeypatch.setattr("lucid_port.optvis.render_many.render_many", interrupted)
    assert main(["render", MODEL, "mixed3a:1,4", "-o", "out", *SMALL, "--json"]) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out)["unfinished"] == 1
    assert captured.err == "error: interrupted\n"


def test_run(capsys, folder):
    assert told(capsys, "run", "one.toml") == {"recipe": "one.toml", "files": ["run.png"]}
    assert (folder / "run.png").is_file()


def test_an_error_leaves_standard_output_empty(capsys):
    assert main(["render", MODEL, "mixed9:1", "-o", "a.png", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")


# -- help -------------------------------------------------------------------------------------------------------------


def examples(name):
    text = " ".join(ALL[name].help.replace("\b", "").split())
    return [line.strip() for line in re.split(r"(?=lucid-port )", text.partition("Example")[2])[1:]]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_command_lines(name, folder):
    lines = examples(name)
    assert lines
    for line in lines:
        program, command, *arguments = shlex.split(line.partition(";")[0].replace(" LUCID_PORT_MODELZOO=~/models", ""))
        assert (program, command) == ("lucid-port", name.partition(" ")[0])
        (folder / "eyes.toml").touch()
        if command in GROUPS:  # its first command need not be named
            named = (
                arguments.pop(0) if arguments[0] in GROUPS[command].commands else next(iter(GROUPS[command].commands))
            )
            command = f"{command} {named}"
        ALL[command].make_context(command, arguments)  # raises for an option or argument that there is not


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_not_wrapped(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(line in shown for line in examples(name))


# -- shells and terminals ---------------------------------------------------------------------------------------------


def completed(line, word):
    words = {"_LUCID_PORT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(word)}
    program = [sys.executable, "-c", "import sys; sys.argv[0] = 'lucid-port'; from lucid_port.cli import main; main()"]
    return subprocess.run(program, env={**os.environ, **words}, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize(
    ("line", "word", "expected"),
    [
        ("lucid-port re", 1, ["render", "rerender"]),
        ("lucid-port render Tiny", 2, [MODEL]),
        (f"lucid-port render {MODEL} mixed5", 3, ["mixed5a:", "mixed5b:", "mixed5a_pre_relu:", "mixed5b_pre_relu:"]),
        ("lucid-port figure fv-ch", 2, ["fv-channel"]),
        ("lucid-port render --see", 2, ["--seed"]),
        ("lucid-port layers ./no-such-model", 2, []),
    ],
)
def test_completion(line, word, expected):
    assert completed(line, word) == expected


STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-8]|9[0-7])[0-9;]*m")


def test_narrow_terminals_show_whole_names(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["layers", MODEL, "--grep", "mixed3a_3x3"]) == 0
    lines = STYLE.sub("", capsys.readouterr().out).splitlines()
    assert ["mixed3a_3x3_bottleneck_pre_relu", "BiasAdd", "24"] in [line.split() for line in lines]


def test_tables_and_progress_have_no_colours(capsys, monkeypatch):
    from lucid_port.cli import console

    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(console, "PROGRESS_AFTER", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with console.progress_bar() as report:
        report("reading", 0.5)
        time.sleep(0.3)
    console.print_table(("name",), [("a",)])
    captured = capsys.readouterr()
    assert "reading" in captured.err
    assert STYLE.search(captured.out)  # bold
    assert not COLOUR.search(captured.out + captured.err)


# Mistakes that are found before the work -----------------------------------------------------------


@pytest.mark.parametrize("command", ["demo", "parity"])
def test_a_folder_is_no_page(tmp_path, capsys, monkeypatch, command):
    monkeypatch.setattr(nets_factory, "open_model", lambda *_, **__: pytest.fail("work was done"))
    monkeypatch.setattr(nets_factory, "open_network", lambda *_, **__: pytest.fail("work was done"))
    assert main([command, *([MODEL] if command == "parity" else []), "-o", str(tmp_path)]) == 1
    assert f"{tmp_path} is a folder: name a file" in capsys.readouterr().err


def test_what_holds_no_recipe_of_one_picture(tmp_path, capsys):
    model = nets_factory.get_model(MODEL)
    render_many(model, "mixed3a:0-1", output=tmp_path / "many", sheet=True, size=24, steps=2, verbose=False)
    assert main(["figure", "fv-channel", "--model", MODEL, "--fast", "--steps", "1", "-o", str(tmp_path)]) == 0
    capsys.readouterr()
    for path, words in {
        tmp_path: "is a folder",
        tmp_path / "many" / "sheet.png": "is a sheet of pictures; their recipes are in",
        tmp_path / "fv-channel.png": "'lucid-port run' for figures",
    }.items():
        assert main(["rerender", str(path)]) == 1
        assert words in capsys.readouterr().err


def test_a_jpeg_is_compared_too(tmp_path, capsys):
    assert main(["render", MODEL, "mixed3a:1", "-o", str(tmp_path / "a.jpg"), "--steps", "2", "--size", "24"]) == 0
    assert main(["rerender", str(tmp_path / "a.jpg")]) == 0
    assert "part of this comes from the JPG compression" in capsys.readouterr().out
    assert main(["rerender", str(tmp_path / "a.jpg.json")]) == 0
    assert "no picture to compare with" in capsys.readouterr().out


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match=r"\[Errno \d+\].*'.*nowhere/a\.bin'"):
        write_bytes(tmp_path / "nowhere" / "a.bin", b"")


def test_too_little_memory_is_one_sentence(capsys, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 37 GiB")

    monkeypatch.setattr(nets_factory, "open_model", fail)
    assert main(["render", MODEL, "mixed3a:1", "-o", "a.png"]) == 1
    words = "There is not enough memory (Unable to allocate 37 GiB): ask for smaller or fewer pictures"
    assert words in capsys.readouterr().err


def test_groups_without_scikit_learn(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    assert main(["figure", "bb-neuron-groups", "--model", MODEL, "--fast", "-o", str(tmp_path)]) == 1
    assert "pip install -e '.[figures]'" in capsys.readouterr().err


def test_an_atlas_without_its_library_is_refused_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    monkeypatch.setattr(distill_atlas, "_pictures", lambda *_: pytest.fail("work was done"))
    assert main(["figure", "aa-mini-atlas", "--model", MODEL, "--fast", "-o", str(tmp_path)]) == 1
    assert "The layout 'tsne' needs scikit-learn" in capsys.readouterr().err
