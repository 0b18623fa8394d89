"""What pyproject.toml promises: extras, and that messages name those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parity_tests.bounds import TOOLS, lower_bound, oldest_requirements, stated_requirements

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
# Types for mypy, whose releases follow those of the packages.
WITHOUT_BOUND = ("types-protobuf", "types-requests", "types-tqdm")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", ["reference", "onnx", "notebook", "docs", "test"])
def test_extras(extra):
    assert EXTRAS[extra]


def texts(*folders):
    """Yields the pages and the modules of some folders."""
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md"))
    for folder in folders:
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md", ".html", ".ipynb"))


def named():
    """Every extra that a text of the project tells someone to install, with the file's name."""
    for path in texts("lucid_port", "converters", "docs", "parity_tests"):
        for found in re.finditer(r"(?:lucid_port|'\.)\[([a-z,]+)\]", path.read_text(encoding="utf-8")):
            yield from ((path.name, extra) for extra in found[1].split(","))


def test_texts_install_from_a_clone():
    """The package is in no index, so `pip install lucid_port` fails, or installs the package of somebody else."""
    wrong = re.compile(r"pip install [^`&\n]*\blucid[_-]port\b")
    files = texts("lucid_port", "converters", "docs")
    assert [path.name for path in files if wrong.search(path.read_text(encoding="utf-8"))] == []


def test_extras_that_texts_name_are_there():
    found = set(named())
    assert {extra for _, extra in found} >= {"onnx", "test", "torchvision"}
    assert {(file, extra) for file, extra in found if extra not in EXTRAS} == set()


def test_data_that_the_package_needs_are_packed():
    """Every file beside the package's code is matched by a pattern of what is packed."""
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in ("lucid_port", "converters"):
        folder = ROOT / package
        data = {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
        matched = {path for pattern in packed[package] for path in folder.glob(pattern)}
        assert data - matched == set()


def test_each_dependency_states_one_lower_bound():
    """`tox -e oldest` installs these, so it needs exactly one for each package, whatever extras say of it."""
    bounds: dict[str, set[str]] = {}
    for requirement in stated_requirements(tuple(EXTRAS)):
        if requirement.name not in WITHOUT_BOUND:
            bounds.setdefault(requirement.name, set()).add(lower_bound(requirement))
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    "release",
    [
        *(f"typer==0.12.{number}" for number in range(4)),  # its commands do not start
        "pillow==10.0.1",  # draws no text of a size
        *(f"tensorboard==2.16.{number}" for number in range(2)),  # needs TensorFlow
    ],
)
def test_releases_that_do_not_work_are_refused(release):
    name, version = release.split("==")
    stated = [one for one in stated_requirements(tuple(EXTRAS)) if one.name == name]
    assert stated
    assert not any(one.specifier.contains(version) for one in stated)


def test_oldest_releases_are_those_of_the_dependencies_and_extras():
    oldest = oldest_requirements()
    stated = {one.name for one in stated_requirements()}
    assert len(oldest) == len(stated - TOOLS)
    assert {one.split("==")[0] for one in oldest} == stated - TOOLS
    assert {"torch", "typer", "transformers", "umap-learn"} <= stated
    assert "lucid_port" not in stated


def test_the_oldest_and_newest_python_have_environments():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [one.rsplit(" ", 1)[1] for one in project["classifiers"] if one.startswith("Programming Language")]
    tox = (ROOT / "tox.ini").read_text()
    bases = {
        name: re.search(rf"\[testenv:{name}\][^[]*?base_python = python(\S+)", tox)[1] for name in ("oldest", "newest")
    }
    assert bases == {"oldest": named[0], "newest": named[-1]}
    assert project["requires-python"] == f">={named[0]}"


def test_tests_of_the_oldest_and_newest_environments_exist():
    listed = re.findall(r"^    (parity_tests/\S+)$", (ROOT / "tox.ini").read_text(), re.MULTILINE)
    assert len(listed) > 20
    assert [path for path in listed if not (ROOT / path).is_file()] == []
