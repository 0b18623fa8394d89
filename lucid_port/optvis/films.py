"""The frames of a film of a render, which a callback keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from converters import checks
from lucid_port.misc.io.films import even_frames

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["FRAMES", "FilmFrames"]

FRAMES = 24
"""Frames of a film by default."""

MOST_BYTES = 256 * 2**20
"""Memory for the kept pictures. If it is full, every second one is dropped, and later ones are kept half as often."""


class FilmFrames:
    """Callback that keeps the picture after each update, the first also before it, as 8-bit values.

    Args:
        count: Number of frames, at least 2.

    Example:
        >>> from lucid_port.misc.io.films import save_film
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.optvis import param, render
        >>> film = FilmFrames(4)
        >>> model = get_model("TinyInceptionV1")
        >>> made = render.render_vis(
        ...     model, "mixed4a:8", lambda: param.image(32), thresholds=[9], callbacks=[film], verbose=False
        ... )
        >>> len(film.frames()), film.frames()[0].shape
        (4, (32, 32, 3))
    """

    def __init__(self, count: int = FRAMES) -> None:
        self.count = checks.whole(count, "The number of frames", 2)
        self._kept: list[np.ndarray] = []
        self._every, self._seen = 1, 0
        self._last: np.ndarray | None = None

    def begin(self, vis: VisT, total: int) -> None:
        """Keeps the initial picture."""
        self._keep(vis)

    def __call__(self, vis: VisT) -> None:
        self._keep(vis)

    def _keep(self, vis: VisT) -> None:
        self._last = np.rint(np.nan_to_num(vis.image()[0]).clip(0, 1) * 255).astype(np.uint8)
        if self._seen % self._every == 0:
            self._kept.append(self._last)
            if len(self._kept) * self._last.nbytes > MOST_BYTES and len(self._kept) > 4 * self.count:
                self._kept, self._every = self._kept[::2], 2 * self._every
        self._seen += 1

    def frames(self) -> list[np.ndarray]:
        """Returns the frames, float32 [H, W, C] in [0, 1]; successive ones differ equally."""
        kept = [*self._kept, *([] if self._last is None or self._last is self._kept[-1] else [self._last])]
        return [kept[index].astype(np.float32) / 255 for index in even_frames(kept, self.count)]
