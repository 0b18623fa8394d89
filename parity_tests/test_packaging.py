"""What pyproject.toml promises: extras, and that messages name those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", ["reference", "onnx", "notebook", "docs", "test"])
def test_extras(extra):
    assert EXTRAS[extra]


def named():
    """Every extra that a text of the project tells someone to install, with the file's name."""
    folders = ("lucid_port", "converters", "docs", "parity_tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md")]
    for path in [ROOT / "README.md", *files]:
        for found in re.finditer(r"(?:lucid_port|'\.)\[([a-z,]+)\]", path.read_text(encoding="utf-8")):
            yield from ((path.name, extra) for extra in found[1].split(","))


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
