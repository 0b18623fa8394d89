"""The default image has the channels, and where necessary the size, of the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import converters
from converters import InputSizeError
from converters.frozen.writer import GraphWriter
from lucid_port.cli import main
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, render, transform
from lucid_port.optvis.engine import formats
from lucid_port.optvis.render_many import render_many

QUICK = {"thresholds": (1,), "verbose": False}


def channels_net(count):
    torch.manual_seed(0)
    return from_torch(nn.Sequential(nn.Conv2d(count, 4, 3), nn.ReLU()), (0, 1), image_shape=(40, 36, count))


def perceptron(height=30, width=28, channels=1, **options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(height * width * channels, 6))
    return from_torch(network, (0, 1), image_shape=(height, width, channels), **options)


class Skip(nn.Module):
    """Takes even sizes only, as U-Nets do."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 3, 2, 2)

    def forward(self, image):
        return torch.cat([image, self.up(self.down(image))], 1)


def kinds(vis):
    return [one.kind for one in vis.transform.transforms]


STANDARD = [one.kind for one in transform.standard_transforms]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_default_image_has_the_networks_channels(count):
    model = channels_net(count)
    assert render.render_vis(model, "1:3", **QUICK)[0].shape == (1, 128, 128, count)
    for options, size in (({}, 128), ({"size": 21}, 21)):
        made = render_many(model, "1:1,3", steps=2, verbose=False, **options)
        assert [one.image.shape for one in made] == [(size, size, count)] * 2
    assert kinds(render.make_vis_T(model, "1:3")) == STANDARD


@pytest.mark.parametrize("trace", [True, False])
def test_a_network_of_one_size_gets_it(trace, capsys):
    model = perceptron(trace=trace)
    pictures = render.render_vis(model, "1:3", thresholds=(20,))
    assert pictures[0].shape == (1, 30, 28, 1)
    assert pictures.losses[-1] > pictures.losses[0]
    assert "takes images of 30x28 here" in capsys.readouterr().out
    assert kinds(pictures.vis) == [*STANDARD, "crop_or_pad_to"]
    again = pictures.recipe().render(model)
    np.testing.assert_array_equal(again, pictures[0][0])


def test_the_units_of_a_run_have_one_format(tmp_path, capsys):
    made = render_many(perceptron(), ["1:*", lambda T: T("1")[:, 2].mean()], steps=2, output=tmp_path, keep=True)
    assert {one.image.shape for one in made} == {(30, 28, 1)}
    assert made.size == (30, 28)
    assert "crop_or_pad_to(30, 28)" in capsys.readouterr().out
    assert len(render_many(perceptron(), "1:*", steps=2, output=tmp_path, verbose=False)) == 6


def test_given_transforms_are_kept():
    vis = render.make_vis_T(perceptron(), "1:3", transforms=[])
    assert kinds(vis) == []
    assert vis.image().shape == (1, 30, 28, 1)
    assert vis.format.note.endswith("the image has this size.")


def test_a_given_image_keeps_its_size_and_is_restored():
    vis = render.make_vis_T(perceptron(), "1:3", lambda: param.image(28, 30, channels=1))
    assert vis.transform.transforms[-1] == transform.crop_or_pad_to(30, 28)
    assert vis.step().isfinite()
    wrong = render.make_vis_T(perceptron(), "1:3", lambda: param.image(29, 30, channels=1))
    assert kinds(wrong) == STANDARD
    with pytest.raises(InputSizeError, match="At 30x28 it can"):
        wrong.step()


def test_a_network_of_even_sizes_keeps_128_pixels():
    torch.manual_seed(0)
    vis = render.make_vis_T(from_torch(Skip(), (0, 1)), "cat:4")
    assert vis.image().shape == (1, 128, 128, 3)
    assert vis.transform.transforms[-1] == transform.crop_or_pad_to(128, 128)
    assert all(bool(vis.step().isfinite()) for _ in range(4))


def test_layers_before_the_fixed_part_keep_lucids_defaults():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 5, 2))
    model = from_torch(network, (0, 1), image_shape=(8, 7, 3))
    early, late = (render.make_vis_T(model, name) for name in ("0:1", "2:1"))
    assert (early.image().shape, kinds(early)) == ((1, 128, 128, 3), STANDARD)
    assert late.image().shape == (1, 8, 7, 3)


def test_lucids_models_are_not_asked(monkeypatch):
    monkeypatch.setattr(formats, "run_without_numbers", lambda *_: pytest.fail("asked"))
    vis = render.make_vis_T(vision_models.TinyInceptionV1(), "mixed5b:3")
    assert (vis.image().shape, kinds(vis)) == ((1, 128, 128, 3), STANDARD)


class ByValue(nn.Module):
    def forward(self, image):
        return image if float(image.detach().sum()) > 0 else image[:, :0]


def test_a_network_whose_code_needs_numbers_keeps_lucids_defaults():
    vis = render.make_vis_T(from_torch(nn.Sequential(ByValue(), nn.Conv2d(3, 4, 3)), (0, 1)), "1:3")
    assert (vis.image().shape, kinds(vis), vis.format.note) == ((1, 128, 128, 3), STANDARD, "")


def gray_graph(folder, size):
    graph = GraphWriter()
    weights = graph.const("w", np.random.RandomState(0).standard_normal((3, 3, 1, 4)).astype(np.float32))
    image = graph.placeholder("input", [None, size, size, 1])
    convolved = graph.op("conv", "Conv2D", [image, weights], strides=[1, 1, 1, 1], padding="SAME")
    graph.op("relu", "Relu", [convolved])
    return graph.write(folder / "gray.pb")


@pytest.mark.parametrize("size", [None, 28])
@pytest.mark.parametrize(("asked", "pixels"), [((), 128), (("--size", "21"), 21)])
def test_a_gray_graph_on_the_command_line(tmp_path, capsys, size, asked, pixels):
    path = str(gray_graph(tmp_path, size))
    options = ["--steps", "2", "--value-range=0,1", *asked]
    assert main(["render", path, "relu:1", "-o", str(tmp_path / "a.png"), *options]) == 0
    assert f"{pixels}x{pixels}" in capsys.readouterr().out
    assert main(["render", path, "relu:1-2", "-o", str(tmp_path / "many"), *options]) == 0
    assert f"2 units of relu:1-2, {pixels}x{pixels}" in capsys.readouterr().out


def test_a_graph_of_unknown_size_has_its_channels(tmp_path):
    assert Model(gray_graph(tmp_path, None), image_value_range=(0, 1)).image_shape == (None, None, 1)


def one_image(folder):
    graph = GraphWriter()
    weights = graph.const("w", np.random.RandomState(0).standard_normal((1, 1, 3, 4)).astype(np.float32))
    image = graph.placeholder("input", [None, 8, 6, 3])
    convolved = graph.op("conv", "Conv2D", [image, weights], strides=[1, 1, 1, 1], padding="SAME")
    graph.reshape("rows", convolved, [1, 8 * 6 * 4])
    return Model(graph.write(folder / "one.pb"), image_value_range=(0, 1))


def test_a_graph_of_one_image_renders_several_units(tmp_path, capsys):
    model = one_image(tmp_path)
    made = render_many(model, "rows:3,5", steps=3)
    assert "takes one image at a time" in capsys.readouterr().out
    for unit in made:
        alone = render.render_vis(model, unit.name, thresholds=(2,), verbose=False)
        np.testing.assert_allclose(unit.image, alone[0][0], atol=1e-5)
    with pytest.raises(InputSizeError, match="batch_size=1"):
        render_many(model, "rows:3,5", steps=2, batch_size=2, verbose=False)


def joining_images(folder, kind, dim):
    """The mean over all axes is taken off an image, for `dim` (None or 1) images a batch."""
    graph = GraphWriter()
    image = graph.placeholder("input", [None, 8, 6, 3])
    conv = graph.conv2d("conv", image, graph.const("w", np.random.RandomState(0).randn(1, 1, 3, 4).astype(np.float32)))
    axes = graph.const("axes", np.arange(dim, 4, dtype=np.int32))
    mean = graph.op("mean", "Mean", [conv, axes], Tidx=np.int32, keep_dims=True)
    graph.op("centred", "Sub", [conv, mean])
    path = graph.write(folder / "joins.pb")
    if kind == "onnx":
        path = converters.convert(path).to_onnx(folder / "joins.onnx")
    return Model(path, image_value_range=(0, 1))


@pytest.mark.parametrize("kind", ["pb", "onnx"])
def test_images_that_influence_each_other_are_rendered_one_by_one(kind, tmp_path, capsys):
    model = joining_images(tmp_path, kind, 0)
    made = render_many(model, "centred:0,2", steps=3)
    assert "takes one image at a time" in capsys.readouterr().out
    for unit in made:
        alone = render.render_vis(model, unit.name, thresholds=(2,), verbose=False)
        np.testing.assert_allclose(unit.image, alone[0][0], atol=1e-5)


@pytest.mark.parametrize("kind", ["pb", "onnx"])
def test_images_that_do_not_influence_each_other_are_rendered_together(kind, tmp_path, capsys):
    render_many(joining_images(tmp_path, kind, 1), "centred:0,2", steps=2)
    assert "takes one image" not in capsys.readouterr().out


@pytest.mark.parametrize(("has_default_transforms", "sizes"), [(True, 3), (False, 1)])
def test_a_layer_is_read_once_for_all_terms_of_an_objective(has_default_transforms, sizes, monkeypatch):
    model, read = channels_net(3), []
    compute = type(model).activations

    def counted(self, image, layers):
        read.append(tuple(image.shape))
        return compute(self, image, layers)

    monkeypatch.setattr(type(model), "activations", counted)
    wanted = sum(objectives.channel("1", channel) for channel in range(4))
    formats.find_format(model, [wanted], (40, 36), has_default_transforms)
    assert len(read) == len(set(read)) == sizes, "one read for each size that is tried"
