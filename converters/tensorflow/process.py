"""Finds a Python with TensorFlow, and runs scripts such as `converters/reference/oracle_script.py` with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters.paths import user_path

ENVIRONMENT = "LUCID_PORT_TENSORFLOW"  # the variable holds the path of a Python that has TensorFlow
ORACLE = Path(__file__).resolve().parents[1] / "reference" / "oracle_script.py"
OPTIONS = ("-E",)  # ignore PYTHONPATH and similar variables, which are meant for this Python


class OracleError(RuntimeError):
    """TensorFlow's process failed."""


def tensorflow_version(python: str | Path = sys.executable) -> str | None:
    """Returns the version of TensorFlow in a Python; None if it is not installed, or if the Python cannot run.

    The version is read from the names of the installed packages, without importing TensorFlow.
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
    """Returns the folder of the environment with TensorFlow 1.15.5 that `tox -e reference` makes."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lucid_port" / "oracle"


def find_tensorflow(python: str | Path | None = None) -> Path | None:
    """Returns a Python with TensorFlow, or None if there is none.

    Args:
        python: the Python to use. By default the one that LUCID_PORT_TENSORFLOW names; otherwise the reference
            environment, then this Python.
    """
    named = python or os.environ.get(ENVIRONMENT)
    candidates = [user_path(named)] if named else [oracle_environment() / "bin" / "python", Path(sys.executable)]
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
    """Returns a job for the oracle that computes every layer of a graph for one input.

    Args:
        graph: file of the graph.
        inputs: .npz file of the inputs.
        feed: (name of the placeholder, key of the input in that file).
        out: file to write.
        gradients: (layer, channel) of the gradients to compute.
        draws: how often to recompute them with every input value changed by one unit in the last place.
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
    """Runs jobs in TensorFlow, in a separate process.

    Args:
        python: a Python with numpy and TensorFlow.
        jobs: as `converters/reference/oracle_script.py` describes them.
        folder: folder for the job file.

    Raises:
        OracleError: the process failed; the message contains the last lines that it printed.
    """
    path = folder / "jobs.json"
    path.write_text(json.dumps({"jobs": list(jobs)}))
    run = run_script(python, ORACLE, path)
    if run.returncode:
        raise OracleError(f"{python} failed to run the graphs in TensorFlow:\n" + "\n".join(last_lines(run, 8)))


def run_script(python: str | Path, script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Runs a script in a separate process, and captures stdout and stderr together."""
    return subprocess.run(
        [str(python), *OPTIONS, str(script), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def last_lines(run: subprocess.CompletedProcess[bytes], count: int) -> list[str]:
    """Returns the last lines that a script printed."""
    return run.stdout.decode(errors="replace").strip().splitlines()[-count:]
