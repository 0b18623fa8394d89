"""Progress of a render: progress bars, live view in a notebook and log for TensorBoard.

The displays of a single render are callbacks: functions that are called with the render after each update.
Reading the loss synchronizes with the device, so callbacks read it rarely.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from converters.signatures import checked
from lucid_port.misc.progress import is_watched, progress_bar
from lucid_port.optvis.notebook import LiveSheet, LiveView
from lucid_port.optvis.render_log import TensorBoardLog, logged

if TYPE_CHECKING:
    from tqdm import tqdm

    from lucid_port.optvis.engine.vis import VisT

__all__ = ["LiveSheet", "LiveView", "ManyProgress", "ProgressBar", "TensorBoardLog", "logged"]


class ProgressBar:
    """Callback that shows step, rate, remaining time and loss in a progress bar on a terminal or in a notebook.

    Elsewhere it shows nothing. It synchronizes with the device only when it reads the loss.

    Args:
        total: Number of updates of the render.
        every: Number of updates between two readings of the loss.
        stream: Output stream; the default is standard error, or the cell's output in a notebook.
    """

    @checked
    def __init__(self, total: int, every: int = 50, stream: TextIO | None = None) -> None:
        self.total = total
        self.every = every
        self.stream = stream
        self.enabled = is_watched(stream)
        self._bar: tqdm | None = None

    def __call__(self, vis: VisT) -> None:
        if not self.enabled:
            return
        if self._bar is None:
            self._bar = progress_bar(self.total, unit=" steps", initial=vis.steps, stream=self.stream)
        if vis.steps % self.every == 0 or vis.steps == self.total:
            assert vis.loss is not None
            self._bar.set_postfix(objective=f"{float(vis.loss.sum()):.4g}", refresh=False)
        self._bar.update(vis.steps - self._bar.n)

    def close(self) -> None:
        """Ends the line."""
        if self._bar is not None:
            self._bar.close()


class ManyProgress:
    """Context manager that shows a progress bar of a run over many units on a terminal or in a notebook.

    It shows the number of finished units, their rate and the remaining time. Elsewhere it shows
    nothing. Its methods are thread-safe.

    Args:
        units: Number of units.
        steps: Number of updates of each unit.
        enabled: Whether to show the bar.
        stream: Output stream; the default is standard error, or the cell's output in a notebook.
    """

    @checked
    def __init__(self, units: int, steps: int, enabled: bool = True, stream: TextIO | None = None) -> None:
        self.units, self.steps, self.finished = units, steps, 0
        self.enabled = enabled and is_watched(stream)
        self.stream = stream
        self._bar: tqdm | None = None
        self._lock = threading.Lock()  # tqdm's counters are not thread-safe

    def _text(self) -> str:
        return f"{self.finished}/{self.units} units"

    def __enter__(self) -> ManyProgress:
        if self.enabled:
            layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
            self._bar = progress_bar(self.units * self.steps, self._text(), bar_format=layout, stream=self.stream)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def stepped(self, images: int) -> None:
        """Adds updates of `images` images; a negative number subtracts lost updates."""
        if self._bar is not None:
            with self._lock:
                self._bar.update(images)

    def done(self, images: int) -> None:
        """Adds `images` finished units."""
        with self._lock:
            self.finished += images
            if self._bar is None:
                return
            elapsed = self._bar.format_dict["elapsed"]
            if elapsed > 0:
                self._bar.set_postfix_str(f"{60 * self._bar.n / elapsed / self.steps:.1f} units/min", refresh=False)
            self._bar.set_description_str(self._text())

    def add(self, label: str, picture: np.ndarray) -> None:
        """Does nothing: a terminal does not show pictures."""
