"""What the benchmarks share: alternating rounds, worker processes, medians, and what is noted beside every figure.

**Alternating rounds.** Absolute times drift on most machines, by a factor of two on shared ones. So contestants take
turns: in each round each makes one turn of K steps while the others wait, in an order that is shuffled anew. Figures
are medians over the rounds with quartiles; ratios are taken within a round, where both had the same machine, and the
median of these ratios is the figure.

**Workers.** A contestant that needs an environment of its own is a process that is kept alive (`Worker`; the other half
of the protocol is `pace.py`). One that waits is stopped (SIGSTOP), so that no thread pool of its spins beside the one
that runs. None of those measured so far does for long, but that depends on versions and settings, and stopping them
touches no framework's settings.

**Others.** Linux tells how much processor time other processes used during a turn. It is noted with each figure: a
round with others about is no measurement.
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
console = Console(width=max(Console().width, 130))  # a table that is cut off says nothing

Turn = Callable[[], float]
"""One turn of a contestant: seconds that one of its steps took."""


# Rounds ---------------------------------------------------------------------------------------


def alternate(turns: Mapping[str, Turn], rounds: int, what: str = "rounds") -> dict[str, list[float]]:
    """Let contestants take turns.

    Args:
        turns: a turn of each contestant by its name, warmed up.
        rounds: how often each of them makes its turn.
        what: said at the progress bar.

    Returns:
        What the turns gave, by name, in the order of the rounds.
    """
    order, shuffle = list(turns), random.Random(ORDER_SEED).shuffle
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in tqdm(range(rounds), what, disable=None):
        shuffle(order)
        for name in order:
            seconds[name].append(turns[name]())
    return seconds


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    return {"median": middle, "lower_quartile": lower, "upper_quartile": upper}


def ratios(values: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """Summary of values over those of the same rounds of another contestant."""
    return summary([value / other for value, other in zip(values, reference, strict=True)])


def spread(figures: Mapping[str, float], factor: float = 1.0, digits: int = 1) -> str:
    """A summary for a table: median (lower quartile to upper quartile)."""
    low, middle, high = (figures[k] * factor for k in ("lower_quartile", "median", "upper_quartile"))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


# Other processes ------------------------------------------------------------------------------


def machine_seconds() -> float | None:
    """Processor seconds that the machine has spent on anything; None where it does not tell (no Linux)."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = (int(field) for field in fields[:8])
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def process_seconds(pid: int) -> float:
    """Processor seconds that a process has used, all its threads together (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Others:
    """How many processors others keep busy while a process makes its turn: `with others: ...`, as often as you like.

    Args:
        pids: the processes whose turn it is, this one apart, which does not count either.
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
        """The mean over all turns; None where it is not known."""
        return round(max(self._used / self._wall, 0.0), 3) if self._wall else None


# Workers --------------------------------------------------------------------------------------


class WorkerError(RuntimeError):
    """A worker ended, or said what it should not."""


class Process:
    """A script of this folder in a process of its own, which answers with JSON lines over a pipe.

    Args:
        python: the interpreter.
        script: the script in this folder.
        job: given to the script as JSON, with the pipe's descriptor as `answers`.
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
        """The next answer; None when the process has ended."""
        line = self._answers.readline()
        if not line.endswith("\n"):  # a process that is killed may leave a part of a line
            self._process.wait()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def last_lines(self) -> str:
        """The last lines that the process printed."""
        self._log.seek(0)
        return f"{self._script} ended, saying:\n" + "\n".join(self._log.read().splitlines()[-20:])

    def kill(self) -> None:
        """End the process, and its group if it leads one; `read` then returns None."""
        if self._own_group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def close(self) -> None:
        """End the process and close its files."""
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
    """A contestant in a process of its own; stopped except in its turns.

    Args:
        python: the interpreter of its environment.
        script: its script in this folder.
        job: what it renders, given to the script as JSON.

    Attributes:
        versions: of what it runs on, as it says itself.
        others: how busy other processes were in its turns.
        objectives: the objective's value at every step so far, timed or in a warm-up.

    Raises:
        WorkerError: it did not start; what it last printed is in the message.
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
        """Make steps.

        Args:
            steps: how many to make under the clock.
            untimed: how many to make before: after a change of turns the caches hold another's data.

        Returns:
            Seconds that one of the timed steps took, by the worker's own clock.
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


# What is noted --------------------------------------------------------------------------------


class Report:
    """A result file in the making: figures, and the circumstances they were taken under.

    Args:
        method: what was measured, in a sentence.
        settings: what the command line said.
    """

    def __init__(self, method: str, settings: Mapping[str, Any]) -> None:
        self.data: dict[str, Any] = {
            "method": " ".join(method.split()),
            "settings": dict(settings),
            "machine": machine(),
        }

    def save(self, path: Path, figures: Any) -> None:
        """Write the file, with the load of the machine as it is now; a file that was there is replaced at once."""
        self.data["machine"]["load_average_after"] = load_average()
        self.data["figures"] = figures
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(self.data, indent=1) + "\n")
        part.replace(path)

    def write(self, path: Path, figures: Any) -> None:
        """Write the file and say where it is."""
        self.save(path, figures)
        console.print(f"written: {path}")


def machine() -> dict[str, Any]:
    """The circumstances of a run that starts now."""
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
    """Processes that wanted to run in the last 1, 5 and 15 minutes."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def commit() -> str | None:
    """The commit that is measured, with `-dirty` where files differ from it; None outside of a repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; all columns but the first are figures."""
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    console.print(made)
