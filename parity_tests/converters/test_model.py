"""A converted model as PyTorch users meet it."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

import converters
from converters.frozen.writer import GraphWriter
from lucid_port.modelzoo.seeded import seeded_inceptionv1

X = torch.from_numpy(np.random.RandomState(1).uniform(-117, 138, (2, 3, 75, 90)).astype(np.float32))


@pytest.fixture(scope="module")
def model():
    return converters.convert(seeded_inceptionv1())


def test_layers_have_lucids_names_in_the_graphs_order(model):
    names = list(model.layers)
    assert names[0] == "input"
    for name in ("conv2d0_pre_relu/conv", "mixed4a_3x3_bottleneck_pre_relu", "mixed4a_pre_relu", "head0_bottleneck",
                 "nn1_pre_relu/matmul", "softmax2_pre_activation", "avgpool0/reshape", "output2"):  # fmt: skip
        assert name in names
    assert names.index("conv2d0") < names.index("mixed3a") < names.index("mixed3a_pre_relu") < names.index("mixed5b")


def test_layers_say_what_they_are(model):
    info = model.layers["mixed4a"]
    assert (info.op, info.channels) == ("Concat", 508)
    assert model.get_submodule(info.module) is model.mixed4a
    assert model.layers["softmax2"].channels == 1008
    assert model.layers["input"].channels == 3


def test_the_pre_relu_concats_are_lucids_nine(model):
    added = [name for name in model.layers if name.startswith("mixed") and name.count("_") == 2 and
             name.endswith("_pre_relu") and model.layers[name].op == "Concat"]  # fmt: skip
    assert added == [f"mixed{block}_pre_relu" for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")]


def test_a_pre_relu_concat_holds_the_values_before_the_relu(model):
    found = model.activations(X, ["mixed4a_pre_relu", "mixed4a"])
    assert (found["mixed4a_pre_relu"] < 0).any()
    torch.testing.assert_close(found["mixed4a_pre_relu"].relu(), found["mixed4a"], rtol=0, atol=0)


def test_a_wrong_name_offers_the_nearest(model):
    with pytest.raises(converters.LayerNotFoundError, match="Did you mean mixed4a_pre_relu"):
        model.activations(X, ["mixed4a_prerelu"])


def test_names_with_an_output_number_are_accepted(model):
    found = model.activations(X, ["mixed3a:0"])
    assert list(found) == ["mixed3a:0"]


def test_the_input_can_be_asked_for(model):
    assert model.activations(X, ["input"])["input"] is X


def test_nothing_is_computed_that_the_asked_layers_do_not_need(model):
    called = []
    handles = [
        model.get_submodule(info.module).register_forward_hook(lambda m, i, o, name=name: called.append(name))
        for name, info in model.layers.items()
        if info.module
    ]
    model.activations(X, ["mixed3a_3x3"])
    for handle in handles:
        handle.remove()
    assert "mixed3a_3x3" in called
    assert not any("5x5" in name or "_pool" in name for name in called)
    assert not any(name.startswith(("mixed3b", "mixed4", "softmax", "head")) for name in called)


def test_hooks_see_a_layers_value(model):
    seen = {}
    handle = model.mixed3b.register_forward_hook(lambda module, inputs, output: seen.update(value=output))
    value = model.activations(X, ["mixed4a"])["mixed4a"]
    handle.remove()
    assert seen["value"].shape == (2, 480, 10, 12)
    assert value.shape == (2, 508, 5, 6)


def test_a_hook_can_change_a_layers_value(model):
    handle = model.mixed3b.register_forward_hook(lambda module, inputs, output: output * 0)
    changed = model.activations(X, ["maxpool4"])["maxpool4"]
    handle.remove()
    assert not changed.any()


def test_the_model_gives_all_outputs_of_the_graph(model):
    found = model(torch.zeros(1, 3, 224, 224))
    assert set(found) == {"output", "output1", "output2"}
    assert all(math.isclose(float(value.sum()), 1, rel_tol=1e-5) for value in found.values())


def test_a_size_that_a_layer_cannot_take_names_the_layer(model):
    with pytest.raises(converters.InputSizeError, match="'avgpool0' cannot be computed for images of 75x90"):
        model.activations(X, ["softmax2"])


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 32, 32, 3)])
def test_an_input_that_is_no_batch_of_images(model, shape):
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        model.activations(torch.zeros(shape), ["conv2d0"])


def test_weights_are_frozen_and_the_input_gets_its_gradient(model):
    x = X.clone().requires_grad_()
    model.activations(x, ["mixed4a"])["mixed4a"].mean().backward()
    assert x.grad.abs().max() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_copies_are_independent(model):
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.conv2d0_pre_relu.bias += 1000
    assert not torch.equal(twin.activations(X, ["conv2d0"])["conv2d0"], model.activations(X, ["conv2d0"])["conv2d0"])


def test_a_layer_that_is_replaced_takes_no_part_any_more(model):
    twin = copy.deepcopy(model)
    before = twin.activations(X, ["mixed3a"])["mixed3a"]
    twin.mixed3a_1x1 = torch.nn.Identity()
    assert not torch.equal(twin.activations(X, ["mixed3a"])["mixed3a"], before)


def test_a_copy_keeps_hooks_thawed_weights_and_precision(model):
    twin = copy.deepcopy(model).double().requires_grad_()
    seen = []
    twin.conv2d0.register_forward_hook(lambda *_: seen.append(1))
    again = copy.deepcopy(twin)
    again.activations(X.double(), ["localresponsenorm0"])
    assert seen == [1]
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_one_name_may_stand_alone(model):
    assert list(model.activations(X, "mixed3a")) == ["mixed3a"]
    assert list(model.activations(X, (name for name in ("mixed3a", "conv2d0")))) == ["mixed3a", "conv2d0"]


@pytest.mark.parametrize("x", [np.zeros((1, 3, 8, 8), np.float32), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)])
def test_an_input_of_another_kind(model, x):
    with pytest.raises(ValueError, match="floating point"):
        model.activations(x, ["conv2d0"])


def test_double_precision_agrees_with_single(model):
    double = copy.deepcopy(model).double()
    name = "mixed4a_pre_relu"
    exact = double.activations(X.double(), [name])[name]
    error = (model.activations(X, [name])[name] - exact).abs().max() / exact.abs().max()
    assert exact.dtype == torch.float64
    assert error < 1e-5  # 1.5e-6 measured: float32 rounding through 30 layers


def test_channels_last_gives_the_same_values(model):
    # Another memory format chooses other kernels, which sum in another order.
    name = "mixed4a_pre_relu"
    expected = model.activations(X, [name])[name]
    twin = copy.deepcopy(model).to(memory_format=torch.channels_last)
    found = twin.activations(X.contiguous(memory_format=torch.channels_last), [name])[name]
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(model):
    twin = copy.deepcopy(model).cuda()
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        found = twin.activations(X.cuda(), ["mixed4a_pre_relu", "mixed5b"])
    finally:
        torch.backends.cudnn.allow_tf32 = allowed
    for name, value in found.items():
        expected = model.activations(X, [name])[name]
        assert (value.cpu() - expected).abs().max() <= 1e-4 * expected.abs().max()


def concat_graph(op: str, name: str) -> converters.ConvertedModel:
    """A Concat of a ReLU tower and a bare pool."""
    graph = GraphWriter()
    x = graph.placeholder("input", [None, None, None, 2])
    relu = graph.op("tower/relu", "Relu", [x])
    pool = graph.pool("tower/pool", "MaxPool", x, 3, 1, "SAME")
    axis = graph.const("axis", np.int32(3))
    if op == "Concat":
        graph.concat(name, axis, [relu, pool])
    else:
        graph.concat_v2(name, [relu, pool], axis)
    return converters.convert(graph.graph_def())


@pytest.mark.parametrize(
    ("op", "name", "added"),
    [
        ("Concat", "mixed", "mixed_pre_relu"),
        ("Concat", "block/part/concat", "block_pre_relu"),
        ("ConcatV2", "block/part/concat", "block/part/concat_pre_relu"),
    ],
)
def test_names_of_pre_relu_concats(op, name, added):
    model = concat_graph(op, name)
    assert added in model.layers
    x = torch.randn(1, 2, 5, 7)
    found = model.activations(x, [added, "tower/pool"])
    expected = torch.cat([x, found["tower/pool"]], 1)  # a tower that is no ReLU is taken as it is
    torch.testing.assert_close(found[added], expected, rtol=0, atol=0)


def test_fingerprint_does_not_depend_on_the_order_of_the_nodes():
    graph = seeded_inceptionv1()
    turned = type(graph)()
    turned.node.extend(reversed(graph.node))
    assert converters.convert(turned).program.fingerprint == converters.convert(graph).program.fingerprint


def test_fingerprint_depends_on_the_constants():
    first, second = seeded_inceptionv1(seed=0), seeded_inceptionv1(seed=1)
    assert converters.convert(first).program.fingerprint != converters.convert(second).program.fingerprint


@pytest.mark.parametrize("op", ["Split", "SplitV", "Unpack"])
def test_a_value_taken_apart_into_one(op):
    """TensorFlow gives one value then, and so does the layer, not a tuple."""
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 3])
    if op == "Split":
        part = graph.op("part", op, [graph.const("axis", np.int32(3)), x], num_split=1)
    elif op == "SplitV":
        sizes, axis = graph.const("sizes", np.array([3], np.int32)), graph.const("axis", np.int32(3))
        part = graph.op("part", op, [x, sizes, axis], num_split=1, Tlen=np.int32)
    else:
        part = graph.op(
            "part", op, [graph.op("mean", "Mean", [x, graph.const("axes", [3])], keep_dims=True)], num=1, axis=3
        )
    graph.op("y", "Tanh", [part])
    image = torch.randn(2, 3, 5, 7)
    expected = image.tanh() if op != "Unpack" else image.mean(1).tanh()
    assert torch.equal(converters.convert(graph.graph_def()).activations(image, ["y"])["y"], expected)


@pytest.mark.parametrize(("axes", "dims", "steps"), [([1, 2], (2, 3), 1), ([3], (1,), 1), ([2], (2,), 2)])
def test_a_reduction_turns_its_input_only_if_axes_left_would_change_order(axes, dims, steps):
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 3])
    graph.op("mean", "Mean", [x, graph.const("axes", np.array(axes, np.int32))])
    program = converters.convert(graph.graph_def()).program
    assert program.steps[-1].arguments["dims"] == dims
    assert len(program.steps) == steps


@pytest.mark.parametrize("shape", [(3,), (1, 1, 1, 3)])
def test_a_constant_operand_is_a_buffer_of_its_layer(shape):
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 3])
    graph.op("y", "AddV2", [x, graph.const("c", np.array([1, 2, 4], np.float32).reshape(shape))])
    model = converters.convert(graph.graph_def())
    assert [step.name for step in model.program.steps] == ["y"]
    assert model.y.constant.flatten().tolist() == [1, 2, 4]


def test_fixed_sizes_are_known_after_rows_and_columns_moved_to_the_batch():
    """A constant of the moved image's size fits: (5 + 0 + 1) / 2 = 3 rows, (7 + 1 + 1) / 3 = 3 columns."""
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 2])
    x = graph.op("resized", "ResizeNearestNeighbor", [x, graph.const("size", np.array([5, 7], np.int32))])
    amounts = [
        graph.const("block", np.array([2, 3], np.int32)),
        graph.const("pads", np.array([[0, 1], [1, 1]], np.int32)),
    ]
    moved = graph.op("moved", "SpaceToBatchND", [x, *amounts], Tblock_shape=np.int32, Tpaddings=np.int32)
    graph.op("y", "AddV2", [moved, graph.const("c", np.ones((3, 3, 2), np.float32))])
    found = converters.convert(graph.graph_def()).activations(torch.zeros(1, 2, 5, 7), ["y"])["y"]
    assert torch.equal(found, torch.ones(6, 2, 3, 3))


def test_a_transposed_convolution_of_an_open_batch_takes_any():
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 3])
    size = graph.const("size", np.array([-1, 10, 14, 2], np.int32))
    weights = graph.const("w", np.ones((2, 2, 2, 3), np.float32))
    graph.op("y", "Conv2DBackpropInput", [size, weights, x], padding="VALID", strides=[1, 2, 2, 1])
    found = converters.convert(graph.graph_def()).activations(torch.ones(3, 3, 5, 7), ["y"])["y"]
    assert torch.equal(found, torch.full((3, 2, 10, 14), 3.0))


def test_a_constant_condition_chooses_each_value():
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 3])
    chosen = graph.const("chosen", np.array([True, False, True]))
    graph.op("y", "SelectV2", [chosen, x, graph.op("negative", "Neg", [x])])
    image = torch.randn(2, 3, 5, 7)
    found = converters.convert(graph.graph_def()).activations(image, ["y"])["y"]
    assert torch.equal(found, image * torch.tensor([1, -1, 1])[:, None, None])


def test_65536_positions_are_taken_and_one_more_is_refused():
    def taking(count: int) -> converters.ConvertedModel:
        graph = GraphWriter()
        x = graph.placeholder("x", [None, None, None, 3])
        positions, axis = graph.const("positions", np.zeros(count, np.int32)), graph.const("axis", np.int32(3))
        graph.op("y", "GatherV2", [x, positions, axis])
        return converters.convert(graph.graph_def())

    assert taking(2**16).layers["y"].channels == 2**16
    with pytest.raises(converters.ConverterError, match="not one constant list"):
        taking(2**16 + 1)


def test_rows_that_were_taken_can_be_joined_with_all_rows():
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 3])
    axis = graph.const("axis", np.int32(1))
    taken = graph.op("taken", "GatherV2", [x, graph.const("rows", np.array([2, 0], np.int32)), axis])
    graph.concat_v2("y", [taken, x], axis)
    image = torch.randn(2, 3, 5, 7)
    found = converters.convert(graph.graph_def()).activations(image, ["y"])["y"]
    assert torch.equal(found, torch.cat([image[:, :, [2, 0]], image], 2))
