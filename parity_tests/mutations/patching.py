"""Replacing names where they are looked up, and putting them back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

_MISSING = object()
_PACKAGES = ("converters", "lucid_port")


class Patches(ExitStack):
    """Patches that last until the context is left."""

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        """Sets an attribute of a module or class; a new attribute is removed again."""
        before = vars(owner).get(name, _MISSING)
        setattr(owner, name, value)
        self.callback(_restore_attribute, owner, name, before)

    def everywhere(self, original: Any, replacement: Any) -> None:
        """Replaces an object in every module that holds it, also as a value of a table there.

        Raises:
            LookupError: no module holds it, so that the patch would do nothing.
        """
        places = list(_holders(original))
        if not places:
            raise LookupError(f"No module holds {original!r}.")
        for namespace, key in places:
            namespace[key] = replacement
            self.callback(namespace.__setitem__, key, original)


def _restore_attribute(owner: Any, name: str, before: Any) -> None:
    if before is _MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, before)


def _holders(original: Any) -> Iterator[tuple[dict[Any, Any], Any]]:
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] not in _PACKAGES:
            continue
        for name, value in list(vars(module).items()):
            if value is original:
                yield vars(module), name
            elif isinstance(value, dict) and not name.startswith("__"):
                yield from ((value, key) for key, item in list(value.items()) if item is original)


@contextmanager
def applied(patch: Any) -> Iterator[None]:
    """A mutation's patch function, in force within the context."""
    with Patches() as patches:
        patch(patches)
        yield
