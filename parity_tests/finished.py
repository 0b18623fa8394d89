"""Finished renders, Lucid's and the port's: the same objective values and pictures that look alike.

    python -m parity_tests.finished lucid --python PYTHON37     # makes reference_outputs/finished/lucid.npz
    python -m parity_tests.finished port                        # compares, and writes docs/images/finished.jpg

Rounding drives any two renders apart, Lucid's own included, so pixels cannot be compared. The comparison
uses the objective's values over several seeds, and the content of the pictures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import param, render
from lucid_port.optvis.sampling import RandomSource
from parity_tests.networks import NETWORKS
from parity_tests.optvis.make_references import settings

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "reference_outputs" / "finished" / "lucid.npz"
SHEET = ROOT / "docs" / "images" / "finished.jpg"
NETWORK = "inceptionv1-caffe"
UNITS = (
    "inception_3a_output:50",
    "inception_3b_output:100",
    "inception_4a_output:300",
    "inception_4b_output:100",
    "inception_4c_output:50",
    "inception_4d_output:200",
    "inception_4e_output:500",
    "inception_5a_output:300",
)
SEEDS = (0, 1, 2, 3)
# Some renders of this unit show one turtle and some two, which come to different heights; Lucid's first four happen to
# show one. Lucid's spread over seeds is therefore taken from twelve.
MORE_SEEDS = {"inception_5a_output:300": tuple(range(4, 12))}
SIZE = 128
STEPS = 256
# The transforms of each step move the objective by some percent; this many last steps average that out.
LAST = 16
AGREEMENT = 0.03
"""Share of Lucid's mean within which the port's lies, unless Lucid's own seeds differ by more."""


def finals(losses: np.ndarray) -> np.ndarray:
    """The final objective of each run: the mean of its last values. (..., steps) -> (...)."""
    return losses[..., -LAST:].mean(-1)


def agree(lucid: Sequence[float], port: Sequence[float]) -> tuple[float, float]:
    """(distance of the means, distance allowed) for the final objectives of several seeds."""
    theirs, ours = np.asarray(lucid, float), np.asarray(port, float)
    return abs(ours.mean() - theirs.mean()), max(AGREEMENT * abs(theirs.mean()), float(np.ptp(theirs)))


def lucid_finals(arrays: Mapping[str, np.ndarray], unit: str) -> np.ndarray:
    """Lucid's final objectives of a unit, over all seeds that were run."""
    found = finals(arrays["losses"][UNITS.index(unit)])
    return np.concatenate([found, finals(arrays[f"more/{unit}"])]) if unit in MORE_SEEDS else found


def make_lucid(python: str) -> None:
    """Runs the real Lucid."""
    arrays = _run_lucid(python, UNITS, SEEDS)
    for unit, seeds in MORE_SEEDS.items():
        arrays[f"more/{unit}"] = _run_lucid(python, [unit], seeds)["losses"][0]
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(REFERENCE, **arrays)  # type: ignore[arg-type]


def _run_lucid(python: str, units: Sequence[str], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Losses and pictures of some units and seeds, from a process of Lucid's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph = NETWORKS[NETWORK].graph_def()
        if graph is None:
            raise SystemExit(f"{NETWORK}: its graph is not in a folder of LUCID_PORT_MODELZOO.")
        (folder / "graph.pb").write_bytes(graph.SerializeToString())
        network = {
            "path": str(folder / "graph.pb"),
            "input_name": NETWORKS[NETWORK].input_name,
            "lucid_class": NETWORKS[NETWORK].lucid_class,
            **settings(NETWORK),
        }
        job = {"network": network, "units": units, "seeds": seeds, "size": SIZE, "steps": STEPS}
        (folder / "job.json").write_text(json.dumps({**job, "output": str(folder / "lucid.npz")}))
        script = ROOT / "parity_tests" / "oracle" / "lucid_finished.py"
        subprocess.run([python, str(script), str(folder / "job.json")], check=True)
        with np.load(folder / "lucid.npz") as made:
            return dict(made)


def run_port(model: Model, unit: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(losses before each update, picture after the last) of one render with all defaults."""
    made = render.render_vis(
        model, unit, lambda: param.image(SIZE), thresholds=(STEPS - 1,), verbose=False, seed=RandomSource(seed)
    )
    return made.losses, made[-1][0]


def contact_sheet(lucid: np.ndarray, port: np.ndarray, seeds: int = 2) -> Image.Image:
    """A column a unit: Lucid's pictures of some seeds above, the port's below. (units, seeds, H, W, 3) uint8 each."""
    gap = np.full((8, lucid.shape[0] * SIZE, 3), 255, np.uint8)
    rows = [np.concatenate(list(pictures[:, seed]), 1) for pictures in (lucid, port) for seed in range(seeds)]
    return Image.fromarray(np.concatenate([*rows[:seeds], gap, *rows[seeds:]], 0))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("who", choices=("lucid", "port"))
    parser.add_argument("--python", help="Python 3.7 with TensorFlow 1.15.5 and Lucid 0.3.10, for lucid")
    options = parser.parse_args()
    if options.who == "lucid":
        if options.python is None:
            parser.error("lucid needs --python")
        make_lucid(options.python)
        return
    from lucid_port.modelzoo.vision_models import MODELS

    model = MODELS["InceptionV1_caffe"]()
    torch.set_grad_enabled(True)
    with np.load(REFERENCE) as reference:
        arrays = dict(reference)
    their_pictures = arrays["pictures"]
    pictures = np.zeros_like(their_pictures)
    failed = []
    for row, unit in enumerate(UNITS):
        ours = []
        for column, seed in enumerate(SEEDS):
            losses, picture = run_port(model, unit, seed)
            ours.append(finals(losses))
            pictures[row, column] = (picture * 255).astype(np.uint8)
        theirs = lucid_finals(arrays, unit)
        distance, allowed = agree(theirs, ours)
        failed += [unit] if distance > allowed else []
        values = " ".join(f"{value:.1f}" for value in [*theirs, *ours])
        means = f"Lucid {theirs.mean():.1f}, port {np.mean(ours):.1f}"
        print(f"{unit}: {means}; apart {distance:.1f}, allowed {allowed:.1f}; each seed {values}", flush=True)
    SHEET.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(their_pictures, pictures).save(SHEET, quality=88)
    raise SystemExit(f"These units differ by more than allowed: {failed}" if failed else 0)


if __name__ == "__main__":
    main()
