"""`python -m parity_tests.kills --count 50 --seed 0`: is anything lost, doubled or half-written after `kill -9`?

Each try starts a job in a new folder, kills it one to three times at random moments, checks the files after each kill,
and lets the job finish. The folder must then be that of a job without interruptions, bit for bit. One half of the
moments are times; the other half are operations on files, before which the process kills itself.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from PIL import Image

from lucid_port.cli import main as lucid_port
from lucid_port.modelzoo.catalogue import Download
from lucid_port.modelzoo.files import PACKAGE_DATA, fetch
from lucid_port.modelzoo.nets_factory import get_model
from lucid_port.optvis.render_many import render_many

MODEL = "TinyInceptionV1"
GRAPH = f"{MODEL}.pb"
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.chmod"}
"""Audit events of Python's operations on files."""
MOST_KILLS = 3
"""Kills of one job before it may finish."""
SENDING = 1.0
"""Seconds in which the server sends a file."""

Tree = dict[str, bytes]


@dataclass(frozen=True)
class Job:
    """Work in the current folder.

    Attributes:
        work: the work, which can be done again after it was killed.
        before: makes the folder that the work finds.
    """

    work: Callable[[], None]
    before: Callable[[], None] = lambda: None


@dataclass
class Try:
    """One job, its kills and its faults.

    Attributes:
        job: name of the job.
        kills: the moments, as texts; None for a process that had finished by then.
        faults: sentences about files that are not as they should be.
    """

    job: str
    kills: list[str | None] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


# Jobs --------------------------------------------------------------------------------------------

PLAN = f"""
model = "{MODEL}"
units = ["conv2d1:0-2", "mixed3a:1,3,5"]
size = 36
steps = 8
batch_size = 2
sheet = true
"""


def _command(*arguments: str) -> Callable[[], None]:
    def work() -> None:
        code = lucid_port(arguments)
        if code:
            raise SystemExit(code)

    return work


def _render() -> None:
    units = ["conv2d1:0-3", "mixed3a:0-3"]
    render_many(get_model(MODEL), units, size=36, steps=8, batch_size=2, output="units", verbose=False)


def _archive() -> bytes:
    """A zip archive with the graph, the same in every process."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(GRAPH), (PACKAGE_DATA / GRAPH).read_bytes())
    return buffer.getvalue()


def _download(port: int) -> None:
    address = f"http://127.0.0.1:{port}/graph.zip"
    digest = hashlib.sha256(_archive()).hexdigest()
    fetch(Download(address, hash=f"sha256:{digest}", member=GRAPH), Path("cache"))


def jobs(port: int) -> dict[str, Job]:
    """Name -> job. The download is from a server on this machine."""
    figure = ("fv-channel", "--fast", "--steps", "6", "--model", MODEL, "--units", "conv2d1:3,mixed3a:1", "-o", "out")
    old = _command("convert", MODEL, "-o", "model")
    return {
        "render": Job(_render),
        "run": Job(_command("run", "plan.toml", "-o", "sheet"), lambda: _write("plan.toml", PLAN)),
        "figure": Job(_command("figure", *figure)),
        "convert": Job(_command("convert", MODEL, "-o", "model", "--standalone", "--fold", "--overwrite"), old),
        "download": Job(lambda: _download(port)),
    }


def _write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Context of a slow server in its own process; its port."""
    receiver, sender = os.pipe()
    process = os.fork()
    if process == 0:
        _serve(sender)
    try:
        yield int(os.read(receiver, 16))
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _serve(sender: int) -> None:
    data, parts = _archive(), 50

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            step = -(-len(data) // parts)
            with contextlib.suppress(OSError):  # the reader was killed
                for begin in range(0, len(data), step):
                    self.wfile.write(data[begin : begin + step])
                    time.sleep(SENDING / parts)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        os.write(sender, str(one.server_port).encode())
        one.serve_forever()


# Processes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Usual:
    """A job without interruptions: the files before and after it, its seconds, and its operations on files."""

    before: Tree
    after: Tree
    seconds: float
    operations: int


def _start(work: Callable[[], None], folder: Path, kill_at: int | None, counted: Path | None = None) -> int:
    """Starts work in a process of its own, which may kill itself before an operation on files."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.chdir(folder)
        silent = os.open(folder.parent / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        seen = _watch(str(folder), kill_at)
        work()
        sys.stdout.flush()
        code = 0
        if counted is not None:
            counted.write_text(str(len(seen)))
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        os._exit(code)


def _watch(folder: str, kill_at: int | None) -> list[str]:
    """Lists the operations on files in a folder, and kills the process before the one with this number."""
    seen: list[str] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event not in OPERATIONS or not arguments or not isinstance(arguments[0], (str, os.PathLike)):
            return
        if event == "open" and not _writes(arguments):
            return
        if os.path.abspath(arguments[0]).startswith(folder):
            seen.append(event)
            if len(seen) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 else 0
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _ended(process: int) -> int:
    """Waits for a process; returns its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def usual(job: Job, place: Path) -> Usual:
    """Does a job without interruptions.

    Raises:
        RuntimeError: the job failed.
    """
    folder = _prepared(job, place)
    before = tree(folder)
    begun = time.monotonic()
    code = _ended(_start(job.work, folder, None, place / "operations.txt"))
    if code:
        raise RuntimeError(f"the job ended with {code}: {(place / 'log.txt').read_text()[-2000:]}")
    seconds = time.monotonic() - begun
    return Usual(before, tree(folder), seconds, int((place / "operations.txt").read_text()))


def _prepared(job: Job, place: Path) -> Path:
    folder = place / "work"
    folder.mkdir(parents=True)
    code = _ended(_start(job.before, folder, None))
    if code:
        raise RuntimeError(f"the folder cannot be made: {(place / 'log.txt').read_text()[-2000:]}")
    return folder


# Checks ------------------------------------------------------------------------------------------

_SECONDS = re.compile(rb"seconds[^0-9]{1,30}\d+|\d+ seconds")


def tree(folder: Path) -> Tree:
    """Path -> content of each file, without the seconds that a figure's page states."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): _content(path) for path in files}


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return _SECONDS.sub(b"", data) if path.suffix == ".html" else data


def faults_after_a_kill(folder: Path, expected: Usual) -> Iterator[str]:
    """Yields a sentence for each file that is half-written, or that is lost."""
    found = {name: data for name, data in tree(folder).items() if not _is_hidden(name)}
    whole = [expected.before, expected.after]
    for name, data in found.items():
        if name.endswith("manifest.json"):
            yield from _manifest_faults(folder / name, data)
        elif data not in [one.get(name) for one in whole]:
            yield f"{name} is neither the old file nor the new one"
    aside = any(folder.glob(".model.*.replaced"))  # the next process puts it back
    lost = [name for name in expected.before if name not in found and not (aside and name.startswith("model/"))]
    if lost:
        yield f"{', '.join(lost)} is lost"
    model = {name for name in found if name.startswith("model/")}
    versions = [{name for name in one if name.startswith("model/")} for one in whole]
    if model and model not in versions:
        yield f"the model has the files {sorted(model)}"


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in Path(name).parts)


def _manifest_faults(path: Path, data: bytes) -> Iterator[str]:
    """Yields faults of a folder of pictures that may not be finished."""
    try:
        units = json.loads(data)["units"]
    except ValueError:
        yield f"{path.name} is half-written"
        return
    doubled = [key for key, count in Counter(unit["id"] for unit in units).items() if count > 1]
    if doubled:
        yield f"{path.name} lists {', '.join(doubled)} twice"
    for unit in units:
        file = path.parent / unit["file"]
        if not file.is_file() or file.stat().st_size != unit["bytes"]:
            yield f"{path.name} lists {unit['file']}, which is missing or of another size"
            continue
        try:
            with Image.open(file, formats=["PNG"]) as picture:
                picture.load()
        except (OSError, SyntaxError) as error:
            yield f"{unit['file']} is half-written ({error})"


def faults_at_the_end(folder: Path, expected: Usual) -> Iterator[str]:
    """Yields a sentence for each file that is not as after a job without interruptions."""
    found = tree(folder)
    for name in sorted({*found, *expected.after}):
        if name not in found:
            yield f"{name} is missing at the end"
        elif name not in expected.after:
            yield f"{name} is left at the end"
        elif found[name] != expected.after[name]:
            yield f"{name} has other bits at the end"
    yield from (f"{path.name} is left at the end" for path in folder.glob(".*") if path.is_dir())


# Tries -------------------------------------------------------------------------------------------


def attempt(name: str, job: Job, expected: Usual, draws: random.Random, most: int) -> Try:
    """Kills a job up to `most` times, lets it finish, and checks its files."""
    result = Try(name)
    with tempfile.TemporaryDirectory() as place:
        folder = _prepared(job, Path(place))
        for _ in range(draws.randint(1, min(MOST_KILLS, most))):
            result.kills.append(_killed(job, folder, expected, draws))
            result.faults += faults_after_a_kill(folder, expected)
            if result.kills[-1] is None:
                break
        code = _ended(_start(job.work, folder, None))
        if code:
            log = Path(place, "log.txt").read_text().strip().splitlines()
            result.faults.append(f"the job ends with {code} after the kill: {log[-1] if log else 'nothing was said'}")
        result.faults += faults_at_the_end(folder, expected)
    return result


def _killed(job: Job, folder: Path, expected: Usual, draws: random.Random) -> str | None:
    """Starts a job and kills it; returns the moment, or None if it had finished."""
    if draws.random() < 0.5:
        number = draws.randint(1, expected.operations)
        process, moment = _start(job.work, folder, number), f"operation {number} of {expected.operations}"
    else:
        seconds = draws.uniform(0, expected.seconds)
        process, moment = _start(job.work, folder, None), f"{seconds:.2f} of {expected.seconds:.2f} s"
        timer = threading.Timer(seconds, lambda: os.kill(process, signal.SIGKILL))
        timer.start()
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # the number stays this process's until `_ended`
        timer.cancel()
        timer.join()
    return moment if _ended(process) == -signal.SIGKILL else None


def run(count: int, seed: int, wanted: Mapping[str, Job], tell: Callable[[Try], None]) -> list[Try]:
    """Makes tries until `count` processes were killed, the jobs in turn."""
    torch.set_num_threads(1)  # a process with several threads cannot be forked safely
    get_model(MODEL)  # imports all that jobs use, so that little of their time goes into imports
    draws, tries, expected = random.Random(seed), list[Try](), dict[str, Usual]()
    with tempfile.TemporaryDirectory() as place:
        for name, job in wanted.items():
            expected[name] = usual(job, Path(place) / name)
    names, killed = list(wanted), 0
    while killed < count:
        name = names[len(tries) % len(names)]
        tries.append(attempt(name, wanted[name], expected[name], draws, count - killed))
        killed += sum(moment is not None for moment in tries[-1].kills)
        tell(tries[-1])
    return tries


def reported(tries: Sequence[Try], seed: int, results: Path | None) -> int:
    """Prints how many kills had faults, writes them to a file, and returns the exit code."""
    killed = Counter(one.job for one in tries for moment in one.kills if moment is not None)
    wrong = [one for one in tries if one.faults]
    print(f"{sum(killed.values())} kills ({', '.join(f'{n} of {k}' for k, n in killed.items())}), {len(wrong)} faults")
    if results:
        report = {"seed": seed, "kills": dict(killed), "tries": [asdict(one) for one in tries]}
        results.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m parity_tests.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="processes to kill (50)")
    parser.add_argument("--seed", type=int, default=0, help="of all moments (0)")
    parser.add_argument("--job", action="append", default=[], choices=jobs(0), help="only these; all by default")
    parser.add_argument("--results", type=Path, help="JSON file to write")
    arguments = parser.parse_args()

    def tell(one: Try) -> None:
        moments = ", ".join(moment or "finished before" for moment in one.kills)
        print(f"{one.job}: killed at {moments}: {'; '.join(one.faults) or 'as without'}", flush=True)

    with server() as port:
        known = jobs(port)
        tries = run(arguments.count, arguments.seed, {name: known[name] for name in arguments.job or known}, tell)
    return reported(tries, arguments.seed, arguments.results)


if __name__ == "__main__":
    sys.exit(main())
