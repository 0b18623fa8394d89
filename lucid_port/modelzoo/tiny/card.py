"""Updates the measurements in TinyInceptionV1's model card."""

from __future__ import annotations

import re

from torch import Tensor

from lucid_port.modelzoo.tiny.evaluate import accuracy, by_class
from lucid_port.modelzoo.tiny.network import SIZE

_ROW = re.compile(r"^\| accuracy \|.*$", re.MULTILINE)
_TABLE = re.compile(r"(<!-- measured -->\n).*?(<!-- end -->\n)", re.DOTALL)


def with_measurements(card: str, counts: Tensor) -> str:
    """Replaces the measurements in a model card.

    Args:
        card: Markdown with a row `| accuracy | ... |` and a block `<!-- measured --> ... <!-- end -->`.
        counts: confusion matrix (true class, predicted class), from `evaluate.confusion`.

    Raises:
        ValueError: the card lacks the row or the block.
    """
    for pattern, what in ((_ROW, "row of the accuracy"), (_TABLE, "block of measurements")):
        if not pattern.search(card):
            raise ValueError(f"The card has no {what}.")
    share = f"{100 * accuracy(counts):.2f} % of {int(counts.sum())}"
    row = f"| accuracy | {share} held-out drawings of {SIZE} x {SIZE} pixels (`softmax2`) |"
    card = _ROW.sub(lambda _: row, card)
    return _TABLE.sub(lambda found: f"{found[1]}{_measured(counts)}{found[2]}", card)


def _measured(counts: Tensor) -> str:
    drawn = int(counts[0].sum())
    lines = [
        f"{drawn} held-out drawings per class, as printed by `python -m lucid_port.modelzoo.tiny.evaluate`:",
        "",
        "| class | accuracy | most frequent errors |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {100 * share:.1f} % | {wrong} |" for name, share, wrong in by_class(counts)]
    return "\n".join(lines) + "\n"
