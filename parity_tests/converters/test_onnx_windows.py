"""Windows of ONNX: padding, pools, convolutions, LRN and resizing, against a runtime."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import converters
from parity_tests.converters.onnx_models import assert_close, read, small_model, values, window
from parity_tests.converters.onnx_runtimes import RUNTIMES, run

KERNELS = ((3, 3), (2, 2), (1, 4), (5, 3))

STRIDES = ((1, 1), (2, 2), (2, 3))

IMAGES = ((9, 9), (12, 10), (7, 13))


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


POSITIONS = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
)  # fmt: skip
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
MODES = [
    *({"mode": "nearest", "nearest_mode": rounding} for rounding in ROUNDINGS), {"mode": "linear"}, {"mode": "cubic"},
    {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}, {"mode": "linear", "antialias": 1},
    {"mode": "cubic", "antialias": 1},
]  # fmt: skip


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("mode", MODES)
def test_resize(mode, positions, tmp_path):
    """Enlarging and shrinking, to sizes and by scales, also to sizes that are no whole multiples."""
    x = values(2, 4, 5, 6)
    targets = [
        (["x", "", "", "to"], np.int64([2, 4, 10, 18])), (["x", "", "to"], np.float32([1, 1, 2, 3])),
        (["x", "", "", "to"], np.int64([2, 4, 7, 3])), (["x", "", "to"], np.float32([1, 1, 1.5, 0.6])),
        (["x", "", "", "to"], np.int64([2, 4, 1, 4])),
    ]  # fmt: skip
    for inputs, constant in targets:
        node = window("Resize", inputs, coordinate_transformation_mode=positions, **mode)
        model = small_model([node], {"to": constant}, opset=19)
        found = read(tmp_path, model).activations(torch.from_numpy(x), ["y"])["y"]
        assert_close(found, run("onnxruntime", model, {"x": x})["y:0"])


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_resize_of_two_axes_that_keeps_the_proportions(policy, tmp_path):
    node = window("Resize", ["x", "", "", "to"], axes=[2, 3], keep_aspect_ratio_policy=policy, mode="linear")
    model = small_model([node], {"to": np.int64([9, 15])}, opset=19)
    x = values(2, 4, 5, 6)
    found = read(tmp_path, model).activations(torch.from_numpy(x), ["y"])["y"]
    assert_close(found, run("onnxruntime", model, {"x": x})["y:0"])


def test_resize_of_a_region(tmp_path):
    node = window(
        "Resize", ["x", "roi", "", "to"], coordinate_transformation_mode="tf_crop_and_resize", mode="linear",
        extrapolation_value=7.0,
    )  # fmt: skip
    constants = {"roi": np.float32([0, 0, 0.1, 0.2, 1, 1, 1.2, 0.9]), "to": np.int64([2, 4, 7, 9])}
    model = small_model([node], constants, opset=13)
    x = values(2, 4, 5, 6)
    found = read(tmp_path, model).activations(torch.from_numpy(x), ["y"])["y"]
    assert_close(found, run("onnxruntime", model, {"x": x})["y:0"])


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("op", "opset"), [("Upsample", 7), ("Upsample", 9), ("Resize", 10)])
def test_old_resizes(op, opset, mode, tmp_path):
    scales = [1.0, 1.0, 2.0, 3.0]
    given, constants = ({"scales": scales}, {}) if opset == 7 else ({}, {"s": np.float32(scales)})
    model = small_model([window(op, ["x", *constants], mode=mode, **given)], constants, opset=opset)
    x = values(2, 4, 5, 6)
    found = read(tmp_path, model).activations(torch.from_numpy(x), ["y"])["y"]
    assert_close(found, run("onnxruntime", model, {"x": x})["y:0"])


def test_old_nearest_shrinking_is_refused_where_it_is_not_defined(tmp_path):
    model = small_model([window("Resize", ["x", "s"])], {"s": np.float32([1, 1, 0.6, 0.6])}, opset=10)
    with pytest.raises(converters.InputSizeError, match="does not state which pixels remain"):
        read(tmp_path, model).activations(torch.zeros(1, 4, 5, 6), ["y"])


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]}),
        ("MaxPool", {"kernel_shape": [2, 3], "strides": [3, 2], "ceil_mode": 1, "dilations": [2, 1]}),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1,
                         "pads": [1, 0, 1, 1]}),
        ("AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 2]}),
        ("LpPool", {"kernel_shape": [3, 3], "strides": [2, 2], "p": 3}),
    ],
)  # fmt: skip
def test_pools_that_torch_lacks(op, attributes, tmp_path):
    model = small_model([window(op, ["x"], **attributes)], opset=19)
    network = read(tmp_path, model)
    for size in IMAGES:
        x = values(2, 4, *size) - 3
        assert_close(network.activations(torch.from_numpy(x), ["y"])["y"], run("onnxruntime", model, {"x": x})["y:0"])
