"""Makes TinyInceptionV1 from nothing: draws, trains, exports, evaluates, and writes its card.

    python -m lucid_port.modelzoo.tiny -o runs/tiny

writes TinyInceptionV1.pb and TinyInceptionV1.md into the folder, and says how the network compares with the one that
comes with the package. Stopped, the same command goes on from its last checkpoint.
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
    """Trains, or goes on with a training, exports, evaluates, and writes graph and card.

    Args:
        settings: of the training.
        folder: of the run; what is made goes there.
        pictures: held-out drawings of the evaluation.
        quiet: show no progress, and print nothing.

    Returns:
        The graph's path.

    Raises:
        ValueError: the folder holds a run with other settings.
    """
    say = _silent if quiet else print
    started = time.process_time()
    torch.manual_seed(settings.seed)
    network = train(TinyInception(len(CLASSES)), settings, folder, quiet)  # a finished run has nothing left to do
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
    """How a graph compares with the package's, in words."""
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
    """The norm of the difference, relative to the norm of what was expected."""
    difference = np.linalg.norm(found.astype(np.float64) - expected.astype(np.float64))
    return float(difference / max(float(np.linalg.norm(expected.astype(np.float64))), 1e-12))


def _silent(text: str) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    settings, folder = parse_settings(arguments, __doc__, seed=0)
    make(settings, folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
