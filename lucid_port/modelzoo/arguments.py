"""Checks of the arguments that describe the images of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.catalogue import ValueRange


def check_flag(value: object, what: str) -> bool | None:
    """Checks that an argument is True, False or None.

    Raises:
        TypeError: it is another value.
    """
    if value is not None and not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} is True or False, not {checks.shown(value)}.")
    return None if value is None else bool(value)


def check_image_shape(shape: object) -> tuple[int | None, ...]:
    """Checks the shape of a network's images.

    Args:
        shape: (height, width, channels); None for sizes that are not known.

    Raises:
        TypeError: the shape is not a list of numbers.
        ValueError: it does not have three sizes, or a size is not a whole number from 1 on.

    Example:
        >>> check_image_shape([224, 224, 3])
        (224, 224, 3)
    """
    wanted = "(height, width, channels)"
    given = checks.items(shape, "image_shape", wanted)
    if len(given) != 3:
        raise ValueError(f"image_shape is {wanted}, not {checks.shown(shape)}.")
    sizes = tuple(None if size is None else checks.whole(size, "Every size of image_shape", 1) for size in given)
    checks.fits([1 if size is None else size for size in sizes], "image_shape")
    first, *rest = sizes
    if first in _CHANNELS and all(size is not None and size > max(_CHANNELS) for size in rest):
        raise ValueError(
            f"image_shape is {wanted}, not {checks.shown(shape)}: give {(*rest, first)}, with the channels last."
        )
    return sizes


_CHANNELS = (1, 3, 4)
"""Usual numbers of image channels."""


@checked
def check_labels(labels: object) -> list[str]:
    """Returns labels as a list.

    Raises:
        TypeError: it is no list of texts.
    """
    wanted = "a list of the classes' names"
    return [checks.text(label, "Each label", "a text") for label in checks.items(labels, "labels", wanted)]


@checked
def check_value_range(value_range: ValueRange, channels: int | None) -> ValueRange:
    """Checks a value range.

    Args:
        value_range: (lo, hi), the values for black and white: numbers, or one number per channel.
        channels: number of image channels; None if it is unknown.

    Returns:
        (lo, hi), as given.

    Raises:
        TypeError: the range contains values that are not numbers.
        ValueError: the range does not have two ends, an end does not match the channels, or both ends are equal.

    Example:
        >>> check_value_range((0, 255), 3)
        (0, 255)
    """
    ends = checks.items(value_range, "image_value_range", "(lo, hi), the network's values for black and white")
    if len(ends) != 2:
        raise ValueError(f"image_value_range is (lo, hi), two numbers or two rows, not {checks.shown(value_range)}.")
    for end in ends:
        checks.finite_values(end, "image_value_range")
        if np.ndim(end) > 1 or (channels is not None and np.size(end) not in (1, channels)):
            raise ValueError(
                f"The values for black and white are one number each, or {channels} as image_shape has {channels} "
                f"channels, not {checks.shown(end)}."
            )
    if np.any(np.equal(*ends)):
        raise ValueError(f"Black and white have the same value in image_value_range, {checks.shown(value_range)}.")
    return ends[0], ends[1]


OPENING = (
    "input_name",
    "image_shape",
    "constants",
    "outputs",
    "layout",
    "layouts",
    "signature",
    "tags",
    "fold",
    "geometry",
)
"""Options of a model that recipes store. The others name files and programs, which a recipe must not choose."""


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those options of `OPENING` that are set, as plain data for a recipe; large arrays are left out.

    Example:
        >>> plain_options({"input_name": "x", "constants": {"train": np.False_}, "layout": None, "keep_pb": "a.pb"})
        {'input_name': 'x', 'constants': {'train': False}}
    """
    given = {name: options[name] for name in OPENING if options.get(name) is not None}
    if "constants" in given:
        arrays = {name: np.asarray(value) for name, value in given["constants"].items()}
        given["constants"] = {name: value.tolist() for name, value in arrays.items() if value.size <= LARGEST_CONSTANT}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


LARGEST_CONSTANT = 1000
"""Number of elements above which a recipe does not store a constant."""
