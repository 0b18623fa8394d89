"""Studies of regularization: preconditioning, penalties and transforms that keep high-frequency noise out of pictures.

Olah, Mordvintsev, Schubert: Feature Visualization (Distill, 2017), https://distill.pub/2017/feature-visualization,
section "The enemy of feature visualization"; Lucid's notebook feature-visualization/regularization. Each study renders
units with all combinations of some settings, and keeps the pictures at several numbers of updates.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many.setup import each_for_itself
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.optvis.sampling import RandomSource
from lucid_port.optvis.transform import Transform
from lucid_port.recipes.inputs import UnitLike, named_unit, unit_names
from lucid_port.recipes.steps import alike, in_batches, run_through, update_counts

__all__ = [
    "ARTICLE_PENALTIES",
    "ARTICLE_TRANSFORMS",
    "PENALTIES",
    "TRANSFORMS",
    "Study",
    "frequency_penalties",
    "preconditioning",
    "transformation_robustness",
]

RATE = 0.05
RATES = (0.01, 0.025, 0.05, 0.1, 0.25)
THRESHOLDS = (1, 32, 128, 256, 2048)

PENALTIES: dict[str, Callable[[], Objective]] = {
    "L1": lambda: objectives.L1(constant=0.5),
    "total_variation": objectives.total_variation,
    "blur": objectives.blur_input_each_step,
}
"""Penalties on high frequencies, by name."""

NOTEBOOK_PENALTIES = {"L1": (0, 0.05), "total_variation": (0, 0.25), "blur": (0, 1.0)}
ARTICLE_PENALTIES = {
    "L1": (0, 0.05, 0.5, 2.5),
    "total_variation": (0, 0.05, 0.25, 1.5, 3),
    "blur": (0, 0.1, 1, 5, 10),
}
"""The article's weights of penalties."""

TRANSFORMS: dict[str, Callable[[Any], list[Transform]]] = {
    "jitter": lambda d: [transform.pad(2 * d), transform.jitter(d)] if d else [],
    "scale": lambda s: [transform.random_scale([s ** (n / 10) for n in range(-10, 11)])] if s != 1 else [],
    "rotate": lambda degrees: [transform.random_rotate(range(-degrees, degrees + 1))] if degrees else [],
}
"""Functions from a strength to random transforms, by name, in the order in which they are applied.

The strength is the maximum shift in pixels (with twice as much padding), the maximum factor of the scale, or the
maximum angle in degrees.
"""

NOTEBOOK_TRANSFORMS = {"jitter": (0, 1), "rotate": (0, 5), "scale": (1, 1.1)}
ARTICLE_TRANSFORMS = {"jitter": (0, 1, 2, 8), "rotate": (0, 5, 15, 45, 180), "scale": (1, 1.1, 1.2)}
"""The article's strengths of transforms."""


@dataclass(frozen=True)
class Study:
    """Pictures of units with all combinations of settings.

    Attributes:
        axes: name and values of each setting.
        units: names of the U units.
        thresholds: the T numbers of updates after which pictures were taken.
        pictures: [values of the first setting, ..., values of the last setting, U, T, H, W, 3] in [0, 1].
        losses: objective values before each update, [values of the first setting, ..., U, steps].
    """

    axes: tuple[tuple[str, tuple[Any, ...]], ...]
    units: tuple[str, ...]
    thresholds: tuple[int, ...]
    pictures: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True)
class _Setting:
    """One combination of settings."""

    rate: float = RATE
    decorrelate: bool = True
    penalties: tuple[tuple[str, float], ...] = ()
    transforms: tuple[Transform, ...] = ()


@checked
def preconditioning(
    model: Model,
    units: Iterable[UnitLike],
    *,
    rates: Iterable[float] = RATES,
    thresholds: Iterable[int] = THRESHOLDS,
    size: int = 64,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> Study:
    """Studies learning rates, with and without decorrelation, and with and without transforms.

    Without decorrelation and transforms, plain pixels are optimized.

    Args:
        model: the model.
        units: channels, `"layer:channel"` or (layer, channel).
        rates: learning rates.
        thresholds: numbers of updates after which pictures are taken; the largest is the number of updates.
        size: height and width in pixels.
        seed: seed of all random draws, the same for all combinations.
        batch_size: maximum number of pictures in a batch; by default as many as fit into memory.
        verbose: show progress.

    Returns:
        A study with the settings `decorrelate` and `transforms` (False, True) and `rate`.

    Raises:
        TypeError, ValueError: an argument has the wrong type, is empty or is out of range.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> study = preconditioning(TinyInceptionV1(), ["mixed3a:31"], rates=[0.05], thresholds=[1, 2], size=32)
        >>> study.pictures.shape
        (2, 2, 1, 1, 2, 32, 32, 3)
    """
    numbers = [checks.number(rate, "Each of rates", 0) for rate in checks.items(rates, "rates", "a list of numbers")]
    axes = {"decorrelate": (False, True), "transforms": (False, True), "rate": tuple(numbers)}

    def setting(decorrelate: bool, transforms: bool, rate: float) -> _Setting:
        return _Setting(rate, decorrelate, transforms=tuple(transform.standard_transforms) if transforms else ())

    return _study(model, units, axes, setting, thresholds, size, seed, batch_size, verbose)


@checked
def frequency_penalties(
    model: Model,
    units: Iterable[UnitLike],
    weights: Mapping[str, Iterable[float]] = NOTEBOOK_PENALTIES,
    *,
    thresholds: Iterable[int] = THRESHOLDS,
    size: int = 64,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> Study:
    """Studies penalties on high frequencies, with plain pixels and without transforms.

    Args:
        weights: name in `PENALTIES` -> weights; each name becomes an axis. The article's are `ARTICLE_PENALTIES`.
        model, units, thresholds, size, seed, batch_size, verbose: as for `preconditioning`.

    Raises:
        TypeError, ValueError: an argument has the wrong type, is empty or is out of range.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> study = frequency_penalties(TinyInceptionV1(), ["mixed3a:31"], {"blur": (0, 1)}, thresholds=[2], size=32)
        >>> study.axes, study.pictures.shape
        ((('blur', (0, 1)),), (2, 1, 1, 32, 32, 3))
    """
    axes = _axes(weights, PENALTIES, "weights")

    def setting(*values: float) -> _Setting:
        penalties = tuple((name, float(value)) for name, value in zip(axes, values, strict=True) if value)
        return _Setting(decorrelate=False, penalties=penalties)

    return _study(model, units, axes, setting, thresholds, size, seed, batch_size, verbose)


@checked
def transformation_robustness(
    model: Model,
    units: Iterable[UnitLike],
    strengths: Mapping[str, Iterable[float]] = NOTEBOOK_TRANSFORMS,
    *,
    decorrelate: bool = True,
    thresholds: Iterable[int] = THRESHOLDS,
    size: int = 64,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> Study:
    """Studies random shifts, rotations and scales.

    Args:
        strengths: name in `TRANSFORMS` -> strengths; each name becomes an axis. The article's are `ARTICLE_TRANSFORMS`.
        decorrelate: optimize decorrelated frequencies, as the notebook does, instead of pixels.
        model, units, thresholds, size, seed, batch_size, verbose: as for `preconditioning`.

    Raises:
        TypeError, ValueError: an argument has the wrong type, is empty or is out of range.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> model, strengths = TinyInceptionV1(), {"jitter": (0, 2), "rotate": (0, 5)}
        >>> transformation_robustness(model, ["mixed3a:31"], strengths, thresholds=[2], size=32).pictures.shape
        (2, 2, 1, 1, 32, 32, 3)
    """
    axes = _axes(strengths, TRANSFORMS, "strengths")

    def setting(*values: Any) -> _Setting:
        chosen = dict(zip(axes, values, strict=True))
        made = [one for name, make in TRANSFORMS.items() if name in chosen for one in make(chosen[name])]
        return _Setting(decorrelate=decorrelate, transforms=tuple(made))

    return _study(model, units, axes, setting, thresholds, size, seed, batch_size, verbose)


def _axes(given: Any, known: Mapping[str, Any], what: str) -> dict[str, tuple[Any, ...]]:
    if not isinstance(given, Mapping) or not given:
        raise TypeError(f"{what} maps {', '.join(known)} to lists of numbers, as in {{'{next(iter(known))}': (0, 1)}}.")
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"{what} has the unknown name {checks.shown(unknown[0])}: use one of {', '.join(known)}.")
    axes = {}
    for name, values in given.items():
        numbers = checks.items(values, f"{what}[{name!r}]", "a list of numbers")
        axes[name] = tuple(checks.number(value, f"Each of {what}[{name!r}]", 0) for value in numbers)
    return axes


# The run -----------------------------------------------------------------------------------------

_Item = tuple[_Setting, tuple[str, int]]


def _study(
    model: Model,
    units: Iterable[UnitLike],
    axes: Mapping[str, tuple[Any, ...]],
    setting: Callable[..., _Setting],
    thresholds: Iterable[int],
    size: int,
    seed: int,
    batch_size: int | None,
    verbose: bool,
) -> Study:
    chosen = [named_unit(model, unit) for unit in checks.items(units, "units", "a list of units")]
    empty = [name for name, values in (("units", chosen), *axes.items()) if not values]
    if empty:
        raise ValueError(f"{empty[0]} is empty: pass at least one value.")
    counts, pixels = update_counts(thresholds), checks.whole(size, "size", 2)
    items = [(setting(*values), unit) for values in itertools.product(*axes.values()) for unit in chosen]
    made: dict[_Item, tuple[np.ndarray, np.ndarray]] = {}

    def make(batch: Sequence[_Item]) -> VisT:
        return _vis(model, batch, pixels, seed)

    def rendered(batch: Sequence[_Item]) -> dict[_Item, tuple[np.ndarray, np.ndarray]]:
        vis = make(batch)
        seen, losses = run_through(vis, counts, vis.image, verbose)
        return dict(zip(batch, zip(np.stack(seen, 1), losses.T, strict=True), strict=True))

    for group in _shareable(items):
        for part in in_batches(model, group, make, rendered, batch_size):
            made |= part
    shape = (*(len(values) for values in axes.values()), len(chosen))
    pictures, losses = (
        np.reshape([made[item][which] for item in items], (*shape, *made[items[0]][which].shape)) for which in (0, 1)
    )
    return Study(tuple(axes.items()), unit_names(chosen), tuple(counts), pictures, losses)


def _shareable(items: Sequence[_Item]) -> list[list[_Item]]:
    """Groups of items with equal transforms, kind of image and layer, which can share a batch; sorted by rate."""
    groups: dict[Any, list[_Item]] = {}
    for item in dict.fromkeys(items):
        key = (item[0].transforms, item[0].decorrelate, item[1][0])
        groups.setdefault(key, []).append(item)
    return [sorted(group, key=lambda item: item[0].rate) for group in groups.values()]


def _vis(model: Model, items: Sequence[_Item], size: int, seed: int) -> VisT:
    first = items[0][0]
    rates = [(rate, len(list(some))) for rate, some in itertools.groupby(items, lambda item: item[0].rate)]
    precondition = {"decorrelate": first.decorrelate, "fft": first.decorrelate}
    parts = [param.image(size, batch=count, **precondition) for _, count in rates]

    def adam(_: Any) -> TFAdam:
        return TFAdam(
            [{"params": list(part.parameters()), "lr": rate} for part, (rate, _) in zip(parts, rates, strict=True)]
        )

    return VisT(
        model,
        each_for_itself([_objective(*item) for item in items]),
        parts[0] if len(parts) == 1 else _SideBySide(parts, [count for _, count in rates]),
        adam,
        list(first.transforms),
        relu_gradient_override=True,
        seed=alike(seed, len(items)),
    )


def _objective(setting: _Setting, unit: tuple[str, int]) -> Objective:
    wanted = objectives.channel(*unit)
    for name, weight in setting.penalties:
        wanted = wanted - weight * PENALTIES[name]()
    return wanted


class _SideBySide(Parameterization):
    """Groups of images with separate parameters. Each image starts like a single image with the render's seed."""

    def __init__(self, parts: Sequence[Parameterization], counts: Sequence[int]) -> None:
        super().__init__()
        self.parts, self._counts = torch.nn.ModuleList(parts), tuple(counts)

    def reset(self, source: RandomSource) -> Parameterization:
        for part, count in zip(self.parts, self._counts, strict=True):
            part.reset(alike(source.seed, count).scope("param"))  # type: ignore[operator]
        return self

    def compute(self, memo: Memo) -> torch.Tensor:
        return torch.cat([part.evaluate(memo) for part in self.parts])  # type: ignore[operator]
