"""Live views of renders in a notebook, below the cell.

Reading a picture synchronizes with the device. The views therefore refresh at intervals of time and
read a picture only to show it. Outside of a notebook they do nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.misc.environment import is_notebook_environment
from lucid_port.misc.io.showing import cells_html, image_html
from lucid_port.misc.templates import render

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["LiveSheet", "LiveView"]

MOST_SHARE = 0.1
"""Largest share of the time for encoding and sending pictures; slower refreshes become rarer."""


class _Place:
    """A display in a notebook's output that can be replaced.

    Args:
        every: Minimum number of seconds between two refreshes.

    Attributes:
        enabled: Whether the code runs in a notebook.
    """

    def __init__(self, every: float) -> None:
        self.every = checks.number(every, "every, the seconds between two refreshes,", 0)
        self.enabled = is_notebook_environment()
        self._next = 0.0
        self._handle: Any = None

    def due(self) -> bool:
        """Whether the next refresh is due."""
        return self.enabled and time.monotonic() >= self._next

    def put(self, make: Callable[[], tuple[str, str]]) -> None:
        """Replaces the display by the result of `make`: HTML, and plain text as a fallback."""
        started = time.monotonic()
        markup, text = make()
        data = {"text/html": markup, "text/plain": text}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
        ended = time.monotonic()
        self._next = ended + max(self.every, (ended - started) / MOST_SHARE)


def _live(pictures: str, line: str, done: int = 0, total: int | None = None) -> str:
    """Returns HTML: the pictures above a line of text, and a progress bar until the total is reached."""
    return render("live.html", pictures=pictures, line=line, done=done, total=total)


class LiveView:
    """Callback that shows the current pictures of a render below the cell, with step, rate and objective.

    Use it as a callback of `render_vis`, or call it after each step of a loop. It synchronizes with
    the device only when it refreshes, and does not change the pictures.

    Args:
        every: Minimum number of seconds between two refreshes; slow refreshes become rarer.
        width: Width of each picture on the screen in pixels; the picture's own by default.
        total: Number of updates, for the remaining time; `render_vis` sets it.
        keep: Whether the last pictures stay after the render; otherwise, only a line of numbers stays.
        most: Maximum number of pictures shown.

    Raises:
        TypeError, ValueError: An argument is out of range.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.optvis import param, render
        >>> T = render.make_vis_T(get_model("TinyInceptionV1"), "mixed4a:3", lambda: param.image(32))
        >>> with LiveView(total=2) as view:
        ...     for _ in range(2):
        ...         _ = T.step()
        ...         view(T)
    """

    @checked
    def __init__(
        self,
        every: float = 1.0,
        width: float | None = None,
        total: int | None = None,
        keep: bool = True,
        most: int = 16,
    ) -> None:
        self._place = _Place(every)
        self.width = None if width is None else checks.number(width, "width", above=0)
        self.total = None if total is None else checks.whole(total, "total, the number of updates,", 1)
        self.keep = keep
        self.most = checks.whole(most, "most, the number of pictures shown,", 1)
        self._vis: VisT | None = None
        self._started, self._first = 0.0, 0
        self._shown = -1  # number of updates of the pictures on display
        self._line = ""

    def begin(self, vis: VisT, total: int | None = None) -> None:
        """Shows the image before the first update.

        Args:
            vis: The render.
            total: Number of updates at the end of the render.
        """
        self.total = self.total if total is None else total
        self._start(vis)
        if self._place.enabled:
            self._refresh(vis)

    def __call__(self, vis: VisT) -> None:
        """Refreshes the view if it is due; called after each update."""
        if vis is not self._vis:
            self._start(vis)
        if self._place.due() or (self._place.enabled and vis.steps == self.total):
            self._refresh(vis)

    def _start(self, vis: VisT) -> None:
        self._vis, self._first, self._shown = vis, vis.steps, -1
        self._started = time.monotonic()

    def _refresh(self, vis: VisT) -> None:
        pictures = vis.image()  # waits for the device
        value = None if vis.loss is None else float(vis.loss.sum())
        self._shown = vis.steps
        self._line = self._numbers(vis.steps, time.monotonic() - self._started, value)
        self._place.put(lambda: self._page(pictures))

    def _numbers(self, step: int, elapsed: float, value: float | None) -> str:
        rate = (step - self._first) / elapsed if elapsed > 0 else 0.0
        done = f"{step}" if self.total is None else f"{step} of {self.total}"
        parts = [f"{done} update" if done == "1" else f"{done} updates"]
        if rate > 0:
            parts.append(f"{rate:.1f} a second")
        if rate > 0 and self.total is not None and step < self.total:
            parts.append(f"{(self.total - step) / rate:.0f} s left")
        if value is not None:
            parts.append(f"objective {value:.4g}")
        return ", ".join(parts)

    def _page(self, pictures: np.ndarray) -> tuple[str, str]:
        cells = [image_html(picture, self.width, (0, 1)) for picture in pictures[: self.most]]
        more = len(pictures) - len(cells)
        body = cells[0] if len(pictures) == 1 else cells_html(cells, range(len(cells)))
        line = self._line + (f"; {more} more pictures" if more else "")
        return _live(body, line, self._shown, self.total), self._line

    def close(self) -> None:
        """Ends the view, without reading from the device, which may have failed."""
        if self._place.enabled and self._shown >= 0 and not self.keep:
            self._place.put(lambda: (_live("", self._line), self._line))

    def __enter__(self) -> LiveView:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None and self._place.enabled and self._vis is not None and self._vis.steps != self._shown:
            self._refresh(self._vis)
        self.close()


class LiveSheet:
    """Context manager that shows the finished pictures of a run over many units below the cell.

    It replaces `ManyProgress` in a notebook, and also shows the number of finished units, their rate
    and the remaining time. It never synchronizes with a device. Its methods are thread-safe.

    Args:
        units: Number of units.
        steps: Number of updates of each unit.
        every: Minimum number of seconds between two refreshes.
        width: Width of each picture on the screen in pixels; the picture's own by default.
        most: Maximum number of pictures shown, which limits the size of the notebook's file.
    """

    @checked
    def __init__(self, units: int, steps: int, every: float = 1.0, width: float | None = None, most: int = 100) -> None:
        self.units, self.steps, self.width, self.most = units, steps, width, most
        self.finished = self._updates = 0
        self._cells: list[str] = []
        self._labels: list[str] = []
        self._place = _Place(every)
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def __enter__(self) -> LiveSheet:
        self._started = time.monotonic()
        return self

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            if self._place.enabled and self.units:
                self._place.put(self._page)

    def stepped(self, images: int) -> None:
        """Adds updates of `images` images; a negative number subtracts lost updates."""
        with self._lock:
            self._updates += images
            if self._place.due():
                self._place.put(self._page)

    def done(self, images: int) -> None:
        """Adds `images` finished units."""
        with self._lock:
            self.finished += images

    def add(self, label: str, picture: np.ndarray) -> None:
        """Adds a finished picture, [H, W, C] in [0, 1]."""
        with self._lock:
            if self._place.enabled and len(self._cells) < self.most:
                self._cells.append(image_html(picture, self.width, (0, 1)))
                self._labels.append(label)

    def _page(self) -> tuple[str, str]:
        total, elapsed = self.units * self.steps, time.monotonic() - self._started
        parts = [f"{self.finished} of {self.units} units"]
        if self._updates > 0 and elapsed > 0:
            rate = self._updates / elapsed
            parts.append(f"{60 * rate / self.steps:.1f} a minute")
            if self._updates < total:
                parts.append(f"{(total - self._updates) / rate:.0f} s left")
        line = ", ".join(parts)
        hidden = self.finished - len(self._cells)
        more = f"; the first {len(self._cells)} are shown" if hidden > 0 and len(self._cells) == self.most else ""
        cells = cells_html(self._cells, self._labels)
        return _live(cells, line + more, self._updates, total), line
