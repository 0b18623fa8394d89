"""Imports the optional package `onnx` when it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from converters.errors import MissingPackageError, reason

_PARTS = (
    "checker", "defs", "helper", "inliner", "numpy_helper", "reference", "shape_inference", "version_converter",
)  # fmt: skip


def import_onnx() -> Any:
    """Imports the package `onnx` and its submodules.

    Raises:
        MissingPackageError: the package is not installed, or its import fails.
    """
    for part in _PARTS:
        _import(f"onnx.{part}")
    return _import("onnx")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            f"This needs the package onnx, which does not import here ({reason(error)}): pip install -e '.[onnx]'."
        ) from error
