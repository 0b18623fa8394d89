"""Measures the accuracy of a network on held-out drawings.

python -m lucid_port.modelzoo.tiny.evaluate [GRAPH.pb] [--pictures 5600]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lucid_port.modelzoo.nets_factory import open_model
from lucid_port.modelzoo.tiny.drawings import CLASSES, draw_block
from lucid_port.modelzoo.tiny.network import BLACK, SIZE, WHITE

HELD_OUT = 10**15
"""First seed of held-out drawings, far above the seeds of any training."""

BLOCK = 560
LOGITS = "softmax2_pre_activation"


def confusion(classify: Callable[[Tensor], Tensor], pictures: int = 5600, seed: int = 0, size: int = SIZE) -> Tensor:
    """Computes the confusion matrix of a classifier on held-out drawings.

    Args:
        classify: maps (N, 3, H, W) in [0, 1] to logits (N, classes).
        pictures: number of drawings, rounded down to blocks of 560 (20 of each class), at least one block.
        seed: seed of the drawings.
        size: height and width in pixels.

    Returns:
        Counts, int64 (true class, predicted class).
    """
    counts = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.int64)
    for block in range(max(1, pictures // BLOCK)):
        drawn, labels = draw_block(BLOCK, (size, size), HELD_OUT + 1000 * seed + block)
        with torch.no_grad():
            taken = torch.cat([classify(part).argmax(1) for part in drawn.split(56)])
        counts.index_put_((labels, taken), torch.ones_like(labels), accumulate=True)
    return counts


def accuracy(counts: Tensor) -> float:
    """Returns the fraction of drawings that are classified correctly."""
    return float(counts.diagonal().sum() / counts.sum())


def by_class(counts: Tensor) -> Iterator[tuple[str, float, str]]:
    """Yields name, accuracy and up to three most frequent wrong predictions (with their counts) of each class."""
    for index, (name, row) in enumerate(zip(CLASSES, counts, strict=True)):
        others = [other for other in row.argsort(descending=True).tolist() if row[other] and other != index]
        wrong = ", ".join(f"{CLASSES[other]} {int(row[other])}" for other in others[:3])
        yield name, int(row[index]) / max(1, int(row.sum())), wrong


def report(counts: Tensor) -> str:
    """Formats a confusion matrix: a line per class with its accuracy and its most frequent wrong predictions."""
    lines = [f"{name:20s} {share:7.1%}  {wrong}" for name, share, wrong in by_class(counts)]
    return "\n".join([*lines, f"{'all':20s} {accuracy(counts):7.2%}  of {int(counts.sum())}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", nargs="?", help="a frozen graph (default: the bundled one)")
    parser.add_argument("--pictures", type=int, default=5600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    stated = {"image_value_range": (BLACK, WHITE)} if options.graph else {}
    model = open_model(options.graph or "TinyInceptionV1", **stated)
    counts = confusion(lambda x: model.activations(x, [LOGITS])[LOGITS], options.pictures, options.seed)
    print(report(counts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
