"""Imports the optional packages `onnx` and `onnx2torch` when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from converters.errors import MissingPackageError, reason


def import_onnx() -> Any:
    """Imports the package `onnx` and its submodules.

    Raises:
        MissingPackageError: the package is not installed, or its import fails.
    """
    for part in ("checker", "defs", "helper", "inliner", "numpy_helper", "reference", "shape_inference", "version_converter"):
        _import(f"onnx.{part}", "onnx")
    return _import("onnx", "onnx")


def import_onnx2torch() -> Any:
    """Imports the package `onnx2torch`.

    Raises:
        MissingPackageError: the package is not installed, or its import fails, for example because torchvision does not
            match torch.
    """
    _import("onnx2torch.node_converters.registry", "onnx2torch")
    return _import("onnx2torch", "onnx2torch")


def _import(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision for another version of torch
        raise MissingPackageError(
            f"This needs the package {package}, which does not import here ({reason(error)}): "
            "pip install 'lucid_port[onnx]'."
        ) from error
