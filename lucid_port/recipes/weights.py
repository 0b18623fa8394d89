"""Looking at weights: first-layer kernels, weights expanded across layers, and their factors.

Voss et al.: Visualizing Weights (Distill, 2021), https://distill.pub/2020/circuits/visualizing-weights; Petrov, Voss,
Schubert et al.: Weight Banding (2021). An expanded weight is what a unit of a later layer would get from a unit of an
earlier one if all between them were linear: the gradient with the non-linearities taken out.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from converters.errors import InputSizeError
from converters.layers import LocalResponseNorm
from lucid_port.misc import checks
from lucid_port.misc.channel_reducer import ChannelReducer
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.precision import strictly
from lucid_port.optvis.overrides.gradient_override import GradientSubstitute, gradient_override_map
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

LARGER = (2, 4)  # how many times larger images are tried where units see the borders
LINEAR_TOLERANCE = 1e-3  # of the greatest gradient; what is linear has the same for every image, bit by bit


# Kernels -----------------------------------------------------------------------------------------


def kernels_of(model: Model, layer: str) -> np.ndarray:
    """The weights of a layer's convolution.

    Args:
        model: a model of any kind of network.
        layer: the convolution's name; in a converted network, also that of its bias, batch norm or activation.

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
    module = network.layer_module(layer)
    steps = {step.name: step for step in network.program.steps} if hasattr(network, "program") else {}
    name = network.layers[layer].name
    while name in steps and steps[name].op in PASSED:
        name = steps[name].inputs[0].node
        if name in steps:
            module = network.get_submodule(steps[name].module)
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 4:
        advice = "name one, or what stands behind it" if steps else "name one"
        raise ValueError(f"Layer {layer!r} is no convolution ({type(module).__name__}): {advice}.")
    return module


def edited_copy(model: ModelT, edits: Mapping[str, Callable[[np.ndarray], np.ndarray]]) -> ModelT:
    """A copy of a model with other weights in some convolutions; the model itself stays as it is.

    Curve Circuits takes connections away in this manner, to see what they did.

    Args:
        model: a model of any kind of network.
        edits: convolution, or what else `kernels_of` takes -> function from its kernels [units, kh, kw, channels] to
            new ones of the same shape.

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
    of the later unit is linear in the earlier layer, and its gradient holds everywhere. Other non-linearities are not
    taken out: where one lies between the layers, which the gradients of two pictures show, there are no such weights.

    Args:
        model: a model of any kind of network; its ReLUs, pools and norms may be modules or functions.
        layer: the earlier layer.
        later: the later layer.
        units: channels of the later layer.
        sources: channels of the earlier layer; all by default.
        size: positions in each direction, an odd number; as many as are not zero by default, at least 3. Of a unit that
            sees more than four times as far as the model's images reach, what lies beyond is left out.

    Raises:
        ValueError: a channel does not exist, `size` is even, a layer is fully connected, or the later layer does not
            depend on the earlier, or not linearly.
        converters.LayerNotFoundError: a layer does not exist.
    """
    if size is not None and checks.whole(size, "size", 1) % 2 == 0:
        raise ValueError(f"size is an odd number, so that there is a middle, not {size}.")
    wanted = check_units(model, later, units)
    stacked = _whole_gradients(model, layer, later, wanted)
    chosen = list(range(stacked.shape[1])) if sources is None else check_units(model, layer, sources)
    middle = _middle(stacked)
    return ExpandedWeights((layer, later), tuple(wanted), tuple(chosen), _cropped(stacked[:, chosen], middle, size))


def _whole_gradients(model: Model, layer: str, later: str, units: Sequence[int]) -> np.ndarray:
    """As `_gradients`, of an image so large that the units see no border of it, if they do not see everything."""
    height, width = _image_size(model)
    found = _gradients(model, layer, later, units, (height, width))
    for factor in LARGER:
        if not _is_cut(found):
            break
        try:
            found = _gradients(model, layer, later, units, (factor * height, factor * width))
        except InputSizeError:  # a network of one size
            break
    return found


def _gradients(model: Model, layer: str, later: str, units: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """[units, C, h, w]: gradients of the units in the middle of the later layer by the earlier one.

    Raises:
        ValueError: a layer is fully connected, or the later one does not depend on the earlier, or not linearly.
    """
    shape = (1, _channels(model), *size)
    # Far from the values of pictures, so that whatever bends does so.
    noise = torch.from_numpy(np.random.RandomState(0).uniform(-10, 10, shape).astype(np.float32))
    with torch.enable_grad(), _linear(model.network):
        values, target = _middle_of(model, torch.zeros(shape), layer, later)
        gradients = [_gradient(target[unit], values, later, layer) for unit in units]
        elsewhere, same = _middle_of(model, noise, layer, later)
        total, other = (_gradient(t[units].sum(), v, later, layer) for t, v in ((target, values), (same, elsewhere)))
    if not (total - other).abs().max() <= LINEAR_TOLERANCE * total.abs().max():
        raise ValueError(
            f"Layer {later!r} is not linear in layer {layer!r}, also without the ReLUs, max pools and response norms "
            "between them, so that it has no expanded weights: name layers between which nothing else bends values."
        )
    return np.stack([one[0].cpu().numpy() for one in gradients])


def _is_cut(stacked: np.ndarray) -> bool:
    """Whether what reaches the units touches a border of the earlier layer."""
    reach = np.abs(stacked).sum((0, 1))
    return bool(reach[0].any() or reach[-1].any() or reach[:, 0].any() or reach[:, -1].any())


def _channels(model: Model) -> int:
    return tuple(getattr(model, "image_shape", (None, None, 3)))[-1] or 3


def _image_size(model: Model) -> tuple[int, int]:
    """(height, width) of an image whose middle is far from the borders for most units: the model's own, or twice."""
    height, width = model_size(model)
    return (2 * height if height < 224 else height), (2 * width if width < 224 else width)


def _middle_of(model: Model, image: Tensor, layer: str, later: str) -> tuple[Tensor, Tensor]:
    """The earlier layer's value (1, C, h, w), and the later layer's channels in its middle."""
    values = model.activations(image.to(own_device(model)).requires_grad_(), [layer, later])
    for name in (layer, later):
        check_middle(values[name], name)
    height, width = values[later].shape[2:]
    return values[layer], values[later][0, :, height // 2, width // 2]


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


def _passed(value: Tensor, **attributes: Any) -> Tensor:
    return value


def _averaged(value: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Tensor:
    """The average over a max pool's windows, cells outside the image left out: padding of either kind."""
    if not np.all(np.equal(dilation, 1)):
        return F.max_pool2d(value, kernel_size, stride, padding, dilation, ceil_mode)  # no average has such windows
    inside = value != -math.inf  # TensorFlow's and ONNX's padding, where torch's own cannot do it
    total, count = (
        F.avg_pool2d(one, kernel_size, stride, padding, ceil_mode)
        for one in (value.masked_fill(~inside, 0), inside.to(value.dtype))
    )
    return total / count.clamp(min=1e-6)


class _Linear(gradient_override_map):
    """Context in which ReLUs and response norms pass everything, and max pools average, whoever calls them."""

    def __init__(self) -> None:
        substitutes = {
            "Relu": GradientSubstitute(_passed),
            "Relu6": GradientSubstitute(_passed),
            "MaxPool": GradientSubstitute(_averaged),
        }
        super().__init__(substitutes)

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        other = _FURTHER.get(func)
        return super().__torch_function__(func, types, args, kwargs) if other is None else other(*args, **kwargs or {})


def _adaptive_average(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    return F.adaptive_avg_pool2d(input, output_size)


def _not_normed(input: Tensor, *arguments: Any, **options: Any) -> Tensor:
    return input


_FURTHER: dict[Any, Callable[..., Tensor]] = {
    F.adaptive_max_pool2d: _adaptive_average,
    F.local_response_norm: _not_normed,
}


@contextlib.contextmanager
def _linear(network: Any) -> Iterator[None]:
    """Context in which a network's non-linearities are taken out."""
    norms = [module for module in network.modules() if type(module) is LocalResponseNorm]  # of several torch functions
    handles = [norm.register_forward_hook(lambda module, inputs, output: inputs[0]) for norm in norms]
    try:
        with _Linear():
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
