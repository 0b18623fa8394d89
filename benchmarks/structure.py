"""Measures the size of the code and how much of it one step runs: `python benchmarks/structure.py`.

Prints three things about a tree:

- **Code lines** of `converters` and `lucid_port`, folder by folder: physical lines that hold a token other than a
  comment or a docstring. Blank lines do not count.
- **Over the limits**: functions over 80 lines and files (.py, .md) over 600 lines in all folders.
- **One step**: files and functions of this project that one steady step of `render_vis` runs; `step_trace.py` says how
  they are counted.

`--rev REV` reads a commit instead of the working tree, and `--baseline REV` adds the ratios to a commit. Commits are
read with `git archive`, so the working tree stays as it is. A step can be counted in commits that have TinyInceptionV1;
`--no-step` leaves it out. `--check` fails if a function or file is over its limit.
"""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
import tempfile
import tokenize
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("converters", "lucid_port")
FOLDERS = (*PACKAGES, "parity_tests", "benchmarks", "docs", ".ci")
LONGEST_FUNCTION, LONGEST_FILE = 80, 600
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
console = Console(width=max(Console().width, 130))


@dataclass(frozen=True)
class Excess:
    """A function or file over its limit.

    Attributes:
        place: path, and for a function its first line and its name.
        lines: physical lines.
    """

    place: str
    lines: int


def code_lines(source: str) -> int:
    """Number of physical lines of Python source that hold code: no blank lines, comments or docstrings."""
    strings = {
        (node.lineno, node.col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE and token.start not in strings:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def long_functions(source: str, limit: int = LONGEST_FUNCTION) -> Iterator[tuple[str, int, int]]:
    """Name, first line and number of lines of each function over the limit; decorators do not count."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > limit:
                yield node.name, node.lineno, lines


def files(tree: Path, folder: str, *suffixes: str) -> list[Path]:
    """Returns the files below a folder of a tree; none if the folder does not exist."""
    return sorted(path for path in (tree / folder).rglob("*") if path.suffix in suffixes and path.is_file())


def sizes(tree: Path) -> Counter[str]:
    """Code lines of each folder of the packages, without those of the folders inside it."""
    found: Counter[str] = Counter()
    for package in PACKAGES:
        for path in files(tree, package, ".py"):
            found[path.parent.relative_to(tree).as_posix()] += code_lines(path.read_text(encoding="utf-8"))
    return found


def totals(found: Counter[str]) -> dict[str, int]:
    """Code lines of each package, and of both."""
    packages = {
        package: sum(lines for folder, lines in found.items() if folder.split("/")[0] == package)
        for package in PACKAGES
    }
    return {**packages, " and ".join(PACKAGES): sum(packages.values())}


def excesses(tree: Path) -> list[Excess]:
    """Functions and files over the limits, the longest first."""
    found = []
    for folder in FOLDERS:
        for path in files(tree, folder, ".py", ".md"):
            text, name = path.read_text(encoding="utf-8"), path.relative_to(tree).as_posix()
            lines = len(text.splitlines())
            if lines > LONGEST_FILE:
                found.append(Excess(name, lines))
            if path.suffix == ".py":
                found += [Excess(f"{name}:{line} {function}", count) for function, line, count in long_functions(text)]
    return sorted(found, key=lambda one: -one.lines)


def trace(tree: Path) -> dict[str, list[str]]:
    """Files and functions of a tree that one steady step of `render_vis` runs; see `step_trace.py`."""
    script = Path(__file__).with_name("step_trace.py")
    run = subprocess.run(
        [sys.executable, str(script), str(tree)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(f"{script.name} failed in {tree}; its error is above. --no-step leaves it out.")
    return json.loads(run.stdout.splitlines()[-1])


@contextmanager
def tree_of(revision: str | None) -> Iterator[Path]:
    """The tree of a commit, in a temporary folder; the working tree for None."""
    if revision is None:
        yield ROOT
        return
    names = _git("ls-tree", "--name-only", revision).decode().splitlines()
    archive = _git("archive", "--format=zip", revision, *(folder for folder in FOLDERS if folder in names))
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(io.BytesIO(archive)).extractall(folder)
        yield Path(folder).resolve()


def _git(*words: str) -> bytes:
    run = subprocess.run(["git", "-C", str(ROOT), *words], stdout=subprocess.PIPE, check=False)
    if run.returncode:
        raise SystemExit(f"git {words[0]} failed; its error is above. Is the revision a commit of this repository?")
    return run.stdout


def show_sizes(found: Counter[str], baseline: Counter[str] | None) -> None:
    table = Table("folder", title="code lines", title_justify="left")
    for heading in ("lines",) if baseline is None else ("lines", "baseline", "ratio"):
        table.add_column(heading, justify="right")

    def add(label: str, lines: int, before: int | None) -> None:
        comparison = [] if before is None else [str(before), f"{lines / before:.3f}" if before else ""]
        table.add_row(label, str(lines), *comparison)

    for folder in sorted({*found, *(baseline or ())}):
        add(folder, found[folder], None if baseline is None else baseline[folder])
    table.add_section()
    before = None if baseline is None else totals(baseline)
    for package, lines in totals(found).items():
        add(f"[bold]{package}, with folders", lines, None if before is None else before[package])
    console.print(table)


def show_excesses(found: list[Excess], baseline: list[Excess] | None) -> None:
    title = f"functions over {LONGEST_FUNCTION} lines and files over {LONGEST_FILE}: {len(found)}"
    console.print(title if baseline is None else f"{title} (baseline {len(baseline)})")
    for one in found:
        console.print(f"  {one.lines:5} {one.place}", highlight=False)


def show_step(found: dict[str, list[str]], baseline: dict[str, list[str]] | None, verbose: bool) -> None:
    counts = {kind: len(names) for kind, names in found.items()}
    text = f"one step of render_vis: {counts['files']} files, {counts['functions']} functions"
    if baseline is not None:
        text += f" (baseline {len(baseline['files'])}, {len(baseline['functions'])})"
    console.print(text)
    if verbose:
        for name in found["functions"]:
            console.print(f"  {name}", highlight=False)


def report(tree: Path, step: bool) -> dict[str, Any]:
    return {"sizes": sizes(tree), "excesses": excesses(tree), "step": trace(tree) if step else None}


def main(
    rev: Annotated[str | None, typer.Option(help="Commit to read instead of the working tree.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Commit to compare with.")] = None,
    step: Annotated[bool, typer.Option(help="Run a render to count files and functions of one step.")] = True,
    verbose: Annotated[bool, typer.Option(help="List the functions of the step.")] = False,
    check: Annotated[bool, typer.Option(help="Exit with 1 if a function or file is over its limit.")] = False,
) -> None:
    """Print code lines, functions and files over the limits, and the extent of one step."""
    with tree_of(rev) as tree:
        found = report(tree, step)
    known: dict[str, Any] = {"sizes": None, "excesses": None, "step": None}
    if baseline is not None:
        with tree_of(baseline) as tree:
            known = report(tree, step)
    show_sizes(found["sizes"], known["sizes"])
    show_excesses(found["excesses"], known["excesses"])
    if step:
        show_step(found["step"], known["step"], verbose)
    if check and found["excesses"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
