"""The steps of a recipe's renders: checkpoints, batches and pictures at several numbers of updates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis import checkpoints
from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many import memory, workers
from lucid_port.optvis.progress import ProgressBar
from lucid_port.optvis.render_log import of_render
from lucid_port.optvis.sampling import RandomSource

__all__ = ["alike", "in_batches", "run", "run_through", "update_counts"]

Item = TypeVar("Item")
Seen = TypeVar("Seen")


@checked
def run(vis: VisT, steps: int, verbose: bool = False) -> np.ndarray:
    """Makes a number of updates.

    Args:
        vis: The render.
        steps: Number of updates.
        verbose: Whether to show progress on a terminal or in a notebook.

    Returns:
        The objective's values before each update, [steps, ...], float32.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        ValueError: `steps` is below 1.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.optvis import param
        >>> vis = VisT(get_model("TinyInceptionV1"), "mixed4a:8", lambda: param.image(32))
        >>> run(vis, 2).shape
        (2,)
    """
    steps = checks.whole(steps, "steps", 1)
    return run_through(vis, [steps], lambda: None, verbose)[1]


@checked
def run_through(
    vis: VisT, counts: Sequence[int], look: Callable[[], Seen], verbose: bool = False
) -> tuple[list[Seen], np.ndarray]:
    """Makes updates, and calls a function after some of them.

    Args:
        vis: The render.
        counts: Numbers of updates after which to call `look`, ascending; the last is the total.
        look: Called without arguments; usually returns the pictures.
        verbose: Whether to show progress on a terminal or in a notebook.

    Returns:
        The list of the values that `look` returned, and the objective's values before each update,
        [steps, ...], float32.

    Raises:
        KeyboardInterrupt: Ctrl-C. In a block of `checkpoints.kept`, the next run continues from here.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.optvis import param
        >>> vis = VisT(get_model("TinyInceptionV1"), "mixed4a:8", lambda: param.image(32))
        >>> pictures, values = run_through(vis, [1, 3], vis.image)
        >>> len(pictures), values.shape
        (2, (3,))
    """
    work = checkpoints.Checkpoint(vis, checkpoints.active())
    seen = [look() for _ in work.looks()]

    def keep() -> None:
        work.looked()
        seen.append(look())

    bars = [ProgressBar(counts[-1])] if verbose else []
    values = loop.run(vis, counts, keep, [*bars, *of_render(vis)], work, stopped=lambda: False)
    vis.watch.check()
    return seen, torch.stack(values).float().cpu().numpy()


@checked
def update_counts(thresholds: int | Iterable[int]) -> list[int]:
    """Returns the numbers of updates after which pictures are taken, distinct and ascending.

    Args:
        thresholds: One number or several, from 1 on.

    Raises:
        TypeError, ValueError: There are no numbers, or a number is not whole or is below 1.

    Example:
        >>> update_counts([512, 32, 32])
        [32, 512]
    """
    given = [thresholds] if np.ndim(thresholds) == 0 else thresholds  # type: ignore[arg-type]
    counts = {checks.whole(one, "Each of thresholds", 1) for one in checks.items(given, "thresholds", "step numbers")}
    if not counts:
        raise ValueError("thresholds is empty: pass at least one step number, from 1 on.")
    return sorted(counts)


# Batches -----------------------------------------------------------------------------------------


@checked
def alike(seed: int, count: int) -> RandomSource:
    """Returns a random source with which each image of a batch starts as it would alone.

    Args:
        seed: Seed of every image and of the transforms.
        count: Number of images.

    Example:
        >>> alike(7, 3).seeds
        (7, 7, 7)
    """
    checks.fits((checks.whole(count, "alike's count", 1), 1, 1, 3), "The batch")
    return RandomSource(seeds=[seed] * count, shared=seed)


@checked
def in_batches(
    model: Model,
    items: Sequence[Item],
    make: Callable[[Sequence[Item]], VisT] | None,
    render: Callable[[Sequence[Item]], Seen],
    batch_size: int | None = None,
) -> list[Seen]:
    """Renders items in batches of nearly equal size, in order.

    If a batch does not fit into memory, its size is halved, and all items are rendered again, so that each has the bits
    of a render with this `batch_size`. In a block of `checkpoints.kept`, a run that resumes uses the halved size.

    Args:
        model: The model.
        items: Items to render, one for each image or group of images.
        make: Returns the render of some items, whose memory is measured; may be None if `batch_size` is given.
        render: Renders the items of a batch and returns the result.
        batch_size: Maximum number of items in a batch; by default as many as fit into the free memory.

    Returns:
        The results of `render`, one for each batch.

    Raises:
        TypeError, ValueError: `batch_size` is not a whole number from 1 on.
        MemoryError: A single item does not fit.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> in_batches(get_model("TinyInceptionV1"), ["a", "b", "c"], None, "+".join, batch_size=2)
        ['a', 'b+c']
    """
    given = None if batch_size is None else checks.whole(batch_size, "batch_size", 1)

    def fitting() -> int:
        if make is None:
            raise ValueError("in_batches needs a batch_size, or a function make, whose render tells it.")
        return memory.batch_size(lambda count: make(items[:count]), len(items))

    size = checkpoints.Decision("batch", lambda: given or fitting())
    while True:
        found, failed = _rendered(workers.split_evenly(items, size.result), render)
        if failed is None:
            return found
        batch, message = failed
        device = own_device(model)
        memory.release(device)
        size.change(workers.half_of(len(batch), device, message))
        size.begin_anew()


def _rendered(
    batches: Iterable[list[Item]], render: Callable[[Sequence[Item]], Seen]
) -> tuple[list[Seen], tuple[list[Item], str] | None]:
    """Returns the results, and the first batch that does not fit into memory with the reason, or None."""
    found: list[Seen] = []
    for batch in batches:
        message = memory.out_of_memory(lambda some: found.append(render(some)), batch)
        if message is not None:
            return found, (batch, message)
    return found, None
