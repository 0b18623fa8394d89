"""Small graphs as other projects freeze them, with TensorFlow's values, which `parity_tests.reference` makes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.frozen.graphdef import read_graph
from converters.reference.inputs import InputSpec
from converters.reference.store import References, ReferenceWriter, read_references
from converters.tensorflow.process import OPTIONS

FOLDER = Path(__file__).resolve().parent.parent / "reference_outputs" / "strangers"
SCRIPT = Path(__file__).resolve().parent / "oracle" / "strangers.py"
SOURCE = "parity_tests/oracle/strangers.py: {name}, seeded weights"
INPUT = "image"


@dataclass(frozen=True)
class Stranger:
    """One graph.

    Attributes:
        shape: (N, H, W, C) of the input that TensorFlow computed it for.
        options: the options of `converters.convert` that open it.
        left_out: text in the reason for which some layers are left out; empty if all are converted.
    """

    shape: tuple[int, int, int, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    left_out: str = ""

    def spec(self) -> InputSpec:
        """The input."""
        return InputSpec("texture", self.shape, (-1.0,), (1.0,), seed=7)


STRANGERS: Mapping[str, Stranger] = {
    "slim_switches": Stranger((2, 9, 7, 3), {"constants": {"phase_train": False}}),
    "loss_behind_logits": Stranger((2, 8, 9, 3), {}, "SoftmaxCrossEntropyWithLogits"),
    "encoded_picture": Stranger((1, 9, 7, 3), {"input_name": "Mul"}),
    "gray": Stranger((2, 11, 8, 1)),
    "rows_of_pixels": Stranger((2, 8, 6, 1), {"input_name": "Reshape", "constants": {"keep_prob": 1.0}}, "'labels'"),
    "detector": Stranger((2, 16, 12, 3), {"input_name": "Preprocessor/sub"}, "the loop"),
    "keras_like": Stranger((2, 11, 8, 3)),
    "estimator": Stranger(
        (2, 9, 7, 3), {"input_name": "input_layer", "constants": {"training": False}}, "the op AsString"
    ),
    "darknet_like": Stranger((2, 12, 10, 3), {}, "the op ExtractImagePatches"),
}


def graph_file(name: str) -> Path:
    """The frozen graph of a name."""
    return FOLDER / f"{name}.pb"


def references() -> dict[str, References]:
    """TensorFlow's values by the graph's name."""
    return read_references(FOLDER)


def make_strangers(python: str | Path, outputs: Path = FOLDER) -> None:
    """Builds all graphs and records their values.

    Args:
        python: a Python that has TensorFlow 1.15.
        outputs: folder of the graphs and references.
    """
    writer = ReferenceWriter(outputs)
    outputs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "inputs.npz", **{key: each.spec().make() for key, each in STRANGERS.items()})  # type: ignore[arg-type]
        subprocess.run([str(python), *OPTIONS, str(SCRIPT), str(folder)], check=True)
        for key, each in STRANGERS.items():
            shutil.copyfile(folder / f"{key}.pb", outputs / f"{key}.pb")
            fingerprint = read_graph(outputs / f"{key}.pb").fingerprint()
            with np.load(folder / f"{key}.npz") as result:
                writer.add(key, fingerprint, SOURCE.format(name=key), INPUT, each.spec(), dict(result), "values.npz")
    writer.save()
