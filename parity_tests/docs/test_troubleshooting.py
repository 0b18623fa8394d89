"""Every message in docs/troubleshooting.md is what its mistake really says."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import converters
from converters.frozen.writer import GraphWriter
from lucid_port import modelzoo
from lucid_port.attribution import attribute
from lucid_port.figures.run import Request, write
from lucid_port.inspection import gradient_magnitudes
from lucid_port.logs import log_graph
from lucid_port.microscope import state
from lucid_port.microscope.names import Places
from lucid_port.microscope.run import make_site
from lucid_port.misc.io import load
from lucid_port.modelzoo import nets_factory, vision_models
from lucid_port.modelzoo.get_activations import get_activations
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import param, render
from lucid_port.optvis.render_many import render_many
from parity_tests.docs import DOCS
from parity_tests.strangers import graph_file

TEXT = DOCS.joinpath("troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = dict(re.findall(r"<!-- message: (\w+) -->\n```text\n(.*?)\n```", TEXT, re.DOTALL))

Mistake = Callable[[pytest.MonkeyPatch], object]
MISTAKES: dict[str, Mistake] = {}


def mistake(function: Mistake) -> Mistake:
    MISTAKES[function.__name__] = function
    return function


def show(model: Model, objective: object, image: Callable[[], object] | None = None, steps: int = 1) -> None:
    render.render_vis(model, objective, image or (lambda: param.image(64)), thresholds=(steps - 1,), verbose=False)


class Tokens(nn.Module):
    """Pixels as tokens."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).transpose(1, 2)


@mistake
def normalized(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(Tokens(), nn.LayerNorm(3))
    tokens = modelzoo.from_torch(network, image_value_range=(0, 1), image_shape=(8, 12, 3))
    show(tokens, lambda T: T("1").mean(), lambda: param.image(8))


def inception() -> Model:
    return vision_models.InceptionV1_seeded()


def never_fires() -> Model:
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(3, 4, 3))
    network.add_module("relu", nn.ReLU())
    nn.init.constant_(network.conv.bias, -100.0)
    return modelzoo.from_torch(network, image_value_range=(0, 1), image_shape=(32, 32, 3))


@mistake
def left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    converters.convert(graph_file("loss_behind_logits")).activations(torch.zeros(1, 3, 8, 8), ["loss"])


@mistake
def text_input(monkeypatch: pytest.MonkeyPatch) -> None:
    converters.convert(graph_file("encoded_picture"))


@mistake
def training_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    converters.convert(graph_file("slim_switches"))


@mistake
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    show(never_fires(), "relu:0", lambda: param.image(32), steps=50)


@mistake
def dead_many(monkeypatch: pytest.MonkeyPatch) -> None:
    render_many(never_fires(), "relu:0", size=32, steps=40, verbose=False)


@mistake
def no_range(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("network.pb").write_bytes(seeded_inceptionv1().SerializeToString())
    Model("network.pb")


@mistake
def from_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    modelzoo.from_torch(nn.Conv2d(3, 4, 3))


@mistake
def range(monkeypatch: pytest.MonkeyPatch) -> None:
    show(inception(), "conv2d0_pre_relu:0", lambda: param.fft_image([1, 64, 64, 3]))


@mistake
def bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    param.image(64, init=np.full((64, 64, 3), 200, np.uint8))


@mistake
def floats(monkeypatch: pytest.MonkeyPatch) -> None:
    get_activations(inception(), "conv2d0", np.linspace(0, 255, 8 * 8 * 3).reshape(1, 8, 8, 3))


@mistake
def tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    inception().activations(torch.full((1, 3, 8, 8), 255.0), ["conv2d0"])


@mistake
def mean(monkeypatch: pytest.MonkeyPatch) -> None:
    modelzoo.from_torch(nn.Conv2d(3, 4, 3), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


@mistake
def one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = GraphWriter()
    graph.reshape("rows", graph.placeholder("input", [None, 8, 8, 3]), [1, -1])
    model = Model(graph.write(Path("one.pb")), image_value_range=(0, 1))
    render_many(model, "rows:0,1", size=8, steps=1, transforms=[], batch_size=2, verbose=False)


@mistake
def training(monkeypatch: pytest.MonkeyPatch) -> None:
    model = modelzoo.from_torch(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()), image_value_range=(0, 1))
    model.network.train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which says so as well
        show(model, "0:0")


@mistake
def nan(monkeypatch: pytest.MonkeyPatch) -> None:
    show(inception(), lambda T: -(-T("conv2d0") - 1).sqrt().sum())


@mistake
def layer(monkeypatch: pytest.MonkeyPatch) -> None:
    show(inception(), "mixed4a_prerelu:5")


@mistake
def unit(monkeypatch: pytest.MonkeyPatch) -> None:
    show(inception(), "mixed4a:9999")


@mistake
def fully_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    show(inception(), "softmax2_pre_activation:5", lambda: param.image(128))


@mistake
def halved(monkeypatch: pytest.MonkeyPatch) -> None:
    fails_beyond(monkeypatch, 1)
    render_many(never_fires(), "relu:0,1", size=32, steps=1, batch_size=2, verbose=False)


@mistake
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    fails_beyond(monkeypatch, 0)
    render_many(never_fires(), "relu:0", size=32, steps=1, batch_size=1, verbose=False)


def fails_beyond(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """Memory for so many images."""
    step = render.VisT.step

    def limited(vis: render.VisT) -> torch.Tensor:
        if vis.param.shape[0] > images:
            raise torch.OutOfMemoryError("not enough")
        return step(vis)

    monkeypatch.setattr(render.VisT, "step", limited)


@mistake
def render_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(vis: render.VisT) -> torch.Tensor:
        raise MemoryError("not enough")

    monkeypatch.setattr(render.VisT, "step", full)
    show(never_fires(), "relu:0")


@mistake
def figure(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = render.VisT.value_and_gradients

    def failing(vis: render.VisT) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        value, gradients = evaluate(vis)
        return value * float("nan"), list(gradients)

    monkeypatch.setattr(render.VisT, "value_and_gradients", failing)
    request = Request("fv-channel", model="TinyInceptionV1", options={"units": ["mixed4a:1"]}, steps=2, fast=True)
    write(request, nets_factory.get_model("TinyInceptionV1"), "out")


@mistake
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("eyes.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    load("eyes.png")


@mistake
def large_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8000, 6000)).save("large.png")
    load("large.png")


@mistake
def empty_path(monkeypatch: pytest.MonkeyPatch) -> None:
    load("")


@mistake
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    nets_factory.get_model("InceptionV1_adv_finetuned")


@mistake
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    nets_factory.get_model("InceptionV2")


@mistake
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    show(nn.Sequential(nn.Conv2d(3, 4, 3)), "0:0")  # type: ignore[arg-type]


@mistake
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    inception_on_gpu = inception()
    render.render_vis(inception_on_gpu, "conv2d0:1", thresholds=(0,), verbose=False, device="cuda")


@mistake
def no_captum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    attribute(vision_models.TinyInceptionV1(), np.zeros((96, 96, 3)), "spiral")


class Functional(nn.Module):
    """A ReLU that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.relu(self.conv(x)).mean((2, 3))


@mistake
def functional(monkeypatch: pytest.MonkeyPatch) -> None:
    model = modelzoo.from_torch(Functional(), image_value_range=(0, 1), image_shape=(16, 16, 3))
    attribute(model, np.zeros((16, 16, 3)), 1, method="deep_lift")


@mistake
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    model = vision_models.TinyInceptionV1()
    attribute(model, np.zeros((40, 40, 3)), "mixed4a_1x1:3", "mixed4a_3x3", "conductance", prepare=False)


@mistake
def no_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    model = modelzoo.from_torch(nn.Sequential(nn.Conv2d(3, 4, 3)), image_value_range=(0, 1), image_shape=(16, 16, 3))
    gradient_magnitudes(model, np.zeros((16, 16, 3)))


@mistake
def other_site(monkeypatch: pytest.MonkeyPatch) -> None:
    for bright in (1, 2):
        layers = nn.Sequential(nn.Conv2d(3, 4, 3))
        model = modelzoo.from_torch(layers, image_value_range=(0, bright), image_shape=(16, 16, 3))
        make_site(model, "site", units="0:0", techniques=["neuron"], executor="here", verbose=False)


@mistake
def locked_site(monkeypatch: pytest.MonkeyPatch) -> None:
    with state.locked(Places("site"), None):
        make_site(vision_models.TinyInceptionV1(), "site", verbose=False)


@mistake
def log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save("unit.png")
    render.render_vis(vision_models.TinyInceptionV1(), "mixed4a:8", verbose=False, log_dir="unit.png")


class Losses:
    """A writer of numbers alone."""

    def add_scalar(self, tag: str, value: float, step: int) -> None: ...


@mistake
def log_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    writer: Any = Losses()
    render.render_vis(vision_models.TinyInceptionV1(), "mixed4a:8", verbose=False, log_dir=writer)


class Signed(nn.Module):
    """Code that depends on a value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > 0 else -x


@mistake
def no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    log_graph(modelzoo.from_torch(Signed(), image_value_range=(0, 1), image_shape=(16, 16, 3)), "runs")


def test_every_message_has_a_mistake_that_provokes_it() -> None:
    assert set(MESSAGES) == set(MISTAKES)


@pytest.mark.parametrize("name", MISTAKES)
def test_message_is_what_the_mistake_says(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUCID_PORT_MODELZOO", raising=False)
    monkeypatch.setenv("LUCID_PORT_CACHE", "cache")
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            MISTAKES[name](monkeypatch)
        except Exception as error:  # which one it is, its name in the message says
            said.append(f"{type(error).__name__}: {error}")
    said += [f"{one.category.__name__}: {one.message}" for one in caught]
    assert MESSAGES[name] in said
