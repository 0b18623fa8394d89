"""Bad ONNX files end in an error of one clear sentence."""

from __future__ import annotations

import os
import sys

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

import converters
from converters import from_onnx
from converters.onnx.reading.files import fill_tensors
from parity_tests.converters.onnx_models import assert_close, conv_model, read, refuses, small_model, values
from parity_tests.converters.onnx_networks import FOLDER


def test_bytes_that_are_no_model(tmp_path):
    for data in (b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(100)):
        refuses(tmp_path, data, "no ONNX model")


def test_a_truncated_file(tmp_path):
    data = conv_model().SerializeToString()
    for part in range(1, 20):
        refuses(tmp_path, data[: len(data) * part // 20])


def test_names_that_are_no_text(tmp_path):
    data = conv_model().SerializeToString()
    assert data.count(b"window") == 1
    refuses(tmp_path, data.replace(b"window", b"wind\xff\xfe"), "no text")


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "nothing.onnx", tmp_path):
        with pytest.raises(FileNotFoundError):
            from_onnx(path)


def test_an_unknown_op(tmp_path):
    nodes = [helper.make_node("Invented", ["x"], ["a"], name="first"), helper.make_node("Relu", ["a"], ["y"])]
    error = refuses(tmp_path, small_model(nodes), "Invented", "first", kind=converters.UnsupportedOpsError)
    advice = "If 'a' is the image, name it with input_name='a' (--input-name a)."
    assert error == f"The graph has ops that cannot be converted: Invented (first). {advice}"


def test_ops_of_another_domain_and_unknown_ones(tmp_path):
    nodes = [
        helper.make_node("FusedConv", ["x"], ["a"], name="fused", domain="com.microsoft"),
        helper.make_node("SplitToSequence", ["a"], ["b"], name="parts"),
        helper.make_node("LSTM", ["a"], ["y"], name="memory"),
        helper.make_node("SequenceAt", ["b", "zero"], ["z"], name="part"),
    ]
    words = ("com.microsoft.FusedConv (fused)", "LSTM (memory)", "SequenceAt (part)", "SplitToSequence (parts)")
    model = small_model(nodes, {"zero": np.int64(0)}, opset=20)
    refuses(tmp_path, model, *words, kind=converters.UnsupportedOpsError)


def test_an_opset_that_is_too_new(tmp_path):
    refuses(tmp_path, conv_model(opset=999), "opset 999", "upgrade onnx")


@pytest.mark.parametrize("op", ["If", "Loop", "Scan"])
def test_control_flow(op, tmp_path):
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 3, 3])
    inner = helper.make_graph([helper.make_node("Relu", ["x"], ["r"])], "inner", [], [entry])
    keys = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}[op]
    node = helper.make_node(op, ["x"], ["y"], name="branch", **dict.fromkeys(keys, inner))
    refuses(tmp_path, small_model([node]), "control flow", f"{op} (branch)")


def two_inputs() -> onnx.ModelProto:
    sizes = {"image": [None, 3, None, None], "other": [None, 3, None, None], "vector": [None, 7]}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in sizes.items()]
    nodes = [
        helper.make_node("Relu", ["image"], ["a"]),
        helper.make_node("Add", ["image", "other"], ["b"]),
        helper.make_node("Tanh", ["a"], ["y"]),
    ]
    return small_model(nodes, inputs=inputs)


def test_several_inputs(tmp_path):
    refuses(tmp_path, two_inputs(), "3 inputs (image, other, vector)", "input_name")
    refuses(tmp_path, two_inputs(), "'imag'", "Did you mean image?", input_name="imag")
    refuses(tmp_path, two_inputs(), "No node of the graph", input_name="other")
    refuses(tmp_path, two_inputs(), "four axes", input_name="vector")
    network = read(tmp_path, two_inputs(), "image")
    assert list(network.layers) == ["image", "a", "y"]
    assert read(tmp_path, two_inputs(), "a").activations(torch.ones(1, 3, 2, 2), ["y"])["y"].shape == (1, 3, 2, 2)


def test_a_graph_without_input(tmp_path):
    node = helper.make_node("Relu", ["c"], ["y"])
    refuses(tmp_path, small_model([node], {"c": values(1, 2, 3, 3)}, inputs=[]), "no input")


def test_what_is_no_image(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"])
    refuses(tmp_path, small_model([node], shape=("n", 10), rank=2), "'x'", "[None, 10]", "four axes")
    words = helper.make_tensor_value_info("x", TensorProto.INT64, [1, 3, 4, 4])
    refuses(tmp_path, small_model([node], inputs=[words]), "INT64", "float32")


def test_a_node_that_reads_what_nothing_makes(tmp_path):
    refuses(tmp_path, small_model([helper.make_node("Add", ["x", "lost"], ["y"], name="sum")]), "'sum'", "'lost'")


def test_what_the_standard_forbids(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"], colour="red")
    refuses(tmp_path, small_model([node]), "no valid ONNX model", "colour")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: model.graph.initializer[0].dims.__setitem__(0, 2**40), ("Constant 'w'", "damaged")),
        (lambda model: model.graph.initializer[0].dims.__setitem__(0, -50), ("Constant 'w'", "-50")),
        (lambda model: model.graph.initializer[0].dims.__setitem__(0, 51), ("Constant 'w'", "bytes")),
        (lambda model: model.graph.node[0].attribute.append(helper.make_attribute("kernel_shape", [10**6, 10**6])),
         ("kernel_shape", "4096")),
        (lambda model: model.graph.node[0].attribute.append(helper.make_attribute("kernel_shape", [2000, 2000])),
         ("kernel_shape", "weights of shape")),
        (lambda model: model.graph.node[0].attribute.append(helper.make_attribute("pads", [0, 0, 10**6, 0])),
         ("pads", "4096")),
        (lambda model: model.graph.node[0].attribute.append(helper.make_attribute("strides", [-1, 1])), ("strides",)),
        (lambda model: model.graph.node[0].attribute.append(helper.make_attribute("group", 7)), ("group",)),
    ],
)  # fmt: skip
def test_sizes_that_make_no_sense(change, words, tmp_path):
    model = conv_model()
    change(model)
    refuses(tmp_path, model, *words)


@pytest.mark.parametrize(
    ("kind", "count"), [("FLOAT", 5), ("DOUBLE", 5), ("FLOAT16", 5), ("INT4", 3), ("COMPLEX64", 10)]
)
def test_a_constant_without_raw_bytes_has_the_values_of_its_shape(kind, count, tmp_path):
    tensor = helper.make_tensor("table", TensorProto.DataType.Value(kind), [5], [1, 0, 1, 1, 0])
    field = getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))
    fill_tensors(small_model([helper.make_node("Constant", [], ["y"], value=tensor)]), tmp_path)
    field.pop()
    model = small_model([helper.make_node("Constant", [], ["y"], value=tensor)])
    refuses(tmp_path, model, "'table' of shape [5]", f"has {count - 1} values where it needs {count}")


def external_model(location: str, **more: str) -> onnx.ModelProto:
    model = conv_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return model


def test_external_data(tmp_path):
    weights = values(50, 4, 3, 3)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "data.bin").write_bytes(bytes(8) + weights.tobytes())
    model = external_model("weights/data.bin", offset="8", length=str(weights.nbytes))
    x = torch.from_numpy(values(1, 4, 5, 6))
    assert_close(read(tmp_path, model).activations(x, ["y"])["y"], F.conv2d(x, torch.from_numpy(weights)))


def test_external_data_that_are_missing_or_short(tmp_path):
    refuses(tmp_path, external_model("data.bin"), "'data.bin'", "not in")
    refuses(tmp_path, external_model(""), "names no file")
    (tmp_path / "data.bin").write_bytes(bytes(7199))
    refuses(tmp_path, external_model("data.bin"), "needs 7200", "7199")
    (tmp_path / "data.bin").write_bytes(bytes(7300))
    refuses(tmp_path, external_model("data.bin", offset="200"), "7300")
    refuses(tmp_path, external_model("data.bin", length="7100"), "needs 7200")
    refuses(tmp_path, external_model("data.bin", offset="-8"), "no number of bytes")


def test_external_data_outside_the_folder(tmp_path):
    outside = tmp_path / "secret.bin"
    outside.write_bytes(bytes(7200))
    folder = tmp_path / "model"
    folder.mkdir()
    os.symlink(outside, folder / "link.bin")
    os.symlink(tmp_path, folder / "up")
    os.symlink("loop.bin", folder / "loop.bin")
    for location in ("../secret.bin", str(outside), "link.bin", "up/secret.bin", "../model/../secret.bin"):
        refuses(folder, external_model(location), "outside the model's folder")
    refuses(folder, external_model("loop.bin"), "'loop.bin'")
    (folder / "inside.bin").write_bytes(values(50, 4, 3, 3).tobytes())
    os.symlink(folder / "inside.bin", folder / "alias.bin")
    read(folder, external_model("alias.bin"))


def test_without_the_packages_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx.version_converter", None)
    with pytest.raises(converters.MissingPackageError, match=r"pip install -e '\.\[onnx\]'"):
        from_onnx(FOLDER / "resnet.onnx")
