"""Models under Lucid's names, and how they prepare images."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

import converters
from converters.frozen.writer import GraphWriter
from lucid_port.modelzoo import nets_factory, network_files, vision_models
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import param, render, transform
from parity_tests.converters.caffe_files import CaffeLayer, caffemodel


@pytest.fixture(scope="module")
def seeded():
    return vision_models.InceptionV1_seeded()


@pytest.fixture
def identity(tmp_path):
    """A graph that gives its input back, as a file."""
    graph = GraphWriter()
    graph.op("same", "Identity", [graph.placeholder("input", [None, None, None, 3])])
    return graph.write(tmp_path / "identity.pb")


def test_rgb_images_are_mapped_to_the_value_range(identity):
    model = Model(identity, image_value_range=(-117, 138))
    image = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(model(image).flatten(), [-117, 10.5, 138], rtol=1e-6)


def test_bgr_models_reverse_the_channels_first(identity):
    """Lucid's own result for this pixel and these ranges (its `create_input`, run)."""
    low, high = (-103.939, -116.779, -123.68), (151.061, 138.221, 131.32)
    model = Model(identity, image_value_range=(low, high), is_BGR=True)
    image = torch.tensor([1.0, 0.5, 0.0]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(model(image).flatten(), [-103.939, 10.721, 131.32], rtol=1e-6)


def test_an_image_without_a_batch_gets_one(identity):
    assert Model(identity, image_value_range=(0, 1))(torch.zeros(3, 4, 5)).shape == (1, 3, 4, 5)


def test_a_graph_that_does_not_say_its_range_asks_for_it(identity):
    with pytest.raises(ValueError, match="image_value_range"):
        Model(identity)


def test_inceptionv1_has_lucids_metadata(seeded):
    assert seeded.image_value_range == (-117, 138)
    assert (seeded.is_BGR, tuple(seeded.image_shape)) == (False, (224, 224, 3))
    assert vision_models.InceptionV1_caffe.catalogue_entry.is_BGR


def test_listed_layers_have_their_depth(seeded):
    for layer in seeded.layers:
        assert seeded.network.layers[layer.name].channels == layer.depth
        assert layer.tags in ({"conv"}, {"dense"})


def test_get_layer_is_as_forgiving_as_lucids(seeded):
    assert seeded.get_layer("mixed4a").depth == 508
    with pytest.warns(UserWarning, match="mixed5a"):
        assert seeded.get_layer("MIXED5").name == "mixed5a"
    with pytest.raises(KeyError, match="mixed9"):
        seeded.get_layer("mixed9")


def test_load_graphdef_does_no_harm(seeded):
    assert seeded.load_graphdef() is None


def test_labels_and_synsets_come_in_the_order_of_the_output(identity):
    model = vision_models.InceptionV1_caffe(identity, input_name="input")
    assert (len(model.labels), model.labels[0], model.labels[967]) == (1000, "tench", "espresso")
    assert (len(model.synset_ids), model.synset_ids[0], model.synset_ids[967]) == (1000, "n01440764", "n07920052")
    twin = vision_models.InceptionV1_adv_finetuned(identity)
    assert (len(twin.labels), twin.labels[0], twin.synset_ids[1]) == (1001, "dummy", "n02119789")
    assert (model.dataset, model.input_name) == ("ImageNet", "input")


def test_the_synsets_of_resnet_v1_fit_its_labels(identity):
    """In Lucid they begin with the background, which these networks do not have."""
    model = vision_models.ResnetV1_50_slim(identity)
    assert len(model.synset_ids) == len(model.labels) == 1000
    assert (model.synset_ids[7], model.labels[7]) == ("n01514668", "cock")


def test_places_have_labels_and_no_synsets(identity):
    model = vision_models.InceptionV1_caffe_Places205(identity, input_name="input")
    assert (model.dataset, model.labels[204]) == ("Places205", "yard")
    with pytest.raises(RuntimeError, match="InceptionV1_caffe_Places205 has no list of synsets"):
        model.synset_ids  # noqa: B018


def test_a_model_without_labels_says_so(identity):
    with pytest.raises(RuntimeError, match="Clip_ResNet50_4x has no list of labels"):
        vision_models.Clip_ResNet50_4x(identity, input_name="input").labels  # noqa: B018


def test_layers_answer_as_lucids_do():
    layer = vision_models.AlexNet.layers[0]
    assert (layer["name"], layer["depth"], layer["type"], layer.to_json()) == ("Conv2D", 96, "conv", "Conv2D")
    assert str(layer) == "Layer of AlexNet <Conv2D: 96> (conv, pre_relu)"
    assert layer.width is layer.height is layer.shape is None
    with pytest.raises(AttributeError, match="size"):
        layer["size"]


@pytest.mark.parametrize("name", sorted(set(vision_models.MODELS) - {"InceptionV1_seeded", "TinyInceptionV1"}))
def test_every_model_opens_with_a_file_on_the_search_path(name, tmp_path, monkeypatch):
    entry = vision_models.MODELS[name].catalogue_entry
    graph = GraphWriter()
    graph.op("same", "Identity", [graph.placeholder(entry.input_name, [None, None, None, 3])])
    graph.write(tmp_path / f"{name}.pb")
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(tmp_path))
    model = nets_factory.get_model(name)
    assert (model.name, model.input_name, tuple(model.image_shape)) == (name, entry.input_name, entry.image_shape)
    image = torch.tensor([0.25, 0.5, 1.0]).reshape(1, 3, 1, 1)
    low, high = (np.broadcast_to(np.asarray(end, np.float64), 3) for end in entry.image_value_range)
    pixel = np.array([1.0, 0.5, 0.25]) if entry.is_BGR else np.array([0.25, 0.5, 1.0])
    np.testing.assert_allclose(model(image).flatten(), low + pixel * (high - low), rtol=1e-6, atol=1e-5)


KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)


@pytest.fixture
def caffe_file(tmp_path):
    """Caffe's weights of one convolution, under the name that VGG16's were published with."""
    settings = {"num_output": 2, "kernel_size": 1, "bias_term": "false"}
    layers = [
        CaffeLayer("data", "Data", [], ["data"], "transform_param", {"crop_size": 224}),
        CaffeLayer("conv1_1", "Convolution", ["data"], ["conv1_1"], "convolution_param", settings, [KERNEL]),
    ]
    path = tmp_path / "VGG_ILSVRC_16_layers.caffemodel"
    path.write_bytes(caffemodel(layers))
    return path


def test_caffes_weights_are_a_model_as_they_are(caffe_file, monkeypatch):
    """The input is called as in Lucid's graph, and takes blue first, less the mean."""
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(caffe_file.parent))
    model = nets_factory.get_model("VGG16_caffe")
    assert (model.input_name, model.network.metadata.is_BGR) == ("input", True)
    image = torch.rand(1, 3, 5, 7)
    fed = image.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).reshape(1, 3, 1, 1)
    found = model.activations(image, [model.network.program.outputs[0]])[model.network.program.outputs[0]]
    torch.testing.assert_close(found, torch.nn.functional.conv2d(fed, torch.from_numpy(KERNEL)), rtol=1e-5, atol=1e-3)


def test_a_file_of_another_name_is_recognised_by_its_hash(caffe_file, monkeypatch):
    """It keeps the name that its own input has."""
    sha256 = hashlib.sha256(caffe_file.read_bytes()).hexdigest()
    entry = vision_models.VGG16_caffe.catalogue_entry
    known = replace(entry, downloads=(replace(entry.downloads[0], hash=f"sha256:{sha256}"),))
    monkeypatch.setattr(network_files, "catalogue", lambda: {"VGG16_caffe": known})
    model = Model(caffe_file.rename(caffe_file.with_name("mine.caffemodel")))
    assert (model.input_name, model.is_BGR, model.image_value_range) == ("data", True, entry.image_value_range)


def test_a_model_opens_from_a_path_and_from_a_saved_folder(seeded, tmp_path):
    seeded.network.save(tmp_path / "saved")
    again = vision_models.InceptionV1(path=tmp_path / "saved")
    image = torch.rand(1, 3, 40, 50)
    expected = seeded.activations(image, ["mixed3a"])["mixed3a"]
    torch.testing.assert_close(again.activations(image, ["mixed3a"])["mixed3a"], expected, rtol=0, atol=0)
    assert nets_factory.open_model(tmp_path / "saved").image_value_range == (-117, 138)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(ValueError, match="Did you mean InceptionV1"):
        nets_factory.get_model("InceptonV1")


@pytest.mark.parametrize("name", [None, 3, vision_models.InceptionV1])
def test_a_name_that_is_no_text(name):
    with pytest.raises(TypeError, match="A model's name is text"):
        nets_factory.get_model(name)
    for function in (nets_factory.open_model, nets_factory.open_network):
        with pytest.raises(TypeError, match="by its name or by a path"):
            function(name)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ((1, 1), ValueError, "the same value"),
        ((0, 1, 2), ValueError, r"\(lo, hi\)"),
        ("01", TypeError, r"\(lo, hi\)"),
        ((0, float("nan")), ValueError, "image_value_range"),
        (((0, 0), (1, 1)), ValueError, "3 channels"),
    ],
)
def test_a_range_that_is_none(identity, given, error, words):
    with pytest.raises(error, match=words):
        Model(identity, image_value_range=given)


def test_a_reversed_range_is_a_network_of_negatives(identity):
    model = Model(identity, image_value_range=(1, -1))
    assert model(torch.tensor([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1)).flatten().tolist() == [1, 0, -1]


def test_options_for_the_reading_of_a_file(tmp_path):
    graph = GraphWriter()
    graph.op("scaled", "Mul", [graph.placeholder("input", [None, None, None, 3]), graph.placeholder("keep_prob", [])])
    path = graph.write(tmp_path / "scaled.pb")
    model = Model(path, image_value_range=(0, 1), constants={"keep_prob": 0.5})
    assert model(torch.ones(1, 3, 1, 1)).flatten().tolist() == [0.5] * 3
    with pytest.raises(ValueError, match="takes no layout"):
        Model(path, image_value_range=(0, 1), layout="NCHW")
    with pytest.raises(TypeError, match=r"no option 'constant' .*Did you mean constants\?"):
        Model(path, image_value_range=(0, 1), constant={})
    with pytest.raises(TypeError, match="option constants applies to files only"):
        Model(network=model.network, image_value_range=(0, 1), constants={"keep_prob": 0.5})


def test_a_graph_that_is_made_takes_what_graphs_take():
    assert nets_factory.open_network("InceptionV1_seeded", fold=True).program.fold
    with pytest.raises(ValueError, match="takes no signature"):
        nets_factory.open_network("InceptionV1_seeded", signature="x")


@pytest.fixture
def flattening(tmp_path):
    """A graph for 8x6 pixels as a file: its classifier reads all of them."""
    graph = GraphWriter()
    flat = graph.reshape("flat", graph.placeholder("input", [None, 8, 6, 3]), [-1, 8 * 6 * 3])
    graph.matmul("logits", flat, graph.const("matrix", np.ones((8 * 6 * 3, 2), np.float32)))
    return graph.write(tmp_path / "flattening.pb")


def test_another_size_than_a_graph_takes(flattening):
    model = Model(flattening, image_value_range=(0, 1))
    assert model(torch.zeros(1, 3, 8, 6)).shape == (1, 2)
    for run in (model, lambda image: model.activations(image, ["logits"])):
        with pytest.raises(converters.InputSizeError) as caught:
            run(torch.zeros(1, 3, 9, 7))
        words = ["'flat' cannot be computed for images of 9x7", "At 8x6 it can", "param.image(6, 8)", "--no-transforms"]
        for word in words:
            assert word in str(caught.value)


def test_a_render_says_which_size_a_graph_takes(flattening):
    model = Model(flattening, image_value_range=(0, 1))
    with pytest.raises(converters.InputSizeError, match=r"At 8x6 it can: .*crop_or_pad_to\(8, 6\)"):
        render.render_vis(model, "logits:1", lambda: param.image(9, 7), thresholds=(1,), verbose=False)
    keeping = [*transform.standard_transforms, transform.crop_or_pad_to(8, 6)]
    for transforms in ([], keeping):
        picture = render.render_vis(
            model, "logits:1", lambda: param.image(6, 8), transforms=transforms, thresholds=(1,), verbose=False
        )
        assert picture[0].shape == (1, 8, 6, 3)


def test_a_path_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"There is no file models/x\.pb"):
        nets_factory.open_model("models/x.pb")


def test_the_model_moves_as_a_whole(seeded):
    assert isinstance(seeded.network, converters.ConvertedModel)
    assert seeded.device == torch.device("cpu")
    double = vision_models.InceptionV1_seeded().double()
    assert double.activations(torch.zeros(1, 3, 9, 9).double(), ["conv2d0"])["conv2d0"].dtype == torch.float64
