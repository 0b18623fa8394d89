"""Every `lucid-port` command of the pages runs as it stands there, with one update and stand-ins for files and weights.

For commands of other programs, `test_links.py` checks that scripts and environments are there.
"""

from __future__ import annotations

import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch

from lucid_port.cli import main
from lucid_port.cli.limits import VARIABLE
from lucid_port.modelzoo.catalogue import entry
from lucid_port.modelzoo.files import local_graph
from parity_tests.docs import PAGES, ROOT, Line, lines
from parity_tests.docs.stand_ins import FILES, OF_PAGES, few_updates, seeded, without_downloads
from parity_tests.networks import WITHOUT_CAFFE

PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_]+\b")
"""A word for which a reader puts a name of their own: lucid-port layers MODEL."""

NEEDS_TENSORFLOW = "needs TensorFlow, in a process that test_freeze.py tests"
NEEDS_SITES = "needs finished sites, which the tests in parity_tests/microscope have"
NOT_RUN = {
    "lucid-port microscope compare epoch10 epoch90 -o comparison": NEEDS_SITES,
    "lucid-port microscope compare site other -o both": NEEDS_SITES,
    "lucid-port --install-completion": "changes the settings of the reader's shell",
    "lucid-port convert model.ckpt-1000.meta -o model --keep-pb model.pb": NEEDS_TENSORFLOW,
    "lucid-port convert model.ckpt-1000.meta -o mymodel --outputs logits --keep-pb model.pb": NEEDS_TENSORFLOW,
    "lucid-port convert exported/ -o model": NEEDS_TENSORFLOW,
    "lucid-port convert exported/ -o model --tensorflow-python tf/bin/python": NEEDS_TENSORFLOW,
    "lucid-port convert saved_model/ -o mymodel": NEEDS_TENSORFLOW,
    "lucid-port convert graph.pb -o model --set is_training=false --set keep_prob=1 --check": NEEDS_TENSORFLOW,
}
"""Command -> why it is not run."""

TRAINED = ("InceptionV1_caffe", "googlenet.pb", "eyes.toml", "docs/units.toml", "docs/images/objectives/neuron.jpg")
"""Words that name the trained GoogLeNet, or a recipe of it."""

LONG_PAGES = ("command_line.md", "index.md")  # the commands of index.md are also in the README
LONG = re.compile(r"lucid-port (microscope|parity)\b|:\*'|:0-63'|--(timm|torchvision|huggingface)\b|neuron\.jpg")
"""Commands of whole layers, models, sites and libraries, and of a picture with many updates."""


def of_page(page: Path) -> list[Line]:
    """The commands of a page that run. A sentence may also name a command without its arguments: `lucid-port run`."""
    return [
        line
        for line in lines(page, "lucid-port")
        if line.command not in NOT_RUN
        and not PLACEHOLDER.search(line.command)
        and (line.in_block or len(line.command.split()) > 2)
        and ("cuda" not in line.command or torch.cuda.is_available())
    ]


def is_long(page: Path, line: Line) -> bool:
    return page.name in LONG_PAGES or page.parent.name == "gallery" or LONG.search(line.command) is not None


def with_the_trained_network(found: Iterable[Line]) -> dict[Line, bool]:
    """Whether each command needs the trained GoogLeNet: it names it, or what such a command wrote."""
    names, needs = set(TRAINED), {}
    for line in found:
        words = shlex.split(line.command)
        needs[line] = needs.get(line, False) or bool(names & set(words))
        if needs[line] and "-o" in words:
            names.add(words[words.index("-o") + 1])
    return needs


DESCRIBED = [page for page in PAGES if page.name != "CHANGELOG.md"]
SHORT = [page for page in DESCRIBED if any(not is_long(page, line) for line in of_page(page))]
LISTS = ("command_line.md", "microscope.md")
"""Pages that list examples which do not follow each other: several write one file, or merge parts of one run.

Their short commands run, one page in a folder of its own; their long ones take a quarter of an hour.
"""
WITH_LONG = [
    page for page in DESCRIBED if page.name not in LISTS and any(is_long(page, line) for line in of_page(page))
]
without_file = pytest.mark.skipif(local_graph(entry("InceptionV1_caffe")) is None, reason=WITHOUT_CAFFE)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def cases(pages: Iterable[Path]) -> list[object]:
    """Pairs of a page and whether its commands need the trained GoogLeNet."""
    found = []
    for page in pages:
        for trained in sorted(set(with_the_trained_network(of_page(page)).values())):
            marks = [without_file] if trained else []
            found.append(pytest.param(page, trained, marks=marks, id=name(page) + trained * " (trained)"))
    return found


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the graph that stands in for InceptionV1."""
    folder = tmp_path_factory.mktemp("zoo")
    seeded(folder / "InceptionV1.pb")
    return folder


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, generated: Path) -> pytest.MonkeyPatch:
    """An empty folder, one update, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "1")
    folders = [os.environ.get("LUCID_PORT_MODELZOO", ""), str(generated)]
    monkeypatch.setenv("LUCID_PORT_MODELZOO", os.pathsep.join(filter(None, folders)))
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))
    for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://localhost:9")
    monkeypatch.delitem(sys.modules, "networks", raising=False)
    without_downloads(monkeypatch)
    few_updates(monkeypatch)
    return monkeypatch


def stand_ins(page: Path, commands: Sequence[Line], generated: Path) -> None:
    """Writes the files that commands name into the current folder."""
    for path, make in {**FILES, **OF_PAGES.get(page.name, {})}.items():
        if not any(re.search(rf"(?<![\w.]){re.escape(path.removesuffix('.py'))}\b", one.command) for one in commands):
            continue
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if make is seeded:
            Path(path).symlink_to(generated / "InceptionV1.pb")
        else:
            make(Path(path))


def run(commands: Iterable[Line], patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Runs commands one after the other; returns those that fail, with their errors."""
    failed = []
    for line in commands:
        if re.match(r"lucid-port microscope (?!merge|check|remove|compare)", line.command):
            shutil.rmtree("site", ignore_errors=True)  # pages make sites of several networks in one place
        with patch.context() as own:
            for variable, value in line.environment:
                own.setenv(variable, value)
            code = main(shlex.split(line.command)[1:])
        out, error = capsys.readouterr()
        again = line.command.startswith("lucid-port rerender ") and " -o " not in line.command
        if code != 0 or (again and "the same, bit for bit" not in out):
            failed.append(f"{line.command}: exit code {code}, {out.strip()} {error.strip().splitlines()[-1:]}")
    return failed


@pytest.mark.parametrize(("page", "trained"), cases(SHORT))
def test_commands_run(
    page: Path, trained: bool, prepared: pytest.MonkeyPatch, generated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [line for line in of_page(page) if not is_long(page, line)]
    chosen = [line for line, needs in with_the_trained_network(found).items() if needs == trained]
    stand_ins(page, chosen, generated)
    assert run(chosen, prepared, capsys) == []


@pytest.mark.slow
@pytest.mark.parametrize(("page", "trained"), cases(WITH_LONG))
def test_long_commands_run(
    page: Path, trained: bool, prepared: pytest.MonkeyPatch, generated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = of_page(page)
    chosen = [line for line, needs in with_the_trained_network(found).items() if needs == trained]
    stand_ins(page, chosen, generated)
    assert run(chosen, prepared, capsys) == []


@pytest.fixture
def demo_commands(prepared: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[Line]:
    """The commands of the demo's page. Recipes that it shows are written as its shell commands write them."""
    assert main(["demo", "--quiet"]) == 0
    text = Path("demo.html").read_text(encoding="utf-8")
    found = []
    for block in (html.unescape(one) for one in re.findall(r"<pre[^>]*>(.*?)</pre>", text, re.DOTALL)):
        document, end, commands = block.rpartition("\nEND\n")
        subprocess.run(["sh", "-c", document + end], check=True)
        found += [line for line in commands.splitlines() if line.startswith("lucid-port ")]
    found += re.findall(r"<code>(lucid-port \S+ [^<]+)</code>", text)
    capsys.readouterr()
    return [Line(one, (), True) for one in found]


def test_commands_of_the_demos_page_run(
    demo_commands: list[Line], prepared: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = [line for line in demo_commands if not LONG.search(line.command)]
    assert len(short) >= 8
    assert run(short, prepared, capsys) == []


@pytest.mark.slow
def test_long_commands_of_the_demos_page_run(
    demo_commands: list[Line], prepared: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = [line for line in demo_commands if LONG.search(line.command)]
    assert long
    assert run(long, prepared, capsys) == []


def test_commands_that_are_not_run_are_on_a_page() -> None:
    there = {line.command for page in DESCRIBED for line in lines(page, "lucid-port")}
    assert set(NOT_RUN) <= there
