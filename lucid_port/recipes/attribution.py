"""Attribution: how much channels and positions of a layer contribute to a class, or to a later layer.

Olah et al.: The Building Blocks of Interpretability (Distill, 2018), https://distill.pub/2018/building-blocks; Lucid's
notebooks building-blocks/AttrChannel and AttrSpatial. The attribution of an activation is the activation times the
gradient of a score with respect to it: its contribution according to a linear model of the rest of the network.
Integrated along the path from zero activation, attributions sum exactly to the score's change (Sundararajan, Taly, Yan:
Axiomatic Attribution for Deep Networks, 2017). Max pools make gradients noisy; the gradient of a smoother pool may
replace theirs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.classes import class_number, logits_layer
from lucid_port.modelzoo.layouts import Layout, plain_layout
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.optvis.overrides.gradient_override import Op, gradient_override_map
from lucid_port.optvis.overrides.smoothed_maxpool_grad import l2_smoothed_maxpool_grad
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import (
    ClassLike,
    ImageLike,
    LayerValue,
    PositionsLike,
    as_batch,
    check_positions,
    load_image,
    model_size,
    read_layers,
)

__all__ = [
    "POOLS",
    "ChannelAttribution",
    "PositionAttribution",
    "channel_attribution",
    "class_attribution",
    "class_number",
    "gradient_magnitudes",
    "input_attribution",
    "logits_layer",
    "spatial_attribution",
]

POOLS = ("native", "smooth", "smooth_blurred")
"""Gradients of max pools: their own, that of avg(x^2) / (0.01 + avg(|x|)) over each window, or the latter blurred."""

_BLUR = ((0.25, 0.5, 0.25), (0.5, 0.25, 0.5), (0.25, 0.5, 0.25))
PATH_BATCH = 10  # points of a path in one batch
NOISE = 1.5  # a stochastic path multiplies each channel by the sum of two uniform draws, divided by this

Score = Callable[[torch.Tensor], torch.Tensor]


def _score(model: Model, toward: ClassLike, against: ClassLike | None, logits: str | None) -> tuple[Score, str]:
    """A function from logits (N, classes) to N scores (a logit, or the difference of two), and the logits' layer."""
    first = class_number(model, toward)
    second = None if against is None else class_number(model, against)
    if first == second:
        raise ValueError(f"A class is compared with another, not with itself: {toward!r} and {against!r} are the same.")

    def score(logits: torch.Tensor) -> torch.Tensor:
        rows = logits.flatten(1) if logits.dim() > 2 else logits
        for number in (first, second):
            if number is not None and number >= rows.shape[1]:
                raise ValueError(f"There is no class {number}: the layer has {rows.shape[1]}.")
        return rows[:, first] if second is None else rows[:, first] - rows[:, second]

    return score, logits_layer(model) if logits is None else logits


# Pools -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _pools(kind: str) -> Iterator[None]:
    """Context in which max pools have one of the gradients of `POOLS`."""
    if checks.choice(kind, "pools", POOLS) == "native":
        yield
        return
    with gradient_override_map({"MaxPool": l2_smoothed_maxpool_grad if kind == "smooth" else _blurred_gradient}):
        yield


def _blurred_gradient(op: Op, grad: torch.Tensor) -> torch.Tensor:
    gradient = l2_smoothed_maxpool_grad(op, grad)
    kernel = gradient.new_tensor(_BLUR)[None, None].expand(gradient.shape[1], 1, 3, 3)
    return F.conv2d(gradient, kernel, padding=1, groups=gradient.shape[1])


# Layer to class ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChannelAttribution:
    """Contributions of the channels of a layer to a score.

    Attributes:
        layer: name of the layer.
        values: [C], summed over positions, and in a layer of tokens over all tokens.
        field: [h, w, C], the contribution at each position. In a layer of tokens, those of the patches, or [L, C] if
            they are not on a grid.
        activations: [h, w, C], as `field`.
    """

    layer: str
    values: np.ndarray
    field: np.ndarray
    activations: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """Channel numbers, [C], by decreasing contribution."""
        return np.argsort(-self.values, kind="stable")


@strictly
@checked
def channel_attribution(
    model: Model,
    image: ImageLike,
    layer: str,
    toward: ClassLike,
    against: ClassLike | None = None,
    *,
    logits: str | None = None,
    path_steps: int | None = None,
    stochastic: bool = False,
    pools: str = "native",
    seed: int = 0,
) -> ChannelAttribution:
    """Contributions of the channels of a layer to a class, or to the difference of two classes.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: name of the layer.
        toward: number or label of a class.
        against: another class, whose logit is subtracted.
        logits: the layer of the classes' logits; the one before the last softmax by default.
        path_steps: number of points n over which the gradient is averaged, at activations times 0, 1/n, ...,
            (n - 1)/n (100 in the notebook). None for the gradient at the activations themselves.
        stochastic: multiply each channel at each point of the path by a random factor, (U + U) / 1.5.
        pools: gradient of max pools, see `POOLS`.
        seed: seed of the random factors.

    Raises:
        ValueError: a class does not exist or is compared with itself, the logits do not depend on the layer, or
            `pools` is unknown.
        converters.LayerNotFoundError: a layer does not exist.
        converters.InputSizeError: the logits cannot be computed at the model's size.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = channel_attribution(TinyInceptionV1(), np.full((96, 96, 3), 0.5), "mixed4d", "heart", "bricks")
        >>> found.field.shape == found.activations.shape
        True
    """
    options: dict[str, Any] = {"path_steps": path_steps, "stochastic": stochastic, "pools": pools, "seed": seed}
    return _attribute(model, image, layer, toward, against, logits=logits, **options)[0]


def _attribute(
    model: Model,
    image: ImageLike,
    layer: str,
    toward: ClassLike,
    against: ClassLike | None = None,
    *,
    logits: str | None = None,
    path_steps: int | None = None,
    stochastic: bool = False,
    pools: str = "native",
    seed: int = 0,
) -> tuple[ChannelAttribution, Layout]:
    """The result of `channel_attribution`, and the layout of the layer."""
    pixels = as_batch(model, load_image(image, model_size(model)))
    score, logits = _score(model, toward, against, logits)
    with torch.enable_grad(), _pools(pools):
        if path_steps is None:
            values = read_layers(model, pixels.requires_grad_(), [layer, logits])
            activation = values[layer]
            (gradient,) = gradients_by(score(values[logits].value).sum(), {layer: activation.value}, logits)
        else:
            factors = _path(checks.whole(path_steps, "path_steps", 1), stochastic, seed)
            activation, gradient = _path_gradient(model, pixels, layer, logits, score, factors)
    contributed = activation.holding(activation.value * gradient)
    whole = contributed.array()
    total = whole.reshape(-1, whole.shape[-1]).sum(0)
    return ChannelAttribution(layer, total, contributed.arranged(), activation.arranged()), activation.layout


@strictly
@checked
def class_attribution(
    model: Model, image: ImageLike, layer: str, toward: ClassLike, against: ClassLike | None = None, **options: Any
) -> np.ndarray:
    """Contributions of the positions of a layer to a class, [h, w]; arguments as for `channel_attribution`.

    Raises:
        ValueError: the layer is fully connected; other cases as for `channel_attribution`.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> class_attribution(TinyInceptionV1(), np.full((96, 96, 3), 0.5), "mixed4d", "heart").shape
        (6, 6)
    """
    found, layout = _attribute(model, image, layer, toward, against, **options)
    if not layout.has_places:
        raise ValueError(layout.no_places())
    return found.field.sum(-1)


@strictly
@checked
def input_attribution(
    model: Model,
    image: ImageLike,
    toward: ClassLike,
    against: ClassLike | None = None,
    *,
    logits: str | None = None,
    pools: str = "native",
) -> np.ndarray:
    """Contributions of the pixels to a class, pixel times gradient; arguments as for `channel_attribution`.

    Returns:
        [H, W, 3].

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> input_attribution(TinyInceptionV1(), np.full((96, 96, 3), 0.5), "heart").shape
        (96, 96, 3)
    """
    pixels = as_batch(model, load_image(image, model_size(model))).requires_grad_()
    score, logits = _score(model, toward, against, logits)
    with torch.enable_grad(), _pools(pools):
        value = score(model.activations(pixels, [logits])[logits]).sum()
        (gradient,) = gradients_by(value, {"input": pixels}, logits)
    return LayerValue(pixels * gradient, plain_layout("input", 4)).array()


@strictly
@checked
def gradient_magnitudes(
    model: Model,
    image: ImageLike,
    layers: Sequence[str],
    toward: ClassLike,
    against: ClassLike | None = None,
    *,
    logits: str | None = None,
    pools: str = "native",
) -> dict[str, np.ndarray]:
    """The length of a class's gradient at each position of the input and of layers.

    Strided convolutions and max pools imprint their grid on these maps, most strongly near the input: Feature
    Visualization (Distill, 2017), "The enemy of feature visualization".

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layers: convolutional layers, in any order; `"input"` is the picture itself.
        toward, against, logits, pools: as for `channel_attribution`.

    Returns:
        layer -> [h, w], in the order of `layers`.

    Raises:
        ValueError: a layer is fully connected, the logits do not depend on it, a class does not exist, or `layers` is
            empty.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = gradient_magnitudes(TinyInceptionV1(), np.full((96, 96, 3), 0.5), ["input", "mixed4d"], "heart")
        >>> {layer: values.shape for layer, values in found.items()}
        {'input': (96, 96), 'mixed4d': (6, 6)}
    """
    names = list(dict.fromkeys(checks.items(layers, "layers", "a list of layers")))
    if not names:
        raise ValueError("layers names no layer: name at least one.")
    pixels = as_batch(model, load_image(image, model_size(model))).requires_grad_()
    score, logits = _score(model, toward, against, logits)
    with torch.enable_grad(), _pools(pools):
        values = read_layers(model, pixels, [*(name for name in names if name != "input"), logits])
        total = score(values[logits].value).sum()
        values["input"] = LayerValue(pixels, plain_layout("input", 4))
        for name in names:
            values[name].places()  # raises an error if there are none
        gradients = gradients_by(total, {name: values[name].value for name in names}, logits)
    found = {name: values[name].holding(one).arranged() for name, one in zip(names, gradients, strict=True)}
    return {name: np.linalg.norm(one, axis=-1) for name, one in found.items()}


def gradients_by(
    value: torch.Tensor, by: Mapping[str, torch.Tensor], later: str, keep: bool = False
) -> list[torch.Tensor]:
    """The gradients of a number with respect to activations.

    Args:
        value: a number that is computed from the layer `later`.
        by: layer -> activation.
        later: the name of the later layer, for messages.
        keep: keep the graph for further gradients.

    Raises:
        ValueError: the number does not depend on an activation.
    """
    gradients: Sequence[torch.Tensor | None] = [None] * len(by)
    if value.requires_grad:
        gradients = torch.autograd.grad(value, list(by.values()), retain_graph=keep, allow_unused=True)
    found = []
    for layer, gradient in zip(by, gradients, strict=True):
        if gradient is None:
            raise ValueError(f"Layer {later!r} does not depend on layer {layer!r}: name the earlier layer first.")
        found.append(gradient)
    return found


def _path(steps: int, stochastic: bool, seed: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from an activation (rows, C, ...) to its factors along the path, (steps, 1, C, 1, ...)."""

    def factors(activation: torch.Tensor) -> torch.Tensor:
        channels = activation.shape[1]
        along = np.arange(steps, dtype=np.float64)[:, None] / steps * np.ones((1, channels))
        if stochastic:
            along = along * RandomSource(seed).uniform("path", (2, steps, channels)).sum(0) / NOISE
        shape = (steps, 1, channels, *[1] * (activation.dim() - 2))
        return torch.from_numpy(along.astype(np.float32)).to(activation.device).reshape(shape)

    return factors


def _path_gradient(
    model: Model,
    pixels: torch.Tensor,
    layer: str,
    logits: str,
    score: Score,
    path: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[LayerValue, torch.Tensor]:
    """The activation, and the gradient of the score averaged along a path."""
    able: Any = model
    with torch.no_grad():
        activation = read_layers(model, pixels, [layer])[layer]
    layout, first = activation.layout, activation.first
    points = path(first) * first  # (steps, rows, C, ...)
    total = torch.zeros_like(first)
    for part in points.split(PATH_BATCH):
        given = layout.restore(part.flatten(0, 1)).detach().requires_grad_()
        values = able.activations(pixels.expand(len(part), -1, -1, -1), [logits], given={layer: given})
        (gradient,) = gradients_by(score(values[logits]).sum(), {layer: given}, logits)
        total += layout.channels_first(gradient).unflatten(0, part.shape[:2]).sum(0)
    return activation, layout.restore(total / len(points))


# Layer to layer ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PositionAttribution:
    """Contributions of the positions of a layer to the positions of a later layer.

    Attributes:
        layers: names of the earlier and the later layer.
        values: [h2, w2, h1, w1]: contribution to position (h2, w2) of the later layer from (h1, w1) of the earlier.
    """

    layers: tuple[str, str]
    values: np.ndarray

    @property
    def normalised(self) -> np.ndarray:
        """Positive values divided by the largest, in [0, 1], negative ones set to 0, as the notebook shows them."""
        positive = self.values.clip(0)
        return positive / max(float(positive.max()), 1e-12)


@strictly
@checked
def spatial_attribution(
    model: Model,
    image: ImageLike,
    layer: str,
    later: str,
    *,
    pools: str = "native",
    positions: PositionsLike | None = None,
) -> PositionAttribution:
    """Contributions of the positions of a layer to the length of the activation vectors of a later layer.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: the earlier layer.
        later: the later layer.
        pools: gradient of max pools, see `POOLS`.
        positions: (row, column) pairs of the later layer; all by default. The values of other positions are 0.

    Raises:
        ValueError: a layer is fully connected, the later layer does not depend on the earlier, or a position does not
            exist.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> image = np.full((96, 96, 3), 0.5)
        >>> spatial_attribution(TinyInceptionV1(), image, "mixed4a", "mixed4d", positions=[(0, 0)]).values.shape
        (6, 6, 6, 6)
    """
    pixels = as_batch(model, load_image(image, model_size(model)))
    with torch.enable_grad(), _pools(pools):
        values = read_layers(model, pixels.requires_grad_(), [layer, later])
        own = values[layer]
        places = own.places()
        norms = values[later].places()[0].square().sum(0).clamp(min=1e-30).sqrt()
        rows, columns = norms.shape
        found = np.zeros((rows, columns, *places.shape[2:]), np.float32)
        for row, column in check_positions(positions, rows, columns):
            (gradient,) = gradients_by(norms[row, column], {layer: own.value}, later, keep=True)
            contributed = own.holding(own.value * gradient).places()
            found[row, column] = contributed[0].sum(0).detach().cpu().numpy()
    return PositionAttribution((layer, later), found)
