"""How long conversion takes, and how much memory: `python benchmarks/conversion.py GRAPH_OR_NAME`, or `vgg19`.

**Method.** Each figure is measured in a fresh process, as a user starts it: converting and saving from the command line
(wall time and peak memory, imports included), importing torch alone, and loading the saved model (time of
`converters.load` alone). Memory is the resident set's peak, as the system reports it when the process ends; "sizes of
the file" is this peak minus that of importing torch, divided by the size of the graph. Figures are medians of several
runs, with minimum and maximum. `vgg19` is a graph of VGG19 with seeded weights (144 million parameters, 575 MB), which
is written to a temporary folder first.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import timing

LOAD = (
    "import sys, time, converters; start = time.perf_counter(); converters.load(sys.argv[1]); "
    "print(time.perf_counter() - start)"
)
VGG19 = "vgg19"
BOUNDS = {"seconds": 20.0, "sizes_of_the_file": 3.0}  # upper limit for the conversion of VGG19


class Cost(NamedTuple):
    """Time and memory of one process.

    Attributes:
        seconds: wall time.
        processor_seconds: processor time of all threads, which depends less on the load of a shared machine.
        peak: peak memory in MiB.
    """

    seconds: float
    processor_seconds: float
    peak: float


def measure(*command: str) -> Cost:
    """Runs one process.

    The current process must stay small, because Linux includes its memory in the peak of processes that it starts.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"this failed: {' '.join(command)}")
    unit = 1 if platform.system() == "Darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB elsewhere
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20)


def load(folder: Path) -> float:
    """Returns the seconds of `converters.load` in a process that has already imported it."""
    run = subprocess.run([sys.executable, "-c", LOAD, str(folder)], check=True, capture_output=True, text=True)
    return float(run.stdout)


def summary(values: Sequence[float]) -> dict[str, float]:
    middle = statistics.median(values)
    return {"median": round(middle, 4), "least": round(min(values), 4), "most": round(max(values), 4)}


def figures(source: str, runs: int, folder: Path) -> dict[str, object]:
    """Returns all measurements of one source.

    Args:
        source: a network's file, or a model's name.
        runs: number of times that each process is started.
        folder: folder for converted models.
    """
    costs, torch_peaks, loading = [], [], []
    for run in range(runs):
        torch_peaks.append(measure("-c", "import torch").peak)
        target = folder / str(run)
        costs.append(measure("-m", "lucid_port", "convert", source, "-o", str(target)))
        loading.append(load(target))
    found: dict[str, object] = {
        "convert_seconds": summary([cost.seconds for cost in costs]),
        "convert_processor_seconds": summary([cost.processor_seconds for cost in costs]),
        "convert_peak_MiB": summary([cost.peak for cost in costs]),
        "import_torch_peak_MiB": summary(torch_peaks),
        "load_seconds": summary(loading),
    }
    if Path(source).is_file():
        size = Path(source).stat().st_size / 2**20
        found["file_MiB"] = round(size, 1)
        beyond = [(cost.peak - torch_peak) / size for cost, torch_peak in zip(costs, torch_peaks, strict=True)]
        found["convert_peak_beyond_torch_in_sizes_of_the_file"] = summary(beyond)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help=f"a network's file, a model's name, or {VGG19}")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, help="result file to write")
    arguments = parser.parse_args()
    settings = {"source": Path(arguments.source).name, "runs": arguments.runs}
    if arguments.source == VGG19:
        settings["bounds"] = BOUNDS
    report = timing.Report(__doc__.split("**Method.**")[1], settings)
    with tempfile.TemporaryDirectory() as name:
        source = arguments.source
        if source == VGG19:
            source = str(Path(name) / "vgg19.pb")
            measure(str(Path(__file__).with_name("vgg19.py")), source)
        found = figures(source, arguments.runs, Path(name))
    for key, value in found.items():
        timing.console.print(f"{key}: {value}")
    if arguments.output:
        report.write(arguments.output, found)


if __name__ == "__main__":
    main()
