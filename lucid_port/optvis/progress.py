"""Watching a render: progress bar, live view in a notebook and TensorBoard log, as callbacks.

A callback is a function of the render, called after every update. Reading the loss waits for the
device, so these do it rarely.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from lucid_port.optvis.notebook import LiveSheet, LiveView

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["LiveSheet", "LiveView", "ManyProgress", "ProgressBar", "TensorBoardLog"]


class ProgressBar:
    """A line with step, rate, time left and loss; nothing if the output is no terminal.

    Args:
        total: number of updates to come.
        every: updates between two refreshes.
        stream: where to write, standard error by default.
    """

    def __init__(self, total: int, every: int = 50, stream: TextIO | None = None) -> None:
        self.total = total
        self.every = every
        self.stream = sys.stderr if stream is None else stream
        self.enabled = self.stream.isatty()
        self._started: float | None = None
        self._first = 0

    def __call__(self, vis: VisT) -> None:
        if not self.enabled:
            return
        if self._started is None:
            self._started, self._first = time.monotonic(), vis.steps
        if vis.steps % self.every == 0 or vis.steps == self.total:
            self._draw(vis)

    def _draw(self, vis: VisT) -> None:
        assert vis.loss is not None
        assert self._started is not None
        elapsed = time.monotonic() - self._started
        rate = (vis.steps - self._first) / elapsed if elapsed > 0 else 0.0
        left = (self.total - vis.steps) / rate if rate > 0 else 0.0
        filled = round(24 * vis.steps / self.total)
        bar = "#" * filled + "-" * (24 - filled)
        self.stream.write(
            f"\r[{bar}] {vis.steps}/{self.total}  {rate:.1f} steps/s  {left:.0f} s left  "
            f"objective {float(vis.loss.sum()):.4g}  "
        )
        self.stream.flush()

    def close(self) -> None:
        """End the line."""
        if self.enabled and self._started is not None:
            self.stream.write("\n")


class ManyProgress:
    """A bar with units finished, their rate and the time left; nothing if the output is no terminal.

    Usable from several threads, as a context manager.

    Args:
        units: number of units to come.
        steps: number of updates of each.
        enabled: whether to show anything.
        stream: where to write, standard error by default.
    """

    def __init__(self, units: int, steps: int, enabled: bool = True, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.units, self.steps, self.finished = units, steps, 0
        console = Console(stderr=True) if stream is None else Console(file=stream)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self._progress = Progress(*columns, console=console, disable=not (enabled and console.is_terminal))
        self._task = self._progress.add_task(self._text(), total=units * steps, rate="")

    def _text(self) -> str:
        return f"{self.finished}/{self.units} units"

    def __enter__(self) -> ManyProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def stepped(self, images: int) -> None:
        """So many images were updated; a negative number takes back updates that are lost."""
        self._progress.advance(self._task, images)

    def done(self, images: int) -> None:
        """So many units are finished."""
        self.finished += images
        speed = self._progress.tasks[0].speed
        rate = "" if not speed else f"{60 * speed / self.steps:.1f} units/min"
        self._progress.update(self._task, description=self._text(), rate=rate)

    def add(self, label: str, picture: np.ndarray) -> None:
        """A picture is finished, which a terminal cannot show."""


class TensorBoardLog:
    """Write the loss now and then, and every kept picture, as TensorBoard events.

    Args:
        log_dir: folder.
        every: updates between two loss values.

    Raises:
        ImportError: the package tensorboard is missing.
    """

    def __init__(self, log_dir: str, every: int = 50) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.every = every
        self.writer: Any = SummaryWriter(log_dir)

    def __call__(self, vis: VisT) -> None:
        if vis.steps == 1 or vis.steps % self.every == 0:
            assert vis.loss is not None
            self.writer.add_scalar("objective", float(vis.loss.sum()), vis.steps)

    def snapshot(self, vis: VisT, picture: np.ndarray) -> None:
        """Write the pictures kept at a threshold."""
        self.writer.add_images("image", picture[..., :3], vis.steps, dataformats="NHWC")

    def close(self) -> None:
        """Finish the event file."""
        self.writer.close()
