"""The loop that steps a render: the only place that does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from lucid_port.optvis.engine.vis import Callback, VisT

if TYPE_CHECKING:
    from lucid_port.optvis.checkpoints import Checkpoint

__all__ = ["run"]


def run(
    vis: VisT,
    counts: Sequence[int],
    look: Callable[[], object] | None = None,
    observers: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    stopped: Callable[[], bool] | None = None,
) -> list[torch.Tensor]:
    """Makes updates, and calls back between them.

    Args:
        vis: the render.
        counts: numbers of updates after which `look` is called, in ascending order; the last is the total.
        look: called without arguments when a count is reached.
        observers: called with the render after each update.
        checkpoint: the state of an interrupted run, which goes on, and where the state of this one is kept.
        stopped: whether to end after the present update; `vis.stopped` by default.

    Returns:
        The objective's value before each update, on the device: fewer than the total if the loop was stopped.

    Raises:
        KeyboardInterrupt: Ctrl-C. Errors of the objective, the model and the callbacks come through as they are.
    """
    due, total = set(counts), counts[-1]
    values = [] if checkpoint is None else checkpoint.values
    while len(values) < total:
        values.append(vis.step())
        for observe in observers:
            observe(vis)
        if look is not None and len(values) in due:
            look()
        ended = vis.stopped if stopped is None else stopped()
        if checkpoint is not None:
            checkpoint.save(stopped=ended or len(values) == total)
        if ended:
            break
    return values
