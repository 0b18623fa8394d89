"""A picture painted as another: style transfer in two dimensions.

Mordvintsev, Pezzotti, Schubert, Olah: Differentiable Image Parameterizations (Distill, 2018),
https://distill.pub/2018/differentiable-parameterizations, section "Style transfer with non-VGG architectures"; Lucid's
notebook differentiable-parameterizations/style_transfer_2d; after Gatys, Ecker, Bethge: A Neural Algorithm of Artistic
Style (2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis import param
from lucid_port.optvis.engine.coerce import Model, TransformsLike
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import load_image, scaled_size
from lucid_port.recipes.steps import run

__all__ = ["CONTENT_LAYERS", "PARAMETERIZATIONS", "STYLE_LAYERS", "StyleTransfer", "gram_matrices", "style_transfer"]

CONTENT_LAYERS = ("mixed3b",)
STYLE_LAYERS = ("conv2d2", "mixed3a", "mixed4a", "mixed4b", "mixed4c")
CONTENT_WEIGHT = 100.0
PARAMETERIZATIONS = ("decorrelated", "pixel")
"""Frequencies of decorrelated colours, or pixels, with which the article shows that it does not work."""


@dataclass(frozen=True)
class StyleTransfer:
    """A picture in the style of others.

    Attributes:
        content: the picture, [H, W, 3].
        styles: the others, each [at least H, at least W, 3].
        pictures: the picture in each style, [S, H, W, 3].
        losses: minus the distances, before each update, [S, steps].
    """

    content: np.ndarray
    styles: tuple[np.ndarray, ...]
    pictures: np.ndarray
    losses: np.ndarray


def style_transfer(
    model: Model,
    content: Any,
    style: Any,
    *,
    content_layers: Sequence[str] = CONTENT_LAYERS,
    style_layers: Sequence[str] = STYLE_LAYERS,
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

    The distance to the content is the mean absolute difference of activations, that to the style the mean absolute
    difference of Gram matrices, each summed over its layers. Each update compares with a random part of the style.

    Args:
        model: the model.
        content: a path, or an array [H, W, C] in [0, 1].
        style: the same, or a list of these; smaller ones are enlarged, aspect ratio kept, until they cover the content.
        content_layers: layers in which the content is compared; by default those of Lucid's InceptionV1.
        style_layers: layers in which the style is compared.
        content_weight: how much the content weighs.
        parameterization: see `PARAMETERIZATIONS`.
        transforms: as for `render_vis`, of all pictures alike; Lucid's by default.
        lr: learning rate of Adam.
        size: pixels of the content's longer side, aspect ratio kept; its own by default.
        steps: number of updates.
        seed: of all random draws; the picture of style k begins as one alone does with `seed + k`.
        verbose: show progress.

    Raises:
        TypeError, ValueError: a picture is none, or an argument makes no sense.
        converters.LayerNotFoundError: a name is no layer's.
    """
    if parameterization not in PARAMETERIZATIONS:
        known = ", ".join(map(repr, PARAMETERIZATIONS))
        raise ValueError(f"parameterization is one of {known}, not {checks.shown(parameterization)}.")
    of_content, of_style = _layers(content_layers, "content_layers"), _layers(style_layers, "style_layers")
    if not of_content and not of_style:
        raise ValueError("content_layers and style_layers are both empty: there is nothing to be like.")
    picture = load_image(content)
    if size is not None:
        longest = max(picture.shape[:2])
        picture = load_image(picture, scaled_size(picture.shape, checks.whole(size, "size", 1) / longest))
    height, width = picture.shape[:2]
    given = style if isinstance(style, (list, tuple)) else [style]
    if not given:
        raise ValueError("style is a picture, or a list of pictures, and it is empty.")
    styles = [_covering(load_image(one), height, width) for one in given]
    decorrelated = parameterization == "decorrelated"
    images = param.image(width, height, batch=len(styles), decorrelate=decorrelated, fft=decorrelated)
    vis = VisT(
        model,
        _Likeness(len(styles), of_content, of_style, checks.number(content_weight, "content_weight", 0)),
        param.concat([images, param.constant(picture[None]), _RandomParts(styles, height, width)]),
        lambda parameters: TFAdam(parameters, lr=lr),
        transforms,
        relu_gradient_override=True,
        seed=seed,
    )
    losses = run(vis, steps, verbose)
    return StyleTransfer(picture, tuple(styles), vis.image()[: len(styles)], losses.T)


def _layers(names: Any, what: str) -> list[str]:
    given = checks.items([names] if isinstance(names, str) else names, what, "a list of layers")
    return [checks.text(name, f"Each of {what}", "a layer's name") for name in given]


def _covering(style: np.ndarray, height: int, width: int) -> np.ndarray:
    """The style, enlarged if a side is shorter than the content's."""
    factor = max(height / style.shape[0], width / style.shape[1])
    if factor <= 1:
        return style
    tall, wide = scaled_size(style.shape, factor)
    return load_image(style, (max(tall, height), max(wide, width)))


def gram_matrices(activation: torch.Tensor) -> torch.Tensor:
    """How channels go together in each image: [N, C, C] of [N, C, H, W], averaged over positions.

    Raises:
        ValueError: it has no positions.
    """
    if activation.dim() != 4:
        raise ValueError(
            f"A style is read from layers with positions, not from one of shape {list(activation.shape)}: name a "
            "convolutional layer."
        )
    flat = activation.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


class _Likeness:
    """[S]: minus the distance of each picture to the content (image S) and to its style (image S + 1 + number)."""

    def __init__(self, count: int, content: Sequence[str], style: Sequence[str], weight: float) -> None:
        self._count, self._content, self._style, self._weight = count, content, style, weight

    def __call__(self, T: Any) -> torch.Tensor:
        count = self._count
        total: Any = 0.0
        for layer in self._content:
            activation = T(layer)
            difference = activation[:count] - activation[count : count + 1].detach()
            total = total + self._weight * difference.abs().flatten(1).mean(1)
        for layer in self._style:
            grams = gram_matrices(T(layer))
            total = total + (grams[:count] - grams[count + 1 :].detach()).abs().flatten(1).mean(1)
        return -total


class _RandomParts(Parameterization):
    """A random part of each of some pictures, another in each evaluation."""

    def __init__(self, pictures: Sequence[np.ndarray], height: int, width: int) -> None:
        super().__init__()
        self._size = (height, width)
        self._source = RandomSource()
        self._count = len(pictures)
        for number, picture in enumerate(pictures):
            pixels = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
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
