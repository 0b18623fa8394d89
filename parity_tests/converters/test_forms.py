"""Every kind of layer in all the forms that a model takes: converted, copied, saved, and written as a module."""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import pickle
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch

import converters
from converters.frozen.writer import GraphWriter
from converters.layers import LAYERS
from converters.reference.check import model_input
from parity_tests.cases import CASES
from parity_tests.cases.converted import converted


@functools.cache
def forms() -> Mapping[str, str]:
    """Case -> what is new in it: a first case for each layer with each set of arguments, hidden ones included."""
    found: dict[str, str] = {}
    seen = set()
    for name in CASES:
        model = converted(name)
        kinds = {(step.layer, *sorted(step.arguments), step.outputs > 1, step.hidden) for step in model.program.steps}
        if kinds - seen:
            found[name] = ", ".join(sorted(kind[0] for kind in kinds - seen))
            seen |= kinds
    return found


def names_in_order(model: converters.ConvertedModel) -> Iterator[str]:
    for step in model.program.steps:
        if not step.hidden:
            yield step.name
            yield from (f"{step.name}:{index}" for index in range(1, step.outputs))


def test_every_kind_of_layer_is_among_the_cases():
    kinds = {step.layer for name in forms() for step in converted(name).program.steps}
    assert kinds == set(LAYERS)


@pytest.mark.parametrize("name", forms())
def test_all_forms_give_the_same_values(name, tmp_path):
    model = converted(name)
    spec = next(iter(CASES[name].specs().values()))
    x, names = model_input(model, spec.make()), list(names_in_order(model))
    expected = dict(zip(names, model.subgraph(names)(x), strict=True))
    model.save(tmp_path / "model", standalone=True)
    spec = importlib.util.spec_from_file_location("standalone_form", tmp_path / "model" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded = converters.load(tmp_path / "model")
    assert dict(loaded.layers) == dict(model.layers)
    for twin in (loaded, pickle.loads(pickle.dumps(model))):
        for key, value in zip(names, twin.subgraph(names)(x), strict=True):
            assert_equal(value, expected[key])
    for key, value in module.load()(x, names).items():
        assert_equal(value, expected[key])


def assert_equal(value: torch.Tensor, expected: torch.Tensor) -> None:
    # Exponentials round differently at the end of a vector register: 9e-8 measured where memory is aligned otherwise.
    torch.testing.assert_close(value, expected, rtol=5e-7, atol=5e-7)


def split_graph() -> GraphWriter:
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 6])
    graph.op("parts", "Split", [graph.const("axis", np.int32(3)), x], num_split=3)
    return graph


def test_every_output_has_a_name():
    model = converters.convert(split_graph().graph_def())
    x = torch.randn(2, 6, 5, 7)
    found = model.activations(x, ["parts:2", "parts", "parts:1", "parts:0"])
    for name, start in (("parts:2", 4), ("parts", 0), ("parts:1", 2), ("parts:0", 0)):
        torch.testing.assert_close(found[name], x[:, start : start + 2], rtol=0, atol=0)
    assert model.layers["parts:2"].channels == 2
    assert list(model.layers) == ["input", "parts"]


@pytest.mark.parametrize("name", ["parts:3", "input:1", "parts:x"])
def test_outputs_that_are_not_there(name):
    model = converters.convert(split_graph().graph_def())
    with pytest.raises(converters.LayerNotFoundError, match=name):
        model.activations(torch.zeros(1, 6, 4, 4), [name])


def test_an_output_that_a_node_does_not_have_cannot_be_read():
    graph = split_graph()
    graph.op("y", "Relu", ["parts:3"])
    with pytest.raises(converters.GraphError, match="output 3 of node 'parts'"):
        converters.convert(graph.graph_def())


def test_a_later_output_of_a_split_of_sizes_is_a_value():
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    mean = graph.op("mean", "Mean", [x, graph.const("axes", [1, 2])], Tidx=np.int32)
    shape = graph.op("shape", "Shape", [x], out_type=np.int32)
    sizes = graph.op("sizes", "Cast", [shape], T=None, SrcT=np.int32, DstT=np.float32)
    split = graph.op("split", "Split", [graph.const("dim", 0), sizes], num_split=4)
    graph.op("y", "AddV2", [mean, f"{split}:1"])
    model = converters.convert(graph.graph_def())
    assert model.activations(torch.zeros(1, 3, 7, 9), ["y"])["y"].tolist() == [[7, 7, 7]]


def test_what_brings_values_into_form_is_no_layer():
    """A rank-3 value meets an image; turning it is no op of the graph."""
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    row = graph.op("row", "Mean", [x, graph.const("axes", [0])], keep_dims=False, Tidx=np.int32)
    graph.op("y", "AddV2", [x, row])
    model = converters.convert(graph.graph_def())
    assert list(model.layers) == ["input", "row", "y"]
    assert any(step.hidden for step in model.program.steps)
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(model.activations(x, ["y"])["y"], x + x.mean(0, keepdim=True))


def test_layouts_are_said():
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    graph.op("turned", "Transpose", [x, graph.const("perm", [0, 3, 1, 2])], Tperm=np.int32)
    graph.op("back", "Transpose", ["turned", graph.const("back/perm", [0, 2, 3, 1])], Tperm=np.int32)
    model = converters.convert(graph.graph_def())
    assert [model.layers[name].layout for name in ("input", "turned", "back")] == ["NHWC", "NCHW", "NHWC"]
    x = torch.randn(2, 3, 4, 5)
    for value in model.activations(x, ["turned", "back"]).values():
        assert value.data_ptr() == x.data_ptr()  # nothing is moved


def test_a_file_of_before_layouts_still_loads(tmp_path):
    """Old files say nothing of layouts, outputs, hidden steps or folding."""
    model = converters.convert(CASES["Concat"].graph_def())
    model.save(tmp_path / "model")
    data = json.loads((tmp_path / "model" / "model.json").read_text())
    del data["input_layout"], data["fold"]
    assert not any({"layout", "outputs", "hidden"} & set(step) for step in data["steps"])
    (tmp_path / "model" / "model.json").write_text(json.dumps(data))
    x = torch.randn(1, 6, 5, 7)
    found = converters.load(tmp_path / "model").activations(x, ["mixed", "mixed_pre_relu"])
    torch.testing.assert_close(found, model.activations(x, ["mixed", "mixed_pre_relu"]), rtol=0, atol=0)


def test_a_model_with_every_form_can_be_sent_to_another_process():
    buffer = io.BytesIO()
    torch.save(converters.convert(CASES["sizes-tokens"].graph_def()), buffer)
    buffer.seek(0)
    twin = torch.load(buffer, weights_only=False)
    assert twin.activations(torch.randn(1, 4, 5, 6), ["tokens"])["tokens"].shape == (1, 30, 4)


def preprocessed(shape: list[int | None], dtype: type, expands: bool) -> converters.ConvertedModel:
    """Preprocessing as exported graphs begin with it, and a convolution."""
    graph = GraphWriter()
    x = graph.placeholder("input", shape, dtype)
    if dtype is not np.float32:
        x = graph.op("cast", "Cast", [x], T=None, SrcT=dtype, DstT=np.float32)
    x = graph.op("centred", "Sub", [x, graph.const("mean", np.array([120, 110, 100], np.float32))])
    if expands:
        x = graph.op("batched", "ExpandDims", [x, graph.const("axis", np.int32(0))], Tdim=np.int32)
    graph.conv2d("y", x, graph.const("w", np.random.RandomState(0).randn(3, 3, 3, 4).astype(np.float32)))
    return converters.convert(graph.graph_def())


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_a_graph_of_one_image_takes_a_batch(dtype):
    x = torch.rand(2, 3, 6, 5) * 255
    model = preprocessed([None, None, 3], dtype, expands=True)
    expected = preprocessed([None, None, None, 3], np.float32, expands=False).activations(x, ["y"])["y"]
    torch.testing.assert_close(model.activations(x, ["y"])["y"], expected, rtol=0, atol=0)
    torch.testing.assert_close(model.activations(x, ["batched", "centred"])["batched"][1, 2], x[1, 2] - 100)


def test_a_graph_of_one_image_that_never_becomes_a_batch():
    with pytest.raises(converters.GraphError, match="'input' has shape"):
        preprocessed([None, None, 3], np.float32, expands=False)


def test_whole_numbers_are_cast_for_an_image_that_is_float_already():
    x = (torch.rand(1, 3, 4, 5) * 255).requires_grad_()
    value = preprocessed([None, None, None, 3], np.int32, expands=False).activations(x, ["cast"])["cast"]
    torch.testing.assert_close(value, x, rtol=0, atol=0)
    assert value.requires_grad
