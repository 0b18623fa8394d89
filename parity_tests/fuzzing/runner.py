"""Gives mutated files to workers, watches the clock and the memory, and keeps the files that failed."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from parity_tests.fuzzing.worker import make_files

SECONDS = 10.0  # of processor time for one file; a busy machine makes it wait
SECONDS_OF = {"units": 1.0}  # less for some kinds
WAITING_SECONDS = 120.0  # in all, for one that waits for something else than the processor
START_SECONDS = 300.0  # of processor time for a worker's imports
START_WAITING_SECONDS = 3600.0  # in all: on a busy machine, a process of low priority waits for minutes
CASES_A_WORKER = 5000  # a worker's imports take as long as several hundred cases
PAUSE = 0.5  # seconds between two looks at the clock
WORKER = ["-m", "parity_tests.fuzzing.worker"]


@dataclass(frozen=True)
class Case:
    """One mutated file.

    Attributes:
        kind: kind of the source.
        seed: determines the base and its mutation.
    """

    kind: str
    seed: str


@dataclass(frozen=True)
class Result:
    """How a case ended.

    Attributes:
        case: the case.
        base: name of the mutated file set; empty if the worker ended before it answered.
        outcome: "converted and ran", "refused: GraphError", ...; "FAILED" for any other outcome.
        message: the error's message, or a description of the failure.
    """

    case: Case
    base: str
    outcome: str
    message: str

    @property
    def failed(self) -> bool:
        return self.outcome == "FAILED"


def cases(kinds: Sequence[str], count: int, seed: int, first: int = 0) -> list[Case]:
    """So many cases from a number on, the kinds in turn."""
    return [Case(kinds[number % len(kinds)], f"{seed}/{number}") for number in range(first, first + count)]


def run(wanted: Sequence[Case], workers: int = 1, tell: Callable[[Result], None] = lambda result: None) -> list[Result]:
    """Runs cases.

    Args:
        wanted: the cases.
        workers: processes at a time.
        tell: called with each result, from several threads.

    Returns:
        The results, in the order of the cases.
    """
    shares = [wanted[start::workers] for start in range(workers)]

    def run_share(share: Sequence[Case]) -> list[Result]:
        found = []
        for start in range(0, len(share), CASES_A_WORKER):
            for result in _run_in_worker(share[start : start + CASES_A_WORKER]):
                tell(result)
                found.append(result)
        return found

    with ThreadPoolExecutor(workers) as pool:
        results = {result.case: result for found in pool.map(run_share, shares) for result in found}
    return [results[case] for case in wanted]


def _run_in_worker(share: Sequence[Case]) -> Iterator[Result]:
    """Runs cases one after another; a worker that dies or hangs is replaced."""
    waiting, kinds = list(share), sorted({case.kind for case in share})
    while waiting:
        with tempfile.TemporaryFile() as log, _Worker(log.fileno(), kinds) as worker:
            while waiting:
                case = waiting.pop(0)
                answer = worker.ask(case)
                if answer is None:
                    log.seek(0)
                    said = log.read().decode(errors="replace").strip()[-500:]
                    yield Result(case, "", "FAILED", f"{worker.ending}{': ' if said else ''}{said}")
                    break
                yield Result(case, **answer)


class _Worker:
    """A worker process.

    Attributes:
        ending: how it ended, where it did not answer.
    """

    def __init__(self, log: int, kinds: Sequence[str]) -> None:
        command = [sys.executable, *WORKER, *kinds]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
        )
        self.ending = ""
        self._ready = self._line(START_WAITING_SECONDS, START_SECONDS) is not None

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, case: Case) -> dict[str, str] | None:
        """Returns the worker's answer; None if it ended, or exceeded the time limit and was ended."""
        if not self._ready:
            return None
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the worker has ended; `_line` then returns None
            self.process.stdin.write((json.dumps(asdict(case)) + "\n").encode())
            self.process.stdin.flush()
        # Only opening the file is under the tight limit, not making it.
        line = (
            None
            if self._line(START_WAITING_SECONDS, START_SECONDS) is None
            else self._line(WAITING_SECONDS, min(SECONDS, SECONDS_OF.get(case.kind, SECONDS)))
        )
        return None if line is None else json.loads(line)

    def _line(self, seconds: float, of_processor: float = math.inf) -> bytes | None:
        """Returns the worker's next line; None if it ended, or sent nothing in time."""
        assert self.process.stdout is not None
        end, spent = time.monotonic() + seconds, self._processor_seconds()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not selector.select(PAUSE):
                if self._processor_seconds() - spent > of_processor:
                    self.ending = f"hung: it computed for more than {of_processor:.0f} seconds"
                    return None
                if time.monotonic() > end:
                    self.ending = f"hung: it took more than {seconds:.0f} seconds"
                    return None
        line: bytes = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.ending = f"crashed: {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"
            return None
        return line

    def _processor_seconds(self) -> float:
        """Returns the processor time that the worker has used; the time of the clock where it is not known."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return time.monotonic()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def keep(results: Sequence[Result], folder: Path) -> None:
    """Writes the files and the outcome of each result to a separate folder."""
    for result in results:
        place = folder / f"{result.case.kind}-{result.case.seed.replace('/', '-')}"
        place.mkdir(parents=True, exist_ok=True)
        for name, data in make_files(result.case.kind, result.case.seed)[1].items():
            (place / name).write_bytes(data)
        (place / "result.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
