"""Records TensorFlow's values of the bundled graph, with which `lucid-port demo` compares.

python -m lucid_port.modelzoo.tiny.record --python PYTHON_WITH_TENSORFLOW
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from converters.frozen.graphdef import read_graph
from converters.reference.inputs import InputSpec
from converters.reference.samples import Amounts
from converters.reference.store import ReferenceWriter
from converters.tensorflow.process import find_tensorflow, oracle_job, run_oracle
from lucid_port.modelzoo.files import PACKAGE_DATA, PACKAGE_REFERENCES
from lucid_port.modelzoo.tiny.network import BLACK, SIZE, WHITE

GRAPH = PACKAGE_DATA / "TinyInceptionV1.pb"
INPUT = "input"
FILE = "TinyInceptionV1.npz"
KEPT = Amounts(layer=128)
SPECS = {
    "square": InputSpec("texture", (2, SIZE, SIZE, 3), (BLACK,), (WHITE,), seed=0),
    "odd": InputSpec("texture", (1, 97, 131, 3), (BLACK,), (WHITE,), seed=1),
}
"""Inputs: a batch of the training size, and one image with odd, unequal sides."""


def record(python: Path, target: Path = PACKAGE_REFERENCES) -> None:
    """Runs the bundled graph in TensorFlow and replaces the references of the package.

    Args:
        python: a Python interpreter that has TensorFlow.
        target: folder of the references.
    """
    fingerprint = read_graph(GRAPH).fingerprint()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = folder / "inputs.npz"
        np.savez(inputs, **{key: spec.make() for key, spec in SPECS.items()})  # type: ignore[arg-type]
        run_oracle(python, [oracle_job(GRAPH, inputs, (INPUT, key), folder / f"{key}.npz") for key in SPECS], folder)
        writer = ReferenceWriter(folder / "references", KEPT)
        for key, spec in SPECS.items():
            with np.load(folder / f"{key}.npz") as result:
                writer.add("TinyInceptionV1", fingerprint, GRAPH.name, key, spec, dict(result), FILE)
        writer.save()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder / "references", target)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="a Python that has TensorFlow")
    python = find_tensorflow(parser.parse_args().python)
    if python is None:
        parser.error("no Python with TensorFlow was found: name one with --python")
    record(python)
    print(json.dumps({file.name: file.stat().st_size for file in sorted(PACKAGE_REFERENCES.iterdir())}))


if __name__ == "__main__":
    main()
