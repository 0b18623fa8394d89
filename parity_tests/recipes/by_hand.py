"""Renders made by hand, as a notebook would, to compare recipes with."""

from __future__ import annotations

import numpy as np
import torch

from lucid_port.optvis import render


def by_hand(model, objective, image, steps, **options):
    """Picture and objective values of a render that is stepped one by one."""
    vis = render.make_vis_T(model, objective, image, **options)
    losses = np.stack([vis.step().numpy() for _ in range(steps)])
    return vis.image(), losses


def values(model, layer, pictures):
    """A layer's activation for pictures [N, H, W, 3], [N, C, h, w]."""
    batch = torch.from_numpy(np.ascontiguousarray(pictures[..., :3].transpose(0, 3, 1, 2)))
    with torch.no_grad():
        return model.activations(batch, [layer])[layer]


def likeness(frames):
    """How alike pictures are: the mean correlation of all pairs, colours' means apart."""
    flat = (frames - frames.mean((-3, -2), keepdims=True)).reshape(len(frames), -1)
    return float(np.corrcoef(flat)[~np.eye(len(flat), dtype=bool)].mean())
