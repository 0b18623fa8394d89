"""Networks of transformers as models, from folders that `save_pretrained` wrote."""

from __future__ import annotations

import importlib
import json
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from lucid_port import modelzoo
from lucid_port.modelzoo import nets_factory
from lucid_port.optvis import param, render
from lucid_port.optvis.recipe import Recipe

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.fixture(scope="module")
def transformers():
    library = importlib.import_module("transformers")
    library.logging.set_verbosity_error()
    return library


@pytest.fixture
def vit(tmp_path, transformers):
    """A folder with a small ViT of named classes, and its processor."""
    names = {0: "cat", 1: "dog", 2: "newt"}
    config = transformers.ViTConfig(**SMALL, image_size=32, patch_size=8, id2label=names)
    torch.manual_seed(2)
    network = transformers.ViTForImageClassification(config)
    network.save_pretrained(tmp_path / "vit")
    processor = {
        "do_normalize": True, "do_rescale": True, "do_resize": True, "rescale_factor": 1 / 255, "resample": 3,
        "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25], "size": {"height": 32, "width": 32},
        "image_processor_type": "ViTImageProcessor",
    }  # fmt: skip
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(processor))
    return tmp_path / "vit", network.eval()


def test_without_transformers_the_error_says_how_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '\.\[huggingface\]'"):
        modelzoo.huggingface("google/vit-base-patch16-224")


def called_modules(network):
    """The names of the modules that a forward pass calls: some releases of transformers have others, too."""
    called = set()
    hooks = [
        part.register_forward_hook(lambda *_, name=name: called.add(name))
        for name, part in network.named_modules()
        if name
    ]
    with torch.no_grad():
        network(pixel_values=torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    assert len(called) > 20
    return called


def test_a_saved_classifier(vit, transformers):
    folder, network = vit
    model = modelzoo.huggingface(folder)
    assert type(model.network.module) is transformers.ViTForImageClassification
    listed = {name.split(":")[0] for name in model.network.layers}  # elements of modules that return several values
    assert called_modules(network) <= listed
    assert model.labels == ["cat", "dog", "newt"]
    assert model.image_shape == (32, 32, 3)
    image = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    pixels = (image - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(model.create_input(image), pixels, rtol=0, atol=1e-6)
    with torch.no_grad():
        expected = network(pixel_values=pixels).logits
    torch.testing.assert_close(model.activations(image, "classifier")["classifier"], expected, rtol=1e-5, atol=1e-6)


def test_photographs_are_prepared_as_the_processor_does(vit, transformers):
    folder, _ = vit
    model = modelzoo.huggingface(folder)
    kinds = importlib.import_module("transformers.models.auto.image_processing_auto").IMAGE_PROCESSOR_MAPPING
    kind = kinds[transformers.ViTConfig]
    processor = (kind["pil"] if isinstance(kind, dict) else kind[0]).from_pretrained(folder)
    photograph = Image.fromarray(np.random.default_rng(1).integers(0, 256, (61, 83, 3), np.uint8))
    expected = torch.as_tensor(np.asarray(processor(photograph)["pixel_values"]))
    found = model.create_input(model.preprocessing(photograph))
    torch.testing.assert_close(found, expected.reshape(found.shape).float(), rtol=0, atol=1e-6)


def test_a_recipe_opens_the_folder_again(vit):
    folder, _ = vit
    model = modelzoo.huggingface(folder)
    assert model.source == f"huggingface:{folder}"
    pictures = render.render_vis(
        model, "classifier:1", lambda: param.image(32), transforms=[], thresholds=(1,), verbose=False
    )
    (picture,), recipe = pictures, pictures.recipe()
    again = Recipe.from_data(json.loads(json.dumps(recipe.to_data())))
    assert again.model["source"] == f"huggingface:{folder}"
    assert picture.shape == (1, 32, 32, 3)
    assert again.open_model().labels == model.labels


def test_random_weights_of_a_configuration(vit):
    folder, _ = vit
    (folder / "model.safetensors").unlink()
    before = torch.random.get_rng_state()
    states = [modelzoo.huggingface(folder, None, seed=seed).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    key = "network.module.classifier.weight"
    assert not torch.equal(states[0][key], states[2][key])
    with pytest.raises(FileNotFoundError, match="cannot be read"):
        modelzoo.huggingface(folder)


def test_without_a_processor_the_defaults_are_used_and_a_warning_says_so(vit):
    folder, _ = vit
    (folder / "preprocessor_config.json").unlink()
    with pytest.warns(UserWarning, match=r"has no preprocessor_config\.json.*ViTConfig"):
        model = modelzoo.huggingface(folder)
    assert model.create_input(torch.zeros(1, 3, 1, 1)).flatten().tolist() == [-1, -1, -1]
    assert model.create_input(torch.ones(1, 3, 1, 1)).flatten().tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "black", "white", "is_BGR"),
    [
        ({"do_normalize": False}, [0, 0, 0], [1, 1, 1], False),
        ({"do_normalize": False, "do_rescale": False}, [0, 0, 0], [255, 255, 255], False),
        ({"do_normalize": False, "do_flip_channel_order": True}, [0, 0, 0], [1, 1, 1], True),
        ({"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]}, [-1] * 3, [1] * 3, False),
    ],
)
def test_other_processors(vit, changes, black, white, is_BGR):
    path = vit[0] / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    model = modelzoo.huggingface(vit[0])
    ends = [model.create_input(torch.full((1, 3, 1, 1), value)).flatten() for value in (0.0, 1.0)]
    torch.testing.assert_close(ends, [torch.tensor(black).float(), torch.tensor(white).float()], rtol=0, atol=1e-5)
    assert model.is_BGR is is_BGR


def test_classes_without_names_are_no_labels(tmp_path, transformers):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], num_labels=4)
    config.layer_type = "basic"
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = modelzoo.huggingface(tmp_path)
    with pytest.raises(RuntimeError, match="no list of labels"):
        model.labels  # noqa: B018
    assert "resnet.encoder.stages.0.layers.0.layer.0.convolution" in model.network.layers


def test_a_network_for_images_and_text_gives_its_image_network(tmp_path, transformers):
    text = {**SMALL, "vocab_size": 40, "eos_token_id": 1, "bos_token_id": 0}
    vision = {**SMALL, "image_size": 24, "patch_size": 8}
    torch.manual_seed(1)
    network = transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    ).eval()
    network.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="CLIPConfig"):
        model = modelzoo.huggingface(tmp_path)
    assert model.image_shape == (24, 24, 3)
    image = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        expected = network.vision_model(model.create_input(image), output_hidden_states=True).hidden_states[1]
    name = next(name for name, _ in network.named_modules() if name.endswith("layers.0") and "vision" in name)
    hooked = []
    handle = model.network.layer_module(name).register_forward_hook(
        lambda module, inputs, output: hooked.append(output if isinstance(output, torch.Tensor) else output[0])
    )
    with torch.no_grad():
        model(image)
    handle.remove()
    torch.testing.assert_close(hooked[0], expected, rtol=1e-5, atol=1e-6)
    assert not any("text" in name for name in model.network.layers)


def test_a_segmentation_network(tmp_path, transformers):
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1] * 4, mlp_ratios=[2] * 4,
        decoder_hidden_size=16, id2label={0: "sky", 1: "sea"},
    )  # fmt: skip
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="SegformerConfig"):
        model = modelzoo.huggingface(tmp_path, trace=False)
    assert model.labels == ["sky", "sea"]
    name = "decode_head.classifier"
    assert model.activations(torch.rand(1, 3, 64, 96), name)[name].shape == (1, 2, 16, 24)


def test_a_network_for_text_is_refused(tmp_path, transformers):
    config = transformers.BertConfig(**SMALL, vocab_size=30)
    transformers.BertModel(config).save_pretrained(tmp_path)
    with (
        pytest.warns(UserWarning, match="BertConfig"),
        pytest.raises(ValueError, match=r"BertModel\.forward takes input_ids, no images"),
    ):
        modelzoo.huggingface(tmp_path)


def test_folders_and_names_that_cannot_be_read(tmp_path, transformers, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"has no config\.json.*save_pretrained"):
        modelzoo.huggingface(tmp_path)
    with pytest.raises(ValueError, match="weights is 'DEFAULT'"):
        modelzoo.huggingface(tmp_path, "v2")

    def fail(*args, **kwargs):
        raise OSError("We couldn't connect to the hub")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", fail)
    with pytest.raises(ConnectionError, match=r"couldn't connect.*check the name, or download the repository"):
        modelzoo.huggingface("nobody/nothing")


def test_remote_code_gives_no_source(vit):
    assert modelzoo.huggingface(vit[0], trust_remote_code=True).source is None
    with pytest.raises(ValueError, match="remote code is never run"):
        nets_factory.open_model(f"huggingface:{vit[0]}?trust_remote_code=true")
