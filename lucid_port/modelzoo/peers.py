"""Weights of Lucid's InceptionV1 from Lucent's files, and back.

Lucent distributes the weights as `inception5h.pth`: the state_dict of its InceptionV1, with 57 convolutions and the
last fully connected layer, without the two auxiliary heads.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from converters import ConvertedModel, checks
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.modelzoo.names import MODULES

_BRANCHES = ("1x1", "3x3_bottleneck", "5x5_bottleneck", "pool_reduce", "3x3", "5x5")  # Lucent's order
_CONVOLUTIONS = (
    *(f"conv2d{number}" for number in range(3)),
    *(f"mixed{module}_{branch}" for module in MODULES for branch in _BRANCHES),
)
_HEADS = tuple(
    name
    for head in (0, 1)
    for name in (f"head{head}_bottleneck_pre_relu", f"nn{head}_pre_relu", f"softmax{head}_pre_activation")
)


@checked
def load_lucent_weights(model: nn.Module, weights: str | os.PathLike[str] | Mapping[str, Tensor]) -> tuple[str, ...]:
    """Loads the weights of Lucent's InceptionV1 into Lucid's.

    Args:
        model: Lucid's InceptionV1: a model such as `vision_models.InceptionV1()`, or its network.
        weights: Lucent's file `inception5h.pth` (read with `weights_only=True`), or its state_dict.

    Returns:
        The layers of the auxiliary heads, which keep their weights because Lucent's file has none for them.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a state_dict, a tensor is missing, unknown or of another shape, or the model is
            not Lucid's InceptionV1. The model stays unchanged.

    Example::

        model = vision_models.InceptionV1_seeded()
        load_lucent_weights(model, "inception5h.pth")
    """
    state = weights if isinstance(weights, Mapping) else _read(user_path(weights))
    own = _own_tensors(model)
    _check(state, own)
    for key, tensor in own.items():
        tensor.data = torch.empty_like(tensor).copy_(state[key])  # the old memory may be a memory map of the file
    network = getattr(model, "network", model)
    if isinstance(network, ConvertedModel):  # its weights are no longer those of its file
        network.program = replace(network.program, fingerprint="", source_sha256=None)
    return _HEADS


@checked
def to_lucent_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Returns the weights of Lucid's InceptionV1 as a state_dict of Lucent's.

    Args:
        model: Lucid's InceptionV1, or its network.

    Returns:
        Lucent's keys, in its order, with copies of the weights, for `torch.save` or `load_state_dict`. The weights of
        the auxiliary heads are left out.

    Raises:
        ValueError: the model is not Lucid's InceptionV1.

    Example::

        state = to_lucent_state_dict(vision_models.InceptionV1())
        torch.save(state, "inception5h.pth")
    """
    own = _own_tensors(model)
    return {key: tensor.detach().clone(memory_format=torch.contiguous_format) for key, tensor in own.items()}


def _keys() -> Iterator[tuple[str, str, str]]:
    """Yields (Lucent's key, Lucid's layer, its parameter) in Lucent's order. Both use PyTorch's weight layout."""
    for name in _CONVOLUTIONS:
        yield f"{name}_pre_relu_conv.weight", f"{name}_pre_relu/conv", "weight"
        yield f"{name}_pre_relu_conv.bias", f"{name}_pre_relu", "bias"
    yield "softmax2_pre_activation_matmul.weight", "softmax2_pre_activation/matmul", "weight"
    yield "softmax2_pre_activation_matmul.bias", "softmax2_pre_activation", "bias"


def _own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Returns Lucent's key -> tensor of the model.

    Raises:
        ValueError: a layer is missing.
    """
    network: Any = getattr(model, "network", model)
    layers = getattr(network, "layers", {})
    found: dict[str, Tensor] = {}
    for key, layer, parameter in _keys():
        part = network.get_submodule(layers[layer].module) if layer in layers else None
        tensor = getattr(part, parameter, None)
        if not isinstance(tensor, Tensor):
            kind = f"A {type(network).__name__}" if isinstance(network, nn.Module) else checks.shown(model)
            raise ValueError(f"{kind} without a layer {layer!r} is not Lucid's InceptionV1, whose weights Lucent has.")
        found[key] = tensor
    return found


def _read(path: Path) -> Mapping[str, Tensor]:
    """Reads the state_dict in a file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file does not hold a state_dict.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:  # raised for corrupt files and other formats
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path} is no file of tensors that PyTorch wrote: {reason[0]}") from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}, not the state_dict of Lucent's InceptionV1.")
    return state


def _check(state: Mapping[Any, Any], own: Mapping[str, Tensor]) -> None:
    """Checks that a mapping is the state_dict of Lucent's InceptionV1.

    Raises:
        ValueError: a tensor is missing, unknown or of another shape.
    """
    missing = [key for key in own if key not in state]
    if missing:
        raise ValueError(f"The weights lack {_some(missing)}: they are not those of Lucent's InceptionV1.")
    unknown = [str(key) for key in state if key not in own]
    if unknown:
        raise ValueError(f"The weights hold {_some(unknown)}, which Lucent's InceptionV1 does not have.")
    for key, tensor in own.items():
        given = state[key]
        if not isinstance(given, Tensor) or not given.is_floating_point():
            raise ValueError(f"The weights' {key} is {checks.shown(given)}, not a tensor of floating point numbers.")
        if given.shape != tensor.shape:
            raise ValueError(f"The weights' {key} has shape {list(given.shape)}; it has to have {list(tensor.shape)}.")


def _some(names: Sequence[str], limit: int = 3) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
