"""Histograms of weights, and the filters of the first layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.coerce import image_shape
from lucid_port.recipes.weights import first_layer_kernels, kernels_of

__all__ = ["WeightHistogram", "first_layer_filters", "weight_histograms"]

BINS = 48
"""Number of bins of a histogram."""


@dataclass(frozen=True, eq=False)
class WeightHistogram:
    """The distribution of a layer's weights.

    Attributes:
        layer: name of the layer, or of the parameter if no layer has it.
        shape: shape of the tensor.
        counts: int64 [bins], the number of weights in each bin.
        edges: float64 [bins + 1], the ends of the bins.
        mean, std: mean and standard deviation of the weights.
        zeros: share of weights that are exactly 0, from 0 to 1.
        not_finite: share of weights that are NaN or infinite, which the others leave out.
    """

    layer: str
    shape: tuple[int, ...]
    counts: np.ndarray
    edges: np.ndarray
    mean: float
    std: float
    zeros: float
    not_finite: float


@checked
def weight_histograms(model: Model, bins: int = BINS) -> dict[str, WeightHistogram]:
    """Counts the weights of each layer: the parameters of two axes or more, such as kernels, matrices and embeddings.

    Args:
        model: the model.
        bins: number of bins of each histogram.

    Returns:
        Layer -> histogram, in the order of the network's parameters.

    Raises:
        ValueError: `bins` is not a whole number from 1 on.

    Example:
        >>> from lucid_port.inspection import weight_histograms
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = weight_histograms(TinyInceptionV1())
        >>> next(iter(found)), found["conv2d0_pre_relu/conv"].shape
        ('conv2d0_pre_relu/conv', (16, 3, 7, 7))
    """
    bins = checks.whole(bins, "bins", 1)
    names = _names(model)
    found: dict[str, WeightHistogram] = {}
    for parameter_name, weight in model.named_parameters():
        if weight.dim() >= 2 and weight.numel() and weight.is_floating_point():
            name = names.get(id(weight), parameter_name.removeprefix("network.").removeprefix("module."))
            found[name] = _histogram(name, weight, bins)
    return found


def _names(model: Model) -> dict[int, str]:
    """Returns the layer of each weight, by the identity of the tensor; the first layer if several share it."""
    layers = getattr(model.network, "layers", {})
    found: dict[int, str] = {}
    if not isinstance(layers, Mapping):
        return found
    for name in layers:
        module = _module(model, name)
        for own, weight in () if module is None else module.named_parameters(recurse=False):
            found.setdefault(id(weight), name if own == "weight" else f"{name}.{own}")
    return found


def _module(model: Model, name: str) -> nn.Module | None:
    """Returns the module of a layer; None for functions and the input."""
    try:
        return model.network.layer_module(name)
    except ValueError:
        return None


def _histogram(name: str, weight: Tensor, bins: int) -> WeightHistogram:
    values = weight.detach().float().cpu().numpy()
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, bins)
    return WeightHistogram(
        name,
        tuple(values.shape),
        counts,
        edges.astype(np.float64),
        float(finite.mean(dtype=np.float64)) if finite.size else float("nan"),
        float(finite.std(dtype=np.float64)) if finite.size else float("nan"),
        float((values == 0).mean()),
        1 - finite.size / values.size,
    )


@checked
def first_layer_filters(model: Model) -> np.ndarray:
    """Returns the kernels of the first convolution that reads the picture, as pictures.

    The values of each kernel are scaled to [0, 1] from its minimum to its maximum.

    Args:
        model: the model.

    Returns:
        float32 [units, kh, kw, 3] in RGB order, or [units, kh, kw, 1] for a network of gray images.

    Raises:
        ValueError: no convolution reads the picture.

    Example:
        >>> from lucid_port.inspection import first_layer_filters
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> first_layer_filters(TinyInceptionV1()).shape
        (16, 7, 7, 3)
    """
    channels = 1 if image_shape(model)[2] == 1 else 3
    for name in getattr(model.network, "layers", ()):
        try:
            kernels = kernels_of(model, name)
        except ValueError:
            continue
        if kernels.shape[-1] == channels and len(kernels) > 1:
            return first_layer_kernels(model, name)
        raise ValueError(f"The first convolution, {name!r}, reads {kernels.shape[-1]} channels, which are no colors.")
    raise ValueError("The network has no convolution, so it has no filters that read the picture.")
