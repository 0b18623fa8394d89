"""Documents from strangers with deep values, long texts, large numbers and special files."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from converters.documents import MOST_LEVELS, check_depth, read_json
from converters.paths import LONGEST, user_path
from lucid_port.cli import main
from lucid_port.figures.base import find_figure
from lucid_port.figures.run import Request, named_files
from lucid_port.misc.io import load
from lucid_port.misc.offline import NetworkRefusedError, offline
from lucid_port.modelzoo import libraries
from lucid_port.modelzoo.catalogue import entry
from lucid_port.modelzoo.classes import class_number
from lucid_port.modelzoo.get_activations import get_activations
from lucid_port.modelzoo.nets_factory import open_model
from lucid_port.modelzoo.saving import read_manifest
from lucid_port.optvis import objectives, param
from lucid_port.optvis.recipe import Recipe, make_optimizer, missing_model
from lucid_port.optvis.recipe_files import compare_pictures
from lucid_port.optvis.serialization import factory, from_data, to_data
from lucid_port.optvis.transform import as_transform
from parity_tests.fuzzing import documents

LONG = "a" * 100_000
MEMORY = Path("/proc/self/mem")  # a file that opens, and whose first byte cannot be read


def _nested(levels: int) -> object:
    data: object = 1
    for _ in range(levels):
        data = [data]
    return data


def test_the_levels_of_a_document_are_counted(tmp_path):
    path = tmp_path / "a.json"
    for levels in (0, 1, MOST_LEVELS):
        path.write_text(json.dumps(_nested(levels)))
        assert read_json(path) == _nested(levels)
    path.write_text(json.dumps({"a": _nested(MOST_LEVELS)}))
    with pytest.raises(ValueError, match=r"a\.json is not valid JSON: it nests too deeply\.$"):
        read_json(path)
    with pytest.raises(ValueError, match="it nests too deeply"):
        check_depth({"a": [{"b": _nested(MOST_LEVELS - 2)}]})


def test_a_difference_of_many_objectives_has_few_enough_levels():
    one = objectives.channel("mixed3a", 0)
    for number in range(1, 100):
        one = one - objectives.channel("mixed3a", number)
    data = to_data(one)
    check_depth(json.loads(json.dumps(data)))
    assert to_data(from_data(data)) == data


def test_deep_plain_data_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"^The recipe cannot be read: it nests too deeply\.$"):
        from_data({"param": "image", "args": {"w": _nested(900)}})


LONG_VALUES = {
    "format": lambda: Recipe.from_data({"lucid_port_recipe": [0] * 5000}),
    "factory": lambda: factory("param", LONG),
    "argument": lambda: from_data({"param": "image", "args": {LONG: 1}}),
    "arguments": lambda: from_data({"param": LONG, "args": 1}),
    "optimizer": lambda: make_optimizer({"optimizer": "SGD", "args": {LONG: 1}}),
    "setting": lambda: make_optimizer({"optimizer": "SGD", "args": {"lr": int("9" * 4000)}}),
    "model": lambda: entry(LONG),
    "figure": lambda: find_figure(LONG),
    "class": lambda: class_number(open_model("TinyInceptionV1"), LONG),
    "path": lambda: user_path(LONG),
    "picture": lambda: named_files(Request("fv-channel", image=LONG)),
    "file": lambda: load(LONG),
}


@pytest.mark.parametrize("what", LONG_VALUES)
def test_long_values_are_shown_in_part(what):
    with pytest.raises((ValueError, OSError)) as found:
        LONG_VALUES[what]()
    assert len(str(found.value)) < 1500
    assert "\n" not in str(found.value)


def test_the_name_of_a_missing_model_is_shown_in_part():
    assert len(missing_model(LONG)) < 1500


def test_paths_up_to_the_limit_of_the_system_are_kept():
    assert user_path("a/" * (LONGEST // 2 - 1)).name == "a"
    with pytest.raises(OSError, match="aaa") as found:
        user_path("a" * (LONGEST + 1))
    assert found.value.errno == errno.ENAMETOOLONG


@pytest.mark.skipif(not MEMORY.exists(), reason="this system has no such file")
@pytest.mark.parametrize("read", [open_model, read_json, read_manifest, load])
def test_errors_of_reads_name_the_file(tmp_path, read):
    path = tmp_path / "a.json"
    path.symlink_to(MEMORY)
    with pytest.raises(OSError, match=r"Input/output error: .*a\.json") as found:
        read(str(path))
    assert found.value.filename == str(path)


def test_large_settings_of_an_optimizer_are_refused():
    """torch raises an error of its own in the first step."""
    values = [torch.zeros(3, requires_grad=True)]
    make_optimizer({"optimizer": "SGD", "args": {"lr": 2**63 - 1}})(values)
    for settings in ({"lr": 2**63}, {"lr": 1, "momentum": -(2**64)}):
        with pytest.raises(ValueError, match=r"optimizer SGD has the (lr|momentum) -?\d+: torch takes numbers"):
            make_optimizer({"optimizer": "SGD", "args": settings})
    with pytest.raises(ValueError, match="optimizer Adam has the betas"):
        make_optimizer({"optimizer": "Adam", "args": {"betas": [2**70, 0]}})


@pytest.mark.parametrize("other", [param.image(8), objectives.channel("mixed3a", 1)], ids=["image", "objective"])
def test_images_and_objectives_are_no_transforms(other):
    with pytest.raises(TypeError, match="A transform is a Transform or a function of an image"):
        as_transform(other)


# Downloads ---------------------------------------------------------------------------------------


def test_no_folder_is_made_for_a_download_that_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(NetworkRefusedError, match=r"^No\.$"), offline("No"):
        libraries.check_download("https://localhost/weights.pth")
    assert not list(tmp_path.iterdir())
    libraries.check_download("https://localhost/weights.pth")  # nothing is refused outside of the block
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "weights.pth").touch()
    with offline("No"):
        libraries.check_download("https://localhost/weights.pth")
        libraries.check_download(None)


@pytest.mark.parametrize("source", ["torchvision:resnet18", "timm:legacy_seresnet18"])
def test_a_model_with_weights_at_an_address_makes_no_folder(tmp_path, monkeypatch, source):
    pytest.importorskip(source.partition(":")[0])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(NetworkRefusedError, match="not on this machine"), offline(missing_model(source)):
        open_model(source)
    assert not (tmp_path / "home").exists()


# Arrays ------------------------------------------------------------------------------------------


HALF = np.full((2, 3, 1), 0.5, np.float32)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (HALF, "the same, bit for bit"),
        (HALF + np.float32(0.25), "100.0% of the values differ, by up to 0.25"),
        (HALF > 0, "100.0% of the values differ, by up to 0.5"),
        (HALF[:1], "another size, [2, 3, 1] instead of [1, 3, 1]"),
        (HALF.astype("S3"), "another type, float32 instead of |S3"),
    ],
)
def test_arrays_are_compared(tmp_path, there, words):
    np.save(tmp_path / "a.npy", there)
    assert compare_pictures(tmp_path / "a.npy", HALF) == words


def test_arrays_of_texts_are_no_tensors():
    with pytest.raises(TypeError, match=r"^An array of numbers is needed, not one of <U1\.$"):
        param.bilinearly_sampled_image(np.zeros((4, 4, 3)), np.array([["a", "b"]]))
    with pytest.raises(TypeError, match=r"dtype is a dtype of NumPy.*, not "):
        get_activations(open_model("TinyInceptionV1"), "mixed3a", np.zeros((1, 8, 8, 3)), dtype=_nested(900))


@pytest.mark.parametrize("shape", [(4, 0, 3), (0, 4, 3)])
def test_a_texture_has_pixels(shape):
    with pytest.raises(ValueError, match="takes a texture"):
        param.bilinearly_sampled_image(np.zeros(shape), [[0.5, 0.5]])


def test_a_damaged_array_is_one_sentence_of_rerender(tmp_path, capsys):
    path = tmp_path / "a.npy"
    assert main(["render", "TinyInceptionV1", "mixed3a:1", "--steps", "1", "--size", "24", "-o", str(path)]) == 0
    path.write_bytes(path.read_bytes()[:200])
    capsys.readouterr()
    assert main(["rerender", str(path)]) == 1
    assert re.search(r"a\.npy cannot be read as \.npy", capsys.readouterr().err)


# The fuzzer --------------------------------------------------------------------------------------


def test_mutations_change_no_constants():
    """Otherwise a file depends on the files before it, and a tree can come to contain itself."""
    before = repr(documents.PLAIN)
    for seed in range(300):
        tree = {"a": [1, {"b": "x"}], "c": {"d": [None, 2.5]}}
        documents.change_tree(tree, Random(seed))
        documents.json_text(tree)
    assert repr(documents.PLAIN) == before
