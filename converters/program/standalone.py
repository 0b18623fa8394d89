"""Writes a converted model as one readable Python module that needs torch and safetensors alone.

The module holds the layers as attributes of a `torch.nn.Module`, one line each, and one line each for the order in
which they run. The layers' own code is copied from this package. TensorFlow's names stand in it as string literals
only; identifiers come from `program.module_names`.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from converters import errors, functional, layers
from converters.frozen.graph import Output
from converters.program.program import Program, Step

_HEADER = '''"""A frozen TensorFlow graph as plain PyTorch, written by lucid_port's converter.

    model = load()                                  # weights.safetensors beside this file
    found = model(x, ["{example}"])  # TensorFlow name -> value

x is (N, C, H, W){channels}, any height and width, in the value range and channel order of the original input.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

INPUT_NAME = {input_name!r}
IMAGE_SHAPE = {image_shape!r}
IMAGE_VALUE_RANGE = {image_value_range!r}
IS_BGR = {is_bgr!r}
OUTPUTS = {outputs!r}
SOURCE_SHA256 = {source!r}
'''

_FORWARD = '''
    def forward(self, x: Tensor, names: Sequence[str] = OUTPUTS) -> dict[str, Tensor]:
        """TensorFlow name -> value for some layers; runs the layers in order until all of them are found."""
        if x.dim() != 4:
            raise ValueError(f"The input has shape {list(x.shape)}; the model reads a batch of images, (N, C, H, W).")
        wanted = [names] if isinstance(names, str) else list(names)
        found: dict[str, Tensor] = {}
        last = INPUT_NAME
        try:
            for last, value in self.run(x):
                if last in wanted:
                    found[last] = value
                if len(found) == len(set(wanted)):
                    return found
        except InputSizeError as error:
            raise InputSizeError(f"The layer after {last!r} cannot be computed at this size: {error}.") from None
        raise KeyError(f"There are no layers {sorted(set(wanted) - set(found))}.")

    def run(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each layer's TensorFlow name and value, in order."""
'''

_LOADER = '''

def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The model with its weights, in evaluation mode and frozen."""
    model = Model()
    model.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
'''


def standalone_source(program: Program) -> str:
    """The text of the module."""
    metadata = program.metadata
    header = _HEADER.format(
        example=_plain(program.outputs[-1]),
        channels=f" with {program.input_channels} channels" if program.input_channels else "",
        input_name=metadata.input_name,
        image_shape=metadata.image_shape,
        image_value_range=metadata.image_value_range,
        is_bgr=metadata.is_BGR,
        outputs=tuple(program.outputs),
        source=program.source_sha256,
    )
    return header + _library(step.layer for step in program.steps) + _model(program) + _LOADER


def _model(program: Program) -> str:
    lines = ["", "", "class Model(nn.Module):", '    """The graph, one attribute a layer."""', ""]
    lines += ["    def __init__(self) -> None:", "        super().__init__()"]
    steps = _main_path_first(program)
    for group in _groups(steps):
        lines += ["", *(f"        self.{step.module} = {_constructor(step)}" for step in group)]
    variables = {program.metadata.input_name: "x", **{step.name: step.module for step in steps}}
    outputs = {step.name: step.outputs for step in steps}
    lines += _FORWARD.rstrip("\n").split("\n")
    for group in _groups(steps):
        lines.append("")
        for step in group:
            inputs = ", ".join(_variable(variables, outputs, source) for source in step.inputs)
            call = f"self.{step.module}({inputs})"
            if step.hidden:
                lines.append(f"        {step.module} = {call}")
            elif step.outputs == 1:
                lines.append(f"        yield {step.name!r}, ({step.module} := {call})")
            else:
                lines.append(f"        {step.module} = {call}")
                names = [str(Output(step.name, index)) for index in range(step.outputs)]
                lines += [f"        yield {name!r}, {step.module}[{index}]" for index, name in enumerate(names)]
    return "\n".join(lines) + "\n"


def _variable(variables: Mapping[str, str], outputs: Mapping[str, int], source: Output) -> str:
    """What a value is called in the module's code."""
    name = variables[source.node]
    return name if outputs.get(source.node, 1) == 1 else f"{name}[{source.index}]"


def _main_path_first(program: Program) -> list[Step]:
    """The steps ordered so that the longest way through the graph comes first and side branches later.

    Whoever asks for a layer on the main path then never runs a side branch, which may refuse the image's size.
    """
    steps = {step.name: step for step in program.steps}
    depth: dict[str, int] = {}
    for step in program.steps:
        depth[step.name] = 1 + max((depth.get(source.node, 0) for source in step.inputs), default=0)
    branch: dict[str, int] = {}
    for number, output in enumerate(sorted(program.outputs, key=lambda name: -depth.get(name, 0))):
        waiting = [output]
        while waiting:
            name = waiting.pop()
            if name in steps and name not in branch:
                branch[name] = number
                waiting.extend(source.node for source in steps[name].inputs)
    for step in program.steps:  # what leads to no output belongs to what it reads
        branch.setdefault(step.name, max((branch.get(source.node, 0) for source in step.inputs), default=0))
    return sorted(program.steps, key=lambda step: branch[step.name])


def _groups(steps: Iterable[Step]) -> Iterable[list[Step]]:
    """Neighbouring steps whose names begin alike (`mixed4a_...`), for a blank line between them."""
    group: list[Step] = []
    for step in steps:
        if group and _stem(step) != _stem(group[-1]):
            yield group
            group = []
        group.append(step)
    if group:
        yield group


def _stem(step: Step) -> str:
    return re.split(r"[_/]", step.name.removeprefix("inception_"))[0]


def _constructor(step: Step) -> str:
    """The call that makes a layer, leaving out arguments that have their default."""
    parameters = inspect.signature(layers.LAYERS[step.layer]).parameters
    given = [
        _literal(value) if parameters[key].default is inspect.Parameter.empty else f"{key}={_literal(value)}"
        for key, value in step.arguments.items()
        if not _equal(value, parameters[key].default)
    ]
    return f"{step.layer}({', '.join(given)})"


def _literal(value: Any) -> str:
    """A value as Python text; infinity has no literal of its own."""
    return repr(value).replace("inf", "math.inf") if isinstance(value, float) else repr(value)


def _equal(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default


def _library(used: Iterable[str]) -> str:
    """The code of the layers in use and of all that they use, in the order of their files."""
    modules = (errors, *functional.MODULES, *layers.MODULES)
    definitions = {name: text for module in modules for name, text in _definitions(module).items()}
    definitions["InputSizeError"] = (
        'class InputSizeError(ValueError):\n    """A layer cannot be computed at this input size."""'
    )
    needed: set[str] = set()
    waiting = [*used, "InputSizeError"]
    while waiting:
        name = waiting.pop()
        if name in needed or name not in definitions:
            continue
        needed.add(name)
        waiting.extend(_names(definitions[name]))
    chosen = [text for name, text in definitions.items() if name in needed]
    return "".join(f"\n\n{text}\n" for text in chosen).replace("functional.", "").replace("nn.F", "F")


def _definitions(module: ModuleType) -> dict[str, str]:
    """Top-level functions, classes and assignments of a module by name, as text."""
    source = inspect.getsource(module)
    found: dict[str, str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = ast.get_source_segment(source, node) or ""
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                found[target.id] = ast.get_source_segment(source, node) or ""
    return found


def _names(text: str) -> list[str]:
    """Names that a piece of code may mean, other than those of attributes."""
    code = re.sub(r'"""(?:.|\n)*?"""', "", text).replace("functional.", "")
    return re.findall(r"(?<![\w.])\w+", code)


def _plain(name: str) -> str:
    """A name fit for a docstring."""
    return re.sub(r"[^\w./-]", "?", name, flags=re.ASCII)
