"""The process that opens mutated files: one line of JSON in for each, one line out. Started by `runner.py`."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch._dynamo  # torch's optimizers import it on use, and it makes a folder

import lucid_port.misc.downloads  # noqa: F401  # urllib3 binds a socket of this machine when it is imported
from parity_tests.fuzzing.bases import MAIN, NETWORKS, base, draw, names
from parity_tests.fuzzing.files import mutate
from parity_tests.fuzzing.opening import OPENERS, Call, asks_for_much
from parity_tests.fuzzing.watch import MAX_MESSAGE, lacks_memory, limited_memory, problem, watched

MAIN_SHARE = 0.7  # of the cases change the main file, if there is one; the others change any file
DOCUMENTS = (".json", ".toml")
IN_MEMORY = Path("/dev/shm")  # a disk takes longer to make and remove the folders than most cases take
# Errors of networks are of two types, as documented. Readers of other files raise further types.
TYPES = (TypeError, OSError, ArithmeticError, NotImplementedError, ValueError, IndexError)


def make_files(kind: str, seed: str) -> tuple[str, Mapping[str, bytes]]:
    """Returns the base's name and the mutated files of a seed."""
    random = Random(seed)
    drawn = draw(kind, random)
    files = dict(drawn.files)
    main = MAIN.get(kind, "")
    changed = main if main in files and random.random() < MAIN_SHARE else random.choice(sorted(files))
    files[changed] = mutate(kind, changed, files[changed], random)
    return drawn.name, files


def open_files(kind: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Opens files as a user does: {"outcome": ..., "message": ...}."""
    size = sum(map(len, files.values()))
    found: list[dict[str, Any]] = []
    with _room(files) as folder:
        for call in OPENERS[kind]:
            with watched(folder) as deeds, limited_memory(size):
                answer = _answer(call, kind, folder, files)
            deeds += _beside(folder)
            if deeds:
                answer = {"outcome": "FAILED", "message": "; ".join(dict.fromkeys(deeds))[:MAX_MESSAGE]}
            found.append({**answer, "message": answer["message"].replace(str(folder), "FOLDER")})
    return next((one for one in found if one["outcome"] == "FAILED"), found[0])


@contextlib.contextmanager
def _room(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Context with the files in the current folder, beside a pipe, a module and a folder with a picture's name."""
    before, place = Path.cwd(), IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lucid_port_fuzzing_", dir=place) as name:
        folder = Path(name).resolve() / "room" / "case"
        folder.mkdir(parents=True)
        (folder / "folder.png").mkdir()
        (folder / "planted.py").write_text("def network():\n    raise SystemExit('it ran')\n")
        if hasattr(os, "mkfifo"):
            os.mkfifo(folder / "pipe")
            os.mkfifo(folder / "pipe.png")
        for file, data in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        try:
            yield folder
        finally:
            sys.path.remove(str(folder))
            os.chdir(before)


def _beside(folder: Path) -> list[str]:
    """Returns descriptions of files that code without audit events left outside of the folder."""
    around = {folder.parent: {folder}, folder.parent.parent: {folder.parent}}
    found = [path for place, known in around.items() for path in place.iterdir() if path not in known]
    return [f"wrote outside: {path}" for path in found]


def _answer(call: Call, kind: str, folder: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Calls and judges: an answer, a clear error, or a failure."""
    try:
        return {"outcome": call(folder), "message": ""}
    except SystemExit as error:
        return {"outcome": "FAILED", "message": f"ran code or ended the process: {error}"}
    except Exception as error:
        text, kind_of_error = str(error), type(error).__name__
        if lacks_memory(error):
            if any(_asks(name, data) for name, data in files.items()):
                return {"outcome": "refused: asks for more memory", "message": text[:MAX_MESSAGE]}
            return {"outcome": "FAILED", "message": f"used too much memory: {kind_of_error}: {text[:MAX_MESSAGE]}"}
        why = problem(error, () if kind in NETWORKS else TYPES)
        if why is not None:
            return {"outcome": "FAILED", "message": f"refused with {kind_of_error} ({why}): {text[:MAX_MESSAGE]}"}
        return {"outcome": f"refused: {kind_of_error}", "message": text}


def _asks(name: str, data: bytes) -> bool:
    """Returns whether a file is a recipe or a plan that asks for a large picture."""
    if Path(name).stem not in ("recipe", "plan") or Path(name).suffix not in DOCUMENTS:
        return False
    from lucid_port.optvis.recipe_files import read_document

    return asks_for_much(read_document(name))


def warm_up(kinds: Sequence[str]) -> None:
    """Imports lazily loaded modules, so that they do not count in a case's time and memory."""
    for kind in kinds:
        for name in dict.fromkeys(names(kind)[:: max(1, len(names(kind)) // 4)]):
            open_files(kind, base(kind, name).files)


def main() -> None:
    """Answers requests `{"kind", "seed"}` until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever is printed goes to standard error
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    warm_up(sys.argv[1:])
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        name, files = make_files(request["kind"], request["seed"])
        answers.write("made\n")  # from here on, the clock counts
        answers.flush()
        answer = {"base": name, **open_files(request["kind"], files)}
        with contextlib.suppress(BrokenPipeError):
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
