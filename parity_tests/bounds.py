"""Requires the oldest release of each dependency that pyproject.toml states: `python -m parity_tests.bounds FILE`.

`tox -e oldest` installs FILE, which fails if two of these releases exclude each other. Only packages that the installer
adds by itself are the newest that fit.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
# It needs rich 14.2, while the package runs with rich 13. Only parity_tests/test_layering.py imports it.
TOOLS = frozenset({"import-linter"})


def stated_requirements(extras: Sequence[str] = ("test",)) -> Iterator[Requirement]:
    """Yields the dependencies of the package and of some extras that apply to this Python.

    Args:
        extras: names of extras; those that they include are followed.
    """
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    yield from _expand(project, project["dependencies"])
    for extra in extras:
        yield from _expand(project, project["optional-dependencies"][extra])


def oldest_requirements(extras: Sequence[str] = ("test",)) -> list[str]:
    """The oldest stated release of each dependency as a requirement, such as `rich==13`."""
    return sorted({f"{one.name}=={lower_bound(one)}" for one in stated_requirements(extras) if one.name not in TOOLS})


def lower_bound(requirement: Requirement) -> str:
    """The version of a requirement's only `>=`."""
    bounds = [one.version for one in requirement.specifier if one.operator == ">="]
    if len(bounds) != 1:
        raise ValueError(f"pyproject.toml requires {requirement} with {len(bounds)} lower bounds; state one.")
    return bounds[0]


def _expand(project: dict[str, object], requirements: Sequence[str]) -> Iterator[Requirement]:
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        if requirement.name != project["name"]:
            yield requirement
            continue
        extras = project["optional-dependencies"]
        for extra in sorted(requirement.extras):
            yield from _expand(project, extras[extra])  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m parity_tests.bounds", description=__doc__)
    parser.add_argument("file", type=Path, help="requirements file to write")
    parser.add_argument("--core", action="store_true", help="without extras, and without torch")
    options = parser.parse_args()
    lines = oldest_requirements(()) if options.core else oldest_requirements()
    kept = [line for line in lines if not (options.core and line.startswith("torch=="))]
    options.file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


if __name__ == "__main__":
    main()
