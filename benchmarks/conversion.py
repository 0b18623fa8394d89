"""How long conversion takes, and how much memory: `python benchmarks/conversion.py GRAPH_OR_NAME`.

Each figure is of a fresh process, as a user starts it: converting and saving from the command line (wall time and peak
memory, imports included), and loading the saved model (time of `converters.load` alone). The median of several runs is
printed with the spread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

LOAD = (
    "import sys, time, converters; start = time.perf_counter(); converters.load(sys.argv[1]); "
    "print(time.perf_counter() - start)"
)


def convert(source: str, folder: Path) -> tuple[float, float]:
    """(seconds, MiB at the peak) of one conversion from the command line."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "lucid_port", "convert", source, "-o", str(folder)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"converting {source} failed")
    unit = 1 if platform.system() == "Darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return time.perf_counter() - start, usage.ru_maxrss * unit / 2**20


def load(folder: Path) -> float:
    """Seconds that `converters.load` takes in a process that has imported it."""
    run = subprocess.run([sys.executable, "-c", LOAD, str(folder)], check=True, capture_output=True, text=True)
    return float(run.stdout)


def summary(values: Sequence[float]) -> dict[str, float]:
    middle = statistics.median(values)
    return {"median": round(middle, 4), "least": round(min(values), 4), "most": round(max(values), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a frozen graph, or a model's name")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    seconds, memory, loading = [], [], []
    with tempfile.TemporaryDirectory() as name:
        for run in range(arguments.runs):
            folder = Path(name) / str(run)
            one = convert(arguments.source, folder)
            seconds.append(one[0])
            memory.append(one[1])
            loading.append(load(folder))
    result = {
        "source": Path(arguments.source).name,
        "runs": arguments.runs,
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "convert_seconds": summary(seconds),
        "convert_peak_MiB": summary(memory),
        "load_seconds": summary(loading),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
