"""Show pictures in a notebook."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.misc.io.collapse_channels import collapse_channels
from lucid_port.misc.io.serialize_array import Domain, serialize_array, to_array

__all__ = ["image", "image_url", "images", "show"]


def image_url(array: Any, fmt: str = "png", quality: int = 90, domain: Domain | None = None) -> str:
    """A picture as a `data:` address; other numbers of channels become colours."""
    values = np.asarray(to_array(array))
    if values.ndim == 3 and values.shape[-1] not in (1, 3, 4):
        values = collapse_channels(values)
    encoded = base64.b64encode(serialize_array(values, domain, fmt, quality)).decode("ascii")
    return f"data:image/{fmt.lower()};base64,{encoded}"


def _image_html(array: Any, w: int | None, domain: Domain | None, fmt: str = "png") -> str:
    style = "image-rendering: pixelated; image-rendering: crisp-edges;"
    if w is not None:
        style += f" width: {checks.number(w, 'w, the width,', above=0)}px;"
    return f'<img src="{image_url(array, fmt, domain=domain)}" style="{style}">'


def _display(markup: str) -> None:
    try:
        from IPython.display import HTML, display
    except ImportError:
        print("Pictures are shown in notebooks only: install IPython, or use lucid_port.misc.io.save.")
        return
    display(HTML(markup))


def image(array: Any, domain: Domain | None = None, w: int | None = None, format: str = "png") -> None:
    """Show one picture ([H, W], [H, W, C]); by default with its contrast stretched."""
    _display(_image_html(array, w, domain, format))


def images(
    arrays: Sequence[Any],
    labels: Sequence[Any] | None = None,
    domain: Domain | None = None,
    w: int | None = None,
) -> None:
    """Show pictures in a row, with labels (their numbers by default)."""
    names = list(range(len(arrays)) if labels is None else labels)
    if len(names) != len(arrays):
        raise ValueError(f"{len(arrays)} pictures have {len(names)} labels: give one for each.")
    cells = "".join(
        f'<div style="margin-right: 10px; margin-top: 4px;">{html.escape(str(name))}<br>'
        f"{_image_html(array, w, domain)}</div>"
        for array, name in zip(arrays, names, strict=True)
    )
    _display(f'<div style="display: flex; flex-direction: row; flex-wrap: wrap;">{cells}</div>')


def show(thing: Any, domain: Domain | None = (0, 1), **kwargs: Any) -> None:
    """Show a picture, a batch or a list of pictures; anything else as text.

    Args:
        thing: array or tensor [H, W], [H, W, C] or [N, H, W, C], or a list of the former.
        domain: range of values; None stretches the contrast.
        **kwargs: `w` for the width, `labels` for several pictures.
    """
    if isinstance(thing, (np.ndarray, torch.Tensor)):
        if thing.ndim == 4:
            images(list(thing), domain=domain, **kwargs)
        elif thing.ndim in (2, 3):
            image(thing, domain=domain, **kwargs)
        else:
            print(repr(thing))
    elif isinstance(thing, (list, tuple)):
        images(thing, domain=domain, **kwargs)
    else:
        print(repr(thing))
