"""Tests that the documentation is correct: links, commands, code, messages, pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *sorted(DOCS.rglob("*.md")))

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """A page's code blocks in one language."""
    return [code for kind, code in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(page: Path, program: str) -> Iterator[str]:
    """The command lines of a program on a page, in blocks and in the text."""
    shell = [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]
    for line in [*shell, *inline]:
        for part in re.split(r"&&|\||;", line.split(" #")[0]):
            words = part.strip().removeprefix("$ ")
            if words.startswith(f"{program} "):
                yield words
