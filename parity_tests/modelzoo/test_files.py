"""Where models are found, in which order, and what is said where they are nowhere."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
import zipfile
from dataclasses import replace

import pytest

from lucid_port.modelzoo import files
from lucid_port.modelzoo.catalogue import Download, catalogue

GRAPH = b"the graph"
LABELS = b"dummy\nkit fox\n"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A search path of two folders and an empty cache."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv("LUCID_PORT_MODELZOO", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as opened:
        opened.writestr("graph.pb", GRAPH)
        opened.writestr("labels.txt", LABELS)
    return data.getvalue()


@pytest.fixture
def server():
    """An HTTP server on this machine with one archive; counts what it is asked for."""
    data, asked = archive(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path == "/models.zip" else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}/models.zip", asked
    running.shutdown()
    running.server_close()


def entry_at(url: str, **changes):
    """InceptionV1's entry, with the archive at another address."""
    wanted = {
        "url": url,
        "sha256": hashlib.sha256(archive()).hexdigest(),
        "member": "graph.pb",
        "member_sha256": hashlib.sha256(GRAPH).hexdigest(),
        **changes,
    }
    return replace(catalogue()["InceptionV1"], files=("InceptionV1.pb", "graph.pb"), graph=Download(**wanted))


def test_the_first_folder_of_the_search_path_wins(folders):
    for name in "ba":
        (folders / name / "InceptionV1.pb").write_bytes(GRAPH)
    assert files.find_graph(entry_at("http://127.0.0.1:1/none")) == folders / "a" / "InceptionV1.pb"


def test_a_download_is_checked_unpacked_and_kept(folders, server):
    url, asked = server
    path = files.find_graph(entry_at(url))
    assert path == folders / "cache" / "InceptionV1" / "graph.pb"
    assert path.read_bytes() == GRAPH
    assert files.find_graph(entry_at(url)) == path
    assert asked == ["/models.zip"]


def test_a_file_of_another_hash_is_refused_and_not_kept(folders, server):
    with pytest.raises(FileNotFoundError, match="hash"):
        files.find_graph(entry_at(server[0], sha256="0" * 64))
    assert not [path for path in (folders / "cache").rglob("*") if path.is_file()]


def test_a_member_of_another_hash_is_refused(folders, server):
    with pytest.raises(FileNotFoundError, match=r"graph\.pb .* is not the expected file"):
        files.find_graph(entry_at(server[0], member_sha256="0" * 64))
    assert not (folders / "cache" / "InceptionV1" / "graph.pb").exists()


def test_an_archive_without_the_member(server):
    with pytest.raises(FileNotFoundError, match=r"holds no other\.pb"):
        files.find_graph(entry_at(server[0], member="other.pb"))


def test_where_nothing_works_the_error_says_what_was_tried_and_what_to_do(folders):
    with pytest.raises(FileNotFoundError) as caught:
        files.find_graph(entry_at("http://127.0.0.1:1/models.zip"))
    text = str(caught.value)
    for words in (str(folders / "a"), str(folders / "b"), str(folders / "cache"), "http://127.0.0.1:1/models.zip",
                  hashlib.sha256(archive()).hexdigest(), "InceptionV1.pb", "LUCID_PORT_MODELZOO"):  # fmt: skip
        assert words in text


def test_a_model_without_a_checked_address_says_where_it_was_published():
    with pytest.raises(FileNotFoundError, match=r"caffe_models/InceptionV1\.pb \(hash unknown\)"):
        files.find_graph(catalogue()["InceptionV1_caffe"])


def test_the_official_archive_has_the_published_hashes():
    """The addresses and hashes of TensorFlow's own release, as public build files state them."""
    found = catalogue()["InceptionV1"]
    assert found.graph.url.endswith("/inception5h.zip")
    assert found.graph.sha256 == "d13569f6a98159de37e92e9c8ec4dae8f674fbf475f69fe6199b514f756d4364"
    assert found.graph.member_sha256 == "a39b08b826c9d5a5532ff424c03a3a11a202967544e389aca4b06c2bd8aef63f"
    assert found.labels.member_sha256 == "da2a31ecfe9f212ae8dd07379b11a74cb2d7a110eba12c5fc8c862a65b8e6606"
