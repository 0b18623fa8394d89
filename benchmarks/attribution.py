"""Deletion curves of attributions to pixels, against random orders.

    python benchmarks/attribution.py PHOTOGRAPHS [--count 20]
    python benchmarks/attribution.py --page

PHOTOGRAPHS is a folder of `photographs.py`. The network is InceptionV1 (LUCID_PORT_MODELZOO has its file), and the
target its own top class. Each method's map is summed over cells of 32 pixels. Cells are blurred, the strongest first,
two at a time; the curve is the class's probability over that of the whole picture, and its area the mean over the share
of blurred cells. A small area means that the first cells matter most. Single pixels, and gray cells, mislead the
network in any order: it takes their edges for objects. The baseline of methods that have one is the blurred picture.

Photographs are drawn with a seed; those whose top class has a probability below 0.2 are passed over. A run that stops
goes on with the next photograph. `--page` writes the table into docs/attribution.md.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
import torch
from page import table as markdown
from timing import RESULTS, Report, console

from lucid_port.attribution import attribute, method_names
from lucid_port.modelzoo.classes import probabilities_layer
from lucid_port.modelzoo.nets_factory import get_model
from lucid_port.modelzoo.vision_base import Model

RESULT = RESULTS / "attribution.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "attribution.md"
START, END = "<!-- measured -->", "<!-- /measured -->"
CELL, TOGETHER, BLUR = 32, 2, 12.0
"""Pixels of a cell, cells of a stage, and the standard deviation of the blur in pixels."""

RANDOM_ORDERS, LEAST = 5, 0.2
DRAWS = 10_000
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "integrated_gradients": {"n_steps": 32},
    "gradient_shap": {"n_samples": 16, "stdevs": 0.1},
    "deep_lift": {},
    "occlusion": {"sliding_window_shapes": 32, "strides": 16},
    "feature_ablation": {"segments": 60},
}
MUST = ("integrated_gradients", "occlusion", "grad_cam")
"""Methods that must beat random orders."""
METHOD = f"""Mean over the share of blurred cells of the top class's probability, as a share of that of the whole
picture; cells of {CELL} pixels, a blur of {BLUR:g} pixels; 95 % intervals by {DRAWS} bootstrap draws of photographs."""


# Curves ------------------------------------------------------------------------------------------


def cells_of(values: np.ndarray) -> np.ndarray:
    """Returns the sums of a map [H, W] over cells, flattened."""
    rows, columns = values.shape[0] // CELL, values.shape[1] // CELL
    return values[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).sum((1, 3)).ravel()


def blurred(photo: torch.Tensor) -> torch.Tensor:
    """Returns a photograph (1, C, H, W) after a Gaussian blur."""
    pixels = scipy.ndimage.gaussian_filter(photo.numpy(), (0, 0, BLUR, BLUR), mode="nearest")
    return torch.from_numpy(pixels).clamp(0, 1)


def deleted(photo: torch.Tensor, order: np.ndarray) -> torch.Tensor:
    """Returns a photograph (1, C, H, W) with more and more blurred cells, in an order."""
    rows, columns = photo.shape[2] // CELL, photo.shape[3] // CELL
    stages, hidden = [], blurred(photo)
    for count in [*range(0, len(order), TOGETHER), len(order)]:
        mask = torch.zeros(rows * columns)
        mask[torch.from_numpy(order[:count].copy())] = 1
        large = mask.reshape(1, 1, rows, columns).repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
        stages.append(photo * (1 - large) + hidden * large)
    return torch.cat(stages)


def probabilities(model: Model, photos: torch.Tensor) -> torch.Tensor:
    """Returns the probabilities of the classes, (N, classes)."""
    layer = str(probabilities_layer(model))
    return model.activations(photos, [layer])[layer]


def area(model: Model, photo: torch.Tensor, number: int, order: np.ndarray) -> float:
    """Returns the area under a deletion curve, by the trapezoidal rule."""
    with torch.no_grad():
        found = [probabilities(model, part)[:, number] for part in deleted(photo, order).split(8)]
    curve = torch.cat(found).double().numpy()
    curve = curve / curve[0]
    return float((curve[1:] + curve[:-1]).mean() / 2)


def areas_of(model: Model, path: Path, seed: int) -> dict[str, Any] | None:
    """Returns the areas of all methods and of random orders; None if the network is not sure of a class."""
    first = attribute(model, path, method="saliency")
    photo = torch.from_numpy(first.photos.transpose(0, 3, 1, 2).copy())
    number = int(first.targets[0].rpartition(":")[2])
    with torch.no_grad():
        probability = float(probabilities(model, photo)[0, number])
    if probability < LEAST:
        return None
    areas: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for method in method_names("input"):
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # DeepLift has no rule for the normalization
            options = dict(OPTIONS.get(method, {}))
            if method in OPTIONS:
                options["baselines"] = blurred(photo)
            maps = attribute(model, first.photos[0], number, method=method, **options).maps
        seconds[method] = time.perf_counter() - started
        areas[method] = area(model, photo, number, np.argsort(-cells_of(maps[0]), kind="stable"))
    random = np.random.RandomState(seed)
    count = (photo.shape[2] // CELL) * (photo.shape[3] // CELL)
    orders = [area(model, photo, number, random.permutation(count)) for _ in range(RANDOM_ORDERS)]
    return {"label": first.labels[0], "probability": probability, "areas": areas, "random": orders, "seconds": seconds}


# The run -----------------------------------------------------------------------------------------


def drawn(folder: Path) -> Iterator[Path]:
    """Yields the photographs of a folder in a drawn order."""
    paths = sorted(path for path in folder.rglob("*.jpg") if path.parent.name != "wallpapers")
    for index in np.random.RandomState(0).permutation(len(paths)):
        yield paths[index]


def measure(folder: Path, count: int) -> None:
    """Measures photographs until there are `count`, and writes the result after each."""
    model = get_model("InceptionV1_caffe")
    report = Report(
        METHOD, {"count": count, "options": OPTIONS, "least_probability": LEAST, "threads": torch.get_num_threads()}
    )
    known = json.loads(RESULT.read_text())["figures"] if RESULT.exists() else {"photographs": {}, "passed_over": []}
    photographs, passed_over = known["photographs"], known["passed_over"]
    for number, path in enumerate(drawn(folder)):
        name = path.relative_to(folder).as_posix()
        if len(photographs) >= count:
            break
        if name in photographs or name in passed_over:
            continue
        found = areas_of(model, path, number)
        if found is None:
            passed_over.append(name)
            continue
        photographs[name] = found
        console.print(f"{len(photographs)} {name}: {found['label']} {found['probability']:.2f}")
        report.save(RESULT, {"photographs": photographs, "passed_over": passed_over, **summary(photographs)})


def summary(photographs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the mean areas and their differences from random orders, with intervals."""
    random = np.array([np.mean(one["random"]) for one in photographs.values()])
    figures = {"random": {"area": interval(random)}}
    for method in next(iter(photographs.values()))["areas"]:
        areas = np.array([one["areas"][method] for one in photographs.values()])
        figures[method] = {"area": interval(areas), "less_than_random": interval(random - areas)}
    failed = [name for name in MUST if figures[name]["less_than_random"]["low"] <= 0]
    return {"methods": figures, "must_beat_random": list(MUST), "do_not_beat_random": failed}


def interval(values: np.ndarray) -> dict[str, float]:
    """Returns the mean and its 95 % bootstrap interval."""
    draws = np.random.RandomState(1).randint(0, len(values), (DRAWS, len(values)))
    low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


# The page ----------------------------------------------------------------------------------------


def shown(one: Mapping[str, float]) -> str:
    """Returns a mean and its interval as text."""
    return f"{one['mean']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def page() -> None:
    """Writes the table into the page."""
    result = json.loads(RESULT.read_text())
    figures = result["figures"]
    methods = sorted(figures["methods"].items(), key=lambda item: item[1]["area"]["mean"])
    rows: list[Sequence[str]] = []
    for name, one in methods:
        less = one.get("less_than_random")
        verdict = "" if less is None else shown(less)
        rows.append((f"`{name}`" if less else "random orders", shown(one["area"]), verdict))
    head = ("method", "area, less is better", "less than random orders")
    machine = result["machine"]
    count, passed = len(figures["photographs"]), len(figures["passed_over"])
    note = (
        f"\n{count} photographs; {passed} more were passed over. Means with 95 % intervals. "
        f"`benchmarks/attribution.py`, commit {machine['commit'][:12]}, {machine['date'][:10]}.\n"
    )
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n\n{markdown(head, rows)}{note}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs="?", help="a folder of photographs.py")
    parser.add_argument("--count", type=int, default=20, help="number of photographs")
    parser.add_argument("--page", action="store_true", help="write the table into docs/attribution.md")
    given = parser.parse_args()
    if given.photographs is not None:
        measure(given.photographs, given.count)
    if given.page:
        page()
    elif RESULT.exists():
        failed = json.loads(RESULT.read_text())["figures"]["do_not_beat_random"]
        if failed:
            raise SystemExit(f"Random orders are as good as {', '.join(failed)}.")


if __name__ == "__main__":
    main()
