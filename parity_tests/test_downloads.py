"""Downloads: complete or not at all, with a time limit, and errors in one sentence."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import http.server
import socket
import threading
import urllib.request
from pathlib import Path

import pytest

from lucid_port.misc import downloads
from lucid_port.misc.io import load
from lucid_port.modelzoo import libraries

ROOT = Path(__file__).resolve().parent.parent
CONTENT = b'["kit fox"]'
HASH = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
CLOSED = "http://127.0.0.1:1/a.json"  # no server


@pytest.fixture
def server():
    """The address of a server on this machine; the path says how it answers."""
    stop = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/moved.json":
                self.send_response(302)
                self.send_header("Location", "/whole.json")
                self.end_headers()
                return
            self.send_response(404 if self.path == "/missing.json" else 200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT if self.path == "/whole.json" else CONTENT[:3])
            if self.path == "/silent.json":
                self.wfile.flush()
                stop.wait(10)  # then the answer is cut

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    stop.set()
    running.shutdown()
    running.server_close()


FAILURES = {
    "missing": ("the server answers 404 Not Found", True),
    "cut": (r".*IncompleteRead\(3 bytes read, 8 more expected\).*", True),
    "silent": (r"no answer within 0\.2 seconds", None),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_fails_leaves_no_file_and_says_why_in_one_sentence(server, name, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2 if name == "silent" else 30.0)
    url, (reason, reached) = f"{server}/{name}.json", FAILURES[name]
    with pytest.raises(downloads.DownloadError, match=f"^{url} cannot be read: ({reason})\\.$") as caught:
        downloads.retrieve(url, None, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    assert reached in (caught.value.reached, None)
    with pytest.raises(OSError, match=f"^{url} cannot be read: ({reason})\\.$"):
        load(url)


def test_no_server(tmp_path):
    with pytest.raises(downloads.DownloadError, match=r"cannot be read: not reached: ConnectionError\.$") as caught:
        downloads.retrieve(CLOSED, None, tmp_path / "cache")
    assert not caught.value.reached
    assert caught.value.url == CLOSED
    assert not (tmp_path / "cache").exists()


def test_a_file_is_downloaded_once(server, tmp_path):
    path = downloads.retrieve(f"{server}/moved.json", HASH, tmp_path, "labels.json")
    assert path == tmp_path / "labels.json"
    assert path.read_bytes() == CONTENT
    assert [one.name for one in tmp_path.iterdir()] == ["labels.json"]
    assert downloads.retrieve(CLOSED, HASH, tmp_path, "labels.json") == path


def test_another_hash_is_refused(server, tmp_path):
    (tmp_path / "other.txt").touch()
    with pytest.raises(ValueError, match="hash"):
        downloads.retrieve(f"{server}/whole.json", "sha256:" + "0" * 64, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["other.txt"]


def test_load_reads_addresses(server, capsys):
    assert load(f"{server}/whole.json") == ["kit fox"]
    assert load([f"{server}/moved.json"] * 2) == [["kit fox"]] * 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("url", ["http://", "http://a b/c.json"])
def test_what_is_no_address(url):
    with pytest.raises(OSError, match="cannot be read: "):
        load(url)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_one_module_connects_to_servers():
    clients = ("requests", "urllib.request", "urllib3", "http.client", "pooch", "httpx", "aiohttp")
    files = [path for folder in ("converters", "lucid_port") for path in (ROOT / folder).rglob("*.py")]
    found = {
        path for path in files for name in imported(path) if f"{name}.".startswith(tuple(f"{c}." for c in clients))
    }
    assert found == {ROOT / "lucid_port/misc/downloads.py"}


def test_downloads_of_libraries_have_a_time_limit(server, monkeypatch):
    monkeypatch.setattr(libraries, "TIMEOUT", 0.2)
    with libraries.time_limit(), pytest.raises(OSError, match="timed out"):
        urllib.request.urlopen(f"{server}/silent.json").read()
    assert socket.getdefaulttimeout() is None
    monkeypatch.setattr(socket, "setdefaulttimeout", lambda limit: pytest.fail("it changes the user's limit"))
    monkeypatch.setattr(socket, "getdefaulttimeout", lambda: 5.0)
    with contextlib.suppress(KeyError), libraries.time_limit():
        raise KeyError
