"""Stand-ins for the files and networks of the pages' commands that are downloaded, or that a reader has."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters.frozen.writer import GraphWriter
from lucid_port.microscope.drawings import Drawings
from lucid_port.modelzoo.catalogue import entry
from lucid_port.modelzoo.files import local_graph
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from parity_tests.converters.caffe_files import caffemodel, prototxt
from parity_tests.converters.caffe_networks import convolution
from parity_tests.converters.onnx_models import small_model, values
from parity_tests.docs import DOCS, blocks

Maker = Callable[[Path], object]
"""Writes a file or a folder of a path."""

NETWORKS = """
import torch
from torch import nn


def small():
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 4, 3))
    network.add_module("conv2", nn.Conv2d(4, 8, 3))
    return network
"""


def seeded(path: Path) -> None:
    """Lucid's default network with generated weights, for `InceptionV1`, which is downloaded."""
    path.write_bytes(seeded_inceptionv1().SerializeToString())


def switched(path: Path) -> None:
    """A graph with two inputs beside the image."""
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    keep = graph.placeholder("keep_prob", [])
    graph.placeholder("is_training", [], np.bool_)
    kernel = graph.const("kernel", np.random.RandomState(0).standard_normal((3, 3, 3, 8)).astype(np.float32))
    graph.op("scaled", "Mul", [x, keep])
    graph.conv2d("conv5", "scaled", kernel)
    graph.write(path)


def onnx(path: Path) -> None:
    from onnx import helper

    node = helper.make_node("Conv", ["x", "weights"], ["layer"], name="layer", kernel_shape=[3, 3])
    model = small_model([node], {"weights": values(8, 3, 3, 3)}, shape=("n", 3, "h", "w"))
    path.write_bytes(model.SerializeToString())


CAFFE_NET = [convolution("conv", "data", 3, 4, 3, pad=1)]


def caffe_weights(path: Path) -> None:
    path.write_bytes(caffemodel(CAFFE_NET))


def caffe_definition(path: Path) -> None:
    path.write_bytes(prototxt(CAFFE_NET, (1, 3, 32, 32)))


def photographs(path: Path) -> None:
    """A few pictures in a folder for each class."""
    draws = np.random.RandomState(0)
    for name in ("cats/photo.jpg", "cats/other.jpg", "dogs/photo.jpg"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.randint(0, 256, (72, 96, 3), np.uint8)).save(path / name)


def trained(path: Path) -> None:
    """The graph of `InceptionV1_caffe`, if it is on this machine."""
    graph = local_graph(entry("InceptionV1_caffe"))
    if graph is not None:
        path.symlink_to(graph)


def vit(path: Path) -> None:
    """A small network in a folder of the repository's name, which would be downloaded."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    ViTModel(config).save_pretrained(path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(path)


def recipe(path: Path) -> None:
    """The recipe that the page of recipes shows."""
    path.write_text(blocks(DOCS / "recipes.md", "toml")[0], encoding="utf-8")


def ring(path: Path) -> None:
    """The recipe that the page of meshes shows."""
    path.write_text(blocks(DOCS / "meshes.md", "toml")[0], encoding="utf-8")


def one_picture(path: Path) -> None:
    """The same recipe, for one unit."""
    recipe(path)
    text = path.read_text(encoding="utf-8").replace("300-309", "300")
    path.write_text(text, encoding="utf-8")


def photograph(path: Path) -> None:
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (72, 96, 3), np.uint8)).save(path)


FILES: Mapping[str, Maker] = {
    "bvlc_googlenet.caffemodel": caffe_weights,
    "deploy.prototxt": caffe_definition,
    "dog.jpg": photograph,
    "docs": lambda path: path.symlink_to(DOCS),
    "eyes.toml": recipe,
    "google/vit-base-patch16-224": vit,
    "googlenet.pb": trained,
    "graph.pb": seeded,
    "InceptionV1.pb": seeded,
    "net.caffemodel": caffe_weights,
    "net.onnx": onnx,
    "networks.py": lambda path: path.write_text(NETWORKS, encoding="utf-8"),
    "photographs": photographs,
    "ring.toml": ring,
}
"""Path in the current folder -> its stand-in."""

OF_PAGES: Mapping[str, Mapping[str, Maker]] = {
    "converting.md": {"graph.pb": switched},
    "command_line.md": {"graph.pb": switched, "eyes.toml": one_picture},
}
"""Page -> stand-ins in place of those of `FILES`."""


def without_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of torchvision and timm have random weights, where a command would download trained ones."""
    torchvision = importlib.import_module("lucid_port.modelzoo.torchvision")
    timm = importlib.import_module("lucid_port.modelzoo.timm")
    built, made = torchvision._built, timm._built
    monkeypatch.setattr(torchvision, "_built", lambda name, weights, *rest: built(name, None, *rest))
    monkeypatch.setattr(timm, "_built", lambda library, name, pretrained, *rest: made(library, name, False, *rest))


def few_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes sites of a Microscope with one update, twelve drawings, and one layer if none is named.

    `lucid-port parity` runs the first of its tests, which are in this suite.
    """
    parity: Any = importlib.import_module("lucid_port.cli.parity")
    monkeypatch.setattr(parity, "TESTS", parity.TESTS[:1])
    settings: Any = importlib.import_module("lucid_port.microscope.settings")
    small = {**settings.QUALITIES["preview"], "steps": 1, "dream_steps": 1}
    monkeypatch.setattr(settings, "QUALITIES", dict.fromkeys(settings.QUALITIES, small))
    plan: Any = importlib.import_module("lucid_port.microscope.plan")
    layers = plan.default_layers
    monkeypatch.setattr(plan, "default_layers", lambda model: layers(model)[:1])
    monkeypatch.setattr("lucid_port.microscope.run.Drawings", lambda: Drawings(12))
