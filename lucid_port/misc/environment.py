"""Facts about the machine and the interpreter."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

__all__ = ["is_notebook_environment", "processor"]


def is_notebook_environment() -> bool:
    """Returns whether the code runs in a notebook (Jupyter or Colab) that can show pictures."""
    if "IPython" not in sys.modules:  # a notebook has imported it; importing it is slow
        return False
    from IPython import get_ipython

    # The shells of Colab and other notebooks derive from Jupyter's.
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(get_ipython()).__mro__)


def processor() -> str:
    """Returns the name of the processor, or of its architecture if the system does not report the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
