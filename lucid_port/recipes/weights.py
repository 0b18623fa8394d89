"""Visualization of weights: first-layer kernels, weights expanded across layers, and their factors.

Voss et al.: Visualizing Weights (Distill, 2021), https://distill.pub/2020/circuits/visualizing-weights; Petrov, Voss,
Schubert et al.: Weight Banding (2021). The expanded weight between units of two layers is the gradient of the later
unit with respect to the earlier one after the non-linearities between them are removed.
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

from converters import checks
from converters.errors import InputSizeError
from converters.layers import LocalResponseNorm
from converters.signatures import checked
from lucid_port.misc.channel_reducer import ChannelReducer
from lucid_port.optvis.engine.coerce import Model, image_shape
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.precision import strictly
from lucid_port.optvis.overrides.gradient_override import GradientSubstitute, gradient_override_map
from lucid_port.recipes.attribution import gradients_by
from lucid_port.recipes.inputs import LayerValue, check_units, model_size, read_layers

__all__ = [
    "ExpandedWeights",
    "Expansion",
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
Window = int | tuple[int, ...]

PASSED = {"Relu", "Relu6", "BiasAdd", "BiasAddV1", "Identity", "Elu", "Selu", "FusedBatchNorm", "FusedBatchNormV3"}
"""Ops after a convolution that belong to its layer."""

LARGER = (2, 4)  # factors by which the image is enlarged if units see its borders
GROWN = (1, 1.5, 2, 2.5, 3, 4)
LINEAR_TOLERANCE = 1e-3  # of the greatest gradient; those of a linear function are bit-identical for all images


# Kernels -----------------------------------------------------------------------------------------


@checked
def kernels_of(model: Model, layer: str) -> np.ndarray:
    """The kernels of a convolution.

    Args:
        model: a model with any kind of network.
        layer: name of the convolution; in a converted network, also the name of its bias, batch norm or activation.

    Returns:
        float32 [units, kh, kw, channels].

    Raises:
        ValueError: the layer is not computed by a single convolution.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> kernels_of(TinyInceptionV1(), "conv2d0").shape
        (16, 7, 7, 3)
    """
    return np.ascontiguousarray(_weight(model, layer).detach().float().cpu().numpy().transpose(0, 2, 3, 1))


def _weight(model: Model, layer: str) -> Tensor:
    """The parameter that holds the kernels of a layer, (units, channels, kh, kw).

    Raises:
        ValueError: the layer is not computed by a single convolution.
        converters.LayerNotFoundError: the layer does not exist.
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
        advice = "name one, or its bias, batch norm or activation" if steps else "name one"
        raise ValueError(f"Layer {layer!r} is no convolution ({type(module).__name__}): {advice}.")
    return weight


@checked
def edited_copy(model: ModelT, edits: Mapping[str, Callable[[np.ndarray], np.ndarray]]) -> ModelT:
    """A deep copy of a model with edited kernels in some convolutions.

    Curve Circuits removes connections in this way to find out their effect.

    Args:
        model: a model with any kind of network.
        edits: layer, as for `kernels_of` -> function from its kernels [units, kh, kw, channels] to new kernels of the
            same shape.

    Raises:
        ValueError: a layer is not computed by a single convolution, or an edit changes the shape of the kernels.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> edited = edited_copy(TinyInceptionV1(), {"conv2d0": lambda kernels: kernels.clip(0)})
        >>> bool(kernels_of(edited, "conv2d0").min() >= 0)
        True
    """
    copied = copy.deepcopy(model)
    for layer, edit in edits.items():
        kernels = kernels_of(copied, layer)
        changed = np.asarray(edit(kernels.copy()), np.float32)
        if changed.shape != kernels.shape:
            raise ValueError(
                f"The edit of {layer!r} makes kernels {changed.shape} of kernels {kernels.shape}: keep their shape."
            )
        with torch.no_grad():
            _weight(copied, layer).copy_(torch.from_numpy(changed.transpose(0, 3, 1, 2).copy()))
    return copied


@checked
def first_layer_kernels(model: Model, layer: str) -> np.ndarray:
    """The kernels of the first convolution as pictures.

    The values of each kernel are scaled to [0, 1] from its minimum to its maximum, as in An Overview of Early Vision.

    Args:
        model: the model.
        layer: name of its first convolution, `conv2d0` in InceptionV1.

    Returns:
        float32 [units, kh, kw, 3] in RGB order, also for models that take BGR; [..., 1] for gray images.

    Raises:
        ValueError: the layer is not a convolution, or reads another number of channels than an image has.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> first_layer_kernels(TinyInceptionV1(), "conv2d0").shape
        (16, 7, 7, 3)
    """
    kernels = kernels_of(model, layer)
    if kernels.shape[-1] != (1 if image_shape(model)[2] == 1 else 3):
        raise ValueError(
            f"Layer {layer!r} reads {kernels.shape[-1]} channels, not an image's colors: name the first convolution."
        )
    if getattr(model, "is_BGR", False):
        kernels = kernels[..., ::-1]
    low, high = (extreme(kernels, (1, 2, 3), keepdims=True) for extreme in (np.min, np.max))
    return (kernels - low) / np.maximum(high - low, 1e-12)


@checked
def signed_picture(weights: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Maps weights to colors, as in the articles: red for positive, blue for negative, white for 0.

    Args:
        weights: [...].
        largest: the magnitude shown in full color; the largest by default.

    Returns:
        float32 [..., 3] in [0, 1].

    Example:
        >>> import numpy as np
        >>> signed_picture(np.array([1.0, 0.0]))
        array([[0.8 , 0.1 , 0.13],
               [1.  , 1.  , 1.  ]], dtype=float32)
    """
    scale = float(np.abs(weights).max(initial=0)) if largest is None else largest
    share = np.clip(weights / max(scale, 1e-12), -1, 1)[..., None]
    red, blue = np.array([0.80, 0.10, 0.13]), np.array([0.13, 0.34, 0.72])
    colour = np.where(share > 0, red, blue)
    return (1 - np.abs(share) * (1 - colour)).astype(np.float32)


# Expanded weights --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExpandedWeights:
    """Weights from units of an earlier layer to units of a later layer, by relative position.

    Attributes:
        layers: names of the earlier and the later layer.
        units: channels of the later layer.
        sources: channels of the earlier layer.
        values: [units, sources, size, size]; the position of the later unit is in the middle.
    """

    layers: tuple[str, str]
    units: tuple[int, ...]
    sources: tuple[int, ...]
    values: np.ndarray


@strictly
@checked
def expanded_weights(
    model: Model,
    layer: str,
    later: str,
    units: Sequence[int],
    sources: Sequence[int] | None = None,
    *,
    size: int | None = None,
) -> ExpandedWeights:
    """Computes the weights between two layers across the layers between them.

    ReLUs and response norms are replaced by the identity, and max pools by average pools. The later unit is then linear
    in the earlier layer, so that its gradient is the same everywhere. Other non-linearities stay. If one lies between
    the layers, the gradients for two images differ, and an error is raised.

    Args:
        model: a model with any kind of network. Its ReLUs, pools and norms may be modules or functions.
        layer: the earlier layer.
        later: the later layer.
        units: channels of the later layer.
        sources: channels of the earlier layer; all by default.
        size: height and width of the weights, an odd number. By default the smallest size that holds all non-zero
            weights, at least 3. If the receptive field of a unit is larger than four times the model's image size, the
            weights outside are left out.

    Raises:
        ValueError: a channel does not exist, `size` is even, a layer is fully connected, or the later layer does not
            depend linearly on the earlier.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> expanded_weights(TinyInceptionV1(), "mixed3a", "mixed3b", [70], [31, 30], size=3).values.shape
        (1, 2, 3, 3)
    """
    if size is not None and checks.whole(size, "size", 1) % 2 == 0:
        raise ValueError(f"size is an odd number, so that the weights have a middle, not {size}.")
    wanted = check_units(model, later, units)
    stacked = _whole_gradients(model, layer, later, wanted)
    chosen = list(range(stacked.shape[1])) if sources is None else check_units(model, layer, sources)
    middle = _middle(stacked)
    return ExpandedWeights((layer, later), tuple(wanted), tuple(chosen), _cropped(stacked[:, chosen], middle, size))


def _whole_gradients(model: Model, layer: str, later: str, units: Sequence[int]) -> np.ndarray:
    """The result of `_gradients` for an image so large that the units do not see its borders, if that is possible."""
    height, width = _image_size(model)
    found = _gradients(model, layer, later, units, (height, width))
    for factor in LARGER:
        if not _is_cut(found):
            break
        try:
            found = _gradients(model, layer, later, units, (factor * height, factor * width))
        except InputSizeError:  # the network accepts one size only
            break
    return found


def _gradients(model: Model, layer: str, later: str, units: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The gradients of the units in the middle of the later layer with respect to the earlier, [units, C, h, w].

    Raises:
        ValueError: a layer is fully connected, or the later layer does not depend linearly on the earlier.
    """
    shape = (1, _channels(model), *size)
    # Values far outside of the range of pictures, which drive non-linear functions out of their linear range.
    noise = torch.from_numpy(np.random.RandomState(0).uniform(-10, 10, shape).astype(np.float32))
    with torch.enable_grad(), _linear(model.network):
        values, target = _middle_of(model, torch.zeros(shape), layer, later)
        gradients = [gradients_by(target[unit], {layer: values.value}, later, keep=True)[0] for unit in units]
        elsewhere, same = _middle_of(model, noise, layer, later)
        total, other = (
            gradients_by(t[units].sum(), {layer: v.value}, later)[0].float()
            for t, v in ((target, values), (same, elsewhere))
        )
    if not (total - other).abs().max() <= LINEAR_TOLERANCE * total.abs().max():
        raise ValueError(_not_linear(layer, later))
    return np.stack([values.holding(one).places()[0].float().cpu().numpy() for one in gradients])


@checked
class Expansion:
    """Weights from an earlier layer to a later one, for some units at a time; the network runs once.

    The later layer may be fully connected. Its weights then are those of the places at the model's image size.

    Args:
        model: a model with any kind of network.
        layer: the earlier layer.
        later: the later layer.
        reach: an expansion of the same layers whose image size and part of the earlier layer to use.

    Attributes:
        units: number of units of the later layer.
        size: (height, width) of the image.
        middle: place in the earlier layer that corresponds to the later unit.
        radius: greatest distance from it to a weight.

    Raises:
        ValueError: the later layer does not depend linearly on the earlier, or has tokens without places.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> expansion = Expansion(TinyInceptionV1(), "conv2d1", "conv2d2")
        >>> expansion.units, expansion.weights([0, 1]).shape
        (48, (2, 16, 3, 3))
    """

    def __init__(self, model: Model, layer: str, later: str, reach: Expansion | None = None) -> None:
        self.layer, self.later = layer, later
        self.size: tuple[int, int]
        self.middle: tuple[int, int]
        self.radius: int
        if reach is not None:
            self.size = reach.size
            self._run(model)
            self.middle, self.radius = reach.middle, reach.radius
            return
        height, width = model_size(model)
        self.size = (height, width)
        for factor in GROWN:  # small images, because each unit's gradient costs as much as the earlier layer is large
            asked = math.ceil(factor * height), math.ceil(factor * width)
            try:
                self._read(model, torch.zeros(1, _channels(model), *asked))
            except InputSizeError:  # the network accepts one size only
                if factor == 1:
                    raise
                break
            self.size = asked
            if not self._has_places or not _is_cut(self._total()):
                break
        self._run(model)
        total = self._total()
        self.middle = _middle(total)
        rows, columns = np.nonzero(np.abs(total).sum((0, 1)))
        self.radius = max([0, *np.abs(rows - self.middle[0]), *np.abs(columns - self.middle[1])])

    def _run(self, model: Model) -> None:
        """Runs the network, and checks that the later layer is linear in the earlier."""
        shape = (1, _channels(model), *self.size)
        # Values far outside of the range of pictures, which drive non-linear functions out of their linear range.
        noise = torch.from_numpy(np.random.RandomState(0).uniform(-10, 10, shape).astype(np.float32))
        sums = []
        for image in (noise, torch.zeros(shape)):
            self._read(model, image)
            sums.append(self._total())
        first, second = sums
        if not np.abs(first - second).max() <= LINEAR_TOLERANCE * np.abs(first).max():
            raise ValueError(_not_linear(self.layer, self.later))

    def _read(self, model: Model, image: Tensor) -> None:
        with torch.enable_grad(), _linear(model.network):
            values = read_layers(model, image.to(own_device(model)).requires_grad_(), [self.layer, self.later])
        self._value, later = values[self.layer], values[self.later]
        self._has_places = later.layout.has_places
        maps = _maps(later)
        self._target = maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]
        self.units = len(self._target)

    def _total(self) -> np.ndarray:
        """Returns the weights of a random mixture of all units, so that no two of them cancel, [1, C, h, w]."""
        mixture = torch.from_numpy(np.random.RandomState(1).uniform(1, 2, self.units).astype(np.float32))
        return self._gradient((self._target * mixture.to(self._target)).sum())[None]

    def _gradient(self, target: Tensor) -> np.ndarray:
        (gradient,) = gradients_by(target, {self.layer: self._value.value}, self.later, keep=True)
        found: np.ndarray = _maps(self._value.holding(gradient))[0].float().cpu().numpy()
        return found

    @strictly
    @checked
    def weights(self, units: Sequence[int], radius: int | None = None) -> np.ndarray:
        """Returns the weights of units of the later layer, float32 [units, sources, 2 radius + 1, 2 radius + 1]."""
        size = 2 * (self.radius if radius is None else radius) + 1
        return np.concatenate([_cropped(self._gradient(self._target[one])[None], self.middle, size) for one in units])


def _maps(value: LayerValue) -> Tensor:
    """Returns a layer by places, (N, C, rows, columns); a fully connected one has a single place."""
    return value.first[..., None, None] if not value.layout.positions else value.places()


def _not_linear(layer: str, later: str) -> str:
    return (
        f"Layer {later!r} is not linear in layer {layer!r}, also without the ReLUs, max pools and response norms "
        "between them, so that it has no expanded weights: name layers without other non-linearities between them."
    )


def _is_cut(stacked: np.ndarray) -> bool:
    """Whether weights at a border of the earlier layer are non-zero."""
    reach = np.abs(stacked).sum((0, 1))
    return bool(reach[0].any() or reach[-1].any() or reach[:, 0].any() or reach[:, -1].any())


def _channels(model: Model) -> int:
    return image_shape(model)[-1] or 3


def _image_size(model: Model) -> tuple[int, int]:
    """(height, width) of an image whose borders most units in the middle do not see: the model's size, or twice it."""
    height, width = model_size(model)
    return (2 * height if height < 224 else height), (2 * width if width < 224 else width)


def _middle_of(model: Model, image: Tensor, layer: str, later: str) -> tuple[LayerValue, Tensor]:
    """The activation of the earlier layer, and that in the middle of the later layer, (C2,)."""
    values = read_layers(model, image.to(own_device(model)).requires_grad_(), [layer, later])
    _, places = (values[name].places() for name in (layer, later))
    height, width = places.shape[2:]
    return values[layer], places[0, :, height // 2, width // 2]


def _middle(stacked: np.ndarray) -> tuple[int, int]:
    """The position in the earlier layer that corresponds to the later unit: the center of the non-zero weights."""
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


def _identity(input: Tensor, *arguments: Any, **options: Any) -> Tensor:
    return input


def _averaged(
    value: Tensor, kernel_size: Window, stride: Window, padding: Window, dilation: Window, ceil_mode: bool
) -> Tensor:
    """Averages over the windows of a max pool, without padding (torch's own, and cells of -inf)."""
    if not np.all(np.equal(dilation, 1)):
        return F.max_pool2d(value, kernel_size, stride, padding, dilation, ceil_mode)  # average pools have no dilation
    inside = value != -math.inf  # converted networks pad with -inf if torch's own padding cannot express theirs
    total, count = (
        F.avg_pool2d(one, kernel_size, stride, padding, ceil_mode)
        for one in (value.masked_fill(~inside, 0), inside.to(value.dtype))
    )
    return total / count.clamp(min=1e-6)


class _Linear(gradient_override_map):
    """Context in which ReLUs and response norms are the identity and max pools average, as modules or functions."""

    def __init__(self) -> None:
        identity, average = GradientSubstitute(_identity), GradientSubstitute(_averaged)
        substitutes = {"Relu": identity, "Relu6": identity, "MaxPool": average}
        super().__init__(substitutes)

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        other = _FURTHER.get(func)
        return super().__torch_function__(func, types, args, kwargs) if other is None else other(*args, **kwargs or {})


_FURTHER: dict[Any, Callable[..., Tensor]] = {
    F.adaptive_max_pool2d: lambda input, output_size, *rest, **options: F.adaptive_avg_pool2d(input, output_size),
    F.local_response_norm: _identity,
}


@contextlib.contextmanager
def _linear(network: torch.nn.Module) -> Iterator[None]:
    """Context in which ReLUs, max pools and response norms of a network are linear."""
    # The converters' LocalResponseNorm calls several torch functions, so a hook replaces its output.
    norms = [module for module in network.modules() if type(module) is LocalResponseNorm]
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
    """Weights of a layer in terms of a few factors of their input channels.

    Attributes:
        layer: name of the layer.
        maps: signed weights of each unit for each factor, [units, kh, kw, factors].
        channels: non-negative weights of the input channels in each factor, [factors, channels].
    """

    layer: str
    maps: np.ndarray
    channels: np.ndarray

    @property
    def pictures(self) -> np.ndarray:
        """The positive parts of the first three factors as red, green and blue, [units, kh, kw, 3] in [0, 1]."""
        shown = self.maps[..., :3].clip(0)
        padded = np.concatenate([shown, np.zeros((*shown.shape[:-1], 3 - shown.shape[-1]))], -1)
        return (padded / max(float(padded.max()), 1e-12)).astype(np.float32)


@checked
def factored_weights(model: Model, layer: str, factors: int = 3, *, seed: int = 0) -> FactoredWeights:
    """Factors the input channels of a convolution by one-sided NMF, as the articles do to color weights.

    The factors are those of the magnitudes of the weights. The signed weights of each unit are projected onto them.

    Args:
        model: the model.
        layer: name of a convolution, as for `kernels_of`.
        factors: number of factors.
        seed: seed of the factorization's start.

    Raises:
        ValueError: the layer is not a convolution, or has fewer input channels than factors.
        converters.LayerNotFoundError: the layer does not exist.
        ImportError: scikit-learn is not installed.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = factored_weights(TinyInceptionV1(), "conv2d2", 2)
        >>> found.maps.shape, found.channels.shape
        ((48, 3, 3, 2), (2, 16))
    """
    kernels = kernels_of(model, layer)
    _check_factors(layer, kernels.shape[-1], factors)
    return _factored(layer, kernels, np.abs(kernels), factors, seed)


@checked
def factored_connections(weights: ExpandedWeights, factors: int = 2, *, seed: int = 0) -> FactoredWeights:
    """Factors the earlier channels of expanded weights by one-sided NMF.

    A factor holds channels that excite the later units in the same positions and inhibit them in the same positions.
    High-Low Frequency Detectors finds in this way the two groups of units that excite and inhibit these detectors.
    Positive and negative weights are factored as separate samples, and the maps of a factor are signed.

    Args:
        weights: the weights between two layers.
        factors: number of factors.
        seed: seed of the factorization's start.

    Returns:
        The factors, with maps [units, size, size, factors] and channels in the order of `weights.sources`.

    Raises:
        ValueError: there are fewer sources than factors.
        ImportError: scikit-learn is not installed.

    Example:
        >>> import numpy as np
        >>> weights = ExpandedWeights(("a", "b"), (0,), (0, 1, 2), np.ones((1, 3, 5, 5), np.float32))
        >>> factored_connections(weights, 1).maps.shape
        (1, 5, 5, 1)
    """
    values = weights.values.transpose(0, 2, 3, 1)
    _check_factors(weights.layers[0], values.shape[-1], factors)
    return _factored(weights.layers[0], values, np.concatenate([values.clip(0), (-values).clip(0)]), factors, seed)


def _check_factors(layer: str, channels: int, factors: int) -> None:
    if checks.whole(factors, "factors", 1) > channels:
        raise ValueError(f"{channels} channels of {layer!r} do not make {factors} factors: pass a smaller number.")


def _factored(layer: str, values: np.ndarray, cases: np.ndarray, factors: int, seed: int) -> FactoredWeights:
    """Factors of non-negative samples [..., channels]; projects values [units, kh, kw, channels] onto them."""
    reducer = ChannelReducer(factors, "NMF", random_state=seed, max_iter=1000)
    reducer.fit(cases)
    channels = np.asarray(reducer.components, np.float32)
    lengths = np.maximum(np.linalg.norm(channels, axis=1, keepdims=True), 1e-12)
    return FactoredWeights(layer, values @ np.linalg.pinv(channels / lengths).astype(np.float32), channels)
