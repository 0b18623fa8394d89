"""Standalone modules carry every name that they use, keep their sources' docstrings, and can be trained."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import inspect
import math
import sys
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
import torch

import converters
from converters import errors, functional, layers
from converters.frozen.graph import Output
from converters.program.program import Metadata, Program, Step
from converters.program.standalone import Library, standalone_source
from converters.reference.check import model_input
from converters.reference.store import References, read_references
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from parity_tests.cases import CASES
from parity_tests.cases.converted import converted
from parity_tests.reference import OUTPUTS
from parity_tests.standalone import check_training_step, complaints, sharing_weights

INPUT = "input"
SIZE_ERROR = {"InputSizeError": "class InputSizeError(ValueError):\n    pass"}


@functools.cache
def all_references() -> dict[str, References]:
    return read_references(OUTPUTS)


@functools.cache
def steps() -> Mapping[str, Step]:
    """One step of each layer class."""
    found = {}
    for name in CASES:
        for step in converted(name).program.steps:
            found.setdefault(step.layer, step)
    return found


def written(*kinds: str) -> str:
    """A module of some kinds of layers, each of which reads the input."""
    chosen = [
        dataclasses.replace(
            steps()[kind],
            name=f"layer{index}",
            module=f"layer{index}",
            inputs=tuple(Output(INPUT) for _ in steps()[kind].inputs),
        )
        for index, kind in enumerate(kinds)
    ]
    return standalone_source(Program(Metadata(INPUT), None, tuple(chosen), tuple(step.name for step in chosen), ""))


def docstrings(text: str) -> dict[str, str | None]:
    """Docstrings of classes, methods and functions by qualified name; those of constants under the constant's name."""
    found: dict[str, str | None] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node, following in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found[prefix + node.name] = ast.get_docstring(node, clean=False)
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(following, ast.Expr):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and isinstance(following.value, ast.Constant):
                    found[prefix + target.id] = following.value.value

    visit(ast.parse(text).body, "")
    return found


def test_a_first_convolution_can_be_trained(tmp_path):
    model = converters.convert(seeded_inceptionv1())
    model.save(tmp_path / "model", standalone=True)
    spec = importlib.util.spec_from_file_location("standalone_trained", tmp_path / "model" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    x = torch.from_numpy(np.random.RandomState(1).uniform(-117, 138, (1, 3, 64, 72)).astype(np.float32))
    check_training_step(model, module.load(), x, ["mixed3b"])


@pytest.mark.parametrize("name", CASES)
def test_a_training_step_has_the_models_gradients(name, tmp_path):
    model = converters.convert(CASES[name].graph_def())
    reference = min(all_references()[f"op:{name}"].inputs.values(), key=lambda one: len(one.refused))
    names = [layer for layer in model.layers if layer not in {*reference.refused, model.metadata.input_name}]
    network = sharing_weights(model, standalone_source(model.program), tmp_path)
    check_training_step(model, network, model_input(model, reference.make_input()), names)


def test_the_cases_have_every_layer_class():
    assert steps().keys() == layers.LAYERS.keys()


@pytest.mark.parametrize("kind", layers.LAYERS)
def test_every_name_is_defined_and_every_import_used(kind):
    assert not complaints(written(kind))


def test_all_layers_fit_into_one_module():
    text = written(*layers.LAYERS)
    assert not complaints(text)
    bound: list[str] = []
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound += [one.asname or one.name for one in node.names]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            bound.append((node.targets[0] if isinstance(node, ast.Assign) else node.target).id)
    assert len(bound) > 100
    assert [name for name, count in Counter(bound).items() if count > 1] == []


def test_only_torch_and_safetensors_are_imported():
    nodes = list(ast.walk(ast.parse(written(*layers.LAYERS))))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {one.name for node in nodes if isinstance(node, ast.Import) for one in node.names}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"torch", "safetensors"}


def test_docstrings_are_the_sources():
    sources = [inspect.getsource(module) for module in (errors, *functional.MODULES, *layers.MODULES)]
    wanted = {name: text for source in sources for name, text in docstrings(source).items()}
    found = docstrings(written(*layers.LAYERS))
    shared = found.keys() & wanted.keys()
    assert {name: found[name] for name in shared} == {name: wanted[name] for name in shared}
    assert found["FEW_CHANNELS"]
    assert "`functional.sizes`" in found["Reshape"]
    assert found.keys() - wanted.keys() == {f"Model{name}" for name in ("", ".__init__", ".forward", ".run")} | {"load"}


def test_infinity_and_nan_are_written_at_any_depth():
    step = Step("y", "Pad", "Pad", {"padding": (0, 0)}, (Output(INPUT),), module="y")
    given = {"padding": (("max", 1, -math.inf), [math.nan]), "value": math.inf}
    object.__setattr__(step, "arguments", given)  # arguments of loaded models are checked and have no NaN
    program = Program(Metadata(INPUT), None, (step,), ("y",), "")
    text = standalone_source(program)
    assert "self.y = Pad((('max', 1, -math.inf), [math.nan]), value=math.inf)" in text
    assert not complaints(text)


SOURCE = '''
from __future__ import annotations

import math as maths
from collections.abc import Callable
from functools import wraps

from converters import functional
from converters.functional import Pair
from torch.autograd import Function as Base

# Größen: functional.tile
LIMIT: int = maths.floor(2.5)
"""`functional.tile` stays."""
FIRST, SECOND = LIMIT, -LIMIT


def traced(function: Callable) -> Callable:
    @wraps(function)
    def inner(*args: Pair) -> object:
        return function(*args)

    return inner


# functional.tile, twice
@traced
def wide(x, times=functional.Padding):
    """Größer: functional.tile."""
    Größe = "functional.take"; y = functional.tile(x, (times,))  # functional.tile
    return [Scaled.apply(y, split) for split in Größe]


class Scaled(Base):
    def tile(self, x):
        return functional.tile(x, (SECOND,))


def unused():
    return FIRST
'''


def imported(text, folder, name="copied"):
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def library(text, folder):
    return Library((*functional.MODULES, imported(text, folder)), SIZE_ERROR)


def test_only_code_is_rewritten(tmp_path):
    texts = [definition.text for definition in library(SOURCE, tmp_path).needed_by(["wide"])]
    assert [text.partition("\n")[0] for text in texts] == [
        "class InputSizeError(ValueError):",
        "Pair = Sequence[int]",
        'Padding = str | Sequence[int]  # "SAME", "VALID", or (top, bottom, left, right)',
        "def tile(x: Tensor, times: Sequence[int]) -> Tensor:",
        "# Größen: functional.tile",
        "FIRST, SECOND = LIMIT, -LIMIT",
        "def traced(function: Callable) -> Callable:",
        "# functional.tile, twice",
        "class Scaled(Base):",
    ]
    assert texts[4].endswith('\n"""`functional.tile` stays."""')
    wanted = SOURCE[SOURCE.index("# functional.tile, twice") : SOURCE.index("\n\n\nclass Scaled")]
    wanted = wanted.replace("=functional.Pad", "=Pad").replace("y = functional.", "y = ")
    assert texts[7] == wanted
    assert "return tile(x, (SECOND,))" in texts[8]


def test_imports_are_found_where_they_are_used(tmp_path):
    found = {one for definition in library(SOURCE, tmp_path).needed_by(["wide"]) for one in definition.imports}
    assert {one.bound_name for one in found} == {"Base", "Callable", "Sequence", "Tensor", "maths", "wraps"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f():\n    return missing", "uses 'missing', which it neither defines nor imports"),
        ("def tile():\n    pass", "copied defines 'tile' a second time"),
        ("def f():\n    pass\ndef f():\n    pass", "Line 3 of copied is no definition of a new name"),
        ("import sys\nif sys:\n    x = 1", "Line 2 of copied is no definition of a new name"),
        ("from converters import functional\ndef f():\n    return functional", "other than as `module.name`"),
        ("from converters import functional\ndef f(tile):\n    return functional.tile", r"local variables .*'tile'"),
        ("from converters.functional import tile as t\ndef f():\n    return t", "imports 'tile' as 't'"),
        (
            "from converters.program.sizes import Size\ndef f():\n    return Size",
            "'f' uses 'Size', which no copied module defines",
        ),
    ],
)
def test_code_that_cannot_be_copied_is_refused(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        library(text, tmp_path)
