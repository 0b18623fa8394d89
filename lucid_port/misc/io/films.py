"""Films: sequences of pictures as GIF, WebP or MP4."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from converters import checks
from converters.atomic import check_writable, write_bytes
from converters.errors import MissingPackageError
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.misc.io.serialize_array import as_picture, normalize_array

__all__ = ["FILMS", "check_film_path", "even_frames", "save_film"]

FILMS = (".gif", ".webp", ".mp4")
"""File extensions of films. A WebP may also be a single picture."""

RATE = 12
"""Frames in a second."""

HOLD = 12
"""Number of frames for which the last one stays."""

SAMPLED = 48_000
"""Maximum number of values of a picture that its distances to others are computed from."""


@checked
def check_film_path(path: str | os.PathLike[str]) -> None:
    """Checks that a film can be saved under a path. Call it before a long computation.

    Raises:
        ValueError: The extension is not that of a film.
        converters.MissingPackageError: The package for MP4 files is missing.
        OSError: The path cannot be written.
    """
    path = user_path(path)
    suffix = path.suffix.lower()
    if suffix not in FILMS:
        raise ValueError(f"{path} is no film's name: films end in {', '.join(FILMS)}.")
    if suffix == ".mp4":
        _ffmpeg()
    check_writable(path)


@checked
def even_frames(pictures: Sequence[np.ndarray], count: int) -> list[int]:
    """Chooses pictures of a sequence so that successive ones differ equally.

    An optimized picture changes fast at first, and hardly at the end. The difference is the root mean square over
    pixels, from at most 48,000 of them.

    Args:
        pictures: Arrays of one shape.
        count: Number of pictures to choose, at least 2.

    Returns:
        Indices in ascending order, with the first and the last picture; all of them if there are not more than `count`.

    Example:
        >>> even_frames([np.full(3, value) for value in (0.0, 0.5, 0.9, 0.98, 1.0)], 3)
        [0, 1, 4]
    """
    count = checks.whole(count, "The number of frames", 2)
    if len({np.shape(picture) for picture in pictures}) > 1:
        raise ValueError("The pictures of a film have one shape.")
    if len(pictures) <= count:
        return list(range(len(pictures)))
    distances = _distances(pictures)
    low, high = 0.0, float(distances.max())
    for _ in range(50):
        step = (low + high) / 2
        low, high = (step, high) if len(_walk(distances, step)) >= count else (low, step)
    chosen = _walk(distances, low)[:count]
    missing = [number for number in range(len(pictures)) if number not in chosen]
    chosen = sorted([*chosen, *missing[: count - len(chosen)]])
    chosen[-1] = len(pictures) - 1
    return _evened(distances, chosen)


def _distances(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the root mean square difference of each pair of pictures."""
    flat = [np.asarray(picture).reshape(-1) for picture in pictures]
    every = -(-flat[0].size // SAMPLED)
    # An odd stride takes all channels in turn.
    rows = np.stack([one[:: every + (every > 1 and every % 3 == 0)] for one in flat]).astype(np.float32)
    rows -= rows.mean(0)
    squares = np.einsum("ij,ij->i", rows, rows)
    products = squares[:, None] + squares[None] - 2 * rows @ rows.T
    return np.sqrt(products.clip(0) / rows.shape[1])


def _walk(distances: np.ndarray, step: float) -> list[int]:
    """Returns the indices of a walk from the first picture whose steps have at least a length."""
    found = [0]
    while True:
        far = np.flatnonzero(distances[found[-1], found[-1] + 1 :] >= step)
        if not far.size:
            return found
        found.append(found[-1] + 1 + int(far[0]))


def _evened(distances: np.ndarray, chosen: list[int]) -> list[int]:
    """Moves each inner picture to where it differs most equally from its neighbors, until none moves."""
    for _ in range(100):
        before = list(chosen)
        for at in range(1, len(chosen) - 1):
            first, last = chosen[at - 1], chosen[at + 1]
            if last - first > 1:
                between = np.arange(first + 1, last)
                uneven = np.abs(distances[first, between] - distances[between, last])
                chosen[at] = int(between[uneven.argmin()])
        if chosen == before:
            break
    return chosen


@checked
def save_film(frames: Sequence[np.ndarray], path: str | os.PathLike[str], rate: float = RATE) -> Path:
    """Saves pictures as a film that repeats; the last picture stays for a second.

    Args:
        frames: Pictures of one size, [H, W, 3] or [H, W, 1] in [0, 1].
        path: File name that ends in .gif, .webp or .mp4. MP4 needs the package imageio-ffmpeg.
        rate: Frames in a second.

    Returns:
        The path.

    Raises:
        ValueError: There are no pictures, they have different sizes, or the extension is not that of a film.
        converters.MissingPackageError: The package for MP4 files is missing.

    Example:
        >>> import tempfile
        >>> frames = [np.full((8, 6, 3), value) for value in (0.0, 0.5, 1.0)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.open(save_film(frames, f"{folder}/film.webp")).n_frames
        3
    """
    path = user_path(path)
    check_film_path(path)
    rate = checks.number(rate, "rate", 1e-3)
    pictures = [as_picture(frame) for frame in checks.items(frames, "frames", "a list of pictures")]
    if len({picture.shape for picture in pictures}) != 1 or not pictures[0].size:
        raise ValueError("A film is made of pictures of one size, at least one.")
    images = [Image.fromarray(normalize_array(picture, (0, 1))).convert("RGB") for picture in pictures]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, _mp4(images, rate) if path.suffix.lower() == ".mp4" else _animation(images, path, rate))
    return path


def _animation(images: Sequence[Image.Image], path: Path, rate: float) -> bytes:
    durations = [round(1000 / rate)] * (len(images) - 1) + [round(1000 * HOLD / rate)]
    buffer = io.BytesIO()
    kind = path.suffix[1:].upper()
    options = {"quality": 90, "method": 4} if kind == "WEBP" else {"optimize": False, "disposal": 1}
    images[0].save(buffer, kind, save_all=True, append_images=list(images[1:]), duration=durations, loop=0, **options)
    return buffer.getvalue()


def _ffmpeg() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise MissingPackageError(
            "An MP4 film needs the package imageio-ffmpeg: pip install imageio-ffmpeg, or name a .gif or .webp file."
        ) from None
    return imageio_ffmpeg


def _mp4(images: Sequence[Image.Image], rate: float) -> bytes:
    # The format has even sizes only: the last row and column are repeated.
    width, height = (side + side % 2 for side in images[0].size)
    padding = ((0, height - images[0].height), (0, width - images[0].width), (0, 0))
    pixels = [np.pad(np.asarray(image), padding, "edge") for image in images]
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "film.mp4")
        options = ["-crf", "18", "-preset", "slow", "-threads", "1"]
        writer = _ffmpeg().write_frames(
            file, (width, height), fps=rate, codec="libx264", macro_block_size=1, output_params=options, quality=None
        )
        writer.send(None)
        for one in [*pixels, *[pixels[-1]] * (HOLD - 1)]:
            writer.send(np.ascontiguousarray(one))
        writer.close()
        return Path(file).read_bytes()
