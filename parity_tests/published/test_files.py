"""Published files are found, checked, fetched and rebuilt; without a network."""

from __future__ import annotations

import base64
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from lucid_port.misc.downloads import DownloadError
from parity_tests.published import CHECKS, files, rebuild
from parity_tests.published.files import NotHere, Published, Recorder, Source, sha256, table

LABELS = "bb_labels.json"
TEASER, KERNELS = "bb_teaser_attr_all6.json", "ev_conv2d012_unit_images.npz"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, an empty cache, and a folder that is looked into."""
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "_UNREACHED", [])
    asked = []

    def refuse(url, *args, **kwargs):
        asked.append(url)
        raise DownloadError(url, "refused", reached=False)

    monkeypatch.setattr(files.downloads, "retrieve", refuse)
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv("LUCID_PORT_PUBLISHED", str(folder))
    return folder, asked


def test_every_file_that_a_check_reads_is_in_the_table():
    assert {name for check in CHECKS.values() for name in check.files} <= set(table())


def test_what_can_be_fetched_has_a_commit_and_what_is_verbatim_a_hash():
    for known in table().values():
        sources = [*known.members.values(), *([known.source] if known.source else [])]
        assert all(len(source.commit) == 40 for source in sources), known.name
        assert known.kind == "folder" or sources, known.name
        assert known.kind != "verbatim" or known.sha256, known.name
        assert known.kind != "rebuilt" or (known.how in rebuild.REBUILDERS and len(known.digest) == 64), known.name
        assert known.kind != "folder" or known.origin or known.members, known.name


def test_another_file_under_a_published_name_is_refused(offline):
    (offline[0] / LABELS).write_text("[]")
    with pytest.raises(ValueError, match=r"not the published file: its SHA-256"):
        Published().path(LABELS)


def write_manifest(folder, **files):
    rows = [{"file": name, "sha256": digest} for name, digest in files.items()]
    (folder / "manifest.json").write_text(json.dumps({"files": rows}))


def test_a_file_of_another_name_is_found_by_the_hash_in_the_manifest(offline, monkeypatch):
    known = files.Known("a.json", sha256(b"[1]"), "folder", origin="x")
    monkeypatch.setattr(files, "table", lambda: {"a.json": known})
    (offline[0] / "other").write_bytes(b"[1]")
    with pytest.raises(NotHere):
        Published().path("a.json")
    write_manifest(offline[0], other=known.sha256)
    assert Published().json("a.json") == [1]
    (offline[0] / "other").write_bytes(b"[2]")
    with pytest.raises(ValueError, match="not the published file"):
        Published().path("a.json")
    (offline[0] / "other").unlink()
    with pytest.raises(NotHere):
        Published().path("a.json")


@pytest.mark.parametrize("text", ["", "[]", '{"files": [{"file": "a.json"}]}'])
def test_a_manifest_without_hashes_is_refused(offline, text):
    (offline[0] / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest.json does not list `files`"):
        Published().path(LABELS)


def test_a_file_that_cannot_be_had_says_where_it_was_looked_for(offline):
    with pytest.raises(NotHere, match=r"labels.json is not in a folder named in LUCID_PORT_PUBLISHED, and https://raw"):
        Published().path(LABELS)


def test_an_address_that_cannot_be_reached_is_not_asked_for_every_file(offline):
    for name in (LABELS, "bb_dog_cat_spatial_attr.json"):
        with pytest.raises(NotHere):
            Published().path(name)
    assert len(offline[1]) == 1


def test_a_file_without_an_address_names_what_it_was_made_from(offline):
    with pytest.raises(NotHere, match=r"it was made from distillpub/post--circuits-curve-detectors@"):
        Published().path("cd_radial_tuning_curves.npz")


def test_files_are_asked_for_by_commit_and_hash(offline, monkeypatch, tmp_path):
    asked = []

    def retrieve(url, known_hash, folder):
        asked.append((url, known_hash))
        (tmp_path / "got").write_text('["dummy"]')
        return tmp_path / "got"

    monkeypatch.setattr(files.downloads, "retrieve", retrieve)
    assert Published().json(LABELS) == ["dummy"]
    known = table()[LABELS]
    assert asked == [(known.source.url, f"sha256:{known.sha256}")]
    assert known.source.url.startswith("https://raw.githubusercontent.com/distillpub/post--building-blocks/101b566dc0")


def test_a_file_of_an_archive_is_fetched_alone(offline, monkeypatch, tmp_path):
    (tmp_path / "got").write_bytes(b"tile")
    monkeypatch.setattr(files.downloads, "retrieve", lambda url, known_hash, folder: tmp_path / "got")
    name = "sprite_mixed4a_activations.png"
    assert Published().member("bb_dog_cat_activation_sprites.tar", name) == b"tile"


def test_rebuilt_files_are_kept(offline, monkeypatch, tmp_path):
    (tmp_path / "got").write_text('{"107-406": [[1, 2], [3, 4]]}')
    monkeypatch.setattr(rebuild, "digest", lambda name, data: table()[name].digest)
    monkeypatch.setattr(files.downloads, "retrieve", lambda url, known_hash, folder: tmp_path / "got")
    name = "cc_expanded_weights_conv2d2_to_mixed3b.json"
    assert Published().json(name) == {"107-406": [[1, 2], [3, 4]]}
    monkeypatch.setattr(files.downloads, "retrieve", None)
    assert Published().json(name) == {"107-406": [[1, 2], [3, 4]]}


def test_the_picture_of_a_notebook_is_the_one_with_its_hash():
    pictures = [b"first", b"second"]
    said = [f'"<img src=data:image/png;base64,{base64.b64encode(one).decode()}>"' for one in pictures]
    notebook = f"[{', '.join(said)}]".encode()
    assert rebuild.embedded_picture({"": notebook}, sha256(b"second")) == b"second"
    with pytest.raises(ValueError, match=r"No picture in the notebook has the SHA-256"):
        rebuild.embedded_picture({"": notebook}, sha256(b"third"))


def test_a_circuit_is_kept_without_its_pictures():
    whole = {"weights": [1], "naturalWeights": [[2]], "naturalNeurons": [{"layer": "conv2d0"}], "images": ["data:"]}
    assert json.loads(rebuild.circuit_without_pictures({"": json.dumps(whole).encode()}, "")) == {
        name: whole[name] for name in ("weights", "naturalWeights", "naturalNeurons")
    }


def test_matrices_are_read_from_a_script():
    script = b"export default {\n  '1-20': [\n    [1, -2],\n    [3, 4],\n  ],\n  \"3-4\" : [[5]],\n}\n"
    assert json.loads(rebuild.matrices_of_script({"": script}, "")) == {"1-20": [[1, -2], [3, 4]], "3-4": [[5]]}
    with pytest.raises(ValueError, match=r"no matrix"):
        rebuild.matrices_of_script({"": b"export default {}"}, "")


def test_recorded_archives_are_read_as_published_ones(tmp_path):
    tile = np.arange(12, dtype=np.uint8).reshape(3, 4)
    recorder = Recorder(tmp_path)
    recorder.archive("tiles.tar", {"one.png": tile})
    assert np.array_equal(recorder.published.picture("tiles.tar", "one.png"), tile)
    with pytest.raises(NotHere, match=r"holds no two.png"):
        recorder.published.picture("tiles.tar", "two.png")


def test_an_address_is_raw_text_at_a_commit():
    source = Source("owner/name", "0" * 40, "a/b.json", hashlib.sha256(b"").hexdigest())
    assert source.url == f"https://raw.githubusercontent.com/owner/name/{'0' * 40}/a/b.json"


def test_what_is_rebuilt_must_say_what_was_published(offline, monkeypatch, tmp_path):
    (tmp_path / "got").write_text('{"107-406": [[1, 2], [3, 4]]}')
    monkeypatch.setattr(files.downloads, "retrieve", lambda url, known_hash, folder: tmp_path / "got")
    with pytest.raises(ValueError, match=r"rebuilt by matrices_of_script, does not say what the published file says"):
        Published().path("cc_expanded_weights_conv2d2_to_mixed3b.json")


def test_a_digest_does_not_depend_on_who_wrote_the_file():
    assert rebuild.digest("a.json", b'{"b": 1, "a": [2]}') == rebuild.digest("a.json", b'{"a":[2],\n"b":1}')
    assert rebuild.digest("a.json", b'{"b": 1}') != rebuild.digest("a.json", b'{"b": 2}')


@pytest.mark.parametrize("name", [name for name, known in table().items() if known.kind == "rebuilt"])
def test_the_published_file_has_the_digest_that_a_rebuilt_one_must_have(name):
    try:
        assert rebuild.digest(name, Published().path(name).read_bytes()) == table()[name].digest
    except NotHere as error:
        pytest.skip(str(error))


@pytest.fixture
def given(monkeypatch, tmp_path):
    """Takes published files apart and hands the parts out, as if from their addresses."""
    try:
        found = {name: Published().path(name) for name in (TEASER, KERNELS)}
    except NotHere as error:
        pytest.skip(str(error))
    parts = {
        f"{example}/teaser.json": json.dumps(one) for example, one in json.loads(found[TEASER].read_text()).items()
    }

    def fetched(source):
        path = tmp_path / "part"
        if source.path.endswith(".png"):
            number = int(source.path.rsplit("_", 1)[-1].removesuffix(".png"))
            Image.fromarray(np.load(found[KERNELS])["conv2d0"][number]).save(path, "PNG")
        else:
            path.write_text(parts["/".join(source.path.rsplit("/", 2)[-2:])])
        return path

    monkeypatch.setattr(files, "_fetched", fetched)
    monkeypatch.setenv("LUCID_PORT_PUBLISHED", "")
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))


def test_files_in_parts_are_put_together_again(given):
    assert set(Published().json(TEASER)) == {"dog_cat", "flowers", "bowtie_guy", "pig", "beer", "chain"}
    assert Published().arrays(KERNELS)["conv2d0"].shape == (64, 7, 7, 3)
