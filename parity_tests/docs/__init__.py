"""Tests that the documentation is correct: links, commands, code, messages, pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *sorted(DOCS.rglob("*.md")))

ASSIGNMENTS = re.compile(r"((?:[A-Z_]+=\S+ )*)(.*)", re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """A page's code blocks in one language."""
    return [code for kind, code in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(page: Path, program: str) -> Iterator[str]:
    """The command lines of a program on a page, in blocks and in the text."""
    yield from (line.command for line in lines(page, program))


@dataclass(frozen=True)
class Line:
    """One command of a page.

    Attributes:
        command: program and arguments, as they stand on the page.
        environment: (variable, value) pairs that the line sets for it.
        in_block: whether it stands in a code block, not in a sentence.
    """

    command: str
    environment: tuple[tuple[str, str], ...]
    in_block: bool


def lines(page: Path, program: str) -> Iterator[Line]:
    """The command lines of a program on a page: those of code blocks, then those of the text."""
    shell = [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]
    for in_block, found in ((True, shell), (False, inline)):
        for line in found:
            for part in re.split(r"&&|\||;", line.split(" #")[0]):
                variables, words = ASSIGNMENTS.match(part.strip().removeprefix("$ ")).groups()  # type: ignore[union-attr]
                if words.startswith(f"{program} "):
                    pairs = tuple((key, value) for key, _, value in (one.partition("=") for one in variables.split()))
                    yield Line(words, pairs, in_block)
