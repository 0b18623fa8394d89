"""What can be rendered of a model: its layers, classes and commands to copy, for `lucid-port render MODEL` alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from lucid_port.cli import sources
from lucid_port.cli.console import print_text

MOST = 24
"""Layers that are listed."""


def offer(source: str, opening: sources.ModelOptions) -> None:
    """Prints what can be rendered, and three commands to copy."""
    from lucid_port.modelzoo.catalogue import catalogue, label_lists

    known = catalogue().get(source)
    labels: Sequence[str] = ()
    if known is not None and not opening.given():
        layers = [(layer, depth) for layer, depth, _ in known.layers]
        labels = () if known.labels is None else label_lists()[known.labels].read()
    else:
        network = opening.network(source)
        infos = [info for info in network.layers.values() if info.op != "Placeholder" and info.channels]
        layers = [(info.name, info.channels) for info in infos]
    print_text(f"{source} has {len(layers)} layers with channels{f' and {len(labels)} classes' if labels else ''}:")
    shown = layers if len(layers) <= MOST else [*layers[: MOST // 2], *layers[-MOST // 2 :]]
    for number, (name, count) in enumerate(shown):
        if len(layers) > MOST and number == MOST // 2:
            print_text(f"  ... ({len(layers) - MOST} more: lucid-port layers {_word(source)})")
        print_text(f"  {name}:0-{count - 1}")
    if labels:
        print_text(f"  class:{', class:'.join(dict.fromkeys(labels[:3]))}, ... (lucid-port models {source} --labels)")
    print_text("\nFor example:")
    for command in _commands(source, opening, layers, labels):
        print_text(f"  {command}")
    print_text("\nSums, minima, neurons and directions: docs/units.md")


def _commands(
    source: str, opening: sources.ModelOptions, layers: Sequence[tuple[str, Any]], labels: Sequence[str]
) -> list[str]:
    if not layers:
        return []
    name, count = layers[len(layers) // 2]
    start = " ".join(["lucid-port render", _word(source), *map(shlex.quote, opening.words())])
    unit = min(8, count - 1)
    last = f"{shlex.quote(f'class:{labels[0]}')} -o class.png" if labels else f"{_word(f'{name}:{unit}')} -o unit.gif"
    return [
        f"{start} {_word(f'{name}:{unit}')} -o unit.png",
        f"{start} {_word(f'{name}:0-{min(15, count - 1)}')} -o units --sheet",
        f"{start} {last}",
    ]


def _word(text: str) -> str:
    return shlex.quote(text)
