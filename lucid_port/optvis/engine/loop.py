"""The loop that makes the updates of a render; no other code steps one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from lucid_port.optvis.engine.callbacks import Callback, notify
from lucid_port.optvis.engine.vis import VisT

if TYPE_CHECKING:
    from lucid_port.optvis.checkpoints import Checkpoint

__all__ = ["run"]


def run(
    vis: VisT,
    counts: Sequence[int],
    look: Callable[[], object] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    stopped: Callable[[], bool] | None = None,
) -> list[torch.Tensor]:
    """Makes updates, and calls functions between them.

    Args:
        vis: The render.
        counts: Numbers of updates after which `look` is called, ascending; the last is the total.
        look: Called without arguments when a count is reached.
        callbacks: Called with the render after each update; see `callbacks.Callback`.
        checkpoint: Has restored the state of an interrupted run, if there is one, and saves the state
            of this run.
        stopped: Returns whether to end after the current update; `vis.stopped` by default.

    Returns:
        The objective's value before each update, on the device. There are fewer values than the
        total if the loop was stopped.

    Raises:
        KeyboardInterrupt: Ctrl-C. Errors of the objective, the model and the callbacks propagate.
    """
    due, total = set(counts), counts[-1]
    values = [] if checkpoint is None else checkpoint.values
    with contextlib.ExitStack() as stack:  # closes every callback, even if one of them raises
        for callback in reversed(callbacks):
            stack.callback(notify, [callback], "close")
        notify(callbacks, "begin", vis, total)
        while len(values) < total:
            values.append(vis.step())
            for callback in callbacks:
                callback(vis)
            if look is not None and len(values) in due:
                look()
            ended = vis.stopped if stopped is None else stopped()
            if checkpoint is not None:
                checkpoint.save(stopped=ended or len(values) == total)
            if ended:
                break
    return values
