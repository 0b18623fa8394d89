"""Files in Lucid's notebooks: `misc.io.reading` and `writing`, scopes, files that are open for text, object arrays."""

from __future__ import annotations

import hashlib
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

from lucid_port.misc.io import io_scope, load, save, scope_url, scoping, serialize_array, showing
from lucid_port.misc.io.reading import local_cache_path, read, read_handle
from lucid_port.misc.io.writing import write, write_handle


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The address of a server that counts its answers; its cache is in a folder of this test."""
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"answer {self.server.asked}".encode())

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.asked = 0
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


def test_what_is_written_is_read(tmp_path):
    with io_scope(tmp_path):
        write(b"\xe4\x00", "a/b/bytes")
        write("grün", "text")
        write("er", "text", mode="a")
        assert read("a/b/bytes") == (tmp_path / "a" / "b" / "bytes").read_bytes() == b"\xe4\x00"
        assert read("text", mode="r") == read("text", encoding="utf-8") == "grüner"
        assert read("a/b/bytes", encoding="latin-1") == "ä\x00"
        with write_handle("lines", "w") as handle:
            handle.write("one\ntwo\n")
        with read_handle("lines", mode="r") as handle:
            assert handle.readlines() == ["one\n", "two\n"]
    assert handle.closed


def test_text_that_cannot_be_written_leaves_the_file(tmp_path):
    write("first", tmp_path / "a.txt")
    with pytest.raises(ValueError, match="data has half of a surrogate pair at position 1"):
        write("a\udcff", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "first"


def test_a_handle_is_closed_after_an_error(tmp_path):
    with pytest.raises(KeyError), write_handle(tmp_path / "a") as handle:
        raise KeyError
    assert handle.closed


def test_addresses_are_kept_in_the_cache_as_in_lucid(server):
    url = f"{server}/a.txt"
    assert [read(url), read(url)] == [b"answer 1", b"answer 1"]
    assert Path(local_cache_path(url)).read_bytes() == b"answer 1"
    assert read(url, cache=False, encoding="utf-8") == "answer 2"
    with read_handle(url, "purge", "r") as handle:
        assert handle.read() == "answer 3"
    assert read(url, cache=True) == b"answer 3"


def test_names_in_the_cache_are_lucids():
    """Computed by hand: other characters become `_`; 200 characters at most, of which 64 are the hash."""
    assert Path(local_cache_path("gs://a/b-c.PB?d=1")).name == "gs___a_b_c_PB_d_1"
    plain = "x" * 201
    expected = "x" * 135 + "-" + hashlib.sha256(plain.encode()).hexdigest()
    assert Path(local_cache_path(plain)).name == expected
    assert len(expected) == 200
    assert Path(local_cache_path("x" * 200)).name == "x" * 200


@pytest.mark.parametrize("call", [lambda: read("gs://bucket/a"), lambda: write(b"", "http://example.org/a")])
def test_other_addresses_are_refused(call):
    with pytest.raises(ValueError, match="is a URL"):
        call()


@pytest.mark.parametrize("call", [lambda p: read(p, mode="wb"), lambda p: write(b"", p, mode="rb")])
def test_modes_of_the_other_direction_are_refused(call, tmp_path):
    (tmp_path / "a").write_bytes(b"kept")
    with pytest.raises(ValueError, match="mode is one of"):
        call(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"kept"


def test_scopes_are_read_and_replaced():
    with io_scope("runs"):
        assert scoping.current_io_scopes() == ["runs"]
        scoping.current_io_scopes().append("changes nothing")
        scoping.set_io_scopes(["a", Path("b")])
        assert scope_url("c.png") == "a/b/c.png"
    assert scoping.current_io_scopes() == []
    with pytest.raises(TypeError, match="scopes"):
        scoping.set_io_scopes("runs")


def test_lucids_private_names(capsys):
    assert showing._normalize_array is serialize_array._normalize_array is serialize_array.normalize_array
    showing._display_html("<b>bold</b>")
    assert capsys.readouterr().out.startswith("HTML. ")


@pytest.mark.parametrize(
    ("name", "thing"), [("a.npy", np.arange(3)), ("a.json", [1, "ü"]), ("a.txt", "ü\n"), ("a.png", np.zeros((2, 3)))]
)
def test_files_that_are_open_for_text_are_loaded_and_saved(tmp_path, name, thing):
    with open(tmp_path / name, "w", encoding="latin-1") as handle:
        save(thing, handle)
    with open(tmp_path / name, encoding="latin-1") as handle:
        assert np.array_equal(load(handle), load(tmp_path / name))
    if name != "a.png":
        assert np.array_equal(load(tmp_path / name), thing)


def test_a_file_behind_its_start_says_what_to_do(tmp_path):
    (tmp_path / "a.txt").write_text("abc")
    with open(tmp_path / "a.txt") as handle:
        handle.read(1)
        with pytest.raises(ValueError, match="not at its start: open it in a binary mode"):
            load(handle)


def test_object_arrays_say_what_to_do(tmp_path):
    objects = np.array([1, "a", None], object)
    with pytest.raises(TypeError, match=r"astype.*\.json.*\.pickle with allow_unsafe_formats=True"):
        save(objects, tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    with pytest.raises(ValueError, match="if you trust the file, pass allow_pickle=True and allow_unsafe_formats=True"):
        load(tmp_path / "a.npy")
    assert load(tmp_path / "a.npy", allow_pickle=True, allow_unsafe_formats=True).tolist() == [1, "a", None]
    save(objects, tmp_path / "a.pickle", allow_unsafe_formats=True)
