"""The benchmarks follow the code they measure: each runs, in the smallest way it can."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

SMALLEST = {
    "breakdown.py": ["--steps", "1", "--rounds", "2", "--warm-up", "17", "--size", "48"],
    "scaling.py": ["--steps", "1", "--rounds", "2", "--warm-up", "17", "--only", "units", "--most", "2"],
    "figures.py": ["--only", "cc-circuit-editing", "fv-channel", "--steps", "1"],
    "recipes.py": ["--only", "visualize", "unit_sheet", "--steps", "1", "--rounds", "2"],
    "selection.py": [
        "--steps",
        "1",
        "--rounds",
        "2",
        "--warm-up",
        "17",
        "--size",
        "48",
        "--layers",
        "mixed3a_pre_relu",
    ],
    "textures.py": [
        *("--model", "TinyInceptionV1", "--unit", "mixed3a_pre_relu:31", "--texture-size", "32", "--size", "48"),
        *("--steps", "2", "--looks", "2"),
    ],
    "peers.py": ["--steps", "1", "--rounds", "2", "--warm-up", "17", "--size", "48", "--units", "2"],
}
"""Arguments of each script. No peer takes part: they need environments of their own."""


@pytest.mark.slow
@pytest.mark.parametrize("script", SMALLEST)
def test_a_script_runs_and_writes_its_results(script: str, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [sys.executable, str(BENCHMARKS / script), *SMALLEST[script], "--output", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads(output.read_text())


def test_the_first_block_of_the_readme_is_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import first_picture

    assert first_picture.first_block((BENCHMARKS.parent / "README.md").read_text(encoding="utf-8")).endswith(
        "lucid-port demo"
    )
    with pytest.raises(ValueError, match="no block"):
        first_picture.first_block("# lucid_port\n")
