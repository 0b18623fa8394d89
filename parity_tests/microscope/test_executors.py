"""Executors: all do the same tasks; a worker that dies is replaced, and an error of a worker is the run's."""

import os

import pytest
import torch

from lucid_port.microscope.executors import Here, Processes, Ray, Work, make_executor
from lucid_port.microscope.plan import Task
from lucid_port.microscope.settings import Settings

TASKS = [Task("write", "layer", (unit,), "key", unit) for unit in range(4)]
PREVIEW = Settings.of("preview")


def write(places, model, settings, task, report):
    """Writes a file of a task, with a number of the model."""
    folder = places.root / "found"
    folder.mkdir(exist_ok=True)
    (folder / task.name).write_text(str(float(model.activations(torch.ones(1, 3, 32, 32), "mixed3a")["mixed3a"].sum())))
    report(task.amount)


def write_or_die(places, model, settings, task, report):
    """Ends its process without a word the first time, as the system does for lack of memory."""
    mark = places.root / f"died-{task.name}"
    if task.first == 1 and not mark.exists():
        mark.touch()
        os._exit(9)
    write(places, model, settings, task, report)


def die(places, model, settings, task, report):
    os._exit(9)


def fail(places, model, settings, task, report):
    raise FileNotFoundError(f"There is no {task.name}.")


class Seen:
    def __init__(self):
        self.count, self.tasks = 0, []

    def made(self, count):
        self.count += count

    def done(self, task, seconds):
        assert seconds >= 0
        self.tasks.append(task)


def run(executor, tmp_path, model, do=write):
    (tmp_path / ".state").mkdir()
    seen = Seen()
    assert executor.run(Work(str(tmp_path), PREVIEW, {"write": do}), model, TASKS, seen)
    return seen, {path.name: path.read_text() for path in (tmp_path / "found").iterdir()}


@pytest.fixture(scope="module")
def here(tiny_model, tmp_path_factory):
    return run(Here(), tmp_path_factory.mktemp("here"), tiny_model)[1]


def test_processes_do_what_this_process_does(tiny_model, tmp_path, here):
    seen, found = run(Processes(2), tmp_path, tiny_model)
    assert found == here
    assert seen.count == 4
    assert sorted(seen.tasks, key=TASKS.index) == TASKS
    assert not list((tmp_path / ".state").glob("model*"))


def test_a_worker_that_dies_is_replaced(tiny_model, tmp_path, here):
    seen, found = run(Processes(2), tmp_path, tiny_model, write_or_die)
    assert found == here
    assert sorted(seen.tasks, key=TASKS.index) == TASKS


def test_a_task_whose_workers_always_die_is_an_error(tiny_model, tmp_path):
    with pytest.raises(RuntimeError, match="Workers ended 3 times at the units"):
        run(Processes(2), tmp_path, tiny_model, die)


def test_the_error_of_a_worker_is_the_runs(tiny_model, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no 000"):
        run(Processes(2), tmp_path, tiny_model, fail)


@pytest.mark.slow
def test_ray_does_what_this_process_does_also_if_an_actor_dies(tiny_model, tmp_path, here):
    seen, found = run(Ray(2), tmp_path, tiny_model, write_or_die)
    assert found == here
    assert sorted(seen.tasks, key=TASKS.index) == TASKS


def test_no_task_begins_after_the_deadline(tiny_model, tmp_path):
    seen = Seen()
    assert not Here().run(Work(str(tmp_path), PREVIEW, {"write": write}), tiny_model, TASKS, seen, until=0.0)
    assert not seen.tasks


def test_a_model_that_cannot_be_sent_is_named(tiny_model, tmp_path):
    class Local(torch.nn.Module):
        device = torch.device("cpu")

    with pytest.raises(ValueError, match="choose the executor 'here'"):
        run(Processes(2), tmp_path, Local())


def test_an_unknown_executor_is_refused(tiny_model):
    with pytest.raises(ValueError, match="no executor 'slurm'; there are here, processes, ray"):
        make_executor("slurm", tiny_model)
