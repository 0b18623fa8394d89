"""Small networks as exporters write them, each layer against onnxruntime: keras2onnx, CNTK, darknet, quantizers."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import converters
from parity_tests.converters.onnx_models import BOUND, read, small_model, values

STEP_BOUND = 1.01  # of quantized values: one step, where a sum lies between two steps


def node(op: str, inputs, output: str, **attributes) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [output], name=f"{output}_op", **attributes)


def all_layers(model: onnx.ModelProto, network, x: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The values of all layers: the network's, and onnxruntime's without its optimizations."""
    names = [layer for layer in network.layers if any(layer in one.output for one in model.graph.node)]
    whole = copy.deepcopy(model)
    del whole.graph.output[:]
    typed = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    typed |= {value.name: value for value in model.graph.output}
    whole.graph.output.extend(typed[name] for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
    expected = dict(zip(names, session.run(None, {model.graph.input[0].name: x}), strict=True))
    image = torch.from_numpy(x.astype(np.float32))
    if session.get_inputs()[0].shape[-1] == 3:
        image = image.permute(0, 3, 1, 2)
    found = {name: value.numpy() for name, value in network.activations(image, names).items()}
    return found, expected


def assert_all_layers(model: onnx.ModelProto, network, x: np.ndarray, at_least: int) -> None:
    found, expected = all_layers(model, network, x)
    assert len(found) >= at_least
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert np.abs(found[name] - value).max() <= BOUND * np.abs(value).max(), name


def test_keras2onnx(tmp_path):
    """NHWC, a Transpose around each layer, a dense head after a Transpose back, padding by auto_pad."""
    constants = {
        "k": values(6, 3, 3, 3), "kb": values(6), "s": values(6, seed=1) + 2, "b": values(6), "m": values(6),
        "v": values(6, seed=2) + 2, "d": values(8, 1, 3, 3)[:6], "w": values(6, 5), "wb": values(5),
    }  # fmt: skip
    nodes = [
        node("Transpose", ["x"], "adjusted", perm=[0, 3, 1, 2]),
        node("Conv", ["adjusted", "k", "kb"], "conv", auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
        node("BatchNormalization", ["conv", "s", "b", "m", "v"], "norm", epsilon=1e-3),
        node("Transpose", ["norm"], "back", perm=[0, 2, 3, 1]), node("LeakyRelu", ["back"], "leaky", alpha=0.3),
        node("Transpose", ["leaky"], "again", perm=[0, 3, 1, 2]),
        node("Conv", ["again", "d"], "depthwise", group=6, auto_pad="SAME_UPPER", kernel_shape=[3, 3]),
        node("Clip", ["depthwise", "zero", "six"], "relu6"),
        node("GlobalAveragePool", ["relu6"], "pooled"), node("Squeeze", ["pooled"], "vector", axes=[2, 3]),
        node("MatMul", ["vector", "w"], "product"), node("Add", ["product", "wb"], "dense"),
        node("Softmax", ["dense"], "probabilities", axis=1),
    ]  # fmt: skip
    constants |= {"zero": np.float32(0), "six": np.float32(6)}
    entry = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", None, None, 3])]
    model = small_model(nodes, constants, inputs=entry, opset=11, rank=2, producer_name="keras2onnx")
    network = read(tmp_path, model)
    assert network.layers["x"].channels == 3
    assert_all_layers(model, network, values(2, 9, 7, 3), 12)


def test_cntk(tmp_path):
    """Opset 7, biases that broadcast as (C, 1, 1), a fixed batch, a Gemm without bias, asymmetric padding."""
    constants = {
        "k": values(6, 4, 3, 3), "bias": values(6, 1, 1), "mean": values(1), "w": values(24, 5), "wb": values(1, 5),
        "shape": np.int64([1, 24]), "c": np.zeros(5, np.float32),
    }  # fmt: skip
    nodes = [
        node("Sub", ["x", "mean"], "centred"),
        node("Conv", ["centred", "k"], "conv", pads=[0, 0, 1, 1], strides=[2, 2]),
        node("Add", ["conv", "bias"], "biased"), node("Relu", ["biased"], "relu"), node("Dropout", ["relu"], "dropped"),
        node("MaxPool", ["dropped"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", ["pool", "shape"], "row"), node("Gemm", ["row", "w", "c"], "product"),
        node("Add", ["product", "wb"], "z"), node("Softmax", ["z"], "probabilities"),
    ]  # fmt: skip
    model = small_model(nodes, constants, shape=(1, 4, 9, 9), opset=7, rank=2, producer_name="CNTK")
    network = read(tmp_path, model)
    assert_all_layers(model, network, values(1, 4, 9, 9), 10)
    x = torch.from_numpy(values(3, 4, 9, 9))
    both = network.activations(x, ["probabilities"])["probabilities"]
    assert torch.equal(both[1:2], network.activations(x[1:2], ["probabilities"])["probabilities"])


def test_cntk_with_weights_as_inputs(tmp_path):
    """Weights among the inputs, Pad and Slice with attributes, weights that a Reshape turns into a matrix."""
    constants = {
        "Constant31": np.full((4, 1, 1), 0.4, np.float32), "Constant34": np.float32(0.0078125),
        "Parameter5": values(6, 4, 3, 3), "Parameter6": values(6, 1, 1), "Parameter193": values(3, 3, 2, 5),
        "shape": np.int64([1, 18]), "shape1": np.int64([18, 5]), "Parameter194": values(1, 5),
    }  # fmt: skip
    nodes = [
        node("Sub", ["x", "Constant31"], "Minus33_Output_0"),
        node("Mul", ["Minus33_Output_0", "Constant34"], "Times36"),
        node("Conv", ["Times36", "Parameter5"], "Conv28", auto_pad="SAME_UPPER", kernel_shape=[3, 3], strides=[2, 2]),
        node("Add", ["Conv28", "Parameter6"], "Plus30"), node("Relu", ["Plus30"], "ReLU32"),
        node("Pad", ["ReLU32"], "Pad40", pads=[0, 0, 0, 1, 0, 0, 1, 0], mode="constant", value=0.0),
        node("MaxPool", ["Pad40"], "Pooling66", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0]),
        node("Slice", ["Pooling66"], "Slice70", axes=[1, 3], starts=[1, 0], ends=[4, 2]),
        node("Reshape", ["Slice70", "shape"], "row"), node("Reshape", ["Parameter193", "shape1"], "matrix"),
        node("MatMul", ["row", "matrix"], "Times212"), node("Add", ["Times212", "Parameter194"], "Plus214"),
        node("Softmax", ["Plus214"], "probabilities", axis=1),
    ]  # fmt: skip
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 10, 9))]
    for name, array in constants.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
    model = small_model(nodes, constants, inputs=inputs, opset=8, rank=2, producer_name="CNTK")
    assert_all_layers(model, read(tmp_path, model), values(1, 4, 10, 9), 12)


def test_mxnet(tmp_path):
    """Opset 7: a batch norm of the image whose gamma is fixed, PRelu, reflecting Pad, LRN, depthwise Conv, Flatten."""
    constants = {
        "gamma": np.ones(4, np.float32), **{name: values(4, seed=seed) + 2 for seed, name in enumerate("bmv")},
        "conv0_weight": values(6, 4, 3, 3), "relu0_gamma": values(6, 1, 1), "conv1_weight": values(6, 1, 3, 3),
        "fc1_weight": values(5, 6), "fc1_bias": values(5),
    }  # fmt: skip
    nodes = [
        node("BatchNormalization", ["x", "gamma", "b", "m", "v"], "bn_data", epsilon=2e-5, momentum=0.9),
        node("Conv", ["bn_data", "conv0_weight"], "conv0", kernel_shape=[3, 3], pads=[1, 1, 1, 1], dilations=[1, 1]),
        node("PRelu", ["conv0", "relu0_gamma"], "relu0"),
        node("Pad", ["relu0"], "pad0", pads=[0, 0, 1, 1, 0, 0, 1, 1], mode="reflect"),
        node("AveragePool", ["pad0"], "pool0", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("LRN", ["pool0"], "lrn0", size=5, alpha=1e-3, beta=0.75, bias=2.0),
        node("Conv", ["lrn0", "conv1_weight"], "conv1", group=6, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("LeakyRelu", ["conv1"], "leaky1", alpha=0.25), node("Dropout", ["leaky1"], "dropout0", ratio=0.5),
        node("Clip", ["dropout0"], "relu6", min=0.0, max=6.0), node("Add", ["relu6", "dropout0"], "_plus0"),
        node("GlobalAveragePool", ["_plus0"], "pool1"), node("Flatten", ["pool1"], "flatten0"),
        node("Gemm", ["flatten0", "fc1_weight", "fc1_bias"], "fc1", transB=1), node("Softmax", ["fc1"], "softmax"),
    ]  # fmt: skip
    model = small_model(nodes, constants, shape=("n", 4, 12, 10), opset=7, rank=2, producer_name="mxnet")
    assert_all_layers(model, read(tmp_path, model), values(2, 4, 12, 10), 15)


def test_paddle(tmp_path):
    """Opset 11: names with dots, slashes and @, scales as Mul and Add, a shape from Shape, and hard activations."""
    constants = {
        "conv2d_0.w_0": values(8, 4, 3, 3), "se/w@0": values(8, 8, 1, 1), "se/b@0": values(8),
        **{name: values(8, seed=seed) + 2 for seed, name in enumerate(("s", "b", "m", "v"))},
        "scale": np.float32(2), "bias": np.float32(0.5), "low": np.float32(0), "high": np.float32(3),
        "start": np.int64([0]), "end": np.int64([1]), "tail": np.int64([8, -1]),
        "linear_0.w_0": values(8, 5), "linear_0.b_0": values(5),
    }  # fmt: skip
    nodes = [
        node("Identity", ["x"], "feed/x@in"),
        node("Conv", ["feed/x@in", "conv2d_0.w_0"], "conv2d_0.tmp_0", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["conv2d_0.tmp_0", "s", "b", "m", "v"], "batch_norm_0.tmp_2", epsilon=1e-5),
        node("HardSigmoid", ["batch_norm_0.tmp_2"], "hard_sigmoid_0.tmp_0", alpha=1 / 6, beta=0.5),
        node("Mul", ["batch_norm_0.tmp_2", "hard_sigmoid_0.tmp_0"], "hard_swish_0.tmp_0"),
        node("GlobalAveragePool", ["hard_swish_0.tmp_0"], "pool2d_0.tmp_0"),
        node("Conv", ["pool2d_0.tmp_0", "se/w@0", "se/b@0"], "se/conv@out"),
        node("HardSigmoid", ["se/conv@out"], "hard_sigmoid_1.tmp_0", alpha=0.2, beta=0.5),
        node("Mul", ["hard_swish_0.tmp_0", "hard_sigmoid_1.tmp_0"], "elementwise_mul_0"),
        node("Mul", ["elementwise_mul_0", "scale"], "scale_0.tmp_0/mul"),
        node("Add", ["scale_0.tmp_0/mul", "bias"], "scale_0.tmp_0"),
        node("Clip", ["scale_0.tmp_0", "low", "high"], "clip_0.tmp_0"), node("Identity", ["clip_0.tmp_0"], "assign_0"),
        node("Shape", ["assign_0"], "shape_0.tmp_0"), node("Slice", ["shape_0.tmp_0", "start", "end"], "shape_0/slice"),
        node("Concat", ["shape_0/slice", "tail"], "shape_1", axis=0),
        node("Reshape", ["assign_0", "shape_1"], "reshape2_0.tmp_0"),
        node("Transpose", ["reshape2_0.tmp_0"], "transpose_0.tmp_0", perm=[0, 2, 1]),
        node("MatMul", ["transpose_0.tmp_0", "linear_0.w_0"], "linear_0.tmp_0"),
        node("Add", ["linear_0.tmp_0", "linear_0.b_0"], "linear_0.tmp_1"),
        node("Softmax", ["linear_0.tmp_1"], "softmax_0.tmp_0", axis=2),
    ]  # fmt: skip
    model = small_model(nodes, constants, shape=(-1, 4, 12, 8), opset=11, rank=3, producer_name="PaddlePaddle")
    network = read(tmp_path, model)
    assert_all_layers(model, network, values(2, 4, 12, 8), 18)
    axes = [network.layers[name].axes_of(3) for name in ("reshape2_0.tmp_0", "linear_0.tmp_1")]
    assert axes == ["NCL", "NLC"]


def test_darknet(tmp_path):
    """Leaky ReLUs, a shortcut, a route (Concat) behind an Upsample whose scales are a Constant, nodes out of order."""
    constants = {
        "k": values(6, 4, 3, 3), "k2": values(6, 6, 3, 3), "k3": values(9, 12, 1, 1), "b3": values(9),
        **{name: values(6, seed=seed) + 2 for seed, name in enumerate(("s", "b", "m", "v"))},
    }  # fmt: skip
    scales = numpy_helper.from_array(np.float32([1, 1, 2, 2]))
    nodes = [
        node("Constant", [], "scales", value=scales),
        node("Conv", ["x", "k"], "conv_1", auto_pad="SAME_LOWER", kernel_shape=[3, 3], dilations=[1, 1]),
        node("BatchNormalization", ["conv_1", "s", "b", "m", "v"], "norm_1", epsilon=1e-5, momentum=0.99),
        node("LeakyRelu", ["norm_1"], "leaky_1", alpha=0.1),
        node("Conv", ["leaky_1", "k2"], "conv_2", auto_pad="SAME_LOWER", kernel_shape=[3, 3]),
        node("Add", ["conv_2", "leaky_1"], "shortcut"),
        node("MaxPool", ["shortcut"], "pool", auto_pad="SAME_UPPER", kernel_shape=[2, 2], strides=[2, 2]),
        node("Upsample", ["pool", "scales"], "upsampled", mode="nearest"),
        node("Concat", ["upsampled", "shortcut"], "route", axis=1),
        node("Conv", ["route", "k3", "b3"], "detections"),
    ]  # fmt: skip
    model = small_model(nodes, constants, opset=9, producer_name="darknet")
    mixed = copy.deepcopy(model)
    for place, one in enumerate([*nodes[5:], *nodes[:5]]):
        mixed.graph.node[place].CopyFrom(one)
    assert_all_layers(model, read(tmp_path, mixed), values(2, 4, 8, 6), 9)


def quantized() -> onnx.ModelProto:
    """A convolution between pairs of QuantizeLinear and DequantizeLinear, its weights quantized for each channel."""
    weights = np.random.RandomState(0).randint(-127, 128, (6, 4, 3, 3)).astype(np.int8)
    constants = {
        "xs": np.float32(0.01), "xz": np.uint8(120), "w": weights, "ws": np.abs(values(6)) / 50 + 0.001,
        "wz": np.zeros(6, np.int8), "b": np.arange(-3, 3, dtype=np.int32) * 50, "bs": np.full(6, 1e-4, np.float32),
        "bz": np.zeros(6, np.int32), "ys": np.float32(0.03), "yz": np.int8(-3),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], "q"), node("DequantizeLinear", ["q", "xs", "xz"], "dq"),
        node("DequantizeLinear", ["w", "ws", "wz"], "weights", axis=0),
        node("DequantizeLinear", ["b", "bs", "bz"], "bias", axis=0),
        node("Conv", ["dq", "weights", "bias"], "conv"), node("Relu", ["conv"], "relu"),
        node("QuantizeLinear", ["relu", "ys", "yz"], "q2"), node("MaxPool", ["q2"], "pool", kernel_shape=[2, 2]),
        node("DequantizeLinear", ["pool", "ys", "yz"], "y"),
    ]  # fmt: skip
    return small_model(nodes, constants)


def test_pairs_of_quantization(tmp_path):
    """Values beyond the range saturate; quantized values may differ by one step, where a sum lies between two."""
    model = quantized()
    network = read(tmp_path, model)
    x = values(2, 4, 7, 8) * 3
    found, expected = all_layers(model, network, x)
    assert len(found) == 7
    steps = {"q": 1, "q2": 1, "pool": 1, "y": 0.03}
    for name, value in expected.items():
        distance = np.abs(found[name] - value.astype(np.float32))
        if name in steps and name != "q":
            assert distance.max() <= STEP_BOUND * steps[name], name
            assert (distance > 1e-4).mean() < 0.01, name
        else:
            assert distance.max() <= BOUND * np.abs(value.astype(np.float32)).max(), name
    assert {found["q"].min(), found["q"].max()} == {0, 255}


def test_quantized_values_have_gradients_within_their_range(tmp_path):
    model = small_model([
        node("QuantizeLinear", ["x", "s", "z"], "q"), node("DequantizeLinear", ["q", "s", "z"], "y"),
    ], {"s": np.float32(0.5), "z": np.int8(0)})  # fmt: skip
    x = torch.tensor([-100.0, 0.25, 0.75, 1.1]).reshape(1, 4, 1, 1).requires_grad_()
    y = read(tmp_path, model).activations(x, ["y"])["y"]
    assert y.flatten().tolist() == [-64.0, 0.0, 1.0, 1.0]  # halves go to the even neighbor
    y.sum().backward()
    assert x.grad.flatten().tolist() == [0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("op", ["QLinearConv", "QLinearMatMul"])
def test_products_of_integers(op, tmp_path):
    shape = (6, 4, 3, 3) if op == "QLinearConv" else (8, 5)
    constants = {
        "xs": np.float32(0.02), "xz": np.uint8(128), "ws": np.float32(0.01), "wz": np.uint8(100), "ys": np.float32(0.1),
        "yz": np.uint8(127), "w": np.random.RandomState(1).randint(0, 256, shape).astype(np.uint8),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], "q"),
        node(op, ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz"], "product"),
        node("DequantizeLinear", ["product", "ys", "yz"], "y"),
    ]  # fmt: skip
    model = small_model(nodes, constants)
    found, expected = all_layers(model, read(tmp_path, model), values(2, 4, 7, 8) * 2)
    distance = np.abs(found["product"] - expected["product"].astype(np.float32))
    assert distance.max() <= 1
    assert (distance > 0).mean() < 0.01
    assert len(np.unique(found["product"])) > 50


def test_tokens(tmp_path):
    """Attention as PyTorch's exporter writes it: patches to tokens, LayerNormalization, matrix products."""
    constants = {
        "k": values(12, 3, 4, 4), "shape": np.int64([0, 12, -1]), "s": values(12) + 2, "b": values(12),
        "w": values(12, 36), "heads": np.int64([0, -1, 3, 2, 6]), "zero": np.int64(0), "one": np.int64(1),
        "two": np.int64(2), "flat": np.int64([0, -1, 12]), "scale": np.float32(6**-0.5),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "k"], "patches", strides=[4, 4]), node("Reshape", ["patches", "shape"], "rows"),
        node("Transpose", ["rows"], "tokens", perm=[0, 2, 1]),
        node("LayerNormalization", ["tokens", "s", "b"], "norm", axis=-1), node("MatMul", ["norm", "w"], "qkv"),
        node("Reshape", ["qkv", "heads"], "split"), node("Transpose", ["split"], "turned", perm=[2, 0, 3, 1, 4]),
        node("Gather", ["turned", "zero"], "q", axis=0), node("Gather", ["turned", "one"], "k_", axis=0),
        node("Gather", ["turned", "two"], "v", axis=0),
        node("Transpose", ["k_"], "kt", perm=[0, 1, 3, 2]), node("MatMul", ["q", "kt"], "product"),
        node("Mul", ["product", "scale"], "scores"), node("Softmax", ["scores"], "weights", axis=-1),
        node("MatMul", ["weights", "v"], "mixed"), node("Transpose", ["mixed"], "joined", perm=[0, 2, 1, 3]),
        node("Reshape", ["joined", "flat"], "attention"), node("Add", ["tokens", "attention"], "sum"),
        node("Gelu", ["sum"], "y", approximate="tanh"),
    ]  # fmt: skip
    model = small_model(nodes, constants, shape=("n", 3, "h", "w"), opset=20, rank=3)
    network = read(tmp_path, model)
    assert_all_layers(model, network, values(2, 3, 8, 12), 19)
    assert isinstance(network.layer_module("norm"), torch.nn.LayerNorm)
    assert isinstance(network, converters.onnx.reading.network.OnnxNetwork)
