"""Writes the stub from which editors and type checkers know the models of the catalogue.

python -m parity_tests.model_stub > lucid_port/modelzoo/vision_models.pyi
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lucid_port.modelzoo.catalogue import Entry, catalogue

HEAD = '''"""The catalogue's models as classes under Lucid's names; written by `python -m parity_tests.model_stub`."""

from lucid_port.modelzoo.layer import Layer as Layer
from lucid_port.modelzoo.vision_base import Model as Model

MODELS: dict[str, type[Model]]
'''
LENGTH = 120


def parts() -> Iterator[str]:
    """The parts of the stub, which blank lines separate."""
    yield HEAD
    for entry in catalogue().values():
        yield f"class {entry.name}(Model):\n{_docstring(entry)}\n"


def _docstring(entry: Entry) -> str:
    line = f'    """{entry.description}."""'
    return line if len(line) <= LENGTH else f"{line}  # noqa: E501"


def stub() -> str:
    """The text of the stub."""
    return "\n".join(parts())


if __name__ == "__main__":
    sys.stdout.write(stub())
