"""The stub by which editors know the models of the catalogue."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from lucid_port.modelzoo import vision_models
from parity_tests.model_stub import stub

FILE = Path(vision_models.__file__).with_suffix(".pyi")


def test_the_stub_is_up_to_date():
    assert FILE.read_text(encoding="utf-8") == stub(), f"python -m parity_tests.model_stub > {FILE}"


def test_the_stub_has_the_module_s_names_and_docstrings():
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    classes = {part.name: ast.get_docstring(part) for part in tree.body if isinstance(part, ast.ClassDef)}
    assert classes == {name: inspect.getdoc(model) for name, model in vision_models.MODELS.items()}
    imported = [alias.name for part in tree.body if isinstance(part, ast.ImportFrom) for alias in part.names]
    assert sorted([*classes, *imported]) == sorted(vision_models.__all__)
    assert all(len(text.splitlines()) == 1 for text in classes.values())


def test_a_name_with_an_error_is_answered_with_names_that_exist():
    with pytest.raises(AttributeError, match=r"No model is called 'Inceptionv1'\. Did you mean InceptionV1,"):
        vision_models.Inceptionv1  # noqa: B018
    with pytest.raises(AttributeError, match=r"No model is called 'zzz'\. The models are InceptionV1,"):
        vision_models.zzz  # noqa: B018
