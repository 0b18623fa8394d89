"""Builds the stand-in networks in TensorFlow and records their values; `python -m parity_tests.reference --zoo`."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from converters.frozen.graphdef import read_graph
from converters.frozen.writer import write_graph_def
from converters.reference.store import MANIFEST, ReferenceWriter, read_manifest, write_manifest
from converters.tensorflow.process import OPTIONS, oracle_job, run_oracle
from parity_tests.zoo.networks import AMOUNTS, GRADIENT_DRAWS, Zoo, input_label, network
from parity_tests.zoo.structures import STRUCTURES, names, outside_branches

BUILD = Path(__file__).resolve().parent.parent / "oracle" / "zoo" / "build.py"
SOURCE = "parity_tests/oracle/zoo/build.py: the architecture of Lucid's {name}, seeded weights"


def build_structures(python: str | Path) -> None:
    """Builds all networks' structures in TensorFlow 1.15 (`contrib.slim` is in no later one)."""
    STRUCTURES.mkdir(exist_ok=True)
    subprocess.run([str(python), *OPTIONS, str(BUILD), str(STRUCTURES)], check=True)


def make_zoo(python: str | Path, outputs: Path, only: str = "") -> None:
    """Records TensorFlow's values of the stand-in networks; records of unselected networks stay unchanged.

    Args:
        python: a Python that has TensorFlow.
        outputs: folder of the references.
        only: text that a network's name must contain.
    """
    for name in names():
        if only in name:
            writer = ReferenceWriter(outputs, AMOUNTS)
            with tempfile.TemporaryDirectory() as folder:
                record(python, network(name), Path(folder), writer)
            save(writer)


def save(writer: ReferenceWriter) -> None:
    """Writes the references of one network and keeps those of the others that there are."""
    folder = writer.folder
    old = read_manifest(folder) if (folder / MANIFEST).is_file() else {}
    writer.save()
    entries = {**old, **read_manifest(folder)}
    write_manifest(folder, {name: entries[name] for name in sorted(entries) if name in names()})


def record(python: str | Path, zoo: Zoo, folder: Path, writer: ReferenceWriter) -> None:
    """Runs one network in TensorFlow and adds its values to the references."""
    graph_def, label = zoo.graph_def(), input_label(zoo)
    path, inputs, out = folder / "graph.pb", folder / "inputs.npz", folder / "result.npz"
    write_graph_def(graph_def, path)
    np.savez(inputs, **{label: zoo.spec.make()})
    job = oracle_job(path, inputs, (zoo.input_name, label), out, zoo.gradients, GRADIENT_DRAWS)
    run_oracle(python, [{**job, "fetches": outside_branches(graph_def, zoo.input_name)}], folder)
    fingerprint = read_graph(graph_def).fingerprint()
    with np.load(out) as result:
        source = SOURCE.format(name=zoo.name)
        writer.add(zoo.name, fingerprint, source, label, zoo.spec, dict(result), f"{zoo.name}.npz")
        refused = json.loads(str(result["report"]))["refused"]
    print(f"  {zoo.name} at {label}: {len(refused)} layers refused", flush=True)
