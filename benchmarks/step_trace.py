"""Which files and functions of this project one steady step of `render_vis` runs; `structure.py` starts it.

`python benchmarks/step_trace.py TREE`, with TREE in PYTHONPATH, prints one JSON object: sorted lists of `files` and
`functions` (`path:line name`) below `converters` and `lucid_port` of that tree.

The render is `mixed4a:12` of TinyInceptionV1 with the default settings. A profiler (`sys.setprofile`) is switched on
after update 25 of the optimizer and off after update 26, so it records one iteration of the render's loop. A function
counts if it is called or makes a call in this iteration, in the render's thread. A comprehension counts as part of its
function, as Python 3.12 and later compile it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

PACKAGES = ("converters", "lucid_port")
UNIT = "mixed4a:12"
STEADY = 25  # updates before the recorded one; gradients of ReLUs are redirected in the first 17
COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


class StepProfile:
    """Collects the code of one update; call `updated` after each update.

    Args:
        tree: root of the project whose code counts.
    """

    def __init__(self, tree: Path) -> None:
        self._roots = tuple(f"{tree / package}/" for package in PACKAGES)
        self._updates = 0
        self.codes: set[CodeType] = set()

    def updated(self, *_: Any) -> None:
        self._updates += 1
        if self._updates == STEADY:
            sys.setprofile(self._event)
        elif self._updates == STEADY + 1:
            sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        caller = frame.f_back if event == "call" else None
        for one in (frame, caller):
            if one is not None and one.f_code.co_filename.startswith(self._roots):
                self.codes.add(one.f_code)


def check_origin(tree: Path) -> None:
    """Checks that lucid_port is imported from the tree, not from an installation."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parent.parent != tree:
            raise SystemExit(f"{package} is not imported from {tree}. Does that tree have it, and is it in PYTHONPATH?")


def main() -> None:
    tree = Path(sys.argv[1]).resolve()
    check_origin(tree)
    from lucid_port.modelzoo import vision_models
    from lucid_port.optvis import render

    torch.set_num_threads(1)
    profile = StepProfile(tree)
    register_optimizer_step_post_hook(profile.updated)
    render.render_vis(vision_models.TinyInceptionV1(), UNIT, thresholds=(STEADY + 1,), verbose=False)
    codes = [code for code in profile.codes if code.co_name not in COMPREHENSIONS]
    places = {code: Path(code.co_filename).relative_to(tree).as_posix() for code in codes}
    functions = [f"{places[code]}:{code.co_firstlineno} {code.co_name}" for code in codes]
    print(json.dumps({"files": sorted(set(places.values())), "functions": sorted(functions)}))


if __name__ == "__main__":
    main()
