"""Compares the stand-in networks with TensorFlow's recorded values, and prints the measurements.

python -m parity_tests.zoo.measure [NAME ...]       # a table, as in docs/parity.md
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

import converters
from converters.reference.check import LayerCheck, check_activations, check_gradients
from converters.reference.store import InputReference, References, read_references
from parity_tests.zoo.networks import Zoo, input_label, network
from parity_tests.zoo.structures import names

REFERENCES = Path(__file__).resolve().parents[2] / "reference_outputs" / "zoo"


@cache
def references() -> dict[str, References]:
    """TensorFlow's values of all stand-ins by Lucid's name."""
    return read_references(REFERENCES)


@dataclass(frozen=True)
class Comparison:
    """A converted stand-in, and TensorFlow's values of the same graph for one input.

    Attributes:
        zoo: the network.
        model: the model converted from its graph.
        reference: TensorFlow's values.
    """

    zoo: Zoo
    model: converters.ConvertedModel
    reference: InputReference

    def layers(self) -> list[LayerCheck]:
        """Every layer compared."""
        return check_activations(self.model, self.reference, self.reference.make_input())

    def gradients(self, draw: int = 0) -> list[LayerCheck]:
        """The recorded gradients compared, image by image.

        Args:
            draw: 0 for the very input; others move every value of it by one unit in the last place, each up or down.
                Decisions of ReLUs and maxima that only rounding made are then made anew.
        """
        image = self.reference.make_input()
        if draw:
            up = np.random.RandomState(draw).randint(0, 2, image.shape).astype(bool)
            image = np.nextafter(image, np.where(up, np.float32(np.inf), np.float32(-np.inf)))
        return check_gradients(self.model, self.reference, image)


def compare(name: str) -> Comparison:
    """Makes a stand-in, converts it, and finds its references.

    Raises:
        ValueError: the references are of another graph.
    """
    zoo = network(name)
    model = converters.convert(zoo.graph_def(), input_name=zoo.input_name)
    recorded = references()[name]
    if recorded.fingerprint != model.program.fingerprint:
        raise ValueError(f"The references of {name} are of another graph; run python -m parity_tests.reference --zoo.")
    return Comparison(zoo, model, recorded.inputs[input_label(zoo)])


def main(wanted: Sequence[str]) -> None:
    """Prints a row for each of the named networks, or for all."""
    torch.set_num_threads(1)
    print("| network | values | layers | input | worst layer | gradient | TensorFlow's gradient moves | CPU seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name in wanted or names():
        print(row(name), flush=True)


def row(name: str) -> str:
    """One network's row of the table."""
    start = time.process_time()
    comparison = compare(name)
    layers, gradients = comparison.layers(), comparison.gradients()
    seconds = time.process_time() - start
    values = sum(tensor.numel() for tensor in comparison.model.state_dict().values())
    error, moved = max((check.error, check.moved) for check in gradients) if gradients else (None, None)
    cells = [
        name,
        f"{values / 1e6:.1f} M",
        str(len(layers)),
        "x".join(map(str, comparison.zoo.spec.shape[:3])),
        f"{max(check.error for check in layers):.1e}",
        "" if error is None else f"{error:.1e}",
        "" if moved is None else f"{moved:.1e}",
        f"{seconds:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
