"""Progress bars of long operations, drawn by tqdm on terminals and in notebooks."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, TextIO

from lucid_port.misc.environment import is_notebook_environment

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["is_watched", "progress_bar"]


def is_watched(stream: TextIO | None = None) -> bool:
    """Returns whether to show a progress bar on a stream: it is a terminal, or the code runs in a notebook.

    Args:
        stream: None for standard error, the only one that a notebook shows.
    """
    if stream is not None:
        return stream.isatty()
    return is_notebook_environment() or (sys.stderr is not None and sys.stderr.isatty())


def progress_bar(
    total: float | None,
    description: str = "",
    *,
    unit: str = "it",
    initial: int = 0,
    scale: bool = False,
    leave: bool = True,
    every: float = 0.1,
    delay: float = 0.0,
    bar_format: str | None = None,
    stream: TextIO | None = None,
) -> tqdm:
    """Returns a progress bar: a widget or a line of text in a notebook, a line elsewhere.

    The bar is drawn immediately unless `delay` is set.

    Args:
        total: units of work; None if unknown.
        description: text before the bar.
        unit: unit of `total`.
        initial: units that are already done.
        scale: whether large numbers get prefixes such as k and M.
        leave: whether the bar stays when it is closed.
        every: least seconds between two refreshes.
        delay: seconds after which the bar appears.
        bar_format: layout in tqdm's notation.
        stream: where to draw; None for standard error, or a notebook.

    Returns:
        The bar, to be closed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")  # without ipywidgets the bar is a line of text
        from tqdm.auto import tqdm as on_standard_error
        from tqdm.std import tqdm as on_a_stream
    make = on_standard_error if stream is None else on_a_stream
    return make(
        total=total,
        desc=description or None,
        unit=unit,
        initial=initial,
        unit_scale=scale,
        leave=leave,
        mininterval=every,
        delay=delay,
        bar_format=bar_format,
        file=stream,
        smoothing=0,  # the mean rate: single updates vary
        dynamic_ncols=True,
    )
