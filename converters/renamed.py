"""Keeps the old names of moved modules importable, with a warning that gives the new name."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["keep_old_contents", "keep_old_names"]


class _Alias(Loader):
    """Loads a renamed module if it is imported by its old name."""

    def __init__(self, new: str) -> None:
        self._new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _warn(spec.name, self._new)
        module = importlib.import_module(self._new)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # restores the new name's spec, which the import system replaced


class _Renamed(MetaPathFinder):
    """Finds modules by their old names.

    Args:
        names: old name of a module -> its new one.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = self._names.get(fullname)
        return None if new is None else ModuleSpec(fullname, _Alias(new))


def keep_old_names(package: str, names: Mapping[str, str]) -> None:
    """Keeps modules importable by their old names.

    Args:
        package: the package that contains the modules.
        names: old name of a module -> its new one, both relative to the package.
    """
    sys.meta_path.append(_Renamed({f"{package}.{old}": f"{package}.{new}" for old, new in names.items()}))


def keep_old_contents(package: str, module: str) -> Callable[[str], Any]:
    """Returns a `__getattr__` for a package that replaced a module of the same name.

    Args:
        package: the package.
        module: the module that contains the old module's names now, relative to the package.
    """

    def find(name: str) -> Any:
        new = importlib.import_module(f"{package}.{module}")
        if name.startswith("__") or not hasattr(new, name):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        _warn(f"{package}.{name}", f"{package}.{module}.{name}")
        return getattr(new, name)

    return find


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}: import it from there.", DeprecationWarning, stacklevel=3)
