"""Commands, and how their errors reach the user: one line, no traceback unless asked for.

Exit codes: 0 success, 1 the command failed, 2 wrong usage, 130 interrupted. Each command imports what it needs when
it runs, so that help and completion are quick.
"""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer

from lucid_port import __version__
from lucid_port.cli import convert, demo, doctor, export, figure, layers, models, parity, render, rerender, run

# The base of all of typer's usage errors. Newer typers carry a click of their own, which has no public name.
ClickException: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    name="lucid-port",
    help="Google's Lucid in PyTorch: convert frozen TensorFlow graphs, and see what their units look for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help(command: Callable[..., None]) -> str:
    """A command's docstring, with its examples kept from being wrapped: a line is copied whole."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(f"\b\n{one}" if "lucid-port " in one else one for one in paragraphs)


app.command("convert", help=_help(convert.command))(convert.command)
app.command("demo", help=_help(demo.command))(demo.command)
app.command("doctor", help=_help(doctor.command))(doctor.command)
app.command("export", help=_help(export.command))(export.command)
app.command("figure", help=_help(figure.command))(figure.command)
app.command("layers", help=_help(layers.command))(layers.command)
app.command("models", help=_help(models.command))(models.command)
app.command("parity", help=_help(parity.command))(parity.command)
app.command("render", help=_help(render.command))(render.command)
app.command("rerender", help=_help(rerender.command))(rerender.command)
app.command("run", help=_help(run.command))(run.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lucid_port {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Show the version."),
) -> None:
    """Google's Lucid in PyTorch: convert frozen TensorFlow graphs, and see what their units look for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    # The option may stand anywhere, as people add it to the end of the line that failed.
    given = [argument for argument in given if argument != "--debug"]
    try:
        with _stopping_on_termination():
            result = app(given, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130, debug)
    except ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message())
            return 2
        return _fail(error.format_message(), error.exit_code, debug)
    except Exception as error:  # whatever it is, a user gets one line, and the traceback where asked for
        return _fail(_one_line(error), 1, debug)
    # typer turns Ctrl-C into this exit code without a word.
    return _fail("interrupted", 130, debug) if result == 130 else result if isinstance(result, int) else 0


@contextlib.contextmanager
def _stopping_on_termination() -> Iterator[None]:
    """Lets a request to end (SIGTERM) clean up as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        text = f"There is not enough memory{f' ({text})' if text else ''}: ask for smaller or fewer pictures."
    # A KeyError's text is its key alone, and some errors have no text at all.
    return text if text and type(error) is not KeyError else f"{type(error).__name__}: {text}"


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {message}\n")
    return code
