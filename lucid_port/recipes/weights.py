"""Looking at weights: first-layer kernels, weights expanded across layers, and their factors.

Voss et al.: Visualizing Weights (Distill, 2021), https://distill.pub/2020/circuits/visualizing-weights; Petrov, Voss,
Schubert et al.: Weight Banding (2021). An expanded weight is what a unit of a later layer would get from a unit of an
earlier one if all between them were linear: the gradient with the non-linearities taken out.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.layers import LocalResponseNorm, MaxPool2d
from lucid_port.misc import checks
from lucid_port.misc.channel_reducer import ChannelReducer
from lucid_port.optvis.acceleration import strictly
from lucid_port.optvis.arguments import Model, own_device
from lucid_port.recipes.inputs import check_middle, check_units, model_size

__all__ = [
    "ExpandedWeights",
    "FactoredWeights",
    "edited_copy",
    "expanded_weights",
    "factored_connections",
    "factored_weights",
    "first_layer_kernels",
    "kernels_of",
    "signed_picture",
]

ModelT = TypeVar("ModelT", bound=Model)

PASSED = {"Relu", "Relu6", "BiasAdd", "BiasAddV1", "Identity", "Elu", "Selu", "FusedBatchNorm", "FusedBatchNormV3"}
"""Ops behind a convolution that belong to its layer."""


# Kernels -----------------------------------------------------------------------------------------


def kernels_of(model: Model, layer: str) -> np.ndarray:
    """The weights of a layer's convolution.

    Args:
        model: a converted network, or one whose layers are modules.
        layer: the convolution's name, or that of its bias, batch norm or activation.

    Returns:
        [units, kh, kw, channels], float32.

    Raises:
        ValueError: the layer is not computed by one convolution.
        converters.LayerNotFoundError: there is no such layer.
    """
    weight = _convolution(model, layer).weight
    return np.ascontiguousarray(weight.detach().float().cpu().numpy().transpose(0, 2, 3, 1))


def _convolution(model: Model, layer: str) -> Any:
    """The module that holds a layer's kernels.

    Raises:
        ValueError: the layer is not computed by one convolution.
        converters.LayerNotFoundError: there is no such layer.
    """
    network: Any = model.network
    module = network.get_submodule(network.layers[layer].module)
    steps = {step.name: step for step in network.program.steps} if hasattr(network, "program") else {}
    name = network.layers[layer].name
    while name in steps and steps[name].op in PASSED:
        name = steps[name].inputs[0].node
        if name in steps:
            module = network.get_submodule(steps[name].module)
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 4:
        raise ValueError(
            f"Layer {layer!r} is no convolution ({type(module).__name__}): name one, or what stands behind it."
        )
    return module


def edited_copy(model: ModelT, edits: Mapping[str, Callable[[np.ndarray], np.ndarray]]) -> ModelT:
    """A copy of a model with other weights in some convolutions; the model itself stays as it is.

    Curve Circuits takes connections away in this manner, to see what they did.

    Args:
        model: a converted network, or one whose layers are modules.
        edits: convolution, or what stands behind it -> function from its kernels [units, kh, kw, channels] to new
            ones of the same shape.

    Raises:
        ValueError: a layer is not computed by one convolution, or an edit changes the kernels' shape.
        converters.LayerNotFoundError: there is no such layer.
    """
    copied = copy.deepcopy(model)
    for layer, edit in edits.items():
        kernels = kernels_of(copied, layer)
        changed = np.asarray(edit(kernels.copy()), np.float32)
        if changed.shape != kernels.shape:
            raise ValueError(f"The edit of {layer!r} makes kernels {changed.shape} of kernels {kernels.shape}.")
        with torch.no_grad():
            _convolution(copied, layer).weight.copy_(torch.from_numpy(changed.transpose(0, 3, 1, 2).copy()))
    return copied


def first_layer_kernels(model: Model, layer: str) -> np.ndarray:
    """The kernels of the layer that sees the image, as pictures.

    Each kernel's values are mapped to [0, 1] from its own least to its greatest, as in An Overview of Early Vision.

    Args:
        model: the model.
        layer: its first convolution, `conv2d0` in InceptionV1.

    Returns:
        [units, kh, kw, 3], RGB whatever the model's own order.

    Raises:
        ValueError: the layer does not read three channels, or is no convolution.
    """
    kernels = kernels_of(model, layer)
    if kernels.shape[-1] != 3:
        raise ValueError(f"Layer {layer!r} reads {kernels.shape[-1]} channels, not an image's three.")
    if getattr(model, "is_BGR", False):
        kernels = kernels[..., ::-1]
    low, high = (extreme(kernels, (1, 2, 3), keepdims=True) for extreme in (np.min, np.max))
    return (kernels - low) / np.maximum(high - low, 1e-12)


def signed_picture(weights: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Weights as colours, as the articles show them: red for positive, blue for negative, white for none.

    Args:
        weights: [...].
        largest: what is fully coloured; the largest magnitude by default.

    Returns:
        [..., 3] in [0, 1].
    """
    scale = float(np.abs(weights).max()) if largest is None else largest
    share = np.clip(weights / max(scale, 1e-12), -1, 1)[..., None]
    red, blue = np.array([0.80, 0.10, 0.13]), np.array([0.13, 0.34, 0.72])
    colour = np.where(share > 0, red, blue)
    return (1 - np.abs(share) * (1 - colour)).astype(np.float32)


# Expanded weights --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExpandedWeights:
    """What units of a later layer get from units of an earlier one, by position.

    Attributes:
        layers: the earlier and the later layer.
        units: of the later layer.
        sources: of the earlier layer.
        values: [units, sources, size, size]; the middle is the later unit's own place.
    """

    layers: tuple[str, str]
    units: tuple[int, ...]
    sources: tuple[int, ...]
    values: np.ndarray


@strictly
def expanded_weights(
    model: Model,
    layer: str,
    later: str,
    units: Sequence[int],
    sources: Sequence[int] | None = None,
    *,
    size: int | None = None,
) -> ExpandedWeights:
    """Weights between two layers, however many lie between them.

    Between them, ReLUs pass everything, response norms nothing but the identity, and max pools average: so the value
    of the later unit is linear in the earlier layer, and its gradient holds everywhere.

    Args:
        model: a converted network, or one whose ReLUs and pools are modules.
        layer: the earlier layer.
        later: the later layer.
        units: channels of the later layer.
        sources: channels of the earlier layer; all by default.
        size: positions in each direction, an odd number; as many as are not zero by default.

    Raises:
        ValueError: a channel does not exist, `size` is even, a layer is fully connected, or the later layer does not
            depend on the earlier.
        converters.LayerNotFoundError: a layer does not exist.
    """
    if size is not None and checks.whole(size, "size", 1) % 2 == 0:
        raise ValueError(f"size is an odd number, so that there is a middle, not {size}.")
    wanted = check_units(model, later, units)
    height = _enough_pixels(model, layer, later)
    image = torch.zeros(1, _channels(model), height, height, device=own_device(model))
    with torch.enable_grad(), _linear(model.network):
        values = model.activations(image.requires_grad_(), [layer, later])
        for name in (layer, later):
            check_middle(values[name], name)
        target = values[later][0, :, values[later].shape[2] // 2, values[later].shape[3] // 2]
        gradients = [_gradient(target[unit], values[layer], later, layer) for unit in wanted]
    stacked = np.stack([one[0].cpu().numpy() for one in gradients])
    chosen = list(range(stacked.shape[1])) if sources is None else check_units(model, layer, sources)
    middle = _middle(stacked)
    return ExpandedWeights((layer, later), tuple(wanted), tuple(chosen), _cropped(stacked[:, chosen], middle, size))


def _channels(model: Model) -> int:
    return tuple(getattr(model, "image_shape", (None, None, 3)))[-1] or 3


def _enough_pixels(model: Model, layer: str, later: str) -> int:
    """Pixels of an image for which the later layer's middle sees no border; twice the model's own size at the most."""
    size, _ = model_size(model)
    return 2 * size if size < 224 else size


def _gradient(value: Tensor, of: Tensor, later: str, layer: str) -> Tensor:
    (gradient,) = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise ValueError(f"Layer {later!r} does not depend on layer {layer!r}: name the earlier one first.")
    return gradient.detach().float()


def _middle(stacked: np.ndarray) -> tuple[int, int]:
    """The earlier layer's position over which the later unit stands: the middle of what reaches it."""
    reach = np.abs(stacked).sum((0, 1))
    rows, columns = np.flatnonzero(reach.sum(1)), np.flatnonzero(reach.sum(0))
    if not len(rows):
        return stacked.shape[2] // 2, stacked.shape[3] // 2
    return int(rows[0] + rows[-1] + 1) // 2, int(columns[0] + columns[-1] + 1) // 2


def _cropped(stacked: np.ndarray, middle: tuple[int, int], size: int | None) -> np.ndarray:
    row, column = middle
    if size is None:
        reach = np.abs(stacked).sum((0, 1))
        rows, columns = np.nonzero(reach)
        radius = max([1, *np.abs(rows - row), *np.abs(columns - column)]) if len(rows) else 1
    else:
        radius = size // 2
    padded = np.pad(stacked, ((0, 0), (0, 0), (radius, radius), (radius, radius)))
    return padded[:, :, row : row + 2 * radius + 1, column : column + 2 * radius + 1].astype(np.float32)


def _passed(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return inputs[0]


def _averaged(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """The average over a max pool's windows, cells outside the image left out."""
    kind: Any = module
    kernel, stride = kind.kernel_size, kind.stride
    sides = zip(inputs[0].shape[2:], kernel, stride, output.shape[2:], strict=True)
    rows, columns = (_needed(*side) for side in sides)
    padding = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    total, count = (
        F.avg_pool2d(F.pad(value, padding), kernel, stride) for value in (inputs[0], torch.ones_like(inputs[0][:1, :1]))
    )
    return total / count.clamp(min=1e-6)


def _needed(length: int, kernel: int, stride: int, result: int) -> int:
    """Padding in all that gives so many windows (none for VALID ones that leave a rest)."""
    return max((result - 1) * stride + kernel - length, 0)


_LINEAR: dict[type[nn.Module], Callable[..., Tensor]] = {LocalResponseNorm: _passed, MaxPool2d: _averaged}
_ACTIVATIONS = {"Relu", "Relu6", "ReLU", "ReLU6"}


@contextlib.contextmanager
def _linear(network: Any) -> Iterator[None]:
    """Context in which a network's non-linearities are taken out."""
    handles = []
    for module in network.modules():
        hook = _passed if type(module).__name__ in _ACTIVATIONS else _LINEAR.get(type(module))
        if hook is not None:
            handles.append(module.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# Factors -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FactoredWeights:
    """A layer's weights in a few factors of their input channels.

    Attributes:
        layer: the layer.
        maps: [units, kh, kw, factors], what each unit takes from each factor; signed.
        channels: [factors, channels], what each factor is made of; not negative.
    """

    layer: str
    maps: np.ndarray
    channels: np.ndarray

    @property
    def pictures(self) -> np.ndarray:
        """[units, kh, kw, 3]: the first three factors as red, green and blue, negative parts left out; in [0, 1]."""
        shown = self.maps[..., :3].clip(0)
        padded = np.concatenate([shown, np.zeros((*shown.shape[:-1], 3 - shown.shape[-1]))], -1)
        return (padded / max(float(padded.max()), 1e-12)).astype(np.float32)


def factored_weights(model: Model, layer: str, factors: int = 3, *, seed: int = 0) -> FactoredWeights:
    """One-sided non-negative factorisation of a convolution's input channels, as the articles colour weights.

    The factors come from the magnitudes of the weights; each unit's signed weights are then projected onto them.

    Args:
        model: the model.
        layer: a convolution, or what stands behind it.
        factors: how many.
        seed: of the factorisation's start.

    Raises:
        ValueError: the layer is no convolution, or has fewer channels than factors.
    """
    kernels = kernels_of(model, layer)
    _check_factors(layer, kernels.shape[-1], factors)
    return _factored(layer, kernels, np.abs(kernels), factors, seed)


def factored_connections(weights: ExpandedWeights, factors: int = 2, *, seed: int = 0) -> FactoredWeights:
    """One-sided non-negative factorisation of expanded weights by their earlier channels.

    Channels come together that excite the later units in the same places and inhibit them in the same places: so
    High-Low Frequency Detectors finds the two groups of units that those detectors are made of. What excites and what
    inhibits are factorised as cases of their own, and a factor's maps are signed.

    Args:
        weights: between the layers.
        factors: how many.
        seed: of the factorisation's start.

    Returns:
        Its maps are [units, size, size, factors]; its channels are `weights.sources`.

    Raises:
        ValueError: there are fewer sources than factors.
    """
    values = weights.values.transpose(0, 2, 3, 1)
    _check_factors(weights.layers[0], values.shape[-1], factors)
    return _factored(weights.layers[0], values, np.concatenate([values.clip(0), (-values).clip(0)]), factors, seed)


def _check_factors(layer: str, channels: int, factors: int) -> None:
    if checks.whole(factors, "factors", 1) > channels:
        raise ValueError(f"{channels} channels of {layer!r} do not make {factors} factors.")


def _factored(layer: str, values: np.ndarray, cases: np.ndarray, factors: int, seed: int) -> FactoredWeights:
    """Factors of non-negative cases [..., channels], and signed values [units, kh, kw, channels] projected on them."""
    reducer = ChannelReducer(factors, "NMF", random_state=seed, max_iter=1000)
    reducer.fit(cases)
    channels = np.asarray(reducer.components, np.float32)
    lengths = np.maximum(np.linalg.norm(channels, axis=1, keepdims=True), 1e-12)
    return FactoredWeights(layer, values @ np.linalg.pinv(channels / lengths).astype(np.float32), channels)
