"""Running a render's steps for a recipe: one render, several batches of it, pictures on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis import checkpoints
from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many import memory, workers
from lucid_port.optvis.progress import ProgressBar
from lucid_port.optvis.sampling import RandomSource

__all__ = ["alike", "batches", "run", "run_through", "update_counts"]

Item = TypeVar("Item")


def run(vis: VisT, steps: int, verbose: bool = False) -> np.ndarray:
    """Makes a number of updates.

    Args:
        vis: the render.
        steps: how many.
        verbose: show progress on a terminal or in a notebook.

    Returns:
        The objective's values before each update, [steps, ...], float32.

    Raises:
        KeyboardInterrupt: it was interrupted.
        ValueError: `steps` is below 1.
    """
    steps = checks.whole(steps, "steps", 1)
    return run_through(vis, [steps], lambda: None, verbose)[1]


def run_through(vis: VisT, counts: Sequence[int], look: Callable[[], Any], verbose: bool = False) -> Any:
    """Makes updates, and looks at the render after some of them.

    Args:
        vis: the render.
        counts: after how many updates to look, in order; the last is the number of updates.
        look: called for what is to be kept.
        verbose: show progress on a terminal or in a notebook.

    Returns:
        What `look` gave, a list, and the objective's values before each update, [steps, ...], float32.

    Raises:
        KeyboardInterrupt: it was interrupted; in a block of `checkpoints.kept` the next run goes on from there.
    """
    bar = ProgressBar(counts[-1]) if verbose else None
    work = checkpoints.begin(vis, checkpoints.active())
    seen = [look() for _ in work.looks()]

    def keep() -> None:
        work.looked()
        seen.append(look())

    try:
        values = loop.run(vis, counts, keep, [] if bar is None else [bar], work, stopped=lambda: False)
    finally:
        if bar is not None:
            bar.close()
    vis.watch.check()
    return seen, torch.stack(values).float().cpu().numpy()


def update_counts(thresholds: Any) -> list[int]:
    """After how many updates pictures are taken: distinct numbers from 1 on, in order.

    Raises:
        TypeError, ValueError: they are none.
    """
    given: Iterable[Any] = [thresholds] if np.ndim(thresholds) == 0 else thresholds
    counts = {checks.whole(one, "Each of thresholds", 1) for one in checks.items(given, "thresholds", "step numbers")}
    if not counts:
        raise ValueError("thresholds are step numbers from 1 on, and none is given.")
    return sorted(counts)


# Batches -----------------------------------------------------------------------------------------


def alike(seed: int, count: int) -> RandomSource:
    """Draws by which each image of a batch begins as it would alone, with the same seed for all."""
    return RandomSource(seeds=[seed] * count, shared=seed)


def batches(
    items: Sequence[Item], make: Callable[[Sequence[Item]], VisT], batch_size: int | None = None
) -> list[list[Item]]:
    """What is to be rendered, in batches of equal size.

    Args:
        items: what each image, or group of images, is made of.
        make: the render of some of them.
        batch_size: how many of them a batch has at most; by default what fits into the free memory.

    Raises:
        TypeError, ValueError: `batch_size` is no number from 1 on.
    """
    if batch_size is not None:
        return workers.split_evenly(items, checks.whole(batch_size, "batch_size", 1))
    return workers.split_evenly(items, checkpoints.decided("batch", lambda: _fitting(items, make)))


def _fitting(items: Sequence[Item], make: Callable[[Sequence[Item]], VisT]) -> int:
    if len(items) < 2:
        return 1
    one = make(items[:1])
    if one.device.type == "cuda":
        return memory.cuda_batch_size(lambda count: make(items[:count]).step(), one.device, len(items))
    return memory.host_batch_size(lambda: one("loss"))
