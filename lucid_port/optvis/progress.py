"""Progress of a render: progress bars, live view in a notebook and TensorBoard log.

Those of a single render are callbacks: functions of the render that are called after each update.
Reading the loss synchronizes with the device, so they do it rarely.
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
    """Callback that shows step, rate, remaining time and loss in one line of a terminal.

    If the stream is not a terminal, it shows nothing.

    Args:
        total: Number of updates of the render.
        every: Number of updates between two refreshes.
        stream: Output stream, standard error by default.
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
        """Ends the line."""
        if self.enabled and self._started is not None:
            self.stream.write("\n")


class ManyProgress:
    """Context manager that shows a progress bar of a run over many units in a terminal.

    It shows the number of finished units, their rate and the remaining time. If the stream is not a
    terminal, it shows nothing. Its methods are thread-safe.

    Args:
        units: Number of units.
        steps: Number of updates of each unit.
        enabled: Whether to show the bar.
        stream: Output stream, standard error by default.
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
        """Adds updates of `images` images; a negative number subtracts lost updates."""
        self._progress.advance(self._task, images)

    def done(self, images: int) -> None:
        """Adds `images` finished units."""
        self.finished += images
        speed = self._progress.tasks[0].speed
        rate = "" if not speed else f"{60 * speed / self.steps:.1f} units/min"
        self._progress.update(self._task, description=self._text(), rate=rate)

    def add(self, label: str, picture: np.ndarray) -> None:
        """Does nothing: a terminal does not show pictures."""


class TensorBoardLog:
    """Callback that writes the loss and the kept pictures as TensorBoard events.

    Args:
        log_dir: Folder of the event file.
        every: Number of updates between two loss values.

    Raises:
        ImportError: The package tensorboard is missing.
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
        """Writes the pictures of a threshold, [N, H, W, C] in [0, 1]."""
        self.writer.add_images("image", picture[..., :3], vis.steps, dataformats="NHWC")

    def close(self) -> None:
        """Closes the event file."""
        self.writer.close()
