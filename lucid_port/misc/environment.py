"""Where the code runs."""

from __future__ import annotations

__all__ = ["is_notebook_environment"]


def is_notebook_environment() -> bool:
    """Whether this is a notebook (Jupyter or Colab) that can show pictures."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return type(shell).__name__ in ("ZMQInteractiveShell", "Shell")
