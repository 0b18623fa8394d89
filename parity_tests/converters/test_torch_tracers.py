"""torch.fx, torch.jit.trace, torch.export and TensorBoard go through converted networks."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import fx, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

import converters
from converters.layers import LAYERS
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from parity_tests.cases import CASES
from parity_tests.cases.converted import converted
from parity_tests.converters.torch_tools import Layer, images, small_graph

X, MORE, OTHER = images(2, 96, 96) * 120, images(5, 96, 96, seed=1) * 120, images(3, 101, 99, seed=2) * 120
QUIET = pytest.mark.filterwarnings("ignore:.*torch.jit.trace")


@pytest.fixture(scope="module")
def inception():
    return TinyInceptionV1().network


@pytest.fixture(scope="module")
def small():
    return small_graph()


def check(found, wanted, tolerance: float = 1e-6) -> None:
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name in wanted:
            check(found[name], wanted[name], tolerance)
        return
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


def cases() -> dict[str, converters.ConvertedModel]:
    """The first case of each kind of layers."""
    found, kinds = {}, set()
    for name in CASES:
        model = converted(name)
        new = {step.layer for step in model.program.steps} - kinds
        if new:
            found[name], kinds = model, kinds | new
    assert kinds == set(LAYERS)
    return found


MODELS = cases()


def inputs(name: str, other_sizes: bool) -> list[tuple[torch.Tensor, torch.Tensor | dict[str, torch.Tensor]]]:
    """Images of a case and their values: of its first size, then of other batches and sizes that the graph accepts."""
    case, found = CASES[name], []
    for seed, times in enumerate((1, 2)):
        for size in case.sizes if other_sizes else case.sizes[:1]:
            x = case.low + (images(times * case.batch, *size, case.channels, seed) + 1) / 2 * (case.high - case.low)
            try:
                found.append((x, MODELS[name](x)))
            except converters.InputSizeError:
                assert found, "the graph refuses its own input"
    return found


@pytest.mark.parametrize("name", MODELS)
def test_symbolic_trace_of_every_layer(name):
    model = MODELS[name]
    traced = fx.symbolic_trace(model)
    for x, wanted in inputs(name, other_sizes=True):
        check(traced(x), wanted)


@QUIET
@pytest.mark.parametrize("name", MODELS)
def test_jit_trace_of_every_layer(name):
    (first, wanted), *others = inputs(name, other_sizes=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(MODELS[name], first, strict=False, check_trace=False)
    check(traced(first), wanted)
    for x, value in others:
        check(traced(x), value)


@pytest.mark.parametrize("name", MODELS)
def test_export_of_every_layer(name):
    (first, wanted), *others = inputs(name, other_sizes=False)
    shapes = {"x": {0: torch.export.Dim("batch", min=2, max=64)}} if others and len(first) > 1 else None
    exported = torch.export.export(MODELS[name], (first,), dynamic_shapes=shapes, strict=False).module()
    check(exported(first), wanted)
    for x, value in others if shapes else ():
        check(exported(x), value)


def test_symbolic_trace(inception):
    traced = fx.symbolic_trace(inception)
    for x in (X, MORE, OTHER):
        check(traced(x), inception(x))
    called = {node.target for node in traced.graph.nodes if node.op == "call_function"}
    assert converters.functional.conv2d in called, "convolutions are traced as one function"
    assert not any("batch_norm" in str(node) for node in traced.graph.nodes)


def test_a_traced_graph_has_the_gradients(inception):
    traced, x = fx.symbolic_trace(inception), X.clone().requires_grad_()
    found, wanted = (torch.autograd.grad(network(x)["output2"][:, 3].sum(), x)[0] for network in (traced, inception))
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_the_feature_extractor_of_torchvision(inception):
    names = ["mixed3a", "mixed4a", "softmax2"]
    extractor = create_feature_extractor(inception, names)
    for x in (X, OTHER):
        check(extractor(x), inception.activations(x, names))
    assert "conv2d0.relu" in get_graph_node_names(inception)[1]


@QUIET
def test_jit_trace(inception):
    before = inception(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(inception, X, strict=False, check_trace=False)
    for x in (X, MORE):
        check(traced(x), inception(x))
    check(inception(X), before, 0)


@QUIET
@pytest.mark.parametrize("size", [(97, 96), (96, 95), (192, 48), (1, 96), (48, 192)])
def test_a_traced_network_refuses_other_sizes(small, size):
    traced = torch.jit.trace(small, images(2, 96, 96))
    with pytest.raises(RuntimeError, match="split_with_sizes expects"):
        traced(images(2, *size))


@pytest.mark.parametrize("strict", [False, True])
def test_export(inception, strict):
    network = Layer(copy.deepcopy(inception), "mixed3a" if strict else "softmax2")  # strict takes 0.2 s a layer
    shapes = {"x": {0: torch.export.Dim("batch", min=2, max=64)}}
    exported = torch.export.export(network, (X,), dynamic_shapes=shapes, strict=strict).module()
    for x in (X, MORE):
        check(exported(x), network(x))


def test_an_export_at_a_wrong_size_names_the_layer(inception):
    with pytest.raises(converters.InputSizeError, match="Layer 'head0_pool' cannot be computed"):
        torch.export.export(inception, (images(2, 40, 40),), strict=False)


def test_tracers_refuse_single_channels(inception):
    class Channel(nn.Module):
        def forward(self, x):
            return inception.activations(x, "mixed3a", channels={"mixed3a": [1]})["mixed3a"]

    with pytest.raises(converters.errors.UnsupportedRequestError, match="without channels"):
        torch.export.export(Channel(), (X,), strict=False)


@QUIET
def test_tensorboard(small, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_graph(small, images())
    events = EventAccumulator(str(tmp_path), size_guidance={"graph": 0})
    events.Reload()
    names = {node.name for node in events.Graph().node}
    for layer in ("conv", "norm", "relu", "pool", "dense", "softmax"):
        assert any(f"[{layer}]" in name for name in names), layer
