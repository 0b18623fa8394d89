"""Progress reports of long conversions."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A function that the converters call to report progress."""

    def __call__(self, stage: str, done: float | None, /) -> None:
        """Reports progress.

        Args:
            stage: the current stage, such as "writing weights".
            done: the finished share of this stage, from 0 to 1; None if it is unknown.
        """
        ...


def silent(stage: str, done: float | None) -> None:
    """Ignores progress."""
