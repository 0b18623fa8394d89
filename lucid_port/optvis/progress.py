"""Watching a render: progress bar, live view in a notebook and TensorBoard log, as callbacks.

A callback is a function of the render, called after every update. Reading the loss waits for the
device, so these do it rarely.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from lucid_port.misc.progress import is_watched, progress_bar
from lucid_port.optvis.notebook import LiveSheet, LiveView

if TYPE_CHECKING:
    from tqdm import tqdm

    from lucid_port.optvis.engine.vis import VisT

__all__ = ["LiveSheet", "LiveView", "ManyProgress", "ProgressBar", "TensorBoardLog"]


class ProgressBar:
    """A bar with steps, rate, time left and loss; nothing if the output is neither a terminal nor a notebook.

    A callback for `render_vis`, or called after each step of another loop. Only reading the loss waits for the device.

    Args:
        total: number of updates in the end.
        every: updates between two readings of the loss.
        stream: where to write; None for standard error, or the notebook.
    """

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
        """End the line."""
        if self._bar is not None:
            self._bar.close()


class ManyProgress:
    """A bar with units finished, their rate and the time left; nothing if the output is no terminal or notebook.

    Usable from several threads, as a context manager.

    Args:
        units: number of units to come.
        steps: number of updates of each.
        enabled: whether to show anything.
        stream: where to write; None for standard error, or the notebook.
    """

    def __init__(self, units: int, steps: int, enabled: bool = True, stream: TextIO | None = None) -> None:
        self.units, self.steps, self.finished = units, steps, 0
        self.enabled = enabled and is_watched(stream)
        self.stream = stream
        self._bar: tqdm | None = None
        self._lock = threading.Lock()  # tqdm's counters are not safe

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
        """So many images were updated; a negative number takes back updates that are lost."""
        if self._bar is not None:
            with self._lock:
                self._bar.update(images)

    def done(self, images: int) -> None:
        """So many units are finished."""
        with self._lock:
            self.finished += images
            if self._bar is None:
                return
            elapsed = self._bar.format_dict["elapsed"]
            if elapsed > 0:
                self._bar.set_postfix_str(f"{60 * self._bar.n / elapsed / self.steps:.1f} units/min", refresh=False)
            self._bar.set_description_str(self._text())

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
