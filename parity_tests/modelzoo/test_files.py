"""Where models are found, in which order, and what is said where they are nowhere."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import tarfile
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


@functools.cache  # made once: the hour is in it
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
        "hash": f"sha256:{hashlib.sha256(archive()).hexdigest()}",
        "member": "graph.pb",
        "member_hash": f"sha256:{hashlib.sha256(GRAPH).hexdigest()}",
        **changes,
    }
    return replace(catalogue()["InceptionV1"], files=("InceptionV1.pb", "graph.pb"), downloads=(Download(**wanted),))


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
        files.find_graph(entry_at(server[0], hash="sha256:" + "0" * 64))
    assert not list((folders / "cache").rglob("*"))


def test_a_member_of_another_hash_is_refused(folders, server):
    with pytest.raises(FileNotFoundError, match=r"graph\.pb .* is not the expected file"):
        files.find_graph(entry_at(server[0], member_hash="sha256:" + "0" * 64))
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


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha384"])
def test_hashes_of_every_kind_are_checked(server, algorithm):
    digest = hashlib.new(algorithm, archive()).hexdigest()
    assert files.find_graph(entry_at(server[0], hash=f"{algorithm}:{digest}")).read_bytes() == GRAPH


def test_a_wrong_hash_of_another_kind_is_refused(server):
    with pytest.raises(FileNotFoundError, match="hash"):
        files.find_graph(entry_at(server[0], hash="sha1:" + "0" * 40))


@pytest.mark.parametrize("written", ["frozen/graph.pb", "./frozen/graph.pb"])
def test_members_of_tar_archives(tmp_path, written):
    with tarfile.open(tmp_path / "models.tgz", "w:gz") as opened:
        info = tarfile.TarInfo(written)
        info.size = len(GRAPH)
        opened.addfile(info, io.BytesIO(GRAPH))
    assert files.read_member(tmp_path / "models.tgz", "frozen/graph.pb") == GRAPH
    with pytest.raises(ValueError, match=r"holds no other\.pb"):
        files.read_member(tmp_path / "models.tgz", "other.pb")


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    with tarfile.open(tmp_path / "models.tgz", "w:gz") as opened:
        info = tarfile.TarInfo("graph.pb")
        info.type, info.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        opened.addfile(info)
    with pytest.raises(ValueError, match=r"holds no graph\.pb"):
        files.read_member(tmp_path / "models.tgz", "graph.pb")


def test_a_saved_network_in_a_folder_of_the_models_name_is_found(folders):
    (folders / "b" / "VGG16_caffe").mkdir()
    (folders / "b" / "VGG16_caffe" / "model.json").write_text("{}")
    assert files.find_graph(catalogue()["VGG16_caffe"]) == folders / "b" / "VGG16_caffe"


def test_caffes_weights_are_found_under_the_name_they_were_published_with(folders):
    (folders / "a" / "bvlc_googlenet.caffemodel").write_bytes(b"weights")
    assert files.find_graph(catalogue()["InceptionV1_caffe"]) == folders / "a" / "bvlc_googlenet.caffemodel"


ONLY_BY_HAND = {
    "ResnetV1_50_slim": ["resnet_v1_50_2016_08_28.tar.gz (hash unknown; resnet_v1_50.ckpt is in it)",
                         "--model_name=resnet_v1_50 --labels_offset=1",
                         "--input_checkpoint=resnet_v1_50.ckpt",
                         "--output_node_names=resnet_v1_50/predictions/Softmax",
                         "--output_graph=ResnetV1_50_slim.pb", "put ResnetV1_50_slim.pb into a folder"],
    "InceptionV1_slim": ["SHA-256 7a620c430fcaba8f8f716241f5148c4c47c035cce4e49ef02cfbe6cd1adf96a6",
                         "--output_node_names=InceptionV1/Logits/Predictions/Softmax"],
    "NasnetLarge_slim": ["nasnet-a_large_04_10_2017.tar.gz", "--model_name=nasnet_large",
                         "--output_node_names=final_layer/predictions"],
    "InceptionV1_caffe_Places365": ["/models_places365/googlenet_places365.caffemodel (hash unknown)",
                                    "lucid-port convert googlenet_places365.caffemodel -o InceptionV1_caffe_Places365"],
    "InceptionV1_adv_finetuned": ["other_models/InceptionV1_adv_finetuned.pb (hash unknown)",
                                  "put it as InceptionV1_adv_finetuned.pb into a folder"],
    "Clip_ResNet50_4x": ["RN50x4.pt", "PyTorch's weights", "lucid_port.modelzoo.from_torch", "Clip_ResNet50_4x.pb"],
}  # fmt: skip


@pytest.mark.parametrize("name", ONLY_BY_HAND)
def test_what_does_not_come_by_itself_is_explained_in_one_line(name):
    with pytest.raises(FileNotFoundError) as caught:
        files.find_graph(catalogue()[name])
    text = str(caught.value)
    assert text.startswith(f"Could not find the network of {name}.")
    assert text.endswith("name that folder in LUCID_PORT_MODELZOO.")
    for words in ONLY_BY_HAND[name]:
        assert words in text
    assert "\n" not in text


def test_how_a_model_is_frozen_is_known_of_checkpoints_alone():
    with pytest.raises(ValueError, match="does not say how VGG16_caffe is frozen"):
        files.freezing_commands(catalogue()["VGG16_caffe"], "x.ckpt")


def test_nothing_is_downloaded_that_cannot_be_checked(tmp_path):
    with pytest.raises(ValueError, match=r"The download http://127\.0\.0\.1:1/x has no hash"):
        files.fetch(Download("http://127.0.0.1:1/x"), tmp_path)


def test_the_official_archive_has_the_published_hashes():
    """The addresses and hashes of TensorFlow's own release, as public build files state them."""
    graph = catalogue()["InceptionV1"].downloads[0]
    assert graph.url.endswith("/inception5h.zip")
    assert graph.hash == "sha256:d13569f6a98159de37e92e9c8ec4dae8f674fbf475f69fe6199b514f756d4364"
    assert graph.member_hash == "sha256:a39b08b826c9d5a5532ff424c03a3a11a202967544e389aca4b06c2bd8aef63f"
