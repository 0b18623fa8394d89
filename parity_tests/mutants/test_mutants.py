"""The tool for random mutants: which mutants it makes, which tests it chooses, and what it says of a toy module."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from coverage import CoverageData

from parity_tests.mutants.choosing import Chooser, within
from parity_tests.mutants.contexts import Contexts
from parity_tests.mutants.making import Mutant, mutants, read_sources, sample
from parity_tests.mutants.results import Result, add_result, equivalents, read_results, summary
from parity_tests.mutants.sources import ROOT, source_files

TOY = """
def clipped(x: int, *, strict: bool = True) -> int:
    if x > 9 and strict:
        return 9
    return x
"""


def texts(source: str) -> set[str]:
    return {mutant.text.partition(" -> ")[2] for mutant in mutants("toy.py", source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("y = a <  b", {"y = a <= b", "y = a > b"}),
        ("y = a not in b", {"y = a in b"}),
        ("y = (a) - (b)", {"y = (a) + (b)"}),
        ("y += x", {"y -= x", "pass"}),
        ("y = a and b", {"y = a or b"}),
        ("y = not (a)", {"y = (a)"}),
        ("y = True", {"y = False"}),
        ("y = x.sum(-1)", {"y = x.sum(-2)", "y = x.sum(-0)"}),
        ("y = x[i:-k]", {"y = x[:-k]", "y = x[i:]"}),
        ("y = 1e-3", {"y = 0.002"}),
        ("f(a, *b, c, d)", {"f(a, *b, d, c)", "pass"}),
        ("ä = 'ü' < b", {"ä = 'ü' <= b", "ä = 'ü' > b"}),
    ],
)
def test_each_token_has_its_mutants(source, expected):
    assert texts(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring: 1 < 2."""',
        "x: tuple[int, 3]",
        "def f(x: A[1]) -> B[2]: ...",
        "raise ValueError(f(1, 2))",
        "y = f'{1 + 2}'",
        "warnings.warn(text, stacklevel=2)",
        "y = zip(a, strict=True)",
        "@lru_cache(maxsize=512)\ndef f(): ...",
        "if TYPE_CHECKING:\n    f(1)",
        "y = 'a' + name",
    ],
)
def test_messages_and_annotations_are_left_alone(source):
    assert texts(source) == set()


def test_every_mutant_of_the_project_can_be_compiled():
    for path, source in read_sources(
        ROOT, source_files(("converters/functional/sizes.py", "lucid_port/optvis/optimizer.py"))
    ).items():
        original = ast.dump(ast.parse(source))
        for mutant in mutants(path, source):
            assert ast.dump(ast.parse(mutant.source(source))) != original, mutant


def test_a_smaller_sample_is_the_beginning_of_a_larger_one():
    sources = read_sources(ROOT, source_files(("lucid_port/optvis/param",)))
    few, many = sample(sources, 5, seed=3), sample(sources, 20, seed=3)
    assert few == many[:5]
    assert len({(mutant.path, mutant.line) for mutant in many}) == 20
    assert sample(sources, 5, seed=4) != few


def test_a_key_has_no_line_numbers():
    moved = [mutant.key for mutant in mutants("toy.py", "\n\n# moved\n" + TOY)]
    assert moved == [mutant.key for mutant in mutants("toy.py", TOY)]


def test_unknown_paths_are_refused():
    with pytest.raises(ValueError, match="contains no mutated file"):
        source_files(("lucid_port/cli",))


def test_cases_of_different_tests_come_first():
    seconds = {"a.py::x[1]": 1.0, "a.py::x[2]": 1.0, "a.py::y": 2.0, "b.py::z": 50.0}
    assert within(list(seconds), seconds, 20) == ["a.py::x[1]", "a.py::y", "a.py::x[2]"]
    assert within(list(seconds), seconds, 2) == ["a.py::x[1]"]


def test_tests_are_those_that_ran_the_line(tmp_path):
    """Lines are found again after lines above them changed; a constant has the tests of the lines that use it."""
    path = "lucid_port/optvis/optimizer.py"  # any file; its text is the toy's here
    ran = {"t.py::above": [4], "t.py::below": [5], "t.py::*": [3, 6], "t.py::failed": [4]}
    data = CoverageData(str(tmp_path / "contexts.coverage"))
    for context, lines in ran.items():
        data.set_context(context)
        data.add_lines({str(ROOT / path): lines})
    data.write()
    measured = TOY.replace("\n", "\nLIMIT = 9\n", 1).replace("x > 9", "x > LIMIT")
    contexts = Contexts(tmp_path, {"t.py::above": 0.1, "t.py::below": 0.1}, {path: measured})
    present = f"# added\n{measured}"
    chooser = Chooser(contexts, {path: present})
    chosen = {mutant.text.partition(" -> ")[2]: chooser.tests(mutant) for mutant in mutants(path, present)}
    assert chosen["if x >= LIMIT and strict:"] == ["t.py::above"]
    assert chosen["return 10"] == ["t.py::below"]
    assert chosen["LIMIT = 10"] == ["t.py::above"]
    assert chosen["int: -> def clipped(x: int, *, strict: bool = False) -> int:"] == ["t.py::above", "t.py::below"]


RUN = """
import json, sys
from pathlib import Path
from parity_tests.mutants import running
running.CPU_SECONDS = 2
runs = [(running.run_mutant if source else running.run_tests, source, tests) for source, tests in json.load(sys.stdin)]
outcomes = [run(Path(sys.argv[1]), "toy", source, tests) for run, source, tests in runs]
print(json.dumps([(outcome.status, outcome.by) for outcome in outcomes]))
"""


def outcomes(folder: Path, runs: list[tuple[str | None, list[str]]]) -> list[list[str]]:
    """Runs in a process that has not imported the toy."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        input=json.dumps(runs),
        text=True,
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def mutated(change: str) -> str:
    (found,) = [mutant for mutant in mutants("toy.py", TOY) if mutant.text.endswith(f"-> {change}")]
    return found.source(TOY)


@pytest.mark.slow
def test_mutants_of_a_toy(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    test = "from toy import clipped\ndef test_above():\n    assert clipped(20) == 9\ndef test_other(): pass\n"
    test += "def test_endless():\n    while True: pass\n"
    (tmp_path / "test_toy.py").write_text(test)
    above, other = "test_toy.py::test_above", "test_toy.py::test_other"
    found = outcomes(
        tmp_path,
        [
            (None, [above]),
            (mutated("return 10"), [other, above]),
            (mutated("if x >= 9 and strict:"), [above]),  # equivalent
            (mutated("return 10"), [other]),
            (mutated("return 10"), []),
            (mutated("return 10"), ["test_toy.py::test_missing"]),
            ("while True: pass", [above]),
            (mutated("return 10"), ["test_toy.py::test_endless"]),
            ("x = bytearray(1 << 40)", [above]),
            ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", [above]),
        ],
    )
    assert found == [
        ["survived", ""],
        ["killed", above],
        ["survived", ""],
        ["survived", ""],
        ["uncovered", "no test runs the line"],
        ["uncovered", "the tests do not exist"],
        ["timeout", "more than 2 s of CPU time"],
        ["unfinished", "the tests alone take more than 2 s of CPU time"],
        ["killed", "the import of test_toy.py"],
        ["killed", "SIGSEGV"],
    ]
    assert (tmp_path / "toy.py").read_text() == TOY


def test_results_resume_and_sum_up(tmp_path):
    every = mutants("toy.py", TOY)
    path = tmp_path / "results.jsonl"
    add_result(path, Result(every[0].key, "survived", "", 1, 1))
    add_result(path, Result(every[0].key, "killed", "test", 1, 1))
    add_result(path, Result(every[1].key, "uncovered", "", 0, 0))
    with path.open("a") as file:
        file.write('{"key": "cut o')
    results = read_results(path)
    assert [(result.key, result.status) for result in results.values()] == [
        (every[0].key, "killed"),
        (every[1].key, "uncovered"),
    ]
    text, enough = summary(every[:3], results, {})
    assert (text, enough) == ("2 of 3 mutants: 1 killed, 1 uncovered; 1 of 2 others killed (50.0%)", False)
    text, enough = summary(every[:3], results, {every[1].key: "the same"})
    assert (text, enough) == ("2 of 3 mutants: 1 equivalent, 1 killed; 1 of 1 others killed (100.0%)", True)


def test_equivalent_mutants_exist_and_have_reasons():
    keys = {
        mutant.key for path, source in read_sources(ROOT, source_files()).items() for mutant in mutants(path, source)
    }
    for key, reason in equivalents().items():
        assert key in keys, f"{key}: no such mutant; remove the entry or correct it"
        assert len(reason.split()) > 3, f"{key}: the reason is missing"


def test_a_mutant_replaces_its_span_alone():
    mutant = Mutant("toy.py", "", "", 1, 1, (0, 2), "b")
    assert mutant.source("ä = 1") == "b = 1"
