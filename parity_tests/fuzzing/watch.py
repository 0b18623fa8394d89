"""What a case may not do: start, fetch, run or write outside of its folder, use much memory, raise an unclear error."""

from __future__ import annotations

import contextlib
import dis
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import converters
from converters.memory import is_out_of_memory
from lucid_port.misc.offline import offline

ROOT = Path(__file__).resolve().parents[2]
OWN = tuple(str(ROOT / name) + os.sep for name in ("converters", "lucid_port"))
MEMORY = 500 * 2**20  # bytes that a case may use, and `TIMES` the bytes of its files
TIMES = 10
MAX_MESSAGE = 2500  # characters

_STARTED = frozenset(
    [
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "pty.spawn",
        "os.startfile",
        "pickle.find_class",
    ]
)
_FETCHED = frozenset(
    ["socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"]
)
_WRITTEN: Mapping[str, slice] = {  # the arguments that are paths
    "os.remove": slice(0, 1),
    "os.rmdir": slice(0, 1),
    "os.mkdir": slice(0, 1),
    "os.chmod": slice(0, 1),
    "os.chown": slice(0, 1),
    "os.truncate": slice(0, 1),
    "os.utime": slice(0, 1),
    "os.rename": slice(0, 2),
    "os.link": slice(1, 2),
    "os.symlink": slice(1, 2),
    "shutil.rmtree": slice(0, 1),
}
_FOLDER_HANDLE = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2, "os.chmod": 2, "os.chown": 3, "os.utime": 3}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_folder = ""  # of the case that is watched; empty between cases
_seen: list[str] = []
_state = {"is_added": False}


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Context that lists what its code does against the rules: one description for each deed.

    Args:
        folder: the only folder that may be written to.
    """
    global _folder
    if not _state["is_added"]:  # Python cannot remove it again
        with offline("its own hook goes first, so that an attempt that it refuses does not reach this one"):
            sys.addaudithook(_look)
        _state["is_added"] = True
    _seen.clear()
    _folder = os.path.realpath(folder)
    try:
        yield _seen
    finally:
        _folder = ""


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if not _folder:
        return
    if event in _STARTED:
        _seen.append(f"started: {event} {arguments[0]!r:.200}")
    elif event in _FETCHED:
        _seen.append(f"fetched: {event} {arguments[-1]!r:.200}")
    elif event == "exec":
        code = arguments[0]
        if isinstance(code, CodeType) and os.path.isabs(code.co_filename) and _is_inside(code.co_filename):
            _seen.append(f"ran: {code.co_filename}")
    elif event == "open":
        path, mode, flags = arguments
        if (mode and set(mode) & set("wax+")) or flags & _WRITING:
            _look_at(event, path)
    elif event in _WRITTEN:
        handle = _FOLDER_HANDLE.get(event)
        base = -1 if handle is None or len(arguments) <= handle else arguments[handle]
        for path in arguments[_WRITTEN[event]]:
            _look_at(event, path, base)


def _look_at(event: str, path: Any, base: Any = -1) -> None:
    if isinstance(path, int) or path == os.devnull:
        return
    place = os.fsdecode(path)
    if isinstance(base, int) and base >= 0:
        place = os.path.join(os.readlink(f"/proc/self/fd/{base}"), place)
    if not _is_inside(place):
        _seen.append(f"wrote outside: {event} {place[:200]}")


def _is_inside(place: str) -> bool:
    with contextlib.suppress(ValueError):  # of a path with a null, which no system opens
        return os.path.realpath(place).startswith(_folder + os.sep) or os.path.realpath(place) == _folder
    return True


# -- memory -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def limited_memory(size: int) -> Iterator[None]:
    """Context in which this process may allocate `MEMORY` and `TIMES` the size of the files; only Linux enforces it."""
    if not sys.platform.startswith("linux"):
        yield
        return
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY + TIMES * size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def lacks_memory(error: BaseException) -> bool:
    """Returns whether an error, or one that it followed from, is about memory."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, MemoryError) or is_out_of_memory(one) or "not enough memory" in str(one):
            return True
        one = one.__cause__ or one.__context__
    return False


# -- errors -----------------------------------------------------------------------------------------------------------


def problem(error: Exception, types: tuple[type[Exception], ...] = ()) -> str | None:
    """Returns why an error is not a sentence of this project; None if it is.

    Args:
        error: the error.
        types: types of errors that are allowed, in addition to ConverterError and ValueError themselves.
    """
    text = str(error)
    if not isinstance(error, (converters.ConverterError, *types)) and type(error) is not ValueError:
        return "another type"
    if not text.strip() or "\n" in text or len(text) > MAX_MESSAGE:
        return "no single sentence"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return None  # the system's own reason, which the command line puts behind the file's name
    return None if _is_raised_here(error) else "the sentence of another library"


def _is_raised_here(error: Exception) -> bool:
    """Returns whether a `raise` statement of this project raised an error, and not an operation that failed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    is_statement = dis.opname[code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"
    return is_statement and os.path.realpath(code.co_filename).startswith(OWN)
