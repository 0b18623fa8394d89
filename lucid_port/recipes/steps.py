"""Running a render's steps for a recipe."""

from __future__ import annotations

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis.progress import ProgressBar
from lucid_port.optvis.render import VisT

__all__ = ["run"]


def run(vis: VisT, steps: int, verbose: bool = False) -> np.ndarray:
    """Makes a number of updates.

    Args:
        vis: the render.
        steps: how many.
        verbose: show progress where standard error is a terminal.

    Returns:
        The objective's values before each update, [steps, ...], float32.

    Raises:
        KeyboardInterrupt: it was interrupted.
        ValueError: `steps` is below 1.
    """
    steps = checks.whole(steps, "steps", 1)
    bar = ProgressBar(steps) if verbose else None
    values = []
    try:
        for _ in range(steps):
            values.append(vis.step())
            if bar is not None:
                bar(vis)
    finally:
        if bar is not None:
            bar.close()
    vis.watch.check()
    return torch.stack(values).float().cpu().numpy()
