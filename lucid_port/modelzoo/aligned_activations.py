"""Recorded activations of a model's layers, and the linear maps between layers that follow from them.

Lucid's authors sampled 100,000 positions of ImageNet's images, the same ones for every layer of a model, so that rows
of two layers belong together. Their files lay under gs://modelzoo/aligned-activations/, which is reported down; here
they are found in the folders of LUCID_PORT_MODELZOO and in the cache, under the same names.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

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
    """A layer of a model of the catalogue: `lucid_port.modelzoo.layer.Layer`."""

    @property
    def name(self) -> str: ...

    @property
    def depth(self) -> int: ...

    @property
    def model_name(self) -> str: ...

    @property
    def activations(self) -> np.ndarray: ...

    def __hash__(self) -> int: ...


@functools.lru_cache(maxsize=128)
def get_aligned_activations(layer: Layer) -> np.ndarray:
    """A layer's recorded activations.

    Args:
        layer: one of a model's `layers`.

    Returns:
        (samples, depth), read-only: the pages one after the other. Samples of all layers of a model correspond.

    Raises:
        FileNotFoundError: a page is not on this machine.
        ValueError: a page holds something else, or values that are not finite.
    """
    activations = np.concatenate([_read_page(layer, path) for path in _pages(layer)])
    activations.flags.writeable = False
    return activations


def _pages(layer: Layer) -> Iterator[Path]:
    """The files of a layer's pages."""
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
    page = np.load(path, allow_pickle=False)
    if page.ndim != 2 or page.shape[1] != layer.depth:
        raise ValueError(f"{path} holds {list(page.shape)} values; {layer.name} has {layer.depth} channels.")
    if not np.isfinite(page).all():
        raise ValueError(f"{path} holds values that are not finite.")
    return page


@functools.lru_cache(maxsize=128)
def layer_covariance(layer1: Layer, layer2: Layer | None = None) -> np.ndarray:
    """The mean product of two layers' channels over the samples (nothing is subtracted before).

    Args:
        layer1: a layer.
        layer2: another one; itself where it is left out.

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


@functools.lru_cache(maxsize=128)
def layer_inverse_covariance(layer: Layer) -> np.ndarray:
    """The inverse of a layer's covariance with itself.

    Raises:
        numpy.linalg.LinAlgError: it has none.
    """
    return np.linalg.inv(layer_covariance(layer))


def push_activations(activations: np.ndarray, from_layer: Layer, to_layer: Layer) -> np.ndarray:
    """What activations of one layer predict for another one, by linear regression over the samples.

    Args:
        activations: (rows, depth of from_layer).
        from_layer, to_layer: layers whose samples correspond.

    Returns:
        (rows, depth of to_layer).
    """
    decorrelated = np.dot(layer_inverse_covariance(from_layer), activations.T).T
    return np.dot(decorrelated, layer_covariance(from_layer, to_layer))
