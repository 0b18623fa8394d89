"""Executors: who does the tasks of a plan. In this process, in one process for each GPU or core, or by Ray.

Tasks are independent and can be repeated: a worker that is killed loses at most its batch. Only names go to workers,
and results are files of the site.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from converters import checks
from converters.atomic import write_bytes
from converters.signatures import checked
from lucid_port.microscope.names import Places
from lucid_port.microscope.plan import Task
from lucid_port.microscope.settings import Settings
from lucid_port.misc.event_writers import Log, LogDir
from lucid_port.misc.threads import worker_count
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.many.picture_folder import file_stem
from lucid_port.optvis.render_log import logged

__all__ = ["EXECUTORS", "Executor", "Here", "Processes", "Ray", "Work", "make_executor"]

ATTEMPTS = 3
"""Times that a task is begun before a worker's death is an error."""

Report = Callable[[int], None]
Do = Callable[[Places, Model, Settings, Task, Report], None]


@dataclass(frozen=True)
class Work:
    """What workers need: names, and functions of modules.

    Attributes:
        root: The site.
        settings: Its settings.
        parts: Part, without what stands behind a slash -> the function that does its tasks.
        log_dir: Folder of the logs of renders; a writer only if no other process works.
    """

    root: str
    settings: Settings
    parts: dict[str, Do]
    log_dir: LogDir | None = None

    def run(self, model: Model, task: Task, report: Report) -> float:
        """Does a task, and returns its seconds."""
        started = time.perf_counter()
        log_dir = None if self.log_dir is None else Log(self.log_dir).inside(_log_name(task)).log_dir
        with logged(log_dir):
            self.parts[task.part.partition("/")[0]](Places(self.root), model, self.settings, task, report)
        return time.perf_counter() - started


def _log_name(task: Task) -> str:
    """Returns the name of a task's runs in a log, which no other task has: "channel/mixed4a_0-63"."""
    units = f"_{task.units[0]}-{task.units[-1]}" if task.units else ""
    return f"{task.technique or task.part}/{file_stem(task.layer)}{units}"


class Progress(Protocol):
    """Is told, in the first process, how the work goes."""

    def made(self, count: int) -> None:
        """Is told the number of further results that are in place."""
        ...

    def done(self, task: Task, seconds: float) -> None:
        """Is told that a task is done, and the time that a worker took for it."""
        ...


class Executor(Protocol):
    """Does tasks."""

    def run(
        self, work: Work, model: Model, tasks: Sequence[Task], progress: Progress, until: float | None = None
    ) -> bool:
        """Does tasks.

        Args:
            work: What workers need.
            model: The model.
            tasks: The tasks, in order.
            progress: Is told how the work goes.
            until: `time.monotonic()` after which no task is begun.

        Returns:
            Whether all tasks were begun.
        """
        ...


@checked
def make_executor(name: str | None, model: Model, workers: int | None = None) -> Executor:
    """Returns an executor.

    Args:
        name: "here", "processes" or "ray"; None for processes, if there are several GPUs or cores.
        model: The model; processes have one GPU each if it is on one.
        workers: Number of workers; one for each GPU or core by default.

    Raises:
        ValueError: There is no such executor.
    """
    count = _places_to_work(model) if workers is None else _worker_count(workers, name)
    if name is None:
        name = "processes" if count > 1 else "here"
    if name not in EXECUTORS:
        raise ValueError(f"There is no executor {name!r}; there are {', '.join(EXECUTORS)}.")
    return EXECUTORS[name](count)


def _worker_count(workers: int, name: str | None) -> int:
    """Converts a number of workers; Ray's may be on many machines."""
    return checks.whole(workers, "workers", 1) if name == "ray" else worker_count(workers, 1)


def _places_to_work(model: Model) -> int:
    if model.device.type == "cuda":
        return torch.cuda.device_count()
    return 1 if model.device.type != "cpu" else cores()


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Here:
    """Does tasks in this process, one after the other."""

    def __init__(self, workers: int = 1) -> None:
        pass

    def run(
        self, work: Work, model: Model, tasks: Sequence[Task], progress: Progress, until: float | None = None
    ) -> bool:
        for task in tasks:
            if until is not None and time.monotonic() > until:
                return False
            progress.done(task, work.run(model, task, progress.made))
        return True


# The model of workers ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelFile:
    """A model as a file that only the run that wrote it lets its workers load.

    Attributes:
        path: The file.
        digest: Its SHA-256.
    """

    path: str
    digest: str

    def load(self, device: str) -> Model:
        """Loads the model onto a device.

        Raises:
            ValueError: The file is not the one that the run wrote.
        """
        data = Path(self.path).read_bytes()
        if hashlib.sha256(data).hexdigest() != self.digest:
            raise ValueError(f"{self.path} was changed during the run: start it again.")
        model: Model = torch.load(io.BytesIO(data), map_location=device, weights_only=False)
        return model


@contextmanager
def _model_file(root: str, model: Model) -> Iterator[ModelFile]:
    """Context of a file of a model.

    Raises:
        ValueError: The model cannot be written.
    """
    buffer = io.BytesIO()
    try:
        torch.save(model, buffer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"The model cannot be sent to other processes ({error}): choose the executor 'here', or define its classes "
            "in a module."
        ) from error
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    path = Places(root).state / f"model-{digest[:16]}-{os.getpid()}.pt"
    write_bytes(path, data)
    try:
        yield ModelFile(str(path), digest)
    finally:
        path.unlink(missing_ok=True)


def remove_model_files(places: Places) -> None:
    """Removes the files of models that killed runs left."""
    for path in places.state.glob("model-*.pt"):
        path.unlink(missing_ok=True)


def _devices(model: Model, count: int) -> list[str]:
    """Returns the device of each worker."""
    if model.device.type != "cuda":
        return [str(model.device)] * count
    return [f"cuda:{number % torch.cuda.device_count()}" for number in range(count)]


# Processes --------------------------------------------------------------------------------------


class Processes:
    """Does tasks in processes of this machine.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(
        self, work: Work, model: Model, tasks: Sequence[Task], progress: Progress, until: float | None = None
    ) -> bool:
        if min(self.workers, len(tasks)) < 2:
            return Here().run(work, model, tasks, progress, until)
        count = min(self.workers, len(tasks))
        with _model_file(work.root, model) as file:
            threads = max(1, cores() // count)
            crew = _Crew(work, file, _devices(model, count), threads, progress)
            return crew.run(tasks, until)


class _Crew:
    """Worker processes of a run; one that dies is replaced, and its task is begun again."""

    def __init__(self, work: Work, model: ModelFile, devices: Sequence[str], threads: int, progress: Progress) -> None:
        self.work, self.model, self.devices, self.threads, self.progress = work, model, devices, threads, progress
        self.context = multiprocessing.get_context("spawn")
        self.left: deque[Task] = deque()
        self.begun: dict[Task, int] = {}
        self.workers: list[_Worker] = []

    def run(self, tasks: Sequence[Task], until: float | None) -> bool:
        self.left = deque(tasks)
        self.workers = [self._start(device) for device in self.devices]
        try:
            while self.left or any(worker.task is not None for worker in self.workers):
                if until is not None and time.monotonic() > until:
                    if not any(worker.task is not None for worker in self.workers):
                        return False
                else:
                    self._hand_out()
                self._listen()
        finally:
            for worker in self.workers:
                worker.stop()
        return True

    def _start(self, device: str) -> _Worker:
        ours, theirs = self.context.Pipe()
        arguments = (theirs, self.work, self.model, device, self.threads)
        process = self.context.Process(target=_serve, args=arguments, daemon=True)
        with _interrupts_blocked():  # workers inherit it: Ctrl-C reaches all processes, and this one ends the others
            process.start()
        theirs.close()
        return _Worker(process, ours, device)

    def _hand_out(self) -> None:
        for worker in self.workers:
            if worker.task is None and self.left:
                task = self.left.popleft()
                self.begun[task] = self.begun.get(task, 0) + 1
                worker.task = task
                with suppress(OSError):  # it has died, which `_listen` sees
                    worker.pipe.send(task)

    def _listen(self) -> None:
        ready = wait([worker.pipe for worker in self.workers], timeout=1.0)
        for index, worker in enumerate(self.workers):
            if worker.pipe not in ready:
                continue
            try:
                kind, what = worker.pipe.recv()
            except (EOFError, ConnectionResetError):
                self._replace(index, worker)
                continue
            if kind == "made":
                self.progress.made(what)
            elif kind == "done" and worker.task is not None:
                self.progress.done(worker.task, what)
                worker.task = None
            elif kind == "ready":
                worker.is_ready = True
            else:
                raise what

    def _replace(self, index: int, worker: _Worker) -> None:
        worker.process.join(5)
        code = worker.process.exitcode
        worker.stop()
        if not worker.is_ready and code is not None and code > 0:  # a signal's code is negative
            raise RuntimeError(
                "A worker ended when it started, because processes run the user's script once more: call make_site "
                "below `if __name__ == '__main__':`, or pass executor='here'."
            )
        task = worker.task
        if task is not None:
            if self.begun[task] >= ATTEMPTS:
                raise RuntimeError(
                    f"Workers ended {ATTEMPTS} times at the units {task.units[:1]} of {task.layer}: most likely, "
                    "memory does not suffice; ask for fewer workers."
                )
            self.left.appendleft(task)
        self.workers[index] = self._start(worker.device)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Context in which Ctrl-C waits, on systems that can block it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    device: str
    task: Task | None = None
    is_ready: bool = False

    def stop(self) -> None:
        self.pipe.close()
        if self.task is None and self.is_ready:  # it ends when its pipe is closed
            self.process.join(5)
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Connection, work: Work, file: ModelFile, device: str, threads: int) -> None:
    """Does tasks until the pipe is closed; the main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which an ended process would leave
    torch.set_num_threads(threads)
    try:
        model = file.load(device)
        pipe.send(("ready", None))
        while True:
            try:
                task = pipe.recv()
            except EOFError:
                return
            seconds = work.run(model, task, lambda count: pipe.send(("made", count)))
            pipe.send(("done", seconds))
    except BrokenPipeError:
        return
    except BaseException as error:
        pipe.send(("error", _portable(error)))


def _end_with_parent() -> None:
    """Ends this process when its parent is killed, so that it holds no files of the site."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _portable(error: BaseException) -> BaseException:
    """Returns an error that can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


# Ray --------------------------------------------------------------------------------------------


class Ray:
    """Does tasks by actors of Ray, each with a model of its own, on one machine or on a cluster that shares the folder.

    Args:
        workers: Number of actors.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(
        self, work: Work, model: Model, tasks: Sequence[Task], progress: Progress, until: float | None = None
    ) -> bool:
        try:
            import ray
        except ImportError as error:
            raise ImportError("The executor 'ray' needs Ray: pip install -e '.[ray]'.") from error
        is_ours = not ray.is_initialized()
        if is_ours:
            ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
        try:
            with _model_file(work.root, model) as file:
                return self._run(ray, work, model, file, deque(tasks), progress, until)
        finally:
            if is_ours:
                ray.shutdown()

    def _run(
        self,
        ray: Any,
        work: Work,
        model: Model,
        file: ModelFile,
        left: deque[Task],
        progress: Progress,
        until: float | None,
    ) -> bool:
        on_gpu = model.device.type == "cuda"
        count = min(self.workers, max(1, len(left)))
        options = {"max_restarts": ATTEMPTS, "max_task_retries": ATTEMPTS, "num_cpus": 0 if on_gpu else 1}
        actor = ray.remote(RayActor).options(**options, num_gpus=int(on_gpu))
        threads = max(1, cores() // count)
        device = "cuda" if on_gpu else str(model.device)
        idle = [actor.remote(work, file, device, threads) for _ in range(count)]
        busy: dict[Any, tuple[Any, Task]] = {}
        while left or busy:
            is_late = until is not None and time.monotonic() > until
            while idle and left and not is_late:
                one, task = idle.pop(), left.popleft()
                busy[one.run.remote(task)] = one, task
            if not busy:
                return not left
            (ready, *_), _ = ray.wait(list(busy), num_returns=1)
            one, task = busy.pop(ready)
            idle.append(one)
            try:
                seconds = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            progress.made(task.amount)
            progress.done(task, seconds)
        return True


class RayActor:
    """A worker of Ray: it loads the model once, and does tasks, which it can be told again."""

    def __init__(self, work: Work, file: ModelFile, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.work, self.model = work, file.load(device)

    def run(self, task: Task) -> float:
        """Does a task, and returns its seconds."""
        return self.work.run(self.model, task, lambda count: None)


EXECUTORS: dict[str, Callable[[int], Executor]] = {"here": Here, "processes": Processes, "ray": Ray}
"""Name -> executor."""
