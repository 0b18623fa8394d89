"""Pictures with transparency: what a unit looks for is there, and nothing else.

Mordvintsev, Pezzotti, Schubert, Olah: Differentiable Image Parameterizations (Distill, 2018),
https://distill.pub/2018/differentiable-parameterizations, section "Semi-transparent patterns", and the icons of Olah et
al.: The Building Blocks of Interpretability (Distill, 2018); Lucid's notebooks
differentiable-parameterizations/transparency and misc/alpha_feature_vis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.misc.tensors import to_device
from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many.setup import each_for_itself
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.color import to_valid_rgb_tensor
from lucid_port.optvis.param.spatial import fft_to_image, rfft2d_freqs
from lucid_port.optvis.sampling import RandomSource
from lucid_port.optvis.transform import Shape, Transform
from lucid_port.recipes.inputs import before_relu, check_units, named_objectives
from lucid_port.recipes.steps import alike, batches, run

__all__ = ["GAMMA", "AlphaIcons", "Transparent", "alpha_icons", "checkerboard", "over", "transparent"]

GAMMA = 2.2
BACKGROUND_SD, BACKGROUND_DECAY = 0.2, 1.5
SCALES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
WHOLE_SHARE = 0.5  # how much the whole picture's opacity weighs, beside the crop's

ICON_TRANSFORMS: list[Transform] = [
    transform.collapse_alpha_random(),
    transform.pad(4, mode="constant", constant_value=1),
    *(transform.jitter(d) for d in (4, 4, 8, 8, 8)),
    transform.random_scale([0.995**n for n in range(-5, 80)] + [0.998**n for n in (*range(20, 40), *range(20, 40))]),
    transform.random_rotate([*range(-20, 20), *range(-10, 10), *range(-5, 5), *[0] * 5]),
]
"""Those of misc/alpha_feature_vis."""

OPACITY = 2500.0  # what an icon's mean opacity costs: the notebook's 20000, over its row of eight
LATER = 0.15  # after which share of the steps it costs something: the notebook's 150 of 1000
WASHED = 0.7


# Showing -----------------------------------------------------------------------------------------


def checkerboard(height: int, width: int | None = None, tiles: int = 8, light: float = 0.95, dark: float = 0.6) -> Any:
    """The pattern behind what is transparent, float32 [H, W, 3].

    Args:
        height: in pixels.
        width: in pixels; the height by default.
        tiles: pairs of light and dark fields along each axis.
        light, dark: the two greys; the first field is light.
    """
    fields = [
        np.arange(size) * 2 * checks.whole(tiles, "tiles", 1) // checks.whole(size, "A checkerboard's size", 1)
        for size in (height, height if width is None else width)
    ]
    even = (fields[0][:, None] + fields[1]) % 2 == 0
    return np.repeat(np.where(even, light, dark).astype(np.float32)[..., None], 3, -1)


def over(pictures: np.ndarray, background: Any = 1.0, gamma: float = GAMMA) -> np.ndarray:
    """Pictures with transparency on a background, mixed in linear light.

    Args:
        pictures: [..., H, W, 4] in [0, 1], as shown by a display.
        background: a grey, a colour [3] or a picture [H, W, 3], as shown by a display.
        gamma: of the display; 1 mixes the values themselves, as most programs do.

    Returns:
        [..., H, W, 3].

    Raises:
        ValueError: there are not four channels.
    """
    if pictures.shape[-1] != 4:
        raise ValueError(f"A picture with transparency has 4 channels, not {pictures.shape[-1]}.")
    colour, alpha = pictures[..., :3] ** gamma, pictures[..., 3:]
    mixed = alpha * colour + (1 - alpha) * np.asarray(background, np.float32) ** gamma
    return (mixed ** (1 / gamma)).astype(np.float32)


# Large pictures ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transparent:
    """Pictures with transparency.

    Attributes:
        names: what each maximises.
        pictures: [N, H, W, 4] in [0, 1], colours as shown by a display.
        losses: what is maximised, before each update, [N, steps].
    """

    names: tuple[str, ...]
    pictures: np.ndarray
    losses: np.ndarray

    def over(self, background: Any = 1.0) -> np.ndarray:
        """The pictures on a background; see the function `over`."""
        return over(self.pictures, background)


def transparent(
    model: Model,
    wanted: Iterable[Any],
    *,
    size: int = 320,
    crop: int | None = None,
    lr: float = 0.03,
    steps: int = 1000,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> Transparent:
    """Pictures that cover no more than they need, as in the article's figure 11.

    Each update puts the picture on a random background, in linear light, at a random scale, and shows the network a
    random part. What is maximised is the objective times how transparent the part is, plus half of the objective times
    how transparent the whole is. Name layers before their ReLU where the model has them (`..._pre_relu`), as the
    notebook does: after it, parts in which a unit does not fire give no gradient.

    Args:
        model: the model.
        wanted: objectives, or `"layer:channel"`.
        size: height and width in pixels.
        crop: side of the part that the network sees; half the size by default (the notebook's 160 of 320).
        lr: learning rate of Adam.
        steps: number of updates.
        seed: of all random draws.
        batch_size: pictures of a batch; by default what fits into memory.
        verbose: show progress.

    Raises:
        TypeError, ValueError: an argument makes no sense, or the crop does not fit into the smallest scale.
        converters.LayerNotFoundError: there is no such layer.
    """
    names, asked = zip(*named_objectives(wanted), strict=True)
    size = checks.whole(size, "size", 2)
    side = size // 2 if crop is None else checks.whole(crop, "crop", 1)
    if side > int(min(SCALES) * size):
        raise ValueError(f"A crop of {side} pixels does not fit into {min(SCALES)} x {size}, the smallest scale.")

    def make(chosen: Sequence[Objective]) -> VisT:
        display = _Display()
        return VisT(
            model,
            _Scarce(chosen, display),
            param.image(size, batch=len(chosen), alpha=True),
            lambda parameters: TFAdam(parameters, lr=lr),
            [Backdrop(), transform.random_scale(SCALES), CropTo(side), display],
            relu_gradient_override=True,
            seed=alike(seed, len(chosen)),
        )

    pictures, losses = _rendered(asked, make, steps, batch_size, verbose)
    pictures[..., :3] **= 1 / GAMMA
    return Transparent(names, pictures, losses)


def _rendered(items: Sequence[Any], make: Any, steps: int, batch_size: int | None, verbose: bool) -> Any:
    pictures, losses = [], []
    for chosen in batches(items, make, batch_size):
        vis = make(chosen)
        losses.append(run(vis, steps, verbose).T)
        pictures.append(vis.image())
    return np.concatenate(pictures), np.concatenate(losses)


class _Display:
    """The last transform: from linear light to what networks have seen. Keeps how opaque the picture was.

    Attributes:
        alpha: [N, 1, h, w].
    """

    alpha: torch.Tensor

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        self.alpha = image[:, 3:]
        return image[:, :3] ** (1 / GAMMA)


class _Scarce:
    """[N]: each image's objective times its transparency, that of the part and half that of the whole."""

    def __init__(self, wanted: Sequence[Objective], display: _Display) -> None:
        self._values, self._display = each_for_itself(wanted), display

    def __call__(self, T: Any) -> torch.Tensor:
        whole, part = (1 - alpha.flatten(1).mean(1) for alpha in (T("input")[:, 3:], self._display.alpha))
        return self._values(T) * (WHOLE_SHARE * whole + part)


@dataclass(frozen=True)
class Backdrop(Transform):
    """Mix RGBA with a random picture for each image; the fourth channel stays."""

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
    """A random square part, the same of all images."""

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
        layer: the layer.
        units: its channels.
        pictures: [N, H, W, 4] in [0, 1].
        losses: what is maximised, before each update, [N, steps].
    """

    layer: str
    units: tuple[int, ...]
    pictures: np.ndarray
    losses: np.ndarray

    def washed(self, amount: float = WASHED, background: float = 1.0) -> np.ndarray:
        """As the notebook shows them, [N, H, W, 3]: what is transparent fades to the background, but not quite."""
        colour, alpha = self.pictures[..., :3], self.pictures[..., 3:]
        return colour * ((1 - amount) + amount * alpha) + background * amount * (1 - alpha)


def alpha_icons(
    model: Model,
    layer: str,
    units: Iterable[Any],
    *,
    size: int = 110,
    steps: int = 1000,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> AlphaIcons:
    """Icons of a layer's channels, as in The Building Blocks of Interpretability.

    Half the sum of the neuron in the middle (before its ReLU, where the model has that) and the channel, less what
    fine grain and opacity cost; these costs fall with time.

    Args:
        model: the model.
        layer: a convolutional layer.
        units: its channels.
        size: height and width in pixels.
        steps: number of updates.
        seed: of all random draws.
        batch_size: icons of a batch; by default what fits into memory.
        verbose: show progress.

    Raises:
        TypeError, ValueError: the layer has no such channel.
        converters.LayerNotFoundError: there is no such layer.
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

    pictures, losses = _rendered(numbers, make, steps, batch_size, verbose)
    return AlphaIcons(layer, tuple(numbers), pictures, losses)


class _Icons:
    """[N]: what each icon maximises.

    Attributes:
        progress: tells which share of the updates is made.
    """

    progress: Any

    def __init__(self, wanted: Sequence[Objective]) -> None:
        self._count, self._values = len(wanted), each_for_itself(wanted)
        blurs = objectives.blur_input_each_step(), objectives.blur_alpha_each_step()
        self._blurs = [each_for_itself([blur] * len(wanted)) for blur in blurs]

    def __call__(self, T: Any) -> torch.Tensor:
        done = self.progress()
        slow, fast = 1 - done / 1.5, 1 - done
        blur, alpha_blur = (one(T) for one in self._blurs)
        opacity = T("input")[:, 3:].flatten(1).mean(1) if done >= LATER else 0.0
        return self._values(T) - slow * blur - fast * alpha_blur - OPACITY * slow * opacity
