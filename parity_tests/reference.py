"""Makes `reference_outputs/` with TensorFlow, or checks that TensorFlow still gives the committed values.

    python -m parity_tests.reference            # make the references
    python -m parity_tests.reference --check    # recompute and compare
    python -m parity_tests.reference --new      # make those of small graphs that have none yet
    python -m parity_tests.reference --zoo      # the same for the stand-ins of the modelzoo
    python -m parity_tests.reference --strangers    # the same for small graphs as other projects freeze them
    python -m parity_tests.reference --random       # the same for random small graphs
    python -m parity_tests.reference --random --seeds 1000-1999    # compare the graphs of other seeds; write nothing

TensorFlow 1.15.5 and Lucid 0.3.10 need Python 3.7, for which an environment is made once and kept in the user's cache.
`--python` names another Python that has TensorFlow (1.15, or any 2.x, because its v1 API runs the same graphs); without
Python 3.7 the running Python is used if it has TensorFlow. TensorFlow runs in a separate process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.frozen.graphdef import read_graph
from converters.frozen.writer import write_graph_def
from converters.reference.inputs import InputSpec
from converters.reference.store import (
    MANIFEST,
    InputReference,
    References,
    ReferenceWriter,
    read_manifest,
    read_references,
    write_manifest,
)
from converters.tensorflow.process import OPTIONS, oracle_environment, oracle_job, run_oracle, tensorflow_version
from parity_tests.cases import CASES, INPUT, Case
from parity_tests.networks import GRADIENT_DRAWS, NETWORKS
from parity_tests.optvis.make_references import FEW_STATES, MANY_STATES, make_functions, make_renders
from parity_tests.properties.random_graphs import FOLDER as RANDOM
from parity_tests.properties.random_graphs import compare_seeds, make_random, parse_seeds, record_committed
from parity_tests.strangers import FOLDER as STRANGERS
from parity_tests.strangers import make_strangers
from parity_tests.zoo.make_references import build_structures, make_zoo

OUTPUTS = Path(__file__).resolve().parent.parent / "reference_outputs"
ORACLE_PACKAGES = ("tensorflow==1.15.5", "protobuf<3.21", "lucid==0.3.10")
OPS_FILE = "graphs/ops.npz"
CASES_SOURCE = "parity_tests/cases"

# TensorFlow 1.15.5 run again gives the same values. 2.x has other kernels: 2.21 measures 2.2e-6 of a layer's maximum
# from 1.15.5 at worst.
SAME_VERSION_BOUND = 1e-6
OTHER_VERSION_BOUND = 5e-6
# Gradients of smooth networks move by up to 3e-6 of their maximum with the last bit of the input. Those with ReLUs
# and max pools move far more where a decision flips, and are only held to as much as that was recorded.
SMOOTH_GRADIENT_BOUND = 1e-5
FLIPS = 3


@dataclass(frozen=True)
class Run:
    """One graph with one input, to be run in TensorFlow."""

    graph: str
    source: str
    fingerprint: str
    input_name: str
    spec: InputSpec
    job: dict[str, Any]
    file: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed references; write nothing")
    parser.add_argument("--python", type=Path, help="a Python that has TensorFlow")
    parser.add_argument("--new", action="store_true", help="only small graphs without references; keep all others")
    parser.add_argument("--only", help="only graphs whose name contains this text (implies --check)")
    parser.add_argument("--strangers", action="store_true", help="only the small graphs that other projects freeze")
    parser.add_argument("--random", action="store_true", help="only random small graphs")
    parser.add_argument("--seeds", type=parse_seeds, help="with --random: compare the graphs of first-last")
    parser.add_argument("--zoo", action="store_true", help="only the stand-ins of Lucid's modelzoo")
    options = parser.parse_args(arguments)
    python = options.python or oracle_python()
    version = tensorflow_version(python)
    if version is None:
        parser.error(f"{python} has no TensorFlow")
    print(f"TensorFlow {version} ({python})")
    if options.zoo:
        return zoo(python, options.only or "", options.check)
    if options.strangers:
        return strangers(python, options.check)
    if options.random:
        return random_graphs(python, options.check, options.seeds)
    if options.new:
        return make_new(python)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "references"
        make(python, Path(folder), fresh, options.only or "")
        if options.only:
            return compare(read_references(OUTPUTS), read_references(fresh))
        lucid = has_lucid(python)
        if not lucid:
            print("This Python has no Lucid 0.3.10; its functions and renders are left as committed")
        if options.check:
            failed = compare(read_references(OUTPUTS), read_references(fresh))
            return max(failed, check_lucid(str(python), Path(folder)) if lucid else 0)
        replace_outputs(fresh)
        if lucid:
            make_functions(str(python), OUTPUTS / "functions")
            make_renders(str(python), [], FEW_STATES, OUTPUTS / "renders")
    return 0


def zoo(python: Path, only: str, check: bool) -> int:
    """Builds and records the stand-ins of Lucid's modelzoo, or compares them as committed; returns the exit code.

    Args:
        python: a Python that has TensorFlow; 1.15 to build, any to compare.
        only: networks whose name contains this text.
        check: compare, and write nothing.
    """
    if not check:
        if not only:
            build_structures(python)
        make_zoo(python, OUTPUTS / "zoo", only)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make_zoo(python, Path(folder), only)
        return compare(read_references(OUTPUTS / "zoo"), read_references(folder))


def strangers(python: Path, check: bool) -> int:
    """Builds the small graphs that other projects freeze, or compares their values; returns the exit code."""
    if not check:
        make_strangers(python)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make_strangers(python, Path(folder))
        return compare(read_references(STRANGERS), read_references(folder))


def random_graphs(python: Path, check: bool, seeds: Sequence[int] | None) -> int:
    """Records the committed random graphs, or compares them, or compares other seeds; returns the exit code."""
    if seeds is not None:
        found = compare_seeds(python, seeds)
        print(found.report())
        return int(bool(found.failures))
    if not check:
        make_random(python)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        record_committed(python, Path(folder))
        return compare(read_references(RANDOM), read_references(folder))


# -- environment ------------------------------------------------------------------------------------------------------


def oracle_python() -> Path:
    """A Python with TensorFlow: the kept 3.7 environment, made if need be, or this one."""
    folder = oracle_environment()
    python = folder / "bin" / "python"
    if tensorflow_version(python) is not None:
        return python
    base = find_python37()
    if base is None:
        print("No Python 3.7 here; using TensorFlow of the running Python.")
        return Path(sys.executable)
    print(f"Making the oracle's environment in {folder}")
    pip = [str(python), *OPTIONS, "-m", "pip", "install", "-q"]
    # Recent virtualenv and tox no longer make environments of Python 3.7; its own venv does.
    subprocess.run([*base, *OPTIONS, "-m", "venv", "--clear", str(folder)], check=True)
    subprocess.run([*pip, "pip<24"], check=True)
    subprocess.run([*pip, *ORACLE_PACKAGES], check=True)
    return python


def find_python37() -> list[str] | None:
    """A command that runs Python 3.7: on the path, or one of pyenv's."""
    candidates = [["python3.7"]]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += [[str(path)] for path in sorted(root.glob("versions/3.7*/bin/python3.7"))]
    for command in candidates:
        if shutil.which(command[0]) and subprocess.run([*command, "-c", ""], capture_output=True).returncode == 0:
            return command
    return None


# -- running ----------------------------------------------------------------------------------------------------------


def make(python: Path, folder: Path, outputs: Path, only: str) -> None:
    """Runs all graphs in TensorFlow and writes a folder of references."""
    writer = ReferenceWriter(outputs)
    lucid = has_lucid(python)
    for runs in grouped_runs(folder, only, lucid):
        record(python, folder, writer, runs)
    writer.save()


def record(python: Path, folder: Path, writer: ReferenceWriter, runs: Sequence[Run]) -> None:
    """Runs some graphs in one process of TensorFlow and adds their results."""
    run_oracle(python, [run.job for run in runs], folder)
    for run in runs:
        with np.load(run.job["out"]) as result:
            writer.add(run.graph, run.fingerprint, run.source, run.input_name, run.spec, dict(result), run.file)
            report(run, json.loads(str(result["report"])))
        Path(run.job["out"]).unlink()


def make_new(python: Path) -> int:
    """Makes references of the small graphs that have none, or changed, and keeps the others; returns the exit code."""
    old = read_manifest(OUTPUTS)
    small = {f"op:{name}": case for name, case in CASES.items()}
    missing = [
        case
        for name, case in small.items()
        if old.get(name, {}).get("fingerprint") != read_graph(case.graph_def()).fingerprint()
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = ReferenceWriter(folder / "references")
        record(python, folder, writer, [run for case in missing for run in case_runs(folder, case)])
        writer.save()
        kept = {name: entry for name, entry in old.items() if not name.startswith("op:") or name in small}
        merge(kept, folder / "references")
    print(f"Made references of {len(missing)} graphs")
    return 0


def merge(kept: dict[str, Any], fresh: Path) -> None:
    """Adds fresh references of small graphs to those that are kept."""
    manifest = {**kept, **read_manifest(fresh)}
    members = {f"{graph}/{name}" for graph, entry in manifest.items() for name in entry["inputs"]}
    arrays: dict[str, np.ndarray] = {}
    for file in (OUTPUTS / OPS_FILE, fresh / OPS_FILE):
        if file.is_file():
            with np.load(file) as found:
                arrays.update((key, found[key]) for key in found.files if key in members)
    np.savez_compressed(OUTPUTS / OPS_FILE, **arrays)  # type: ignore[arg-type]
    write_manifest(OUTPUTS, manifest)


def has_lucid(python: Path) -> bool:
    """Whether Lucid itself can be asked."""
    script = "import importlib.util as u, sys; sys.exit(u.find_spec('lucid') is None)"
    return subprocess.run([str(python), *OPTIONS, "-c", script], capture_output=True).returncode == 0


def report(run: Run, found: dict[str, Any]) -> None:
    """Prints the results of a run; exits if Lucid's own layers differ from those added here.

    Raises:
        SystemExit: they differ.
    """
    no_gradients = f"; no gradients: {found['gradients_refused']}" if "gradients_refused" in found else ""
    if run.file != OPS_FILE or no_gradients:
        print(f"  {run.graph} at {run.input_name}: {len(found['refused'])} layers refused{no_gradients}")
    differences = found.get("lucid")
    if differences:
        worst = max(differences.values())
        print(f"  Lucid's own {len(differences)} _pre_relu layers differ by {worst:g}")
        if worst > 0:
            raise SystemExit("The _pre_relu layers added here differ from those that Lucid adds.")


def grouped_runs(folder: Path, only: str, lucid: bool) -> Iterator[list[Run]]:
    """The runs of one process each: a network's, then those of all small graphs."""
    for network in NETWORKS.values():
        if only not in network.name:
            continue
        graph_def = network.graph_def()
        if graph_def is None:
            print(f"  {network.name}: no such file in the folders of LUCID_PORT_MODELZOO; left as committed")
            continue
        extra = {"lucid_class": network.lucid_class} if network.lucid_class and lucid else {}
        options = {"gradients": network.gradients, "draws": GRADIENT_DRAWS}
        yield list(
            _runs(folder, network.name, network.source, graph_def, network.input_name, network.specs,
                  lambda name, graph=network.name: f"graphs/{graph}-{name}.npz", extra, options)
        )  # fmt: skip
    small = [run for case in CASES.values() if only in case.name for run in case_runs(folder, case)]
    if small:
        yield small


def case_runs(folder: Path, case: Case) -> Iterator[Run]:
    """Returns the runs of a small graph; if TensorFlow cannot run it, those of its replacement."""
    options: dict[str, Any] = {"gradients": case.gradients()}
    if case.fetches is not None:
        options |= {"fetches": list(case.fetches), "pre_relu": False}
    graph_def, name = case.graph_def(), f"op:{case.name}"
    fingerprint = read_graph(graph_def).fingerprint()
    stands_for = case.oracle_graph_def()
    for run in _runs(
        folder, name, CASES_SOURCE, stands_for, INPUT, case.specs(), lambda _: OPS_FILE, {}, options
    ):  # fmt: skip
        yield replace(run, fingerprint=fingerprint)


def _runs(
    folder: Path,
    name: str,
    source: str,
    graph_def: GraphDef,
    input_name: str,
    specs: Any,
    file_of: Any,
    extra: dict[str, Any],
    options: dict[str, Any],
) -> Iterator[Run]:
    fingerprint = read_graph(graph_def).fingerprint()
    stem = name.replace(":", "-")
    path, inputs = write_graph_def(graph_def, folder / f"{stem}.pb"), folder / f"{stem}-inputs.npz"
    np.savez(inputs, **{key: spec.make() for key, spec in specs.items()})
    for index, (key, spec) in enumerate(specs.items()):
        out = folder / f"{stem}-{key}.npz"
        more = extra if index == 0 else {}  # Lucid's class is asked once for each graph
        job = oracle_job(path, inputs, (input_name, key), out, **options, **more)
        yield Run(name, source, fingerprint, key, spec, job, file_of(key))


# -- writing and comparing --------------------------------------------------------------------------------------------


def replace_outputs(fresh: Path) -> None:
    """Replaces the committed references by new ones; keeps networks that could not be run here."""
    old = read_manifest(OUTPUTS) if (OUTPUTS / MANIFEST).is_file() else {}
    new = read_manifest(fresh)
    kept = {name: entry for name, entry in old.items() if name in NETWORKS and name not in new}
    stale = files_of(old) - files_of(new) - files_of(kept)
    for file in stale:
        (OUTPUTS / file).unlink(missing_ok=True)
    shutil.copytree(fresh, OUTPUTS, dirs_exist_ok=True)
    write_manifest(OUTPUTS, {**new, **kept})
    size = sum((OUTPUTS / file).stat().st_size for file in [*files_of(new), *files_of(kept), MANIFEST])
    print(f"Wrote {OUTPUTS}: {size / 1e6:.1f} MB")


def files_of(graphs: dict[str, Any]) -> set[str]:
    """The .npz files that a manifest's graphs name."""
    return {fed["file"] for entry in graphs.values() for fed in entry["inputs"].values()}


def compare(committed: dict[str, References], fresh: dict[str, References]) -> int:
    """Compares two sets of references; prints failures and the worst difference; returns the exit code."""
    failures, worst = 0, {"layer": (0.0, "none"), "gradient": (0.0, "none")}
    for name, references in fresh.items():
        if name not in committed or committed[name].fingerprint != references.fingerprint:
            print(f"FAILED {name}: the committed references are of another graph")
            failures += 1
            continue
        for what, error, bound in differences(committed[name], references):
            kind = "gradient" if "gradient of" in what else "layer"
            worst[kind] = max(worst[kind], (error, what))
            if error > bound:
                print(f"FAILED {what}: {error:.2e} of the maximum (bound {bound:.0e})")
                failures += 1
    for kind, (error, what) in worst.items():
        print(f"Worst {kind}: {error:.2e} of its maximum, {what}")
    print(f"{failures} failures" if failures else "All as committed")
    return 1 if failures else 0


def differences(old: References, new: References) -> Iterator[tuple[str, float, float]]:
    """Yields name, difference and bound of every layer in two references of one graph."""
    for name, after in new.inputs.items():
        before = old.inputs[name]
        bound = SAME_VERSION_BOUND if after.tensorflow == before.tensorflow else OTHER_VERSION_BOUND
        same = before.shapes == after.shapes and before.refused.keys() == after.refused.keys()
        yield f"{old.graph} at {name}: shapes", 0.0 if same else float("inf"), bound
        if not same:
            continue
        for layer, sample in before.layers.items():
            yield f"{old.graph} at {name}: {layer}", sample.distance(after.layers[layer]), bound
        yield from gradient_differences(old.graph, before, after)


def gradient_differences(
    graph: str, before: InputReference, after: InputReference
) -> Iterator[tuple[str, float, float]]:
    """The same for every image's gradients, as far as this TensorFlow computes them."""
    flips = max((moved for gradient in before.gradients for moved in gradient.moved), default=0.0)
    smooth = NETWORKS[graph].smooth if graph in NETWORKS else graph.startswith("op:")
    bound = SMOOTH_GRADIENT_BOUND if smooth else max(SMOOTH_GRADIENT_BOUND, FLIPS * flips)
    found = {(gradient.layer, gradient.channel): gradient for gradient in after.gradients}
    for gradient in before.gradients:
        other = found.get((gradient.layer, gradient.channel))
        if other is None:
            continue
        for index, (sample, image) in enumerate(zip(gradient.images, other.images, strict=True)):
            yield f"{graph} at {before.name}[{index}]: gradient of {sample.name}", sample.distance(image), bound


# -- Lucid's functions and renders ------------------------------------------------------------------------------------


def check_lucid(python: str, folder: Path) -> int:
    """Checks that Lucid's functions repeat the committed values, and that the port follows 64 states of each render.

    Returns:
        The exit code.
    """
    make_functions(python, folder / "functions")
    failures = [
        f"{file.name}: {key} differs by {distance:.1e} of its maximum"
        for file in sorted((OUTPUTS / "functions").glob("*.npz"))
        for key, distance in array_distances(file, folder / "functions" / file.name)
        if distance > SAME_VERSION_BOUND
    ]
    print("\n".join(f"FAILED {failure}" for failure in failures) or "All functions as committed")
    make_renders(python, [], MANY_STATES, folder / "renders")
    tests = [sys.executable, "-m", "pytest", "-q", "parity_tests/optvis/test_renders_oracle.py"]
    environment = {**os.environ, "LUCID_PORT_RENDERS": str(folder / "renders")}
    run = subprocess.run(tests, cwd=OUTPUTS.parent, env=environment)
    return int(bool(failures) or run.returncode != 0)


def array_distances(old: Path, new: Path) -> Iterator[tuple[str, float]]:
    """For every array of two files: its name, and the greatest difference relative to its maximum."""
    with np.load(old) as before, np.load(new) as after:
        for key in before.files:
            same = key in after.files and before[key].shape == after[key].shape
            if not same or before[key].dtype.kind not in "fiu":
                yield key, 0.0 if same and np.array_equal(before[key], after[key]) else float("inf")
                continue
            scale = float(np.abs(before[key]).max(initial=0.0)) or 1.0
            yield key, float(np.abs(before[key].astype(float) - after[key]).max(initial=0.0)) / scale


if __name__ == "__main__":
    sys.exit(main())
