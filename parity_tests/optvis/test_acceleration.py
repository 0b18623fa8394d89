"""Precision and compilation of the network's part of a step; what a render says when something goes wrong."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import converters
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, render, transform
from lucid_port.optvis.engine import compilation, step
from lucid_port.optvis.engine.precision import PRECISIONS, _new_precisions, tf32
from lucid_port.optvis.overrides.redirected_relu_grad import REDIRECTED_UPDATES
from parity_tests.optvis.tiny import TinyModel

needs_compiler = pytest.mark.skipif(
    compilation.obstacle(torch.device("cpu")) is not None, reason="needs a C++ compiler"
)


class Small:
    """Convolutions without bias on the image as it is; `smooth` has no ReLUs."""

    labels = ()

    def __init__(self, smooth: bool = False) -> None:
        generator = torch.Generator().manual_seed(0)
        self.network = nn.ModuleList([nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 4, 3, stride=2, bias=False)])
        for parameter in self.network.parameters():
            parameter.data.normal_(generator=generator)
        self.network.requires_grad_(False)
        self.smooth = smooth

    def activations(self, image, names):
        first = self.network[0](image)
        first = torch.sin(first) if self.smooth else torch.relu(first)
        values = {"first": first, "second": self.network[1](first)}
        return {name: values[name] for name in names}


def _later(vis, step=REDIRECTED_UPDATES):
    """A render past its redirected updates, which knows what its objective reads."""
    vis.value_and_gradients()
    vis.steps = step
    return vis


def _steps(vis, count):
    for _ in range(count):
        vis.step()


def _pair(model, objective, step=REDIRECTED_UPDATES, **kwargs):
    """Value and gradient of one step, compiled and not."""
    found = []
    for compile in (True, False):
        vis = _later(render.make_vis_T(model, objective, compile=compile, **kwargs), step)
        value, (gradient,) = vis.value_and_gradients()
        found.append((value, gradient))
    return found


# Compilation ----------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("override", [False, True])
def test_compiled_gradients_are_those_of_eager_steps(override):
    sizes = [transform.random_scale([1.0, 0.8, 1.2])]
    made = {}
    for compile in (True, False):
        vis = render.make_vis_T(
            Small(smooth=True),
            objectives.channel("second", 1),
            lambda: param.image(20),
            transforms=sizes,
            relu_gradient_override=override,
            compile=compile,
        )
        _later(vis)
        made[compile] = [vis.value_and_gradients()[1][0] for _ in range(6)]
    for compiled, eager in zip(made[True], made[False], strict=True):
        assert (compiled - eager).abs().max() <= 1e-5 * eager.abs().max()


@needs_compiler
def test_each_size_is_compiled_once():
    vis = _later(
        render.make_vis_T(
            Small(),
            "first:1",
            lambda: param.image(20),
            transforms=[transform.random_scale([1.0, 0.8])],
            compile=True,
        )
    )
    for _ in range(8):
        vis.step()
    made = vis.forward.compilation._functions
    assert {key[0] for key in made} == {(1, 3, 20, 20), (1, 3, 16, 16)}
    assert all(made.values())


@needs_compiler
def test_override_reaches_into_the_compiled_network():
    """Where a ReLU's input is 0, Lucid's gradient passes, and torch's does not."""
    for override, passes in ((True, True), (False, False)):
        (_, compiled), (_, eager) = _pair(
            Small(),
            "first:1",
            param_f=lambda: torch.zeros(1, 3, 8, 8, requires_grad=True),
            transforms=[],
            relu_gradient_override=override,
        )
        assert bool(eager.abs().sum() > 0) == passes
        assert torch.equal(compiled, eager) or (compiled - eager).abs().max() <= 1e-6 * eager.abs().max()


@needs_compiler
def test_redirected_updates_and_reads_are_not_compiled():
    vis = render.make_vis_T(
        Small(), "first:1", lambda: param.image(12), transforms=[], relu_gradient_override=True, compile=True
    )
    for _ in range(REDIRECTED_UPDATES):
        vis.step()
    vis("second")
    functions = vis.forward.compilation._functions
    assert not functions
    vis.step()
    assert len(functions) == 1


@needs_compiler
def test_a_pytorch_network_is_compiled_too():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.ReLU())
    model = from_torch(network, (-1, 1))
    (_, compiled), (_, eager) = _pair(
        model, "2:1", param_f=lambda: param.image(16), transforms=[], relu_gradient_override=True
    )
    assert (compiled - eager).abs().max() <= 1e-5 * eager.abs().max()


@needs_compiler
def test_a_converted_network_compiled():
    """In one piece. ReLUs and max pools may decide otherwise where rounding differs, so the median is compared."""
    from torch._dynamo.utils import counters

    counters.clear()
    (value, compiled), (same, eager) = _pair(
        vision_models.InceptionV1_seeded(),
        "localresponsenorm1:3",
        param_f=lambda: param.image(48),
        transforms=[],
        relu_gradient_override=True,
    )
    assert counters["stats"]["unique_graphs"] == 1
    assert torch.allclose(value, same, rtol=1e-5)
    assert (compiled - eager).abs().median() <= 1e-6 * eager.abs().max()


@needs_compiler
def test_too_many_sizes_are_computed_without_compilation(monkeypatch):
    monkeypatch.setattr(compilation, "MOST_SIZES", 1)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    scales = [transform.random_scale([1.0, 0.8, 0.6])]
    vis = _later(render.make_vis_T(Small(), "first:1", lambda: param.image(20), transforms=scales, compile=True))
    with pytest.warns(UserWarning, match="more than 1 sizes") as warned:
        _steps(vis, 12)
    assert len(warned) == 1
    assert sum(function is not None for function in vis.forward.compilation._functions.values()) == 1


def test_without_a_compiler_steps_are_made_eagerly(monkeypatch):
    monkeypatch.setattr(step, "obstacle", lambda device: "no C++ compiler was found")
    with pytest.warns(UserWarning, match="compile=True has no effect: no C\\+\\+ compiler"):
        vis = render.make_vis_T(Small(), "first:1", lambda: param.image(12), transforms=[], compile=True)
    vis.step()
    assert not vis.forward.compiles


def test_a_missing_compiler_is_found_out():
    from torch._inductor import config, cpp_builder

    cpp_builder.cpp_compiler_search.cache_clear()
    try:
        with config.patch({"cpp.cxx": ("no-such-compiler",)}):  # a monkeypatch would delete what it cannot put back
            assert "C++ compiler" in compilation.obstacle(torch.device("cpu"))
    finally:
        cpp_builder.cpp_compiler_search.cache_clear()
    assert "C++ compiler" not in (compilation.obstacle(torch.device("cpu")) or "")


# Precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float16", "BF16", None, 32])
def test_unknown_precisions_are_refused(precision):
    with pytest.raises(ValueError, match="precision is one of 'float32', 'tf32', 'bf16'"):
        render.make_vis_T(Small(), "first:1", precision=precision)


def test_compile_is_a_yes_or_no():
    with pytest.raises(TypeError, match="compile is True or False"):
        render.make_vis_T(Small(), "first:1", compile="max")


def test_tf32_does_nothing_on_a_cpu():
    options = {"param_f": lambda: param.image(12), "transforms": [], "thresholds": (2,), "verbose": False}
    with pytest.warns(UserWarning, match="precision='tf32' does nothing on device 'cpu'") as warned:
        pictures = render.render_vis(Small(), "first:1", precision="tf32", **options)
    assert len(warned) == 1
    np.testing.assert_array_equal(pictures[0], render.render_vis(Small(), "first:1", **options)[0])


def _settings():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("before", [("highest", True), ("medium", False), ("high", True)])
def test_tf32_settings_come_back(allowed, before):
    was = _settings()
    try:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
        expected = _settings()
        with tf32(allowed):
            assert torch.backends.cudnn.allow_tf32 is allowed
            assert torch.backends.cuda.matmul.allow_tf32 is allowed
        assert _settings() == expected
        with pytest.raises(KeyError), tf32(allowed):
            raise KeyError
        assert _settings() == expected
    finally:
        torch.set_float32_matmul_precision(was[0])
        torch.backends.cudnn.allow_tf32 = was[1]


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="this torch has no newer settings")
def test_newer_tf32_settings_come_back():
    def settings():
        return [precision for *_, precision in _new_precisions()]

    was = settings()
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"  # which the older settings refuse to be read beside
        torch.backends.cudnn.conv.fp32_precision = "ieee"
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        expected = settings()
        with tf32(False):
            assert set(settings()) == {"ieee"}
        with tf32(True):
            assert settings() == ["tf32"] * 3 + ["ieee"] * 3
        assert settings() == expected
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
        for (owner, *_), precision in zip(_new_precisions(), was, strict=True):
            owner.fp32_precision = precision


def test_bf16_is_the_networks_alone():
    dtypes = {}

    class Spy(Small):
        def activations(self, image, names):
            values = super().activations(image, names)
            dtypes["image"] = image.dtype
            dtypes.update({name: value.dtype for name, value in values.items()})
            return values

    def objective(T):
        dtypes["objective"] = T("second").dtype
        return T("second")[:, 1].mean()

    vis = render.make_vis_T(Spy(), objective, lambda: param.image(12), transforms=[], precision="bf16")
    _, gradients = vis.value_and_gradients()
    assert dtypes == {"image": torch.float32, "second": torch.bfloat16, "objective": torch.float32}
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    vis.step()
    assert {one.dtype for one in vis.parameters} == {torch.float32}


@pytest.mark.parametrize("size", [63, 64])
def test_bf16_gradients_of_a_converted_network(size):
    """In a smooth network, where no ReLU can decide otherwise. 1.4 % was the most in five draws at 128 pixels."""
    network = converters.convert(seeded_inceptionv1(smooth=True))
    model = Model(network=network, image_value_range=(-117, 138))
    gradients = []
    for precision in ("float32", "bf16"):
        vis = render.make_vis_T(model, "conv2d2:50", lambda: param.image(size), transforms=[], precision=precision)
        gradients.append(vis.value_and_gradients()[1][0])
    exact, rounded = gradients
    assert 1e-3 < (exact - rounded).norm() / exact.norm() < 0.03
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}


@pytest.mark.gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("compile", [False, True])
def test_a_gpu_in_every_way(precision, compile):
    """TF32 has 11 significant bits, bfloat16 8: the values before the first update differ that much."""
    options = {"param_f": lambda: param.image(64), "transforms": [], "thresholds": (20,), "verbose": False}
    model = vision_models.InceptionV1_seeded().to("cuda")
    before = _settings()
    found = render.render_vis(model, "mixed3a_pre_relu:50", precision=precision, compile=compile, **options)
    exact = render.render_vis(vision_models.InceptionV1_seeded(), "mixed3a_pre_relu:50", **options)
    assert _settings() == before
    scale = np.abs(exact.losses).max()
    assert abs(found.losses[0] - exact.losses[0]) < {"float32": 1e-5, "tf32": 1e-2, "bf16": 5e-2}[precision] * scale
    assert found.losses[-1] > found.losses[0]


# Arguments and failures -----------------------------------------------------------------------


def _render(**options):
    defaults = {"param_f": lambda: param.image(12), "transforms": [], "thresholds": (3,), "verbose": False}
    return render.render_vis(TinyModel(), "mixed:1", **{**defaults, **options})


def test_a_parameterization_that_was_not_called():
    with pytest.raises(TypeError, match=r"param_f is called without arguments, but image needs w: "):
        _render(param_f=param.image)


@pytest.mark.parametrize("optimizer", [torch.optim.LBFGS, lambda parameters: torch.optim.LBFGS(parameters)])
def test_an_optimizer_that_needs_a_closure(optimizer):
    with pytest.raises(TypeError, match="LBFGS evaluates the objective itself"):
        _render(optimizer=optimizer)


@pytest.mark.parametrize("seed", [None, "a", [1, 2], 1.5, True, -1, np.zeros(2)])
def test_seeds_that_are_none(seed):
    with pytest.raises((TypeError, ValueError), match=r"seed is a (whole|non-negative) "):
        _render(seed=seed)


@pytest.mark.parametrize(
    ("device", "message"),
    [("foo", "device is a device, as in 'cuda:0', not 'foo'"), ("cuda:99", "'cuda:99' cannot be used: torch finds ")],
)
def test_devices_that_are_none(device, message):
    with pytest.raises(ValueError, match=message):
        _render(device=device)
    with pytest.raises(TypeError, match="device is a device, as in 'cuda:0', not 0"):
        _render(device=0)


def test_pictures_survive_a_callback_that_fails():
    def fail(vis):
        if vis.steps == 3:
            raise LookupError("no more")

    with pytest.raises(LookupError, match="no more") as caught:
        _render(callbacks=[fail], thresholds=(0, 1, 9))
    kept = caught.value.renders
    assert kept.steps == 3
    assert len(kept) == 2
    assert len(kept.losses) == 3
    np.testing.assert_array_equal(kept[1], _render(thresholds=(1,))[0])


def test_losses_stay_those_of_the_render_that_gave_them():
    pictures = _render()
    before = pictures.losses
    pictures.vis.step()
    np.testing.assert_array_equal(pictures.losses, before)
    assert pictures.steps == len(before) == 4


def test_an_objective_that_is_not_finite_is_told_once():
    steps = []

    def objective(T):
        steps.append(None)
        return T("mixed").mean() * (float("inf") if len(steps) == 5 else 1.0)

    with pytest.warns(RuntimeWarning, match="The objective was inf before update 5") as warned:
        pictures = render.render_vis(
            TinyModel(), objective, lambda: param.image(12), transforms=[], thresholds=(2, 5, 7), verbose=False
        )
    assert len(warned) == 1
    assert len(pictures) == 3


def test_a_finite_objective_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _render(thresholds=(1, 3))
