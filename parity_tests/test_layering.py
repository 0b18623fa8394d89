"""Imports run downwards and in no circles: the contracts in pyproject.toml, and cycles between modules.

An import inside a function counts as any other; one under `if TYPE_CHECKING:` does not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import grimp
import importlinter.api
import importlinter.cli
import numpy as np
import pytest
from grimp import ImportGraph
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = str(ROOT / "pyproject.toml")
PACKAGES = ("converters", "lucid_port")
CONTRACTS = [one["id"] for one in importlinter.api.read_configuration(CONFIGURATION)["contracts_options"]]


def build(*packages: str) -> ImportGraph:
    return grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)


def cycles(graph: ImportGraph) -> list[set[str]]:
    """Sets of modules that import each other, directly or through others of the set."""
    modules = sorted(graph.modules)
    index = {module: number for number, module in enumerate(modules)}
    imports = np.zeros((len(modules), len(modules)), bool)
    for module in modules:
        for imported in graph.find_modules_directly_imported_by(module):
            imports[index[module], index[imported]] = True
    _, labels = connected_components(imports, connection="strong")
    members = [{modules[number] for number in np.flatnonzero(labels == label)} for label in np.unique(labels)]
    return [one for one in members if len(one) > 1]


def described(graph: ImportGraph, cycle: set[str]) -> str:
    """The shortest way around a cycle, with the line of each import."""
    edges = [(a, b) for a in sorted(cycle) for b in sorted(graph.find_modules_directly_imported_by(a) & cycle)]
    chains = [(graph.find_shortest_chain(importer=b, imported=a) or (), a) for a, b in edges]
    chain, start = min(chains, key=lambda pair: len(pair[0]))
    return "\n".join(_lines(graph, (start, *chain)))


def _lines(graph: ImportGraph, chain: tuple[str, ...]) -> Iterator[str]:
    for importer, imported in pairwise(chain):
        where = graph.get_import_details(importer=importer, imported=imported)
        yield f"{importer}:{where[0]['line_number']} imports {imported}"


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return build(*PACKAGES)


def folders() -> list[str]:
    """`converters`, and each folder and module directly in `lucid_port`."""
    inside = [path.stem for path in (ROOT / "lucid_port").iterdir() if path.suffix == ".py" or path.is_dir()]
    return ["converters", *sorted(f"lucid_port.{name}" for name in inside if not name.startswith("_"))]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_imports_keep_the_contract(contract: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(ROOT)
    status = importlinter.cli.lint_imports(CONFIGURATION, limit_to_contracts=(contract,), no_cache=True, no_logo=True)
    assert status == importlinter.cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("folder", folders())
def test_no_import_cycles(graph: ImportGraph, folder: str) -> None:
    here = [one for one in cycles(graph) if any(f"{module}.".startswith(f"{folder}.") for module in one)]
    assert not here, "import cycles:\n" + "\n\n".join(described(graph, one) for one in here)


def test_the_graph_is_of_this_tree(graph: ImportGraph) -> None:
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts) for name in PACKAGES for path in _sources(name)}
    assert {name.removesuffix(".__init__") for name in files} == graph.modules


def _sources(package: str) -> Iterator[Path]:
    return (ROOT / package).rglob("*.py")


def test_imports_in_functions_count_and_those_for_types_do_not(tmp_path, monkeypatch) -> None:
    modules = {
        "__init__": "",
        "a": "from layered import b",
        "b": "def late():\n    from layered.a import name",
        "c": "from layered import d",
        "d": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from layered import c",
    }
    (tmp_path / "layered").mkdir()
    for name, text in modules.items():
        (tmp_path / "layered" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    graph = build("layered")
    assert cycles(graph) == [{"layered.a", "layered.b"}]
    assert described(graph, {"layered.a", "layered.b"}).splitlines() == [
        "layered.a:1 imports layered.b",
        "layered.b:2 imports layered.a",
    ]


def test_one_place_steps_renders() -> None:
    found = []
    for path in _sources("lucid_port"):
        for loop in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.For, ast.While))):
            calls = (node.func for node in ast.walk(loop) if isinstance(node, ast.Call))
            if any(isinstance(call, ast.Attribute) and call.attr == "step" and _is_render(call) for call in calls):
                found.append(path.relative_to(ROOT).as_posix())
    assert found == ["lucid_port/optvis/engine/loop.py"]


def _is_render(call: ast.Attribute) -> bool:
    """Whether a `step` is a render's: optimizers, which also step, have that name."""
    return "optimizer" not in ast.unparse(call.value)
