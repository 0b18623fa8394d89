"""Where the code runs."""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["is_notebook_environment", "processor"]


def is_notebook_environment() -> bool:
    """Whether this is a notebook (Jupyter or Colab) that can show pictures."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    kinds = [kind.__name__ for kind in type(get_ipython()).__mro__]
    return "ZMQInteractiveShell" in kinds  # Colab's and others' are made from it


def processor() -> str:
    """The processor's name; a word for its kind where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
