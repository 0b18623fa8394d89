"""Pictures with transparency, which are opaque only where a unit needs them to be.

Mordvintsev, Pezzotti, Schubert, Olah: Differentiable Image Parameterizations (Distill, 2018),
https://distill.pub/2018/differentiable-parameterizations, section "Semi-transparent patterns", and the icons of Olah et
al.: The Building Blocks of Interpretability (Distill, 2018); Lucid's notebooks
differentiable-parameterizations/transparency and misc/alpha_feature_vis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.tensors import to_device
from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many.setup import each_for_itself
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.objectives.base import Activations
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.color import to_valid_rgb_tensor
from lucid_port.optvis.param.spatial import fft_to_image, rfft2d_freqs
from lucid_port.optvis.sampling import RandomSource
from lucid_port.optvis.transform import Shape, Transform
from lucid_port.recipes.feature_visualization import FeatureVisualization
from lucid_port.recipes.inputs import ObjectiveLike, before_relu, check_units, named_objectives
from lucid_port.recipes.steps import alike, in_batches, run

__all__ = ["GAMMA", "AlphaIcons", "Transparent", "alpha_icons", "checkerboard", "over", "transparent"]

GAMMA = 2.2
BACKGROUND_SD, BACKGROUND_DECAY = 0.2, 1.5
SCALES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
WHOLE_SHARE = 0.5  # weight of the transparency of the whole picture, relative to that of the crop

ICON_SCALES = [0.995**n for n in range(-5, 80)] + 2 * [0.998**n for n in range(20, 40)]


def icon_moves(scales: Sequence[float]) -> list[Transform]:
    """The shifts, scales and rotations with which Lucid's notebooks render icons."""
    jitters = [transform.jitter(pixels) for pixels in (4, 4, 8, 8, 8)]
    turns = [*range(-20, 20), *range(-10, 10), *range(-5, 5), *[0] * 5]
    return [*jitters, transform.random_scale(scales), transform.random_rotate(turns)]


ICON_TRANSFORMS = [transform.collapse_alpha_random(), transform.pad(4, "constant", 1), *icon_moves(ICON_SCALES)]
"""The transforms of the notebook misc/alpha_feature_vis."""

OPACITY = 2500.0  # weight of an icon's mean opacity: the notebook's 20000, divided by its row of eight icons
LATER = 0.15  # share of the steps before opacity is penalized: the notebook's 150 of 1000
WASHED = 0.7

Item = TypeVar("Item")


# Showing -----------------------------------------------------------------------------------------


@checked
def checkerboard(
    height: int, width: int | None = None, tiles: int = 8, light: float = 0.95, dark: float = 0.6
) -> np.ndarray:
    """A checkerboard, as background of transparent pictures.

    Args:
        height: in pixels.
        width: in pixels; the height by default.
        tiles: number of pairs of light and dark fields along each axis.
        light, dark: the two gray values, in [0, 1]; the field at the top left is light.

    Returns:
        float32 [H, W, 3].

    Example:
        >>> checkerboard(2, tiles=1, light=1, dark=0)[..., 0]
        array([[1., 0.],
               [0., 1.]], dtype=float32)
    """
    fields = [
        np.arange(size) * 2 * checks.whole(tiles, "tiles", 1) // checks.whole(size, "A checkerboard's size", 1)
        for size in (height, height if width is None else width)
    ]
    even = (fields[0][:, None] + fields[1]) % 2 == 0
    return np.repeat(np.where(even, light, dark).astype(np.float32)[..., None], 3, -1)


@checked
def over(
    pictures: np.ndarray, background: float | Sequence[float] | np.ndarray = 1.0, gamma: float = GAMMA
) -> np.ndarray:
    """Composites pictures over a background in linear light.

    Args:
        pictures: [..., H, W, 4] in [0, 1]; colors are gamma-encoded, as for a display.
        background: a gray value, a color [3] or a picture [H, W, 3]; gamma-encoded, too.
        gamma: exponent of the display; 1 mixes the encoded values, as most programs do.

    Returns:
        float32 [..., H, W, 3] in [0, 1].

    Raises:
        ValueError: `pictures` does not have four channels.

    Example:
        >>> import numpy as np
        >>> over(np.array([[[0.0, 0.0, 0.0, 0.5]]]), background=1.0, gamma=1)
        array([[[0.5, 0.5, 0.5]]], dtype=float32)
    """
    if pictures.shape[-1] != 4:
        raise ValueError(f"A picture with transparency has 4 channels, not {pictures.shape[-1]}.")
    if not checks.broadcasts(np.shape(background), (*pictures.shape[:-1], 3)):
        raise ValueError(
            f"background is a gray value, a color [3] or a picture {[*pictures.shape[-3:-1], 3]}, not "
            f"{checks.shown(background)}."
        )
    colour, alpha = pictures[..., :3] ** gamma, pictures[..., 3:]
    mixed = alpha * colour + (1 - alpha) * np.asarray(background, np.float32) ** gamma
    return (mixed ** (1 / gamma)).astype(np.float32)


# Large pictures ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transparent(FeatureVisualization):
    """Pictures with transparency, one for each objective.

    Attributes:
        names: names of the N objectives.
        pictures: [N, H, W, 4] in [0, 1]; colors are gamma-encoded, as for a display.
        losses: maximized values before each update, [N, steps].
    """

    @checked
    def over(self, background: float | Sequence[float] | np.ndarray = 1.0) -> np.ndarray:
        """The pictures over a background, see the function `over`."""
        return over(self.pictures, background)


@checked
def transparent(
    model: Model,
    wanted: Iterable[ObjectiveLike],
    *,
    size: int = 320,
    crop: int | None = None,
    lr: float = 0.03,
    steps: int = 1000,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> Transparent:
    """Renders pictures that are opaque only where they need to be, as in the article's figure 11.

    Each update composites the picture over a random background in linear light, scales it at random, and shows the
    network a random crop. The maximized value is the objective times the mean transparency of the crop, plus half of
    the objective times the mean transparency of the whole picture. If the model has layers before their ReLU
    (`..._pre_relu`), use these, as the notebook does: after a ReLU, crops in which a unit is 0 give no gradient.

    Args:
        model: the model.
        wanted: objectives, or `"layer:channel"`.
        size: height and width in pixels.
        crop: side of the crop that the network sees; half of `size` by default (160 of 320 in the notebook).
        lr: learning rate of Adam.
        steps: number of updates.
        seed: seed of all random draws.
        batch_size: maximum number of pictures in a batch; by default as many as fit into memory.
        verbose: show progress.

    Raises:
        TypeError, ValueError: an argument has the wrong type or is out of range, or the crop is larger than the
            smallest scale of the picture.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> made = transparent(TinyInceptionV1(), ["mixed3a_pre_relu:31"], size=64, steps=2)
        >>> made.pictures.shape, made.over(checkerboard(64)).shape
        ((1, 64, 64, 4), (1, 64, 64, 3))
    """
    names, asked = zip(*named_objectives(wanted, model), strict=True)
    size = checks.whole(size, "size", 2)
    side = size // 2 if crop is None else checks.whole(crop, "crop", 1)
    if side > int(min(SCALES) * size):
        raise ValueError(f"A crop of {side} pixels does not fit into {min(SCALES)} x {size}: pass a smaller crop.")

    def make(chosen: Sequence[Objective]) -> VisT:
        display = _Display()
        return VisT(
            model,
            _times_transparency(chosen, display),
            param.image(size, batch=len(chosen), alpha=True),
            lambda parameters: TFAdam(parameters, lr=lr),
            [Backdrop(), transform.random_scale(SCALES), CropTo(side), display],
            relu_gradient_override=True,
            seed=alike(seed, len(chosen)),
        )

    pictures, losses = _rendered(model, asked, make, steps, batch_size, verbose)
    pictures[..., :3] **= 1 / GAMMA
    return Transparent(names, pictures, losses)


def _rendered(
    model: Model,
    items: Sequence[Item],
    make: Callable[[Sequence[Item]], VisT],
    steps: int,
    batch_size: int | None,
    verbose: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The pictures [N, H, W, 4] and the losses [N, steps] of all items, rendered in batches."""

    def rendered(chosen: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
        vis = make(chosen)
        losses = run(vis, steps, verbose).T
        return vis.image(), losses

    pictures, losses = zip(*in_batches(model, items, make, rendered, batch_size), strict=True)
    return np.concatenate(pictures), np.concatenate(losses)


class _Display:
    """The last transform: drops the alpha channel, and gamma-encodes colors, because networks were trained on these.

    Attributes:
        alpha: the alpha channel of the last image, [N, 1, h, w].
    """

    alpha: torch.Tensor

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        self.alpha = image[:, 3:]
        return image[:, :3] ** (1 / GAMMA)


def _times_transparency(wanted: Sequence[Objective], display: _Display) -> Callable[[Activations], torch.Tensor]:
    """The objective of each image, [N], times the transparency of the crop plus half that of the whole picture."""
    each = each_for_itself(wanted)

    def values(T: Activations) -> torch.Tensor:
        whole, crop = (1 - alpha.flatten(1).mean(1) for alpha in (T("input")[:, 3:], display.alpha))
        return each(T) * (WHOLE_SHARE * whole + crop)

    return values


@dataclass(frozen=True)
class Backdrop(Transform):
    """Composites RGBA images over random pictures, a different one for each image; keeps the alpha channel."""

    kind: ClassVar[str] = "backdrop"

    def make_params(self, source: RandomSource, shape: Shape) -> np.ndarray:
        count, _, height, width = shape
        size = (2, 3, *rfft2d_freqs(height, width).shape)
        return source.normal("noise", size, images=count, axis=1).astype(np.float32)

    def apply(self, image: torch.Tensor, params: Any) -> torch.Tensor:
        noise = to_device(params, image.device, image.dtype)
        smooth = fft_to_image(BACKGROUND_SD * noise, image.shape[2], image.shape[3], BACKGROUND_DECAY)
        colour, alpha = image[:, :3], image[:, 3:]
        return torch.cat([alpha * colour + (1 - alpha) * to_valid_rgb_tensor(smooth, decorrelate=True), alpha], 1)


@dataclass(frozen=True)
class CropTo(Transform):
    """Crops a random square, the same for all images."""

    kind: ClassVar[str] = "crop_to"
    side: int

    def make_params(self, source: RandomSource, shape: Shape) -> tuple[int, int]:
        offsets = [int(source.integers(name, shape[axis] - self.side + 1)) for name, axis in (("y", 2), ("x", 3))]
        return offsets[0], offsets[1]

    def apply(self, image: torch.Tensor, params: Any) -> torch.Tensor:
        y, x = params
        return image[:, :, y : y + self.side, x : x + self.side]

    def output_shape(self, shape: Shape, params: Any) -> Shape:
        return (*shape[:2], self.side, self.side)


# Icons -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AlphaIcons:
    """Icons with transparency.

    Attributes:
        layer: name of the layer.
        units: the N channels.
        pictures: [N, H, W, 4] in [0, 1].
        losses: maximized values before each update, [N, steps].
    """

    layer: str
    units: tuple[int, ...]
    pictures: np.ndarray
    losses: np.ndarray

    @checked
    def washed(self, amount: float = WASHED, background: float = 1.0) -> np.ndarray:
        """The icons as the notebook shows them, [N, H, W, 3]: transparent parts fade by `amount` to the background."""
        colour, alpha = self.pictures[..., :3], self.pictures[..., 3:]
        return colour * ((1 - amount) + amount * alpha) + background * amount * (1 - alpha)


@checked
def alpha_icons(
    model: Model,
    layer: str,
    units: Iterable[int],
    *,
    size: int = 110,
    steps: int = 1000,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> AlphaIcons:
    """Renders icons of the channels of a layer, as in The Building Blocks of Interpretability.

    The maximized value is half the sum of the neuron in the middle (before its ReLU, if the model has that layer) and
    the channel, minus penalties on fine grain and opacity. The penalties decrease with the steps.

    Args:
        model: the model.
        layer: name of a convolutional layer.
        units: channels of the layer.
        size: height and width in pixels.
        steps: number of updates.
        seed: seed of all random draws.
        batch_size: most icons in a batch; by default as many as fit into memory.
        verbose: show progress.

    Raises:
        TypeError, ValueError: the layer has no such channel, or an argument is out of range.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> icons = alpha_icons(TinyInceptionV1(), "mixed3a", [31, 30], size=32, steps=2)
        >>> icons.pictures.shape, icons.washed().shape
        ((2, 32, 32, 4), (2, 32, 32, 3))
    """
    numbers = check_units(model, layer, units)
    steps = checks.whole(steps, "steps", 1)
    center = before_relu(model, layer)

    def make(chosen: Sequence[int]) -> VisT:
        icons = _Icons([0.5 * (objectives.neuron(center, unit) + objectives.channel(layer, unit)) for unit in chosen])
        vis = VisT(
            model,
            icons,
            param.image(checks.whole(size, "size", 1), batch=len(chosen), alpha=True),
            transforms=ICON_TRANSFORMS,
            relu_gradient_override=True,
            seed=alike(seed, len(chosen)),
        )
        icons.progress = lambda: vis.steps / steps
        return vis

    pictures, losses = _rendered(model, numbers, make, steps, batch_size, verbose)
    return AlphaIcons(layer, tuple(numbers), pictures, losses)


class _Icons:
    """The objective of each icon, [N].

    Attributes:
        progress: returns the share of updates made so far, from 0 to 1.
    """

    progress: Callable[[], float]

    def __init__(self, wanted: Sequence[Objective]) -> None:
        self._values = each_for_itself(wanted)
        blurs = objectives.blur_input_each_step(), objectives.blur_alpha_each_step()
        self._blurs = [each_for_itself([blur] * len(wanted)) for blur in blurs]

    def __call__(self, T: Activations) -> torch.Tensor:
        done = self.progress()
        slow, fast = 1 - done / 1.5, 1 - done
        blur, alpha_blur = (one(T) for one in self._blurs)
        opacity = T("input")[:, 3:].flatten(1).mean(1) if done >= LATER else 0.0
        return self._values(T) - slow * blur - fast * alpha_blur - OPACITY * slow * opacity
