"""One process at a time writes to a folder."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import pytest

from lucid_port.misc.locking import LOCK, FolderLock

HOLDER = """
import sys, time
from pathlib import Path
from lucid_port.misc.locking import FolderLock
try:
    lock = FolderLock(Path(sys.argv[1]))
except BlockingIOError as error:
    sys.exit(str(error))
print("locked", flush=True)
sys.stdin.read()
lock.release()
"""


def other_process(folder):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], text=True, **pipes)


@contextlib.contextmanager
def held_elsewhere(folder):
    with other_process(folder) as process:
        try:
            assert process.stdout.readline() == "locked\n", process.communicate()[1]
            yield process
        finally:
            process.kill()


def sentence(folder):
    return f"{folder} is being written by another run: wait for it, or choose another folder."


def test_a_second_process_is_refused_at_once(tmp_path):
    lock = FolderLock(tmp_path)
    with other_process(tmp_path) as process:
        message = process.communicate()[1]
    lock.release()
    assert (process.returncode, message.strip()) == (1, sentence(tmp_path))


def test_another_process_excludes_this_one_until_it_releases(tmp_path):
    with held_elsewhere(tmp_path) as process:
        with pytest.raises(BlockingIOError) as caught:
            FolderLock(tmp_path)
        assert str(caught.value) == sentence(tmp_path)
        process.communicate()
        assert process.returncode == 0
        assert not os.listdir(tmp_path)
    FolderLock(tmp_path).release()


def test_a_killed_process_holds_nothing(tmp_path):
    with held_elsewhere(tmp_path) as process:
        process.kill()
        process.wait()
        FolderLock(tmp_path).release()
    assert not os.listdir(tmp_path)


def test_a_process_excludes_itself(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(BlockingIOError):
        FolderLock(tmp_path)
    lock.release()
    lock.release()  # does nothing
    FolderLock(tmp_path).release()


def test_any_thread_releases(tmp_path):
    lock = FolderLock(tmp_path)
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    FolderLock(tmp_path).release()


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed")
def test_a_file_that_its_holder_removes_meanwhile_locks_nothing(tmp_path, monkeypatch):
    """The file is opened, then removed and unlocked by its holder: locking it would exclude nobody."""
    import fcntl

    holder, flock = FolderLock(tmp_path), fcntl.flock

    def late(file, operation):
        if operation & fcntl.LOCK_NB:
            monkeypatch.setattr(fcntl, "flock", flock)
            holder.release()
        return flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    lock = FolderLock(tmp_path)
    assert os.listdir(tmp_path) == [LOCK]
    with pytest.raises(BlockingIOError):
        FolderLock(tmp_path)
    lock.release()


def test_a_folder_that_is_missing_is_made(tmp_path):
    lock = FolderLock(tmp_path / "missing")
    assert os.listdir(tmp_path / "missing") == [LOCK]
    lock.release()
