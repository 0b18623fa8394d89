"""Methods with rules for modules, DeepLift and guided backpropagation: a copy of the network for hooks, and checks.

Captum replaces gradients by hooks on modules. It says nothing where a rule does not apply: at functions in the place of
modules, and at modules that run several times, of which it keeps the last call. A pass of one image finds these, and
they are refused.

A layer's attribution runs modules before the layer twice: once before the tap, and once on paths around it. These do no
harm. A gradient with respect to the tap passes only modules behind the tap, which run once, in the second pass.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from converters.stack_level import stack_level
from lucid_port.attribution.reader import Reader
from lucid_port.modelzoo.torch_network import TorchNetwork
from lucid_port.modelzoo.vision_base import Model

__all__ = ["RULES", "Rules", "check_rules", "copied"]


@dataclass(frozen=True)
class Rules:
    """The modules that a method has rules for.

    Attributes:
        title: name of the method in errors.
        modules: returns the classes of modules that have a rule.
        exact: whether subclasses have none.
        functions: names of functions that would need the rule of a module.
        once: whether a module may run only once in a pass.
        lacking: names of nonlinear modules and functions without a rule, whose plain gradient is taken.
    """

    title: str
    modules: Callable[[], Sequence[type[nn.Module]]]
    exact: bool
    functions: frozenset[str]
    once: bool
    lacking: frozenset[str]

    def applies(self, module: nn.Module) -> bool:
        """Returns whether a module has a rule."""
        kinds = tuple(self.modules())
        return type(module) in kinds if self.exact else isinstance(module, kinds)


def _of_deep_lift() -> Sequence[type[nn.Module]]:
    from captum.attr._core import deep_lift  # the table that DeepLift itself reads

    return list(deep_lift.SUPPORTED_NON_LINEAR)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WITHOUT_RULE = _names(
    """CELU GELU GLU GRU GroupNorm Hardsigmoid Hardswish Hardtanh InstanceNorm2d LSTM LayerNorm LocalResponseNorm
    LogSoftmax Mish MultiheadAttention PReLU RNN ReLU6 Relu6 SELU SiLU"""
)


RULES = {
    "deep_lift": Rules(
        "DeepLift",
        _of_deep_lift,
        True,
        _names("relu elu leaky_relu sigmoid tanh softplus softmax max_pool1d max_pool2d max_pool3d"),
        True,
        _WITHOUT_RULE,
    ),
    "guided_backprop": Rules(
        "Guided backpropagation", lambda: [nn.ReLU], False, frozenset({"relu"}), False, frozenset({"ReLU6", "Relu6"})
    ),
}


def copied(model: Model, rules: Rules) -> Model:
    """Returns a copy of a model that shares its weights, for hooks.

    Modules with a rule do not work in place, and each reads a view of its own, so that hooks on the gradient of its
    input do not see the part of other readers. Hooks on gradients of the user's are left out: Captum skips modules that
    have one.
    """
    twin: Model = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})
    if isinstance(twin.network, TorchNetwork):
        twin.network.keep_written_state()  # Captum keeps values in the modules
    for module in twin.modules():
        module._backward_hooks.clear()
        module._backward_pre_hooks.clear()
        if rules.applies(module):
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
            module.register_forward_pre_hook(_with_own_view)
    return twin


def _with_own_view(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.view_as(value) if isinstance(value, Tensor) else value for value in inputs)


# The check ---------------------------------------------------------------------------------------


@dataclass
class _Seen:
    """The nonlinear parts of one pass through which a gradient flows."""

    calls: Counter[nn.Module] = field(default_factory=Counter)
    functions: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)


class _Functions(TorchFunctionMode):
    """Notes calls of functions outside of modules that have a rule."""

    def __init__(self, rules: Rules, seen: _Seen, inside: list[nn.Module]) -> None:
        super().__init__()
        self._rules, self._seen, self._inside = rules, seen, inside

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if not self._inside and any(isinstance(one, Tensor) and one.requires_grad for one in args):
            name = getattr(func, "__name__", "").strip("_").removesuffix("_with_indices")
            if name in self._rules.functions:
                self._seen.functions.append(name)
        return func(*args, **(kwargs or {}))


def _run(reader: Reader, images: Tensor, rules: Rules) -> _Seen:
    """Runs one pass, and returns the nonlinear parts that it computes behind the image or the tap."""
    seen, inside = _Seen(), list[nn.Module]()

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        has_gradient = any(isinstance(value, Tensor) and value.requires_grad for value in inputs)
        if rules.applies(module):
            inside.append(module)
            seen.calls[module] += has_gradient
        elif has_gradient and type(module).__name__ in rules.lacking:
            seen.lacking.append(type(module).__name__)

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        if inside and inside[-1] is module:
            inside.pop()

    with contextlib.ExitStack() as stack:
        for module in reader.model.network.modules():  # type: ignore[attr-defined]
            if not (rules.applies(module) or type(module).__name__ in rules.lacking):
                continue  # hooks on modules of modules would keep networks from computing single functions
            stack.callback(module.register_forward_pre_hook(enter).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        image = images[:1].detach().clone()
        if reader.layer is None:
            image.requires_grad_()
        else:
            stack.callback(
                reader.tap.register_forward_hook(lambda *call: call[2].detach().clone().requires_grad_()).remove
            )
        with torch.enable_grad(), _Functions(rules, seen, inside):
            reader(image)
    return seen


def check_rules(reader: Reader, plain: Reader, images: Tensor, rules: Rules, others: Sequence[str]) -> None:
    """Checks that the rules of a method apply wherever the gradient passes.

    Args:
        reader: reads the copied model.
        plain: reads the user's model.
        images: (N, C, H, W).
        rules: the rules.
        others: methods without rules, for the error.

    Raises:
        ValueError: a nonlinear function is no module, a module runs several times, or the network needs a change in
            place.

    Warns:
        UserWarning: modules without a rule have their plain gradient.
    """
    reader.apply(lambda module: None)
    seen = _run(reader, images, rules)
    advice = f"methods without rules work: {', '.join(others)}"
    if seen.functions:
        name = seen.functions[0]
        raise ValueError(
            f"{rules.title} cannot follow {_place(reader.model, name)}, a function that is no module and so has no "
            f"rule; {advice}."
        )
    repeated = next((module for module, count in seen.calls.items() if count > 1), None)
    if rules.once and repeated is not None:
        raise ValueError(
            f"{rules.title} cannot follow {_name_of(reader.model, repeated)}, a module that runs "
            f"{seen.calls[repeated]} times in a pass, of which Captum keeps the last; {advice}."
        )
    with torch.no_grad():
        found, wanted = reader(images[:1]), plain(images[:1])
    if not torch.allclose(found, wanted, rtol=1e-4, atol=1e-6):
        raise ValueError(
            f"{rules.title} cannot follow this network: it reads a value that an activation has changed in place; "
            f"{advice}."
        )
    if seen.lacking:
        kinds = ", ".join(sorted(set(seen.lacking)))
        warnings.warn(
            f"{rules.title} has no rule for {kinds} and takes the plain gradient there.", stacklevel=stack_level()
        )


def _place(model: Model, function: str) -> str:
    """Returns the name of a function, and of the first layer that it computes."""
    infos = getattr(model.network, "layers", {})
    for name, info in infos.items():
        if not getattr(info, "module", "") and str(getattr(info, "op", "")).strip("_") == function:
            return f"{function} of layer {name!r}"
    return function


def _name_of(model: Model, module: nn.Module) -> str:
    network: Any = model.network
    path = next((path for path, one in network.named_modules() if one is module), type(module).__name__)
    infos = getattr(network, "layers", {})
    known = next((name for name, info in infos.items() if info.module and path.endswith(info.module)), path)
    return repr(known)
