"""ONNX files as networks: what tf2onnx writes equals the graph it was made from, and bad files are refused."""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Sequence

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

import converters
from converters import from_onnx
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import param, render
from parity_tests.converters.onnx_networks import FOLDER, NETWORKS
from parity_tests.converters.onnx_runtimes import RUNTIMES, run

BOUND = 1e-5  # of a layer's maximum


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)


def small_model(nodes, constants=None, shape: Sequence[object] = ("n", 4, "h", "w"), **more) -> onnx.ModelProto:
    """A model with the input `x` and the nodes' last value as its output."""
    inputs = more.pop("inputs", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)])
    last = nodes[-1].output[0]
    output = helper.make_tensor_value_info(last, TensorProto.FLOAT, [None] * more.pop("rank", 4))
    initializers = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "small", inputs, [output], initializers)
    opset = more.pop("opset", 15)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def read(tmp_path, model: onnx.ModelProto, *arguments, **options):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return from_onnx(path, *arguments, **options)


def assert_close(found, expected, bound: float = BOUND) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= bound * np.abs(expected).max()


# -- the route .pb -> tf2onnx -> onnx2torch ---------------------------------------------------------------------------

# TensorFlow's Mean drops the axes that tf2onnx's GlobalAveragePool keeps.
KEPT_AXES = {"mobilenet/global_pool"}
SIZES = {
    "inception": ((224, 224), (225, 237), (97, 161)),
    "resnet": ((97, 161), (64, 67)),
    "mobilenet": ((97, 161), (64, 67)),
}
RELU6 = "mobilenet/Conv2d_2_pointwise/Relu6:3"
RANGES = {"inception": (-117, 138), "resnet": (-1, 1), "mobilenet": (-1, 1)}
RENDER_BOUND = 2e-5  # of pixels in [0, 1]; 2.6e-6 at worst


@functools.cache
def both(name: str):
    """A network by tf2onnx's file, and as it converts directly."""
    return from_onnx(FOLDER / f"{name}.onnx"), converters.convert(NETWORKS[name].graph_def())


@pytest.mark.parametrize(("name", "size"), [(name, size) for name, sizes in SIZES.items() for size in sizes])
def test_both_routes_agree_at_every_common_name(name, size):
    network, direct = both(name)
    x = torch.from_numpy(values(2, 3, *size)) * (100 if name == "inception" else 1)
    compared = 0
    for layer in set(network.layers) & set(direct.layers):
        try:
            expected = direct.activations(x, [layer])[layer]
        except converters.InputSizeError:
            continue
        found = network.activations(x, [layer])[layer]
        assert_close(found.flatten(1) if layer in KEPT_AXES else found, expected)
        compared += 1
    assert compared >= {"inception": 140, "resnet": 27, "mobilenet": 18}[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_what_tf2onnx_folds_keeps_no_name_of_another_value(name):
    network, direct = both(name)
    gone = set(direct.layers) - set(network.layers)
    extra = set(network.layers) - set(direct.layers)
    assert all("__" in layer for layer in extra)  # tf2onnx's own transposes and reshapes
    folded = {"inception": ("/conv", "/matmul", "_pre_relu", "softmax", "output", "nn"), "resnet": ("/Conv2D", "/Pad"),
              "mobilenet": ("/Conv2D", "/depthwise")}[name]  # fmt: skip
    assert all(layer.endswith(folded) or layer.startswith(folded) for layer in gone)


def test_names_of_tensorflow_are_addressable():
    network, _ = both("resnet")
    name = "resnet/block1/unit_2/bottleneck_v2/conv2/BatchNorm/FusedBatchNormV3"
    x = torch.from_numpy(values(1, 3, 33, 41))
    found = network.activations(x, [name, f"{name}:0"])
    assert torch.equal(found[name], found[f"{name}:0"])
    assert network.layers[f"{name}:0"].name == name
    assert network.layers[name].op == "Conv"
    assert next(iter(network.layers)) == "input"
    assert network.metadata.input_name == "input"


@pytest.mark.parametrize(("name", "objective"), [("inception", "mixed3b:9"), ("mobilenet", RELU6)])
def test_renders_are_those_of_the_direct_route(name, objective):
    """Eight steps, gradients of ReLUs redirected as Lucid redirects them, are the same render on both routes."""
    pictures = [
        render.render_vis(
            Model(network=network, image_value_range=RANGES[name]), objective, lambda: param.image(40),
            thresholds=(0, 7), verbose=False, seed=3,
        )
        for network in both(name)
    ]  # fmt: skip
    for by_onnx, direct in zip(*pictures, strict=True):
        assert np.abs(by_onnx - direct).max() < RENDER_BOUND
    assert pictures[0].losses[-1] > pictures[0].losses[0]


# -- windows ----------------------------------------------------------------------------------------------------------

KERNELS = ((3, 3), (2, 2), (1, 4), (5, 3))
STRIDES = ((1, 1), (2, 2), (2, 3))
IMAGES = ((9, 9), (12, 10), (7, 13))


def window(op: str, inputs: Sequence[str], **attributes) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), ["y:0"], name="window", **attributes)


# Of MaxPool with SAME_LOWER, onnx's evaluator (1.23) drops the last windows; there the next test stands for it.
AUTOMATIC = [
    ("Conv", "SAME_UPPER"), ("Conv", "SAME_LOWER"), ("AveragePool", "SAME_UPPER"), ("AveragePool", "SAME_LOWER"),
    ("MaxPool", "SAME_UPPER"),
]  # fmt: skip


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("op", "auto_pad"), AUTOMATIC)
def test_automatic_padding(op, auto_pad, runtime, tmp_path):
    """Against a runtime, for windows no shorter than their steps: onnxruntime refuses others, the evaluator errs."""
    compared = 0
    for kernel, stride in itertools.product(KERNELS, STRIDES):
        if any(step > length for step, length in zip(stride, kernel, strict=True)):
            continue
        weights = {"w": values(5, 4, *kernel)} if op == "Conv" else {}
        node = window(op, ["x", *weights], auto_pad=auto_pad, kernel_shape=kernel, strides=stride)
        model = small_model([node], weights)
        network = read(tmp_path, model)
        for size in IMAGES:
            x = values(2, 4, *size) - 3  # negative all over: padding that counts, or wins, would show
            assert_close(network.activations(torch.from_numpy(x), ["y"])["y"], run(runtime, model, {"x": x})["y:0"])
            compared += 1
    assert compared >= 18


@pytest.mark.parametrize(("op", "kernel", "stride"), [("MaxPool", (2, 4), (1, 1)), ("AveragePool", (4, 2), (1, 1))])
def test_same_lower_is_same_upper_in_a_mirror(op, kernel, stride, tmp_path):
    upper, lower = (
        read(tmp_path, small_model([window(op, ["x"], auto_pad=kind, kernel_shape=kernel, strides=stride)]))
        for kind in ("SAME_UPPER", "SAME_LOWER")
    )
    for size in IMAGES:
        x = torch.from_numpy(values(2, 4, *size)) - 3
        mirrored = upper.activations(x.flip(2, 3), ["y"])["y"].flip(2, 3)
        assert_close(lower.activations(x, ["y"])["y"], mirrored)
        assert not torch.equal(upper.activations(x, ["y"])["y"], mirrored)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [((3, 3), 1, 2), ((3, 5), 1, 3), ((3, 2), 2, 2), ((2, 2), 3, 1)]
)
@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", IMAGES)
def test_automatic_padding_of_dilated_and_sparse_windows(kernel, stride, dilation, auto_pad, size, tmp_path):
    """Against padding written out: the output has ceil(input / stride) rows, what is odd goes below, or above."""
    weights = values(5, 4, *kernel)
    node = window(
        "Conv", ["x", "w"], auto_pad=auto_pad, kernel_shape=kernel, strides=[stride] * 2, dilations=[dilation] * 2
    )
    x = torch.from_numpy(values(2, 4, *size))
    pads = []
    for length, cells in zip(size[::-1], kernel[::-1], strict=True):
        missing = max((-(-length // stride) - 1) * stride + (cells - 1) * dilation + 1 - length, 0)
        pads += (
            [missing // 2, missing - missing // 2]
            if auto_pad == "SAME_UPPER"
            else [missing - missing // 2, missing // 2]
        )
    expected = F.conv2d(F.pad(x, pads), torch.from_numpy(weights), stride=stride, dilation=dilation)
    assert expected.shape[-2:] == tuple(-(-length // stride) for length in size)
    assert_close(read(tmp_path, small_model([node], {"w": weights})).activations(x, ["y"])["y"], expected)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [0, 1, 2, 1], "strides": [2, 2]}),
        ("AveragePool", {"kernel_shape": [3, 2], "pads": [1, 0, 0, 1], "count_include_pad": 1}),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]}),
        ("MaxPool", {"kernel_shape": [3, 3], "pads": [2, 0, 1, 1], "strides": [2, 1]}),
        ("MaxPool", {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]}),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        ("Conv", {"pads": [0, 2, 1, 0], "strides": [2, 1]}),
        ("Conv", {"auto_pad": "VALID"}),
    ],
)  # fmt: skip
def test_stated_padding(op, attributes, runtime, tmp_path):
    weights = {"w": values(5, 4, 3, 3)} if op == "Conv" else {}
    model = small_model([window(op, ["x", *weights], **attributes)], weights)
    network = read(tmp_path, model)
    for size in IMAGES:
        x = values(2, 4, *size) - 3
        assert_close(network.activations(torch.from_numpy(x), ["y"])["y"], run(runtime, model, {"x": x})["y:0"])


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "attributes",
    [
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 1], "dilations": [2, 1]},
        {"pads": [0, 1, 1, 2], "strides": [2, 3]},
        {"pads": [1, 0, 0, 0], "strides": [2, 2], "output_padding": [1, 1]},
        {"pads": [1, 1, 1, 1], "strides": [2, 2], "output_padding": [1, 0]},
    ],
)
def test_transposed_convolution(attributes, runtime, tmp_path):
    constants = {"w": values(4, 5, 3, 4), "b": values(5)}
    model = small_model([window("ConvTranspose", ["x", "w", "b"], **attributes)], constants)
    network = read(tmp_path, model)
    for size in IMAGES:
        x = values(2, 4, *size)
        assert_close(network.activations(torch.from_numpy(x), ["y"])["y"], run(runtime, model, {"x": x})["y:0"])


def test_transposed_convolution_to_a_stated_size(tmp_path):
    """The rows that are too many go off the end first, unless the padding is said to be SAME_UPPER."""
    weights = values(4, 5, 3, 3)
    x = torch.from_numpy(values(1, 4, 6, 7))
    whole = F.conv_transpose2d(x, torch.from_numpy(weights), stride=2)
    for auto_pad, rows in (("NOTSET", slice(1, 13)), ("SAME_UPPER", slice(0, 12))):
        node = window("ConvTranspose", ["x", "w"], strides=[2, 2], output_shape=[12, 15], auto_pad=auto_pad)
        found = read(tmp_path, small_model([node], {"w": weights})).activations(x, ["y"])["y"]
        assert_close(found, whole[:, :, rows])


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("size", [1, 3, 5, 11])
def test_lrn(size, runtime, tmp_path):
    model = small_model([window("LRN", ["x"], size=size, alpha=0.3, beta=0.75, bias=2.0)], shape=("n", 7, "h", "w"))
    x = values(2, 7, 5, 6)
    assert_close(
        read(tmp_path, model).activations(torch.from_numpy(x), ["y"])["y"], run(runtime, model, {"x": x})["y:0"]
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"mode": "nearest", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"},
    ],
)
def test_resize(attributes, runtime, tmp_path):
    x = values(2, 4, 5, 6)
    for inputs, constant in (
        (["x", "", "", "to"], np.int64([2, 4, 10, 18])),
        (["x", "", "to"], np.float32([1, 1, 2, 3])),
    ):
        model = small_model([window("Resize", inputs, **attributes)], {"to": constant})
        found = read(tmp_path, model).activations(torch.from_numpy(x), ["y"])["y"]
        assert_close(found, run(runtime, model, {"x": x})["y:0"])


# -- names, outputs, constants ----------------------------------------------------------------------------------------


def test_every_output_of_a_split_is_a_layer(tmp_path):
    nodes = [
        helper.make_node("Split", ["x"], ["parts:0", "parts:1"], name="parts", axis=1),
        helper.make_node("Add", ["parts:0", "parts:1"], ["sum:0"], name="sum"),
    ]
    network = read(tmp_path, small_model(nodes))
    x = torch.from_numpy(values(2, 4, 3, 5))
    found = network.activations(x, ["parts", "parts:1", "sum"])
    assert torch.equal(found["parts"], x[:, :2])
    assert torch.equal(found["parts:1"], x[:, 2:])
    assert torch.equal(found["sum"], x[:, :2] + x[:, 2:])


def test_names_of_nodes_and_values(tmp_path):
    """Node names of other exporters stand for what the node gives, unless a value has the name."""
    nodes = [
        helper.make_node("Relu", ["x"], ["/features/0/Relu_output_0"], name="/features/0/Relu"),
        helper.make_node("Sigmoid", ["/features/0/Relu_output_0"], ["graph"], name="parameters"),
        helper.make_node("Tanh", ["graph"], ["a.b"], name="graph"),
        helper.make_node("Abs", ["a.b"], ["forward"]),
    ]
    network = read(tmp_path, small_model(nodes))
    assert list(network.layers) == [
        "x",
        "/features/0/Relu_output_0",
        "graph",
        "a.b",
        "forward",
        "/features/0/Relu",
        "parameters",
    ]
    x = torch.from_numpy(values(1, 4, 3, 5))
    found = network.activations(x, list(network.layers))
    assert torch.equal(found["/features/0/Relu"], F.relu(x))
    assert torch.equal(found["graph"], F.relu(x).sigmoid())
    assert torch.equal(found["parameters"], found["graph"])
    assert torch.equal(network(x), found["a.b"].abs())


def test_values_that_are_called_alike(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Tanh", ["y"], ["y:0"])]
    network = read(tmp_path, small_model(nodes))
    x = torch.from_numpy(values(1, 4, 3, 5))
    found = network.activations(x, ["y", "y:0"])
    assert torch.equal(found["y"], F.relu(x))
    assert torch.equal(found["y:0"], F.relu(x).tanh())


def test_constants_in_nodes(tmp_path):
    """Weights as PyTorch's exporter writes some: in Constant nodes, and by way of Identity."""
    weights = values(5, 4, 3, 3)
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(weights)),
        helper.make_node("Identity", ["c"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv"),
    ]
    x = torch.from_numpy(values(1, 4, 5, 6))
    network = read(tmp_path, small_model(nodes))
    assert_close(network.activations(x, ["conv"])["conv"], F.conv2d(x, torch.from_numpy(weights)))
    assert set(network.layers) == {"x", "y", "conv"}


def test_outputs_that_nobody_reads_do_not_matter(tmp_path):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["y", "indices"], kernel_shape=[2, 2]),
        helper.make_node("Dropout", ["y"], ["z", "mask"]),
        helper.make_node("Relu", ["z"], ["r"]),
    ]
    x = torch.from_numpy(values(2, 4, 5, 6))
    assert_close(read(tmp_path, small_model(nodes)).activations(x, ["r"])["r"], F.relu(F.max_pool2d(x, 2, 1)))


def test_an_output_that_is_read_but_not_computed_is_refused(tmp_path):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["y", "indices"], name="pool", kernel_shape=[2, 2]),
        helper.make_node("Cast", ["indices"], ["z"], to=TensorProto.FLOAT),
    ]
    refuses(tmp_path, small_model(nodes), "MaxPool with 2 outputs", "pool")


def test_functions_of_the_model_are_put_in(tmp_path):
    opset = [helper.make_opsetid("", 15)]
    square = helper.make_function("mine", "Square", ["a"], ["b"], [helper.make_node("Mul", ["a", "a"], ["b"])], opset)
    model = small_model([helper.make_node("Square", ["x"], ["y"], domain="mine")], functions=[square])
    model.opset_import.append(helper.make_opsetid("mine", 1))
    x = torch.from_numpy(values(1, 4, 3, 5))
    assert torch.equal(read(tmp_path, model).activations(x, ["y"])["y"], x * x)


# -- how the image lies -----------------------------------------------------------------------------------------------


def nhwc_model() -> onnx.ModelProto:
    """An image that is shifted by a number a channel before it is turned, as tf2onnx writes preprocessing."""
    nodes = [
        helper.make_node("Sub", ["x:0", "mean"], ["shifted:0"], name="shifted"),
        helper.make_node("Transpose", ["shifted:0"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned", "w"], ["y:0"], name="y"),
    ]
    entry = helper.make_tensor_value_info("x:0", TensorProto.FLOAT, [None, None, None, 3])
    return small_model(nodes, {"mean": np.float32([1, 2, 3]), "w": values(5, 3, 3, 3)}, inputs=[entry])


def test_an_image_with_the_channels_last_is_read_as_nchw(tmp_path):
    x = torch.from_numpy(values(2, 3, 7, 9))
    found = read(tmp_path, nhwc_model()).activations(x, ["y", "shifted", "x"])
    shifted = x - torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    assert_close(found["y"], F.conv2d(shifted, torch.from_numpy(values(5, 3, 3, 3))))
    assert_close(found["shifted"], shifted.permute(0, 2, 3, 1))  # up to its own Transpose, the graph is NHWC
    assert torch.equal(found["x"], x)


def test_the_layout_can_be_said(tmp_path):
    model = small_model([helper.make_node("Softmax", ["x"], ["y"], axis=1)], shape=(None, None, None, None))
    x = torch.from_numpy(values(2, 3, 7, 9))
    assert_close(read(tmp_path, model).activations(x, ["y"])["y"], x.softmax(1))
    assert_close(read(tmp_path, model, layout="NHWC").activations(x, ["y"])["y"], x.permute(0, 2, 3, 1).softmax(1))
    assert_close(read(tmp_path, nhwc_model(), layout="NCHW").activations(x.permute(0, 2, 3, 1), ["shifted"])["shifted"],
                 x.permute(0, 2, 3, 1) - torch.tensor([1.0, 2.0, 3.0]))  # fmt: skip
    with pytest.raises(ValueError, match="layout"):
        read(tmp_path, model, layout="HWC")


def test_stated_sizes_do_not_bind(tmp_path):
    model = small_model(
        [window("Conv", ["x", "w"], auto_pad="SAME_UPPER")], {"w": values(5, 3, 3, 3)}, shape=(1, 3, 8, 8)
    )
    network = read(tmp_path, model)
    assert network.activations(torch.zeros(2, 3, 11, 5), ["y"])["y"].shape == (2, 5, 11, 5)
    assert network.metadata == converters.Metadata("x", (8, 8, 3))


# -- there and back ---------------------------------------------------------------------------------------------------


def test_what_is_written_can_be_read(tmp_path):
    metadata = converters.Metadata("input", (224, 224, 3), (-117.0, 138.0), True)
    direct = converters.convert(NETWORKS["inception"].graph_def(), metadata=metadata)
    names = [name for name in direct.layers if name != "input"]
    network = from_onnx(direct.to_onnx(tmp_path / "m.onnx", names))
    assert network.metadata == metadata
    assert set(names) <= set(network.layers)
    x = torch.from_numpy(values(2, 3, 225, 237)) * 100
    found, expected = network.activations(x, names), direct.activations(x, names)
    for name in names:
        assert_close(found[name], expected[name])
    assert Model(network=network).image_value_range == (-117.0, 138.0)


def test_given_metadata_win(tmp_path):
    metadata = converters.Metadata("x", (8, 8, 3), (-1.0, 1.0))
    assert read(tmp_path, nhwc_model(), metadata=metadata).metadata is metadata


# -- bad files --------------------------------------------------------------------------------------------------------


def refuses(tmp_path, model: onnx.ModelProto | bytes, *words: str, kind=converters.GraphError, **options) -> str:
    """The error's sentence, which has all these words in it."""
    path = tmp_path / "bad.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises(kind) as caught:
        from_onnx(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


def conv_model(**more) -> onnx.ModelProto:
    return small_model([window("Conv", ["x", "w"])], {"w": values(50, 4, 3, 3)}, **more)


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
    assert error == "The graph has ops that cannot be converted: Invented (first)."


def test_an_op_of_another_domain_and_one_of_a_later_opset(tmp_path):
    nodes = [
        helper.make_node("FusedConv", ["x"], ["a"], name="fused", domain="com.microsoft"),
        helper.make_node("Gelu", ["a"], ["b"], name="gelu"),
        helper.make_node("ReduceMean", ["b"], ["y"], name="mean"),
    ]
    words = ("com.microsoft.FusedConv (fused)", "Gelu (gelu)", "ReduceMean of opset 20 (mean)")
    refuses(tmp_path, small_model(nodes, opset=20), *words, kind=converters.UnsupportedOpsError)


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
    refuses(tmp_path, two_inputs(), "Nothing in the graph", input_name="other")
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


def test_resizes_that_are_only_approximated(tmp_path):
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest", nearest_mode="ceil")
    refuses(tmp_path, small_model([node], {"s": np.float32([1, 1, 2, 2])}), "not computed exactly", "'ceil'")


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
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(converters.MissingPackageError, match=r"pip install 'lucid_port\[onnx\]'"):
        from_onnx(FOLDER / "resnet.onnx")
