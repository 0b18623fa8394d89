"""A few mutated files of every kind; `python -m parity_tests.fuzzing` (tox -e fuzz) runs 10,000."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import numpy as np
import pytest

from parity_tests.fuzzing import runner, worker
from parity_tests.fuzzing.__main__ import record
from parity_tests.fuzzing.bases import KINDS, MAIN, NETWORKS, base, draw, names
from parity_tests.fuzzing.files import mutate
from parity_tests.fuzzing.runner import Case, Result, cases, keep, run
from parity_tests.fuzzing.table import RECORDED, table

COUNT = 12 * len(KINDS)
ANSWERS = {
    "recipe": {"rendered"},
    "plan": {"rendered"},
    "manifest": {"went on", "opened"},
    "figure": {"read", "made"},
    "units": {"parsed"},
    # Some graphs take images of some sizes only.
    **{kind: {"converted and ran", "refused: InputSizeError"} for kind in NETWORKS},
}


def test_every_file_ends_in_an_answer_or_a_clear_error():
    results = run(cases(KINDS, COUNT, seed=0))
    assert [result for result in results if result.failed] == []
    outcomes = {result.outcome.partition(":")[0] for result in results}
    # Otherwise the changes would be too small, or too large, to tell.
    assert {"converted and ran", "rendered", "read", "went on", "refused"} <= outcomes


@pytest.mark.parametrize("kind", ANSWERS)
def test_files_that_are_not_changed_are_answered(kind):
    random, answered = Random(0), 0
    for _ in range(4):
        drawn = draw(kind, random)
        outcome = worker.open_files(kind, drawn.files)["outcome"]
        assert outcome in ANSWERS[kind], drawn.name
        answered += not outcome.startswith("refused")
    assert answered >= 2


@pytest.mark.parametrize("name", ["RGB.png", "CMYK.jpg", "RGBA.webp", "turned 6.jpg", "animated.webp", "recipe.png"])
def test_pictures_that_are_not_changed_are_read(name):
    assert worker.open_files("picture", base("picture", name).files) == {"outcome": "read", "message": ""}


@pytest.mark.parametrize("name", ["EPS.png", "TIFF.jpg", "svg.png", "pickle.png", "bits.png", "large header.webp"])
def test_files_that_pose_as_pictures_are_refused(name):
    assert worker.open_files("picture", base("picture", name).files)["outcome"] == "refused: ValueError"


@pytest.mark.slow
def test_a_seed_gives_the_same_file_in_every_process():
    script = (
        "import hashlib, sys\nfrom parity_tests.fuzzing.worker import make_files\n"
        "for kind in sys.argv[1:]:\n"
        "    name, files = make_files(kind, '3/7')\n"
        "    print(name, *(hashlib.sha256(files[key]).hexdigest() for key in sorted(files)), sep='\\n')"
    )
    command = [sys.executable, "-c", script, *KINDS]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in "12"
    )
    assert first.stdout == second.stdout


def test_a_run_that_goes_on_adds_to_its_record(tmp_path):
    first, second = cases(["units"], 3, seed=1), cases(["units"], 2, seed=1, first=3)
    assert [case.seed for case in (*first, *second)] == ["1/0", "1/1", "1/2", "1/3", "1/4"]
    path = tmp_path / "record.json"
    for wanted, outcome, goes_on in ((first, "parsed", False), (second, "FAILED", True)):
        record([Result(case, "base", outcome, "") for case in wanted], 1, path, goes_on)
    assert json.loads(path.read_text()) == {"units": {"seed": 1, "files": 5, "outcomes": {"FAILED": 2, "parsed": 3}}}
    record([Result(case, "base", "parsed", "") for case in first], 2, path)
    assert json.loads(path.read_text())["units"]["files"] == 3


def test_the_table_in_the_docs_has_the_recorded_numbers():
    recorded = json.loads(RECORDED.read_text())
    assert table(recorded) in (Path(ROOT) / "docs" / "converting.md").read_text(), (
        "replace the table by the output of python -m parity_tests.fuzzing.table"
    )
    assert [kind for kind, entry in recorded.items() if entry["files"] != sum(entry["outcomes"].values())] == []


@pytest.mark.parametrize("kind", ["pb", "saved", "caffe", "recipe", "plan", "manifest", "figure", "picture", "units"])
def test_mutations_change_files(kind):
    random = Random(0)
    files = base(kind, names(kind)[0]).files
    changed = [mutate(kind, name, files[name], random) != files[name] for name in files for _ in range(50)]
    assert sum(changed) > 0.8 * len(changed)


# -- the watch itself: deliberate defects are noticed -----------------------------------------------------------------

ROOT = str(Path(__file__).resolve().parents[2])  # the defective workers are not started from there

DEFECTS = {
    "an unclear error": ("raise KeyError('x')", "refused with KeyError"),
    "an error of two lines": ("raise ValueError('a\\nb')", "refused with ValueError"),
    "a crash": ("os.kill(os.getpid(), 11)", "crashed: SIGSEGV"),
    "an endless computation": ("while True: pass", "hung: it computed for more than 2 seconds"),
    "an endless wait": ("time.sleep(60)", "hung: it took more than 4 seconds"),
    "a blow-up": ("bytearray(600 * 2**20)", "used too much memory"),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_are_noticed(defect, tmp_path, monkeypatch):
    if defect == "a blow-up" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux limits a process's memory")
    code, words = DEFECTS[defect]
    module = tmp_path / "defective_worker.py"
    module.write_text(
        f"import os, sys, time\nsys.path.insert(0, {ROOT!r})\nimport converters\n"
        "from parity_tests.fuzzing import worker\n"
        f"def open_source(path, **options):\n    {code}\n"
        "converters.open_source = open_source\nworker.warm_up = lambda kinds: None\nworker.main()\n"
    )
    monkeypatch.setattr(runner, "WORKER", [str(module)])
    monkeypatch.setattr(runner, "SECONDS", 2.0)
    # On a loaded machine, seconds of waiting pass sooner than those of the processor.
    monkeypatch.setattr(runner, "WAITING_SECONDS", 4.0 if defect == "an endless wait" else 300.0)
    results = run([Case("pb", "0/1"), Case("pb", "0/2")])
    assert [result.failed for result in results] == [True, True]
    assert all(words in result.message for result in results), results
    keep(results, tmp_path / "kept")
    assert (tmp_path / "kept" / "pb-0-1" / MAIN["pb"]).stat().st_size > 0
    assert json.loads((tmp_path / "kept" / "pb-0-2" / "result.json").read_text())["outcome"] == "FAILED"


def _native(folder: Path) -> None:
    ctypes.CDLL(None).mkdir(str(folder.parent / "native").encode(), 0o700)


def _connected(folder: Path) -> None:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 9), 0.1)


DEEDS: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "a process": (lambda folder: subprocess.run([sys.executable, "-c", ""], check=True), "started: subprocess.Popen"),
    "a shell": (lambda folder: os.system("true"), "started: os.system"),
    "a connection": (_connected, "fetched: socket.connect"),
    "a name's address": (lambda folder: socket.getaddrinfo("localhost", 9), "fetched: socket.getaddrinfo"),
    "a pickle": (lambda folder: pickle.loads(pickle.dumps(Path("x"))), "started: pickle.find_class"),
    "the folder's module": (lambda folder: importlib.import_module("planted"), "ran: FOLDER/planted.py"),
    "a file outside": (lambda folder: (folder.parent / "x").write_text("x"), "wrote outside: open"),
    "a file with a relative path": (lambda folder: Path("../../x").write_text("x"), "wrote outside: open"),
    "a folder outside": (lambda folder: (folder.parent / "x").mkdir(), "wrote outside: os.mkdir"),
    "a removal outside": (lambda folder: (folder.parent / "x").unlink(missing_ok=True), "wrote outside: os.remove"),
    "a move to the outside": (lambda folder: (folder / "pipe").rename(folder.parent / "x"), "wrote outside: os.rename"),
    "a write by native code": (_native, "wrote outside:"),
    "much memory": (lambda folder: bytearray(600 * 2**20), "used too much memory"),
    "a failed operation": (lambda folder: "a" < 3, "refused with TypeError (the sentence of another library)"),  # type: ignore[operator]
    "a missing key": (lambda folder: {}["x"], "refused with KeyError"),
    "a library's error": (lambda folder: np.zeros(3).reshape(2), "the sentence of another library"),
    "the end of the process": (lambda folder: sys.exit("x"), "ended the process"),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_deeds_are_noticed(deed, monkeypatch):
    if not sys.platform.startswith("linux") and deed == "much memory":
        pytest.skip("only Linux limits a process's memory")
    monkeypatch.delitem(sys.modules, "planted", raising=False)
    call, words = DEEDS[deed]
    monkeypatch.setitem(worker.OPENERS, "recipe", (lambda folder: str(call(folder)),))
    answer = worker.open_files("recipe", {"recipe.json": b"{}"})
    assert answer["outcome"] == "FAILED"
    assert words in answer["message"]


def test_what_is_allowed_is_not_reported(monkeypatch):
    def call(folder: Path) -> str:
        (folder / "a").mkdir()
        (folder / "a" / "b.txt").write_text("x")
        shutil.rmtree(folder / "a")
        with open(os.devnull, "w") as nowhere:
            nowhere.write("x")
        json.loads(Path("recipe.json").read_bytes())
        return str(len(bytearray(300 * 2**20)))

    monkeypatch.setitem(worker.OPENERS, "recipe", (call,))
    answer = worker.open_files("recipe", {"recipe.json": b"{}"})
    assert answer == {"outcome": str(300 * 2**20), "message": ""}
