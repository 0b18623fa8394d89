"""Writes a converted model as one readable Python module that needs only torch and safetensors.

The module defines a `torch.nn.Module`, with one line per layer in its constructor and in its forward pass.
The code of the layers is copied from this package, with all definitions and imports that it uses. TensorFlow's names
occur in it only as string literals; identifiers come from `program.module_names`.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import itertools
import re
import symtable
import sys
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import ModuleType
from typing import NamedTuple

from converters import errors, functional, layers
from converters.dependencies import with_dependencies
from converters.frozen.graph import Output
from converters.program.program import Program, Step

_DOCSTRING = '''"""A frozen TensorFlow graph as plain PyTorch, written by lucid_port's converter.

    model = load()                                  # weights.safetensors beside this file
    found = model(x, ["{example}"])  # TensorFlow name -> value

x is (N, C, H, W){channels}, any height and width, in the value range and channel order of the original input.
"""
'''

# Imports for the templates below; unused ones are not written.
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
    """Returns the source of the module."""
    metadata = program.metadata
    docstring = _DOCSTRING.format(
        example=re.sub(r"[^\w./-]", "?", program.outputs[-1], flags=re.ASCII),
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
    used, _ = _names(model)
    definitions = _layer_library().needed_by(used)
    model_imports = [one for one in _imports(ast.parse(_MODEL_IMPORTS)) if one.bound_name in used]
    imports = [*model_imports, *(one for definition in definitions for one in definition.imports)]
    library = "".join(f"\n\n{definition.text}\n" for definition in definitions)
    return docstring + _import_lines(imports) + constants + library + model


def _model(program: Program) -> str:
    lines = ["", "", "class Model(nn.Module):", '    """The graph, one attribute a layer."""', ""]
    lines += ["    def __init__(self) -> None:", "        super().__init__()"]
    groups = [list(group) for _, group in itertools.groupby(_main_path_first(program), _stem)]
    for group in groups:
        lines += ["", *(f"        self.{step.module} = {_constructor(step)}" for step in group)]
    lines += _FORWARD.rstrip("\n").split("\n")
    steps = {step.name: step for step in program.steps}
    for group in groups:
        lines.append("")
        for step in group:
            call = f"self.{step.module}({', '.join(_variable(steps.get(one.node), one) for one in step.inputs)})"
            if step.outputs == 1 and not step.hidden:
                lines.append(f"        yield {step.name!r}, ({step.module} := {call})")
                continue
            lines.append(f"        {step.module} = {call}")
            if not step.hidden:
                names = [str(Output(step.name, index)) for index in range(step.outputs)]
                lines += [f"        yield {name!r}, {step.module}[{index}]" for index, name in enumerate(names)]
    return "\n".join(lines) + "\n"


def _variable(step: Step | None, source: Output) -> str:
    """Returns the expression for an output of a step, or of the input if `step` is None."""
    if step is None:
        return "x"
    return step.module if step.outputs == 1 else f"{step.module}[{source.index}]"


def _main_path_first(program: Program) -> list[Step]:
    """Returns the steps ordered so that the longest path through the graph comes first and side branches later.

    So a layer on the main path can be computed without the side branches, which may raise errors for some sizes.
    """
    steps = {step.name: step for step in program.steps}
    depth: dict[str, int] = {}
    for step in program.steps:
        depth[step.name] = 1 + max((depth.get(source.node, 0) for source in step.inputs), default=0)
    branch: dict[str, int] = {}

    def unvisited(names: Iterable[str]) -> list[str]:
        return [name for name in names if name in steps and name not in branch]

    for number, output in enumerate(sorted(program.outputs, key=lambda name: -depth.get(name, 0))):
        found = with_dependencies(
            unvisited([output]), lambda name: unvisited(source.node for source in steps[name].inputs)
        )
        branch.update(dict.fromkeys(found, number))
    for step in program.steps:  # if no output depends on a step, it joins its inputs' branch
        branch.setdefault(step.name, max((branch.get(source.node, 0) for source in step.inputs), default=0))
    return sorted(program.steps, key=lambda step: branch[step.name])


def _stem(step: Step) -> str:
    """Returns the beginning of a step's name: `mixed4a` of `mixed4a_1x1`. Blank lines separate groups."""
    return re.split(r"[_/]", step.name.removeprefix("inception_"))[0]


def _constructor(step: Step) -> str:
    """Returns the call that makes a layer, without arguments that have their default."""
    parameters = inspect.signature(layers.LAYERS[step.layer]).parameters
    given = [
        _literal(value) if parameters[key].default is inspect.Parameter.empty else f"{key}={_literal(value)}"
        for key, value in step.arguments.items()
        if repr(value) != repr(parameters[key].default)
    ]
    return f"{step.layer}({', '.join(given)})"


def _literal(value: object) -> str:
    """Returns a value as source; infinity and NaN, which have no literals, become attributes of `math`."""
    return re.sub(r"(?<!['\w])(inf|nan)(?!['\w])", r"math.\1", repr(value))


# Copying source -------------------------------------------------------------------------------------------------


class Import(NamedTuple):
    """One name that a module imports.

    Attributes:
        module: the imported module, or the module that the name is imported from.
        name: the imported name; None for `import module`.
        alias: the name after `as`; None without `as`.
    """

    module: str
    name: str | None = None
    alias: str | None = None

    @property
    def bound_name(self) -> str:
        """The name that the import statement binds."""
        return self.alias or self.name or self.module.partition(".")[0]

    @property
    def is_own(self) -> bool:
        """Whether the module belongs to this package."""
        return self.module.partition(".")[0] == __name__.partition(".")[0]


@dataclass(frozen=True)
class Definition:
    """A top-level function, class or assignment, as a standalone module contains it.

    Attributes:
        text: its source, with decorators, the comment above it and the string below an assignment.
        uses: names of other definitions that it reads.
        imports: its imports from other packages.
    """

    text: str
    uses: frozenset[str]
    imports: frozenset[Import]


class Library:
    """The definitions of some modules in one namespace.

    Args:
        modules: in the order in which their code is copied.
        replaced: name -> source of a definition that replaces an imported one; copied first.

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
        """Returns the definitions among `names` and all that they use, in the order of their modules."""
        known = self._definitions.keys() & set(names)
        needed = with_dependencies(known, lambda name: self._definitions[name].uses)
        # An assignment to several names is listed under each of them.
        return list(dict.fromkeys(found for name, found in self._definitions.items() if name in needed))


@functools.cache
def _layer_library() -> Library:
    # The base class ConverterError is omitted: it only shortens messages that quote files, which is not needed here.
    size_error = f'class InputSizeError(ValueError):\n    """{errors.InputSizeError.__doc__}"""'
    return Library((*functional.MODULES, *layers.MODULES), {errors.InputSizeError.__name__: size_error})


def _definitions(module: ModuleType) -> dict[str, Definition]:
    """Returns the definitions of a module by the names that they bind."""
    source = inspect.getsource(module)
    tree, lines = ast.parse(source), source.split("\n")
    imports = {one.bound_name: one for one in _imports(tree)}
    found: dict[str, Definition] = {}
    for statement, following in itertools.zip_longest(tree.body, tree.body[1:]):
        if _is_string(statement) or isinstance(statement, (ast.Import, ast.ImportFrom)):
            continue
        first = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", [])))
        while first > 1 and lines[first - 2].startswith("#"):
            first -= 1
        last = following if _is_string(following) else statement
        text = "\n".join(lines[first - 1 : last.end_lineno])
        symbols = symtable.symtable(text, "<definition>", "exec").get_symbols()
        names = {symbol.get_name() for symbol in symbols if symbol.is_assigned()}
        is_definition = isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign))
        if not is_definition or not names or names & found.keys():
            place = f"Line {statement.lineno} of {module.__name__}"
            raise ValueError(f"{place} is no definition of a new name, so it cannot be copied.")
        found.update(dict.fromkeys(sorted(names), _definition(text, module, imports)))
    return found


def _definition(text: str, module: ModuleType, imports: Mapping[str, Import]) -> Definition:
    """Returns a definition, rewritten so that it reads all other definitions as globals of one file."""
    names, _ = _names(text)
    imported = {name: imports[name] for name in names & imports.keys()}
    own = {name for name, one in imported.items() if one.is_own}
    packages = {name for name in own if isinstance(vars(module)[name], ModuleType)}
    text, members = _without_packages(text, packages, module)
    for name in own - packages:
        if imported[name].name != name:
            original = imported[name].name
            raise ValueError(f"{module.__name__} imports {original!r} as {name!r}; copied code keeps its names.")
    defined = {name for name in names - own if name in vars(module) and not name.startswith("__")} - imported.keys()
    for name in sorted(names - defined - imported.keys()):
        if not hasattr(builtins, name):
            raise ValueError(f"{module.__name__} uses {name!r}, which it neither defines nor imports.")
    external = frozenset(one for one in imported.values() if not one.is_own)
    return Definition(text, frozenset(defined | members | (own - packages)), external)


def _without_packages(text: str, packages: set[str], module: ModuleType) -> tuple[str, set[str]]:
    """Replaces `package.name` by `name` in code, not in strings and comments.

    Returns:
        The new source, and the replaced names.
    """
    lines, members = text.splitlines(keepends=True), set()
    tokens = list(tokenize.generate_tokens(iter(lines).__next__))
    for package, dot, member in reversed(list(zip(tokens, tokens[1:], tokens[2:], strict=False))):
        row, column = package.start
        if package.type == tokenize.NAME and package.string in packages and dot.string == "." and member.end[0] == row:
            lines[row - 1] = lines[row - 1][:column] + lines[row - 1][member.start[1] :]
            members.add(member.string)
    text = "".join(lines)
    read, local = _names(text)
    if packages & read:
        raise ValueError(f"{module.__name__} uses a module of this package other than as `module.name` on one line.")
    hidden = sorted((members | packages) & local)
    if hidden:
        raise ValueError(f"{module.__name__} has local variables with the names of functions in use: {hidden}.")
    return text, members


def _names(text: str) -> tuple[set[str], set[str]]:
    """Returns the names of globals that some code reads but does not define, and the local names of its functions.

    Names in annotations are included, because the code is parsed without `from __future__ import annotations`.
    """
    read, local = set(), set()
    scopes = [symtable.symtable(text, "<definition>", "exec")]
    for scope in scopes:
        scopes += scope.get_children()
        for symbol in scope.get_symbols():
            if not symbol.is_global():
                local |= {symbol.get_name()} if scope.get_type() == "function" else set()
            elif symbol.is_referenced() and not (scope.get_type() == "module" and symbol.is_assigned()):
                read.add(symbol.get_name())
    return read, local


def _is_string(statement: ast.stmt | None) -> bool:
    """Returns whether a statement is only a string, as a docstring is."""
    return isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str)


def _imports(tree: ast.Module) -> list[Import]:
    """Returns the imports at the top level of a module, except from `__future__`."""
    found: list[Import] = []
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            found += [Import(one.name, None, one.asname) for one in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module != "__future__":
            # ruff's rules refuse relative imports, whose `module` would be None.
            found += [Import(statement.module or "", one.name, one.asname) for one in statement.names]
    return found


def _import_lines(imports: Iterable[Import]) -> str:
    """Returns the import statements of a file, in isort's order.

    Raises:
        ValueError: two imports bind the same name to different objects.
    """
    bound: dict[str, Import] = {}
    for one in imports:
        other = bound.setdefault(one.bound_name, one)
        if other != one:
            raise ValueError(f"Copied modules import {one.bound_name!r} from two places: {one}, {other}.")
    standard = {one for one in bound.values() if one.module.partition(".")[0] in sys.stdlib_module_names}
    sections = (standard, set(bound.values()) - standard)
    return "\nfrom __future__ import annotations\n" + "".join(f"\n{_section(one)}" for one in sections if one)


def _section(imports: Iterable[Import]) -> str:
    plain, members = [], []
    for module, name, alias in imports:
        suffix = f" as {alias}" if alias else ""
        if name is None:
            plain.append(f"import {module}{suffix}\n")
        else:
            members.append((module, not name[0].isupper(), name + suffix))  # classes come first
    grouped = itertools.groupby(sorted(members), key=itemgetter(0))
    named = [f"from {module} import {', '.join(name for _, _, name in group)}\n" for module, group in grouped]
    return "".join([*sorted(plain), *named])
