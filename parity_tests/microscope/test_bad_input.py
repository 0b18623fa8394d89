"""Bad pictures, names, models and folders: each is handled, or named; nothing is left out without a word."""

import errno
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from converters import atomic
from converters.errors import LayerNotFoundError
from lucid_port.cli import main
from lucid_port.microscope import settings
from lucid_port.microscope.crops import picture_rows
from lucid_port.microscope.curves import Curves
from lucid_port.microscope.examples import find_examples, pool_activations
from lucid_port.microscope.fields import Fields
from lucid_port.microscope.links import LinkSet, Similar
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import Pictures
from lucid_port.microscope.run import make_site
from lucid_port.microscope.tables import open_site
from lucid_port.microscope.upkeep import check
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.preprocessing import Preprocessing
from parity_tests.microscope.conftest import TINY

pytestmark = pytest.mark.usefixtures("tiny_quality")
COMMAND = ["microscope", "TinyInceptionV1", "--units", "conv2d0:1,2", "--executor", "here"]


def make(model, folder, data=None, **options):
    """Makes a site of a few units; fails if a page has a broken link."""
    site = make_site(model, folder, data, **{"executor": "here", "verbose": False, "originals": "none", **options})
    assert check(folder) == []
    return site


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)


def odd_pictures(folder):
    """Writes pictures that have to be read."""
    folder.mkdir()
    Image.fromarray(noise(1, 1, 3)).save(folder / "one_pixel.png")
    Image.fromarray(noise(37, 51, dtype=np.uint16)).save(folder / "sixteen.png")
    Image.fromarray(noise(40, 30, 4), "CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(noise(31, 47)).convert("P").save(folder / "palette.png", transparency=3)
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    frames[0].save(folder / "animated.webp", save_all=True, append_images=frames[1:], lossless=True)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SECRET CAMERA"
    Image.fromarray(noise(20, 60, 3)).save(folder / "rotated.jpg", exif=exif)
    Image.fromarray(noise(500, 3, 3)).save(folder / "narrow.png")
    return folder


def bad_pictures(folder):
    """Writes files that cannot be read, and files of other kinds."""
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    data = (folder / "narrow.png").read_bytes()
    (folder / "half.png").write_bytes(data[: len(data) // 2])
    for name in ("a.gif", "b.bmp", "c.tif"):
        Image.new("RGB", (8, 8)).save(folder / name)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of odd pictures, the site of it, and what the command printed."""
    place = tmp_path_factory.mktemp("odd")
    bad_pictures(odd_pictures(place / "photos"))
    with pytest.MonkeyPatch.context() as patch, (place / "printed.txt").open("w") as printed:
        patch.setattr(settings, "QUALITIES", {**settings.QUALITIES, "preview": TINY})
        patch.setattr(sys, "stdout", printed)
        patch.setattr(sys, "stderr", printed)
        code = main([*COMMAND, "-o", str(place / "site"), "--data", str(place / "photos")])
    assert code == 0
    return place / "photos", open_site(place / "site"), (place / "printed.txt").read_text()


def test_odd_pictures_are_read(odd):
    _, site, _ = odd
    rows = {row["key"]: row for row in site.pictures.to_pylist()}
    read = ["one_pixel.png", "sixteen.png", "cmyk.jpg", "palette.png", "animated.webp", "rotated.jpg", "narrow.png"]
    for name in read:
        assert np.isfinite(site["conv2d0"].max[rows[name]["number"]]).all(), name
    assert [rows["rotated.jpg"]["width"], rows["rotated.jpg"]["height"]] == [20, 60]


def test_the_first_frame_of_an_animated_picture_is_shown(odd):
    _, site, _ = odd
    number = next(row["number"] for row in site.pictures.to_pylist() if row["key"] == "animated.webp")
    with Image.open(Places(site.folder).original(number)) as picture:
        red, _, blue = picture.convert("RGB").getpixel((10, 10))
    assert red > 200
    assert blue < 60


@pytest.mark.parametrize("name", ["empty.png", "text.jpg", "half.png"])
def test_pictures_that_cannot_be_read_are_named_in_the_manifest_the_command_and_the_page(odd, name):
    _, site, printed = odd
    number = next(row["number"] for row in site.pictures.to_pylist() if row["key"] == name)
    assert site.manifest["problems"][str(number)].startswith(f"{name}: ")
    assert f"Not read: {name}: " in printed
    assert f"<code>{name}</code>" in (site.folder / "index.html").read_text()
    assert np.isnan(site["conv2d0"].max[number]).all()
    assert len(site.manifest["problems"]) == 3


def test_files_of_other_kinds_are_named_in_a_line(odd):
    _, _, printed = odd
    assert "Left out, as only .png, .jpg, .jpeg, .webp are read: a.gif, b.bmp, c.tif.\n" in printed


def test_no_path_and_no_exif_is_published(odd):
    photos, site, _ = odd
    for path in site.folder.rglob("*"):
        if path.is_file() and ".state" not in path.parts:
            content = path.read_bytes()
            assert str(photos).encode() not in content, path
            assert b"SECRET CAMERA" not in content, path


def test_a_picture_that_is_mended_is_read(tiny_model, tmp_path):
    photos = odd_pictures(tmp_path / "photos")
    (photos / "cmyk.jpg").write_text("no picture")
    site = make(tiny_model, tmp_path / "site", photos, units="conv2d0:1")
    assert list(site.manifest["problems"]) == ["1"]
    Image.fromarray(noise(40, 30, 3)).save(photos / "cmyk.jpg")
    site = make(tiny_model, tmp_path / "site", photos, units="conv2d0:1")
    assert site.manifest["problems"] == {}
    assert np.isfinite(site["conv2d0"].max[:]).all()


def test_a_site_without_a_readable_picture_says_so(tiny_model, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(b"")
    site = make(tiny_model, tmp_path / "site", photos, units="conv2d0:1", originals="small")
    assert list(site.manifest["problems"]) == ["0"]
    assert site["conv2d0"].examples.top.numbers.max() == -1


def test_a_name_that_is_no_text_is_named(tiny_model, tmp_path, capsys):
    photos = odd_pictures(tmp_path / "photos")
    try:
        os.rename(os.fsencode(photos / "narrow.png"), os.fsencode(photos) + b"/\xff.png")
    except OSError:
        pytest.skip("this file system takes no names that are no text")
    make(tiny_model, tmp_path / "site", photos, units="conv2d0:1", verbose=True)
    assert "are read: \\udcff.png." in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "a.gif"])
def test_a_folder_without_pictures_is_an_error(tmp_path, capsys, content):
    photos = tmp_path / "photos"
    photos.mkdir()
    if content:
        Image.new("RGB", (8, 8)).save(photos / content)
    assert main([*COMMAND, "-o", str(tmp_path / "site"), "--data", str(photos)]) == 1
    assert "has no pictures: their names end in .png, .jpg" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


# Datasets ---------------------------------------------------------------------------------------


class Listed:
    """A dataset of (picture, label)."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def test_pictures_of_every_size_and_channel_count_are_read_or_named(tiny_model, tmp_path):
    shapes = [(9, 300, 3), (200, 7), (30, 20, 1), (30, 20, 2), (30, 20, 4), (96, 96, 3), (30, 20, 5), (0, 4, 3)]
    data = Listed([(noise(*shape), "a") for shape in shapes])
    site = make(tiny_model, tmp_path, data, units="conv2d0:1")
    assert list(site.manifest["problems"]) == ["6", "7"]
    assert site.manifest["problems"]["6"].startswith("6: ")
    assert np.isfinite(site["conv2d0"].max[:6]).all()


def test_labels_that_hold_html_are_text(tiny_model, tmp_path):
    hostile = "<script>alert(1)</script>"
    data = Listed([(noise(20, 20, 3), hostile if number % 2 else "'\"><img src=x>") for number in range(6)])
    make(tiny_model, tmp_path, data, units="conv2d0:1")
    pages = [path.read_text() for path in tmp_path.rglob("*") if path.suffix == ".html"]
    assert not any(hostile in page or "<img src=x>" in page for page in pages)
    assert any("&lt;script&gt;alert(1)" in page for page in pages)


def test_names_of_files_that_hold_html_are_text(tiny_model, tmp_path):
    photos = odd_pictures(tmp_path / "photos")
    (photos / "<b onclick=x>&.png").write_bytes(b"")
    (photos / "narrow.png").rename(photos / "'\"<i>.png")
    make(tiny_model, tmp_path / "site", photos, units="conv2d0:1", originals="small")
    pages = [path.read_text() for path in (tmp_path / "site").rglob("*.html")]
    assert not any("<b onclick" in page or "<i>.png" in page for page in pages)


def test_a_dataset_without_a_length_is_refused(tiny_model, tmp_path):
    class Endless:
        def __getitem__(self, index):
            return noise(8, 8, 3)

    with pytest.raises(TypeError, match=r"data is .* not an Endless|has a length"):
        make_site(tiny_model, tmp_path / "site", Endless(), verbose=False)
    assert not (tmp_path / "site").exists()


def test_a_dataset_has_to_be_given_again(tiny_model, tmp_path):
    make(tiny_model, tmp_path, Listed([(noise(8, 8, 3), "a")] * 3), units="conv2d0:1")
    with pytest.raises(ValueError, match="are a dataset: give it as data again"):
        make_site(tiny_model, tmp_path, verbose=False)


# Models -----------------------------------------------------------------------------------------


class Named(torch.nn.Module):
    """A network whose submodules have given names."""

    def __init__(self, names, channels=3):
        super().__init__()
        for number, name in enumerate(names):
            # `add_module` takes no dots; the other names are those of users.
            self.add_module(name, torch.nn.Conv2d(3 if number else channels, 3, 3, padding=1))

    def forward(self, x):
        for layer in self.children():
            x = torch.relu(layer(x))
        return x


def model_of(module, channels=3):
    torch.manual_seed(0)
    return from_torch(module.eval(), image_shape=(20, 28, channels), image_value_range=(0, 1))


def test_layers_of_every_name_have_pages_of_their_own(tmp_path):
    names = ["conv", "Conv", "CONV", "a/b", "a:b", "a b", "con", "data", "x" * 300, "<script>alert(2)</script>"]
    model = model_of(Named(names))
    site = make(model, tmp_path, Listed([(noise(20, 28, 3), "a")] * 3), layers=names)
    folders = [entry["folder"] for entry in site.manifest["layers"]]
    assert sorted(site) == sorted(names)
    assert len({folder.lower() for folder in folders}) == len(names)
    assert max(map(len, folders)) < 100
    for path in tmp_path.rglob("*.html"):
        assert "<script>alert(2)" not in path.read_text()
        assert len(path.relative_to(tmp_path).as_posix()) < 200
    assert all((tmp_path / folder / "0.html").is_file() for folder in folders)


@pytest.mark.parametrize("channels", [1, 4])
def test_networks_of_other_channel_counts_have_sites(tmp_path, channels):
    data = Listed([(noise(20, 28, 3), "a")] * 3) if channels == 1 else None
    site = make(model_of(Named(["first", "second"], channels), channels), tmp_path, data, layers=["second"])
    assert Places(tmp_path).render("second", "channel", 2).is_file()
    assert len(site.units) == 3
    assert "value_channel" in site.units.column_names


@pytest.mark.parametrize("channels", [2, 5])
def test_networks_whose_images_are_no_pictures_are_refused(tmp_path, channels):
    model = model_of(Named(["first"], channels), channels)
    with pytest.raises(ValueError, match=f"takes images of {channels} channels"):
        make_site(model, tmp_path / "site", verbose=False)
    assert not (tmp_path / "site").exists()


def test_pictures_for_a_network_of_four_channels_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"images of 4 channels, and pictures have 3: .* leave out the data"):
        make_site(model_of(Named(["a"], 4), 4), tmp_path / "site", Listed([noise(9, 9, 3)]), verbose=False)


def test_a_network_without_known_channels_is_refused(tmp_path):
    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean()

    with pytest.raises(ValueError, match=r"no layers whose number of channels is known: name layers"):
        make_site(model_of(Mean()), tmp_path / "site", verbose=False)
    assert not (tmp_path / "site" / "data").exists()


def test_a_layer_that_is_not_there_is_an_error(tiny_model, tmp_path):
    with pytest.raises(LayerNotFoundError, match="mixed4z"):
        make_site(tiny_model, tmp_path / "site", layers=["mixed4z"], verbose=False)
    assert not (tmp_path / "site" / "data").exists()


def test_the_page_of_a_dead_unit_says_so(tmp_path):
    network = Named(["first"])
    with torch.no_grad():
        network.first.weight[1], network.first.bias[1] = 0, -1
    data = Listed([(noise(20, 28, 3), "a"), (noise(9, 9, 3), "b")])
    site = make(model_of(network), tmp_path, data, layers=["relu"])
    dead = {row["unit"] for row in site.units.to_pylist() if row["dead"]}
    assert 1 in dead
    folder = tmp_path / site["relu"].entry["folder"]
    assert "This unit is dead here." in (folder / "1.html").read_text()
    alive = next(unit for unit in (0, 2) if unit not in dead)
    assert "This unit is dead here." not in (folder / f"{alive}.html").read_text()


# Folders and disks ------------------------------------------------------------------------------


def test_a_folder_that_holds_something_else_is_refused_by_the_command(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("x")
    assert main([*COMMAND, "-o", str(tmp_path)]) == 1
    assert "is no site, and holds 'thesis.tex'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(tiny_model, tmp_path, monkeypatch, share, usual_writes):
    """Writing fails at some file of the site; then there is room again."""
    count, expected = usual_writes
    left = int(count * share)

    def full(path, chunks):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, chunks)

    write = atomic.write_chunks
    data = Listed([(noise(20, 20, 3), "a")] * 3)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_chunks", full)
        with pytest.raises(OSError, match="No space left on device"):
            make_site(tiny_model, tmp_path, data, units="conv2d0:1,2", executor="here", verbose=False)
    make(tiny_model, tmp_path, data, units="conv2d0:1,2", originals=None)
    assert published(tmp_path) == expected


@pytest.fixture(scope="module")
def usual_writes(tiny_model, tmp_path_factory):
    """The number of files that a run writes, and the site."""
    folder, count = tmp_path_factory.mktemp("usual"), 0

    def counted(path, chunks):
        nonlocal count
        count += 1
        return write(path, chunks)

    write = atomic.write_chunks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "QUALITIES", {**settings.QUALITIES, "preview": TINY})
        patch.setattr(atomic, "write_chunks", counted)
        data = Listed([(noise(20, 20, 3), "a")] * 3)
        make(tiny_model, folder, data, units="conv2d0:1,2", originals=None)
    return count, published(folder)


def published(folder):
    """Path -> content of what a site publishes."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if ".state" not in path.parts}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of file sizes")
def test_a_limit_of_file_sizes_ends_no_process(tmp_path):
    """Files that are mapped into memory end the process with SIGBUS on a full disk: none of the site's is."""
    import resource
    import signal

    process = os.fork()
    if process == 0:
        code = 3
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            torch.set_num_threads(1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
            with open(tmp_path / "said.txt", "w") as said:
                sys.stdout = sys.stderr = said
                code = main([*COMMAND, "-o", str(tmp_path / "site")])
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 1, (tmp_path / "said.txt").read_text()
    assert "File too large" in (tmp_path / "said.txt").read_text()


def test_a_unit_without_finite_values_spoils_no_other(tmp_path):
    network = Named(["first", "second"])
    with torch.no_grad():
        network.first.bias[1] = float("nan")
    data = Listed([(noise(20, 28, 3 + number)[..., :3], "ab"[number % 2]) for number in range(5)])
    site = make(model_of(network), tmp_path, data, layers=["first", "second"], techniques=["channel"])
    rows = {(row["layer"], row["unit"]): row for row in site.units.to_pylist()}
    assert rows["first", 1]["dropped"] == 5
    assert rows["first", 1]["maximum"] is None
    assert rows["first", 0]["dropped"] == 0
    similar = site["first"].details(0)["similar"]
    assert ["first", 2] in [list(row[:2]) for row in similar]
    assert ["first", 1] not in [list(row[:2]) for row in similar]


@pytest.mark.parametrize(
    "call",
    [
        lambda unit: Curves({"hue": [0, 1]}, {"hue": np.ones((2, 2))}).rows(unit),
        lambda unit: Similar(("a",), *np.zeros((2, 2, 1), int), np.ones((2, 1)), 1).rows(unit),
        lambda unit: LinkSet(np.zeros((2, 1), int), *np.ones((2, 2, 1)), np.ones((2, 1, 1, 1))).rows("a", unit),
        lambda unit: Fields("a", "places", (8, 8), (2, 2), (4.0, 4.0), (2.0, 2.0), np.ones(2)).box(unit, 0),
    ],
    ids=["curves", "similar", "links", "fields"],
)
@pytest.mark.parametrize("unit", [-1, 2])
def test_a_unit_out_of_range_is_refused(call, unit):
    with pytest.raises(ValueError, match=f"unit is a whole number from 0 to 1, not {unit}"):
        call(unit)


def test_more_processes_than_the_machine_can_hold_are_refused(tmp_path, tiny_model):
    pictures = Pictures([np.zeros((8, 8, 3))], Preprocessing((8, 8)))
    with pytest.raises(ValueError, match="workers is a whole number from 0 to"):
        next(pictures.batches(1, workers=10**9))
    with pytest.raises(ValueError, match="workers is a whole number from 1 to"):
        make_site(tiny_model, tmp_path / "site", pictures, executor="processes", workers=10**9, verbose=False)


def test_each_picture_has_a_label(tmp_path):
    pictures = Pictures([np.zeros((8, 8, 3))] * 2, Preprocessing((8, 8)))
    with pytest.raises(ValueError, match="2 pictures have 1 labels"):
        picture_rows(pictures, {0: (8, 8), 1: (8, 8)}, ["a"])


def test_a_lost_shard_is_named(tmp_path, tiny_model):
    pictures = Pictures(np.zeros((2, 32, 32, 3)), Preprocessing((32, 32)))
    pooled = pool_activations(tiny_model, pictures, ["conv2d0"], tmp_path, verbose=False)["conv2d0"]
    pooled.shards[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"The shard .*safetensors of pooled activations is missing"):
        find_examples(pooled)


@pytest.mark.parametrize("number", [-1, 2])
def test_a_picture_out_of_range_is_refused(number):
    pictures = Pictures([np.zeros((8, 8, 3))] * 2, Preprocessing((8, 8)))
    for look in (pictures.original, pictures.label):
        with pytest.raises(ValueError, match=f"number is a whole number from 0 to 1, not {number}"):
            look(number)
