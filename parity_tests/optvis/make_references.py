"""Make the references of optvis: run the scripts of ``parity_tests/oracle`` in the reference environment.

    python -m parity_tests.optvis.make_references --python PYTHON37 [--all-states] [functions|renders|NAME ...]

PYTHON37 has TensorFlow 1.15.5 and Lucid 0.3.10. Renders of networks whose graph is missing
are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from parity_tests.networks import NETWORKS

ROOT = Path(__file__).resolve().parents[2]
ORACLE = ROOT / "parity_tests" / "oracle"
OUTPUTS = ROOT / "reference_outputs"

FEW_STATES = [0, 1, 2, 3, 4, 5, 6, 7, 12, 19, 32, 64, 128, 224, 352, 511]
"""The committed steps: the first 8, and 8 spread over 512."""
MANY_STATES = sorted({*range(20), *(round(20 + i * 491 / 43) for i in range(44))})
"""64 of 512 steps, the first 20 among them."""
PERTURBATIONS = 8
FREE_STEPS = 8

RANGES: dict[str, dict[str, Any]] = {
    "seeded": {"image_value_range": [[-117.0], [138.0]], "is_BGR": False},
    "caffe": {
        "image_value_range": [[-103.939, -116.779, -123.68], [151.061, 138.221, 131.32]],
        "is_BGR": True,
    },
}

STANDARD = [
    ["pad", {"w": 12, "mode": "constant", "constant_value": 0.5}],
    ["jitter", {"d": 8}],
    ["random_scale", {"scales": [1 + (i - 5) / 50 for i in range(11)]}],
    ["random_rotate", {"angles": [*range(-10, 11), 0, 0, 0, 0, 0]}],
    ["jitter", {"d": 4}],
]
# On the smooth twins no decision may hang on rounding, that of a nearest neighbour included.
NO_TIES = [*STANDARD[:3], ["random_rotate", {"angles": [-9.3, -4.1, 0, 2.7, 7.9]}], STANDARD[4]]
ALPHA = [["collapse_alpha_random", {"sd": 0.5}], ["pad", {"w": 5, "constant_value": "uniform", "mode": "CONSTANT"}]]
VECTOR = "seeded(1, (512,), 'normal')"

_TABLE: list[tuple[str, str, str, str, list[Any]]] = [
    # Channels of the twins are chosen to be active from the start: where softplus is all but zero, its
    # gradient is what cancellation leaves, and the oracle differs from itself by more than any bound.
    ("twin_channel", "seeded-smooth", "'mixed4a:203'", "param.image(64)", NO_TIES),
    (
        "twin_neuron_pixels",
        "caffe-smooth",
        "objectives.neuron('inception_3b_output', 450)",
        "param.image(45, h=52, fft=False)",
        # Without any transform a neuron converges, and a gradient of zero has no relative error.
        [["jitter", {"d": 7}], ["random_scale", {"scales": [0.9, 1.1]}]],
    ),
    (
        "twin_direction_alpha",
        "caffe-smooth",
        f"objectives.direction('inception_4c_output', {VECTOR}, cossim_pow=2)"
        " - 1e-3 * objectives.blur_alpha_each_step()",
        "param.image(40, batch=2, alpha=True)",
        ALPHA,
    ),
    (
        "twin_cppn",
        "caffe-smooth",
        "objectives.channel('inception_3b_output', 450) - 0.02 * objectives.L2(constant=.5)",
        "param.cppn(48, num_layers=4, num_hidden_channels=12)",
        [["jitter", {"d": 4}]],
    ),
    ("caffe_channel", "caffe", "'inception_4a_output:300'", "param.image(64)", STANDARD),
    ("caffe_neuron", "caffe", "objectives.neuron('inception_4d_output', 200)", "param.image(56)", []),
    (
        "caffe_diversity",
        "caffe",
        "objectives.channel('inception_4b_output', 100) - 0.1 * objectives.diversity('inception_3b_output')",
        "param.image(40, batch=3)",
        [["jitter", {"d": 5}], ["random_scale", {"scales": [0.9, 1.0, 1.13]}]],
    ),
    (
        "caffe_pyramid",
        "caffe",
        "objectives.channel('inception_4c_output', 50) - 1e-4 * objectives.total_variation()"
        " - 1e-3 * objectives.L2(constant=.5)",
        "param.to_valid_rgb(param.laplacian_pyramid((1, 48, 61, 3)), decorrelate=True)",
        [["pad", {"w": 6, "mode": "symmetric"}], ["jitter", {"d": 9}]],
    ),
    ("seeded_channel", "seeded", "'mixed4a_pre_relu:476'", "param.image(64)", STANDARD),
    (
        "seeded_deepdream",
        "seeded",
        "objectives.deepdream('mixed3b') + objectives.penalize_boundary_complexity((1, 47, 47, 3), w=5)",
        "param.image(47)",
        [["pad", {"w": 7}], ["jitter", {"d": 3}], ["random_rotate", {"angles": [-30, 0, 45]}]],
    ),
    (
        "seeded_interpolate",
        "seeded",
        "objectives.channel_interpolate('mixed4b', 11, 'mixed4c', 23) + objectives.alignment('mixed3a')",
        "param.to_valid_rgb(param.fft_image((4, 36, 40, 3))"
        " + param.lowres_tensor((4, 36, 40, 3), (2, 9, 10, 3)), decorrelate=True)",
        [["jitter", {"d": 4}]],
    ),
    (
        "seeded_gray",
        "seeded",
        "objectives.channel('mixed5a', 99) * objectives.channel('mixed4d', 5) - 1e-3 * objectives.L1(constant=.5)",
        "param.grayscale_image_rgb(60)",
        [["normalize_gradient", {}], ["jitter", {"d": 6}], ["crop_or_pad_to", {"height": 64, "width": 70}]],
    ),
    (
        # At 224 px, through the fully connected layer, a real network has a decision within reach of rounding at
        # most states: TensorFlow moved by 2e-4 to 1e-2 from itself at 13 of 16.
        "twin_logit",
        "caffe-smooth",
        "objectives.class_logit('loss3_classifier/loss3_classifier', 340)",
        "param.to_valid_rgb(param.lowres_tensor((1, 231, 230, 3), (1, 33, 23, 3)), decorrelate=True)",
        [["jitter", {"d": 7}], ["crop_or_pad_to", {"height": 224, "width": 224}]],
    ),
]

RENDERS: list[dict[str, Any]] = [
    {
        "name": name,
        "network": f"inceptionv1-{network}",
        "objective": objective,
        "param": parameterization,
        "transforms": transforms,
        "seed": 40 + number,
    }
    for number, (name, network, objective, parameterization, transforms) in enumerate(_TABLE)
]


def settings(network: str) -> dict[str, Any]:
    """Value range and channel order of a network's input."""
    return RANGES["caffe" if "caffe" in network else "seeded"]


def make_renders(python: str, names: list[str], states: list[int], output: Path) -> None:
    """Record the named renders (all if none) at some steps."""
    wanted = [r for r in RENDERS if not names or r["name"] in names]
    with tempfile.TemporaryDirectory() as folder:
        networks = {}
        for name in {r["network"] for r in wanted}:
            graph = NETWORKS[name].graph_def()
            if graph is None:
                print(f"{name}: its graph is missing.")
                continue
            path = Path(folder) / f"{name}.pb"
            path.write_bytes(graph.SerializeToString())
            networks[name] = {
                "path": str(path),
                "input_name": NETWORKS[name].input_name,
                "lucid_class": NETWORKS[name].lucid_class,
                "is_smooth": NETWORKS[name].smooth,
                **settings(name),
            }
        job = {
            "networks": networks,
            "renders": [r for r in wanted if r["network"] in networks],
            "states": states,
            "perturbations": PERTURBATIONS,
            "free_steps": FREE_STEPS,
            "output": str(output),
        }
        (Path(folder) / "job.json").write_text(json.dumps(job))
        output.mkdir(parents=True, exist_ok=True)
        subprocess.run([python, str(ORACLE / "lucid_renders.py"), str(Path(folder) / "job.json")], check=True)


def make_functions(python: str, output: Path) -> None:
    """Run the real Lucid's functions on seeded inputs."""
    output.mkdir(parents=True, exist_ok=True)
    subprocess.run([python, str(ORACLE / "lucid_functions.py"), str(output)], check=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="Python 3.7 with TensorFlow 1.15.5 and Lucid 0.3.10")
    parser.add_argument("--all-states", action="store_true", help="64 states a render instead of 16")
    parser.add_argument("--free-only", action="store_true", help="only the first steps of free renders")
    parser.add_argument("--output", type=Path, default=OUTPUTS)
    parser.add_argument("names", nargs="*", help="functions, renders, or names of renders; all by default")
    options = parser.parse_args()
    names = options.names or ["functions", "renders"]
    if "functions" in names:
        make_functions(options.python, options.output / "functions")
    chosen = [] if "renders" in names else [n for n in names if n != "functions"]
    if chosen or "renders" in names:
        states = MANY_STATES if options.all_states else FEW_STATES
        states = [] if options.free_only else states
        make_renders(options.python, chosen, states, options.output / "renders")


if __name__ == "__main__":
    main()
