"""Attribution with Captum: which pixels, channels or places of a network a score depends on.

- `pictures`: a photograph as the network's evaluation prepares it.
- `units`: texts such as `"softmax2:Labrador retriever"` become numbers that a pass reads.
- `reader`: the network as a module for Captum, with one module that holds the layer.
- `rules`: a copy of the network for methods with rules for modules, and the checks of these.
- `methods`: the registry of methods.
- `isolation`: the user's random states and modes stay as they are.
- `run`: `attribute`, which puts these together.
- `result`, `drawing`: the numbers, and their picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converters.on_use import import_on_use

__all__ = ["Attribution", "attribute", "method_names"]

if TYPE_CHECKING:
    from lucid_port.attribution.methods import method_names
    from lucid_port.attribution.result import Attribution
    from lucid_port.attribution.run import attribute

__getattr__, __dir__ = import_on_use(
    __name__, {"run": ["attribute"], "result": ["Attribution"], "methods": ["method_names"]}
)
