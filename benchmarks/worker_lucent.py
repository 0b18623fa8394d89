"""Worker that renders with Lucent 0.1.8.

Calls Lucent's own `render_vis` once, with its default settings but without the progress bar. The optimizer is Lucent's
default, torch's Adam with rate 0.05, in a subclass that counts steps and so divides the render into turns. `render_vis`
is not called again for each turn, because each call leaves its hooks on the model.

The network is Lucent's own InceptionV1. Its trained weights are not available everywhere, so it gets the weights of the
graph file that all contestants share. Lucent's network has no concatenation before the ReLUs, so the unit is in
`mixed4a`. Several units are rendered as one batch with one image per unit; the objective is the sum of the units'
objectives.

If torch finds a GPU, Lucent puts images and transforms on it, so the worker moves the network to it, too.
"""

from __future__ import annotations

import platform
import random
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torchvision_on_cpu  # noqa: F401

# isort: split
import numpy as np
import torch
from lucent.modelzoo import inceptionv1
from lucent.optvis import objectives, param, render
from pace import Pace, job


class Paced(torch.optim.Adam):
    """Adam that counts its steps."""

    def __init__(self, parameters: Any, pace: Pace, **options: Any) -> None:
        super().__init__(parameters, **options)
        self._pace = pace

    def step(self, closure: Callable[[], torch.Tensor]) -> Any:  # type: ignore[override]
        """Makes one update, and ends the turn after its last update. The closure returns minus the objective."""
        loss: Any = super().step(closure)
        self._pace.step_done(-loss.detach())
        return loss


def load_weights(model: torch.nn.Module, path: str) -> None:
    """Loads the graph's weights: `conv2d0_w` of the graph is `conv2d0_pre_relu_conv.weight` of the model."""
    state = {}
    with np.load(path) as weights:
        for key in model.state_dict():
            layer, kind = key.replace("_pre_relu_conv", "").replace("_pre_activation_matmul", "").split(".")
            array = weights[layer + {"weight": "_w", "bias": "_b"}[kind]]
            if array.ndim == 4:
                array = array.transpose(3, 2, 0, 1)
            state[key] = torch.from_numpy(np.ascontiguousarray(array.T if array.ndim == 2 else array))
    model.load_state_dict(state)


def main(task: dict[str, Any]) -> None:
    """Makes steps until the driver closes the pipe."""
    cuda = torch.cuda.is_available()
    pace = Pace(task, torch.cuda.synchronize if cuda else lambda: None)
    if task["threads"]:
        torch.set_num_threads(task["threads"])
    random.seed(task["seed"])
    np.random.seed(task["seed"])  # noqa: NPY002  # Lucent draws from this state
    torch.manual_seed(task["seed"])
    model = inceptionv1(pretrained=False).eval()
    load_weights(model, task["weights"])
    model = model.to("cuda:0" if cuda else "cpu")
    layer, units = task["layer"].replace("_pre_relu", ""), task["units"]
    objective = objectives.channel(layer, units[0])
    if len(units) > 1:
        each = [objectives.channel(layer, unit, batch=image) for image, unit in enumerate(units)]
        objective = objectives.Objective.sum(each)
    versions = {
        "python": platform.python_version(),
        "torch threads": str(torch.get_num_threads()),
        "numpy": np.__version__,
    }
    versions.update({name: version(name) for name in ("torch", "torchvision", "kornia", "torch-lucent")})
    pace.ready(versions)
    render.render_vis(
        model,
        objective,
        param_f=lambda: param.image(task["size"], batch=len(units)),
        optimizer=lambda parameters: Paced(parameters, pace, lr=0.05),
        thresholds=(sys.maxsize,),
        progress=False,
        show_image=False,
        fixed_image_size=task["fixed_image_size"],
    )


if __name__ == "__main__":
    main(job())
