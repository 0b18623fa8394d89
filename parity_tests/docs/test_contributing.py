"""CONTRIBUTING.md names paths, programs and registries that exist; citation and changelog name the version."""

from __future__ import annotations

import re

import pytest

from lucid_port import __version__
from parity_tests.docs import ROOT, blocks, prose
from parity_tests.test_packaging import EXTRAS

PAGE = ROOT / "CONTRIBUTING.md"
OF_THE_SYSTEM = {"pip", "python", "source"}
PROGRAMS = {"lucid-port": "lucid_port", "lint-imports": "import-linter"}
"""Programs whose package has another name."""


def inline() -> list[str]:
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(PAGE))]


def command_lines() -> list[str]:
    """Commands of the blocks, and those of the text: what has a space and begins as a program."""
    lines = [line for block in blocks(PAGE, "bash") for line in block.splitlines()]
    lines += [code for code in inline() if re.match(r"[a-z][\w-]* \S", code)]
    return [part.strip() for line in lines for part in line.split("&&")]


def paths() -> list[str]:
    """Paths of the text and of the commands. Options, placeholders (in capitals) and weights are none."""
    words = [word for code in (*inline(), *command_lines()) for word in code.split()]
    candidates = {word for word in words if "/" in word or re.search(r"\.(py|md|json|toml|cff|txt)$", word)}
    return sorted(word for word in candidates if not word.startswith((".venv", "-")))


def names() -> list[str]:
    """Tables (in capitals) and decorators (behind @) of the text."""
    found = {code.removeprefix("@") for code in inline() if re.fullmatch(r"@\w+|[A-Z][A-Z_]+", code)}
    return sorted(found - {"LUCID_PORT_MODELZOO"})


def test_it_has_paths_and_commands() -> None:
    assert len(paths()) > 40
    assert len(command_lines()) > 12
    assert {"register", "wrap_objective", "figure", "CHECKS"} <= set(names())


@pytest.mark.parametrize("path", paths())
def test_paths_exist(path: str) -> None:
    assert (ROOT / path).exists(), f"CONTRIBUTING.md names {path}"


@pytest.mark.parametrize("line", command_lines())
def test_programs_come_with_an_extra(line: str) -> None:
    program = line.split()[0]
    packages = {re.split(r"[\[<>=; ]", requirement)[0] for extra in EXTRAS.values() for requirement in extra}
    assert program in OF_THE_SYSTEM or PROGRAMS.get(program, program) in packages, f"CONTRIBUTING.md: {line}"


@pytest.mark.parametrize("name", names())
def test_tables_and_decorators_exist_in_a_file_that_is_named(name: str) -> None:
    definition = re.compile(rf"^(def {name}\b|{name}\b.*=)", re.MULTILINE)
    named = [ROOT / path for path in paths()]
    files = [path for path in named if path.suffix == ".py" and path.is_file()]
    files += [file for path in named if path.is_dir() for file in path.rglob("*.py")]
    assert any(definition.search(file.read_text(encoding="utf-8")) for file in files), f"CONTRIBUTING.md names {name}"


def test_the_citation_and_the_changelog_name_the_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", __version__]
