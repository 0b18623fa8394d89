"""The process that opens mutated files: one line of JSON in for each, one line out. Started by `runner.py`."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import torch

import converters
from parity_tests.fuzzing.bases import KINDS, MAIN, base, draw, is_available, names
from parity_tests.fuzzing.mutations import mutate

# What may be raised: an error about the input, in one sentence. A ValueError is one, as documented; its subclasses that
# other libraries raise (UnicodeDecodeError, JSONDecodeError) are not.
MAX_MESSAGE = 2500  # characters
SIZE = (33, 47)  # of the image for the forward pass
MAX_CHANNELS = 1024  # of that image


def make_files(kind: str, seed: str) -> tuple[str, Mapping[str, bytes]]:
    """The base's name and the mutated files of a seed."""
    random = Random(seed)
    drawn = draw(kind, random)
    files = dict(drawn.files)
    changed = random.choice(sorted(files))
    files[changed] = mutate(kind, changed, files[changed], random)
    return drawn.name, files


def open_files(kind: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Opens files as a user does, and runs the resulting network once: {"outcome": ..., "message": ...}."""
    with tempfile.TemporaryDirectory(prefix="lucid_port_fuzzing_") as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        path = Path(folder) if kind == "saved" else Path(folder) / MAIN[kind]
        text = Path(folder) / "net.prototxt"
        options = {"prototxt": text} if text.exists() else {}
        try:
            network = converters.open_source(path, **options)
        except Exception as error:
            return _judge("refused", error, folder)
    try:
        return {"outcome": _run(network), "message": ""}
    except Exception as error:
        return _judge("refused to run", error, folder)


def _run(network: Any) -> str:
    """One small forward pass."""
    channels = network.layers[network.metadata.input_name].channels or 3
    if channels > MAX_CHANNELS:
        return "converted"
    height, width, _ = network.metadata.image_shape or (None, None, None)
    small = all(size is not None and 0 < size <= max(SIZE) for size in (height, width))
    size = (height, width) if small else SIZE
    with torch.no_grad():
        network.activations(torch.rand(1, channels, *size), list(network.outputs))
    return "converted and ran"


def _judge(what: str, error: Exception, folder: str) -> dict[str, Any]:
    """Whether an error is a clear one."""
    text = str(error).replace(folder, "FOLDER")
    clear = isinstance(error, converters.ConverterError) or type(error) is ValueError
    if not clear or not text or "\n" in text or len(text) > MAX_MESSAGE:
        return {"outcome": "FAILED", "message": f"{what} with {type(error).__name__}: {text[:MAX_MESSAGE]}"}
    return {"outcome": f"{what}: {type(error).__name__}", "message": text}


def limit_memory(more: int) -> None:
    """Limits the address space of this process to its current size plus some bytes."""
    if not sys.platform.startswith("linux"):  # elsewhere the limit is not enforced, or counts other things
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def warm_up() -> None:
    """Imports lazily loaded modules, so that they do not count in a case's time and memory."""
    for kind in filter(is_available, KINDS):
        open_files(kind, base(kind, names(kind)[0]).files)


def main() -> None:
    """Answers requests `{"kind", "seed"}` until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever is printed goes to standard error
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    warm_up()
    limit_memory(int(sys.argv[1]))
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
