"""Shared code of the benchmarks: alternating rounds, worker processes, medians, and the conditions of a run.

**Alternating rounds.** Absolute times drift on most machines, by a factor of two on shared ones. So contestants take
turns: in each round, every contestant runs K steps while the others wait. The order is shuffled in each round. Times
are medians over the rounds, with quartiles. Ratios are computed within a round, under the same load of the machine; the
median of these ratios is reported.

**Workers.** A contestant that needs its own environment runs in a process that is kept alive (`Worker`; `pace.py` is
the other half of the protocol). A waiting worker is stopped (SIGSTOP), so that its thread pools cannot spin during
another worker's turn. The frameworks measured so far do not spin for long, but this depends on versions and settings,
and stopping a process changes no setting of a framework.

**Others.** Linux reports how much processor time other processes used during a turn. This is recorded with each
result: a round in which other processes were busy is not a valid measurement.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from typing_extensions import Self

HERE = Path(__file__).parent
RESULTS = HERE / "results"
ORDER_SEED = 0
console = Console(width=max(Console().width, 130))  # do not truncate tables

Turn = Callable[[], float]
"""Function that runs one turn of a contestant and returns the seconds per step."""


# Rounds ---------------------------------------------------------------------------------------


def alternate(turns: Mapping[str, Turn], rounds: int, what: str = "rounds") -> dict[str, list[float]]:
    """Runs contestants in alternating rounds.

    Args:
        turns: one turn function for each contestant name; the contestants are warmed up.
        rounds: number of turns of each contestant.
        what: label of the progress bar.

    Returns:
        Results of the turns by contestant name, in the order of the rounds.
    """
    order, shuffle = list(turns), random.Random(ORDER_SEED).shuffle
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in tqdm(range(rounds), what, disable=None):
        shuffle(order)
        for name in order:
            seconds[name].append(turns[name]())
    return seconds


def summary(values: Sequence[float]) -> dict[str, float]:
    """Returns median and quartiles."""
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    return {"median": middle, "lower_quartile": lower, "upper_quartile": upper}


def ratios(values: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """Returns the summary of the ratios of two contestants' values in the same rounds."""
    return summary([value / other for value, other in zip(values, reference, strict=True)])


def spread(figures: Mapping[str, float], factor: float = 1.0, digits: int = 1) -> str:
    """Formats a summary for a table: median (lower quartile to upper quartile)."""
    low, middle, high = (figures[k] * factor for k in ("lower_quartile", "median", "upper_quartile"))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


# Other processes ------------------------------------------------------------------------------


def machine_seconds() -> float | None:
    """Returns the processor seconds that all processes have used; None on systems other than Linux."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = (int(field) for field in fields[:8])
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def process_seconds(pid: int) -> float:
    """Returns the processor seconds that all threads of a process have used (Linux only)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Others:
    """Measures how many processors other processes keep busy during turns: `with others: ...`, any number of times.

    Args:
        pids: the processes of the contestant, which do not count as others; the current process never counts.
    """

    def __init__(self, *pids: int) -> None:
        self._own = {*pids, os.getpid()}
        self._used = self._wall = 0.0
        self._before: tuple[float, float] | None = None

    def _now(self) -> tuple[float, float] | None:
        total = machine_seconds()
        if total is None:
            return None
        return total - sum(process_seconds(pid) for pid in self._own), os.times().elapsed

    def __enter__(self) -> None:
        self._before = self._now()

    def __exit__(self, *_: object) -> None:
        after = self._now()
        if after is not None and self._before is not None:
            self._used += after[0] - self._before[0]
            self._wall += after[1] - self._before[1]

    @property
    def processors(self) -> float | None:
        """The mean over all turns; None if it is unknown."""
        return round(max(self._used / self._wall, 0.0), 3) if self._wall else None


# Workers --------------------------------------------------------------------------------------


class WorkerError(RuntimeError):
    """A worker ended, or sent an unexpected message."""


class Process:
    """A separate process that runs a script of this folder and answers with JSON lines over a pipe.

    Args:
        python: the interpreter.
        script: the script in this folder.
        job: the script's argument, passed as JSON; `answers` is added, the file descriptor of the pipe.
        own_group: whether the process leads a process group, so that `close` also ends the processes it started.

    Raises:
        WorkerError: the interpreter cannot be run.
    """

    def __init__(self, python: str, script: str, job: Mapping[str, Any], own_group: bool = False) -> None:
        self._script, self._own_group = script, own_group
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by close()
        answers, other_end = os.pipe()
        self._answers = os.fdopen(answers)
        command = [python, str(HERE / script), json.dumps({**job, "answers": other_end})]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                text=True,
                pass_fds=[other_end],
                start_new_session=own_group,
            )
        except OSError as error:
            raise WorkerError(f"{python} cannot be run: {error.strerror}.") from None
        finally:
            os.close(other_end)

    def read(self) -> dict[str, Any] | None:
        """Returns the next answer; None if the process has ended."""
        line = self._answers.readline()
        if not line.endswith("\n"):  # a killed process may leave an incomplete line
            self._process.wait()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def last_lines(self) -> str:
        """Returns the last lines that the process printed."""
        self._log.seek(0)
        return f"{self._script} ended, saying:\n" + "\n".join(self._log.read().splitlines()[-20:])

    def kill(self) -> None:
        """Ends the process, and its group if it leads one; `read` then returns None."""
        if self._own_group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def close(self) -> None:
        """Ends the process and closes its files."""
        self.kill()
        self._process.communicate()
        self._answers.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Worker(Process):
    """A contestant in a separate process, which is stopped except during its turns.

    Args:
        python: the interpreter of its environment.
        script: its script in this folder.
        job: the render's settings, passed to the script as JSON.

    Attributes:
        versions: versions of the worker's Python and packages, as the worker reports them.
        others: load by other processes during its turns.
        objectives: the objective's value at every step so far, timed or in a warm-up.

    Raises:
        WorkerError: the worker did not start; the message contains its last output.
    """

    def __init__(self, python: str, script: str, job: Mapping[str, Any]) -> None:
        super().__init__(python, script, job)
        try:
            self.versions: dict[str, str] = self._answer()["ready"]
        except BaseException:
            self.close()
            raise
        self.objectives: list[float] = []
        self.others = Others(self._process.pid)
        self._process.send_signal(signal.SIGSTOP)

    def run(self, steps: int, untimed: int = 0) -> float:
        """Runs steps.

        Args:
            steps: number of timed steps.
            untimed: number of steps before these, to refill the caches after another contestant's turn.

        Returns:
            Seconds per timed step, by the worker's own clock.
        """
        self._process.send_signal(signal.SIGCONT)
        with self.others:
            answer = self._ask({"untimed": untimed, "steps": steps})
        self._process.send_signal(signal.SIGSTOP)
        self.objectives.extend(answer["objectives"])
        return float(answer["seconds"]) / steps

    def _ask(self, request: Mapping[str, int]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self.last_lines()) from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        answer = self.read()
        if answer is None:
            raise WorkerError(self.last_lines())
        return answer


# Result files ---------------------------------------------------------------------------------


class Report:
    """A result file that is being written: figures, and the conditions under which they were measured.

    Args:
        method: what was measured, in a sentence.
        settings: the settings of the command line.
    """

    def __init__(self, method: str, settings: Mapping[str, Any]) -> None:
        self.data: dict[str, Any] = {
            "method": " ".join(method.split()),
            "settings": dict(settings),
            "machine": machine(),
        }

    def save(self, path: Path, figures: Any) -> None:
        """Writes the file atomically, with the current load of the machine."""
        self.data["machine"]["load_average_after"] = load_average()
        self.data["figures"] = figures
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(self.data, indent=1) + "\n")
        part.replace(path)

    def write(self, path: Path, figures: Any) -> None:
        """Writes the file and prints its path."""
        self.save(path, figures)
        console.print(f"written: {path}")


def machine() -> dict[str, Any]:
    """Returns the conditions of a run that starts now."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("lucid_port", "torch", "numpy")},
        "load_average_before": load_average(),
    }


def load_average() -> list[float] | None:
    """Returns the load averages over the last 1, 5 and 15 minutes."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None


def processor() -> str:
    """Returns the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def commit() -> str | None:
    """Returns the measured commit, with `-dirty` if files differ from it; None outside of a repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table; all columns but the first are numbers."""
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    console.print(made)
