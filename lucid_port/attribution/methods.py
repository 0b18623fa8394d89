"""The registry of methods: each function makes an object of Captum, and its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from converters import checks
from converters.errors import MissingPackageError, nearest_names
from converters.signatures import checked
from lucid_port.attribution.reader import Reader
from lucid_port.attribution.units import Unit
from lucid_port.misc.io.serialize_array import to_array

__all__ = ["METHODS", "Kind", "Method", "Plan", "Problem", "find_method", "method_names"]

Kind: TypeAlias = Literal["input", "layer", "neuron"]
"""Of pixels, of a layer's values, or of pixels by way of a neuron."""

KINDS: dict[Kind, str] = {"input": "pictures", "layer": "layers", "neuron": "neurons"}

SEGMENTS, WINDOWS = 50, 8
"""Segments of a picture, and windows along its shorter side, by default."""


@dataclass(frozen=True)
class Problem:
    """What a method explains.

    Attributes:
        reader: the network.
        images: (N, C, H, W).
        baselines: a number, or (N, C, H, W), or (1, C, H, W).
        options: options of the method that the caller gave.
        batch: number of images that fit into memory together.
        neuron: the neuron; None for other kinds.
    """

    reader: Reader
    images: Tensor
    baselines: float | Tensor
    options: Mapping[str, Any]
    batch: int
    neuron: Unit | None = None

    def given(self, *names: str) -> dict[str, Any]:
        """Returns those of some options that the caller gave, by Captum's names."""
        return {_CAPTUM.get(name, name): self.options[name] for name in names if name in self.options}

    def parts(self, least: int = 1) -> dict[str, int]:
        """Returns the size of the batches of a path.

        Args:
            least: number of points of the path that a batch has at least.
        """
        own = self.options.get("internal_batch_size", self.batch)
        return {"internal_batch_size": max(own, least * len(self.images))}

    def at_once(self) -> dict[str, int]:
        """Returns the number of changed images in a batch."""
        return {"perturbations_per_eval": self.options.get("perturbations_per_eval", self.batch)}

    def selector(self) -> Callable[[Any], Tensor]:
        """Returns the function from the tap's value to the neuron."""
        neuron, reader = self.neuron, self.reader
        assert neuron is not None

        def select(value: Any) -> Tensor:
            assert reader.layout is not None
            return neuron.of(value[0] if isinstance(value, tuple) else value, reader.layout)

        return select


_CAPTUM = {"integral": "method"}


@dataclass(frozen=True)
class Plan:
    """A call of Captum.

    Attributes:
        attributor: the object whose method `attribute` is called.
        arguments: its arguments but for the images.
        has_delta: whether it gives the convergence delta.
    """

    attributor: Any
    arguments: dict[str, Any] = field(default_factory=dict)
    has_delta: bool = False


@dataclass(frozen=True)
class Method:
    """A method of the registry.

    Attributes:
        name: its name.
        kind: what it explains.
        make: makes the call.
        options: names of its options.
        rules: name of its rules in `rules.RULES`; empty for none.
        has_target: whether it explains a target.
        alone: whether the pictures are computed one by one: each has features of its own, or Captum's rule of a softmax
            would mix them.
        least: number of images of a path that are computed together for each picture.
    """

    name: str
    kind: Kind
    make: Callable[[Problem], Plan]
    options: tuple[str, ...] = ()
    rules: str = ""
    has_target: bool = True
    alone: bool = False
    least: int = 1

    @property
    def has_baselines(self) -> bool:
        """Whether it compares with a baseline."""
        return "baselines" in self.options


METHODS: dict[tuple[Kind, str], Method] = {}

_IN_SEVERAL = ("conductance", "deep_lift", "feature_ablation", "grad_cam", "gradient", "integrated_gradients")
"""Methods of several kinds, whose functions have the kind in their name."""


Make: TypeAlias = Callable[[Problem], Plan]


def _method(kind: Kind, *options: str, **facts: Any) -> Callable[[Make], Make]:
    """Decorator that enters a function into the registry."""

    def enter(make: Make) -> Make:
        prefix = f"{kind}_"
        own = make.__name__
        name = own.removeprefix(prefix) if own.removeprefix(prefix) in _IN_SEVERAL else own
        METHODS[kind, name] = Method(name, kind, make, options, **facts)
        return make

    return enter


@checked
def method_names(kind: str = "input") -> list[str]:
    """Returns the names of the methods of a kind.

    Args:
        kind: "input", "layer" or "neuron".

    Example:
        >>> method_names("neuron")
        ['conductance', 'integrated_gradients', 'gradient']
    """
    checks.choice(kind, "kind", KINDS)
    return [name for known, name in METHODS if known == kind]


def find_method(kind: Kind, name: str) -> Method:
    """Returns a method.

    Raises:
        ValueError: there is none of this name; the error lists those that exist.
    """
    found = METHODS.get((kind, name))
    if found is not None:
        return found
    names = method_names(kind)
    advice = ""
    others = [known for known, other in METHODS if other == name]
    if others:
        advice = f" {name!r} explains {' and '.join(KINDS[one] for one in others)}: {_ADVICE[others[0]]}."
    raise ValueError(
        f"No method for {KINDS[kind]} is called {checks.shown(name)}: there are {', '.join(names)}."
        f"{advice or nearest_names(str(name), names)}"
    )


_ADVICE: dict[Kind, str] = {
    "input": "leave out the layer",
    "layer": "name a layer, as in layer='mixed4d'",
    "neuron": "name a neuron, as in layer='mixed4d:8'",
}

_PATH = ("baselines", "n_steps", "integral", "internal_batch_size")


# Pictures ----------------------------------------------------------------------------------------


@_method("input", "abs")
def saliency(problem: Problem) -> Plan:
    from captum.attr import Saliency

    return Plan(Saliency(problem.reader), problem.given("abs"))


@_method("input")
def input_x_gradient(problem: Problem) -> Plan:
    from captum.attr import InputXGradient

    return Plan(InputXGradient(problem.reader))


@_method("input", *_PATH, "multiply_by_inputs")
def integrated_gradients(problem: Problem) -> Plan:
    from captum.attr import IntegratedGradients

    arguments = {"baselines": problem.baselines, **problem.given("n_steps", "integral"), **problem.parts()}
    return Plan(IntegratedGradients(problem.reader, **problem.given("multiply_by_inputs")), arguments, has_delta=True)


@_method("input", "baselines", "n_samples", "stdevs", "multiply_by_inputs")
def gradient_shap(problem: Problem) -> Plan:
    from captum.attr import GradientShap

    baselines = problem.baselines
    if not isinstance(baselines, Tensor):
        baselines = torch.full_like(problem.images[:1], baselines)
    arguments = {"baselines": baselines, **problem.given("n_samples", "stdevs")}
    return Plan(GradientShap(problem.reader, **problem.given("multiply_by_inputs")), arguments, has_delta=True)


@_method("input", "baselines", "multiply_by_inputs", rules="deep_lift", alone=True)
def deep_lift(problem: Problem) -> Plan:
    from captum.attr import DeepLift

    made = DeepLift(problem.reader, **problem.given("multiply_by_inputs"))
    return Plan(made, {"baselines": problem.baselines}, has_delta=True)


@_method("input", "baselines", "sliding_window_shapes", "strides", "perturbations_per_eval", alone=True)
def occlusion(problem: Problem) -> Plan:
    from captum.attr import Occlusion

    channels, height, width = problem.images.shape[1:]
    side = max(1, min(height, width) // WINDOWS)
    window = _window(problem.options.get("sliding_window_shapes", side), channels, "sliding_window_shapes")
    half = tuple(max(1, length // 2) for length in window[1:])
    strides = _window(problem.options.get("strides", half), channels, "strides")
    if window[1] > height or window[2] > width:
        raise ValueError(f"The window {window[1]} x {window[2]} is larger than the picture, {height} x {width}.")
    if strides[1] > window[1] or strides[2] > window[2]:
        raise ValueError(f"The strides {strides[1:]} are longer than the window {window[1:]}: they leave out pixels.")
    arguments = {"sliding_window_shapes": window, "strides": strides, "baselines": problem.baselines}
    return Plan(Occlusion(problem.reader), {**arguments, **problem.at_once()})


def _window(given: object, channels: int, what: str) -> tuple[int, int, int]:
    """Returns (channels, height, width) of a number, (height, width) or (channels, height, width)."""
    single = isinstance(given, (int, np.integer))
    sizes = [given, given] if single else checks.items(given, what, "a number, or (height, width)")
    if len(sizes) not in (2, 3):
        raise ValueError(
            f"{what} is a number or (height, width), with or without channels before, not {checks.shown(given)}."
        )
    first, height, width = (checks.whole(one, what, 1) for one in [channels, *sizes][-3:])
    return first, height, width


@_method("input", "baselines", "feature_mask", "segments", "perturbations_per_eval", alone=True)
def feature_ablation(problem: Problem) -> Plan:
    from captum.attr import FeatureAblation

    mask = problem.options.get("feature_mask")
    if mask is None:
        mask = segments_of(problem.images[0], problem.options.get("segments", SEGMENTS))
    arguments = {"feature_mask": mask, "baselines": problem.baselines, **problem.at_once()}
    return Plan(FeatureAblation(problem.reader), arguments)


def segments_of(image: Tensor, count: int) -> Tensor:
    """Returns the number of the segment of each pixel, (1, 1, H, W), by scikit-image's SLIC.

    Args:
        image: (C, H, W) in [0, 1].
        count: approximate number of segments.

    Raises:
        converters.MissingPackageError: scikit-image is not installed.
    """
    try:
        from skimage.segmentation import slic
    except ImportError:
        raise MissingPackageError(
            "Segments of a picture need the package scikit-image: pip install -e '.[captum]', or give feature_mask."
        ) from None
    pixels = image.detach().movedim(0, -1).cpu().double().numpy()
    found = slic(pixels, n_segments=checks.whole(count, "segments", 1), start_label=0, channel_axis=-1)
    return torch.from_numpy(np.ascontiguousarray(found)).long()[None, None].to(image.device)


@_method("input", rules="guided_backprop")
def guided_backprop(problem: Problem) -> Plan:
    from captum.attr import GuidedBackprop

    return Plan(GuidedBackprop(problem.reader))


@_method("input", "cam_layer", "relu_attributions")
def input_grad_cam(problem: Problem) -> Plan:
    return layer_grad_cam(problem)


# Layers ------------------------------------------------------------------------------------------


@_method("layer", has_target=False)
def activation(problem: Problem) -> Plan:
    from captum.attr import LayerActivation

    return Plan(LayerActivation(problem.reader, problem.reader.tap))


@_method("layer", *_PATH, least=2)
def layer_conductance(problem: Problem) -> Plan:
    from captum.attr import LayerConductance

    arguments = {"baselines": problem.baselines, **problem.given("n_steps", "integral"), **problem.parts(2)}
    return Plan(LayerConductance(problem.reader, problem.reader.tap), arguments, has_delta=True)


@_method("layer", *_PATH)
def internal_influence(problem: Problem) -> Plan:
    from captum.attr import InternalInfluence

    arguments = {"baselines": problem.baselines, **problem.given("n_steps", "integral"), **problem.parts()}
    return Plan(InternalInfluence(problem.reader, problem.reader.tap), arguments)


@_method("layer", "multiply_by_inputs")
def gradient_x_activation(problem: Problem) -> Plan:
    from captum.attr import LayerGradientXActivation

    return Plan(LayerGradientXActivation(problem.reader, problem.reader.tap, **problem.given("multiply_by_inputs")))


@_method("layer", "baselines", "multiply_by_inputs", rules="deep_lift", alone=True)
def layer_deep_lift(problem: Problem) -> Plan:
    from captum.attr import LayerDeepLift

    made = LayerDeepLift(problem.reader, problem.reader.tap, **problem.given("multiply_by_inputs"))
    return Plan(made, {"baselines": problem.baselines}, has_delta=True)


@_method("layer", "layer_baselines", "layer_mask", "perturbations_per_eval", alone=True)
def layer_feature_ablation(problem: Problem) -> Plan:
    from captum.attr import LayerFeatureAblation

    with torch.no_grad():
        value = problem.reader.first(problem.images[:1])
    channels = torch.arange(value.shape[1]).reshape(1, -1, *[1] * (value.dim() - 2))
    arguments = {
        "layer_mask": _of_layer(problem.options.get("layer_mask", channels), "layer_mask", value),
        "layer_baselines": _of_layer(problem.options.get("layer_baselines", 0.0), "layer_baselines", value),
    }
    return Plan(LayerFeatureAblation(problem.reader, problem.reader.tap), {**arguments, **problem.at_once()})


def _of_layer(given: Any, what: str, value: Tensor) -> float | Tensor:
    """Returns an option of a layer as a number, or as a tensor for one picture.

    Raises:
        TypeError, ValueError: it is neither a number nor an array that fits the layer.
    """
    if isinstance(given, (int, float, np.number)) and what == "layer_baselines":
        return float(checks.number(given, what))
    checks.finite_values(given, what)
    found = torch.as_tensor(to_array(given))
    shape = [1, *value.shape[1:]]
    if not checks.broadcasts(found.shape, shape) or (what == "layer_mask" and found.is_floating_point()):
        kind = "whole numbers" if what == "layer_mask" else "numbers"
        raise ValueError(f"{what} is an array of {kind} that broadcasts to {shape}, not {checks.shown(given)}.")
    return (found.long() if what == "layer_mask" else found.to(value.dtype)).to(value.device)


@_method("layer", "relu_attributions", "attr_dim_summation")
def layer_grad_cam(problem: Problem) -> Plan:
    from captum.attr import LayerGradCam

    arguments = problem.given("relu_attributions", "attr_dim_summation")
    return Plan(LayerGradCam(problem.reader, problem.reader.tap), arguments)


# Neurons -----------------------------------------------------------------------------------------


@_method("neuron", *_PATH, "multiply_by_inputs")
def neuron_conductance(problem: Problem) -> Plan:
    """Conductance of a neuron: the integrated gradients of the target by way of the neuron alone.

    For one neuron, Captum's `NeuronConductance` is the same. For a channel it multiplies the sum of the neurons'
    gradients by the gradient of their sum, and not each neuron's own.
    """
    from captum.attr import IntegratedGradients

    arguments = {"method": "riemann_trapezoid", **problem.given("n_steps", "integral"), **problem.parts()}
    made = IntegratedGradients(problem.reader, **problem.given("multiply_by_inputs"))
    return Plan(made, {"baselines": problem.baselines, **arguments})


@_method("neuron", *_PATH, "multiply_by_inputs", has_target=False)
def neuron_integrated_gradients(problem: Problem) -> Plan:
    from captum.attr import NeuronIntegratedGradients

    made = NeuronIntegratedGradients(problem.reader, problem.reader.tap, **problem.given("multiply_by_inputs"))
    arguments = {"neuron_selector": problem.selector(), "baselines": problem.baselines, **problem.parts()}
    return Plan(made, {**arguments, **problem.given("n_steps", "integral")})


@_method("neuron", has_target=False)
def neuron_gradient(problem: Problem) -> Plan:
    from captum.attr import NeuronGradient

    return Plan(NeuronGradient(problem.reader, problem.reader.tap), {"neuron_selector": problem.selector()})
