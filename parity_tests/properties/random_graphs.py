"""TensorFlow's values of random graphs: a committed set, and comparisons of any number of seeds.

`parity_tests.reference --random` makes the committed set, and `--random --seeds 1000-2000` compares other seeds.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

import converters
from converters.frozen.graphdef import read_graph
from converters.frozen.writer import write_graph_def
from converters.reference.check import ACTIVATION_BOUND, check_activations, check_refusals
from converters.reference.inputs import InputSpec
from converters.reference.store import InputReference, References, ReferenceWriter, read_references
from converters.tensorflow.process import oracle_job, run_oracle
from parity_tests.properties.graphs import INPUT, RandomGraph, random_graph

FOLDER = Path(__file__).resolve().parents[2] / "reference_outputs" / "random"
GRAPHS = "graphs.npz"
SOURCE = "parity_tests/properties/graphs: {name}"
COMMITTED = range(120)
AT_ONCE = 100  # graphs in one process of TensorFlow

# Layers that are left out, by their reason; all others have TensorFlow's values.
LEFT_OUT = ("reads an unknown number of channels",)


@dataclass
class Comparison:
    """What a comparison of graphs found.

    Attributes:
        graphs: number of graphs.
        layers: number of layers that were compared.
        left_out: number of layers that were left out for a reason of `LEFT_OUT`.
        worst: the greatest error, relative to its layer's maximum.
        failures: a line for each graph that fails.
    """

    graphs: int = 0
    layers: int = 0
    left_out: int = 0
    worst: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, name: str, graph_def: GraphDef, reference: InputReference) -> None:
        """Converts a graph, and compares its layers."""
        self.graphs += 1
        try:
            self._compare(name, graph_def, reference)
        except converters.GraphError as error:
            if not any(reason in str(error) for reason in LEFT_OUT):
                self.failures.append(f"{name}: {error}")

    def _compare(self, name: str, graph_def: GraphDef, reference: InputReference) -> None:
        model = converters.convert(graph_def)
        image = reference.make_input()
        rows = [*check_activations(model, reference, image, ACTIVATION_BOUND), *check_refusals(model, reference, image)]
        self.layers += len(rows)
        self.left_out += len(model.left_out)
        self.worst = max([self.worst, *(row.error for row in rows if row.passed)])
        missing = set(reference.shapes) - {row.layer for row in rows} - set(model.left_out)
        unknown = [why for why in model.left_out.values() if not any(reason in why for reason in LEFT_OUT)]
        problems = [str(row) for row in rows if not row.passed]
        problems += [f"{len(missing)} layers were not computed, such as {sorted(missing)[0]}"] if missing else []
        problems += [f"TensorFlow refuses {layer}: {why}" for layer, why in reference.refused.items()]
        self.failures += [f"{name}: {problem}" for problem in [*problems, *unknown][:1]]

    def report(self) -> str:
        """Returns the numbers and all failures as text."""
        lines = [f"FAILED {failure}" for failure in self.failures]
        lines.append(
            f"{self.graphs} graphs, {self.layers} layers, {self.left_out} left out; worst error {self.worst:.1e} of "
            f"the layer's maximum (bound {ACTIVATION_BOUND:.0e}); {len(self.failures)} failures"
        )
        return "\n".join(lines)


def graph_of(seed: int) -> RandomGraph:
    """Returns the random graph of a seed."""
    return random_graph(random.Random(seed))


def committed_graphs() -> dict[str, GraphDef]:
    """Returns the committed graphs by name."""
    with np.load(FOLDER / GRAPHS) as arrays:
        return {name: GraphDef.FromString(arrays[name].tobytes()) for name in arrays.files}


def committed_references() -> dict[str, References]:
    """Returns TensorFlow's values of the committed graphs by name."""
    return read_references(FOLDER)


def make_random(python: str | Path) -> None:
    """Draws the committed set anew, and records its values.

    Args:
        python: a Python that has TensorFlow 1.15.
    """
    graphs = {f"seed-{seed}": graph_of(seed) for seed in COMMITTED}
    record(python, graphs, FOLDER)
    stored = {name: graph.graph_def.SerializeToString(deterministic=True) for name, graph in graphs.items()}
    arrays = {name: np.frombuffer(data, np.uint8) for name, data in stored.items()}
    np.savez_compressed(FOLDER / GRAPHS, **arrays)  # type: ignore[arg-type]


def record_committed(python: str | Path, outputs: Path) -> None:
    """Records the values of the committed graphs again, into another folder."""
    specs = {name: references.inputs[INPUT].spec for name, references in committed_references().items()}
    graphs = {name: RandomGraph(graph, specs[name]) for name, graph in committed_graphs().items()}
    record(python, graphs, outputs)


def record(python: str | Path, graphs: Mapping[str, RandomGraph], outputs: Path) -> None:
    """Runs graphs in TensorFlow, and writes their values into a folder of references."""
    writer = ReferenceWriter(outputs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [_job(folder, key, graph.graph_def, graph.spec) for key, graph in graphs.items()]
        run_oracle(python, jobs, folder)
        for key, graph in graphs.items():
            fingerprint = read_graph(graph.graph_def).fingerprint()
            with np.load(folder / f"{key}.npz") as result:
                source = SOURCE.format(name=key)
                writer.add(key, fingerprint, source, INPUT, graph.spec, dict(result), "values.npz")
    writer.save()


def _job(folder: Path, key: str, graph_def: GraphDef, spec: InputSpec) -> dict[str, object]:
    path, inputs = write_graph_def(graph_def, folder / f"{key}.pb"), folder / f"{key}-input.npz"
    np.savez(inputs, **{INPUT: spec.make()})
    return oracle_job(path, inputs, (INPUT, INPUT), folder / f"{key}.npz")


def compare_seeds(python: str | Path, seeds: Sequence[int]) -> Comparison:
    """Compares the graphs of some seeds with TensorFlow, and prints the progress."""
    found = Comparison()
    for some in _batches(seeds):
        graphs = {f"seed-{seed}": graph_of(seed) for seed in some}
        with tempfile.TemporaryDirectory() as folder:
            record(python, graphs, Path(folder))
            for name, references in read_references(folder).items():
                found.add(name, graphs[name].graph_def, references.inputs[INPUT])
        print(f"  seeds {some[0]} to {some[-1]}: {len(found.failures)} failures", flush=True)
    return found


def _batches(seeds: Sequence[int]) -> Iterator[Sequence[int]]:
    return (seeds[start : start + AT_ONCE] for start in range(0, len(seeds), AT_ONCE))


def parse_seeds(text: str) -> range:
    """Converts `first-last` to the seeds from the first to the last.

    Raises:
        ValueError: the text has another form.
    """
    match = re.fullmatch(r"(\d+)-(\d+)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError(f"Seeds are written first-last, as in 1000-1999, not {text!r}.")
    return range(int(match[1]), int(match[2]) + 1)
