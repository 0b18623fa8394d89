"""Arguments, tables and messages that the commands share."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from converters.progress import Progress as Report


def model_names(incomplete: str) -> list[str]:
    """Returns the models whose names start with a text, for shell completion; the shell itself completes files."""
    from lucid_port.modelzoo.catalogue import catalogue

    return [name for name in catalogue() if name.startswith(incomplete)]


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        autocompletion=model_names,
        help="A model's name, a converted folder, or a file: frozen graph, SavedModel, checkpoint, Caffe, ONNX; or "
        "module:function, a function without arguments in the current folder that returns a network or a model.",
    ),
]
PROGRESS_AFTER = 1.0
"""Seconds after which a progress bar appears."""
REFRESH = 0.25
"""Seconds between two refreshes of a progress bar."""
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random draws.")]
InputName = Annotated[
    str | None,
    typer.Option(help="The image's input, if the graph has several, or an inner value from which on a graph is read."),
]
Outputs = Annotated[
    str | None, typer.Option(metavar="NODE,...", help="Outputs of the network; only what they need is read.")
]
Constants = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Value of a placeholder other than the image, such as is_training=false. Can be repeated.",
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps, ...; the CPU by default.")]


_PATHS = ("-o", "--output", "--image", "--keep-pb", "--prototxt")
"""Options that take a path. The parameters' types are no public part of typer."""


class PathCommand(TyperCommand):
    """A command whose paths may start with `~`, which shells leave in `--output=~/eyes.png` and between quotes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Expands the paths.

        Raises:
            typer.BadParameter: a path is empty.
        """
        for option, value in pairwise([*args, "-"]):
            if (option in _PATHS and not value) or (option.endswith("=") and option[:-1] in _PATHS):
                raise typer.BadParameter(f"{option.removesuffix('=')} is empty: name a file or a folder.")
        left = super().parse_args(ctx, args)
        for name, value in ctx.params.items():
            if isinstance(value, Path):
                ctx.params[name] = Path(os.path.expanduser(value))
        return left


def names_in(text: str) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], as_json: bool = False) -> None:
    """Prints a table: JSON, aligned columns on a terminal, or tab-separated lines for `cut` and `grep` in a pipe."""
    if as_json:
        typer.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1))
        return
    from rich.console import Console  # on use, because importing rich draws from Python's random numbers
    from rich.table import Table

    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        for row in [list(columns), *texts]:
            typer.echo("\t".join(row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in texts:
        table.add_row(*row)
    console.print(table, markup=False)


def print_result(sentence: str, facts: Mapping[str, object], as_json: bool = False) -> None:
    """Prints the result of a command: a sentence for people, or JSON for scripts."""
    typer.echo(json.dumps(facts, indent=1, default=str) if as_json else sentence)


def remarks(as_json: bool) -> AbstractContextManager[object]:
    """Context in which remarks go to standard error if standard output is for JSON alone."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def pairs_of(settings: Sequence[str] | None, option: str, form: str) -> dict[str, str] | None:
    """Parses the texts NAME=VALUE of an option.

    Raises:
        typer.BadParameter: a text has another form, or a name is repeated.
    """
    found: dict[str, str] = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not (name and equals) or name in found:
            reason = "is given twice" if name in found else "is not of this form"
            raise typer.BadParameter(f"{option} takes {form}; {setting!r} {reason}.")
        found[name] = value
    return found or None


def constants_of(settings: Sequence[str] | None) -> dict[str, Any] | None:
    """Parses NAME=VALUE texts. A value is true, false, a number, or a list of these.

    Raises:
        typer.BadParameter: a text has another form, or a name is repeated.
    """
    texts = pairs_of(settings, "--set", "NAME=VALUE, as in is_training=false")
    found: dict[str, Any] = {}
    for name, value in (texts or {}).items():
        try:
            found[name] = json.loads(value.lower())
        except ValueError:
            raise typer.BadParameter(
                f"--set takes true, false, a number or a list such as [224,224] for {name!r}, not {value!r}."
            ) from None
    return found or None


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A progress bar on a terminal or in a notebook, if the work takes more than a second."""
    from converters.progress import silent
    from lucid_port.misc.progress import is_watched
    from lucid_port.misc.progress import progress_bar as make_bar

    if not is_watched():
        yield silent
        return
    # A thread redraws the bar, so that the elapsed time advances between reports.
    bar = make_bar(None, "starting", leave=False, delay=math.inf, bar_format="{desc} |{bar}| {elapsed}")
    finished = threading.Event()

    def report(what: str, done: float | None) -> None:
        bar.total, bar.n = None if done is None else 1.0, done or 0.0
        bar.set_description_str(what, refresh=False)

    def draw() -> None:
        pause = PROGRESS_AFTER
        while not finished.wait(pause):
            bar.delay, pause = 0.0, REFRESH  # the bar is visible now; `close` clears it
            bar.refresh()

    drawing = threading.Thread(target=draw, daemon=True)
    drawing.start()
    try:
        yield report
    finally:
        finished.set()
        drawing.join()
        bar.close()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Context in which torch computes on this number of CPU threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_page_path(path: Path) -> None:
    """Refuses a path that a page cannot be written to; called before the work.

    Raises:
        OSError: the path is a folder, or cannot be written to.
    """
    check_file_path(path, "page.html")


def check_file_path(path: Path, example: str = "graph.pb") -> None:
    """Refuses a path that a file cannot be written to; called before the work.

    Raises:
        OSError: the path is a folder, or cannot be written to.
    """
    from converters.atomic import check_writable

    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file, as in {path / example}.")
    check_writable(path)
