"""Packages whose public names are imported on first use, so that importing the package is fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

__all__ = ["import_on_use"]

Names = Mapping[str, Sequence[str]]
"""Module, relative to its package -> the public names that the package takes from it."""


class _Package(ModuleType):
    """A package with functions that have the names of the modules that define them.

    The import system binds a module to its name in the package as soon as it is loaded. Here the function stays.
    """

    def __setattr__(self, name: str, value: object) -> None:
        is_own = isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}"
        super().__setattr__(name, getattr(value, name, value) if is_own and name in self.__all__ else value)


def import_on_use(package: str, names: Names) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a package, which import a name's module when the name is used.

    Submodules of the package are imported on use as well.

    Args:
        package: the package's `__name__`.
        names: module, relative to the package -> the public names that it defines.
    """
    module_of = {name: f"{package}.{module}" for module, listed in names.items() for name in listed}
    this = sys.modules[package]
    if any(name in names for name in module_of):
        this.__class__ = _Package

    def find(name: str) -> Any:
        submodule = f"{package}.{name}"
        if name in module_of:
            found = getattr(importlib.import_module(module_of[name]), name)
        elif not name.startswith("__") and PathFinder.find_spec(submodule, this.__path__) is not None:
            return importlib.import_module(submodule)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(this, name, found)
        return found

    def names_of() -> list[str]:
        return sorted({*vars(this), *module_of})

    return find, names_of
