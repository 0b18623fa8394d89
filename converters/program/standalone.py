"""Writes a converted model as one readable Python module that needs torch and safetensors alone.

The module holds the layers as attributes of a `torch.nn.Module`, one line each, and one line each for the order in
which they run. The layers' own code is copied from this package, together with every definition and import that it
uses. TensorFlow's names stand in it as string literals only; identifiers come from `program.module_names`.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import math
import re
import symtable
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from converters import errors, functional, layers
from converters.frozen.graph import Output
from converters.program.program import Program, Step

_DOCSTRING = '''"""A frozen TensorFlow graph as plain PyTorch, written by lucid_port's converter.

    model = load()                                  # weights.safetensors beside this file
    found = model(x, ["{example}"])  # TensorFlow name -> value

x is (N, C, H, W){channels}, any height and width, in the value range and channel order of the original input.
"""
'''

# Imports that the written model's own code may use; `_import_lines` writes those that it does use.
_MODEL_IMPORTS = """
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
"""

_CONSTANTS = """
INPUT_NAME = {input_name!r}
IMAGE_SHAPE = {image_shape!r}
IMAGE_VALUE_RANGE = {image_value_range!r}
IS_BGR = {is_bgr!r}
OUTPUTS = {outputs!r}
SOURCE_SHA256 = {source!r}
"""

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
    docstring = _DOCSTRING.format(
        example=_plain(program.outputs[-1]),
        channels=f" with {program.input_channels} channels" if program.input_channels else "",
    )
    constants = _CONSTANTS.format(
        input_name=metadata.input_name,
        image_shape=metadata.image_shape,
        image_value_range=metadata.image_value_range,
        is_bgr=metadata.is_BGR,
        outputs=tuple(program.outputs),
        source=program.source_sha256,
    )
    model = _model(program) + _LOADER
    used = _global_names(model)
    definitions = _layer_library().needed_by(used)
    model_imports = [one for one in _imports(ast.parse(_MODEL_IMPORTS)) if one.bound_name in used]
    imports = [*model_imports, *(one for definition in definitions for one in definition.imports)]
    library = "".join(f"\n\n{definition.text}\n" for definition in definitions)
    return docstring + _import_lines(imports) + constants + library + model


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
    """A value as Python text; infinity and NaN, which have no literals, as attributes of `math`."""
    if isinstance(value, float) and not math.isfinite(value):
        return "math.nan" if math.isnan(value) else "math.inf" if value > 0 else "-math.inf"
    if isinstance(value, tuple):
        items = ", ".join(_literal(item) for item in value)
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return repr(value)


def _equal(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default


def _plain(name: str) -> str:
    """A name fit for a docstring."""
    return re.sub(r"[^\w./-]", "?", name, flags=re.ASCII)


# Copying source -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One name that a module imports.

    Attributes:
        module: the module that is imported, or from which the name comes.
        name: the imported name; None for `import module`.
        alias: the name behind `as`, if there is one.
    """

    module: str
    name: str | None = None
    alias: str | None = None

    @property
    def bound_name(self) -> str:
        """The name that the import statement binds."""
        return self.alias or self.name or self.module.partition(".")[0]


@dataclass(frozen=True)
class Definition:
    """A top-level function, class or assignment, as a standalone module holds it.

    Attributes:
        text: its source, with decorators, the comment above it and the string below an assignment.
        uses: names of other definitions that it reads.
        imports: of packages outside of this one.
    """

    text: str
    uses: frozenset[str]
    imports: frozenset[Import]


class Library:
    """The definitions of some modules, which a standalone module holds in one namespace.

    Args:
        modules: in the order in which their code is copied.
        replaced: name -> source of a definition that takes the place of an imported one; copied first.

    Raises:
        ValueError: the modules have code that cannot be copied into one file.
    """

    def __init__(self, modules: Sequence[ModuleType], replaced: Mapping[str, str]) -> None:
        self._definitions = {name: Definition(text, frozenset(), frozenset()) for name, text in replaced.items()}
        for module in modules:
            for name, definition in _definitions(module).items():
                if name in self._definitions:
                    raise ValueError(f"{module.__name__} defines {name!r} a second time; rename one of the two.")
                self._definitions[name] = definition
        for name, definition in self._definitions.items():
            for missing in sorted(definition.uses - self._definitions.keys()):
                raise ValueError(f"{name!r} uses {missing!r}, which no copied module defines.")

    def needed_by(self, names: Iterable[str]) -> list[Definition]:
        """The definitions among `names` and all that they use, in the order of their modules."""
        needed: set[str] = set()
        waiting = [name for name in names if name in self._definitions]
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                waiting.extend(self._definitions[name].uses)
        # An assignment to several names is listed under each of them.
        return list(dict.fromkeys(found for name, found in self._definitions.items() if name in needed))


@functools.cache
def _layer_library() -> Library:
    # The converters' own base class is left out: it only shortens messages that quote files.
    size_error = f'class InputSizeError(ValueError):\n    """{errors.InputSizeError.__doc__}"""'
    return Library((*functional.MODULES, *layers.MODULES), {errors.InputSizeError.__name__: size_error})


def _definitions(module: ModuleType) -> dict[str, Definition]:
    """The definitions of a module by the names that they bind."""
    source = inspect.getsource(module)
    tree, lines = ast.parse(source), source.split("\n")
    imports = {one.bound_name: one for one in _imports(tree)}
    found: dict[str, Definition] = {}
    for index, statement in enumerate(tree.body):
        if _is_string(statement) or isinstance(statement, (ast.Import, ast.ImportFrom)):
            continue
        following = tree.body[index + 1] if index + 1 < len(tree.body) else statement
        names = _bound_names(statement)
        if not names or names & found.keys():
            raise ValueError(f"{_place(module, statement)} is no definition of a new name, so it cannot be copied.")
        first, last = _first_line(statement, lines), (following if _is_string(following) else statement).end_lineno
        definition = _definition("\n".join(lines[first - 1 : last]), module, imports)
        found.update(dict.fromkeys(sorted(names), definition))
    return found


def _definition(text: str, module: ModuleType, imports: Mapping[str, Import]) -> Definition:
    """A definition of a module, rewritten so that it reads all other definitions as globals of one file."""
    names = _global_names(text)
    packages = {name for name in names & imports.keys() if isinstance(vars(module)[name], ModuleType)}
    packages = {name for name in packages if _is_own(vars(module)[name].__name__)}
    text, uses = _without_packages(text, packages, module)
    external: set[Import] = set()
    for name in names - packages:
        imported = imports.get(name)
        if imported is None:
            if name in vars(module) and not name.startswith("__"):
                uses.add(name)
            elif not hasattr(builtins, name):
                raise ValueError(f"{module.__name__} uses {name!r}, which it neither defines nor imports.")
        elif not _is_own(imported.module):
            external.add(imported)
        elif imported.alias in (None, imported.name):
            uses.add(name)
        else:
            raise ValueError(f"{module.__name__} imports {imported.name!r} as {name!r}; copied code keeps its names.")
    return Definition(text, frozenset(uses), frozenset(external))


def _without_packages(text: str, packages: set[str], module: ModuleType) -> tuple[str, set[str]]:
    """Source in which `package.name` is `name`, and the names that were rewritten so.

    Only these attributes change: strings and comments stay as they are.
    """
    nodes = list(ast.walk(ast.parse(text)))
    mentions = [node for node in nodes if isinstance(node, ast.Name) and node.id in packages]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and node.value in mentions]
    # Python before 3.12 misplaces some expressions in f-strings.
    misplaced = any(ast.get_source_segment(text, node) != ast.unparse(node) for node in attributes)
    if misplaced or len(attributes) != len(mentions):
        raise ValueError(f"{module.__name__} uses a module of this package other than as `module.name` on one line.")
    names = {node.attr for node in attributes}
    hidden = sorted((names | packages) & _local_names(text))
    if hidden:
        raise ValueError(f"{module.__name__} has local variables with the names of functions in use: {hidden}.")
    lines = text.encode().split(b"\n")  # the syntax tree counts bytes
    for node in sorted(attributes, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line[: node.col_offset] + node.attr.encode() + line[node.end_col_offset :]
    return b"\n".join(lines).decode(), names


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _global_names(text: str) -> set[str]:
    """Names that some code reads and that neither a function nor, at the top level, the code itself binds.

    Annotations count, as the code is read without `from __future__ import annotations`.
    """
    return {
        symbol.get_name()
        for scope in _scopes(symtable.symtable(text, "<definition>", "exec"))
        for symbol in scope.get_symbols()
        if symbol.is_referenced() and symbol.is_global()
        if not (scope.get_type() == "module" and symbol.is_assigned())
    }


def _local_names(text: str) -> set[str]:
    """Names that functions in some code bind."""
    return {
        symbol.get_name()
        for scope in _scopes(symtable.symtable(text, "<definition>", "exec"))
        for symbol in scope.get_symbols()
        if scope.get_type() == "function" and not symbol.is_global()
    }


def _bound_names(statement: ast.stmt) -> set[str]:
    """Names that a definition binds; none if the statement is of another kind."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else []
    nodes = [node for target in targets for node in ast.walk(target)]
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _first_line(statement: ast.stmt, lines: Sequence[str]) -> int:
    """Number of the line where a statement begins with its decorators and the comment above it."""
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    return first


def _is_string(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_own(module: str) -> bool:
    """Whether a module belongs to this package."""
    return module.partition(".")[0] == __name__.partition(".")[0]


def _place(module: ModuleType, statement: ast.stmt) -> str:
    return f"Line {statement.lineno} of {module.__name__}"


def _imports(tree: ast.Module) -> list[Import]:
    """What a module's top level imports, other than from `__future__`."""
    found: list[Import] = []
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            found += [Import(one.name, None, one.asname) for one in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module != "__future__":
            # ruff's rules leave no relative imports, whose `module` would be None.
            found += [Import(statement.module or "", one.name, one.asname) for one in statement.names]
    return found


def _import_lines(imports: Iterable[Import]) -> str:
    """The import statements of a file, in isort's order.

    Raises:
        ValueError: two of them bind the same name to different objects.
    """
    bound: dict[str, Import] = {}
    for one in imports:
        if bound.setdefault(one.bound_name, one) != one:
            raise ValueError(
                f"Copied modules import {one.bound_name!r} from two places: {one}, {bound[one.bound_name]}."
            )
    standard = {one for one in bound.values() if one.module.partition(".")[0] in sys.stdlib_module_names}
    sections = (standard, set(bound.values()) - standard)
    return "\nfrom __future__ import annotations\n" + "".join(f"\n{_section(one)}" for one in sections if one)


def _section(imports: Iterable[Import]) -> str:
    plain: list[str] = []
    members: dict[str, list[str]] = {}
    for one in imports:
        alias = f" as {one.alias}" if one.alias else ""
        if one.name is None:
            plain.append(f"import {one.module}{alias}\n")
        else:
            members.setdefault(one.module, []).append(one.name + alias)
    named = [f"from {module} import {', '.join(_ordered(members[module]))}\n" for module in sorted(members)]
    return "".join([*sorted(plain), *named])


def _ordered(names: Iterable[str]) -> list[str]:
    """Imported names, those of classes before those of functions and modules."""
    return sorted(names, key=lambda name: (not name[0].isupper(), name))
