"""Cases: small graphs for an op and its attributes, with values recorded from TensorFlow.

A case is a frozen graph with the placeholder `x` and, in most, the node `y`, and the inputs to feed. All weights are
seeded, so that a case is the same graph on every machine.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.frozen.writer import GraphWriter, Size
from converters.reference.inputs import InputSpec

INPUT = "x"
CHANNELS = 6
# (rows, columns): odd, even, non-square, and barely larger than the largest kernel.
SIZES = ((9, 9), (12, 10), (7, 13))
ONE_SIZE = ((5, 7),)  # for ops that work on values one at a time
BATCH = 3

Build = Callable[["CaseWriter"], None]


class CaseWriter(GraphWriter):
    """A writer with seeded constants.

    Attributes:
        x: the input's name.
        random: the source of the case's constants.
    """

    def __init__(self, seed: int, channels: int, layout: str = "NHWC") -> None:
        super().__init__()
        self.random = np.random.RandomState(seed)
        self.channels = channels
        self.x = self.placeholder(
            INPUT, [None, channels, None, None] if layout == "NCHW" else [None, None, None, channels]
        )

    def seeded(self, name: str, shape: Sequence[int], low: float = -1.0, high: float = 1.0) -> str:
        """A constant of uniform draws."""
        draws = self.random.random_sample(tuple(shape)) * (high - low) + low
        return self.const(name, draws.astype(np.float32))


@dataclass(frozen=True)
class Case:
    """One small graph and its inputs.

    Attributes:
        name: unique, readable name; the test's id.
        build: function that adds the nodes.
        channels: number of channels of the input.
        sizes: (rows, columns) of the inputs.
        low: least value of the input.
        high: greatest value of the input.
        batch: number of images in an input.
        kind: kind of the inputs (`InputSpec.kind`).
        gradient: whether gradients are compared; False if all values saturate, because then only rounding is left.
        of: (layer, channel) whose gradient is compared; None for the first channel of the last node that is not
            a constant.
        layout: axis order of the input.
        fetches: the layers to compare; None for all. Needed if TensorFlow has values that are not layers (sizes,
            random numbers), or cannot fetch some layers (the dead side of a Switch).
        stands_for: builds a graph that computes the same at the same names, where TensorFlow cannot run this one: it
            has no convolutions of NCHW on a CPU.
    """

    name: str
    build: Build
    channels: int = CHANNELS
    sizes: Sequence[tuple[int, int]] = SIZES
    low: float = -2.0
    high: float = 2.0
    batch: int = BATCH
    kind: str = "noise"
    gradient: bool = True
    of: tuple[str, int] | None = None
    layout: str = "NHWC"
    fetches: Sequence[str] | None = None
    stands_for: Build | None = None

    def graph_def(self) -> GraphDef:
        """The frozen graph."""
        return self._graph_def(self.build)

    def oracle_graph_def(self) -> GraphDef:
        """The graph that TensorFlow runs for it."""
        return self._graph_def(self.stands_for or self.build)

    def _graph_def(self, build: Build) -> GraphDef:
        writer = CaseWriter(zlib.crc32(self.name.encode()), self.channels, self.layout)
        build(writer)
        return writer.graph_def()

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Of an input of some size, in the input's layout."""
        image = (self.channels, height, width) if self.layout == "NCHW" else (height, width, self.channels)
        return (self.batch, *image)

    def specs(self) -> dict[str, InputSpec]:
        """The inputs by name."""
        return {
            f"{height}x{width}": InputSpec(self.kind, self.shape(height, width), (self.low,), (self.high,), seed=index)
            for index, (height, width) in enumerate(self.sizes)
        }

    def gradients(self) -> list[tuple[str, int]]:
        """(layer, channel) of the gradients to take."""
        if self.of is not None:
            return [self.of] if self.gradient else []
        return [([node.name for node in self.graph_def().node if node.op != "Const"][-1], 0)] if self.gradient else []


CASES: dict[str, Case] = {}


def case(name: str, build: Build, **options: object) -> None:
    """Adds a case."""
    if name in CASES:
        raise ValueError(f"Two cases are called {name!r}.")
    lists = {key: tuple(value) for key, value in options.items() if isinstance(value, list)}
    CASES[name] = Case(name, build, **{**options, **lists})  # type: ignore[arg-type]


def label(size: Size) -> str:
    """A size in a case's name: `3`, or `1x7`."""
    return str(size) if isinstance(size, int) else "x".join(map(str, size))
