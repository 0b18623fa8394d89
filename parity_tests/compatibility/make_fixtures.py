"""Writes the fixtures: files of every kind that users keep, as the present version writes them.

    python -m parity_tests.compatibility.make_fixtures

Run it once, with the version whose files are to be kept. It refuses to overwrite fixtures, because fixtures that a
later version wrote prove nothing about an earlier one; `--overwrite` replaces them anyway.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import converters
from lucid_port.cli import main as lucid_port
from lucid_port.modelzoo import from_torch
from lucid_port.modelzoo.vision_models import InceptionV1_seeded
from lucid_port.optvis import checkpoints, render
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.recipe_files import read_recipe, save_picture, sidecar
from lucid_port.recipes.steps import run_through
from parity_tests.compatibility import cases, folders, networks
from parity_tests.compatibility.fixtures import (
    FOLDER,
    MACHINE,
    machine,
    network_fingerprint,
    pixels,
    sha256,
    streams,
    summary,
    tiny,
)


def write_json(folder: Path, name: str, data: Any) -> None:
    """Writes an object with one line for each of its entries."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in data.items()]
    (folder / name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


# Pictures ----------------------------------------------------------------------------------------


def pictures(folder: Path) -> None:
    """Pictures with their recipes, and the numbers of their first updates."""
    (folder / "pictures").mkdir()
    kept = {}
    template: Recipe | None = None
    for name, one in cases.renders().items():
        path = folder / "pictures" / f"{name}.{one.ending}"
        picture = _stated(path, one, template) if one.stated and template is not None else _rendered(path, one)
        template = template or read_recipe(path)
        if name not in cases.WITH_SIDECAR:
            sidecar(path).unlink()
        kept[name] = {"file": path.name, "sha256": sha256(picture), **first_update(read_recipe(path))}
    write_json(folder, "pictures.json", kept)


def _rendered(path: Path, one: cases.Render) -> np.ndarray:
    renders = render.render_vis(
        tiny(), one.objective(), one.param, one.optimizer, one.transforms, (one.steps - 1,), None, False, one.relu,
        seed=one.seed(),
    )  # fmt: skip
    renders.save(path, -1, one.picture)
    return renders[-1][one.picture]


def _stated(path: Path, one: cases.Render, template: Recipe) -> np.ndarray:
    vis = replace(template, **one.stated).vis(tiny())
    for _ in range(one.steps):
        vis.step()
    picture = vis.image()[one.picture]
    save_picture(picture, path, Recipe.of(vis, picture=one.picture))
    return picture


def first_update(recipe: Recipe) -> dict[str, Any]:
    """Numbers that rounding hardly changes: the image at first, the objective and the gradients before update 1."""
    vis = recipe.vis(tiny())
    initial = vis.image()
    vis("input")
    loss = vis.step()
    gradients = [float(one.grad.norm()) for one in vis.optimizer.param_groups[0]["params"]]
    return {
        "initial": summary(initial),
        "loss": summary(loss.float().numpy()),
        "gradients": gradients,
        "streams": streams(vis.source),
    }


# Folders -----------------------------------------------------------------------------------------


class Stop(Exception):
    """Stands for the end of a process."""


def runs(folder: Path) -> None:
    """Folders of many renders: finished, interrupted, with a sheet, with a sheet that is not finished."""
    runs = folder / "runs"
    folders.render(runs / "finished", folders.UNITS)
    folders.render(runs / "interrupted", folders.UNITS[:2])
    folders.render(
        runs / "batches", [*folders.UNITS, *folders.units_of_objectives()], batch_size=3, seeds=folders.SEEDS
    )
    folders.render(runs / "sheet", folders.UNITS, sheet=True)

    def stop(T: Any) -> Any:
        if (runs / "sheet-interrupted" / ".tiles").exists():
            raise Stop
        return T("conv2d2").mean()

    with contextlib.suppress(Stop):
        folders.render(runs / "sheet-interrupted", [*folders.UNITS[:2], stop], sheet=True)


def unfinished(folder: Path) -> None:
    """Folders of `checkpoints.kept`: a render, and a run over many units, both stopped in the middle."""
    work = folder / "checkpoints"
    with contextlib.suppress(Stop), checkpoints.kept(work / "render", folders.KEY):
        run_through(folders.begin(), folders.LOOKS[:-1], lambda: None)
        raise Stop
    vis = folders.begin()
    images, values = run_through(vis, folders.LOOKS, vis.image)
    kept = {"render": {"images": [summary(one) for one in images], "values": summary(values)}}
    with contextlib.suppress(Stop), checkpoints.kept(work / "many", folders.KEY):
        folders.many(folders.STOPPED_AT)
        raise Stop
    many = folders.many(folders.MANY_STEPS)
    kept["many"] = {"images": [summary(one.image) for one in many], "values": [summary(one.losses) for one in many]}
    write_json(folder, "checkpoints.json", kept)


# Networks ----------------------------------------------------------------------------------------


def models(folder: Path) -> None:
    """Saved models with a layer of every class, and files of other programs."""
    kept: dict[str, Any] = {}
    for name, (size, parts) in networks.TOWERS.items():
        model = converters.convert(networks.towers(parts, size[-1]))
        converters.save(model, folder / "models" / name, standalone=True)
        kept[name] = _network(model, size)
    reserved = converters.convert(networks.reserved())
    converters.save(reserved, folder / "models" / "reserved", standalone=True)
    kept["reserved"] = _network(reserved, cases.IMPORTED_SIZE)
    write_json(folder, "models.json", kept)

    files = folder / "imported"
    files.mkdir()
    (files / "small.pb").write_bytes(networks.reserved())
    networks.write_onnx(files / "small.onnx")
    networks.write_caffe(files / "small.caffemodel", files / "small.prototxt")
    imported = {name: _network(read(files), cases.IMPORTED_SIZE) for name, read in cases.IMPORTED.items()}
    write_json(folder, "imported.json", imported)


def _network(model: Any, size: tuple[int, int, int]) -> dict[str, Any]:
    names = list(model.layers)
    with torch.no_grad():
        values = model.activations(cases.image(*size), names)
    layers = {name: summary(np.asarray(values[name])) for name in names}
    return {"size": size, "fingerprint": network_fingerprint(model), "layers": layers}


def fingerprints(folder: Path) -> None:
    """Fingerprints and layers of networks that recipes name."""
    own = from_torch(cases.Residual().eval(), image_value_range=(0, 1), image_shape=(32, 32, 3))
    opened = {"TinyInceptionV1": tiny(), "InceptionV1_seeded": InceptionV1_seeded(), "from_torch": own}
    kept = {
        name: {"fingerprint": network_fingerprint(model.network), "layers": list(model.network.layers)}
        for name, model in opened.items()
    }
    write_json(folder, "fingerprints.json", kept)


# Figures, draws, plans ---------------------------------------------------------------------------


def figures(folder: Path) -> None:
    """Recipes of drafts of figures, with hashes of their pictures."""
    kept = {}
    for name, options in cases.FIGURES.items():
        place = folder / "figures"
        _command("figure", name, "--model", "TinyInceptionV1", "--fast", *options, "-o", str(place))
        kept[name] = sha256(pixels(place / f"{name}.png"))
        (place / f"{name}.html").unlink()
        (place / f"{name}.png").unlink()
    write_json(folder, "figures.json", kept)


def draws(folder: Path) -> None:
    """Names and first numbers of all draws, and the parameters that they become."""
    kept: dict[str, Any] = {"params": {}, "transforms": {}}
    for kind, make in cases.SOURCES.items():
        for name in cases.PARAMS:
            source = make()
            parameters = cases.drawn_by_param(name, source)
            kept["params"][f"{name}/{kind}"] = {"draws": cases.first_numbers(source), "parameters": parameters}
        for name in (*cases.TRANSFORMS, *cases.ALPHA_TRANSFORMS):
            source = make()
            cases.drawn_by_transforms(name, source)
            kept["transforms"][f"{name}/{kind}"] = cases.first_numbers(source)
    write_json(folder, "draws.json", kept)


def plans(folder: Path) -> None:
    """Plans written by hand, and their results."""
    (folder / "plans").mkdir()
    for name, text in cases.PLANS.items():
        path = folder / "plans" / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        _command("run", str(path), "-o", str(folder / "plans" / name) + (".png" if "units" not in name else ""))


def _command(*arguments: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        status = lucid_port(list(arguments))
    if status:
        raise SystemExit(f"lucid-port {' '.join(arguments)} failed.")


PARTS = (pictures, runs, unfinished, models, fingerprints, figures, draws, plans)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--overwrite", action="store_true", help="replace the fixtures that are there")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write them")
    given = parser.parse_args(arguments)
    if given.folder.exists():
        if not given.overwrite:
            print(f"{given.folder} exists: its files are of the version that they keep. See --overwrite.")
            return 1
        shutil.rmtree(given.folder)
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True)
    write_json(given.folder, MACHINE, machine())
    for part in PARTS:
        part(given.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
