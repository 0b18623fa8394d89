"""The commands, and their errors: one line each, with a traceback only under `--debug`.

Exit codes: 0 success, 1 the command failed, 2 wrong usage, 130 interrupted, 141 the
reader of a pipe has gone. Commands import libraries when they run,
so that help and completion are fast.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from inspect import getdoc
from typing import Any

import typer

from lucid_port import __version__
from lucid_port.cli import (
    attribute,
    convert,
    demo,
    doctor,
    export,
    figure,
    inspect,
    layers,
    log,
    microscope,
    models,
    parity,
    render,
    rerender,
    run,
    sheet,
)
from lucid_port.cli.console import PathCommand
from lucid_port.cli.sources import FileCommand, ModelCommand

UNREAD = 141
"""Exit code if the reader of a pipe has gone, as shells report it: 128 plus the number of SIGPIPE."""

# The base class of typer's usage errors. Newer versions of typer bundle click, under no public name.
ClickException: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    name="lucid-port",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help(command: Callable[..., None]) -> str:
    """A command's docstring. Its examples are not wrapped, so that a line can be copied."""
    paragraphs = (getdoc(command) or "").split("\n\n")
    return "\n\n".join(f"\b\n{one}" if "lucid-port " in one else one for one in paragraphs)


_CLASSES = {
    **dict.fromkeys((attribute, figure, inspect, layers, log, render, rerender, run), ModelCommand),
    **dict.fromkeys((convert, export, parity), FileCommand),
}
_MODULES = (
    attribute,
    convert,
    demo,
    doctor,
    export,
    figure,
    inspect,
    layers,
    log,
    models,
    parity,
    render,
    rerender,
    run,
    sheet,
)
for _module in _MODULES:
    _name = _module.__name__.rpartition(".")[2]
    app.command(_name, help=_help(_module.command), cls=_CLASSES.get(_module, PathCommand))(_module.command)
for _name, (_command, _class) in microscope.COMMANDS.items():
    microscope.app.command(_name, help=_help(_command), cls=_class)(_command)
app.add_typer(microscope.app, name="microscope", help="Make a site with a page for each unit of a network.")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lucid_port {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Show the version."),
) -> None:
    """Google's Lucid in PyTorch: convert networks, and render what their units respond to."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code.

    Args:
        arguments: the words after the program's name; those of this process by default.

    Example:
        >>> from lucid_port.cli import main
        >>> main(["layers", "TinyInceptionV1", "--grep", "conv2d1_pre_relu"])
        name                   op       channels
        conv2d1_pre_relu/conv  Conv2D   16
        conv2d1_pre_relu       BiasAdd  16
        0
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    # The option may stand anywhere: people add it to the end of the line that failed.
    given = [argument for argument in given if argument != "--debug"]
    try:
        with _stopping_on_termination():
            result = app(given, standalone_mode=False)
            sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(arguments is None, debug)
    except BrokenPipeError:
        return _unread()
    except SystemExit as error:  # click's answer to a closed pipe
        return _unread() if isinstance(error.__context__, BrokenPipeError) else int(error.code or 0)
    except ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message())
            return 2
        return _fail(error.format_message(), error.exit_code, debug)
    except Exception as error:  # every error becomes one line
        return _fail(_one_line(error), 1, debug)
    if result == 130:  # typer turns Ctrl-C into this exit code and prints nothing
        return _interrupted(arguments is None, debug)
    return result if isinstance(result, int) else 0


def _interrupted(is_process: bool, debug: bool) -> int:
    """Reports Ctrl-C. The process is about to end, and ignores a second one, which would print a traceback."""
    if is_process and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return _fail("interrupted", 130, debug)


def _unread() -> int:
    """Ends quietly, as the reader of standard output has gone (`| head`); Python would report its own last flush."""
    with contextlib.suppress(OSError, ValueError):  # standard output may be no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return UNREAD


@contextlib.contextmanager
def _stopping_on_termination() -> Iterator[None]:
    """Makes SIGTERM raise KeyboardInterrupt, as Ctrl-C does, so that commands clean up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, RuntimeError) and "torch" in sys.modules:
        from converters.memory import is_out_of_memory

        return is_out_of_memory(error)
    return isinstance(error, MemoryError)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    if _is_out_of_memory(error):
        text = f"There is not enough memory{f' ({text})' if text else ''}: ask for smaller or fewer pictures."
    # The text of a KeyError is only its key, and some errors have no text.
    return text if text and type(error) is not KeyError else f"{type(error).__name__}: {text}"


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {message}\n")
    return code
