"""Objective values that Lucid's notebooks printed for finished renders, one check for each value.

Unit numbers are taken modulo the width of the layer, so that the checks themselves can be tested on networks that are
narrower than InceptionV1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.render import render_vis
from lucid_port.recipes.inputs import channels_of
from parity_tests.published.checks import CHECKS, Check, Record, Run, require
from parity_tests.published.files import Published, Recorder

VALUES = "nb_objective_values.json"
SPREAD = 0.10  # four published runs of one render lie up to 6 % from their mean, and so may ours
RECORDED_STEPS = 1

Unit = Callable[[str, int], tuple[str, int]]
FV, DP = "notebooks/feature-visualization", "notebooks/differentiable-parameterizations"


@dataclass(frozen=True)
class Render:
    """A render whose final value a notebook printed.

    Attributes:
        notebook, cell: position of the printed value.
        objective: returns the maximised objective, given a function that returns units.
        index: index among the cell's renders.
        param: arguments of `param.image(128, ...)`.
        transforms: None for the standard ones.
    """

    notebook: str
    cell: int
    objective: Callable[[Unit], Objective]
    index: int = 0
    param: Mapping[str, Any] = field(default_factory=dict)
    transforms: list[Any] | None = None


def _one(layer: str, channel: int) -> Callable[[Unit], Objective]:
    return lambda unit: objectives.channel(*unit(layer, channel))


def _sum(*units: tuple[str, int]) -> Callable[[Unit], Objective]:
    return lambda unit: Objective.sum([objectives.channel(*unit(*one)) for one in units])


def _diverse(unit: Unit) -> Objective:
    return objectives.channel(*unit("mixed5a_pre_relu", 9)) - 1e2 * objectives.diversity("mixed5a")


def _opposite(unit: Unit) -> Objective:
    one = unit(_4A, 492)
    return objectives.channel(*one, batch=1) - objectives.channel(*one, batch=0)


def _side_by_side(unit: Unit) -> Objective:
    return objectives.channel(*unit(_4A, 476), batch=0) + objectives.channel(*unit(_4A, 460), batch=1)


def _between(unit: Unit) -> Objective:
    first, second = unit(_4A, 476), unit(_4A, 460)
    return Objective.sum(
        [
            (1 - n / 4) * objectives.channel(*first, batch=n) + n / 4 * objectives.channel(*second, batch=n)
            for n in range(5)
        ]
    )


_4A, _4B = "mixed4a_pre_relu", "mixed4b_pre_relu"
_ALL_STOPS = [
    transform.pad(16),
    transform.jitter(8),
    transform.random_scale([n / 100 for n in range(80, 120)]),
    transform.random_rotate([*range(-10, 10), *range(-5, 5), *10 * list(range(-2, 2))]),
    transform.jitter(2),
]

RENDERS: dict[str, Render] = {
    "4a476": Render("notebooks/tutorial.ipynb", 9, _one(_4A, 476)),
    "4a465": Render("notebooks/tutorial.ipynb", 12, _one(_4A, 465)),
    "4a476_and_465": Render("notebooks/tutorial.ipynb", 13, _sum((_4A, 476), (_4A, 465))),
    "no_transforms": Render("notebooks/tutorial.ipynb", 15, _one(_4A, 476), transforms=[]),
    "jitter": Render("notebooks/tutorial.ipynb", 16, _one(_4A, 476), transforms=[transform.jitter(2)]),
    "all_stops": Render("notebooks/tutorial.ipynb", 17, _one(_4A, 476), transforms=_ALL_STOPS),
    "4a2_pixels": Render("notebooks/tutorial.ipynb", 19, _one(_4A, 2), param={"fft": False, "decorrelate": False}),
    "4a2": Render("notebooks/tutorial.ipynb", 20, _one(_4A, 2)),
    "diversity": Render(f"{FV}/neuron_diversity.ipynb", 8, _diverse, param={"batch": 4}),
    "4b111": Render(f"{FV}/neuron_interaction.ipynb", 10, _one(_4B, 111)),
    "4a476_again": Render(f"{FV}/neuron_interaction.ipynb", 10, _one(_4A, 476), index=1),
    "4b111_and_4a476": Render(f"{FV}/neuron_interaction.ipynb", 10, _sum((_4B, 111), (_4A, 476)), index=2),
    "negative_and_positive": Render(f"{FV}/negative_neurons.ipynb", 9, _opposite, param={"batch": 2}),
    "4a476_aligned": Render(f"{DP}/aligned_interpolation.ipynb", 11, _one(_4A, 476)),
    "4a460_aligned": Render(f"{DP}/aligned_interpolation.ipynb", 11, _one(_4A, 460), index=1),
    "side_by_side": Render(f"{DP}/aligned_interpolation.ipynb", 14, _side_by_side, param={"batch": 2}),
    "between": Render(f"{DP}/aligned_interpolation.ipynb", 16, _between, param={"batch": 5}),
    "4a476_default": Render(f"{DP}/aligned_interpolation.ipynb", 28, _one(_4A, 476)),
    "3b470": Render("notebooks/local_development.ipynb", 19, _one("mixed3b_pre_relu", 470), index=-1),
}


def final_value(model: Model, render: Render, steps: int) -> float:
    """Returns the objective's final value: the mean of the last steps, because random transforms make values noisy."""

    def unit(layer: str, channel: int) -> tuple[str, int]:
        return layer, channel % channels_of(model, layer)

    renders = render_vis(
        model,
        render.objective(unit),
        lambda: param.image(128, **render.param),
        transforms=render.transforms,
        thresholds=(steps,),
        verbose=False,
    )
    return float(renders.losses[-max(1, steps // 32) :].mean())


def _row(rows: list[dict[str, Any]], render: Render) -> dict[str, Any] | None:
    return next((row for row in rows if (row["notebook"], row["cell"]) == (render.notebook, render.cell)), None)


def _record(render: Render) -> Record:
    def record(model: Model, recorder: Recorder) -> None:
        rows = recorder.published.json(VALUES) if (recorder.folder / VALUES).exists() else []
        row = _row(rows, render)
        if row is None:
            row = {"notebook": render.notebook, "cell": render.cell, "values_step_objective": []}
            rows.append(row)
        row["values_step_objective"].append([RECORDED_STEPS, final_value(model, render, RECORDED_STEPS)])
        recorder.json(VALUES, rows)

    return record


def _run(render: Render) -> Run:
    def run(model: Model, published: Published) -> None:
        row = _row(published.json(VALUES), render)
        require(row is not None, f"{render.notebook}, cell {render.cell}, is not in {VALUES}.")
        assert row is not None
        steps, theirs = row["values_step_objective"][render.index]
        found = final_value(model, render, int(steps))
        off = abs(found / theirs - 1)
        require(
            off <= SPREAD,
            f"{render.notebook}, cell {render.cell}: {found:.4g} after {steps} steps, published {theirs:.4g}: off by "
            f"{off:.0%}; the bound is {SPREAD:.0%}.",
        )

    return run


for _name, _render in RENDERS.items():
    _check = Check(f"objective_{_name}", (VALUES,), _run(_render), _record(_render), slow=True)
    CHECKS[_check.name] = _check
