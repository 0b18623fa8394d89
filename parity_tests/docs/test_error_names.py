"""Each error that a docstring or a page names can be imported under that name."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from collections.abc import Iterator

import pytest

from parity_tests.docs import ROOT
from parity_tests.docs.test_docstrings import docstrings

RAISES = re.compile(r"^ *Raises:\n((?: +.*\n|\n)+?)(?=^ *[A-Z]\w+:\n|\Z)", re.MULTILINE)
DOTTED = re.compile(r"\b((?:converters|lucid_port)(?:\.\w+)*\.\w*(?:Error|Warning))\b")
BARE = re.compile(r"(?<![\w.])([A-Z]\w*(?:Error|Warning|Exception))\b")


def sources() -> Iterator[str]:
    for package in ("converters", "lucid_port"):
        yield from (str(path.relative_to(ROOT)) for path in sorted((ROOT / package).rglob("*.py")))


def bound_names(source: str) -> set[str]:
    """Names that a module defines or imports, also for type checks and in functions."""
    found = set(dir(builtins))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name) for alias in node.names}
    return found


def missing(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        return not hasattr(importlib.import_module(module), attribute)
    except ImportError:
        return True


@pytest.mark.parametrize("path", sources())
def test_errors_of_docstrings_can_be_imported(path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    known = bound_names(source)
    wrong = []
    for name, line, text in docstrings(source):
        wrong += [f"{name} ({line}): {one}" for one in DOTTED.findall(text) if missing(one)]
        raised = "".join(RAISES.findall(text + "\n"))
        wrong += [
            f"{name} ({line}): {one}"
            for one in BARE.findall(raised)
            if one not in known and missing(f"converters.{one}")
        ]
    assert not wrong


@pytest.mark.parametrize("path", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")))
def test_errors_of_pages_can_be_imported(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert [one for one in DOTTED.findall(text) if missing(one)] == []


def test_an_error_that_is_not_exported_is_found() -> None:
    assert missing("converters.NoSuchError")
    assert not missing("converters.ChannelAxisError")
    assert DOTTED.findall("Raises `converters.NoSuchError`.") == ["converters.NoSuchError"]
    assert BARE.findall("".join(RAISES.findall("Text.\n\nRaises:\n    StrangeError: never.\n"))) == ["StrangeError"]
