"""Parts of TensorFlow graphs and ONNX files: what does not depend on unsupported ops, and chosen outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tensorboard.compat.proto.types_pb2 import DataType

import converters
from converters.errors import left_out_sentence
from converters.frozen.writer import GraphWriter
from converters.program.program import RESERVED_NAMES
from parity_tests.converters.onnx_models import read, refuses, small_model, window

KERNEL = np.random.RandomState(0).randn(3, 3, 3, 4).astype(np.float32)
WHY = "the op NonMaxSuppressionV3 of 'nms' cannot be converted"


def detector(extra: bool = False) -> GraphWriter:
    """input -> conv -> relu -> nms (unsupported) -> boxes, and relu + boxes."""
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    graph.op("relu", "Relu", [graph.conv2d("conv", x, graph.const("kernel", KERNEL))])
    graph.op("nms", "NonMaxSuppressionV3", ["relu"])
    graph.op("boxes", "Sigmoid", ["nms"])
    graph.op("sum", "AddV2", ["relu", "boxes"])
    if extra:
        graph.op("pooled", "Mean", ["relu", graph.const("axes", [1, 2])], Tidx=np.int32)
    return graph


def picture() -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(1).randn(2, 3, 7, 5).astype(np.float32))


def expected() -> torch.Tensor:
    return torch.conv2d(picture(), torch.from_numpy(KERNEL.transpose(3, 2, 0, 1).copy()), padding=1).relu()


def check(network, name: str = "relu") -> None:
    torch.testing.assert_close(network.activations(picture(), [name])[name], expected(), atol=1e-5, rtol=0)


# -- TensorFlow -------------------------------------------------------------------------------------------------------


def test_nodes_behind_an_unsupported_op_are_left_out():
    model = converters.convert(detector().graph_def())
    check(model)
    assert list(model.layers) == ["input", "conv", "relu"]
    assert model.outputs == ("relu",)
    assert dict(model.left_out) == {"nms": WHY, "boxes": WHY, "sum": WHY}
    for name in ("boxes", "boxes:0", "sum"):
        with pytest.raises(converters.LayerLeftOutError, match="was left out, because the op NonMaxSuppressionV3 of"):
            model.activations(picture(), [name])
    with pytest.raises(converters.LayerNotFoundError, match="Did you mean boxes") as caught:
        converters.convert(detector().graph_def()).layers["boxs"]
    assert not isinstance(caught.value, converters.LayerLeftOutError)


def test_the_outputs_that_are_left_are_those_of_the_graph():
    model = converters.convert(detector(extra=True).graph_def())
    assert model.outputs == ("pooled",)
    assert list(model.layers) == ["input", "conv", "relu", "pooled"]


def test_a_complete_graph_leaves_nothing_out(tmp_path):
    model = converters.convert(detector().graph_def(), outputs=["relu"])
    whole = GraphWriter()
    whole.op("relu", "Relu", [whole.placeholder("input", [None, None, None, 3])])
    complete = converters.convert(whole.graph_def())
    assert not complete.left_out
    complete.save(tmp_path / "complete")
    assert "left_out" not in json.loads((tmp_path / "complete" / "model.json").read_text())
    assert set(model.left_out) == {"nms", "boxes", "sum"}


def test_saved_models_keep_what_was_left_out(tmp_path):
    model = converters.convert(detector().graph_def())
    model.save(tmp_path / "model")
    loaded = converters.load(tmp_path / "model")
    assert dict(loaded.left_out) == dict(model.left_out)
    check(loaded)
    with pytest.raises(converters.LayerLeftOutError):
        loaded.layers["boxes"]


@pytest.mark.parametrize("left_out", [{"a": 1}, ["a"], "text", 3])
def test_a_saved_model_with_damaged_reasons(left_out, tmp_path):
    converters.convert(detector().graph_def()).save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "left_out": left_out}))
    with pytest.raises(converters.GraphError):
        converters.load(tmp_path / "model")


def test_chosen_outputs_are_all_that_is_judged():
    graph = detector(extra=True)
    graph.op("bad", "MatMul", ["relu", "relu"])  # refused wherever it is needed
    model = converters.convert(graph.graph_def(), outputs=["pooled", "relu:0"])
    check(model)
    assert model.outputs == ("pooled", "relu")
    assert set(model(picture())) == {"pooled", "relu"}
    assert "the outputs that were asked for (pooled, relu) do not depend on it" in model.left_out["bad"]
    with pytest.raises(converters.GraphError, match="'bad'"):
        converters.convert(graph.graph_def(), outputs=["bad"])


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (["sum"], "NonMaxSuppressionV3 (nms)"),
        (["relu", "boxes"], "NonMaxSuppressionV3 (nms)"),
        (["rulu"], "no node called 'rulu'. Did you mean relu?"),
        (["kernel"], "'kernel' does not depend on the input 'input'"),
        (["input"], "does not depend on the input"),
        (["relu:1"], "'relu:1' is not a layer"),
        ([], "empty list"),
    ],
)
def test_outputs_that_cannot_be_had(outputs, words):
    with pytest.raises(converters.GraphError) as caught:
        converters.convert(detector().graph_def(), outputs=outputs)
    assert words in str(caught.value)


@pytest.mark.parametrize("outputs", ["relu", [3]])
def test_outputs_are_a_list_of_names(outputs):
    with pytest.raises(TypeError, match="a list of names"):
        converters.convert(detector().graph_def(), outputs=outputs)


def looped() -> GraphWriter:
    """input -> a loop -> shifted -> conv -> relu -> a loop -> last; GraphWriter adds no node before its inputs."""
    graph = GraphWriter()
    graph.op("enter", "Enter", [graph.placeholder("input", [None, None, None, 3])])
    graph.op("merge", "Merge", ["enter", "enter"])
    graph.op("next", "NextIteration", ["merge"])
    graph.op("shifted", "Identity", ["merge"])
    padded = graph.op("pad", "Pad", ["shifted", graph.const("amounts", [[0, 0], [1, 1], [1, 1], [0, 0]])])
    graph.op("relu", "Relu", [graph.conv2d("conv", padded, graph.const("kernel", KERNEL), padding="VALID")])
    graph.op("merge2", "Merge", ["relu", "relu"])
    graph.op("next2", "NextIteration", ["merge2"])
    graph.op("last", "Sigmoid", ["merge2"])
    return graph


def with_loops():
    graph_def = looped().graph_def()
    for node in graph_def.node:
        if node.name in ("merge", "merge2"):
            node.input[1] = node.name.replace("merge", "next")
    return graph_def


def test_loops_before_a_named_input_do_not_matter_and_those_behind_are_left_out():
    graph_def = with_loops()
    model = converters.convert(graph_def, input_name="shifted")
    check(model)
    assert list(model.layers) == ["shifted", "pad", "conv", "relu"]
    assert set(model.left_out) == {"merge2", "next2", "last"}
    assert "the loop through 'merge2'" in model.left_out["last"]
    with pytest.raises(converters.GraphError, match="cycle through 'merge2'"):
        converters.convert(graph_def, input_name="shifted", outputs=["last"])


def test_the_advice_to_name_the_image_behind_a_loop():
    with pytest.raises(converters.GraphError, match=r"cycle through .* \(--input-name merge\)"):
        converters.convert(with_loops())  # no op but Identity and Pad lies between the loop and the convolution
    graph_def = with_loops()
    next(node for node in graph_def.node if node.name == "shifted").op = "Neg"
    with pytest.raises(converters.GraphError, match=r"cycle through .* \(--input-name shifted\)"):
        converters.convert(graph_def)
    check(converters.convert(graph_def, input_name="shifted"))


def test_the_advice_to_name_the_image_behind_an_unsupported_op():
    graph = GraphWriter()
    y = graph.op("scaled", "Neg", [graph.placeholder("input", [None, None, None, 3])])
    y = graph.op("sized", "ResizeBicubic", [y])
    graph.op("relu", "Relu", [graph.conv2d("conv", y, graph.const("kernel", KERNEL))])
    with pytest.raises(converters.UnsupportedOpsError, match=r"ResizeBicubic \(sized\).* \(--input-name sized\)"):
        converters.convert(graph.graph_def())
    check(converters.convert(graph.graph_def(), input_name="sized"))


def test_labels_are_no_reason_to_refuse_the_layers_before_them():
    graph = detector()
    labels = graph.placeholder("labels", [None, 4])
    graph.op("error", "Sub", ["relu", labels])
    model = converters.convert(graph.graph_def(), input_name="input")
    check(model)
    assert "placeholder 'labels' (float32) is a second input" in model.left_out["error"]
    given = converters.convert(graph.graph_def(), input_name="input", constants={"labels": [[1, 2, 3, 4]]})
    shifted = expected() - torch.arange(1.0, 5.0).reshape(1, 4, 1, 1)
    torch.testing.assert_close(given.activations(picture(), ["error"])["error"], shifted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("decides", ["switch", "dropout"])
def test_values_to_be_set_are_refused_unless_an_output_does_without(decides):
    graph = detector(extra=True)
    if decides == "switch":
        graph.op("choice", "Switch", ["relu", graph.placeholder("training", [], np.bool_)])
    else:
        graph.op("choice", "Mul", ["relu", graph.placeholder("training", [])])
    model = converters.convert(graph.graph_def())
    assert "--set training=VALUE" in model.left_out["choice"]
    assert model.outputs == ("pooled",)
    with pytest.raises(converters.GraphError, match="--set training=VALUE"):
        converters.convert(graph.graph_def(), outputs=["choice"])


def test_statistics_that_only_updates_read():
    """Leftovers of moving averages read the mean and the variance of a batch norm in inference mode."""
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    numbers = [graph.const(f"n{index}", np.float32([1, 2, 4])) for index in range(4)]
    graph.op("norm", "FusedBatchNorm", [x, *numbers], is_training=False, data_format="NHWC", epsilon=0.0)
    update = graph.op("difference", "Sub", [graph.const("moving", np.float32([3, 3, 3])), "norm:1"])
    graph.op("update", "AssignSub", [graph.const("variable", np.float32([0, 0, 0])), update])
    model = converters.convert(graph.graph_def())
    assert model.outputs == ("norm",)
    scale = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(model(picture()), (picture() - scale) / scale.sqrt() * scale + scale)


def test_layers_may_have_the_names_of_the_models_attributes():
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    own = [kind for kind in converters.ConvertedModel.__mro__ if kind.__module__.startswith("converters")]
    added = RESERVED_NAMES.union(*map(vars, own))  # other packages may add attributes to torch's modules at run time
    names = [name for name in dir(converters.ConvertedModel) if not name.startswith("_") and name in added]
    for name in names:
        x = graph.op(name, "Neg", [x])
    model = converters.convert(graph.graph_def())
    assert list(model.layers) == ["input", *names]
    torch.testing.assert_close(model(picture()), picture() * (-1) ** len(names))


def test_one_sentence_whatever_was_left_out():
    reasons = {f"layer{index}": f"reason {index % 5}" for index in range(50)}
    sentence = left_out_sentence(reasons)
    assert sentence.startswith("Left out: 10 layers (layer0, layer5, layer10 and 7 more), because reason 0; 10 layers")
    assert sentence.endswith("; and 2 more reasons.")
    assert left_out_sentence({}) == ""


def test_a_text_placeholder_beside_the_image_is_no_input():
    graph = detector()
    graph.placeholder("note", [], np.float32)
    graph.op("use", "Identity", ["note"])
    graph_def = graph.graph_def()
    next(node for node in graph_def.node if node.name == "note").attr["dtype"].type = DataType.DT_STRING
    check(converters.convert(graph_def))


# -- ONNX -------------------------------------------------------------------------------------------------------------


def onnx_detector(unsupported: str):
    nodes = [
        window("Conv", ["x", "w"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y:0"], ["relu:0"], name="relu_node"),
        helper.make_node(unsupported, ["relu:0"], ["best:0"], name="best"),
        helper.make_node("Sigmoid", ["best:0"], ["boxes:0"], name="boxes_node"),
    ]
    return small_model(nodes, {"w": KERNEL.transpose(3, 2, 0, 1).copy()}, shape=["n", 3, "h", "w"])


def test_onnx_nodes_behind_an_unsupported_op_are_left_out(tmp_path):
    network = read(tmp_path, onnx_detector("Det"))
    check(network)
    assert network.outputs == ("relu",)
    assert set(network.left_out) == {"best", "boxes", "boxes_node"}
    assert network.left_out["boxes"] == "the op Det of 'best' cannot be converted"
    for name in ("boxes", "boxes_node", "best"):
        with pytest.raises(converters.LayerLeftOutError, match="the op Det of 'best'"):
            network.activations(picture(), [name])


@pytest.mark.parametrize("name", ["relu", "relu:0", "relu_node"])
def test_chosen_onnx_outputs(name, tmp_path):
    network = read(tmp_path, onnx_detector("Det"), outputs=[name])
    check(network)
    assert network.outputs == ("relu",)
    assert "do not depend on it" in network.left_out["boxes"]


def test_onnx_outputs_that_cannot_be_had(tmp_path):
    refuses(tmp_path, onnx_detector("Det"), "Det (best)", outputs=["boxes"])
    refuses(tmp_path, onnx_detector("Det"), "no value called 'rulu'", outputs=["rulu"])
    refuses(tmp_path, onnx_detector("Det"), "empty list", outputs=[])
    with pytest.raises(TypeError, match="a list of names"):
        read(tmp_path, onnx_detector("Det"), outputs="relu")


def test_onnx_control_flow_behind_the_layers_that_matter(tmp_path):
    branch = helper.make_graph(
        [helper.make_node("Neg", ["relu:0"], ["inner"])], "branch", [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )  # fmt: skip
    model = onnx_detector("Neg")
    condition = helper.make_node("ReduceMax", ["relu:0"], ["largest"], keepdims=0)
    model.graph.node.insert(2, condition)
    model.graph.node.insert(3, helper.make_node("Cast", ["largest"], ["condition"], to=TensorProto.BOOL))
    node = helper.make_node("If", ["condition"], ["chosen"], name="if", then_branch=branch, else_branch=branch)
    model.graph.node.append(node)
    model.graph.output.append(helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None))
    network = read(tmp_path, model)
    check(network)
    assert network.left_out["chosen"] == "the op If, which has graphs of its own, of 'if' cannot be converted"


STATISTICS = {name: np.float32([1, 2, 3, 4]) for name in "sbmv"}


@pytest.mark.parametrize(
    ("node", "constants", "words"),
    [
        (helper.make_node("Relu", ["relu:0"], ["bad"], domain="com.example"), {}, "op com.example.Relu of 'bad'"),
        (helper.make_node("BatchNormalization", ["relu:0", *"sbmv"], ["bad", "n", "o"], training_mode=1), STATISTICS,
         "node 'bad' (BatchNormalization) is in training mode"),
        (helper.make_node("Dropout", ["relu:0", "r", "t"], ["bad"]), {"r": np.float32(0.5), "t": np.array(True)},
         "node 'bad' (Dropout) is in training mode"),
        (helper.make_node("MaxPool", ["relu:0"], ["bad", "places"], kernel_shape=[2, 2]), {},
         "the op MaxPool with 2 outputs of 'bad'"),
        (helper.make_node("Conv", ["relu:0", "relu:0"], ["bad"]), {}, "weights 'relu:0' that the graph computes"),
        (helper.make_node("Cast", ["relu:0"], ["bad"], to=TensorProto.COMPLEX64), {}, "'bad' (Cast) casts to type 14"),
        (helper.make_node("Reshape", ["s", "shape"], ["bad"]), {**STATISTICS, "shape": np.int64([3, 5])},
         "cannot be computed from its constants"),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else "",
)  # fmt: skip
def test_onnx_nodes_that_are_refused_by_name_are_left_out(node, constants, words, tmp_path):
    nodes = [
        window("Conv", ["x", "w"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y:0"], ["relu:0"]),
        node,
        helper.make_node("Mul", ["relu:0", "bad"], ["last"]),
        *(helper.make_node("Mul", ["last", name], ["more"]) for name in node.output if name == "places"),
    ]
    constants = {**constants, "w": KERNEL.transpose(3, 2, 0, 1).copy()}
    model = small_model(nodes, constants, shape=["n", 3, "h", "w"], opset=16)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    network = read(tmp_path, model)
    check(network)
    assert network.outputs == ("relu",)
    assert words in network.left_out["last"]
    with pytest.raises(converters.LayerLeftOutError):
        network.layers["bad"]
    check(read(tmp_path, model, outputs=["relu"]))
    refuses(tmp_path, model, "bad", outputs=[model.graph.output[0].name])


def test_an_image_that_is_only_passed_on_is_no_network(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Invented", ["turned"], ["y"], name="first"),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    refuses(tmp_path, small_model(nodes, shape=["n", "h", "w", 3]), "Invented (first)")


def test_an_image_whose_convolutions_are_all_lost_is_no_network(tmp_path):
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"]),
        helper.make_node("Invented", ["scaled"], ["sized"], name="first"),
        window("Conv", ["sized", "w"]),
    ]
    refuses(tmp_path, small_model(nodes, {"scale": np.float32(2), "w": KERNEL}), "Invented (first)")


def test_onnx_values_of_other_inputs_are_left_out(tmp_path):
    model = onnx_detector("Neg")
    model.graph.input.append(helper.make_tensor_value_info("info", TensorProto.FLOAT, [1, 3]))
    model.graph.node.append(helper.make_node("ReduceMax", ["info"], ["scale"], keepdims=0))
    model.graph.node.append(helper.make_node("Mul", ["boxes:0", "scale"], ["scaled"], name="scaled_node"))
    model.graph.output.append(helper.make_tensor_value_info("scaled", TensorProto.FLOAT, None))
    network = read(tmp_path, model, "x")
    check(network)
    assert network.left_out["scaled"] == (
        "it depends on the input 'info', and a network takes one image: "
        "set its value with constants={'info': ...} (--set info=VALUE)"
    )


def test_every_kind_of_file_takes_outputs(tmp_path: Path):
    model = onnx_detector("Det")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    frozen = detector().write(tmp_path / "graph.pb")
    for source in (path, frozen):
        check(converters.open_source(source, outputs=["relu"]))
