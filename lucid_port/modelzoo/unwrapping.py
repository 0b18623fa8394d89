"""Finds the network in what people hand over: wrappers for several devices, compiled, adapted and exported networks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram, unflatten

from converters import checks
from converters.paths import user_path


@dataclass(frozen=True)
class Unwrapped:
    """A network without its wrappers.

    Attributes:
        module: the network.
        origins: path of a module -> full name of the class that it stands for; empty unless the network is exported.
    """

    module: nn.Module
    origins: Mapping[str, str] = field(default_factory=dict)


def unwrap(given: object) -> Unwrapped:
    """Returns the network of a wrapper, of an exported program, or of a file of one.

    Args:
        given: a module, an exported program, or the path of a .pt2 file.

    Raises:
        TypeError: it is no network.
        FileNotFoundError: the file does not exist.
        ValueError: the file holds no exported program.
    """
    if isinstance(given, (str, os.PathLike)) and os.fspath(given).endswith(".pt2"):
        given = _loaded(user_path(given))
    if isinstance(given, ExportedProgram):
        return Unwrapped(unflatten(given), _origins(given))
    if not isinstance(given, nn.Module):
        made = " (a class: call it first)" if isinstance(given, type) else ""
        raise TypeError(
            f"from_torch takes a torch.nn.Module, an ExportedProgram or the path of one (.pt2), not "
            f"{checks.shown(given)}{made}."
        )
    module = given
    while (inner := _inner(module)) is not None:
        module = inner
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError(
            "A scripted or traced (TorchScript) network hides its layers: give from_torch the network that it was "
            "made from."
        )
    return Unwrapped(module)


def _inner(module: nn.Module) -> nn.Module | None:
    """Returns the network that a wrapper holds; None if the module is no wrapper."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return module.module
    compiled = sys.modules.get("torch._dynamo.eval_frame")
    if compiled is not None and isinstance(module, compiled.OptimizedModule):
        return module._orig_mod
    peft = sys.modules.get("peft")
    if peft is not None and isinstance(module, peft.PeftModel):
        return module.get_base_model()
    return None


def _loaded(path: Path) -> ExportedProgram:
    if not path.is_file():
        raise FileNotFoundError(f"There is no exported network {path}.")
    try:
        return torch.export.load(path)
    except Exception as error:  # a damaged file may raise anything
        shown = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(f"{path} holds no exported network (torch.export.save): {shown}.") from error


def _origins(program: ExportedProgram) -> dict[str, str]:
    """Returns path -> full name of the class of each module that was exported."""
    found: dict[str, str] = {}
    for node in program.graph.nodes:
        for path, kind in node.meta.get("nn_module_stack", {}).values():
            name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
            found.setdefault(path, name)
    return found
