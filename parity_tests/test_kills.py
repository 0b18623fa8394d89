"""A few kills of short jobs; `python -m parity_tests.kills --count 50` kills all jobs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from parity_tests import kills


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it forks processes and waits for them by number")
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_jobs_lose_nothing(tmp_path, seed):
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "parity_tests.kills", "--count", "6", "--seed", str(seed), "--results", report]
    done = subprocess.run([*map(str, command), "--job", "convert", "--job", "download"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(json.loads(report.read_text())["kills"].values()) == 6


def _usual(**after):
    return kills.Usual({"plan.toml": b"plan"}, {"plan.toml": b"plan", **after}, 1.0, 1)


def test_faults_after_a_kill_are_found(tmp_path):
    def faults():
        return list(kills.faults_after_a_kill(tmp_path, _usual(picture=b"whole")))

    assert faults() == ["plan.toml is lost"]
    (tmp_path / "plan.toml").write_bytes(b"plan")
    (tmp_path / ".picture.partial").write_bytes(b"who")
    assert faults() == []
    (tmp_path / "picture").write_bytes(b"who")
    assert faults() == ["picture is neither the old file nor the new one"]
    (tmp_path / "picture").write_bytes(b"whole")
    assert faults() == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"units": [', "half-written"),
        ('{"units": [{"id": "a", "file": "a.png", "bytes": 3}, {"id": "a", "file": "a.png", "bytes": 3}]}', "twice"),
        ('{"units": [{"id": "a", "file": "b.png", "bytes": 3}]}', "missing or of another size"),
        ('{"units": [{"id": "a", "file": "a.png", "bytes": 4}]}', "missing or of another size"),
        ('{"units": [{"id": "a", "file": "a.png", "bytes": 3}]}', "a.png is half-written"),
    ],
)
def test_faults_of_a_manifest_are_found(tmp_path, text, words):
    (tmp_path / "plan.toml").write_bytes(b"plan")
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "a.png").write_bytes(b"abc")
    (tmp_path / "units" / "manifest.json").write_text(text)
    found = list(kills.faults_after_a_kill(tmp_path, _usual(**{"units/a.png": b"abc"})))
    assert any(words in one for one in found), found


def test_faults_at_the_end_are_found(tmp_path):
    for name, text in {"plan.toml": "plan", "picture": "other", ".a.partial": ""}.items():
        (tmp_path / name).write_text(text)
    found = list(kills.faults_at_the_end(tmp_path, _usual(picture=b"whole", more=b"")))
    assert found == [".a.partial is left at the end", "more is missing at the end", "picture has other bits at the end"]
