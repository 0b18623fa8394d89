"""A few mutated files of every kind; `python -m parity_tests.fuzzing` (tox -e fuzz) runs 10,000."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from parity_tests.fuzzing import runner, worker
from parity_tests.fuzzing.bases import KINDS, MAIN, base, draw, names
from parity_tests.fuzzing.mutations import mutate
from parity_tests.fuzzing.runner import Case, cases, keep, run

COUNT = 160


def test_every_file_ends_in_a_conversion_or_a_clear_error():
    results = run(cases(KINDS, COUNT, seed=0))
    assert [result for result in results if result.failed] == []
    outcomes = {result.outcome.partition(":")[0] for result in results}
    assert {"converted and ran", "refused"} <= outcomes  # or the changes would be too small, or too large, to tell


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_are_not_changed_convert_and_run(kind):
    # Some graphs take images of some sizes only.
    allowed = {"converted and ran", "refused to run: InputSizeError"}
    random, ran = Random(0), 0
    for _ in range(6):
        drawn = draw(kind, random)
        outcome = worker.open_files(kind, drawn.files)["outcome"]
        assert outcome in allowed, drawn.name
        ran += outcome == "converted and ran"
    assert ran >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_file_in_every_process(kind):
    script = (
        "import hashlib, sys\nfrom parity_tests.fuzzing.worker import make_files\n"
        "name, files = make_files(sys.argv[1], '3/7')\n"
        "print(name, *(hashlib.sha256(files[key]).hexdigest() for key in sorted(files)), sep='\\n')"
    )
    command = [sys.executable, "-c", script, kind]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in "12"
    )
    assert first.stdout == second.stdout


def test_mutations_change_files():
    random = Random(0)
    for kind in ("pb", "saved", "caffe"):
        files = base(kind, names(kind)[0]).files
        changed = [mutate(kind, name, files[name], random) != files[name] for name in files for _ in range(50)]
        assert sum(changed) > 0.8 * len(changed)


# -- the watch itself: deliberate defects are noticed -----------------------------------------------------------------

ROOT = str(Path(__file__).resolve().parents[2])  # the defective workers are not started from there

DEFECTS = {
    "an unclear error": ("raise KeyError('x')", "refused with KeyError"),
    "an error of two lines": ("raise ValueError('a\\nb')", "refused with ValueError"),
    "a crash": ("os.kill(os.getpid(), 11)", "crashed: SIGSEGV"),
    "a hang": ("time.sleep(60)", "hung"),
    "a blow-up": ("bytearray(4 * 2**30)", "refused with MemoryError"),
}


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
        "converters.open_source = open_source\nworker.warm_up = lambda: None\nworker.main()\n"
    )
    monkeypatch.setattr(runner, "WORKER", [str(module)])
    monkeypatch.setattr(runner, "SECONDS", 2.0)
    results = run([Case("pb", "0/1"), Case("pb", "0/2")])
    assert [result.failed for result in results] == [True, True]
    assert all(words in result.message for result in results), results
    keep(results, tmp_path / "kept")
    assert (tmp_path / "kept" / "pb-0-1" / MAIN["pb"]).stat().st_size > 0
    assert json.loads((tmp_path / "kept" / "pb-0-2" / "result.json").read_text())["outcome"] == "FAILED"
