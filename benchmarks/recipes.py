"""Compares the speed of each recipe with `render_many`, for the same number of images of the same size.

    python benchmarks/recipes.py
    python benchmarks/recipes.py --only caricature activation_grid

In each round a recipe and `render_many` are called once each, with the same number of updates. `render_many`
renders units of the layer that the recipe reads, with the same parameterization and transforms: channels if the recipe
reads single channels, directions if it reads the whole layer. Times are divided by the
number of images that the network gets. This includes images that the recipe does not return, such as the original
picture of caricatures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import port
import torch
from timing import RESULTS, Others, Report, alternate, console, ratios, spread, summary, table

from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.render_many import render_many
from lucid_port.recipes import (
    activation_grid,
    caricature,
    cppn,
    facets,
    feature_visualization,
    interaction,
    interpolation,
    regularization,
    semantic_dictionary,
    style_transfer,
    transparency,
)
from lucid_port.recipes.activation_atlas import render_icons
from lucid_port.recipes.inputs import channels_of

LAYER = port.LAYER.removesuffix("_pre_relu")
SIZE = 96
LEAST = 0.8
METHOD = f"""Images and updates in a second of a recipe over those of render_many, wall clock, within a round; both
are called anew in each turn, with all that they set up. Images of {SIZE} pixels where nothing else is said, layer
{LAYER}."""
UNITS = (1, 4, 7, 11, 20, 33)
RANDOM = np.random.RandomState(0)
PICTURE = RANDOM.uniform(size=(SIZE, SIZE, 3)).astype(np.float32)
STANDARD: Any = None
"""Default transforms."""


@dataclass(frozen=True)
class Case:
    """A recipe's call.

    Attributes:
        make: calls the recipe with the model and the number of updates.
        images: number of images that the network sees in an update.
        size: their height and width.
        directions: whether the recipe reads all channels of the layer.
        transforms: transforms that the recipe applies.
        image: the parameterization, as `render_many` takes it; `param.image` by default.
    """

    make: Callable[[Model, int], Any]
    images: int
    size: int = SIZE
    directions: bool = False
    transforms: Any = STANDARD
    image: Callable[..., Any] | None = None


def _names(count: int) -> list[str]:
    return [f"{LAYER}:{unit}" for unit in UNITS[:count]]


def _rgb(image: torch.Tensor) -> torch.Tensor:
    return image[:, :3]


def _vectors(model: Model, count: int) -> np.ndarray:
    channels = channels_of(model, LAYER)
    return np.random.RandomState(1).standard_normal((count, channels)).astype(np.float32)


ON_BACKDROPS = [transparency.Backdrop(), transform.random_scale(transparency.SCALES), transparency.CropTo(SIZE), _rgb]

CASES: dict[str, Case] = {
    "visualize": Case(
        lambda model, steps: feature_visualization.visualize(model, _names(4), size=SIZE, steps=steps), 4
    ),
    "channel": Case(
        lambda model, steps: feature_visualization.channel(model, LAYER, UNITS[:4], size=(SIZE, SIZE), n_steps=steps), 4
    ),
    "negative_and_positive": Case(
        lambda model, steps: feature_visualization.negative_and_positive(model, LAYER, 4, size=SIZE, steps=steps),
        2,
    ),
    "diversity": Case(
        lambda model, steps: feature_visualization.diversity(model, LAYER, 4, 4, size=SIZE, steps=steps),
        4,
        directions=True,
    ),
    "semantic_dictionary.channel_icons": Case(
        lambda model, steps: semantic_dictionary.channel_icons(model, LAYER, list(UNITS), size=SIZE, steps=steps),
        6,
    ),
    "caricature": Case(
        lambda model, steps: caricature.feature_inversion(
            PICTURE, model, [LAYER] * 5, n_steps=steps, verbose=False, size=SIZE
        ),
        6,
        directions=True,
        transforms=[*transform.standard_transforms, transform.crop_or_pad_to(SIZE, SIZE)],
    ),
    "interaction.sums": Case(
        lambda model, steps: interaction.sums(model, _names(2), _names(4)[2:], size=SIZE, steps=steps), 8
    ),
    "interaction_grid": Case(
        lambda model, steps: interaction.interaction_grid(model, _names(3), size=SIZE, steps=steps), 6
    ),
    "random_directions": Case(
        lambda model, steps: interaction.random_directions(model, LAYER, 4, size=SIZE, steps=steps), 4, directions=True
    ),
    "interpolations": Case(
        lambda model, steps: interpolation.interpolations(
            model, [(_names(1)[0], _names(2)[1])], 6, size=SIZE, steps=steps
        ),
        6,
    ),
    "cppn.paint": Case(
        lambda model, steps: cppn.paint(model, _names(4), size=SIZE, steps=steps),
        4,
        transforms=[],
        image=lambda: param.cppn(SIZE),
    ),
    "transparent": Case(
        lambda model, steps: transparency.transparent(model, _names(4), size=2 * SIZE, steps=steps),
        4,
        transforms=[
            transparency.Backdrop(),
            transform.random_scale(transparency.SCALES),
            transparency.CropTo(SIZE),
            _rgb,
        ],
        image=lambda batch: param.image(2 * SIZE, batch=batch, alpha=True),
    ),
    "alpha_icons": Case(
        lambda model, steps: transparency.alpha_icons(model, LAYER, UNITS[:4], size=SIZE, steps=steps),
        4,
        transforms=transparency.ICON_TRANSFORMS,
        image=lambda batch: param.image(SIZE, batch=batch, alpha=True),
    ),
    "transformation_robustness": Case(
        lambda model, steps: regularization.transformation_robustness(
            model, _names(4), {"jitter": (1,)}, thresholds=(steps,), size=SIZE
        ),
        4,
        transforms=regularization.TRANSFORMS["jitter"](1),
    ),
    "unit_sheet": Case(
        lambda model, steps: facets.unit_sheet(model, LAYER, 4, size=SIZE, steps=steps), 12, directions=True
    ),
    "activation_atlas.render_icons": Case(
        lambda model, steps: render_icons(
            model, _vectors(model, 6), LAYER, size=SIZE, steps=steps, attempts=1, transforms=[transform.jitter(8)]
        ),
        6,
        directions=True,
        transforms=[transform.jitter(8)],
    ),
    "factored_activation_grid": Case(
        lambda model, steps: activation_grid.factored_activation_grid(
            model, PICTURE, LAYER, groups=6, size=48, steps=steps, batch_size=16
        ),
        16,
        size=48,
        directions=True,
    ),
    "style_transfer": Case(
        lambda model, steps: style_transfer.style_transfer(
            model, PICTURE, [PICTURE[::-1], PICTURE[:, ::-1]], style_layers=[LAYER], steps=steps
        ),
        5,
        directions=True,
    ),
}


def baseline(model: Model, case: Case, steps: int) -> None:
    """Calls `render_many` for the number of images of the case, in one batch."""
    vectors = _vectors(model, case.images)
    units = [
        objectives.direction(LAYER, vectors[number]) if case.directions else f"{LAYER}:{number}"
        for number in range(case.images)
    ]
    own: dict[str, Any] = {"size": case.size} if case.image is None else {"param_f": case.image}
    render_many(model, units, **own, transforms=case.transforms, steps=steps, batch_size=case.images, verbose=False)


def measured(model: Model, case: Case, steps: int, rounds: int, what: str) -> dict[str, Any]:
    """Measures the speed of the recipe relative to `render_many`."""

    def turn(call: Callable[[], Any]) -> Callable[[], float]:
        def one() -> float:
            started = perf_counter()
            call()
            return (perf_counter() - started) / (steps * case.images)

        return one

    turns = {
        "recipe": turn(lambda: case.make(model, steps)),
        "render_many": turn(lambda: baseline(model, case, steps)),
    }
    for one in turns.values():
        one()
    others = Others()
    with others:
        seconds = alternate(turns, rounds, what)
    return {
        "images": case.images,
        "milliseconds": {name: summary([1000 * value for value in values]) for name, values in seconds.items()},
        "rate": ratios(seconds["render_many"], seconds["recipe"]),
        "others": others.processors,
    }


def _earlier(path: Path) -> dict[str, Any]:
    """Returns the results of other recipes in the result file."""
    return json.loads(path.read_text())["figures"] if path.exists() else {}


def row(name: str, found: dict[str, Any]) -> list[str]:
    times = [spread(found["milliseconds"][one], digits=2) for one in ("recipe", "render_many")]
    return [name, str(found["images"]), *times, spread(found["rate"], digits=2), str(found["others"])]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES), metavar="NAME")
    parser.add_argument("--steps", type=int, default=24, help="updates of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--device", help="of the model")
    parser.add_argument("--output", type=Path, default=RESULTS / "recipes.json", help="the result file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = port.load(device=options.device)
    settings = {"steps": options.steps, "rounds": options.rounds, **port.circumstances(model)}
    report = Report(METHOD, settings)
    found = {name: measured(model, CASES[name], options.steps, options.rounds, name) for name in options.only}
    table(
        "Recipes against render_many",
        ["recipe", "images", "ms an image and update", "render_many", "rate", "processors that others used"],
        [row(name, one) for name, one in found.items()],
    )
    report.write(options.output, {**_earlier(options.output), **found})
    slow = [name for name, one in found.items() if one["rate"]["median"] < LEAST]
    if slow:
        console.print(f"below {LEAST} of render_many's rate: {', '.join(slow)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
