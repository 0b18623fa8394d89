"""Weights of Lucid's InceptionV1 from other libraries' files, and back.

Lucent distributes them as `inception5h.pth`, the state_dict of its InceptionV1: of 57 convolutions and the last fully
connected layer, without the two auxiliary heads.
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

from converters import ConvertedModel
from lucid_port.misc import checks
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


def load_lucent_weights(model: Any, weights: str | os.PathLike[str] | Mapping[str, Tensor]) -> tuple[str, ...]:
    """Gives InceptionV1 the weights of Lucent's.

    Args:
        model: Lucid's InceptionV1 (`vision_models.InceptionV1`, or the network of such a model).
        weights: Lucent's file (`inception5h.pth`; nothing but tensors is read from it) or its state_dict.

    Returns:
        The layers whose weights Lucent does not have, and which keep their own: those of the auxiliary heads.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else than a state_dict, a tensor is missing, unknown or of another shape,
            or the model is not Lucid's InceptionV1. The model stays as it was.
    """
    state = weights if isinstance(weights, Mapping) else _read(Path(weights))
    own = _own_tensors(model)
    _check(state, own)
    for key, tensor in own.items():
        tensor.data = torch.empty_like(tensor).copy_(state[key])  # what is there may lie in the file's own memory
    network = getattr(model, "network", model)
    if isinstance(network, ConvertedModel):  # from now on it is no longer the network of its file
        network.program = replace(network.program, fingerprint="", source_sha256=None)
    return _HEADS


def to_lucent_state_dict(model: Any) -> dict[str, Tensor]:
    """The weights of InceptionV1 as Lucent's `InceptionV1().load_state_dict` takes them; for `torch.save`.

    Args:
        model: Lucid's InceptionV1, or its network.

    Returns:
        Lucent's keys, in its order, with copies of the weights. Those of the auxiliary heads are left out.

    Raises:
        ValueError: the model is not Lucid's InceptionV1.
    """
    own = _own_tensors(model)
    return {key: tensor.detach().clone(memory_format=torch.contiguous_format) for key, tensor in own.items()}


def _keys() -> Iterator[tuple[str, str, str]]:
    """(Lucent's key, Lucid's layer, its parameter), in Lucent's order. Weights lie in both as PyTorch has them."""
    for name in _CONVOLUTIONS:
        yield f"{name}_pre_relu_conv.weight", f"{name}_pre_relu/conv", "weight"
        yield f"{name}_pre_relu_conv.bias", f"{name}_pre_relu", "bias"
    yield "softmax2_pre_activation_matmul.weight", "softmax2_pre_activation/matmul", "weight"
    yield "softmax2_pre_activation_matmul.bias", "softmax2_pre_activation", "bias"


def _own_tensors(model: Any) -> dict[str, Tensor]:
    """Lucent's key -> the model's own tensor.

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
    """A file's state_dict.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:  # what torch raises for foreign and broken files
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path} is no file of tensors that PyTorch wrote: {reason[0]}") from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}, not the state_dict of Lucent's InceptionV1.")
    return state


def _check(state: Mapping[Any, Any], own: Mapping[str, Tensor]) -> None:
    """Refuses what is not the state_dict of Lucent's InceptionV1.

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
