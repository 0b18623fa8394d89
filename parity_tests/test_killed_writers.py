"""Processes that are killed while they write: the next process finds the old file, and removes the temporary ones."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from converters import atomic
from converters.atomic import partial_folder, scratch_folder, write_bytes, write_chunks
from converters.program import storage
from lucid_port.misc import downloads

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")


def _until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("the other process did not get there")


def _fork(work):
    """Starts a process that works, and then sleeps until it is killed."""
    process = os.fork()
    if process == 0:
        try:
            work()
            time.sleep(300)
        finally:
            os._exit(1)
    return process


def _kill(process):
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def next_process(monkeypatch):
    """Lets this process forget which folders it has cleaned, as a new one does."""
    return lambda: monkeypatch.setattr(atomic, "_cleaned", set())


def _endless():
    yield b"half of it"
    time.sleep(300)


def test_the_file_of_a_killed_writer_is_removed_by_the_next(tmp_path, next_process):
    write_bytes(tmp_path / "a.txt", b"old")
    process = _fork(lambda: write_chunks(tmp_path / "a.txt", _endless()))
    _until(lambda: len(_names(tmp_path)) == 2)
    next_process()
    write_bytes(tmp_path / "b.txt", b"another file")
    assert len(_names(tmp_path)) == 3, "the file of a living process was removed"
    _kill(process)
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    next_process()
    write_bytes(tmp_path / "b.txt", b"another file")
    assert _names(tmp_path) == ["a.txt", "b.txt"]


def test_a_writer_whose_file_is_removed_before_it_is_locked_begins_again(tmp_path, monkeypatch):
    lock, seen = atomic._lock, []

    def late(handle, flags=0):
        if not seen:
            seen.extend(path for path in tmp_path.iterdir())
            seen[0].unlink()
        return lock(handle, flags)

    monkeypatch.setattr(atomic, "_lock", late)
    write_bytes(tmp_path / "a.txt", b"whole")
    assert seen
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.txt": b"whole"}


def test_the_folder_of_a_killed_writer_is_removed_by_the_next(tmp_path, next_process):
    def work():
        with partial_folder(tmp_path / "model") as folder:
            (folder / "weights").write_bytes(b"half")
            time.sleep(300)

    process = _fork(work)
    _until(lambda: list(tmp_path.glob(".model.*/weights")))
    next_process()
    write_bytes(tmp_path / "b.txt", b"")
    assert len(_names(tmp_path)) == 2
    _kill(process)
    next_process()
    with partial_folder(tmp_path / "model") as folder:
        assert _names(tmp_path) == [folder.name, "b.txt"]
    assert _names(tmp_path) == ["b.txt"]


def test_a_scratch_folder_of_a_killed_process_is_removed_by_the_next(tmp_path, monkeypatch, next_process):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def work():
        with scratch_folder():
            time.sleep(300)

    process = _fork(work)
    _until(lambda: _names(tmp_path))
    _kill(process)
    next_process()
    with scratch_folder() as folder:
        assert _names(tmp_path) == [folder.name]


def test_other_hidden_files_stay(tmp_path, next_process):
    names = [".a.partial", ".a.0123abcd.part", "a.0123abcd.partial", ".a.0123ABCD.partial", ".a.0123abcd.partial.txt"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "target").mkdir()
    (tmp_path / ".link.0123abcd.partial").symlink_to(tmp_path / "target")
    next_process()
    write_bytes(tmp_path / "b", b"")
    assert _names(tmp_path) == sorted([*names, "b", "target", ".link.0123abcd.partial"])


@pytest.mark.parametrize("renames", [1, 2])
def test_a_process_killed_while_it_replaces_a_model_loses_neither(tmp_path, renames, next_process):
    target = tmp_path / "model"
    for text in ("old", "new"):

        def work(text=text):
            with storage._new_folder(target) as folder:
                (folder / "model.json").write_text(text)
                if text == "new":
                    replace, done = os.replace, []

                    def counted(*paths):
                        replace(*paths)
                        done.append(paths)
                        if len(done) == renames:
                            os.kill(os.getpid(), signal.SIGKILL)

                    os.replace = counted
            os._exit(0)

        os.waitpid(_fork(work), 0)
    next_process()
    assert target.exists() == (renames == 2)
    with pytest.raises(storage.SaveError, match="exists already"):
        storage.check_target(target)
    assert (target / "model.json").read_text() == ("old" if renames == 1 else "new")
    write_bytes(tmp_path / "b", b"")
    assert _names(tmp_path) == ["b", "model"]


@pytest.fixture
def server():
    """A server that sends half of a file and waits, the first time that it is asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            if len(asked) == 1:
                time.sleep(2)
            self.wfile.write(b"done")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}/a.bin"
        one.shutdown()


def test_a_killed_download_leaves_nothing_to_the_next(tmp_path, server, next_process):
    process = _fork(lambda: downloads.retrieve(server, None, tmp_path, "a.bin"))
    _until(lambda: list(tmp_path.glob(".a.bin.*/*")))
    _kill(process)
    assert not (tmp_path / "a.bin").exists()
    next_process()
    assert downloads.retrieve(server, None, tmp_path, "a.bin").read_bytes() == b"halfdone"
    assert _names(tmp_path) == ["a.bin"]
