"""Checks that the texture of a mesh is optimized as well as a picture: `python benchmarks/textures.py`.

**Method.** A channel is optimized twice from the same seed: as the texture of a mesh (`texture_3d`), and as a picture
of the size of the views (`render_vis`), with the same number of updates and the same learning rate. The gain is the
objective after the last update minus that before the first one. The objective of the texture is its mean over random
views, that of the picture its mean over draws of Lucid's standard transforms. The ratio of both gains is to be 0.7 or
more. A channel's objective is a mean over the whole view, of which the background does not change: beside it stands the
ratio of the texture's gain, divided by the mean share of the views that the mesh covers, to the picture's. Defaults are
those of Lucid's notebook texture_synth_3d.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Any

import port
import timing
import torch
import typer

from lucid_port.modelzoo.nets_factory import open_model
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, render
from lucid_port.optvis.mesh_view import MeshView, mesh_view
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.textured_meshes import UNIT

LEAST = 0.7
"""Least ratio of the texture's gain to the picture's."""

LR = 0.03


def gain(vis: render.VisT, steps: int, looks: int, what: str) -> dict[str, float]:
    """Optimizes a render, and returns the mean objective over new draws before and after."""
    values = [_mean(vis, looks)]
    for _ in timing.tqdm(range(steps), what, disable=None):
        vis.step()
    values.append(_mean(vis, looks))
    return {"before": values[0], "after": values[1], "gain": values[1] - values[0]}


def _mean(vis: render.VisT, looks: int) -> float:
    return statistics.fmean(float(vis("loss").sum()) for _ in range(looks))


def measure(model: Model, unit: str, mesh: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the gains of a unit as a texture and as a picture."""
    steps, looks, size, seed = (settings[name] for name in ("steps", "looks", "size", "seed"))

    def made(image: param.Parameterization, transforms: Any) -> render.VisT:
        objective = objectives.as_objective(unit, model)
        return render.make_vis_T(model, objective, image, lambda p: TFAdam(p, lr=LR), transforms, seed=seed)

    view = mesh_view(mesh, size, backend=settings["backend"])
    found: dict[str, Any] = {
        "texture": gain(made(param.image(settings["texture_size"]), [view]), steps, looks, f"{unit}, texture"),
        "picture": gain(made(param.image(size), None), steps, looks, f"{unit}, picture"),
    }
    covered = _covered(view, looks, seed)
    ratio = found["texture"]["gain"] / found["picture"]["gain"]
    shares = {"covered": covered, "ratio": ratio, "ratio_where_covered": ratio / covered}
    return {**found, **shares, "backend": view.backend}


def _covered(view: MeshView, looks: int, seed: int) -> float:
    """Returns the mean share of views that shows the mesh."""
    white, source = torch.ones(1, 1, 4, 4), RandomSource(seed)
    return statistics.fmean(float(view(white, source).mean()) for _ in range(looks))


def main(
    model: Annotated[str, typer.Option(help="Name of a model, or a graph file.")] = "InceptionV1_seeded",
    units: Annotated[list[str] | None, typer.Option("--unit", help="layer:channel; may be repeated.")] = None,
    mesh: Annotated[str, typer.Option(help="'torus', or a file.")] = "torus",
    texture_size: Annotated[int, typer.Option(help="Height and width of the texture.", min=1)] = 1024,
    size: Annotated[int, typer.Option(help="Height and width of views and pictures.", min=1)] = 512,
    steps: Annotated[int, typer.Option(help="Updates.", min=1)] = 400,
    looks: Annotated[int, typer.Option(help="Draws over which an objective is averaged.", min=1)] = 16,
    seed: int = 0,
    backend: Annotated[str | None, typer.Option(help="Renderer: egl or torch.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu if not given.")] = None,
    threads: Annotated[int | None, typer.Option(help="torch's default if not given.")] = None,
    output: Path = timing.RESULTS / "textures.json",
) -> None:
    """Compare the gains of textures and of pictures."""
    if threads:
        torch.set_num_threads(threads)
    opened = open_model(model).to(device or "cpu")
    settings = {"texture_size": texture_size, "size": size, "steps": steps, "looks": looks, "seed": seed}
    named = {"model": model, "mesh": mesh, **settings, **port.circumstances(opened)}
    report = timing.Report(__doc__.split("**Method.**")[1], named)
    found = {unit: measure(opened, unit, mesh, {**settings, "backend": backend}) for unit in units or [UNIT]}
    rows = [
        [unit, *(f"{one[kind]['before']:.1f} to {one[kind]['after']:.1f}" for kind in ("texture", "picture")),
         *(f"{one[kind]:.2f}" for kind in ("ratio", "covered", "ratio_where_covered")), one["backend"]]
        for unit, one in found.items()
    ]  # fmt: skip
    columns = ["unit", "texture", "picture", "ratio of gains", "covered", "ratio where covered", "renderer"]
    timing.table("Objective before and after", columns, rows)
    report.write(output, found)
    low = [unit for unit, one in found.items() if one["ratio"] < LEAST]
    if low:
        timing.console.print(f"below {LEAST} of the picture's gain: {', '.join(low)}")


if __name__ == "__main__":
    typer.run(main)
