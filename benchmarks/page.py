"""Write `docs/benchmarks.md` and its picture from the result files.

    python benchmarks/page.py

The page has only numbers from these files; missing numbers are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import gpu_tables
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "images" / "speed.png"

TF1, TF2, LUCENT = "Lucid, TensorFlow 1.15", "Lucid, TensorFlow 2", "Lucent, 224 px"
ONE, MANY = "lucid_port", "lucid_port, 16 units"
TARGETS = [
    (ONE, TF1, 0.50),
    (ONE, TF2, 0.75),
    (ONE, LUCENT, 0.14),
    (MANY, TF1, 0.38),
    (MANY, TF2, 0.60),
    (MANY, LUCENT, 0.10),
]
"""Contestant, reference contestant, and the target for the ratio of their times per step and image."""

NETWORK_PARTS = ("network and objective, forward", "network and objective, backward")
SERIES = {
    "batch": ("images in a batch", "ms a step and image", "seconds_per_image_and_step"),
    "units": ("units together, an image each", "ms a step", "seconds_per_step"),
    "size": ("pixels of the image's side", "ms a step", "seconds_per_step"),
    "depth": ("target layer", "ms a step", "seconds_per_step"),
}


def read(name: str) -> dict[str, Any] | None:
    """Reads a result file; None if it does not exist."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def spread(summary: Mapping[str, float], factor: float = 1.0, digits: int = 1) -> str:
    """Median (lower to upper quartile)."""
    low, middle, high = (summary[key] * factor for key in ("lower_quartile", "median", "upper_quartile"))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ratio(figures: Mapping[str, Any], name: str, other: str) -> float | None:
    """Returns the ratio of two contestants' times per image and step: the median over the rounds."""
    if name not in figures or other not in figures:
        return None
    ours, theirs = (
        [seconds / max(1, len(figures[one].get("units") or [0])) for seconds in figures[one]["rounds"]]
        for one in (name, other)
    )
    each = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    middle = len(each) // 2
    return each[middle] if len(each) % 2 else (each[middle - 1] + each[middle]) / 2


def machine(result: Mapping[str, Any]) -> str:
    """Where and when a result was measured."""
    about, settings = result["machine"], result["settings"]
    return (
        f"{about['processor']}, {about['usable_cores']} cores, torch {about['torch']}, commit {about['commit'][:7]}, "
        f"{about['date'][:10]}; {settings['steps']} steps a turn, {settings['rounds']} rounds. Load average before "
        f"{about['load_average_before'][0]}."
    )


def peers(result: Mapping[str, Any]) -> str:
    """The section on other implementations."""
    figures = result["figures"]
    rows = [
        [
            name,
            spread(one["seconds_per_image_and_step"], 1000),
            spread(one["time_of_reference"], digits=2),
            f"{one['objective_first']:.1f} to {one['objective_last']:.1f}",
        ]
        for name, one in figures.items()
    ]
    aims = []
    for name, other, target in TARGETS:
        found = ratio(figures, name, other)
        if found is not None:
            aims.append([name, other, f"{found:.2f}", f"{target:.2f}", "yes" if found <= target else "no"])
    columns = ["", "ms per step and image", "relative to TensorFlow 1.15", "objective"]
    return (
        "## Compared with Lucid and Lucent\n\nOne unit of `mixed4a_pre_relu`, 128 pixels, standard transforms, the "
        "same weights. `benchmarks/README.md` lists the differences between the libraries. Medians and quartiles:\n\n"
        + table(columns, rows)
        + "\n"
        + table(["", "compared with", "relative time", "target", "reached"], aims)
        + f"\n{machine(result)} `python benchmarks/peers.py`\n"
    )


def breakdown(result: Mapping[str, Any]) -> str:
    """The section on the parts of a step."""
    parts = result["figures"]["parts"]
    rows = [[name, spread(one["seconds"], 1000, 2), spread(one["share"], 100)] for name, one in parts.items()]
    network = sum(parts[name]["share"]["median"] for name in NETWORK_PARTS)
    return (
        f"## The parts of a step, {result['settings']['images']} image(s)\n\n"
        + table(["", "ms", "% of the step"], rows)
        + f"\nThe network's forward and backward are {100 * network:.0f} % of a step (the target was 88 %). A part "
        "whose quartiles include zero is too small to measure, as it is the difference of two larger times.\n\n"
        f"{machine(result)} `python benchmarks/breakdown.py`\n"
    )


def scaling(result: Mapping[str, Any]) -> str:
    """The section on how a step grows."""
    text = "## Batch, size, depth and units\n\n![speed](images/speed.png)\n"
    for series, found in result["figures"].items():
        label, unit, key = SERIES[series]
        rows = [[name, spread(one[key], 1000)] for name, one in found["points"].items()]
        text += "\n" + table([label, unit], rows)
    return text + f"\n{machine(result)} `python benchmarks/scaling.py`\n"


def recipes(result: Mapping[str, Any]) -> str:
    """The section on recipes."""
    rows = [
        [f"`{name}`", str(one["images"]), spread(one["milliseconds"]["recipe"]), spread(one["rate"], digits=2)]
        for name, one in result["figures"].items()
    ]
    return (
        "## Recipes compared with render_many\n\nThe rate is images times updates per second, relative to "
        "`render_many` with as many images of the same size. The target was 0.8.\n\n"
        + table(["recipe", "images", "ms per image and update", "rate"], rows)
        + f"\n{machine(result)} `python benchmarks/recipes.py`\n"
    )


def drafts(result: Mapping[str, Any]) -> str:
    """The section on drafts of figures."""
    rows = []
    for model, found in result["figures"].items():
        seconds = {name: one["processor_seconds"] for name, one in found.items()}
        slowest = max(seconds, key=lambda name: seconds[name])
        whole = [f"{sum(one['seconds'] for one in found.values()):.0f}", f"{sum(seconds.values()):.0f}"]
        rows.append([f"`{model}`", str(len(found)), *whole, f"`{slowest}`, {seconds[slowest]:.0f}"])
    columns = ["model", "figures", "seconds in total", "processor seconds", "longest figure, processor seconds"]
    about, settings = result["machine"], result["settings"]
    return (
        "## Drafts of the figures\n\n`lucid-port figure NAME --fast`, one after the other.\n\n"
        + table(columns, rows)
        + f"\n{about['processor']}, {settings['threads']} thread, torch {about['torch']}, commit "
        f"{about['commit'][:7]}, {about['date'][:10]}. `python benchmarks/figures.py --model TinyInceptionV1`\n"
    )


def plot(result: Mapping[str, Any]) -> None:
    """Plots each series in its own panel."""
    figures = result["figures"]
    made, panels = plt.subplots(1, len(figures), figsize=(4 * len(figures), 3.2), layout="constrained")
    for panel, (series, found) in zip(panels if len(figures) > 1 else [panels], figures.items(), strict=True):
        label, unit, key = SERIES[series]
        names = list(found["points"])
        at = [int(name) for name in names] if all(name.isdigit() for name in names) else list(range(len(names)))
        summaries = [found["points"][name][key] for name in names]
        middle = [1000 * one["median"] for one in summaries]
        low = [m - 1000 * one["lower_quartile"] for m, one in zip(middle, summaries, strict=True)]
        high = [1000 * one["upper_quartile"] - m for m, one in zip(middle, summaries, strict=True)]
        panel.errorbar(at, middle, yerr=[low, high], marker="o", capsize=3, color="#333")
        if not names[0].isdigit():
            panel.set_xticks(at, [name.removesuffix("_pre_relu") for name in names], rotation=60, fontsize=7)
        panel.set_xlabel(label)
        panel.set_ylabel(unit)
        panel.set_ylim(bottom=0)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(PICTURE, dpi=80)


def gpu(result: Mapping[str, Any]) -> str:
    """The section on one GPU."""
    about, settings = result["machine"], result["settings"]
    text = f"## On one GPU\n\n{result['method']}\n"
    for section, found in result["figures"].items():
        title, columns, rows = gpu_tables.table(section, found)
        remark = gpu_tables.remark(found)
        text += f"\n### {title[0].upper()}{title[1:]}\n"
        text += f"\n{table(columns, rows)}" if rows else ""
        text += f"\n{remark}\n" if remark else ""
    return (
        f"{text}\n{settings['device']}, CUDA {settings['cuda']}, {about['usable_cores']} cores, "
        f"torch {about['torch']}, commit {about['commit'][:7]}, {about['date'][:10]}; {settings['steps']} steps "
        f"a turn, at most {settings['rounds']} rounds. `python benchmarks/gpu.py`\n"
    )


SECTIONS = {
    "peers": peers,
    "breakdown": breakdown,
    "breakdown_16": breakdown,
    "scaling": scaling,
    "recipes": recipes,
    "figures": drafts,
    "gpu": gpu,
}


LIMITS = """
## What limits the speed

Two targets are missed by a little: one unit compared with TensorFlow 2, and the share of a step outside of the network.
A batch of 16 reaches all of its targets and takes half the time per image: most operations on a single image are too
small to keep two cores busy.

About half of a step to `mixed4a_pre_relu` at 142 pixels is convolutions, matrix products for 1x1 convolutions and local
response norms, which run close to the limits of the processor. The rest is about 300 small operations (max pools,
ReLUs, sums and products of a response norm, transforms, update), limited by memory or by the overhead of a call. The
part outside of the network takes 2.9 ms; this was 12 % of a step before the network became faster, and is 13 to 14 %
now. Measured alone, with warm caches, it takes 2.5 ms.

These changes helped, each measured alone on two cores:

- max pools of channels_last tensors (to a tenth of the time);
- a threshold instead of a filled mask for the ReLU whose gradient passes at 0 (to a thirtieth);
- 1x1 convolutions as matrix products (to half);
- the first convolution's gradient in blocks of pixels (to a third), with each of the kernel's rows as separate channels
  (to two thirds of that, 2 % of a step);
- only the channels that the objective reads (5 % of a step);
- an explicit gradient of the local response norm (to two thirds);
- no Python mode around calls after the first 17 updates (1.6 ms per step).

A convolution and its bias are also one call, which was not measured alone.

These changes did not help: an inception module's three 1x1 convolutions in one (0.1 ms of a step), the response norm's
sums in blocks of channels (no difference beyond noise), larger malloc thresholds (there are no page faults left), an
explicit gradient of the Fourier parameterization and of resizing (no difference), the first convolution's gradient as a
matrix product and `fold` (slower), `torch.compile` (see [speed.md](speed.md)).
"""


NOT_ON_A_GPU = " Nothing was measured on a GPU yet."
USAGE_ON_A_GPU = """

On a machine with a CUDA device, `python benchmarks/gpu.py --lucent lucent/bin/python` measures the port in less than
ten minutes and writes `benchmarks/results/gpu.json`. Without `--lucent`, Lucent is left out. To test the script on any
machine, run its smallest form, which gives no meaningful numbers: `python benchmarks/gpu.py --smallest --device cpu`.
"""


def main() -> None:
    """Write the page."""
    text = (
        "# Benchmarks\n\nMade by `python benchmarks/page.py` from `benchmarks/results/`. Absolute times drift by a "
        "factor of two on a shared machine; ratios within a round do not. The method is in `benchmarks/README.md`."
        + (NOT_ON_A_GPU if read("gpu") is None else "")
        + USAGE_ON_A_GPU
    )
    for name, section in SECTIONS.items():
        result = read(name)
        if result is not None:
            text += "\n" + section(result)
        if result is not None and name == "scaling":
            plot(result)
    PAGE.write_text(text + LIMITS)


if __name__ == "__main__":
    main()
