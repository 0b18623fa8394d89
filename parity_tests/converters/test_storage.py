"""Saving and loading: the same model comes back, and a failed save leaves nothing."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle

import numpy as np
import pytest
import torch

import converters
from converters.frozen.writer import GraphWriter
from converters.program import storage
from converters.program.program import Step
from lucid_port.modelzoo.seeded import seeded_inceptionv1

X = torch.from_numpy(np.random.RandomState(1).uniform(-117, 138, (1, 3, 97, 130)).astype(np.float32))
NAMES = ["mixed4a_pre_relu", "mixed3b", "maxpool4", "localresponsenorm1"]


@pytest.fixture(scope="module")
def model():
    return converters.convert(seeded_inceptionv1().SerializeToString())


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save(folder, standalone=True)
    return folder


def test_the_same_values_come_back_bit_for_bit(model, saved):
    loaded = converters.load(saved)
    with torch.no_grad():
        for name, value in loaded.activations(X, NAMES).items():
            torch.testing.assert_close(value, model.activations(X, [name])[name], rtol=0, atol=0)


def test_layers_metadata_and_origin_come_back(model, saved):
    loaded = converters.load(saved)
    assert dict(loaded.layers) == dict(model.layers)
    assert loaded.metadata == model.metadata
    assert loaded.outputs == model.outputs
    assert loaded.program.source_sha256 == model.program.source_sha256 is not None


def test_no_pickle_is_written(saved):
    assert {file.name for file in saved.iterdir()} == {"model.json", "weights.safetensors", "model.py"}
    for file in saved.iterdir():
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads(file.read_bytes())


def test_the_standalone_module_needs_torch_and_safetensors_alone(model, saved):
    text = (saved / "model.py").read_text()
    assert "lucid_port" not in text.split('"""')[2]
    assert "converters" not in text.split('"""')[2]
    spec = importlib.util.spec_from_file_location("standalone_model", saved / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        found = module.load()(X, NAMES)
        # Not `activations`, which adds a bias together with its convolution.
        for name, value in zip(NAMES, model.subgraph(NAMES)(X), strict=True):
            torch.testing.assert_close(found[name], value, rtol=0, atol=0)


def test_the_standalone_module_takes_one_name_and_refuses_sizes_in_one_sentence(saved):
    spec = importlib.util.spec_from_file_location("standalone_model", saved / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load()
    assert list(network(X, "mixed3b")) == ["mixed3b"]
    with pytest.raises(module.InputSizeError, match=r"after 'mixed5b(_pre_relu)?' cannot be computed"):
        network(X, "softmax2")
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        network(X[0])


def test_an_op_called_run_has_a_standalone_module(tmp_path):
    graph = GraphWriter()
    graph.op("run", "Relu", [graph.placeholder("input", [None, None, None, 3])])
    converters.convert(graph.graph_def()).save(tmp_path / "model", standalone=True)
    spec = importlib.util.spec_from_file_location("standalone_run", tmp_path / "model" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.testing.assert_close(module.load()(X)["run"], X.relu())


def test_the_standalone_module_names_an_unknown_layer(saved):
    spec = importlib.util.spec_from_file_location("standalone_model", saved / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = torch.zeros(1, 3, 224, 224)
    with pytest.raises(KeyError, match="mixed9z"):
        module.load()(small, ["mixed9z"])


def test_an_existing_folder_is_not_touched(model, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(converters.SaveError, match="exists already"):
        model.save(tmp_path)
    with pytest.raises(converters.SaveError, match="something else than a saved model"):
        model.save(tmp_path, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_with_another_programs_model_is_not_overwritten(model, tmp_path):
    (tmp_path / "model.json").write_text('{"my": "own model"}')
    with pytest.raises(converters.SaveError, match="something else"):
        model.save(tmp_path, overwrite=True)
    model.save(tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(converters.SaveError, match="something else"):
        model.save(tmp_path / "model", overwrite=True)


def test_a_model_with_a_replaced_layer_is_not_saved(model, tmp_path):
    changed = copy.deepcopy(model)
    changed.mixed3a_1x1 = torch.nn.Identity()
    with pytest.raises(converters.SaveError, match="'mixed3a_1x1' was replaced by a Identity"):
        changed.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_only_converted_models_are_saved(tmp_path):
    with pytest.raises(TypeError, match="Linear"):
        converters.save(torch.nn.Linear(1, 1), tmp_path / "model")


def test_a_saved_model_can_be_replaced(model, tmp_path):
    model.save(tmp_path / "model")
    model.save(tmp_path / "model", overwrite=True, standalone=True)
    assert (tmp_path / "model" / "model.py").is_file()
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stop"])
def test_a_failed_save_leaves_nothing(model, tmp_path, monkeypatch, failure):
    def fail(*args):
        raise failure

    monkeypatch.setattr(storage, "_sync", fail)
    expected = converters.SaveError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_keeps_the_old_model(model, tmp_path, monkeypatch):
    model.save(tmp_path / "model")
    before = (tmp_path / "model" / "model.json").read_bytes()
    monkeypatch.setattr(storage, "_sync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(converters.SaveError, match="No space left"):
        model.save(tmp_path / "model", overwrite=True)
    assert (tmp_path / "model" / "model.json").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no saved model"):
        converters.load(tmp_path)


def damage(data: dict, key: str) -> None:
    """One kind of damage to a saved description."""
    changes = {
        "no steps": lambda: data.pop("steps"),
        "unknown layer": lambda: data["steps"][0].update(layer="Exec"),
        "bad module name": lambda: data["steps"][0].update(module="__class__"),
        "two modules of one name": lambda: data["steps"][0].update(module=data["steps"][1]["module"]),
        "argument of no layer": lambda: data["steps"][0]["arguments"].update(evil=1),
        "huge": lambda: data["steps"][0]["arguments"].update(out_channels=10**12),
        "input that is not there": lambda: data["steps"][3].update(inputs=["nowhere"]),
        "output that is not there": lambda: data.update(outputs=["nowhere"]),
        "later format": lambda: data.update(version=99),
        "stride of zero": lambda: data["steps"][0]["arguments"].update(stride=[0, 0]),
        "padding of text": lambda: data["steps"][0]["arguments"].update(padding="abc"),
        "not a number": lambda: next(step for step in data["steps"] if step["layer"] == "LocalResponseNorm")[
            "arguments"
        ].update(beta=float("nan")),
        "too many inputs": lambda: data["steps"][3].update(inputs=["conv2d0", "conv2d0"]),
        "no outputs": lambda: data.update(outputs=[]),
        "channels of text": lambda: data.update(input_channels="abc"),
        "metadata of text": lambda: data["metadata"].update(image_value_range="ab"),
        "wrong size": lambda: data["steps"][0]["arguments"].update(out_channels=65),
    }
    changes[key]()


@pytest.mark.parametrize(
    "key",
    [
        "no steps",
        "unknown layer",
        "bad module name",
        "two modules of one name",
        "argument of no layer",
        "huge",
        "input that is not there",
        "output that is not there",
        "later format",
        "stride of zero",
        "padding of text",
        "not a number",
        "too many inputs",
        "no outputs",
        "channels of text",
        "metadata of text",
        "wrong size",
    ],
)
def test_a_damaged_description(saved, tmp_path, key):
    data = json.loads((saved / "model.json").read_text())
    damage(data, key)
    (tmp_path / "model.json").write_text(json.dumps(data))
    (tmp_path / "weights.safetensors").symlink_to(saved / "weights.safetensors")
    with pytest.raises(converters.GraphError):
        converters.load(tmp_path)


def test_damaged_weights(saved, tmp_path):
    (tmp_path / "model.json").symlink_to(saved / "model.json")
    (tmp_path / "weights.safetensors").write_bytes((saved / "weights.safetensors").read_bytes()[:10000])
    with pytest.raises(converters.GraphError, match="damaged"):
        converters.load(tmp_path)


def test_lucids_own_metadata_node_is_honoured_and_saved(tmp_path):
    graph = GraphWriter()
    x = graph.placeholder("image", [None, None, None, 3])
    graph.op("y", "Relu", [x])
    graph_def = graph.graph_def()
    stated = {"input_name": "image", "image_shape": [16, 16, 3], "image_value_range": [0, 1]}
    node = graph_def.node.add(name="lucid_metadata_json", op="Const")
    node.attr["dtype"].type = 7
    node.attr["value"].tensor.dtype = 7
    node.attr["value"].tensor.tensor_shape.SetInParent()
    node.attr["value"].tensor.string_val.append(json.dumps(stated).encode())
    model = converters.convert(graph_def)
    assert model.metadata == converters.Metadata("image", (16, 16, 3), (0, 1), False)
    model.save(tmp_path / "model")
    assert converters.load(tmp_path / "model").metadata == model.metadata


def test_padding_with_infinity_survives_saving_and_the_standalone_module(tmp_path):
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    amounts = graph.const("amounts", np.array([[0, 0], [1, 0], [0, 2], [0, 0]], np.int32))
    graph.op("padded", "PadV2", [x, amounts, graph.const("value", np.float32(-np.inf))], Tpaddings=np.int32)
    model = converters.convert(graph.graph_def())
    model.save(tmp_path / "model", standalone=True)
    spec = importlib.util.spec_from_file_location("standalone_pad", tmp_path / "model" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = model(X)
    assert expected.isinf().any()
    for found in (converters.load(tmp_path / "model")(X), module.load()(X)["padded"]):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("layer", "arguments", "words"),
    [
        ("Resize", {"size": [3, 4, 5], "method": "bilinear", "convention": "legacy"}, "a height and a width"),
        (
            "LocalResponseNorm",
            {"channels": 5, "depth_radius": 5, "bias": 2.0, "alpha": 0.0001, "beta": 0.5},
            "is of 5 channels, and has 4",
        ),
    ],
)
def test_arguments_that_no_input_fits_are_refused_when_a_model_is_read(layer, arguments, words):
    with pytest.raises(converters.GraphError, match=words):
        Step("y", "op", layer, arguments, ("x",), channels=4)
