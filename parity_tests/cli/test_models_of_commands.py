"""Models of commands: networks of libraries, and functions of the user's modules."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from lucid_port.cli import main
from parity_tests.strangers import graph_file

MODULE = """
import torch
from torch import nn
from lucid_port.modelzoo import from_torch

calls = []

def small():
    calls.append("small")
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2))

def model():
    return from_torch(small(), mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), image_shape=(20, 24, 3))

def gray():
    return nn.Sequential(nn.Conv2d(1, 4, 3))

def two():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3))

def five():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(5, 4, 3))

def other():
    torch.manual_seed(1)
    return small()[:1]

number = 3

class Holder:
    @staticmethod
    def small():
        return small()

def nothing():
    return None
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module `user_networks` in the current folder."""
    (tmp_path / "user_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield tmp_path
    assert sys.path == before
    sys.modules.pop("user_networks", None)


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def error(capsys) -> str:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err.strip().splitlines()[-1]


def rows(capsys):
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_layers_of_a_function(module, capsys):
    assert run("layers", "user_networks:small") == 0
    assert rows(capsys)[1:] == [["0", "Conv2d", "8"], ["1", "ReLU", "8"], ["2", "Conv2d", "4"]]
    assert run("layers", "user_networks:Holder.small", "--grep", "2") == 0


def test_sizes_of_a_function(module, capsys):
    assert run("layers", "user_networks:small", "--sizes", "--image-shape", "20,30,3", "--json") == 0
    last = json.loads(capsys.readouterr().out)[-1]
    assert last == {"name": "2", "op": "Conv2d", "channels, size": "4, 9 x 14", "stride": "2", "receptive field": "5"}
    assert run("layers", "user_networks:small", "--sizes", "--grep", "zzz") == 2


def test_sizes_of_a_model_of_a_function(module, capsys):
    assert run("layers", "user_networks:model", "--sizes", "--grep", "1") == 0
    assert rows(capsys)[1][2] == "8, 20 x 24"


@pytest.mark.parametrize("options", [("--value-range=-2.5,2.5",), ("--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2")])
def test_a_render_of_a_function_is_that_of_its_model(module, options, capsys):
    common = ("2:1", "--size", 20, "--steps", 3)
    assert run("render", "user_networks:small", *common, *options, "-o", "a.png") == 0
    assert run("render", "user_networks:model", *common, "-o", "b.png") == 0
    a, b = (json.loads((module / name).read_text()) for name in ("a.png.json", "b.png.json"))
    assert a["value"] == pytest.approx(b["value"], rel=1e-4)
    assert (a["model"]["source"], b["model"]["source"]) == ("user_networks:small", "user_networks:model")


def test_a_network_without_a_value_range(module, capsys):
    assert run("render", "user_networks:small", "2:1", "-o", "a.png") == 1
    assert "give --value-range 0,1, or --mean and --std" in error(capsys)


def test_channels_other_than_three(module, capsys):
    assert run("render", "user_networks:gray", "0:1", "-o", "a.png", "--value-range=0,1") == 1
    assert "image_shape=(height, width, 1)" in error(capsys)


@pytest.mark.parametrize(("name", "channels"), [("two", 2), ("five", 5)])
@pytest.mark.parametrize(("unit", "path"), [("0:1", "a.png"), ("0:0-1", "a")])
def test_a_picture_of_other_channels_is_refused_before_the_first_step(
    module, name, channels, unit, path, capsys, monkeypatch
):
    from lucid_port.optvis.engine.vis import VisT

    monkeypatch.setattr(VisT, "step", lambda vis: pytest.fail("a step was made"))
    options = ("--value-range=0,1", "--image-shape", f"12,12,{channels}", "-o", path)
    assert run("render", f"user_networks:{name}", unit, *options) == 1
    assert f"The image has {channels} channels, and a picture has 1, 3 or 4" in (said := error(capsys))
    assert ".npy" in said


@pytest.mark.parametrize(("name", "channels"), [("two", 2), ("five", 5)])
def test_an_array_holds_an_image_of_other_channels(module, name, channels, capsys):
    options = ("--value-range=0,1", "--image-shape", f"12,12,{channels}", "--size", 12, "--steps", 2)
    assert run("render", f"user_networks:{name}", "0:1", *options, "-o", "a.npy") == 0
    made = np.load(module / "a.npy")
    assert (made.shape, made.dtype) == ((12, 12, channels), np.float32)
    capsys.readouterr()
    assert run("render", f"user_networks:{name}", "0:0-1", *options, "-o", "a.npy") == 1
    assert "several units" in error(capsys)


def test_an_unknown_extension_lists_those_that_a_render_takes(module, capsys):
    assert run("render", "user_networks:small", "0:1", "--value-range=0,1", "-o", "u.xyz") == 1
    said = error(capsys)
    for suffix in (".png", ".jpg", ".jpeg", ".webp", ".npy"):
        assert suffix in said
    assert ".pickle" not in said
    assert ".json" not in said


def test_a_recipe_stores_the_image_shape_and_the_value_range_of_a_function(module, capsys):
    options = ("--mean", "0.5,0.4,0.5,0.5", "--std", "0.2,0.2,0.2,0.1", "--image-shape", "14,16,4")
    module.joinpath("user_networks.py").write_text(MODULE.replace("Conv2d(5, 4, 3)", "Conv2d(4, 4, 3)"))
    sys.modules.pop("user_networks", None)
    assert run("render", "user_networks:five", "0:1", "--size", 12, "--steps", 2, *options, "-o", "a.png") == 0
    for again in ((), options):
        capsys.readouterr()
        assert run("rerender", "a.png", "--model", "user_networks:five", *again) == 0
        assert "bit for bit" in capsys.readouterr().out
    assert run("run", "a.png", "-o", "b.png", "--model", "user_networks:five") == 0
    assert (module / "b.png").read_bytes() == (module / "a.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "unit"),
    [
        ("slim_switches", ("--set", "phase_train=false"), "c1/Relu:1"),
        ("encoded_picture", ("--input-name", "Mul"), "relu:1"),
        ("loss_behind_logits", ("--outputs", "relu", "--input-name", "x"), "relu:1"),
    ],
)
def test_a_recipe_stores_the_options_of_a_file(name, options, unit, tmp_path, capsys):
    path, again = tmp_path / "a.png", tmp_path / "b.png"
    common = ("--value-range=0,1", "--size", 24, "--steps", 2, "--no-transforms")
    assert run("render", graph_file(name), unit, *common, *options, "-o", path) == 0
    capsys.readouterr()
    assert run("rerender", path) == 0
    assert "bit for bit" in capsys.readouterr().out
    assert run("run", path, "-o", again) == 0
    assert again.read_bytes() == path.read_bytes()
    recipe = json.loads((tmp_path / "a.png.json").read_text())
    del recipe["model"]["options"]  # a recipe of an older version
    (tmp_path / "old.json").write_text(json.dumps(recipe))
    assert run("rerender", tmp_path / "old.json", *options, "-o", again, "--overwrite") == 0
    assert run("run", tmp_path / "old.json", *options, "-o", again) == 0


def test_a_recipe_chooses_no_programs_and_files(tmp_path):
    from lucid_port.optvis.recipe import opening_options

    stated = {"options": {"tensorflow_python": "/bin/sh", "keep_pb": "a.pb", "prototxt": "a", "input_name": "x"}}
    assert opening_options(stated) == {"image_value_range": None, "is_BGR": None, "input_name": "x"}


def test_a_plan_takes_the_options_of_its_file(tmp_path, capsys):
    plan = tmp_path / "plan.toml"
    graph = graph_file("slim_switches")
    plan.write_text(f'model = "{graph}"\nunits = "c1/Relu:0"\nsize = 24\nsteps = 2\ntransforms = []\n')
    options = ("--set", "phase_train=false", "--value-range=0,1", "-o", tmp_path / "a.png")
    assert run("run", plan, *options) == 0


def test_a_recipe_runs_no_function_unless_the_command_names_it(module, capsys):
    assert (
        run("render", "user_networks:small", "0:1", "--size", 12, "--steps", 2, "-o", "a.png", "--value-range=0,1") == 0
    )
    calls = list(sys.modules["user_networks"].calls)
    for command in (("rerender", "a.png"), ("run", "a.png", "-o", "b.png")):
        capsys.readouterr()
        assert run(*command) == 1
        assert "add --model user_networks:small" in error(capsys)
    assert sys.modules["user_networks"].calls == calls
    assert run("rerender", "a.png", "--model", "user_networks:small") == 0
    assert "bit for bit" in capsys.readouterr().out
    assert run("run", "a.png", "-o", "b.png", "--model", "user_networks:small") == 0
    assert (module / "b.png").read_bytes() == (module / "a.png").read_bytes()
    capsys.readouterr()
    assert run("rerender", "a.png", "--model", "user_networks:other") == 1
    assert "is not the model that made the picture" in error(capsys)


def test_a_plan_with_another_model(module, capsys):
    (module / "plan.toml").write_text(
        'model = "user_networks:small"\nunits = "0:1"\nsize = 12\nsteps = 2\nvalue_range = [0, 1]\noutput = "a.png"\n'
    )
    assert run("run", "plan.toml") == 1
    assert "names a Python function, which is not run from here" in error(capsys)
    assert run("run", "plan.toml", "--model", "user_networks:small") == 0
    assert (module / "a.png").is_file()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("user_networks:smal", "has no 'smal'"),
        ("no_such_module:small", "There is no module 'no_such_module' in"),
        ("user_networks:number", "is a int, not a function"),
        ("user_networks:nothing", "returned a NoneType, neither"),
    ],
)
def test_functions_that_do_not_exist(module, source, words, capsys):
    assert run("layers", source) == 1
    assert words in error(capsys)


def test_an_import_inside_the_module_that_fails_is_shown(module, capsys):
    (module / "user_broken.py").write_text("import no_such_package\n")
    assert run("layers", "user_broken:small") == 1
    assert "No module named 'no_such_package'" in error(capsys)


def test_options_of_files(module, capsys):
    assert run("layers", "user_networks:small", "--layout", "NCHW") == 1
    assert "layout applies to files only" in error(capsys)


def test_a_network_of_torchvision(tmp_path, capsys):
    assert run("layers", "--torchvision", "squeezenet1_1", "--weights", "none", "--grep", "features.12") == 0
    assert ["features.12.expand3x3", "Conv2d", "256"] in rows(capsys)
    picture = tmp_path / "a.png"
    common = ("--size", 40, "--steps", 2, "-o", picture)
    assert run("render", "--torchvision=squeezenet1_1", "features.3:2", *common, "--weights=none") == 0
    assert (
        json.loads((tmp_path / "a.png.json").read_text())["model"]["source"] == "torchvision:squeezenet1_1?weights=null"
    )
    capsys.readouterr()
    assert run("rerender", picture) == 0
    assert "bit for bit" in capsys.readouterr().out
    assert run("rerender", picture, "--torchvision", "squeezenet1_1", "--weights", "none") == 0
    assert "bit for bit" in capsys.readouterr().out


def test_a_network_of_timm(capsys):
    assert run("layers", "--timm", "test_vit", "--weights", "none", "--sizes", "--grep", "patch_embed.proj") == 0
    assert rows(capsys)[1][2:] == ["64, 10 x 10", "16", "16"]


def test_a_network_of_transformers(tmp_path, capsys):
    import transformers

    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=8
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="preprocessor_config"):
        assert run("layers", "--huggingface", tmp_path, "--grep", "classifier") == 0
    assert ["classifier", "Linear", "2"] in rows(capsys)


@pytest.mark.parametrize("command", ["export", "convert", "parity"])
@pytest.mark.parametrize("source", [("--timm", "resnet18"), ("torchvision:resnet18",), ("user_networks:small",)])
def test_commands_for_files_take_no_network_of_torch(module, command, source, capsys):
    """They say so before the network is opened, which might download weights or run the function."""
    assert run(command, *source, "-o", "out.onnx") == 2
    message = error(capsys)
    for word in (source[0], "names a network of PyTorch", f"lucid-port {command}", "lucid-port render"):
        assert word in message
    assert "user_networks" not in sys.modules


def test_a_figure_of_a_function_and_its_recipe(module, capsys):
    options = ("--value-range=-1,1", "--image-shape", "24,20,3")
    figure = ("fv-channel", "--model", "user_networks:small", "--units", "0:2", "--steps", "1", "--fast")
    assert run("figure", *figure, *options, "-o", "made") == 0
    recipe = module / "made" / "fv-channel.json"
    page = (module / "made" / "fv-channel.html").read_text()
    assert "--image-shape=24,20,3 --value-range=-1,1" in page
    capsys.readouterr()
    assert run("run", recipe, "-o", "again") == 1
    assert "give it with --model to run its code" in error(capsys)
    assert run("run", recipe, "--model", "user_networks:small", *options, "-o", "again") == 0
    again = json.loads((module / "again" / "fv-channel.json").read_text())
    assert again["made_with"] == json.loads(recipe.read_text())["made_with"]


def test_like_takes_no_options_of_the_model(module, capsys):
    line = ("figure", "fv-channel", "--model", "a.pb", "--like", "InceptionV1", "--value-range", "0,1", "-o", "made")
    assert run(*line) == 2
    assert "without options of the model" in error(capsys)


def test_axes_that_are_stated_for_a_layer_of_a_file(capsys):
    line = ("layers", graph_file("loss_behind_logits"), "--input-name", "x", "--grep", "relu")
    assert run(*line, "--layouts", "relu=NCHW") == 0
    assert ["relu", "Relu", ""] in rows(capsys)
    assert run(*line, "--layouts", "relu") == 2
    assert "--layouts takes LAYER=AXES, as in tokens=NLC" in error(capsys)
    assert run(*line, "--layouts", "relu=NXYZ") == 1
    assert "one letter for each axis" in error(capsys)


def test_export_takes_outputs(tmp_path, capsys):
    path = tmp_path / "a.onnx"
    line = ("export", graph_file("loss_behind_logits"), "-o", path, "--input-name", "x", "--outputs", "relu", "--json")
    assert run(*line) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == ["relu"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("layers", "--timm", "a", "--torchvision", "b"), "--torchvision and --timm each name a model"),
        (("layers", "TinyInceptionV1", "--weights", "none"), "--weights chooses weights of"),
        (("layers", "--timm"), "--timm requires a value"),
        (("layers", "--timm", "a", "--timm", "b"), "--timm is given twice"),
        (("layers", "TinyInceptionV1", "--sizes", "--image-shape", "3,4"), "--image-shape takes three numbers"),
        (("render", "TinyInceptionV1", "mixed3a:1", "-o", "a.png", "--mean", "1,1,1"), "given together"),
        (("render", "TinyInceptionV1", "mixed3a:1", "-o", "a.png", "--value-range", "1"), "takes two numbers"),
        (("layers",), "SOURCE"),
    ],
)
def test_wrong_usage(arguments, words, capsys):
    assert run(*arguments) == 2
    assert words in error(capsys)
