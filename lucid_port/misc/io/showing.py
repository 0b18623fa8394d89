"""Show pictures in a notebook; elsewhere, say what they are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from lucid_port.misc import checks
from lucid_port.misc.environment import is_notebook_environment
from lucid_port.misc.io.collapse_channels import collapse_channels
from lucid_port.misc.io.serialize_array import Domain, normalize_array, serialize_array, to_array
from lucid_port.misc.templates import data_url, render

__all__ = ["image", "image_html", "image_url", "images", "images_html", "show"]

Layout = Literal["NHWC", "NCHW"]

COLOURS = (1, 3, 4)
"""Numbers of channels that are grey, RGB and RGBA; others are shown as mixed hues."""

MARK = (255, 0, 255)
"""Colour of pixels that have no value."""


# From values to bytes --------------------------------------------------------------------------


def _array(thing: Any) -> np.ndarray:
    """An array; masks as black and white, Pillow's pictures as the colours that they stand for."""
    if isinstance(thing, Image.Image):
        plain = thing.mode in ("L", "RGB", "RGBA", "F", "I", "I;16")
        thing = thing if plain else thing.convert("RGBA" if thing.has_transparency_data else "RGB")
    values = to_array(thing)
    return values.astype(np.float32) if values.dtype == bool else values


def _visible(thing: Any, domain: Domain | None) -> tuple[np.ndarray, int]:
    """A picture as bytes, and how many of its pixels have no value (NaN); these are marked.

    Args:
        thing: [H, W] or [H, W, C].
        domain: range of values; None takes the picture's own. Bytes are 0 to 255 where it is (0, 1).
    """
    values = _array(thing)
    if values.dtype == np.uint8 and domain is not None and tuple(domain) == (0, 1):
        domain = (0, 255)
    many = values.ndim == 3 and values.shape[-1] not in COLOURS
    lost = np.zeros(values.shape[:2], bool)
    if values.dtype.kind == "f" and values.ndim in (2, 3):
        missing = ~np.isfinite(values) if many else np.isnan(values)
        lost = missing.any(-1) if values.ndim == 3 else missing
        values = np.where(missing, np.zeros_like(values), values)
    if many:
        values = collapse_channels(values)
    picture = normalize_array(values, _finite_range(values, lost) if domain is None else domain)
    return _marked(picture, lost), int(lost.sum())


def _finite_range(values: np.ndarray, lost: np.ndarray) -> Domain | None:
    """The range of what has a finite value; None where that is everything, or nothing."""
    if values.dtype.kind != "f" or values.ndim not in (2, 3):
        return None
    there = values[~lost]
    finite = there[np.isfinite(there)]
    if finite.size == values.size:
        return None
    return (float(finite.min()), float(finite.max())) if finite.size else (0, 1)


def _marked(picture: np.ndarray, lost: np.ndarray) -> np.ndarray:
    if not lost.any():
        return picture
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=-1)
    return np.where(lost[..., None], np.array([*MARK, 255][: picture.shape[-1]], np.uint8), picture)


def _channels_last(thing: Any, layout: Layout | None) -> np.ndarray:
    """One picture or a batch with its channels last.

    Tensors that have 1, 3 or 4 channels first, and not last, are turned; arrays are channels last unless it is said.

    Raises:
        ValueError: it has a wrong layout, or is a tensor of which nobody can tell.
    """
    values = _array(thing)
    if layout not in (None, "NHWC", "NCHW"):
        raise ValueError(f"layout is 'NHWC' (channels last) or 'NCHW' (channels first), not {checks.shown(layout)}.")
    if values.ndim < 3 or layout == "NHWC":
        return values
    if layout == "NCHW":
        return np.moveaxis(values, -3, -1)
    last, first = values.shape[-1] in COLOURS, values.shape[-3] in COLOURS
    if isinstance(thing, torch.Tensor) and not last:
        if first:
            return np.moveaxis(values, -3, -1)
        raise ValueError(
            f"A tensor of shape {tuple(values.shape)} may have its channels first or last: pass layout='NCHW' (as "
            "layers' activations are) or layout='NHWC'."
        )
    if not last and values.shape[-3] == 3 and min(values.shape[-2:]) > 4:
        warnings.warn(
            f"An array of shape {values.shape} is shown as {values.shape[-1]} channels: if its channels come first, "
            "pass layout='NCHW'.",
            stacklevel=3,
        )
    return values


# From bytes to HTML ----------------------------------------------------------------------------


def image_url(array: Any, fmt: str = "png", quality: int = 90, domain: Domain | None = None) -> str:
    """A picture as a `data:` address; other numbers of channels become colours, pixels that are NaN magenta."""
    return _url(_visible(array, domain)[0], fmt, quality)


def _url(picture: np.ndarray, fmt: str, quality: int = 90) -> str:
    return data_url(serialize_array(picture, (0, 255), fmt, quality), fmt.lower())


def image_html(array: Any, w: float | None = None, domain: Domain | None = None, fmt: str = "png") -> str:
    """A picture as HTML.

    Args:
        array: [H, W] or [H, W, C].
        w: width on the screen, in pixels; the picture's own by default.
        domain: range of values; None stretches the contrast.
        fmt: png, jpg or webp.

    Raises:
        TypeError, ValueError: an argument makes no sense.
    """
    picture, lost = _visible(array, domain)
    return render(
        "image.html",
        url=_url(picture, fmt),
        width=None if w is None else checks.number(w, "w, the width,", above=0),
        size=f"{picture.shape[1]} x {picture.shape[0]}",
        lost=_share(lost, picture) if lost else "",
    )


def _share(lost: int, picture: np.ndarray) -> str:
    share = lost / (picture.shape[0] * picture.shape[1])
    return "All" if share == 1 else f"{max(share, 0.001):.1%}"


def images_html(
    arrays: Sequence[Any],
    labels: Sequence[Any],
    w: float | None = None,
    domain: Domain | None = None,
    fmt: str = "png",
) -> str:
    """Pictures with a label each, as HTML that breaks into rows; arguments as for `image_html`."""
    return cells_html([image_html(array, w, domain, fmt) for array in arrays], labels)


def cells_html(cells: Sequence[str], labels: Sequence[Any]) -> str:
    """Cells of HTML, each under its label, in rows."""
    return render("cells.html", cells=list(zip(cells, map(str, labels), strict=True)))


# Showing ---------------------------------------------------------------------------------------


def image(array: Any, domain: Domain | None = None, w: float | None = None, format: str = "png") -> None:
    """Show one picture ([H, W], [H, W, C]); by default with its contrast stretched."""
    _display(image_html(array, w, domain, format), _said([array]))


def images(
    arrays: Sequence[Any],
    labels: Sequence[Any] | None = None,
    domain: Domain | None = None,
    w: float | None = None,
    format: str = "png",
) -> None:
    """Show pictures in a row, with labels (their numbers by default)."""
    names = list(range(len(arrays))) if labels is None else checks.items(labels, "labels", "a list of texts")
    if len(names) != len(arrays):
        raise ValueError(f"{len(arrays)} pictures have {len(names)} labels: give one for each.")
    _display(images_html(arrays, names, w, domain, format), _said(arrays))


def show(
    thing: Any,
    domain: Domain | None = (0, 1),
    *,
    w: float | None = None,
    labels: Sequence[Any] | None = None,
    layout: Layout | None = None,
    format: str = "png",
) -> None:
    """Show a picture, a batch, or a list or dict of them; anything else as text.

    In a notebook, pictures appear below the cell; elsewhere a line says how many there are and of which size. Numbers
    of channels other than 1, 3 and 4 become mixed hues, pixels that are NaN magenta. Bytes are 0 to 255.

    Args:
        thing: array, tensor or Pillow picture [H, W], [H, W, C] or [N, H, W, C], or a list of these, or a dict from
            labels to these. Of tensors, also [C, H, W] and [N, C, H, W] with 1, 3 or 4 channels. Of what `render_many`
            and recipes return, its `pictures` are shown with their `names`.
        domain: range of values; None stretches the contrast.
        w: width of each picture on the screen, in pixels; its own by default.
        labels: a text for each picture; by default their names, numbers, or a dict's keys.
        layout: "NHWC" or "NCHW", where it is not as above.
        format: png, jpg or webp: how pictures are encoded.

    Raises:
        TypeError, ValueError: an argument makes no sense, or a tensor's channels may be first or last.
    """
    pictures = getattr(thing, "pictures", None)
    if isinstance(pictures, (list, tuple, np.ndarray)):
        thing, labels = pictures, getattr(thing, "names", None) if labels is None else labels
    found = _pictures(thing, layout)
    if found is None:
        print(thing if isinstance(thing, str) else repr(thing))
    elif labels is None and isinstance(thing, (np.ndarray, torch.Tensor, Image.Image)) and found[0][0] is None:
        image(found[0][1], domain, w, format)
    else:
        names = [label for label, _ in found] if labels is None else labels
        images([picture for _, picture in found], names, domain, w, format)


def _pictures(thing: Any, layout: Layout | None) -> list[tuple[Any, np.ndarray]] | None:
    """Labels and pictures, with channels last, of what can be shown; None for anything else.

    A single picture's label is None.
    """
    if _is_picture(thing):
        values = _channels_last(thing, layout)
        return list(enumerate(values)) if values.ndim == 4 else [(None, values)]
    if isinstance(thing, Mapping):
        labels, things = list(thing), list(thing.values())
    elif isinstance(thing, (list, tuple)):
        labels, things = list(range(len(thing))), list(thing)
    else:
        return None
    if not things or not all(_is_picture(one) for one in things):
        return None
    found: list[tuple[Any, np.ndarray]] = []
    for label, one in zip(labels, things, strict=True):
        own = _pictures(one, layout) or []
        found += [(label if len(own) == 1 else f"{label}.{number}", picture) for number, (_, picture) in enumerate(own)]
    return found


def _is_picture(thing: Any) -> bool:
    if isinstance(thing, Image.Image):
        return True
    if not isinstance(thing, (np.ndarray, torch.Tensor)) or not 2 <= thing.ndim <= 4 or 0 in thing.shape:
        return False
    return not thing.is_complex() if isinstance(thing, torch.Tensor) else thing.dtype.kind in "biuf"


def _said(arrays: Sequence[Any]) -> str:
    """What is shown, in words."""
    shapes = sorted({_array(array).shape for array in arrays})
    sizes = " and ".join(f"{shape[1]} x {shape[0]}" for shape in shapes[:3] if len(shape) > 1)
    sizes = "several sizes" if len(shapes) > 3 else f"{sizes} pixels"
    return f"1 picture of {sizes}" if len(arrays) == 1 else f"{len(arrays)} pictures of {sizes}"


def _display(markup: str, text: str) -> None:
    if not is_notebook_environment():
        print(f"{text}. Pictures are shown in notebooks; lucid_port.misc.io.save writes them to files.")
        return
    from IPython.display import display

    display({"text/html": markup, "text/plain": text}, raw=True)
