"""Weights: An Overview of Early Vision (2020) and Curve Circuits (2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.weights import expanded_weights, first_layer_kernels, kernels_of
from parity_tests.published.checks import Mismatch, absolute, check, eight_bit, require
from parity_tests.published.files import Published, Recorder

KERNELS = "ev_conv2d012_unit_images.npz"
CHAIN = "cc_aann_circuit.json"
EXPANDED = "cc_expanded_weights_conv2d2_to_mixed3b.json"

ALIKE = 0.9  # the maps are whole numbers up to 127, and the article does not say how it made mixed3a's pool linear


def _kernel_bytes(model: Model) -> np.ndarray:
    return np.round(first_layer_kernels(model, "conv2d0") * 255).astype(np.uint8)


def _record_kernels(model: Model, recorder: Recorder) -> None:
    recorder.arrays(KERNELS, {"conv2d0": _kernel_bytes(model)})


@check("first_kernels", KERNELS, record=_record_kernels)
def first_kernels(model: Model, published: Published) -> None:
    """Checks the 64 kernels of conv2d0 as bytes, each scaled from its minimum to its maximum."""
    eight_bit("kernels of conv2d0", _kernel_bytes(model), published.arrays(KERNELS)["conv2d0"])


# Along a chain -----------------------------------------------------------------------------------

BRANCHES = ("1x1", "3x3", "5x5", "pool_reduce")
"""Of an inception module, in the order in which their channels are joined."""


def _joined_from(model: Model, layer: str, unit: int) -> tuple[str, int]:
    """The branch of an inception module that a channel comes from, and its number there."""
    for branch in BRANCHES:
        units = len(kernels_of(model, f"{layer}_{branch}"))
        if unit < units:
            return branch, unit
        unit -= units
    raise Mismatch(f"{layer} has {unit} channels too few: off by as many.")


def _link(model: Model, layer: str, unit: int, source: int | None) -> np.ndarray:
    """Weights from a unit of the previous layer, [h, w]; for the first layer, the sum over the image's colours.

    In an inception module, these are expanded weights through the bottleneck without its ReLU, as in the article.
    """
    if not layer.startswith("mixed"):
        kernel = kernels_of(model, layer)[unit]
        return kernel.sum(-1) if source is None else kernel[..., source]
    branch, number = _joined_from(model, layer, unit)
    kernel = kernels_of(model, f"{layer}_{branch}")[number]
    if branch in ("1x1", "pool_reduce"):
        return kernel[..., source]
    return kernel @ kernels_of(model, f"{layer}_{branch}_bottleneck")[:, 0, 0, source]


def _chain(model: Model, units: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
    """Each link over its greatest magnitude."""
    found: list[np.ndarray] = []
    source = None
    for one in units:
        link = _link(model, one["layer"], one["neuron"], source)
        found.append(link / np.abs(link).max())
        source = one["neuron"]
    return found


def _record_chain(model: Model, recorder: Recorder) -> None:
    first = len(kernels_of(model, "mixed3a_1x1")), len(kernels_of(model, "mixed3b_1x1"))
    middle = len(kernels_of(model, "mixed3b_3x3"))
    numbers = {"conv2d0": 1, "conv2d1": 2, "conv2d2": 3, "mixed3a": first[0] + 1, "mixed3b": first[1] + middle + 1}
    units = [{"layer": layer, "neuron": number} for layer, number in numbers.items()]
    recorder.json(CHAIN, {"naturalNeurons": units, "naturalWeights": [one.tolist() for one in _chain(model, units)]})


@check("weights_along_a_chain", CHAIN, record=_record_chain)
def weights_along_a_chain(model: Model, published: Published) -> None:
    """The weights from the image to mixed3b:379 through conv2d0:14, conv2d1:29, conv2d2:100 and mixed3a:147."""
    circuit = published.json(CHAIN)
    found = _chain(model, circuit["naturalNeurons"])
    for one, ours, theirs in zip(circuit["naturalNeurons"], found, circuit["naturalWeights"], strict=True):
        absolute(f"weights of {one['layer']}:{one['neuron']}", ours, np.asarray(theirs), 1e-4)


# Expanded weights --------------------------------------------------------------------------------

# The article's maps are 9 x 9: two 5 x 5 convolutions at mixed3a's resolution, so it looks at conv2d2 behind its pool.
BEFORE_MIXED3A = "maxpool1"
EXPANDED_SIZE = 9


def _expanded(model: Model, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """[pairs, 9, 9]."""
    units, sources = (sorted({pair[end] for pair in pairs}) for end in (1, 0))
    found = expanded_weights(model, BEFORE_MIXED3A, "mixed3b", units, sources, size=EXPANDED_SIZE).values
    return np.stack([found[units.index(unit), sources.index(source)] for source, unit in pairs])


def _record_expanded(model: Model, recorder: Recorder) -> None:
    first = len(kernels_of(model, "mixed3b_1x1")) + len(kernels_of(model, "mixed3b_3x3"))
    pairs = [(source, unit) for source in range(6) for unit in (first, first + 1)]
    values = _expanded(model, pairs)
    whole = np.round(values / np.abs(values).max() * 127).astype(int)
    recorder.json(EXPANDED, {f"{u}-{v}": one.tolist() for (u, v), one in zip(pairs, whole, strict=True)})


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel() - a.mean(), b.ravel() - b.mean()
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


@check("expanded_weights", EXPANDED, record=_record_expanded)
def expanded(model: Model, published: Published) -> None:
    """330 expanded weights from conv2d2 to mixed3b's curve detectors; their scale is not published."""
    maps = published.json(EXPANDED)
    pairs = [(int(first), int(second)) for first, second in (name.split("-") for name in maps)]
    found = [_correlation(a, np.asarray(b, float)) for a, b in zip(_expanded(model, pairs), maps.values(), strict=True)]
    middle = float(np.median(found))
    require(middle >= ALIKE, f"expanded weights: correlations are off by {1 - middle:.2g} from 1 in the middle.")
