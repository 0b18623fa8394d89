"""Worker that renders with this project."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import port
import torch
from pace import Pace, job


def main(task: dict[str, Any]) -> None:
    """Makes steps until the driver closes the pipe."""
    pace = Pace(task)
    if task["threads"]:
        torch.set_num_threads(task["threads"])
    model = port.load(task["graph"])
    layer, units, size, seed = task["layer"], task["units"], task["size"], task["seed"]
    override = task["relu_gradient_override"]
    if len(units) == 1:
        step = port.one_objective(model, layer, units[0], size, seed=seed, override=override).step
    else:
        step = port.many_units(model, layer, units, size, seed, override)
    versions = {name: version(name) for name in ("lucid_port", "torch", "numpy")}
    pace.ready({"python": platform.python_version(), "torch threads": str(torch.get_num_threads()), **versions})
    while True:
        pace.step_done(step())


if __name__ == "__main__":
    main(job())
