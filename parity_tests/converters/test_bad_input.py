"""Bad graphs: each gives one clear error, and none costs memory or runs code."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.types_pb2 import DataType

import converters
from converters.frozen.writer import GraphWriter


def small_graph() -> GraphWriter:
    """input -> conv (3 to 4 channels) -> relu."""
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    kernel = graph.const("w", np.random.RandomState(0).randn(3, 3, 3, 4).astype(np.float32))
    conv = graph.conv2d("conv", x, kernel)
    graph.op("relu", "Relu", [conv])
    return graph


def node(graph_def: GraphDef, name: str):
    return next(node for node in graph_def.node if node.name == name)


def refuses(source, *words: str, **options: object) -> str:
    """The error's sentence, which has all these words in it."""
    with pytest.raises(converters.ConverterError) as caught:
        converters.convert(source, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


def test_a_truncated_file(tmp_path):
    data = small_graph().graph_def().SerializeToString()
    path = tmp_path / "cut.pb"
    path.write_bytes(data[: len(data) // 2])
    refuses(path, "not a frozen TensorFlow graph")


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"hello"], ids=["empty", "png", "text"])
def test_bytes_that_are_no_graph(data):
    refuses(data, "frozen TensorFlow graph")


def test_a_folder_is_no_graph(tmp_path):
    refuses(tmp_path, "folder")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        converters.convert(tmp_path / "nothing.pb")


def test_something_that_is_no_source():
    with pytest.raises(TypeError, match="path, bytes or a GraphDef"):
        converters.convert(3)


def test_unfrozen_variables():
    graph = small_graph().graph_def()
    node(graph, "w").op = "VariableV2"
    refuses(graph, "unfrozen", "'w'", ".meta", "SavedModel", "freeze")


def test_every_unknown_op_and_node_is_named_at_once():
    graph = small_graph()
    graph.op("a", "Frobnicate", ["relu"])
    graph.op("b", "Frobnicate", ["a"])
    graph.op("c", "Transmogrify", ["b"])
    with pytest.raises(converters.UnsupportedOpsError) as caught:
        converters.convert(graph.graph_def(), outputs=["c"])
    assert caught.value.ops == {"Frobnicate": ["a", "b"], "Transmogrify": ["c"]}
    assert "Frobnicate (a, b)" in str(caught.value)
    assert "Transmogrify (c)" in str(caught.value)


def test_an_unknown_op_that_the_input_does_not_reach_is_no_obstacle():
    graph = small_graph()
    graph.op("init", "NoOp", [], T=None)
    assert "relu" in converters.convert(graph.graph_def()).layers


def test_a_cycle():
    graph = small_graph().graph_def()
    node(graph, "conv").input[0] = "relu"
    refuses(graph, "cycle")


def test_a_missing_input_node():
    graph = small_graph().graph_def()
    del graph.node[0]
    refuses(graph, "'conv'", "'input'")


def test_no_placeholder():
    graph = GraphWriter()
    graph.const("w", np.ones(3, np.float32))
    refuses(graph.graph_def(), "no input")


def test_several_placeholders_are_named_and_one_can_be_chosen():
    graph = small_graph()
    graph.op("relu2", "Relu", [graph.placeholder("other", [None, None, None, 3])])
    refuses(graph.graph_def(), "input, other", "input_name")
    assert converters.convert(graph.graph_def(), input_name="input").metadata.input_name == "input"


def test_placeholders_that_no_node_reads_are_no_inputs():
    graph = small_graph()
    graph.placeholder("other", [None, None, None, 3])
    assert converters.convert(graph.graph_def()).metadata.input_name == "input"


def test_an_input_name_that_is_not_there_offers_the_nearest():
    with pytest.raises(converters.GraphError, match="Did you mean input"):
        converters.convert(small_graph().graph_def(), input_name="inptu")


def test_an_input_that_is_no_image():
    graph = GraphWriter()
    x = graph.placeholder("rows", [None, 10])
    graph.matmul("y", x, graph.const("w", np.ones((10, 2), np.float32)))
    refuses(graph.graph_def(), "rows", "(None, 10)")


def test_two_nodes_of_one_name():
    graph = small_graph().graph_def()
    graph.node.add().CopyFrom(graph.node[0])
    refuses(graph, "'input'", "Two nodes")


@pytest.mark.parametrize("change", [-4, 4])
def test_a_constant_whose_bytes_do_not_fit_its_shape(change):
    graph = small_graph().graph_def()
    tensor = node(graph, "w").attr["value"].tensor
    tensor.tensor_content = tensor.tensor_content[:change] if change < 0 else tensor.tensor_content + bytes(change)
    refuses(graph, "'w'", "bytes", "[3, 3, 3, 4]")


def test_nan_weights():
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 1])
    graph.conv2d("conv", x, graph.const("w", np.full((1, 1, 1, 1), np.nan, np.float32)))
    refuses(graph.graph_def(), "'w'", "NaN")


def test_a_constant_that_claims_more_memory_than_the_file_has():
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    graph.conv2d("conv", x, graph.splat("w", 1.0, [1 << 12, 1 << 12, 3, 1 << 10]))
    tracemalloc.start()
    refuses(graph.graph_def(), "'w'", "MiB")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_constant_of_a_type_that_no_network_has():
    graph = small_graph().graph_def()
    node(graph, "w").attr["value"].tensor.dtype = DataType.DT_COMPLEX64
    refuses(graph, "'w'", "DT_COMPLEX64")


def test_weights_that_do_not_fit_the_input():
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 5])
    graph.conv2d("conv", x, graph.const("w", np.ones((3, 3, 3, 4), np.float32)))
    refuses(graph.graph_def(), "'conv'", "5", "3")


def test_weights_that_the_graph_computes():
    graph = small_graph()
    graph.conv2d("again", "relu", "relu")
    refuses(graph.graph_def(), "'again'", "constant", outputs=["again"])
    assert "needs a constant" in converters.convert(graph.graph_def()).left_out["again"]


def test_names_are_data_and_never_code():
    graph = small_graph().graph_def()
    evil = "relu'); __import__('os').system('touch pwned'); ('\n\"\"\""
    node(graph, "relu").name = evil
    model = converters.convert(graph)
    assert model.layers[evil].module.isidentifier()
    x = np.random.RandomState(0).rand(1, 3, 5, 5).astype(np.float32)
    assert evil in model.activations(torch.from_numpy(x), [evil])


@pytest.mark.parametrize("name", ["relu\nTraceback", "relu\x1b[31m", "relu\u2028"])
def test_errors_are_one_line_whatever_they_quote(name):
    graph = small_graph().graph_def()
    node(graph, "relu").name = name
    node(graph, "conv").op = f"Conv2D{name}"
    with pytest.raises(converters.UnsupportedOpsError) as unsupported:
        converters.convert(graph)
    node(graph, "conv").op = "Conv2D"
    with pytest.raises(converters.LayerNotFoundError) as not_found:
        converters.convert(graph).activations(torch.zeros(1, 3, 5, 5), [name + "x"])
    node(graph, "conv").input[0] = name
    with pytest.raises(converters.GraphError) as cycle:
        converters.convert(graph)
    for error in (unsupported, not_found, cycle):
        assert str(error.value).isprintable()
        assert "relu" in str(error.value)


def test_module_names_avoid_what_a_module_has_and_each_other():
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    for name in ("forward", "layers", "class", "a/b", "a__b", "3x3", "train"):
        x = graph.op(name, "Relu", [x])
    model = converters.convert(graph.graph_def())
    modules = [model.layers[name].module for name in model.layers if name != "input"]
    assert len(set(modules)) == 7
    assert all(type(model.get_submodule(module)).__name__ == "Relu" for module in modules)


def with_attr(name: str, op: str, key: str, value) -> GraphDef:
    """The small graph with one more op, one of whose attributes is of a wrong kind."""
    graph = small_graph()
    attrs = {"MaxPool": {"ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": "SAME"}}.get(op, {})
    graph.op(name, op, ["relu"], **{**attrs, key: value})
    return graph.graph_def()


@pytest.mark.parametrize(
    ("op", "key", "value"),
    [
        ("MaxPool", "strides", 1),
        ("MaxPool", "strides", "SAME"),
        ("MaxPool", "strides", [1, 0, 0, 1]),
        ("MaxPool", "strides", [1, 2.5, 2.5, 1]),
        ("MaxPool", "ksize", [1, 40000, 40000, 1]),
        ("MaxPool", "ksize", [1, 2]),
        ("MaxPool", "padding", "FULL"),
        ("MaxPool", "data_format", "NCHW"),
        ("LRN", "depth_radius", "a"),
        ("LRN", "alpha", float("nan")),
        ("LRN", "beta", float("inf")),
        ("LeakyRelu", "alpha", "a"),
        ("Squeeze", "squeeze_dims", 1),
        ("Squeeze", "squeeze_dims", ["a"]),
        ("Squeeze", "squeeze_dims", [7]),
    ],
)
def test_attributes_of_a_wrong_kind(op, key, value):
    refuses(with_attr("bad", op, key, value), "'bad'")


def test_attributes_that_tensorflow_demands():
    graph = small_graph()
    graph.op("bad", "MaxPool", ["relu"], padding="SAME", strides=[1, 1, 1, 1])
    refuses(graph.graph_def(), "'bad'", "ksize")


@pytest.mark.parametrize("value", [np.float32(3), np.array([3, 3], np.int32), np.array([], np.int32), np.int32(7)])
def test_axes_that_are_none(value):
    graph = small_graph()
    graph.concat_v2("bad", ["relu", "relu"], graph.const("axis", value))
    refuses(graph.graph_def(), "'bad'")


def test_towers_that_do_not_fit():
    graph = small_graph()
    graph.concat_v2("bad", ["relu", "input"], graph.const("axis", np.int32(1)))
    refuses(graph.graph_def(), "'bad'", "joins shapes")


def test_vectors_that_do_not_fit():
    graph = small_graph()
    vectors = [graph.const(f"v{k}", np.ones(n, np.float32)) for k, n in enumerate((4, 4, 4, 3))]
    graph.op("bad", "FusedBatchNorm", ["relu", *vectors], is_training=False)
    refuses(graph.graph_def(), "'bad'", "[3, 4]")


def test_weights_that_hold_nothing():
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 3])
    graph.conv2d("bad", x, graph.const("w", np.zeros((0, 3, 3, 4), np.float32)))
    refuses(graph.graph_def(), "'bad'", "[0, 3, 3, 4]")


def test_channels_beyond_any_network():
    graph = small_graph()
    x = "relu"
    for number in range(40):
        x = graph.concat_v2(f"c{number}", [x, x], graph.const(f"axis{number}", np.int32(3)))
    refuses(graph.graph_def(), "channels, more than any image network")


def test_a_norm_over_more_channels_than_there_is_memory_for():
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 30000])
    graph.lrn("bad", x, 2, 1.0, 1.0, 0.5)
    refuses(graph.graph_def(), "'bad'", "30000")


def test_many_constants_that_repeat_one_value():
    graph = small_graph()
    for number in range(5):
        graph.splat(f"w{number}", 1.0, [4096, 4090])
    refuses(graph.graph_def(), "MiB")


@pytest.mark.parametrize("source", ["x:²", "x:" + "9" * 5000])
def test_inputs_with_strange_numbers(source):
    graph = small_graph().graph_def()
    node(graph, "relu").input[0] = source
    refuses(graph, "'relu'")


@pytest.mark.parametrize("shape", ["abc", 3, [1.5, 2.5, 3.5, 4.5]])
def test_an_input_shape_of_a_wrong_kind(shape):
    graph = small_graph().graph_def()
    attr = node(graph, "input").attr["shape"]
    attr.Clear()
    attr.CopyFrom(node(with_attr("other", "Relu", "shape", shape), "other").attr["shape"])
    refuses(graph, "'input'")


def test_paths_that_cannot_be():
    refuses("a" * 5000, "cannot be read")
    with pytest.raises(ValueError, match="has characters that no file's name can have"):
        converters.convert("a\0b")


@pytest.mark.parametrize(
    "stated",
    [
        "[" * 100000,
        "{}",
        '{"input_name": "input", "image_value_range": [1, 2, 3]}',
        '{"input_name": "input", "image_value_range": [NaN, 1]}',
        '{"input_name": "input", "image_shape": "abc"}',
        '{"input_name": "input", "is_BGR": "maybe"}',
        '{"input_name": "nowhere"}',
    ],
)
def test_metadata_that_make_no_sense(stated):
    graph = small_graph().graph_def()
    added = graph.node.add(name="lucid_metadata_json", op="Const")
    tensor = added.attr["value"].tensor
    tensor.dtype = DataType.DT_STRING
    tensor.tensor_shape.SetInParent()
    tensor.string_val.append(stated.encode())
    refuses(graph, "metadata")


def test_biases_need_an_axis_of_channels():
    graph = small_graph()
    row = graph.op("row", "Reshape", ["relu", graph.const("shape", np.array([-1], np.int32))])
    graph.op("bad", "BiasAdd", [row, graph.const("b", np.ones(4, np.float32))])
    refuses(graph.graph_def(), "'bad'", "adds 4 biases to None channels")


@pytest.mark.parametrize("first", [True, False])
def test_a_sum_of_an_open_size_and_a_known_one_is_known(first):
    graph = small_graph()
    known = graph.const("known", np.ones((5, 1, 1), np.float32))
    total = graph.op("total", "AddV2", ["relu", known] if first else [known, "relu"])
    graph.op("bad", "AddV2", [total, graph.const("other", np.ones((6, 1, 1), np.float32))])
    refuses(graph.graph_def(), "'bad'", "do not fit", outputs=["bad"])


def test_sizes_that_do_not_fit_name_the_layer():
    graph = small_graph()
    small = graph.pool("small", "MaxPool", "relu", 2, 2, "VALID")
    graph.concat_v2("joined", ["relu", small], graph.const("axis", np.int32(3)))
    graph.op("sum", "AddV2", ["relu", small])
    model = converters.convert(graph.graph_def())
    for name in ("joined", "sum"):
        with pytest.raises(converters.InputSizeError, match=f"'{name}' cannot be computed for images of 8x8"):
            model.activations(torch.zeros(1, 3, 8, 8), [name])


def small_op(op: str, *constants, inputs=("relu",), **attrs) -> GraphDef:
    """The small graph with one more op, some of whose inputs are constants."""
    graph = small_graph()
    given = [graph.const(f"c{number}", value) for number, value in enumerate(constants)]
    graph.op("bad", op, [*inputs, *given], **attrs)
    return graph.graph_def()


INTS = np.int32


@pytest.mark.parametrize(
    ("graph", "word"),
    [
        (lambda: small_op("SplitV", np.array([1, 2], INTS), INTS(3), num_split=2), "splits"),
        (lambda: small_op("SplitV", np.array([-1, -1], INTS), INTS(3), num_split=2), "splits"),
        (lambda: small_op("SplitV", np.array([], INTS), INTS(3), num_split=0), "splits into 0 parts"),
        (lambda: small_op("Unpack", num=5, axis=3), "splits an axis"),
        (lambda: small_op("Unpack", num=10**6, axis=1), "splits into"),
        (lambda: small_op("Pack", axis=9, N=1), "axis 9"),
        (lambda: small_op("ExpandDims", INTS(9)), "axis 9"),
        (lambda: small_op("Transpose", np.array([0, 1, 1, 2], INTS)), "permutes"),
        (lambda: small_op("Tile", np.array([2], INTS)), "repeats"),
        (lambda: small_op("Tile", np.array([2**30, 1, 1, 1], INTS)), "times"),
        (lambda: small_op("Reshape", np.array([-1, -1], INTS)), "not a valid shape"),
        (lambda: small_op("Reshape", np.full(9, 1, INTS)), "not a valid shape"),
        (lambda: small_op("Reshape", np.array([2**30, 2**30], INTS)), "larger than"),
        (lambda: small_op("Reshape", np.array([0, 2**30, 2**30], INTS)), "larger than"),
        (lambda: small_op("ResizeBilinear", np.array([0, 5], INTS)), "resizes"),
        (lambda: small_op("ResizeBilinear", np.array([2**15 + 1, 5], INTS)), "from 1 to 32768"),
        (
            lambda: small_op(
                "ResizeBilinear", np.array([4, 5], INTS), align_corners=True, half_pixel_centers=True
            ),
            "both",
        ),
        (lambda: small_op("MirrorPad", np.zeros((4, 2), INTS), mode="WRAP"), "mode"),
        (lambda: small_op("Pad", np.full((4, 2), -1, INTS)), "pads"),
        (lambda: small_op("Pad", np.full((4, 2), 10**6, INTS)), "padding"),
        (lambda: small_op("SpaceToBatchND", np.array([0, 2], INTS), np.zeros((2, 2), INTS)), "blocks"),
        (lambda: small_op("SpaceToBatchND", np.array([2, 2], INTS), np.zeros((1, 2), INTS)), "blocks"),
        (lambda: small_op("DepthToSpace", block_size=3), "channels"),
        (lambda: small_op("StridedSlice", *(np.array([n], INTS) for n in (0, 1, 0))), "stride"),
        (lambda: small_op("StridedSlice", *(np.zeros(n, INTS) for n in (1, 2, 1))), "length"),
        (lambda: small_op("GatherV2", np.array([7], INTS), INTS(3)), "positions"),
        (lambda: small_op("Sum", np.array([4], INTS)), "axis 4"),
        (lambda: small_op("ArgMax", np.array([0, 1], INTS)), "axes"),
        (lambda: small_op("BatchMatMul", np.ones((5, 5), np.float32)), "multiplies"),
        (lambda: small_op("MatMul", np.ones((5, 5), np.float32)), "rank 2"),
        (lambda: small_op("AddV2", np.ones((3,), np.float32)), "do not fit"),
        (lambda: small_op("Select", inputs=("relu", "relu", "input")), "do not fit"),
        (lambda: small_op("Cast", SrcT=np.float32, DstT="DT_STRING"), "type"),
        (lambda: small_op("Conv2D", np.ones((1, 1, 4, 2), np.float32), data_format="NCHW", padding="SAME",
                          strides=[1, 2, 2, 1]), "strides"),
    ],
)  # fmt: skip
def test_ops_that_make_no_sense(graph, word):
    refuses(graph(), "'bad'", word, outputs=["bad"])


def computed_size(w: GraphWriter) -> str:
    """The images' height."""
    shape = w.op("shape", "Shape", ["relu"], out_type=INTS)
    bounds = [w.const(f"s/{name}", np.array([value], INTS)) for name, value in (("at", 1), ("end", 2), ("step", 1))]
    return w.op("size", "StridedSlice", [shape, *bounds], T=INTS, Index=INTS, shrink_axis_mask=1)


def test_a_size_that_takes_too_many_steps():
    """Doubled 100 times, an expression has more parts than any memory."""
    graph = small_graph()
    x = computed_size(graph)
    for number in range(100):
        x = graph.op(f"twice{number}", "Add", [x, x], T=INTS)
    graph.op("bad", "Reshape", ["relu", graph.op("target", "Pack", [x], T=INTS, N=1, axis=0)], Tshape=INTS)
    refuses(graph.graph_def(), "too many steps")


@pytest.mark.parametrize(
    ("op", "shape"), [("Fill", [2**15, 2**15]), ("Tile", [2**20, 2**10]), ("BroadcastTo", [2**15, 2**15])]
)
def test_constants_that_would_be_huge(op, shape):
    graph = small_graph()
    value = graph.const("value", np.float32(1) if op == "Fill" else np.ones((1, 1), np.float32))
    target = graph.const("target", np.array(shape, INTS))
    huge = graph.op("huge", op, [target, value] if op == "Fill" else [value, target])
    graph.op("y", "AddV2", ["relu", huge])
    tracemalloc.start()
    refuses(graph.graph_def(), "'huge'", "values")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_live_dropout_says_what_to_do():
    graph = small_graph()
    shape = graph.op("shape", "Shape", ["relu"], out_type=INTS)
    uniform = graph.op("uniform", "RandomUniform", [shape], T=INTS, dtype=np.float32)
    mask = graph.op("mask", "Floor", [graph.op("add", "Add", [uniform, graph.const("keep", 0.5)])])
    graph.op("dropped", "Mul", ["relu", mask])
    refuses(graph.graph_def(), "'dropped'", "dropout", "inference mode")


def test_a_condition_that_nothing_decides():
    graph = small_graph()
    training = graph.placeholder("is_training", [], np.bool_)
    graph.op("switch", "Switch", ["relu", training])
    graph.op("merge", "Merge", ["switch", "switch:1"], N=2)
    refuses(graph.graph_def(), "'switch'", "is_training", "freeze")


def test_a_matrix_of_a_constant_that_cannot_be_computed():
    graph = small_graph()
    value = graph.op(
        "value", "Sub", [graph.const("a", np.ones(3, np.float32)), graph.const("b", np.ones(2, np.float32))]
    )
    graph.op("y", "AddV2", ["relu", value])
    refuses(graph.graph_def(), "'value'", "cannot be")


def test_computed_nan():
    graph = small_graph()
    root = graph.op("root", "Sqrt", [graph.const("negative", np.full(4, -1.0, np.float32))])
    graph.op("y", "AddV2", ["relu", root])
    refuses(graph.graph_def(), "'root'", "NaN")
