"""Finds a Python that has TensorFlow, and runs scripts such as `converters/reference/oracle_script.py` with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENVIRONMENT = "LUCID_PORT_TENSORFLOW"  # names a Python that has TensorFlow
ORACLE = Path(__file__).resolve().parents[1] / "reference" / "oracle_script.py"
# PYTHONPATH and its like are meant for this Python, not for the other.
OPTIONS = ("-E",)


class OracleError(RuntimeError):
    """TensorFlow's process failed."""


def tensorflow_version(python: str | Path = sys.executable) -> str | None:
    """The version of TensorFlow that a Python has, or None where it has none (or is no Python).

    TensorFlow is not imported for this: the version is read off the files in its environment.
    """
    script = (
        "import os, re, sys\n"
        "names = [name for path in sys.path if os.path.isdir(path) for name in os.listdir(path)]\n"
        "found = [re.match(r'tensorflow(_cpu|_gpu)?-([0-9.]+)(rc[0-9]+)?[.](dist|egg)-info', name) for name in names]\n"
        "print(next((match.group(2) for match in found if match), ''))\n"
    )
    try:
        run = subprocess.run([str(python), *OPTIONS, "-c", script], capture_output=True, text=True)
    except OSError:
        return None
    return run.stdout.strip() or None


def oracle_environment() -> Path:
    """Where `tox -e reference` keeps the environment with TensorFlow 1.15.5 that it makes."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lucid_port" / "oracle"


def find_tensorflow(python: str | Path | None = None) -> Path | None:
    """A Python that has TensorFlow, or None.

    Args:
        python: the one to use; otherwise the one that LUCID_PORT_TENSORFLOW names, then the kept reference environment,
            then this Python.
    """
    named = python or os.environ.get(ENVIRONMENT)
    candidates = [Path(named)] if named else [oracle_environment() / "bin" / "python", Path(sys.executable)]
    return next((candidate for candidate in candidates if tensorflow_version(candidate) is not None), None)


def oracle_job(
    graph: Path,
    inputs: Path,
    feed: tuple[str, str],
    out: Path,
    gradients: Sequence[tuple[str, int]] = (),
    draws: int = 0,
    **more: Any,
) -> dict[str, Any]:
    """One job for the oracle: every layer of a graph for one input.

    Args:
        graph: file of the graph.
        inputs: .npz file of the inputs.
        feed: the placeholder's name, and the input's key in that file.
        out: file to write.
        gradients: (layer, channel) of the gradients to take.
        draws: how often to repeat them with the input moved by one unit in the last place.
        **more: further fields of a job, as `converters/reference/oracle_script.py` describes them.
    """
    return {
        "graph": str(graph),
        "input": str(inputs),
        "feeds": {feed[0]: feed[1]},
        "fetches": "all",
        "pre_relu": True,
        "gradients": [list(pair) for pair in gradients],
        "draws": draws,
        "out": str(out),
        **more,
    }


def run_oracle(python: str | Path, jobs: Sequence[dict[str, Any]], folder: Path) -> None:
    """Runs jobs in TensorFlow, in a process of its own.

    Args:
        python: a Python that has numpy and TensorFlow.
        jobs: as `converters/reference/oracle_script.py` describes them.
        folder: where the job file may be written.

    Raises:
        OracleError: TensorFlow's process failed; the message holds the last lines that it wrote.
    """
    path = folder / "jobs.json"
    path.write_text(json.dumps({"jobs": list(jobs)}))
    run = run_script(python, ORACLE, path)
    if run.returncode:
        raise OracleError(f"{python} failed to run the graphs in TensorFlow:\n" + "\n".join(last_lines(run, 8)))


def run_script(python: str | Path, script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Runs a script in a process of its own; what it prints is kept, errors and all."""
    return subprocess.run(
        [str(python), *OPTIONS, str(script), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def last_lines(run: subprocess.CompletedProcess[bytes], count: int) -> list[str]:
    """The last lines that a script printed."""
    return run.stdout.decode(errors="replace").strip().splitlines()[-count:]
