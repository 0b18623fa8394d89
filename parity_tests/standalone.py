"""Runs the code of standalone modules, trains them for one step, and looks for names that they lack."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import torch
from pyflakes.checker import Checker
from pyflakes.messages import UnusedVariable
from torch import Tensor, nn

import converters

LEARNING_RATE = 1e-3


def complaints(text: str) -> list[str]:
    """Pyflakes' report on some code, such as undefined names and unused imports.

    Unused variables are left out: `run` names every layer, also those that no other layer reads.
    """
    messages = Checker(ast.parse(text), "model.py").messages
    return [str(message) for message in messages if not isinstance(message, UnusedVariable)]


def execute(text: str, folder: Path) -> ModuleType:
    """The module with some code, as if it were `folder`/model.py."""
    module = ModuleType("standalone_model")
    module.__file__ = str(folder / "model.py")
    exec(compile(text, module.__file__, "exec"), module.__dict__)
    return module


def sharing_weights(model: converters.ConvertedModel, text: str, folder: Path) -> nn.Module:
    """The network that a standalone module makes, with the model's own tensors."""
    network = execute(text, folder).Model()
    network.load_state_dict(model.state_dict(), assign=True)
    return network.eval()


def check_training_step(model: converters.ConvertedModel, network: nn.Module, x: Tensor, names: Sequence[str]) -> None:
    """Trains a standalone network for one step; its values and gradients are the model's own, bit for bit.

    Both run the same operations on the same tensors, one layer at a time.

    Args:
        model: the converted model.
        network: from `sharing_weights`.
        x: (N, C, H, W).
        names: layers, the mean squares of which are the loss, together with that of `x`.
    """
    model.requires_grad_(True)
    own_x, x = x.clone().requires_grad_(True), x.clone().requires_grad_(True)
    own_values = model.subgraph(names)(own_x)
    _loss(own_values, own_x).backward()
    own = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)

    network.requires_grad_(True)
    parameters = dict(network.named_parameters())
    values = network(x, names)
    for name, value in zip(names, own_values, strict=True):
        _assert_same(values[name], value, name)
    _loss(values.values(), x).backward()
    assert parameters.keys() == own.keys()
    for name, gradient in {"x": own_x.grad, **own}.items():
        found = (x if name == "x" else parameters[name]).grad
        assert (found is None) == (gradient is None), name
        if gradient is not None:
            _assert_same(found, gradient, name)

    trained = {name: parameter for name, parameter in parameters.items() if parameter.grad is not None}
    wanted = {name: parameter.detach() - LEARNING_RATE * own[name] for name, parameter in trained.items()}
    if trained:
        torch.optim.SGD(trained.values(), LEARNING_RATE).step()
    for name, parameter in trained.items():
        torch.testing.assert_close(parameter.detach(), wanted[name], equal_nan=True)


def _loss(values: Iterable[Tensor], x: Tensor) -> Tensor:
    return sum((value.square().mean() for value in values if value.is_floating_point()), x.square().mean())


def _assert_same(found: Tensor, wanted: Tensor, name: str) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True, msg=lambda text: f"{name}: {text}")
