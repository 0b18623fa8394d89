"""Which channels and which positions argue for a class, or for what a later layer sees.

Olah et al.: The Building Blocks of Interpretability (Distill, 2018), https://distill.pub/2018/building-blocks; Lucid's
notebooks building-blocks/AttrChannel and AttrSpatial. The attribution of an activation is the activation times the
gradient of a score with respect to it: what a linear model of the rest of the network says that it contributes.
Integrated along the path from no activation at all, it is exact in sum (Sundararajan, Taly, Yan: Axiomatic Attribution
for Deep Networks, 2017). Max pools make gradients rough; a smoother pool's gradient may be taken instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lucid_port.misc import checks
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.optvis.overrides.gradient_override import gradient_override_map
from lucid_port.optvis.overrides.smoothed_maxpool_grad import l2_smoothed_maxpool_grad
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import as_batch, check_positions, load_image, model_size

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
"""Which gradient max pools have: their own; that of avg(x^2) / (0.01 + avg(|x|)) over each window; that, blurred."""

_BLUR = ((0.25, 0.5, 0.25), (0.5, 0.25, 0.5), (0.25, 0.5, 0.25))
PATH_BATCH = 10  # points of a path that are computed together
NOISE = 1.5  # the stochastic path's factor for each channel is the sum of two uniform draws over this

Score = Callable[[torch.Tensor], torch.Tensor]


# Classes -----------------------------------------------------------------------------------------


def logits_layer(model: Model) -> str:
    """The layer before a model's last softmax.

    Raises:
        ValueError: the model does not tell; name the layer.
    """
    program = getattr(model.network, "program", None)
    softmaxes = [step for step in program.steps if step.op == "Softmax"] if program is not None else []
    if not softmaxes:
        raise ValueError("It cannot be told which layer has the classes' logits: name it with logits.")
    return str(softmaxes[-1].inputs[0])


def class_number(model: Model, label: Any) -> int:
    """The number of a class, from itself or from the model's label.

    Raises:
        ValueError: there is no such label, or it names several classes.
    """
    if not isinstance(label, str):
        return checks.whole(label, "A class", 0)
    names = [name.lower() for name in model.labels]
    exact = [number for number, name in enumerate(names) if name == label.lower()]
    found = exact or [number for number, name in enumerate(names) if label.lower() in name.split(", ")]
    if len(found) != 1:
        near = [name for name in names if label.lower() in name][:5]
        hint = f"; near: {', '.join(near)}" if near else ""
        raise ValueError(f"{label!r} names {len(found)} classes of the model, not one{hint}.")
    return found[0]


def _score(model: Model, toward: Any, against: Any) -> Score:
    """From logits (N, classes) to one number an image: a logit, or the difference of two."""
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

    return score


# Pools -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _pools(kind: str) -> Iterator[None]:
    if kind not in POOLS:
        raise ValueError(f"pools is one of {', '.join(map(repr, POOLS))}, not {checks.shown(kind)}.")
    if kind == "native":
        yield
        return
    with gradient_override_map({"MaxPool": l2_smoothed_maxpool_grad if kind == "smooth" else _blurred_gradient}):
        yield


def _blurred_gradient(op: Any, grad: torch.Tensor) -> torch.Tensor:
    gradient = l2_smoothed_maxpool_grad(op, grad)
    kernel = gradient.new_tensor(_BLUR)[None, None].expand(gradient.shape[1], 1, 3, 3)
    return F.conv2d(gradient, kernel, padding=1, groups=gradient.shape[1])


# Layer to class ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChannelAttribution:
    """What each channel of a layer contributes to a score.

    Attributes:
        layer: the layer.
        values: [C], summed over positions.
        field: [h, w, C], at each position.
        activations: [h, w, C].
    """

    layer: str
    values: np.ndarray
    field: np.ndarray
    activations: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """Channels, those that argue most for the score first."""
        return np.argsort(-self.values, kind="stable")


@strictly
def channel_attribution(
    model: Model,
    image: Any,
    layer: str,
    toward: Any,
    against: Any = None,
    *,
    logits: str | None = None,
    path_steps: int | None = None,
    stochastic: bool = False,
    pools: str = "native",
    seed: int = 0,
) -> ChannelAttribution:
    """What each channel of a layer contributes to a class, or to one class against another.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: the layer.
        toward: a class, by number or label.
        against: another class, whose logit is subtracted.
        logits: the layer of the classes' logits; that before the last softmax by default.
        path_steps: None for the plain gradient; else the gradient is averaged over so many points from no activation
            to nearly the whole one (n / path_steps, as in the notebook: 100).
        stochastic: move each channel along the path by a random factor of its own, (U + U) / 1.5.
        pools: see `POOLS`.
        seed: of the random factors.

    Raises:
        ValueError: a class does not exist or is compared with itself, the classes do not depend on the layer, or
            `pools` is unknown.
        converters.LayerNotFoundError: a layer does not exist.
        converters.InputSizeError: the classes cannot be computed at the model's size.
    """
    pixels = as_batch(model, load_image(image, model_size(model)))
    score, logits = _score(model, toward, against), logits_layer(model) if logits is None else logits
    with torch.enable_grad(), _pools(pools):
        if path_steps is None:
            activation, gradient = _gradient(model, pixels, layer, logits, score)
        else:
            factors = _path(checks.whole(path_steps, "path_steps", 1), stochastic, seed)
            activation, gradient = _path_gradient(model, pixels, layer, logits, score, factors)
    field = _nhwc(activation * gradient)
    return ChannelAttribution(layer, field.reshape(-1, field.shape[-1]).sum(0), field, _nhwc(activation))


@strictly
def class_attribution(
    model: Model, image: Any, layer: str, toward: Any, against: Any = None, **options: Any
) -> np.ndarray:
    """What each position of a layer contributes to a class, [h, w]; arguments as for `channel_attribution`.

    Raises:
        ValueError: the layer is fully connected.
    """
    field = channel_attribution(model, image, layer, toward, against, **options).field
    if field.ndim != 3:
        raise ValueError(f"Layer {layer!r} is fully connected: it has no positions. Name a convolutional layer.")
    return field.sum(-1)


@strictly
def input_attribution(
    model: Model, image: Any, toward: Any, against: Any = None, *, logits: str | None = None, pools: str = "native"
) -> np.ndarray:
    """What each pixel contributes to a class, [H, W, 3]: pixel times gradient; else as `channel_attribution`."""
    pixels = as_batch(model, load_image(image, model_size(model))).requires_grad_()
    score, logits = _score(model, toward, against), logits_layer(model) if logits is None else logits
    with torch.enable_grad(), _pools(pools):
        value = score(model.activations(pixels, [logits])[logits]).sum()
        (gradient,) = torch.autograd.grad(value, pixels)
    return _nhwc(pixels * gradient)


@strictly
def gradient_magnitudes(
    model: Model,
    image: Any,
    layers: Sequence[str],
    toward: Any,
    against: Any = None,
    *,
    logits: str | None = None,
    pools: str = "native",
) -> dict[str, np.ndarray]:
    """How much each position of the input and of some layers would change a class: the length of its gradient.

    Strided convolutions and max pools leave their grid in these maps, more of it the nearer they are to the input:
    Feature Visualization (Distill, 2017), "The enemy of feature visualization".

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layers: convolutional layers, in any order; `"input"` is the picture itself.
        toward, against, logits, pools: as for `channel_attribution`.

    Returns:
        layer -> [h, w], in the order of `layers`.

    Raises:
        ValueError: a layer is fully connected, or the classes do not depend on it; a class does not exist; no layer is
            named.
        converters.LayerNotFoundError: there is no such layer.
    """
    names = checks.items(layers, "layers", "a list of layers")
    if not names:
        raise ValueError("layers names no layer.")
    pixels = as_batch(model, load_image(image, model_size(model))).requires_grad_()
    score, logits = _score(model, toward, against), logits_layer(model) if logits is None else logits
    with torch.enable_grad(), _pools(pools):
        values = dict(model.activations(pixels, [*(name for name in names if name != "input"), logits]))
        total = score(values[logits]).sum()
        values["input"] = pixels
        for name in names:
            if values[name].dim() != 4:
                raise ValueError(f"Layer {name!r} is fully connected: it has no positions. Name a convolutional layer.")
        gradients = torch.autograd.grad(total, [values[name] for name in names], allow_unused=True)
    found = {}
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is None:
            raise ValueError(f"Layer {logits!r} does not depend on layer {name!r}: name one that comes before it.")
        found[name] = np.linalg.norm(_nhwc(gradient), axis=-1)
    return found


def _gradient(
    model: Model, pixels: torch.Tensor, layer: str, logits: str, score: Score
) -> tuple[torch.Tensor, torch.Tensor]:
    values = model.activations(pixels.clone().requires_grad_(), [layer, logits])
    return values[layer], _derivative(score(values[logits]).sum(), values[layer], layer, logits)


def _derivative(value: torch.Tensor, by: torch.Tensor, layer: str, logits: str) -> torch.Tensor:
    """The gradient of a score by a layer.

    Raises:
        ValueError: the score does not depend on the layer.
    """
    gradient = torch.autograd.grad(value, by, allow_unused=True)[0] if value.requires_grad else None
    if gradient is None:
        raise ValueError(f"Layer {logits!r} does not depend on layer {layer!r}: name one that comes before it.")
    return gradient


def _path(steps: int, stochastic: bool, seed: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """From an activation to the factors [steps, C, 1, 1] by which it is multiplied along the path."""

    def factors(activation: torch.Tensor) -> torch.Tensor:
        channels = activation.shape[1]
        along = np.arange(steps, dtype=np.float64)[:, None] / steps * np.ones((1, channels))
        if stochastic:
            along = along * RandomSource(seed).uniform("path", (2, steps, channels)).sum(0) / NOISE
        shape = (steps, channels, *[1] * (activation.dim() - 2))
        return torch.from_numpy(along.astype(np.float32)).to(activation.device).reshape(shape)

    return factors


def _path_gradient(
    model: Model,
    pixels: torch.Tensor,
    layer: str,
    logits: str,
    score: Score,
    path: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The activation, and the score's gradient averaged along a path."""
    able: Any = model
    with torch.no_grad():
        activation = model.activations(pixels, [layer])[layer]
    points = path(activation) * activation
    total = torch.zeros_like(activation)
    for part in points.split(PATH_BATCH):
        part = part.detach().requires_grad_()
        values = able.activations(pixels.expand(len(part), -1, -1, -1), [logits], given={layer: part})
        total += _derivative(score(values[logits]).sum(), part, layer, logits).sum(0, keepdim=True)
    return activation, total / len(points)


def _nhwc(value: torch.Tensor) -> np.ndarray:
    first = value[0].detach().float().cpu().numpy()
    return np.ascontiguousarray(first.transpose(1, 2, 0)) if first.ndim == 3 else first


# Layer to layer ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PositionAttribution:
    """What each position of one layer contributes to each position of a later one.

    Attributes:
        layers: the earlier and the later layer.
        values: [h2, w2, h1, w1]: to position (h2, w2) of the later, from (h1, w1) of the earlier.
    """

    layers: tuple[str, str]
    values: np.ndarray

    @property
    def normalised(self) -> np.ndarray:
        """Without what argues against, over the largest: values in [0, 1] as the notebook shows them."""
        positive = self.values.clip(0)
        return positive / max(float(positive.max()), 1e-12)


@strictly
def spatial_attribution(
    model: Model, image: Any, layer: str, later: str, *, pools: str = "native", positions: Sequence[Any] | None = None
) -> PositionAttribution:
    """What each position of a layer contributes to how strongly each position of a later layer is excited.

    The score of a position of the later layer is the length of its activation vector.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: the earlier layer.
        later: the later layer.
        pools: see `POOLS`.
        positions: (row, column) pairs of the later layer; all by default. The others' values are 0.

    Raises:
        ValueError: a layer is fully connected, the later does not depend on the earlier, or a position does not exist.
        converters.LayerNotFoundError: a layer does not exist.
    """
    pixels = as_batch(model, load_image(image, model_size(model)))
    with torch.enable_grad(), _pools(pools):
        values = model.activations(pixels.clone().requires_grad_(), [layer, later])
        for name in (layer, later):
            if values[name].dim() != 4:
                raise ValueError(f"Layer {name!r} is fully connected: it has no positions. Name a convolutional layer.")
        norms = values[later][0].square().sum(0).clamp(min=1e-30).sqrt()
        rows, columns = norms.shape
        found = np.zeros((rows, columns, *values[layer].shape[2:]), np.float32)
        for row, column in check_positions(positions, rows, columns):
            (gradient,) = torch.autograd.grad(norms[row, column], values[layer], retain_graph=True, allow_unused=True)
            if gradient is None:
                raise ValueError(f"Layer {later!r} does not depend on layer {layer!r}: name the earlier one first.")
            found[row, column] = (values[layer] * gradient)[0].sum(0).detach().cpu().numpy()
    return PositionAttribution((layer, later), found)
