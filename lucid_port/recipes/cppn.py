"""Compositional pattern producing networks (CPPNs): images as small networks from coordinates to colors.

Mordvintsev, Pezzotti, Schubert, Olah: Differentiable Image Parameterizations (Distill, 2018),
https://distill.pub/2018/differentiable-parameterizations, section "Compositional pattern producing networks"; Lucid's
notebook differentiable-parameterizations/xy2rgb.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.tensors import as_tensor
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many.setup import each_for_itself
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.optvis.param.cppn import (
    composite_activation,
    coordinate_grid,
    relu_normalized_activation,
    unbiased_composite_activation,
)
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import ObjectiveLike, height_and_width, named_objectives
from lucid_port.recipes.steps import alike, in_batches, run_through, update_counts

__all__ = ["ACTIVATIONS", "Networks", "Paintings", "between", "loop", "paint"]

HIDDEN, LAYERS = 24, 8
STRIPE = 1 << 16  # pixels that are computed together


def abs_normalized(x: torch.Tensor) -> torch.Tensor:
    """The absolute value, shifted and scaled to mean 0 and standard deviation 1 for normal input."""
    return (x.abs() - 0.79) / 0.6


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "composite": composite_activation,
    "unbiased_composite": unbiased_composite_activation,
    "relu_normalized": relu_normalized_activation,
    "abs_normalized": abs_normalized,
}
"""The notebook's activation functions by name."""


@checked
@dataclass(frozen=True)
class Networks:
    """N networks from (x, y) to a color, one for each picture, which can be shown at any size.

    Attributes:
        weights: for each layer, float32 [N, outputs, inputs].
        biases: for each layer, float32 [N, outputs].
        activation: a name in `ACTIVATIONS`.

    Example:
        >>> import numpy as np
        >>> networks = Networks((np.zeros((2, 3, 2), np.float32),), (np.zeros((2, 3), np.float32),), "composite")
        >>> networks.paint(4).shape, networks[0].paint((2, 6)).shape
        ((2, 4, 4, 3), (1, 2, 6, 3))
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    activation: str

    def __getitem__(self, index: int | slice) -> Networks:
        """A part of the networks, by number or by slice as in `networks[2:4]`."""
        chosen = index if isinstance(index, slice) else [index]
        return _combined(lambda values: values[chosen], self)

    def __len__(self) -> int:
        return len(self.biases[0])

    @checked
    def paint(self, size: int | Sequence[int] = 224) -> np.ndarray:
        """Renders the pictures in stripes, [N, H, W, 3] in [0, 1].

        Args:
            size: one number for height and width, or (height, width). The shorter side covers the same coordinates as
                the side of a square.
        """
        height, width = height_and_width(size)
        grid = _coordinates(height, width)
        weights, biases = ([as_tensor(one) for one in group] for group in (self.weights, self.biases))
        with torch.no_grad():
            stripes = [_evaluate(weights, biases, ACTIVATIONS[self.activation], part) for part in grid.split(STRIPE, 1)]
        pixels = torch.cat(stripes, 2).reshape(len(self), 3, height, width)
        return pixels.permute(0, 2, 3, 1).numpy().copy()


def _coordinates(height: int, width: int) -> torch.Tensor:
    """The coordinates x and y, [2, H * W], of standard deviation 1 along the shorter side."""
    if height == width:
        return coordinate_grid(width)[0].reshape(2, -1)
    unit = math.sqrt(3) / (max(min(height, width) - 1, 1) / 2)
    lines = [(torch.arange(side, dtype=torch.float32) - (side - 1) / 2) * unit for side in (height, width)]
    y, x = torch.meshgrid(*lines, indexing="ij")
    return torch.stack([x, y]).reshape(2, -1)


def _evaluate(
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    activation: Callable[[torch.Tensor], torch.Tensor],
    grid: torch.Tensor,
) -> torch.Tensor:
    """The colors [N, 3, pixels] at coordinates [2, pixels]."""
    x = grid.expand(len(weights[0]), -1, -1)
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = activation(torch.baddbmm(bias[..., None], weight, x))
    return torch.sigmoid(torch.baddbmm(biases[-1][..., None], weights[-1], x))


class _Paintings(Parameterization):
    """A batch of networks with separate weights.

    They start as in the notebook: weights whose standard deviation preserves that of the signal, zero biases, and a
    last layer of zeros, which makes the picture a flat gray.
    """

    def __init__(self, count: int, size: int, activation: str) -> None:
        super().__init__()
        self._size, self.name = size, activation
        self._activation = ACTIVATIONS[activation]
        grown = self._activation(torch.zeros(1, HIDDEN, 1)).shape[1]
        sizes = [(2, HIDDEN), *[(grown, HIDDEN)] * (LAYERS - 1), (grown, 3)]
        self.weights = torch.nn.ParameterList(torch.zeros(count, outputs, inputs) for inputs, outputs in sizes)
        self.biases = torch.nn.ParameterList(torch.zeros(count, outputs) for _, outputs in sizes)
        self.register_buffer("grid", _coordinates(size, size), persistent=False)

    def draw(self, source: RandomSource) -> None:
        with torch.no_grad():
            for number, weight in enumerate(self.weights[:-1]):
                count, outputs, inputs = weight.shape
                noise = source.normal(f"{number}/weight", (outputs, inputs), images=count)
                weight.copy_(torch.from_numpy(noise / math.sqrt(inputs)))

    def compute(self, memo: Memo) -> torch.Tensor:
        grid = self.grid
        assert isinstance(grid, torch.Tensor)
        pixels = _evaluate(list(self.weights), list(self.biases), self._activation, grid)
        return pixels.reshape(-1, 3, self._size, self._size)

    def networks(self) -> Networks:
        """A copy of the current networks."""

        def copied(parameters: Iterable[torch.Tensor]) -> tuple[np.ndarray, ...]:
            return tuple(parameter.detach().cpu().numpy().copy() for parameter in parameters)

        return Networks(copied(self.weights), copied(self.biases), self.name)


# Painting ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paintings:
    """Pictures and their networks at several numbers of updates.

    Attributes:
        names: names of the N objectives.
        thresholds: T numbers of updates.
        pictures: [T, N, H, W, 3] in [0, 1].
        networks: T groups of N networks.
        losses: objective values before each update, [N, steps].
    """

    names: tuple[str, ...]
    thresholds: tuple[int, ...]
    pictures: np.ndarray
    networks: tuple[Networks, ...]
    losses: np.ndarray


@checked
def paint(
    model: Model,
    wanted: Iterable[ObjectiveLike],
    *,
    size: int = 224,
    steps: int = 512,
    thresholds: Iterable[int] | None = None,
    lr: float = 0.004,
    activation: str = "composite",
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> Paintings:
    """Trains a network for each objective, as in the notebook: by Adam, without transforms.

    Args:
        model: the model.
        wanted: objectives, or `"layer:channel"`.
        size: height and width of the pictures in training; `Networks.paint` shows them at other sizes.
        steps: number of updates.
        thresholds: numbers of updates after which pictures and networks are kept, in addition to the last update.
        lr: learning rate; the article uses 0.004 to 0.005.
        activation: a name in `ACTIVATIONS`.
        seed: seed of all random draws.
        batch_size: maximum number of pictures in a batch; by default as many as fit into memory.
        verbose: show progress.

    Raises:
        TypeError, ValueError: an argument has the wrong type or is out of range.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> made = paint(TinyInceptionV1(), ["mixed4a:48"], size=32, steps=2, thresholds=[1])
        >>> made.thresholds, made.pictures.shape, made.networks[-1].paint(64).shape
        ((1, 2), (2, 1, 32, 32, 3), (1, 64, 64, 3))
    """
    names, asked = zip(*named_objectives(wanted, model), strict=True)
    checks.choice(activation, "activation", ACTIVATIONS)
    size, steps = checks.whole(size, "size", 1), checks.whole(steps, "steps", 1)
    counts = update_counts([steps, *(() if thresholds is None else thresholds)])
    if counts[-1] > steps:
        raise ValueError(f"A threshold of {counts[-1]} is not reached in {steps} steps: pass more steps.")

    def make(chosen: Sequence[Objective]) -> VisT:
        return VisT(
            model,
            each_for_itself(chosen),
            _Paintings(len(chosen), size, activation),
            lambda parameters: TFAdam(parameters, lr=lr),
            [],
            relu_gradient_override=True,
            seed=alike(seed, len(chosen)),
        )

    def painted(chosen: Sequence[Objective]) -> tuple[np.ndarray, list[Networks], np.ndarray]:
        vis = make(chosen)
        paintings = vis.param
        assert isinstance(paintings, _Paintings)
        seen, values = run_through(vis, counts, _look(vis, paintings), verbose)
        return np.stack([one for one, _ in seen]), [one for _, one in seen], values.T

    pictures, trained, losses = zip(*in_batches(model, asked, make, painted, batch_size), strict=True)
    together = tuple(_combined(lambda *parts: np.concatenate(parts), *groups) for groups in zip(*trained, strict=True))
    return Paintings(names, tuple(counts), np.concatenate(pictures, 1), together, np.concatenate(losses))


def _look(vis: VisT, paintings: _Paintings) -> Callable[[], tuple[np.ndarray, Networks]]:
    return lambda: (vis.image(), paintings.networks())


def _combined(function: Callable[..., np.ndarray], *groups: Networks) -> Networks:
    """Networks that result from a function of the corresponding arrays of several groups."""
    weights, biases = (
        tuple(function(*parts) for parts in zip(*(getattr(group, kind) for group in groups), strict=True))
        for kind in ("weights", "biases")
    )
    return Networks(weights, biases, groups[0].activation)


# Between paintings -------------------------------------------------------------------------------


@checked
def between(first: Networks, second: Networks, t: float) -> Networks:
    """Interpolates the weights of networks: ((1 - t) first + t second) (1 + t (1 - t)).

    Args:
        first: the networks at t = 0.
        second: the networks at t = 1.
        t: from 0 to 1.

    Raises:
        ValueError: the networks have different activations or sizes, or `t` is out of range.

    Example:
        >>> import numpy as np
        >>> first, second = (Networks((np.full((1, 3, 2), v),), (np.zeros((1, 3)),), "composite") for v in (0, 4))
        >>> float(between(first, second, 0.5).weights[0][0, 0, 0])
        2.5
    """
    shapes = [[w.shape for w in group.weights] for group in (first, second)]
    if first.activation != second.activation or shapes[0] != shapes[1]:
        raise ValueError("Only networks of one activation and size can be mixed: paint both with the same settings.")
    share = checks.number(t, "t", 0, most=1)

    def mixed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return ((a * (1 - share) + b * share) * (1 + share * (1 - share))).astype(np.float32)

    return _combined(mixed, first, second)


@checked
def loop(first: Networks, second: Networks, frames: int = 60, size: int | Sequence[int] = 224) -> np.ndarray:
    """Animates one picture into another and back, slower at both ends: the article's figure 9.

    Args:
        first: one network.
        second: another network.
        frames: number of frames. Played in a loop, the last frame leads back to the first.
        size: see `Networks.paint`.

    Returns:
        [frames, H, W, 3] in [0, 1].

    Raises:
        ValueError: the networks have different activations or sizes, or an argument holds more than one network.

    Example:
        >>> import numpy as np
        >>> first, second = (Networks((np.full((1, 3, 2), v),), (np.zeros((1, 3)),), "composite") for v in (0, 4))
        >>> loop(first, second, frames=3, size=8).shape
        (3, 8, 8, 3)
    """
    if len(first) != 1 or len(second) != 1:
        raise ValueError("A loop leads from one network to another: choose one of each, as in networks[0].")
    times = [(1 - math.cos(2 * math.pi * k / checks.whole(frames, "frames", 1))) / 2 for k in range(frames)]
    return np.concatenate([between(first, second, t).paint(size) for t in times])
