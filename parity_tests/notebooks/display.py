"""Records the output that a notebook would get, without a notebook."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field
from typing import Any

import IPython.display
import numpy as np
import pytest
from PIL import Image

from lucid_port.misc.io import showing
from lucid_port.optvis import notebook, render_many


@dataclass
class Screen:
    """The recorded output.

    Attributes:
        shown: HTML and text of each new output, and of each change of one.
        changed: the handle's number for each change.
    """

    shown: list[dict[str, str]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    places: int = 0

    def display(self, data: dict[str, str], raw: bool = False, display_id: bool = False) -> Any:
        assert raw
        self.shown.append(data)
        self.places += 1
        return _Handle(self, self.places) if display_id else None

    @property
    def html(self) -> str:
        return self.shown[-1]["text/html"]

    def pictures(self) -> list[np.ndarray]:
        return pictures_in(self.html)


@dataclass
class _Handle:
    screen: Screen
    number: int

    def update(self, data: dict[str, str], raw: bool = False) -> None:
        assert raw
        self.screen.shown.append(data)
        self.screen.changed.append(self.number)


def pictures_in(html: str) -> list[np.ndarray]:
    """The pictures that HTML holds, decoded."""
    found = re.findall(r'src="data:image/\w+;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def open_notebook(patch: pytest.MonkeyPatch) -> Screen:
    """Has everything that is displayed sent to a screen, as if this were a notebook."""
    screen = Screen()
    patch.setattr(IPython.display, "display", screen.display)
    for module in (showing, notebook, render_many):
        patch.setattr(module, "is_notebook_environment", lambda: True)
    return screen
