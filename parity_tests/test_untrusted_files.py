"""Files from strangers: nothing is started, fetched or written, and every error is one sentence."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
import urllib.request
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

import converters
from converters.schema import check
from lucid_port import modelzoo
from lucid_port.cli import main
from lucid_port.figures.base import catalogue
from lucid_port.figures.options import FigureOptions
from lucid_port.figures.run import Request, named_files
from lucid_port.misc.io import load
from lucid_port.misc.io.pictures import read_picture
from lucid_port.misc.offline import NetworkRefusedError, offline
from lucid_port.modelzoo.nets_factory import open_model
from lucid_port.modelzoo.vision_base import _manifest_layers
from lucid_port.optvis import checkpoints, objectives
from lucid_port.optvis.many.picture_folder import PictureFolder
from lucid_port.optvis.many.unit_spec import Unit
from lucid_port.optvis.recipe import Recipe, describe_model
from lucid_port.optvis.recipe_files import compare_pictures, read_document
from lucid_port.optvis.recipe_plan import Plan
from lucid_port.recipes.inputs import load_folder, load_image
from parity_tests.compatibility.fixtures import FOLDER

DEEP = "[" * 100_000


@pytest.fixture
def eps(tmp_path, monkeypatch):
    """An EPS file with the name of a PNG, and a list of Ghostscript's calls."""
    started: list[object] = []

    def start(*args: object, **_: object) -> Image.Image:
        started.append(args)
        return Image.new("L", (4, 4))

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    path = tmp_path / "picture.png"
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4)).save(buffer, "EPS")
    path.write_bytes(buffer.getvalue())
    return path, started


@pytest.mark.parametrize("read", [load, load_image, read_document, read_picture])
def test_ghostscript_is_never_started(eps, read):
    path, started = eps
    with pytest.raises((ValueError, OSError)):
        read(path)
    assert not started


def test_the_comparison_of_pictures_starts_nothing(eps):
    path, started = eps
    with pytest.raises(OSError, match=r"picture\.png cannot be read as a picture: its content is no picture"):
        compare_pictures(path, np.zeros((4, 5, 3)))
    assert not started


def test_a_picture_with_another_pictures_name_is_read(tmp_path):
    Image.new("RGB", (5, 4)).save(tmp_path / "a.png", "WEBP", lossless=True)
    assert load(tmp_path / "a.png").shape == (4, 5, 3)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_huge_picture_is_refused_in_one_sentence(tmp_path, monkeypatch, name):
    Image.new("RGB", (60, 50)).save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for read in (load, read_document):
        with pytest.raises(ValueError, match=f"{name} cannot be read.*too large"):
            read(tmp_path / name)


@pytest.mark.parametrize(("name", "text"), [("a.json", '{"b": 1}'), ("a.toml", "b = 1")])
def test_a_byte_order_mark_is_skipped(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert read_document(tmp_path / name) == {"b": 1}


@pytest.mark.parametrize(("name", "text"), [("a.json", DEEP), ("a.toml", f"a = {DEEP}")])
def test_deep_documents_are_refused_in_one_sentence(tmp_path, name, text, capsys):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name} is not valid (JSON|TOML): it nests too deeply"):
        read_document(tmp_path / name)
    assert main(["run", str(tmp_path / name)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_deep_comment_of_a_picture_is_that_of_another_program(tmp_path):
    Image.new("RGB", (5, 4)).save(tmp_path / "a.jpg", comment=("[" * 50_000).encode())
    with pytest.raises(ValueError, match="carries no recipe"):
        read_document(tmp_path / "a.jpg")


def test_a_deep_description_of_a_model_is_refused(tmp_path):
    (tmp_path / "model.json").write_text(DEEP, encoding="utf-8")
    with pytest.raises(converters.GraphError, match=r"model\.json is not valid JSON: it nests too deeply"):
        converters.load(tmp_path)


def test_a_deep_manifest_of_a_model_is_refused(tmp_path):
    from lucid_port.modelzoo.saving import read_manifest

    (tmp_path / "manifest.json").write_text(DEEP, encoding="utf-8")
    with pytest.raises(ValueError, match="it nests too deeply"):
        read_manifest(tmp_path / "manifest.json")


def test_pickled_arrays_are_unsafe(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_unsafe_formats=True"):
        load(tmp_path / "a.npy", allow_pickle=True)
    assert load(tmp_path / "a.npy", allow_unsafe_formats=True, allow_pickle=True)[0] == {"a": 1}


# Recipes -----------------------------------------------------------------------------------------

PLAN = {"model": "TinyInceptionV1", "units": "mixed3a:1"}
RECIPE = {
    "lucid_port_recipe": 1,
    "model": {"name": "TinyInceptionV1", "in_catalogue": True, "source": None, "fingerprint": "0"},
    "objective": {"objective": "channel", "args": {"layer": "mixed3a", "n_channel": 1}},
    "image": {"param": "image", "args": {"w": 24}},
    "transforms": {"transform": "compose", "args": {"transforms": []}},
    "optimizer": {"optimizer": "SGD", "args": {"lr": 1.0}},
    "steps": 1,
    "seeds": {"seed": 0, "seeds": None, "per_image": False},
    "relu_gradient_override": True,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 0}, "size is a whole number from 1 on or nothing, not 0"),
        ({"size": "big"}, "size"),
        ({"size": True}, "size"),
        ({"steps": 2.0}, "steps is a whole number from 1 on, not 2.0"),
        ({"bgr": "no"}, "bgr is true or false or nothing, not 'no'"),
        ({"bgr": 1}, "bgr"),
        ({"sheet": "no"}, "sheet is true or false, not 'no'"),
        ({"per_image": 0}, "per_image"),
        ({"compile": "yes"}, "compile"),
        ({"seed": -1}, "seed"),
        ({"seeds": [1, "2"]}, "seeds has item 1, which is a whole number from 0 on, not '2'"),
        ({"lr": "0.1"}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"precision": "float16"}, "precision is 'float32' or 'tf32' or 'bf16', not 'float16'"),
        ({"transforms": "none"}, "transforms"),
        ({"relu_gradient_override": "sometimes"}, "relu_gradient_override"),
        ({"value_range": "01"}, "value_range"),
        ({"output": 3}, "output"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_every_setting_of_a_plan_is_checked(change, words):
    with pytest.raises(ValueError, match=words):
        Plan.from_document({**PLAN, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": 1}, "no key 'step'.*steps"),
        ({"model": "TinyInceptionV1"}, "model is a table"),
        ({"model": {**RECIPE["model"], "source": 3}}, "model has 'source', which is a text or nothing, not 3"),
        ({"model": {**RECIPE["model"], "url": "x"}}, "model has no key 'url'"),
        ({"model": {"name": "a"}}, "model lacks fingerprint"),
        ({"image": [1]}, "image"),
        ({"steps": True}, "steps"),
        ({"seeds": {"seed": "0"}}, "seeds has 'seed', which"),
        ({"compile": 0}, "compile"),
        ({"picture": -1}, "picture"),
        ({"value": "high"}, "value"),
        ({"made_with": {"threads": 0}}, "threads"),
        ({"made_with": {"threads": "4"}}, "threads"),
        ({"own_code": "mine"}, "own_code"),
    ],
)
def test_every_field_of_a_recipe_is_checked(change, words):
    with pytest.raises(ValueError, match=words):
        Recipe.from_data({**RECIPE, **change})


def test_the_recipe_and_the_plan_of_these_tests_are_valid():
    assert Recipe.from_data(RECIPE).steps == 1
    assert Plan.from_document(PLAN).size is None


# Figures -----------------------------------------------------------------------------------------

FIGURE = {"lucid_port_figure": 1, "figure": "fv-channel", "model": "TinyInceptionV1"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": 3}, "no key 'step'.*steps"),
        ({"fast": "no"}, "fast is true or false, not 'no'"),
        ({"seed": True}, "seed"),
        ({"steps": "3"}, "steps"),
        ({"like": 3}, "like"),
        ({"image": ["a.png"]}, "image"),
        ({"options": {"unit": ["a:1"]}}, "options has no key 'unit'"),
        ({"options": {"units": [None]}}, "options has 'units', which has item 0"),
        ({"options": {"size": "9"}}, "options has 'size', which is a whole number"),
        ({"options": {"whiten": 1}}, "options has 'whiten', which is true or false"),
        ({"made_with": {"threads": "many"}}, "threads"),
        ({"image": "http://localhost/a.png"}, "names the address http://localhost/a.png"),
        ({"options": {"style": "https://localhost/a.png"}}, "names the address"),
    ],
)
def test_every_field_of_a_figure_is_checked(change, words):
    with pytest.raises(ValueError, match=words):
        Request.from_data({**FIGURE, **change})


def test_the_options_of_all_figures_are_known():
    for one in catalogue().values():
        for options in [*one.options.values(), one.fast_options]:
            check(options, FigureOptions, one.name)


def test_a_figure_looks_at_pictures_only(tmp_path, monkeypatch):
    """Other files are not opened, and folders in folders are not walked."""
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "deep" / "b.png")
    monkeypatch.setattr(Path, "rglob", lambda *_: pytest.fail("it walks the disk"))
    found = named_files(Request("aa-mini-atlas", image=str(tmp_path)))[str(tmp_path)]
    assert [Path(name).name for name, *_ in found] == ["a.png"]
    assert named_files(Request("dp-style-transfer", image=str(tmp_path / "secret.txt"))) == {}
    assert named_files(Request("fv-channel", options={"layer": str(tmp_path)})) == {}


def test_a_figure_names_the_same_file_for_its_key(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    path = str(tmp_path / "a.png")
    assert list(named_files(Request("dp-style-transfer", image=path, options={"style": path}))) == [path]


@pytest.mark.parametrize("stated", [100_000, 1])
def test_the_threads_of_a_recipe_are_bounded_by_the_machine(tmp_path, monkeypatch, stated):
    from lucid_port.modelzoo.nets_factory import get_model
    from lucid_port.optvis.fingerprints import fingerprint

    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    model = {**RECIPE["model"], "fingerprint": fingerprint(get_model("TinyInceptionV1").network)}
    document = {**RECIPE, "model": model, "made_with": {"threads": stated}}
    (tmp_path / "a.json").write_text(json.dumps(document), encoding="utf-8")
    assert main(["rerender", str(tmp_path / "a.json")]) == 0
    assert asked[0] == min(stated, os.cpu_count())


# The network -------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """A server on this machine, and the list of its requests."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}", asked
        one.shutdown()


@pytest.fixture
def networked(server, monkeypatch):
    """timm's function in the place of one that asks a server for weights, and the list of requests."""
    address, asked = server

    def fetch(name: str, **_: object) -> None:
        urllib.request.urlopen(f"{address}/{name}", timeout=10)

    monkeypatch.setattr(modelzoo, "timm", fetch)
    return asked


@pytest.mark.parametrize("source", ["plan", "recipe", "figure"])
def test_no_recipe_reaches_the_network(tmp_path, capsys, networked, source):
    documents = {
        "plan": {**PLAN, "model": "timm:resnet18"},
        "recipe": {**RECIPE, "model": {"name": "resnet", "source": "timm:resnet18", "fingerprint": "0"}},
        "figure": {**FIGURE, "model": "timm:resnet18", "options": {"units": ["a:1"]}},
    }
    (tmp_path / "a.json").write_text(json.dumps(documents[source]), encoding="utf-8")
    assert main(["run", str(tmp_path / "a.json"), "-o", str(tmp_path / "a.png")]) == 1
    assert "timm:resnet18 is not on this machine, and recipes download nothing" in capsys.readouterr().err
    assert not networked
    assert main(["layers", "timm:resnet18"]) == 1
    assert networked == ["/resnet18"]  # the user's own words are consent


def test_rerender_does_not_reach_the_network(tmp_path, capsys, networked):
    document = {**RECIPE, "model": {"name": "resnet", "source": "timm:resnet18", "fingerprint": "0"}}
    (tmp_path / "a.json").write_text(json.dumps(document), encoding="utf-8")
    assert main(["rerender", str(tmp_path / "a.json")]) == 1
    assert "recipes download nothing" in capsys.readouterr().err
    assert not networked


def test_the_network_is_as_before_after_a_block(server):
    address, asked = server
    with pytest.raises(NetworkRefusedError, match=r"^No\.$"), offline("No"):
        load(f"{address}/a.txt")
    with pytest.raises(KeyError), offline("No"):
        raise KeyError
    assert asked == []
    with pytest.raises(OSError, match="404"):
        load(f"{address}/a.txt")
    assert asked == ["/a.txt"]


def test_a_library_that_catches_the_refusal_goes_on(server):
    address, asked = server
    with offline("No"):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=10)
        cached = 3
    assert (cached, asked) == (3, [])


# Saved models and folders of pictures ------------------------------------------------------------

MODELS = FOLDER / "models"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.update(fold="no"), "fold is true or false, not 'no'"),
        (lambda data: data.update(extra=1), "no key 'extra'"),
        (lambda data: data["metadata"].update(is_BGR="no"), "is_BGR"),
        (lambda data: data["metadata"].update(author="x"), "metadata has no key 'author'"),
        (lambda data: data["steps"][0].update(name=3), "name is a text, not 3"),
        (lambda data: data["steps"][0].update(hidden="yes"), "hidden"),
        (lambda data: data["steps"][0].update(path="/"), "no key 'path'"),
        (lambda data: data.update(steps="none"), "steps"),
    ],
)
def test_every_field_of_a_saved_model_is_checked(tmp_path, change, words):
    shutil.copytree(MODELS / "blocks", tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    change(data)
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(converters.GraphError, match=words):
        converters.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data["units"][0].update(stem="../outside"), "no file name"),
        (lambda data: data["units"][0].update(file="../outside.png"), "not the unit's"),
        (lambda data: data["units"][0].update(comparable="yes"), "comparable"),
        (lambda data: data["units"][0].pop("bytes"), "lacks bytes"),
        (lambda data: data.update(grid=[1]), "grid"),
        (lambda data: data.update(settings=None), "settings"),
        (lambda data: data.update(more=1), "no key 'more'"),
        (lambda data: data.update(format=True), "format"),
    ],
)
def test_every_field_of_a_folders_manifest_is_checked(tmp_path, change, words):
    shutil.copytree(FOLDER / "plans" / "units", tmp_path / "units")
    file = tmp_path / "units" / "manifest.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    change(data)
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ValueError, match=f"is not a readable list of renders.*{words}"):
        PictureFolder(tmp_path / "units", data["settings"] or {}, sheet=True, overwrite=False)


def test_names_that_differ_by_case_only_get_different_files(tmp_path):
    folder = PictureFolder(tmp_path / "units", {}, sheet=False, overwrite=False)
    stems = []
    for layer in ("Layer", "layer", "LAYER"):
        unit = Unit((layer,), 1, objectives.channel(layer, 1))
        stems.append(folder._stem(layer, unit))
        folder.entries[layer] = {"stem": stems[-1]}
    folder.close()
    assert len({stem.casefold() for stem in stems}) == 3


def test_damaged_decisions_of_a_run_begin_anew(tmp_path):
    for text in ("{", "[1]", DEEP):
        with contextlib.suppress(KeyboardInterrupt), checkpoints.kept(tmp_path / "a", {"b": 1}) as folder:
            assert checkpoints.Decision("size", lambda: 4).result == 4
            (folder.path / "render-0001.pt").write_bytes(b"a state")
            raise KeyboardInterrupt
        (tmp_path / "a" / "decisions.json").write_text(text)
        with checkpoints.kept(tmp_path / "a", {"b": 1}) as folder:
            assert not folder.holds_something
            assert checkpoints.Decision("size", lambda: 5).result == 5


def test_imports_do_not_draw_random_numbers():
    code = (
        "import random, numpy, torch;"
        "state = lambda: (random.getstate(), numpy.random.get_state()[1].tobytes(), torch.get_rng_state().tolist());"
        "before = state(); import lucid_port.optvis.render, lucid_port.recipes.inputs, lucid_port.figures.run;"
        "from lucid_port.figures.base import catalogue; catalogue();"
        "assert state() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


# The process -------------------------------------------------------------------------------------


def _process(code: str, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, **options)  # type: ignore[call-overload]


PRINTING = "import sys; from lucid_port.cli import app, main; sys.modules['lucid_port.cli.app'].app = "


@pytest.mark.parametrize(
    "code",
    [
        "import sys; from lucid_port.cli import main; sys.exit(main(['layers', 'TinyInceptionV1']))",
        f"{PRINTING}lambda *_, **__: print('a'); sys.exit(main())",  # Python writes it at the end
    ],
)
def test_a_reader_that_has_gone_is_no_error(code):
    read, write = os.pipe()
    os.close(read)
    process = _process(code, stdout=write)
    os.close(write)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (141, b"")


def test_a_second_interruption_is_quiet():
    """The second Ctrl-C arrives while the interpreter ends."""
    code = (
        "import atexit, os, signal, sys\n"
        "from lucid_port.cli import app, main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "def stop(*args, **kwargs): raise KeyboardInterrupt\n"
        "sys.modules['lucid_port.cli.app'].app = stop\n"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "sys.exit(main())"
    )
    process = _process(code)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (130, b"error: interrupted\n")


@pytest.mark.parametrize("output", ["/tmp/a", "../a", "a/../../b", "", None])
def test_a_plan_writes_into_the_current_folder_only(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="where to write"):
        Plan.from_document({**PLAN, "output": output}).target()
    assert Plan.from_document({**PLAN, "output": "a/b.png"}).target() == Path("a/b.png")


@pytest.mark.parametrize("output", ["a\nb", "a\x1b[2J.png", "a\u2028b.png", "\ud800"])
def test_the_output_of_a_plan_is_printable(output):
    with pytest.raises(ValueError, match="characters that are not printed"):
        Plan.from_document({**PLAN, "output": output}).target()


@pytest.mark.parametrize("labels", ["abc", [1, 2], 3])
def test_labels_are_a_list_of_texts(labels):
    with pytest.raises(TypeError, match="label"):
        open_model("TinyInceptionV1", labels=labels)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 224, 224), r"give \(224, 224, 3\), with the channels last"),
        ((224, 224), r"is \(height, width, channels\), not \(224, 224\)"),
        ((0, 224, 3), "Every size of image_shape is a whole number from 1 on"),
        ((224.5, 224, 3), "Every size of image_shape is a whole number"),
        ("abc", "image_shape"),
    ],
)
def test_the_shape_of_a_networks_images_has_the_channels_last(shape, words):
    with pytest.raises((TypeError, ValueError), match=words):
        open_model("TinyInceptionV1", image_shape=shape)


# Pictures that need much memory, and files that are no files --------------------------------------


@pytest.mark.parametrize(("mode", "size"), [("1", (13_000, 12_000)), ("L", (6_000, 6_000)), ("RGB", (5_000, 6_000))])
def test_a_small_file_of_a_large_picture_is_refused(tmp_path, mode, size):
    Image.new(mode, size).save(tmp_path / "a.png")
    for read in (load, load_image):
        with pytest.raises(ValueError, match=r"a\.png cannot be read as \.png: its \d+ x \d+ pixels need \d+ MB"):
            read(tmp_path / "a.png")


def test_the_memory_of_a_picture_is_bounded_by_its_file(tmp_path, monkeypatch):
    pixels = np.random.RandomState(0).randint(0, 256, (300, 401, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    Image.new("RGB", (401, 300)).save(tmp_path / "black.png")
    monkeypatch.setattr("lucid_port.misc.io.pictures.MEMORY", 1000)
    assert load(tmp_path / "noise.png").shape == (300, 401, 3)
    with pytest.raises(ValueError, match="make the picture smaller"):
        load(tmp_path / "black.png")


def _photograph(path: Path, width: int, height: int) -> None:
    """A JPEG of repeated noise, with about as many bytes for each pixel as a photograph has."""
    noise = np.random.RandomState(0).randint(100, 156, (height // 50, width // 50, 3)).astype(np.uint8)
    Image.fromarray(np.tile(noise, (50, 50, 1))).save(path, quality=50)


def test_a_photograph_of_50_megapixels_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    _photograph(path, 8000, 6250)
    assert 0.1 < path.stat().st_size / 50e6 < 0.6
    assert load(path).shape == (6250, 8000, 3)
    tracemalloc.start()
    try:
        assert load_image(path, (75, 96)).shape == (75, 96, 3)
        floats = 4 * 3 * 50e6
        assert tracemalloc.get_traced_memory()[1] < floats / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [(10_000, 10_000), (13_000, 13_000)])
def test_pillow_does_not_warn_of_pictures_that_are_checked_here(tmp_path, size):
    Image.new("1", size).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"need \d+ MB of memory"):
            load_image(tmp_path / "a.png", 8)


def test_pictures_are_converted_in_parts_of_rows():
    pixels = np.random.RandomState(0).randint(0, 256, (131, 7, 3)).astype(np.uint8)
    assert np.array_equal(load_image(Image.fromarray(pixels)), pixels.astype(np.float32) / np.float32(255))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "a.pb")
    for read in (load, load_image):
        with pytest.raises(ValueError, match=r"a\.png is a pipe or a device"):
            read(tmp_path / "a.png")
    with pytest.raises(converters.GraphError, match=r"a\.pb is a pipe or a device"):
        converters.open_source(tmp_path / "a.pb")
    with pytest.raises(ValueError, match="has no picture"):
        load_folder(tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no such device")
def test_devices_are_no_models():
    with pytest.raises(converters.GraphError, match="/dev/zero is a pipe or a device"):
        Recipe.from_data({**RECIPE, "model": {**RECIPE["model"], "source": "/dev/zero"}}).open_model()


def test_a_refused_download_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(tmp_path))
    with pytest.raises(NetworkRefusedError, match="recipes download nothing"):
        Plan.from_document({**PLAN, "model": "InceptionV1"}).open_model()
    assert not (tmp_path / "cache").exists()


# Operations that fail on a recipe's values --------------------------------------------------------


def _rendering(**changes: object) -> dict[str, object]:
    image = {"param": "image", "args": {"w": 24}}
    objective = {"objective": "channel", "args": {"layer": "mixed3a", "n_channel": 1}}
    transforms = {"transform": "compose", "args": {"transforms": []}}
    optimizer = {"optimizer": "TFAdam", "args": {"lr": 0.05}}
    return {
        **RECIPE,
        "image": image,
        "objective": objective,
        "optimizer": optimizer,
        "transforms": transforms,
        **changes,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"image": {"param": "joined", "args": {"parts": [[1]]}}},
            "args of param 'joined' in the recipe do not fit it",
        ),
        ({"image": {"param": "pixel_image", "args": {"shape": [2, 33, 41, 3] + [33] * 90}}}, "pixel_image.*not fit"),
        ({"picture": 1}, "of picture 1, but its batch has only 1 pictures"),
    ],
)
def test_operations_that_fail_on_a_recipe_are_one_sentence(change, words):
    recipe = Recipe.from_data(_rendering(**change))
    with pytest.raises((ValueError, TypeError), match=words) as found:
        recipe.render(open_model("TinyInceptionV1"))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ({"optimizer": {"w": 3}, "args": {}}, "optimizer .* is none of"),
        ({"optimizer": ["SGD"]}, "optimizer .* is none of"),
        ({"optimizer": "SGD", "args": {"lr": [2.0]}}, "args of the recipe's optimizer SGD do not fit it"),
        ({"optimizer": "SGD", "args": {"lr": -1}}, "args of the recipe's optimizer SGD do not fit it"),
        ({"optimizer": "Adam", "args": {"betas": [0.9]}}, "args of the recipe's optimizer Adam do not fit it"),
    ],
)
def test_optimizers_that_do_not_fit_are_one_sentence(tmp_path, optimizer, words):
    model = open_model("TinyInceptionV1")
    plan = Plan.from_document({**PLAN, "optimizer": optimizer})
    recipe = Recipe.from_data(_rendering(optimizer=optimizer))
    for render in (lambda: plan.run(tmp_path / "a.png", model, []), lambda: recipe.render(model)):
        with pytest.raises((ValueError, TypeError), match=words) as found:
            render()
        assert "\n" not in str(found.value)


def test_a_value_range_of_a_number_and_a_row_is_recorded():
    """Otherwise the picture is lost after its render."""
    model = open_model("TinyInceptionV1", image_value_range=(-1, [1, 2, 3]))
    recorded = describe_model(model)["image_value_range"]
    assert recorded == [[-1, -1, -1], [1, 2, 3]]
    assert describe_model(open_model("TinyInceptionV1", image_value_range=recorded))["image_value_range"] == recorded
    assert describe_model(open_model("TinyInceptionV1"))["image_value_range"] == [-117, 138]


def test_a_recipe_without_such_values_is_rendered():
    assert Recipe.from_data(_rendering()).render(open_model("TinyInceptionV1")).shape == (24, 24, 3)


@pytest.mark.parametrize("layers", [3, "mixed3a", [3], [{"name": "a"}]])
def test_the_layers_of_a_models_manifest_are_names_or_objects(layers):
    with pytest.raises(ValueError, match="layers are names, or objects with name, depth and tags"):
        _manifest_layers(layers, "model")


def test_a_number_with_hundreds_of_digits_is_refused():
    with pytest.raises(ValueError, match="lr is a finite number or nothing, not 9999"):
        Plan.from_document({**PLAN, "lr": int("9" * 400)})
