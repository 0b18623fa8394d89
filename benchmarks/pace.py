"""The worker's half of the protocol: one JSON object per line, requests over stdin, answers over a separate pipe.

The worker sends `{"ready": {package: version}}` when it is ready for the first step. The driver then sends any number
of requests `{"untimed": M, "steps": N}`. For each request, the worker makes M untimed steps, then N timed steps, and
answers `{"seconds": .., "objectives": [..]}`. The next request continues the same render. The driver ends the worker by
closing the pipe.

The clock runs in the worker, so times include neither pipe nor driver. Stdout stays free for other output. Runs on
Python 3.7 and imports only the standard library, because Lucid's environments use this file, too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


class Pace:
    """Divides a render's loop into turns. The loop calls `step_done` after each step, which blocks between turns.

    Args:
        task: the result of `job`, with the pipe's file descriptor.
        wait: called before the clock is read; waits for queued work, for example on a GPU.
    """

    def __init__(self, task: dict[str, Any], wait: Callable[[], Any] = lambda: None) -> None:
        self._wait_for_device = wait
        self._answers = os.fdopen(task["answers"], "w")
        self._left_untimed = self._left = 0
        self._start = 0.0
        self._objectives: list[Any] = []

    def ready(self, versions: dict[str, str]) -> None:
        """Reports that the worker is ready, and waits for the first request."""
        self._send({"ready": versions})
        self._wait()

    def step_done(self, objective: Any) -> None:
        """Counts a step; at the end of a turn, reports and waits.

        Args:
            objective: the objective's value, of any type that `float` accepts. It is converted after the clock
                has stopped.
        """
        if self._left_untimed:
            self._left_untimed -= 1
            self._begin_clock()
            return
        self._objectives.append(objective)
        self._left -= 1
        if not self._left:
            self._wait_for_device()
            seconds = time.perf_counter() - self._start
            self._send({"seconds": seconds, "objectives": [float(value) for value in self._objectives]})
            self._wait()

    def _begin_clock(self) -> None:
        if not self._left_untimed:
            self._wait_for_device()
            self._start = time.perf_counter()

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line:
            raise SystemExit
        request = json.loads(line)
        self._left_untimed, self._left = request["untimed"], request["steps"]
        self._objectives = []
        self._begin_clock()

    def _send(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


def job() -> dict[str, Any]:
    """Returns the driver's job: the first command-line argument, parsed as JSON."""
    return json.loads(sys.argv[1])
