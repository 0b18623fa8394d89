"""Shows images in notebooks. Elsewhere, prints a line about them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image

from converters import checks
from converters.signatures import checked
from lucid_port.misc.environment import is_notebook_environment
from lucid_port.misc.gl.mesh import check_mesh
from lucid_port.misc.gl.viewer import mesh_page
from lucid_port.misc.io.collapse_channels import collapse_channels
from lucid_port.misc.io.serialize_array import Domain, normalize_array, serialize_array, to_array
from lucid_port.misc.templates import data_url, render
from lucid_port.misc.tensors import ArrayLike

__all__ = ["image", "image_html", "image_url", "images", "images_html", "show", "textured_mesh"]

Layout: TypeAlias = Literal["NHWC", "NCHW"]
Picture: TypeAlias = ArrayLike | Image.Image

COLOURS = (1, 3, 4)
"""Numbers of channels of gray, RGB and RGBA images. Other numbers are shown with one hue per channel."""

MARK = (255, 0, 255)
"""Color of NaN pixels."""


# From values to bytes --------------------------------------------------------------------------


def _array(thing: Picture) -> np.ndarray:
    """Converts an image to an array. Masks become 0.0 and 1.0; Pillow images with a palette become RGB or RGBA."""
    if isinstance(thing, Image.Image):
        plain = thing.mode in ("L", "RGB", "RGBA", "F", "I", "I;16")
        values = np.asarray(thing if plain else thing.convert("RGBA" if thing.has_transparency_data else "RGB"))
    else:
        values = to_array(thing)
    return values.astype(np.float32) if values.dtype == bool else values


def _visible(thing: Picture, domain: Domain | None) -> tuple[np.ndarray, int]:
    """Converts an image to uint8, with NaN pixels in the color `MARK`, and counts the NaN pixels.

    Args:
        thing: [H, W] or [H, W, C].
        domain: range of the values; None means the range of the image. For uint8 images, (0, 1) means (0, 255).
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
    """Returns the range of the finite values of a float image; None if all are finite, or for other images."""
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


def _channels_last(thing: Picture, layout: Layout | None) -> np.ndarray:
    """Converts an image or a batch to channels last.

    Without `layout`, arrays are taken to be channels last. Tensors are channels first if only their first axis has the
    size of a channel axis (1, 3 or 4).

    Raises:
        ValueError: the layout is unknown, or cannot be inferred.
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


def image_url(array: Picture, fmt: str = "png", quality: int = 90, domain: Domain | None = None) -> str:
    """Encodes an image as a `data:` URL; see `image_html`."""
    return _url(_visible(array, domain)[0], fmt, quality)


def _url(picture: np.ndarray, fmt: str, quality: int = 90) -> str:
    return data_url(serialize_array(picture, (0, 255), fmt, quality), fmt.lower())


def image_html(array: Picture, w: float | None = None, domain: Domain | None = None, fmt: str = "png") -> str:
    """Encodes an image as HTML.

    Args:
        array: [H, W] or [H, W, C]. Numbers of channels other than 1, 3 and 4 are shown with one hue per channel. NaN
            pixels are magenta.
        w: width on the screen in pixels; None means the width of the image.
        domain: range of the values; None means the range of the image, which stretches the contrast.
        fmt: png, jpg or webp.

    Raises:
        TypeError, ValueError: an argument is invalid.
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
    arrays: Sequence[Picture],
    labels: Sequence[object],
    w: float | None = None,
    domain: Domain | None = None,
    fmt: str = "png",
) -> str:
    """Encodes images with labels as HTML, in rows; see `image_html`."""
    return cells_html([image_html(array, w, domain, fmt) for array in arrays], labels)


def cells_html(cells: Sequence[str], labels: Sequence[object], more: int = 0) -> str:
    """Arranges cells of HTML in rows, each under its label, and says how many more there are."""
    return render("cells.html", cells=list(zip(cells, map(str, labels), strict=True)), more=more)


# Showing ---------------------------------------------------------------------------------------


def image(array: Picture, domain: Domain | None = None, w: float | None = None, format: str = "png") -> None:
    """Shows one image, [H, W] or [H, W, C]; see `image_html`."""
    display_markup(image_html(array, w, domain, format), _description([array]))


def images(
    arrays: Sequence[Picture],
    labels: Sequence[object] | None = None,
    domain: Domain | None = None,
    w: float | None = None,
    format: str = "png",
) -> None:
    """Shows images in rows with labels (their indices by default); see `image_html`."""
    names = list(range(len(arrays))) if labels is None else checks.items(labels, "labels", "a list of texts")
    if len(names) != len(arrays):
        raise ValueError(f"{len(arrays)} pictures have {len(names)} labels: give one for each.")
    display_markup(images_html(arrays, names, w, domain, format), _description(arrays))


@checked
def show(
    thing: Any,
    domain: Domain | None = (0, 1),
    *,
    w: float | None = None,
    labels: Sequence[object] | None = None,
    layout: Layout | None = None,
    format: str = "png",
) -> None:
    """Shows an image, a batch, or a list or dict of these. Prints other objects as text.

    In a notebook, images appear below the cell. Elsewhere, a line with their number and size is printed. Numbers of
    channels other than 1, 3 and 4 are shown with one hue per channel. NaN pixels are magenta.

    Args:
        thing: an array, tensor or Pillow image, [H, W], [H, W, C] or [N, H, W, C]; a list of these, or a dict from
            labels to these. Tensors with 1, 3 or 4 channels may also be [C, H, W] or [N, C, H, W]. Results of
            `render_many` and of recipes show their `pictures` with their `names`.
        domain: range of the values; None means the range of each image, which stretches the contrast. For uint8
            images, (0, 1) means (0, 255).
        w: width of each image on the screen in pixels; None means the width of the image, for a single small image a
            multiple of it.
        labels: a label for each image; the default is names, dict keys or indices.
        layout: "NHWC" or "NCHW" for arrays and tensors whose layout is not as above.
        format: encoding of the images: png, jpg or webp.

    Raises:
        TypeError, ValueError: an argument is invalid, or the layout of a tensor is ambiguous.

    Example:
        >>> show(np.zeros((2, 4, 6, 3)))
        2 pictures of 6 x 4 pixels. Pictures are shown in notebooks; lucid_port.misc.io.save writes them to files.
    """
    pictures = getattr(thing, "pictures", None)
    if isinstance(pictures, (list, tuple, np.ndarray)):
        thing, labels = pictures, getattr(thing, "names", None) if labels is None else labels
    found = _pictures(thing, layout)
    if found is None:
        print(thing if isinstance(thing, str) else _text_of(thing))
    elif labels is None and isinstance(thing, (np.ndarray, torch.Tensor, Image.Image)) and found[0][0] is None:
        picture = found[0][1]
        image(picture, domain, _visible_width(picture.shape[1]) if w is None else w, format)
    else:
        names = [label for label, _ in found] if labels is None else labels
        images([picture for _, picture in found], names, domain, w, format)


def _text_of(thing: object) -> str:
    try:
        return repr(thing)
    except RecursionError as error:
        raise ValueError("The list nests too deeply to be printed.") from error


VISIBLE = 200
"""Least width of a single picture on the screen in pixels; smaller ones are enlarged by a whole factor."""


def _visible_width(width: int) -> int | None:
    return None if width >= VISIBLE else width * -(-VISIBLE // width)


def _pictures(thing: Any, layout: Layout | None) -> list[tuple[Any, np.ndarray]] | None:
    """Returns (label, image with channels last) for all images of an object; None if it is not made of images.

    The label of a single image is None.
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


def _is_picture(thing: object) -> bool:
    if isinstance(thing, Image.Image):
        return True
    if not isinstance(thing, (np.ndarray, torch.Tensor)) or not 2 <= thing.ndim <= 4 or 0 in thing.shape:
        return False
    return not thing.is_complex() if isinstance(thing, torch.Tensor) else thing.dtype.kind in "biuf"


def _description(arrays: Sequence[Picture]) -> str:
    """Describes number and sizes of images."""
    shapes = sorted({_array(array).shape for array in arrays})
    sizes = " and ".join(f"{shape[1]} x {shape[0]}" for shape in shapes[:3] if len(shape) > 1)
    sizes = "several sizes" if len(shapes) > 3 else f"{sizes} pixels"
    return f"1 picture of {sizes}" if len(arrays) == 1 else f"{len(arrays)} pictures of {sizes}"


@checked
def textured_mesh(
    mesh: Mapping[str, np.ndarray], texture: ArrayLike, background: str = "0xffffff", *, height: int = 600
) -> None:
    """Shows a mesh with a texture in a notebook, which the mouse turns. Elsewhere, prints a line.

    Args:
        mesh: the arrays `position`, `uv` and `face`; see `lucid_port.misc.gl.meshutil`.
        texture: picture [H, W, 3] in [0, 1], or uint8.
        background: color, as "0xffffff".
        height: height on the screen in pixels.

    Raises:
        TypeError, ValueError: the mesh cannot be rendered with a texture, or another argument is invalid.
        converters.MissingPackageError: trimesh is not installed.

    Example:
        >>> from lucid_port.misc.gl.meshutil import torus
        >>> textured_mesh(torus(8, 6), np.zeros((4, 4, 3)))
        A mesh of 96 triangles. Meshes are shown in notebooks; lucid_port.misc.gl.meshutil.save_mesh writes files.
    """
    page = mesh_page(mesh, texture, background)
    pixels = checks.whole(height, "height", 1)
    triangles = check_mesh(mesh).triangles
    files = "Meshes are shown in notebooks; lucid_port.misc.gl.meshutil.save_mesh writes files"
    display_markup(render("mesh.html", page=page, height=pixels), f"A mesh of {len(triangles)} triangles", files)


PICTURE_FILES = "Pictures are shown in notebooks; lucid_port.misc.io.save writes them to files"


def display_markup(markup: str, text: str, files: str = PICTURE_FILES) -> None:
    if not is_notebook_environment():
        print(f"{text}. {files}.")
        return
    from IPython.display import display

    display({"text/html": markup, "text/plain": text}, raw=True)


def _display_html(html_str: str) -> None:
    """Shows HTML in a notebook, under Lucid's name; elsewhere, prints a line."""
    display_markup(html_str, "HTML")


_normalize_array = normalize_array
_image_html = image_html
