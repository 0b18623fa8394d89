"""The packages that ONNX needs and converters alone does not: imported when they are used, and named when they lack."""

from __future__ import annotations

import importlib
from typing import Any

from converters.errors import MissingPackageError


def import_onnx() -> Any:
    """The package `onnx`, with the parts of it that are imported one by one.

    Raises:
        MissingPackageError: it is not installed, or does not import.
    """
    for part in ("checker", "defs", "helper", "inliner", "numpy_helper", "shape_inference"):
        _import(f"onnx.{part}", "onnx")
    return _import("onnx", "onnx")


def import_onnx2torch() -> Any:
    """The package `onnx2torch`.

    Raises:
        MissingPackageError: it is not installed, or does not import: it wants a torchvision that fits torch.
    """
    _import("onnx2torch.node_converters.registry", "onnx2torch")
    return _import("onnx2torch", "onnx2torch")


def _import(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision beside a torch it was not made for
        reason = " ".join(str(error).split())
        raise MissingPackageError(
            f"This needs the package {package}, which does not import here ({reason}): pip install 'lucid_port[onnx]'."
        ) from error
