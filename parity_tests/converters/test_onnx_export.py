"""Converted models as ONNX files: valid, named as TensorFlow named them, and equal to the model at every size."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

import converters
import converters.frozen.writer
from converters.layers import LAYERS
from converters.onnx.writing.export import onnx_model
from converters.onnx.writing.exporters import EXPORTERS, NOT_EXPORTED
from lucid_port.cli import main
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from parity_tests.cases import CASES, INPUT
from parity_tests.cases.converted import converted
from parity_tests.converters.onnx_runtimes import RUNTIMES, run

# Of a layer's maximum. Both runtimes and torch measure 8e-7 apart at worst where nothing cancels.
BOUND = 1e-5
# onnxruntime keeps LRN's sum of squares while it goes over the channels, adding one square and taking one off, which
# cancels where alpha times the squares is far above the bias: 4.7e-5 and 4.6e-4 in these two, whose values reach 60.
CANCELLING = {("onnxruntime", "lrn-1-0.5-0.3-0.9"): 1e-4, ("onnxruntime", "lrn-0-1-2-1"): 1e-3}
# A difference of equal sums, of which runtimes leave one or the other rounding: up to 1.2e-7, and nothing else.
ROUNDINGS = {"sizes-shapes": 2e-7}


def onnx_of(model, names):
    return onnx_model(model.program, model.state_dict(), names)


@functools.cache
def inception(width: float) -> converters.ConvertedModel:
    return converters.convert(seeded_inceptionv1(width=width))


def layers_behind_the_input(model: converters.ConvertedModel) -> list[str]:
    return [name for name in model.layers if name != model.metadata.input_name]


def image(height: int, width: int, batch: int = 2) -> torch.Tensor:
    draws = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height * width))
    return draws * 255 - 117


def assert_equal(found, expected, bound: float = BOUND, rounding: float = 0.0) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        value, kind = value.numpy(), found[name].dtype
        assert (found[name].shape, kind) == (value.shape, value.dtype), name
        one, other = found[name].astype(np.float64), value.astype(np.float64)
        finite = np.isfinite(other)
        assert np.array_equal(one[~finite], other[~finite], equal_nan=True), name
        if finite.any():
            assert np.abs(one - other)[finite].max() <= bound * np.abs(other[finite]).max() + rounding, name


def computable(model: converters.ConvertedModel, x: torch.Tensor) -> list[str]:
    """The layers that this size of image has; TensorFlow refuses the others, too (see test_op_parity)."""
    found = []
    for name in layers_behind_the_input(model):
        try:
            model.activations(x, [name])
        except converters.InputSizeError:
            continue
        found.append(name)
    return found


def test_every_kind_of_layer_is_written_or_said_not_to_be():
    assert set(EXPORTERS) | set(NOT_EXPORTED) == set(LAYERS)
    assert not set(EXPORTERS) & set(NOT_EXPORTED)
    assert all(NOT_EXPORTED.values())


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # the evaluator's, where np.where drops the value
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", CASES)
def test_ops(name, runtime):
    model = converted(name)
    kinds = {step.layer for step in model.program.steps}
    if kinds & set(NOT_EXPORTED):
        with pytest.raises(converters.GraphError, match="cannot be written"):
            onnx_of(model, layers_behind_the_input(model))
        return
    onnx.checker.check_model(onnx_of(model, layers_behind_the_input(model)), full_check=True)
    compared: list[str] = []
    for spec in CASES[name].specs().values():
        x = torch.from_numpy(spec.make())
        x = x.permute(0, 3, 1, 2) if model.program.input_layout == "NHWC" else x
        names = computable(model, x)
        compared += names
        if not names:
            continue
        values = run(runtime, onnx_of(model, names), {INPUT: x.numpy()})
        bound = CANCELLING.get((runtime, name), BOUND)
        assert_equal(values, model.activations(x, names), bound, ROUNDINGS.get(name, 0.0))
    assert compared


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("size", [(224, 224), (225, 237)])
def test_inceptionv1(runtime, size):
    model = inception(0.1 if runtime == "reference" else 1.0)  # the evaluator is written to be read, not to be fast
    names = [
        "conv2d0_pre_relu",
        "localresponsenorm1",
        "mixed3b_pre_relu",
        "mixed4d",
        "avgpool0",
        "softmax2",
        "softmax0",
    ]
    proto = onnx_of(model, names)
    x = image(*size)
    assert_equal(run(runtime, proto, {"input": x.numpy()}), model.activations(x, names))


def test_the_standard_is_kept_also_where_padding_is_computed():
    """A window shorter than its step, which `auto_pad` says only to some runtimes."""
    proto = onnx_of(converted("AvgPool-2-stride-3-SAME"), ["y"])
    ops = [node.op_type for node in proto.graph.node]
    assert ops.count("AveragePool") == 2
    assert "Shape" in ops
    assert not any(attribute.name == "auto_pad" for node in proto.graph.node for attribute in node.attribute)


def test_names_are_tensorflows():
    names = ["softmax2", "mixed4a_pre_relu", "conv2d0:0"]
    graph = onnx_of(inception(0.1), names).graph
    assert [value.name for value in graph.output] == ["softmax2", "mixed4a_pre_relu", "conv2d0"]
    assert [value.name for value in graph.input] == ["input"]
    steps = {step.name for step in inception(0.1).program.needed(["softmax2", "mixed4a_pre_relu", "conv2d0"])}
    assert steps <= {node.name for node in graph.node}
    assert all(node.name == node.output[0] for node in graph.node)
    assert "nn1" not in steps


def test_only_what_the_layers_need_is_written():
    graph = onnx_of(inception(0.1), "conv2d0").graph
    assert [node.name for node in graph.node] == ["conv2d0_pre_relu/conv", "conv2d0_pre_relu", "conv2d0"]
    assert len(graph.initializer) == 2
    assert all(tensor.HasField("raw_data") for tensor in graph.initializer)


def test_batch_height_and_width_are_open():
    shape = onnx_of(inception(0.1), ["mixed4a"]).graph.input[0].type.tensor_type.shape
    assert [dim.dim_param or dim.dim_value for dim in shape.dim] == ["batch", 3, "height", "width"]


def test_parts_get_other_names_than_layers():
    graph = converters.frozen.writer.GraphWriter()
    x = graph.placeholder("x", [None, None, None, 2])
    y = graph.bias_add("y", x, graph.const("b", np.ones(2, np.float32)))
    graph.op("y/bias", "Relu", [y])  # what the bias of y would be called
    model = converters.convert(graph.graph_def())
    proto = onnx_of(model, ["y", "y/bias"])
    onnx.checker.check_model(proto)
    x = image(3, 5)[:, :2]
    assert_equal(run("reference", proto, {"x": x.numpy()}), model.activations(x, ["y", "y/bias"]))


def test_without_layers_the_outputs_are_written(tmp_path):
    path = converted("dense").to_onnx(tmp_path / "dense.onnx")
    assert [value.name for value in onnx.load(path).graph.output] == list(converted("dense").outputs)


def test_properties(tmp_path):
    metadata = converters.Metadata("input", (224, 224, 3), (-117.0, 138.0), True)
    model = converters.convert(seeded_inceptionv1(width=0.1), metadata=metadata)
    path = model.to_onnx(tmp_path / "m.onnx", ["conv2d0"], properties={"name": "InceptionV1"})
    stated = {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}
    assert stated["lucid_port.image_value_range"] == [-117.0, 138.0]
    assert stated["lucid_port.is_BGR"] is True
    assert stated["lucid_port.name"] == "InceptionV1"
    assert stated["lucid_port.fingerprint"] == model.program.fingerprint


def test_changed_weights_are_written():
    model = converters.convert(CASES["conv-3-stride-2-SAME"].graph_def())
    with torch.no_grad():
        model.conv.weight.mul_(2)
    x = image(7, 9)[:, :1].expand(-1, 6, -1, -1)
    proto = onnx_of(model, ["conv"])
    assert_equal(run("reference", proto, {"x": x.numpy()}), model.activations(x, ["conv"]))


def test_external_data(tmp_path):
    model = inception(0.1)
    path = model.to_onnx(tmp_path / "m.onnx", ["mixed4a"], external_data=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    inside = onnx.load(path, load_external_data=False).graph.initializer
    assert all(len(tensor.raw_data) < 1024 for tensor in inside)
    onnx.checker.check_model(path, full_check=True)
    x = image(97, 161)
    assert_equal(run("reference", onnx.load(path), {"input": x.numpy()}), model.activations(x, ["mixed4a"]))


def test_weights_that_no_file_can_hold_go_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("converters.onnx.writing.export.MAX_INLINE", 1000)
    inception(0.1).to_onnx(tmp_path / "m.onnx", ["conv2d1"])
    assert (tmp_path / "m.onnx.data").is_file()
    with pytest.raises(converters.SaveError, match="external data"):
        inception(0.1).to_onnx(tmp_path / "n.onnx", ["conv2d1"], external_data=False)
    assert not list(tmp_path.glob("*n.onnx*"))


def test_a_file_that_is_there_stays(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(converters.SaveError, match="exists already"):
        inception(0.1).to_onnx(path, ["conv2d0"])
    assert path.read_bytes() == b"mine"
    inception(0.1).to_onnx(path, ["conv2d0"], overwrite=True)
    onnx.checker.check_model(path)


def test_nothing_is_left_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(converters.SaveError, match="is a file"):
        inception(0.1).to_onnx(tmp_path / "file" / "m.onnx", ["conv2d0"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_unknown_layers(tmp_path):
    with pytest.raises(converters.LayerNotFoundError, match="Did you mean mixed4a"):
        inception(0.1).to_onnx(tmp_path / "m.onnx", ["mixed4aa"])
    with pytest.raises(converters.GraphError, match="input"):
        inception(0.1).to_onnx(tmp_path / "m.onnx", ["input"])
    with pytest.raises(converters.GraphError, match="list of layers is empty"):
        inception(0.1).to_onnx(tmp_path / "m.onnx", [])


def test_a_replaced_layer_is_refused(tmp_path):
    model = converters.convert(seeded_inceptionv1(width=0.1))
    model.maxpool0 = torch.nn.Identity()
    with pytest.raises(converters.GraphError, match="'maxpool0' was replaced by a Identity"):
        model.to_onnx(tmp_path / "m.onnx", ["mixed3a"])
    model.to_onnx(tmp_path / "m.onnx", ["conv2d0"])


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(converters.MissingPackageError, match=r"pip install -e '\.\[onnx\]'"):
        inception(0.1).to_onnx(tmp_path / "m.onnx", ["conv2d0"])


def test_converters_does_not_import_onnx():
    code = "import sys, converters, converters.onnx, lucid_port.cli; assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command(tmp_path, capsys):
    path = tmp_path / "seeded.onnx"
    assert main(["export", "InceptionV1_seeded", "-o", str(path), "--layers", "mixed3a, conv2d0"]) == 0
    assert capsys.readouterr().out == f"{path}: mixed3a, conv2d0\n"
    model = onnx.load(path)
    assert [value.name for value in model.graph.output] == ["mixed3a", "conv2d0"]
    assert {"lucid_port.name", "lucid_port.image_value_range"} <= {entry.key for entry in model.metadata_props}
    assert main(["export", "InceptionV1_seeded", "-o", str(path)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["export", "InceptionV1_seeded", "-o", str(path), "--overwrite", "--layers", "mixed3"]) == 1
    assert "mixed3a" in capsys.readouterr().err
