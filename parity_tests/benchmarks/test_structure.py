"""`benchmarks/structure.py` counts as it says: lines of code, long functions and files, and the extent of one step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"

SOURCE = '''"""A docstring
of two lines."""

# A comment.
import os  # a comment beside code


def function(text: str = """two
lines""") -> str:
    """A docstring."""
    return f"""{text}

    counts, as the blank line in this string does"""


NAME = 1
"""A docstring of a constant."""
'''


@pytest.fixture(scope="module")
def structure():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import structure
    finally:
        sys.path.remove(str(BENCHMARKS))
    return structure


def test_lines_of_code_leave_out_blanks_comments_and_docstrings(structure):
    # import, two lines of the signature, three of the returned string, the constant
    assert structure.code_lines(SOURCE) == 7


def test_sizes_are_per_folder_and_totals_per_package(structure, tmp_path):
    for name in ("converters/a.py", "converters/ops/b.py", "lucid_port/c.py", "parity_tests/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(SOURCE)
    sizes = structure.sizes(tmp_path)
    assert sizes == {"converters": 7, "converters/ops": 7, "lucid_port": 7}
    assert structure.totals(sizes) == {"converters": 14, "lucid_port": 7, "converters and lucid_port": 21}


def test_functions_over_80_lines_and_files_over_600_are_found(structure, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "fits.py").write_text("@decorator\ndef function():\n" + "    pass\n" * 79)
    (folder / "long.py").write_text("class A:\n    async def method(self):\n" + "        pass\n" * 80)
    (folder / "fits.md").write_text("line\n" * 600)
    (folder / "long.md").write_text("line\n" * 601)
    found = {(one.place, one.lines) for one in structure.excesses(tmp_path)}
    assert found == {("docs/long.py:2 method", 81), ("docs/long.md", 601)}


@pytest.mark.slow
def test_check_fails_exactly_if_something_is_over_its_limit(structure):
    command = [sys.executable, str(BENCHMARKS / "structure.py"), "--no-step", "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == bool(structure.excesses(ROOT)), run.stderr
    assert "converters and lucid_port" in run.stdout


@pytest.mark.slow
def test_a_step_is_traced_from_the_image_to_the_network_and_back():
    run = subprocess.run(
        [sys.executable, str(BENCHMARKS / "step_trace.py"), str(ROOT)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout)
    names = [function.split()[-1] for function in found["functions"]]
    assert {"apply", "conv2d", "forward", "backward", "step"} <= set(names)
    assert {function.split(":")[0] for function in found["functions"]} == set(found["files"])
    assert not {"render_vis", "<module>", "<listcomp>"} & set(names), "more than one step was traced"
    assert len(set(found["functions"])) == len(found["functions"])
    assert len(found["files"]) <= 22, found["files"]
    assert len(found["functions"]) <= 90, found["functions"]
