"""Tools of torch and of its ecosystem that change or read the layers of a converted network."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode

import converters
from converters.layers import LAYERS
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis.fingerprints import fingerprint
from parity_tests.cases import CASES
from parity_tests.converters.torch_tools import Rebuilt, images, small_graph

X = images(2, 96, 96) * 120


@pytest.fixture(scope="module")
def inception():
    return TinyInceptionV1().network


@pytest.fixture(scope="module")
def small():
    return small_graph()


def scale(value: torch.Tensor) -> float:
    return float(value.abs().max())


def same(found, wanted) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


# -- classes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("Conv2d", nn.Conv2d), ("ConvTranspose2d", nn.ConvTranspose2d), ("Linear", nn.Linear), ("Relu", nn.ReLU),
        ("Relu6", nn.ReLU6), ("LeakyRelu", nn.LeakyReLU), ("Elu", nn.ELU), ("Selu", nn.SELU), ("Tanh", nn.Tanh),
        ("Softplus", nn.Softplus), ("Sigmoid", nn.Sigmoid), ("Softmax", nn.Softmax), ("LogSoftmax", nn.LogSoftmax),
        ("MaxPool2d", nn.MaxPool2d), ("AvgPool2d", nn.AvgPool2d), ("BatchNorm", nn.BatchNorm2d),
        ("Identity", nn.Identity),
    ],
)  # fmt: skip
def test_layers_derive_from_torchs(name, base):
    assert issubclass(LAYERS[name], base)


def test_dense_layers_are_torchs_own(inception):
    assert {type(inception.nn0_pre_relu__matmul), type(inception.softmax2_pre_activation__matmul)} == {nn.Linear}


def test_building_layers_draws_no_random_numbers(small):
    state = torch.random.get_rng_state()
    for step in small.program.steps:
        step.build()
    assert torch.equal(torch.random.get_rng_state(), state)


# -- padding ----------------------------------------------------------------------------------------------------------


def _rebuilt(layer: nn.Module) -> nn.Module:
    """The layer that a tool makes from a layer's attributes."""
    if isinstance(layer, nn.Conv2d):
        sizes = layer.in_channels, layer.out_channels, layer.kernel_size
        made = nn.Conv2d(*sizes, layer.stride, layer.padding, layer.dilation, layer.groups, bias=layer.bias is not None)
    elif isinstance(layer, nn.ConvTranspose2d):
        sizes = layer.in_channels, layer.out_channels, layer.kernel_size
        rest = layer.output_padding, layer.groups, layer.bias is not None, layer.dilation
        made = nn.ConvTranspose2d(*sizes, layer.stride, layer.padding, *rest)
    elif isinstance(layer, nn.MaxPool2d):
        return nn.MaxPool2d(
            layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.return_indices, layer.ceil_mode
        )
    elif isinstance(layer, nn.AvgPool2d):
        return nn.AvgPool2d(
            layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad,
            layer.divisor_override,
        )  # fmt: skip
    elif isinstance(layer, nn.BatchNorm2d):
        made = nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum, layer.affine).eval()
        made.running_mean, made.running_var, made.bias = layer.running_mean, layer.running_var, layer.bias
    elif isinstance(layer, nn.Softmax | nn.LogSoftmax):
        return type(layer).__bases__[0](layer.dim)
    else:
        return nn.LeakyReLU(layer.negative_slope)
    made.weight = layer.weight
    return made


REBUILDABLE = (
    nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d, nn.BatchNorm2d, nn.Softmax, nn.LogSoftmax, nn.LeakyReLU,
)  # fmt: skip


def test_a_tool_that_rebuilds_a_layer_gets_the_same_values_or_an_error():
    right, refused, wrong = set(), set(), set()
    for name, case in CASES.items():
        model = converters.convert(case.graph_def())
        layers = [step for step in model.program.steps if isinstance(model.get_submodule(step.module), REBUILDABLE)]
        for step, (height, width) in ((step, size) for step in layers for size in case.sizes):
            layer, seen = model.get_submodule(step.module), []
            handle = layer.register_forward_hook(lambda module, args, value, seen=seen: seen.append((args, value)))
            try:
                model.activations(images(case.batch, height, width, case.channels), step.name)
            except converters.InputSizeError:
                continue
            finally:
                handle.remove()
            (x, *_), wanted = seen[0]
            try:
                found = _rebuilt(layer)(x)
            except (ValueError, TypeError, RuntimeError):
                refused.add(step.layer)
                continue
            fits = found.shape == wanted.shape and (found - wanted).abs().max() <= 1e-5 * max(scale(wanted), 1e-6)
            right.add(step.layer) if fits else wrong.add(f"{name} {height}x{width}")
    assert not wrong
    assert right >= {"Conv2d", "MaxPool2d", "AvgPool2d", "BatchNorm", "Softmax", "LeakyRelu"}
    assert refused >= {"Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d"}


# -- quantisation, LoRA, pruning --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:.*quint8")
@pytest.mark.parametrize("inplace", [False, True])
def test_dynamic_quantisation(inception, inplace):
    twin = copy.deepcopy(inception)
    wanted = twin(X)  # a pass is cached, which must not hide the quantised layers
    found = torch.ao.quantization.quantize_dynamic(twin, {nn.Linear}, dtype=torch.qint8, inplace=inplace)
    assert type(found.nn0_pre_relu__matmul).__module__.startswith("torch.ao.nn.quantized.dynamic")
    name = "nn0_pre_relu/matmul"
    x = inception.activations(X, "head0_bottleneck/reshape")["head0_bottleneck/reshape"]
    layer, weight = found.activations(X, name)[name], inception.nn0_pre_relu__matmul.weight
    # Half a step of 8 bits for each weight, one for each input (7 bits are used of it), and their product.
    of_weight, of_input = scale(weight) / 127 / 2, (float(x.max().clamp(min=0)) - float(x.min().clamp(max=0))) / 127
    bound = of_weight * x.abs().sum(1)[:, None] + of_input * (weight.abs().sum(1) + of_weight * weight.shape[1])
    exact = inception.activations(X, name)[name]
    assert not torch.equal(layer, exact)
    assert ((layer - exact).abs() <= bound).all()
    assert all(scale(found(X)[key] - wanted[key]) <= 0.02 for key in wanted)


def test_lora(inception):
    import peft

    twin = copy.deepcopy(inception)
    wanted = twin(X)
    names = ["softmax2_pre_activation__matmul", "nn0_pre_relu__matmul"]
    adapted = peft.get_peft_model(twin, peft.LoraConfig(target_modules=names, r=2))
    assert same(adapted(X), wanted), "new LoRA layers change nothing"
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in trained) == 2 * (256 + 28) + 2 * (32 + 256)
    optimizer = torch.optim.SGD(trained, lr=1.0)
    adapted(X)["output2"][:, 3].sum().backward()
    optimizer.step()
    changed = adapted(X)
    assert not torch.equal(changed["output2"], wanted["output2"])
    base = adapted.base_model.model.get_submodule(names[0])
    merged = base.base_layer.weight + base.get_delta_weight("default")
    adapted.merge_and_unload()
    assert torch.allclose(twin.get_submodule(names[0]).weight, merged)
    assert torch.allclose(twin(X)["output2"], changed["output2"], atol=1e-6)


def test_lora_of_a_convolution_is_refused(inception):
    import peft

    for name in ("mixed3a_3x3_pre_relu__conv", "conv2d0_pre_relu__conv"):
        with pytest.raises(TypeError, match="unexpected keyword argument 'bias'"):
            peft.get_peft_model(copy.deepcopy(inception), peft.LoraConfig(target_modules=[name], r=2))


def test_pruning(inception):
    twin = copy.deepcopy(inception).to(memory_format=torch.contiguous_format)
    before = twin.activations(X, ["mixed3a", "nn0_pre_relu/matmul"])
    for layer in (twin.mixed3a_3x3_pre_relu__conv, twin.nn0_pre_relu__matmul):
        prune.l1_unstructured(layer, "weight", 0.5)
        assert abs(float((layer.weight == 0).float().mean()) - 0.5) < 1e-3
    with pytest.raises(converters.SaveError, match=r"prune\.remove"):
        twin.save("unused")
    pruned = twin.activations(X, ["mixed3a", "nn0_pre_relu/matmul"])
    for layer in (twin.mixed3a_3x3_pre_relu__conv, twin.nn0_pre_relu__matmul):
        prune.remove(layer, "weight")
    after = twin.activations(X, ["mixed3a", "nn0_pre_relu/matmul"])
    for name in before:
        assert not torch.equal(before[name], pruned[name])
        assert scale(pruned[name] - after[name]) <= 1e-5 * scale(after[name])


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_weight_norms(inception, norm):
    twin = copy.deepcopy(inception)
    names = ["mixed3a", "nn0_pre_relu/matmul"]
    before = twin.activations(X, names)
    for layer in (twin.mixed3a_3x3_pre_relu__conv, twin.nn0_pre_relu__matmul):
        norm(layer)
        layer.eval()
    wanted = copy.deepcopy(inception)
    for layer in ("mixed3a_3x3_pre_relu__conv", "nn0_pre_relu__matmul"):
        wanted.get_submodule(layer).weight.data = twin.get_submodule(layer).weight.detach()
    expected = wanted.activations(X, names)
    for name, value in twin.activations(X, names).items():
        assert scale(value - expected[name]) <= 1e-5 * scale(expected[name])
        assert norm is parametrizations.weight_norm or not torch.allclose(value, before[name])


def test_a_fused_batch_norm_of_torch(small):
    twin = copy.deepcopy(small)
    wanted = twin(images())
    twin.conv = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), fuse_conv_bn_eval(_valid(twin.conv), twin.norm))
    twin.norm = nn.Identity()
    assert scale(twin(images(2, 20, 18)) - small(images(2, 20, 18))) <= 1e-6
    assert wanted.shape == (2, 5)


def _valid(layer: nn.Conv2d) -> nn.Conv2d:
    made = converters.layers.Conv2d(3, 8, (3, 3), (2, 2), "VALID").eval()
    made.weight = layer.weight
    return made


@pytest.mark.parametrize("name", ["conv", "conv2"])
def test_a_bias_that_a_tool_gives_a_convolution_counts(small, name):
    twin, x = copy.deepcopy(small), images()
    before = twin.activations(x, ["norm", "biased"])
    layer = twin.get_submodule(name)
    layer.bias = nn.Parameter(torch.arange(float(layer.out_channels)), requires_grad=False)
    values = twin.activations(x, [name, "norm", "biased"])
    alone = [twin.activations(x, one)[one] for one in ("norm", "biased")]
    assert all(torch.allclose(one, values[key], atol=1e-5) for one, key in zip(alone, ("norm", "biased"), strict=True))
    changed = "norm" if name == "conv" else "biased"
    assert scale(values[changed] - before[changed]) > 1
    with pytest.raises(converters.SaveError, match="has the tensors"):
        twin.save("unused")


# -- copies, dtypes, state --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(inception, copied):
    inception(X)
    twin = copied(inception)
    assert same(twin(X), inception(X))
    assert fingerprint(twin) == fingerprint(inception)
    assert repr(twin) == repr(inception)


def test_torch_save(inception):
    file = io.BytesIO()
    torch.save(inception, file)
    file.seek(0)
    assert same(torch.load(file, weights_only=False)(X), inception(X))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-5), (torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_dtypes(inception, dtype, bound):
    found, wanted = copy.deepcopy(inception).to(dtype)(X.to(dtype)), inception(X)
    for name, value in found.items():
        assert value.dtype == dtype
        assert scale(value.float() - wanted[name]) <= bound * scale(wanted[name])


def test_memory_formats(inception):
    wanted = inception(X)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        found = copy.deepcopy(inception).to(memory_format=memory_format)(X.to(memory_format=memory_format))
        assert all(scale(found[name] - wanted[name]) <= 1e-5 for name in wanted)


def test_functional_call(inception):
    state = {name: 2 * tensor for name, tensor in inception.state_dict().items()}
    twin = copy.deepcopy(inception)
    twin.load_state_dict(state)
    assert same(torch.func.functional_call(inception, state, (X,)), twin(X))


def test_flops_are_those_of_torchs_layers(small):
    counts = []
    for network in (small, Rebuilt(small, (21, 18))):
        with FlopCounterMode(display=False) as counter:
            network.activations(images(), "logits")
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_batch_norms_answer_to_torchs_names(small):
    norm = small.norm
    assert norm.running_mean is norm.mean
    assert norm.running_var is norm.variance
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sync = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(small)).norm.eval()
    assert torch.equal(sync.running_mean, norm.mean)
    assert sync.eps == norm.epsilon
    assert list(norm.state_dict()) == ["weight", "bias", "mean", "variance"]
