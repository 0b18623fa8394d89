"""Arguments, tables and messages that the commands share."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from contextvars import ContextVar
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeAlias

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
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Print only errors, and the paths of the written files, one a line.")
]
"""Option that `PathCommand` carries out; commands only declare it."""
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
LogDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for a log for TensorBoard, in which each render has a subfolder: docs/logs.md. Show it with "
        "tensorboard --logdir FOLDER.",
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps, ...; the CPU by default.")]


_PATHS = ("-o", "--output", "--image", "--keep-pb", "--prototxt", "--log-dir")
"""Options that take a path. The parameters' types are no public part of typer."""


GAP = 2
"""Blanks between two columns of a table."""

Table: TypeAlias = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Headers and rows."""

_results: ContextVar[TextIO | None] = ContextVar("results", default=None)
"""Stream of results under --quiet; None for standard output."""


class _Nowhere(io.TextIOBase):
    """A stream that discards its text."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


@contextmanager
def quietly() -> Iterator[None]:
    """Context in which only `print_result` and `print_table` print. Errors are printed after it."""
    token = _results.set(sys.stdout)
    try:
        with redirect_stdout(_Nowhere()), redirect_stderr(_Nowhere()):
            yield
    finally:
        _results.reset(token)


class PathCommand(TyperCommand):
    """A command whose paths may start with `~`, which shells leave in `--output=~/eyes.png` and between quotes.

    It carries out --quiet for commands that declare it.
    """

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        with quietly() if ctx.params.get("quiet") else nullcontext():
            return super().invoke(ctx)

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


def check_log(log_dir: Path | None) -> None:
    """Checks that a log can be written, before the model is opened.

    Raises:
        OSError, ImportError: it cannot.
    """
    if log_dir is not None:
        from lucid_port.misc.event_writers import check_log_dir

        check_log_dir(log_dir)


def names_in(text: str) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], as_json: bool = False, brief: Table | None = None
) -> None:
    """Prints a table: JSON, aligned columns on a terminal, or tab-separated lines for `cut` and `grep` in a pipe.

    Words are never broken, so that names can be copied: a row that is wider than the terminal continues on its next
    line.

    Args:
        columns: the headers.
        rows: the cells; None for an empty one.
        as_json: whether to print JSON.
        brief: columns and rows for terminals, if the whole table is too wide for them.
    """
    if as_json:
        print_text(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1))
        return
    from rich.console import Console  # on use, because importing rich draws from Python's random numbers
    from rich.table import Table as RichTable

    console = Console(file=_results.get())
    if not console.is_terminal:
        for row in [columns, *rows]:
            print_text("\t".join(_cell(value) for value in row))
        return
    columns, rows = brief or (columns, rows)
    cells = [[_cell(value) for value in row] for row in rows]
    widths = _column_widths([[*column] for column in zip(columns, *cells, strict=True)], console.width)
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, width=width)
    for row in cells:
        table.add_row(*row)
    console.width = max(console.width, sum(widths) + GAP * len(widths))  # the terminal itself wraps wider rows
    console.print(table, markup=False)


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _column_widths(columns: Sequence[Sequence[str]], total: int) -> list[int]:
    """Returns the widths of a table's columns.

    The longest cells fit into them. If the terminal is too narrow for these, first headers and then cells are wrapped
    between words; if the words are too long as well, nothing is wrapped.

    Args:
        columns: header and cells of each column.
        total: the width of the terminal.
    """
    from rich.cells import cell_len

    def longest(texts: Iterable[str]) -> int:
        return max(map(cell_len, texts), default=0)

    words = [[word for text in column for word in text.split()] for column in columns]
    whole = [longest(column) for column in columns]
    header_wrapped = [max(longest(column[1:]), longest(column[0].split())) for column in columns]
    room = total - GAP * (len(columns) - 1)
    widths = whole
    for least in (header_wrapped, [longest(column) for column in words]):
        while sum(widths) > room and widths != least:
            spare = [width - low for width, low in zip(widths, least, strict=True)]
            widest = max((at for at, free in enumerate(spare) if free > 0), key=lambda at: widths[at])
            widths = [width - (at == widest) for at, width in enumerate(widths)]
    return widths if sum(widths) <= room else whole


def print_result(sentence: str, facts: Mapping[str, object], as_json: bool = False) -> None:
    """Prints the result of a command: a sentence for people, JSON for scripts, or the written paths under --quiet.

    Args:
        sentence: the sentence.
        facts: the results. `files` or `output`, and `sheet`, are the written paths.
        as_json: whether to print JSON.
    """
    if as_json:
        print_text(json.dumps(facts, indent=1, default=str))
    elif _results.get() is None:
        print_text(sentence)
    else:
        files = facts.get("files")
        written = files if isinstance(files, (list, tuple)) else (facts.get("output"),)
        for path in (*written, facts.get("sheet")):
            if path is not None:
                print_text(path)


def print_text(text: object) -> None:
    """Prints a result of a command to standard output, also under --quiet."""
    typer.echo(text, file=_results.get())


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
