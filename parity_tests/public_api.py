"""Lists the public names: the API that users may rely on.

    python -m parity_tests.public_api > parity_tests/public_api.txt

The `__all__` of a listed module is public, including arguments; everything else may change without notice.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

PACKAGES = ("lucid_port.optvis.param", "lucid_port.optvis.overrides", "lucid_port.misc.io")
"""Packages whose `__all__` counts instead of their modules'."""

MODULES = (
    "converters",
    "lucid_port.attribution",
    "lucid_port.figures.base",
    "lucid_port.logs",
    "lucid_port.inspection",
    "lucid_port.microscope.crops",
    "lucid_port.microscope.curves",
    "lucid_port.microscope.details",
    "lucid_port.microscope.examples",
    "lucid_port.microscope.fields",
    "lucid_port.microscope.links",
    "lucid_port.microscope.pictures",
    "lucid_port.microscope.run",
    "lucid_port.microscope.site.pages",
    "lucid_port.microscope.statistics",
    "lucid_port.microscope.tables",
    "lucid_port.microscope.upkeep",
    "lucid_port.misc.channel_reducer",
    "lucid_port.misc.gl.glrenderer",
    "lucid_port.misc.gl.meshutil",
    "lucid_port.misc.gl.viewer",
    "lucid_port.misc.gradient_override",
    "lucid_port.misc.io.reading",
    "lucid_port.misc.io.scoping",
    "lucid_port.misc.io.writing",
    "lucid_port.misc.ndimage_utils",
    "lucid_port.misc.redirected_relu_grad",
    "lucid_port.misc.stimuli",
    "lucid_port.modelzoo",
    "lucid_port.modelzoo.aligned_activations",
    "lucid_port.modelzoo.get_activations",
    "lucid_port.modelzoo.names",
    "lucid_port.modelzoo.nets_factory",
    "lucid_port.modelzoo.peers",
    "lucid_port.modelzoo.util",
    "lucid_port.modelzoo.vision_base",
    "lucid_port.modelzoo.vision_models",
    "lucid_port.modelzoo.wordnet",
    "lucid_port.optvis.checkpoints",
    "lucid_port.optvis.mesh_view",
    "lucid_port.optvis.objectives",
    "lucid_port.optvis.optimizer",
    "lucid_port.optvis.progress",
    "lucid_port.optvis.recipe",
    "lucid_port.optvis.recipe_files",
    "lucid_port.optvis.recipe_plan",
    "lucid_port.optvis.render",
    "lucid_port.optvis.render_many",
    "lucid_port.optvis.sampling",
    "lucid_port.optvis.style",
    "lucid_port.optvis.transform",
    *PACKAGES,
)
RECIPES = "lucid_port.recipes"


def modules() -> Iterator[str]:
    """Names of the public modules, sorted."""
    recipes = importlib.import_module(RECIPES)
    yield from sorted([*MODULES, *(f"{RECIPES}.{one.name}" for one in pkgutil.iter_modules(recipes.__path__))])


def names_of(module: ModuleType) -> list[str]:
    """Returns the module's public names: its `__all__`, or the names that it defines."""
    stated = getattr(module, "__all__", None)
    if stated is not None:
        return sorted(stated)
    own = vars(module).items()
    return sorted(n for n, thing in own if n[0] != "_" and getattr(thing, "__module__", "") == module.__name__)


def described(thing: Any) -> str:
    """Returns the arguments of a callable, or the kind of any other object."""
    if inspect.ismodule(thing):
        return " (module)"
    if not callable(thing):
        return f": {type(thing).__name__}"
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return ""
    return f"({', '.join(map(argument, parameters))})"


def argument(parameter: inspect.Parameter) -> str:
    """Returns name and default; no type, because versions of Python format types differently."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    if parameter.default is parameter.empty:
        return f"{stars}{parameter.name}" + (" [by name]" if parameter.kind is parameter.KEYWORD_ONLY else "")
    default = re.sub(r" at 0x[0-9a-f]+", "", repr(parameter.default))
    return f"{parameter.name}={default}"


def lines() -> Iterator[str]:
    """One line for each public name."""
    for name in modules():
        module = importlib.import_module(name)
        for public in names_of(module):
            yield f"{name}.{public}{described(getattr(module, public))}"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in lines()))
