"""Recorded activations of a model's layers, and linear maps between layers computed from them.

Lucid's authors sampled 100,000 positions of ImageNet images, the same positions for every layer of a model: row i of
one layer corresponds to row i of any other. The files were at gs://modelzoo/aligned-activations/, which is reported to
be offline. This module reads them from the folders of LUCID_PORT_MODELZOO and from the cache, under the same names.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from converters.signatures import checked
from lucid_port.misc.io.loading import load
from lucid_port.misc.io.sanitizing import sanitize
from lucid_port.modelzoo import files

__all__ = [
    "NUMBER_OF_AVAILABLE_SAMPLES",
    "PAGE_SIZE",
    "PATH_TEMPLATE",
    "get_aligned_activations",
    "layer_covariance",
    "layer_inverse_covariance",
    "push_activations",
]

PATH_TEMPLATE = "aligned-activations/{}/{}-{:05d}-of-01000.npy"
PAGE_SIZE = 10000
NUMBER_OF_AVAILABLE_SAMPLES = 100000
NUMBER_OF_PAGES = NUMBER_OF_AVAILABLE_SAMPLES // PAGE_SIZE


class Layer(Protocol):
    """The part of `lucid_port.modelzoo.layer.Layer` that this module reads."""

    @property
    def name(self) -> str: ...

    @property
    def depth(self) -> int: ...

    @property
    def model_name(self) -> str: ...

    @property
    def activations(self) -> np.ndarray: ...

    def __hash__(self) -> int: ...


@checked
@functools.lru_cache(maxsize=128)
def get_aligned_activations(layer: Layer) -> np.ndarray:
    """Reads the recorded activations of a layer.

    Args:
        layer: one of a model's `layers`.

    Returns:
        (100000, depth), read-only: the pages, concatenated. Rows correspond between all layers of a model.

    Raises:
        FileNotFoundError: a page is not on this machine.
        ValueError: a page has another shape, or values that are not finite.

    Example, with the pages in a folder of LUCID_PORT_MODELZOO::

        layer = vision_models.InceptionV1().get_layer("mixed4a")
        get_aligned_activations(layer).shape  # (100000, 508)
    """
    activations = np.concatenate([_read_page(layer, path) for path in _pages(layer)])
    activations.flags.writeable = False
    return activations


def _pages(layer: Layer) -> Iterator[Path]:
    """Yields the files of a layer's pages."""
    for page in range(NUMBER_OF_PAGES):
        name = PATH_TEMPLATE.format(sanitize(layer.model_name), sanitize(layer.name), page)
        found = files.find_local([name])
        if found is None:
            folders = [str(folder) for folder in [*files.search_folders(), files.cache_folder()]]
            raise FileNotFoundError(
                f"Could not find {name}, page {page} of the recorded activations of {layer.name}, in "
                f"{', '.join(folders)}. Put the {NUMBER_OF_PAGES} pages there, or name their folder in "
                f"{files.SEARCH_PATH}."
            )
        yield found


def _read_page(layer: Layer, path: Path) -> np.ndarray:
    page = load(path)
    if page.ndim != 2 or page.shape[1] != layer.depth:
        raise ValueError(f"{path} holds {list(page.shape)} values; {layer.name} has {layer.depth} channels.")
    if not np.isfinite(page).all():
        raise ValueError(f"{path} holds values that are not finite.")
    return page


@checked
@functools.lru_cache(maxsize=128)
def layer_covariance(layer1: Layer, layer2: Layer | None = None) -> np.ndarray:
    """Computes the uncentered covariance of two layers: the mean over samples of the product of their channels.

    Args:
        layer1: a layer.
        layer2: another layer; None means `layer1`.

    Returns:
        (depth of layer1, depth of layer2).

    Raises:
        ValueError: the layers have different numbers of samples.
        FileNotFoundError: the activations are not on this machine.
    """
    first, second = layer1.activations, (layer2 or layer1).activations
    if len(first) != len(second):
        raise ValueError(f"{layer1} has {len(first)} samples and {layer2} has {len(second)}: they do not correspond.")
    return np.matmul(first.T, second) / float(len(first))


@checked
@functools.lru_cache(maxsize=128)
def layer_inverse_covariance(layer: Layer) -> np.ndarray:
    """Computes the inverse of a layer's uncentered covariance with itself, (depth, depth).

    Raises:
        numpy.linalg.LinAlgError: the covariance is singular.
    """
    return np.linalg.inv(layer_covariance(layer))


@checked
def push_activations(activations: np.ndarray, from_layer: Layer, to_layer: Layer) -> np.ndarray:
    """Maps activations of one layer to another layer by the linear regression over the recorded samples.

    Args:
        activations: (rows, depth of from_layer).
        from_layer, to_layer: layers whose samples correspond.

    Returns:
        (rows, depth of to_layer).
    """
    decorrelated = np.dot(layer_inverse_covariance(from_layer), activations.T).T
    return np.dot(decorrelated, layer_covariance(from_layer, to_layer))
