"""The examples in docstrings run and print what they state; public functions have one."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lucid_port.optvis import serialization
from parity_tests.docs import ROOT

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
API = ROOT / "parity_tests" / "public_api.txt"

RESULTS = ("lucid_port.optvis.render", "lucid_port.recipes")
"""Modules whose dataclasses are results: the function that returns one shows it."""

WITH_EXAMPLES = (
    "converters.convert",
    "lucid_port.modelzoo.from_torch",
    "lucid_port.modelzoo.vision_base.Model",
    *(f"lucid_port.optvis.{name}." for name in ("objectives", "overrides", "param", "render", "render_many")),
    "lucid_port.optvis.transform.",
    "lucid_port.recipes.",
)


def docstrings(source: str) -> Iterator[tuple[str, int, str]]:
    """Name, line and text of each docstring in a module's source."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds) and (text := ast.get_docstring(node, clean=False)):
            yield getattr(node, "name", "module"), node.body[0].lineno - 1, text


def modules_with_examples() -> Iterator[str]:
    for package in ("converters", "lucid_port"):
        for file in sorted((ROOT / package).rglob("*.py")):
            if any(">>> " in text for _, _, text in docstrings(file.read_text(encoding="utf-8"))):
                yield ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    monkeypatch.chdir(tmp_path)
    for registering in serialization._MODULES:
        importlib.import_module(registering)
    monkeypatch.setattr(serialization, "_REGISTRY", dict(serialization._REGISTRY))  # examples register factories
    parser, runner, output = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=FLAGS), []
    for owner, line, text in docstrings(Path(module.__file__).read_text(encoding="utf-8")):
        case = parser.get_doctest(text, dict(vars(module)), f"{name}.{owner}", module.__file__, line)
        runner.run(case, out=output.append)
    assert not runner.failures, "".join(output)
    assert runner.tries > 0


def public_callables() -> Iterator[str]:
    """Names in the public API that need an example."""
    for entry in API.read_text(encoding="utf-8").splitlines():
        name = entry.split("(")[0].split(":")[0]
        if "(" in entry and f"{name}.".startswith(WITH_EXAMPLES):
            yield name


def lacks_example(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    thing = getattr(importlib.import_module(module), attribute)
    is_result = dataclasses.is_dataclass(thing) and module.startswith(RESULTS)
    return not is_result and ">>> " not in (thing.__doc__ or "")


def test_public_functions_have_an_example() -> None:
    assert [name for name in public_callables() if lacks_example(name)] == []
