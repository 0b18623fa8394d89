"""`python -m parity_tests.microscope_kills --count 20 --seed 0`: does a site survive `kill -9`?

Each try starts a run in a new folder, kills it one to three times at random moments, checks the published files after
each kill, and repeats the run. The site must then be that of a run without interruptions, bit for bit.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from lucid_port.microscope import settings
from lucid_port.microscope.drawings import Drawings
from lucid_port.microscope.run import make_site
from lucid_port.modelzoo.nets_factory import get_model
from parity_tests import kills
from parity_tests.kills import MODEL, MOST_KILLS, Job, Tree, Try, Usual, reported

QUALITY = {"size": 32, "steps": 8, "dream_steps": 2}
UNITS = ["conv2d1:0-7", "mixed3a:0-7"]
PICTURES = 40


def make(units: Sequence[str], executor: str = "here", pictures: int = PICTURES, **options: object) -> None:
    """Makes the site, with batches of 4 units."""
    model, data = get_model(MODEL), Drawings(pictures)
    make_site(model, "site", data, units=list(units), executor=executor, workers=2, batch_size=4, **options)


JOBS: dict[str, Job] = {
    "site": Job(lambda: make(UNITS)),
    "processes": Job(lambda: make(UNITS, "processes")),
    "more units, techniques and pictures": Job(
        lambda: make(UNITS, techniques=["neuron", "diversity"]), lambda: make(["conv2d1:0-3"], pictures=30)
    ),
}
"""Name -> run."""


def published(tree: Tree) -> Tree:
    """Returns the published files of a tree."""
    return {name: data for name, data in tree.items() if not any(part.startswith(".") for part in Path(name).parts)}


def faults_after_a_kill(folder: Path, expected: Usual) -> Iterator[str]:
    """Yields a sentence for each published file that is half-written or lost.

    A run that adds units writes each file once: it is the old one or the new one.
    """
    found, before, after = (published(tree) for tree in (kills.tree(folder), expected.before, expected.after))
    for name, data in found.items():
        if data not in (before.get(name), after.get(name)):
            yield f"{name} is neither the old file nor the new one"
    yield from (f"{name} is lost" for name in before if name in after and name not in found)


def faults_at_the_end(folder: Path, expected: Usual) -> Iterator[str]:
    """Yields a sentence for each published file that is not as after a run without interruptions, and for leftovers."""
    tree = kills.tree(folder)
    found, after = published(tree), published(expected.after)
    for name in sorted({*found, *after}):
        if found.get(name) != after.get(name):
            state = "missing" if name not in found else "left" if name not in after else "other"
            yield f"{name} is {state} at the end"
    left = [name for name in tree if name.endswith((".partial", ".pt", "tiles.bin"))]
    yield from (f"{name} is left at the end" for name in left)


def attempt(name: str, expected: Usual, draws: random.Random, most: int) -> Try:
    """Kills a run up to `most` times, repeats it, and checks the site."""
    job, result = JOBS[name], Try(name)
    with tempfile.TemporaryDirectory() as place:
        folder = kills._prepared(job, Path(place))
        for _ in range(draws.randint(1, min(MOST_KILLS, most))):
            result.kills.append(kills._killed(job, folder, expected, draws))
            result.faults += faults_after_a_kill(folder, expected)
            if result.kills[-1] is None:
                break
        code = kills._ended(kills._start(job.work, folder, None))
        if code:
            log = Path(place, "log.txt").read_text().strip().splitlines()
            result.faults.append(f"the run ends with {code} after the kill: {log[-1] if log else 'nothing was said'}")
        result.faults += faults_at_the_end(folder, expected)
    return result


def run(count: int, seed: int, names: Sequence[str], tell: Callable[[Try], None] = lambda one: None) -> list[Try]:
    """Makes tries until `count` processes were killed, the jobs in turn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a process with several threads cannot be forked safely
    before = settings.QUALITIES
    settings.QUALITIES = {**before, "preview": QUALITY}
    try:
        get_model(MODEL)  # imports all that runs use, so that little of their time goes into imports
        draws, tries, expected, killed = random.Random(seed), list[Try](), dict[str, Usual](), 0
        with tempfile.TemporaryDirectory() as place:
            for number, name in enumerate(names):
                expected[name] = kills.usual(JOBS[name], Path(place) / str(number))
        while killed < count:
            name = names[len(tries) % len(names)]
            tries.append(attempt(name, expected[name], draws, count - killed))
            killed += sum(moment is not None for moment in tries[-1].kills)
            tell(tries[-1])
        return tries
    finally:
        settings.QUALITIES = before
        torch.set_num_threads(threads)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m parity_tests.microscope_kills", description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="processes to kill (20)")
    parser.add_argument("--seed", type=int, default=0, help="of all moments (0)")
    parser.add_argument("--job", action="append", default=[], choices=JOBS, help="only these; all by default")
    parser.add_argument("--results", type=Path, help="JSON file to write")
    arguments = parser.parse_args()

    def tell(one: Try) -> None:
        moments = ", ".join(moment or "finished before" for moment in one.kills)
        print(f"{one.job}: killed at {moments}: {'; '.join(one.faults) or 'as without'}", flush=True)

    tries = run(arguments.count, arguments.seed, arguments.job or list(JOBS), tell)
    return reported(tries, arguments.seed, arguments.results)


if __name__ == "__main__":
    sys.exit(main())
