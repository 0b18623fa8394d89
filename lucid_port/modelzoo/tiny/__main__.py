"""Rebuilds TinyInceptionV1: draws its training data, trains, exports, evaluates, and writes its model card.

    python -m lucid_port.modelzoo.tiny -o runs/tiny

writes TinyInceptionV1.pb and TinyInceptionV1.md to the folder, and compares the graph with the one in this package.
An interrupted run resumes from its last checkpoint when the command is repeated; a finished run is exported again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from converters.frozen.graphdef import read_graph
from converters.frozen.writer import write_graph_def
from lucid_port.modelzoo.files import PACKAGE_DATA
from lucid_port.modelzoo.nets_factory import open_model
from lucid_port.modelzoo.tiny.card import with_measurements
from lucid_port.modelzoo.tiny.drawings import CLASSES
from lucid_port.modelzoo.tiny.evaluate import LOGITS, accuracy, confusion, report
from lucid_port.modelzoo.tiny.export import export
from lucid_port.modelzoo.tiny.network import BLACK, WHITE, TinyInception
from lucid_port.modelzoo.tiny.train import Settings, parse_settings, train

NAME = "TinyInceptionV1"
PICTURES = 5600


def make(settings: Settings, folder: Path, pictures: int = PICTURES, quiet: bool = False) -> Path:
    """Trains a network or resumes its training, exports and evaluates it, and writes its graph and card.

    Args:
        settings: settings of the training.
        folder: folder of the run and of the results.
        pictures: number of held-out drawings in the evaluation.
        quiet: print nothing.

    Returns:
        The graph's path.

    Raises:
        ValueError: the folder contains a run with other settings.
    """

    def say(text: str) -> None:
        if not quiet:
            print(text)

    started = time.process_time()
    torch.manual_seed(settings.seed)
    network = train(TinyInception(len(CLASSES)), settings, folder, quiet)
    say(f"trained: {time.process_time() - started:.0f} seconds of processor time in this run")
    graph = write_graph_def(export(network), folder / f"{NAME}.pb")
    model = open_model(graph, image_value_range=(BLACK, WHITE))
    counts = confusion(lambda x: model.activations(x, [LOGITS])[LOGITS], pictures)
    say(report(counts))
    card = folder / f"{NAME}.md"
    card.write_text(with_measurements((PACKAGE_DATA / f"{NAME}.md").read_text(encoding="utf-8"), counts), "utf-8")
    say(f"{graph}: {graph.stat().st_size / 1e6:.2f} MB, {accuracy(counts):.2%} of held-out drawings; {beside(graph)}")
    say(f"{card}")
    return graph


def beside(graph: Path, package: Path = PACKAGE_DATA / f"{NAME}.pb") -> str:
    """Describes how a graph differs from the one in this package."""
    if graph.read_bytes() == package.read_bytes():
        return "the same as the package's, bit for bit"
    found, expected = (_weights(path) for path in (graph, package))
    if {name: value.shape for name, value in found.items()} != {name: value.shape for name, value in expected.items()}:
        return "another network than the package's"
    apart = max(_apart(found[name], value) for name, value in expected.items())
    return f"its weights differ from the package's by up to {apart:.2g} of a tensor's norm"


def _weights(path: Path) -> dict[str, np.ndarray]:
    return {node.name: node.constant() for node in read_graph(path).nodes.values() if node.constant is not None}


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    """Returns the norm of the difference relative to the norm of `expected`."""
    difference = np.linalg.norm(found.astype(np.float64) - expected.astype(np.float64))
    return float(difference / max(float(np.linalg.norm(expected.astype(np.float64))), 1e-12))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    settings, folder = parse_settings(arguments, __doc__, seed=0)
    make(settings, folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
