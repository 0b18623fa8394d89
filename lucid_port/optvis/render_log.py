"""Logs of renders for TensorBoard: numbers, pictures and recipes.

    with logged("runs"):
        ...  # each render of the block is a run in a folder of its own

A log reads the device rarely: the objective, the norm of the gradient and the picture every `every` updates and after
the last one. It draws no random numbers and changes nothing, so that a render has the same bits with and without it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.event_writers import Log, LogDir, check_log_dir, open_writer
from lucid_port.optvis.engine.callbacks import Callback
from lucid_port.optvis.many.picture_folder import file_stem
from lucid_port.optvis.many.unit_spec import name_of
from lucid_port.optvis.recipe import Recipe

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["TensorBoardLog", "active", "logged", "of_render", "picture_grid"]

_active: contextvars.ContextVar[Log | None] = contextvars.ContextVar("render_log", default=None)


class TensorBoardLog:
    """Callback that logs a render for TensorBoard.

    After the first update, every `every` updates and after the last one, it writes the scalars `objective` (before the
    update, summed over the images), `objective/NAME` for each image that has an objective of its own, `learning_rate`
    and `gradient_norm` (Euclidean, over all parameters). Every `pictures_every` updates, at the thresholds and after
    the last update it writes `image`, all pictures of the batch in one grid. The text `recipe` is the render's recipe.

    Args:
        log_dir: Folder of the event file, or a writer such as `SummaryWriter`, which is not closed.
        every: Number of updates between two readings of the device.
        pictures_every: Number of updates between two pictures, a multiple of `every`; twice as many by default.
        names: Names of the objectives of the images; their numbers by default.
        about: Further arguments of `Recipe.of`.

    Raises:
        TypeError, ValueError: `log_dir` is no writer, or a number is no multiple.
        OSError: The folder cannot be written to.
        ImportError: The package tensorboard is missing.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.optvis import param
        >>> from lucid_port.optvis.render import render_vis
        >>> model, log = get_model("TinyInceptionV1"), [TensorBoardLog("runs", every=10)]
        >>> made = render_vis(model, "mixed4a:8", lambda: param.image(32), thresholds=2, callbacks=log, verbose=False)
    """

    @checked
    def __init__(
        self,
        log_dir: LogDir,
        every: int = 50,
        pictures_every: int | None = None,
        names: Sequence[str] = (),
        about: Mapping[str, Any] | None = None,
    ) -> None:
        check_log_dir(log_dir)
        self.log_dir = log_dir
        self.every = checks.whole(every, "every", 1)
        self.pictures_every = 2 * every if pictures_every is None else checks.whole(pictures_every, "pictures_every", 1)
        if self.pictures_every % self.every:
            raise ValueError(
                f"pictures_every is a multiple of every, {every}, so that the device is read no more often; "
                f"{pictures_every} is not."
            )
        self.names = names
        self.about = dict(about or {})
        self._total: int | None = None
        self._vis: VisT | None = None
        self._seen: tuple[int, torch.Tensor | None] = (0, None)  # the last finished update and its objective
        self._scalars_at = self._picture_at = 0

    @functools.cached_property
    def writer(self) -> Any:
        """The writer, which opens the event file when it is first used."""
        return open_writer(self.log_dir)

    def begin(self, vis: VisT, total: int) -> None:
        """Notes the number of updates."""
        self._total = total
        self._scalars_at = self._picture_at = 0

    def __call__(self, vis: VisT) -> None:
        if self._vis is None:
            self._vis = vis
            recipe = Recipe.of(vis, steps=self._total, **self.about)
            self.writer.add_text("recipe", f"```json\n{json.dumps(recipe.to_data(), indent=1)}\n```", vis.steps)
        self._seen = vis.steps, vis.loss
        if vis.steps == 1 or vis.steps % self.every == 0 or vis.steps == self._total:
            self._write_scalars(vis, vis.steps, vis.loss)
        if vis.steps % self.pictures_every == 0 and vis.steps != self._total:  # the last picture is a snapshot's
            self._write_picture(vis.image(), vis.steps)

    def snapshot(self, vis: VisT, picture: np.ndarray) -> None:
        """Writes the pictures of a threshold, [N, H, W, C] in [0, 1]."""
        if self._picture_at != vis.steps:
            self._write_picture(picture, vis.steps)

    def close(self) -> None:
        """Writes the state after the last update, and closes the event file; a user's writer stays open."""
        if self._vis is None:
            return
        try:
            steps, loss = self._seen
            if self._scalars_at != steps:
                self._write_scalars(self._vis, steps, loss)
            if self._picture_at != steps:
                self._write_picture(self._vis.image(), steps)
        finally:
            self.writer.close()
            del self.writer
            self._vis = None

    def _write_scalars(self, vis: VisT, steps: int, loss: torch.Tensor | None) -> None:
        assert loss is not None
        own = loss.flatten().float()
        norm = [_gradient_norm(vis, own)] if loss is vis.loss else []  # otherwise another update has begun
        total, *rest = torch.stack([own.sum(), *own, *norm]).tolist()  # the only wait for the device
        self.writer.add_scalar("objective", total, steps)
        if len(own) > 1:
            for number, value in enumerate(rest[: len(own)]):
                name = self.names[number] if self.names else str(number)
                self.writer.add_scalar(f"objective/{name}", value, steps)
        groups = vis.optimizer.param_groups
        for number, group in enumerate(groups):
            if "lr" in group:
                tag = "learning_rate" if len(groups) == 1 else f"learning_rate/{number}"
                self.writer.add_scalar(tag, float(group["lr"]), steps)
        if norm:
            self.writer.add_scalar("gradient_norm", rest[-1], steps)
        self._scalars_at = steps

    def _write_picture(self, pictures: np.ndarray, steps: int) -> None:
        self.writer.add_image("image", picture_grid(pictures), steps, dataformats="HWC")
        self._picture_at = steps


def _gradient_norm(vis: VisT, like: torch.Tensor) -> torch.Tensor:
    """Returns the Euclidean norm of the last gradient, as a scalar of the dtype and device of another tensor."""
    gradients = [parameter.grad for parameter in vis.parameters if parameter.grad is not None]
    norms = [torch.linalg.vector_norm(gradient.detach()).to(like) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else like.new_zeros(())


@checked
def picture_grid(pictures: np.ndarray) -> np.ndarray:
    """Draws the pictures of a batch as one, in rows, without gaps.

    Args:
        pictures: [N, H, W, C] in [0, 1]. Of more than four channels, the first three are drawn, of two the first.

    Returns:
        uint8 [rows * H, columns * W, C] with C of 1, 3 or 4. Empty cells are white, NaN is black.

    Example:
        >>> picture_grid(np.ones((5, 8, 6, 3), np.float32)).shape
        (16, 18, 3)
    """
    count, height, width, channels = pictures.shape
    drawn = {1: 1, 2: 1, 3: 3, 4: 4}.get(channels, 3)
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    cells = np.full((rows * columns, height, width, drawn), 255, np.uint8)
    cells[:count] = np.round(np.nan_to_num(pictures[..., :drawn]).clip(0, 1) * 255)
    lines = cells.reshape(rows, columns, height, width, drawn).swapaxes(1, 2)
    return lines.reshape(rows * height, columns * width, drawn)


# Blocks of renders -------------------------------------------------------------------------------


@contextlib.contextmanager
@checked
def logged(log_dir: LogDir | None) -> Iterator[Log | None]:
    """Context manager that logs all renders in its block, each as a run of its own.

    It applies to `render_vis`, `render_many` and the functions of `lucid_port.recipes`.

    Args:
        log_dir: Folder, which gets a subfolder for each render, or a writer, whose tags begin with the render's name;
            None logs nothing new.

    Raises:
        TypeError, ValueError, OSError, ImportError: As for `TensorBoardLog`.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.recipes import feature_visualization
        >>> with logged("runs"):
        ...     made = feature_visualization.visualize(get_model("TinyInceptionV1"), ["mixed4a:8"], size=32, steps=2)
    """
    with _within(active() if log_dir is None else Log(log_dir)) as log:
        yield log


@contextlib.contextmanager
def _within(log: Log | None) -> Iterator[Log | None]:
    token = _active.set(log)
    try:
        yield log
    finally:
        _active.reset(token)


def active() -> Log | None:
    """Returns the log of the enclosing block of this thread, or None."""
    return _active.get()


def of_render(vis: VisT, **about: Any) -> list[Callback]:
    """Returns the callback that logs a render in the enclosing block; empty outside of a block.

    Args:
        vis: The render.
        **about: Further arguments of `Recipe.of`.
    """
    log = active()
    if log is None:
        return []
    name = file_stem(name_of(vis.objective).replace(", None", ""))  # "Channel [mixed4a, 3, None]"
    return [TensorBoardLog(log.run(name), about=about)]
