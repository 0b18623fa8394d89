"""How far a long piece of work has come."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told what is done now, and how much of that is done."""

    def __call__(self, what: str, done: float | None) -> None:
        """Notes the state of things.

        Args:
            what: what is done now, such as "writing weights".
            done: from 0 to 1; None where it cannot be said.
        """
        ...


def silent(what: str, done: float | None) -> None:
    """Tells nobody."""
