"""Measure the port on one CUDA device, in less than ten minutes: `python benchmarks/gpu.py [--lucent PYTHON]`.

Sections (`--only` selects some):

- tests: the tests marked `gpu`, with counts;
- units: all units of mixed4a, compared with the network's convolutions alone and with Lucent;
- precision: strict float32, TF32 and bf16, with the error of the first gradient;
- batch: images a second and peak memory by batch size;
- graphs: eager, compiled with CUDA graphs, and compiled without;
- synchronisations: how often the host waits for the device in 50 steps;
- channels: the time that all channels of Lucid's layers would take.

Each section runs in a separate process, which is ended at the section's time limit. The result file is rewritten after
each finding. `--smallest --device cpu` runs all sections with the smallest settings: a smoke test, not a measurement.

**Method.** Renders have Lucid's defaults: 128 pixels, standard transforms, the gradient override. Contestants are
warmed up, then take turns in alternating rounds; in the sections batch and channels, each is measured alone. Seconds a
step are the median over the rounds of a turn's mean step, with quartiles; the clock is read after the device has
finished. All figures of a whole render are projections for 513 steps at the median speed; if the speed under the
gradient override was measured, the first 17 steps count at that speed. The convolutions alone are those that the layer
needs, with the same batch, at the sizes that Lucid's scales give, forward and backward to their inputs. The gradient's
error is the largest difference over the largest value of the strict float32 gradient of the image's parameters. Peak
memory is the peak of torch's allocations, weights included. Each run starts with an empty compilation cache, so the
first compiled step of the first line includes the whole time to compile.
"""

from __future__ import annotations

import dataclasses
import enum
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import gpu_sections
import gpu_tables
import port
import timing
import torch
import typer

RESULT = timing.RESULTS / "gpu.json"
MINUTES = 9.25
SECONDS = {
    "tests": 100.0,
    "units": 110.0,
    "precision": 50.0,
    "batch": 70.0,
    "graphs": 120.0,
    "synchronisations": 35.0,
    "channels": 70.0,
}
"""Time limit of each section, including the start of its process; the sum is `MINUTES`."""
PATIENCE = 6.0
"""Factor of the limits of `--smallest`, which measures nothing and may share its processors with other programs."""
Section = enum.Enum("Section", {name: name for name in SECONDS}, type=str)  # type: ignore[misc]


class Run:
    """A run over sections, whose result file is always up to date.

    Args:
        report: the other contents of the result file.
        output: the result file; None to write none.
        job: the job of each section's process, without the section and its time limit.
    """

    def __init__(self, report: timing.Report, output: Path | None, job: Mapping[str, Any]) -> None:
        self._report, self._output, self._job = report, output, job
        self.results: dict[str, dict[str, Any]] = {}

    def save(self) -> None:
        """Writes the result file."""
        if self._output is not None:
            self._report.save(self._output, self.results)

    def measure(self, section: str, seconds: float) -> None:
        """Measures a section in a separate process.

        Args:
            section: its name.
            seconds: its time limit.
        """
        result: dict[str, Any] = {"status": "running", "note": None, "limit_seconds": seconds, "figures": {}}
        self.results[section] = result
        if section in gpu_sections.CUDA_ONLY and torch.device(self._job["device"]).type != "cuda":
            result["status"], result["note"] = gpu_sections.NEEDS_CUDA, "Not measured: needs CUDA."
            return self.save()
        self.save()
        start = time.perf_counter()
        result["status"], result["note"] = self._watch(section, seconds, result["figures"])
        result["seconds"] = round(time.perf_counter() - start, 2)
        return self.save()

    def _watch(self, section: str, seconds: float, figures: dict[str, Any]) -> tuple[str, str | None]:
        """Runs a section's process and collects its findings; returns the status and a note."""
        job = {**self._job, "section": section, "seconds": seconds}
        with timing.Process(sys.executable, "gpu_sections.py", job, own_group=True) as process:
            over = threading.Event()

            def end() -> None:
                over.set()
                process.kill()

            timer = threading.Timer(seconds, end)
            timer.start()
            try:
                while (answer := process.read()) is not None:
                    if "finished" in answer:
                        return "finished", self._left_out(section)
                    figures[answer["name"]] = answer["figures"]
                    self.save()
            finally:
                timer.cancel()
            if over.is_set():
                return "cut", f"Ended after {seconds:.0f} s; the rest of the section was not measured."
            said = process.last_lines()
            timing.console.print(said, markup=False)
            last = said.rstrip().splitlines()[-1]
            return "failed", f"Failed: {last.replace(str(gpu_sections.ROOT), '.')}"

    def _left_out(self, section: str) -> str | None:
        if section == "units" and self._job["lucent"] is None:
            return "Lucent was not measured: its interpreter was not given (--lucent), or there is no GPU."
        return None


def show(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints the tables."""
    for section, result in results.items():
        title, columns, rows = gpu_tables.table(section, result)
        if rows:
            timing.table(f"{title} ({result['status']})", columns, rows)
        remark = gpu_tables.remark(result)
        if remark is not None:
            timing.console.print(f"{title}: {remark}", markup=False)


def circumstances(device: torch.device) -> dict[str, Any]:
    """The device and the libraries that compute on it."""
    found: dict[str, Any] = {"device": port.device_name(device)}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["memory_bytes"] = properties.total_memory
        found["multiprocessors"] = properties.multi_processor_count
        found["compute_capability"] = f"{properties.major}.{properties.minor}"
        found["cuda"], found["cudnn"] = torch.version.cuda, torch.backends.cudnn.version()
    return found


def checked(device: str, output: Path | None, smallest: bool) -> tuple[torch.device, Path | None]:
    """Returns the device and the result file: `RESULT` for a GPU; for other devices, the given file or none.

    Raises:
        SystemExit: the device does not exist, or the results of another device would overwrite those of a GPU.
    """
    found = torch.device(device)
    if found.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device here. Use --smallest --device cpu to see whether the script runs.")
    real = found.type == "cuda" and not smallest
    if output is None:
        return found, RESULT if real else None
    if not real and output.resolve() == RESULT.resolve():
        raise SystemExit(f"{RESULT.name} is for complete runs on a GPU: name another file, or none.")
    return found, output


def main(
    only: Annotated[list[Section] | None, typer.Option(help="Sections to measure; all if not given.")] = None,
    device: Annotated[str, typer.Option(help="cuda, or cpu with --smallest.")] = "cuda",
    lucent: Annotated[str | None, typer.Option(metavar="PYTHON", help="Interpreter of Lucent's environment.")] = None,
    smallest: Annotated[bool, typer.Option(help="A tiny network and few steps; measures nothing.")] = False,
    minutes: Annotated[float, typer.Option(help="Of all sections; shortens their time limits.", max=MINUTES)] = MINUTES,
    output: Annotated[Path | None, typer.Option(help="Results; of a GPU, results/gpu.json if not given.")] = None,
) -> None:
    """Measure the port on one GPU."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the sections' processes on exit
    where, output = checked(device, output, smallest)
    plan = gpu_sections.SMALLEST if smallest else gpu_sections.Plan()
    lucent = lucent if where.type == "cuda" and not smallest else None
    settings = {**dataclasses.asdict(plan), **circumstances(where), "lucent": lucent is not None, "minutes": minutes}
    report = timing.Report(__doc__.split("**Method.**")[1], settings)
    run = Run(report, output, {"plan": dataclasses.asdict(plan), "device": device, "lucent": lucent})
    factor = minutes / MINUTES * (PATIENCE if smallest else 1.0)
    for section in only or list(Section):
        timing.console.print(f"measuring: {section.value}")
        run.measure(section.value, SECONDS[section.value] * factor)
    show(run.results)
    if output is None:
        timing.console.print("No file was written: only complete runs on a GPU have one by default.")
    else:
        timing.console.print(f"written: {output}")


if __name__ == "__main__":
    typer.run(main)
