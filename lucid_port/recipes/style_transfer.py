"""Style transfer: paints a picture in the style of another.

Mordvintsev, Pezzotti, Schubert, Olah: Differentiable Image Parameterizations (Distill, 2018),
https://distill.pub/2018/differentiable-parameterizations, section "Style transfer with non-VGG architectures"; Lucid's
notebook differentiable-parameterizations/style_transfer_2d; after Gatys, Ecker, Bethge: A Neural Algorithm of Artistic
Style (2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.tensors import as_tensor
from lucid_port.optvis import param
from lucid_port.optvis.engine.coerce import Model, TransformsLike
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives.readers import Activations, as_reader, by_image
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import ImageLike, load_image, load_scaled, scaled_size
from lucid_port.recipes.steps import run

__all__ = ["CONTENT_LAYERS", "PARAMETERIZATIONS", "STYLE_LAYERS", "StyleTransfer", "gram_matrices", "style_transfer"]

CONTENT_LAYERS = ("mixed3b",)
STYLE_LAYERS = ("conv2d2", "mixed3a", "mixed4a", "mixed4b", "mixed4c")
CONTENT_WEIGHT = 100.0
PARAMETERIZATIONS = ("decorrelated", "pixel")
"""Frequencies of decorrelated colors, or pixels. The article shows that style transfer fails with pixels."""


@dataclass(frozen=True)
class StyleTransfer:
    """A picture in the style of others.

    Attributes:
        content: the picture, [H, W, 3].
        styles: S pictures, each [at least H, at least W, 3].
        pictures: the picture in each style, [S, H, W, 3] in [0, 1].
        losses: negative distances to content and style before each update, [S, steps].
    """

    content: np.ndarray
    styles: tuple[np.ndarray, ...]
    pictures: np.ndarray
    losses: np.ndarray


@checked
def style_transfer(
    model: Model,
    content: ImageLike,
    style: ImageLike | Sequence[ImageLike],
    *,
    content_layers: str | Sequence[str] = CONTENT_LAYERS,
    style_layers: str | Sequence[str] = STYLE_LAYERS,
    content_weight: float = CONTENT_WEIGHT,
    parameterization: str = "decorrelated",
    transforms: TransformsLike = None,
    lr: float = 0.05,
    size: int | None = None,
    steps: int = 512,
    seed: int = 0,
    verbose: bool = False,
) -> StyleTransfer:
    """Paints a picture in the style of one or several others, all in one batch.

    The distance to the content is the mean absolute difference of activations. The distance to the style is the mean
    absolute difference of Gram matrices. Both are summed over their layers. Each update compares with a random crop of
    the style.

    Args:
        model: the model.
        content: a path, or an array [H, W, C] in [0, 1].
        style: a picture like `content`, or a list of pictures. A smaller picture is enlarged, with its aspect ratio
            kept, until it covers the content.
        content_layers: layers in which the content is compared; by default those of Lucid's InceptionV1.
        style_layers: layers in which the style is compared.
        content_weight: weight of the distance to the content.
        parameterization: see `PARAMETERIZATIONS`.
        transforms: as for `render_vis`, the same for all pictures; Lucid's by default.
        lr: learning rate of Adam.
        size: pixels of the content's longer side, with the aspect ratio kept; its own by default.
        steps: number of updates.
        seed: seed of all random draws; the picture in style k starts like a single picture with `seed + k`.
        verbose: show progress.

    Raises:
        TypeError, ValueError: a picture cannot be read, or an argument has the wrong type or is out of range.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> content, style = np.full((32, 40, 3), 0.5), np.full((48, 48, 3), 0.2)
        >>> style_transfer(TinyInceptionV1(), content, style, steps=2).pictures.shape
        (1, 32, 40, 3)
    """
    checks.choice(parameterization, "parameterization", PARAMETERIZATIONS)
    of_content, of_style = _layers(content_layers, "content_layers"), _layers(style_layers, "style_layers")
    if not of_content and not of_style:
        raise ValueError("content_layers and style_layers are both empty: name a layer in one of them.")
    picture = load_scaled(content, size)
    height, width = picture.shape[:2]
    given = style if isinstance(style, (list, tuple)) else [style]
    if not given:
        raise ValueError("style is a picture or a list of pictures, not an empty list.")
    styles = [_covering(load_image(one), height, width) for one in given]
    decorrelated = parameterization == "decorrelated"
    images = param.image(width, height, batch=len(styles), decorrelate=decorrelated, fft=decorrelated)
    vis = VisT(
        model,
        _negative_distances(len(styles), of_content, of_style, checks.number(content_weight, "content_weight", 0)),
        param.concat([images, param.constant(picture[None]), _RandomCrops(styles, height, width)]),
        lambda parameters: TFAdam(parameters, lr=lr),
        transforms,
        relu_gradient_override=True,
        seed=seed,
    )
    losses = run(vis, steps, verbose)
    return StyleTransfer(picture, tuple(styles), vis.image()[: len(styles)], losses.T)


def _layers(names: str | Sequence[str], what: str) -> list[str]:
    given = checks.items([names] if isinstance(names, str) else names, what, "a list of layers")
    return [checks.text(name, f"Each of {what}", "a layer's name") for name in given]


def _covering(style: np.ndarray, height: int, width: int) -> np.ndarray:
    """The style, enlarged until no side is shorter than the content's."""
    factor = max(height / style.shape[0], width / style.shape[1])
    if factor <= 1:
        return style
    tall, wide = scaled_size(style.shape, factor)
    return load_image(style, (max(tall, height), max(wide, width)))


@checked
def gram_matrices(activation: torch.Tensor) -> torch.Tensor:
    """The Gram matrix of the channels of each image, averaged over positions.

    Args:
        activation: (N, C, H, W), or (N, C, L) of L tokens.

    Returns:
        (N, C, C).

    Raises:
        ValueError: the activation has no positions.

    Example:
        >>> import torch
        >>> gram_matrices(torch.ones(1, 2, 4, 4))
        tensor([[[1., 1.],
                 [1., 1.]]])
    """
    if activation.dim() < 3:
        raise ValueError(
            f"Gram matrices need a layer with positions, not an activation of shape {list(activation.shape)}: name "
            "convolutional layers in style_layers."
        )
    flat = activation.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def _negative_distances(
    count: int, content: Sequence[str], style: Sequence[str], weight: float
) -> Callable[[Activations], torch.Tensor]:
    """The objective of S pictures, [S]: minus their distances. The batch also holds the content, then S styles."""

    def values(T: Activations) -> torch.Tensor:
        total: Any = 0.0
        for layer in content:
            activation = by_image(as_reader(T), layer)
            difference = activation[:count] - activation[count : count + 1].detach()
            total = total + weight * difference.abs().flatten(1).mean(1)
        for layer in style:
            grams = gram_matrices(by_image(as_reader(T), layer))
            total = total + (grams[:count] - grams[count + 1 :].detach()).abs().flatten(1).mean(1)
        return -total

    return values


class _RandomCrops(Parameterization):
    """A random crop of each of some pictures, drawn anew in each evaluation."""

    def __init__(self, pictures: Sequence[np.ndarray], height: int, width: int) -> None:
        super().__init__()
        self._size = (height, width)
        self._source = RandomSource()
        self._count = len(pictures)
        for number, picture in enumerate(pictures):
            pixels = as_tensor(np.ascontiguousarray(picture.transpose(2, 0, 1)))
            self.register_buffer(f"picture{number}", pixels, persistent=False)

    def draw(self, source: RandomSource) -> None:
        self._source = source

    def compute(self, memo: Memo) -> torch.Tensor:
        height, width = self._size
        parts = []
        for number in range(self._count):
            picture = getattr(self, f"picture{number}")
            free = picture.shape[1] - height, picture.shape[2] - width
            y, x = (int(self._source.integers(f"{number}/{axis}", free[axis] + 1)) for axis in (0, 1))
            parts.append(picture[:, y : y + height, x : x + width])
        return torch.stack(parts)
