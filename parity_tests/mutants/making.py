"""Finds the one-token mutants of a source file.

Strings, annotations, error messages and warnings are left alone; so are settings that change no result (`NO_RESULT`).
"""

from __future__ import annotations

import ast
import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">")),
    ast.LtE: ("<=", ("<", ">=")),
    ast.Gt: (">", (">=", "<")),
    ast.GtE: (">=", (">", "<=")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.MatMult: ("@", "*"),
}
# Calls whose arguments change no result: sizes of caches, frozen classes, types, texts of warnings and errors.
NO_RESULT = {"lru_cache", "dataclass", "TypeVar", "cast", "warn", "shown", "overload"}


@dataclass(frozen=True)
class Mutant:
    """One changed token.

    Attributes:
        path: the file, relative to the repository's root.
        function: qualified name of the enclosing function or class; "" for the module.
        text: the line before and after, without indentation. With path and function it is the mutant's key.
        line: number of the line.
        statement: number of the first line of the innermost statement.
        span: first and last byte that are replaced.
        after: the replacement.
    """

    path: str
    function: str
    text: str
    line: int
    statement: int
    span: tuple[int, int]
    after: str

    @property
    def key(self) -> str:
        return f"{self.path} | {self.function} | {self.text}"

    def source(self, original: str) -> str:
        """The mutated file."""
        data = original.encode()
        return (data[: self.span[0]] + self.after.encode() + data[self.span[1] :]).decode()


def mutants(path: str, source: str) -> list[Mutant]:
    """All mutants of a file, each key once."""
    found = _Finder(path, source).visit(ast.parse(source), _Place("", 1))
    return list({mutant.key: mutant for mutant in found}.values())


def sample(sources: dict[str, str], count: int, seed: int) -> list[Mutant]:
    """Draws mutants, at most one of each line.

    The order depends on the seed and the keys alone: a smaller sample is the beginning of a larger one, and changes
    elsewhere do not change it.
    """
    every = [mutant for path, source in sources.items() for mutant in mutants(path, source)]
    every.sort(key=lambda mutant: hashlib.sha256(f"{seed} {mutant.key}".encode()).digest())
    lines: dict[tuple[str, int], Mutant] = {}
    for mutant in every:
        lines.setdefault((mutant.path, mutant.line), mutant)
    return list(lines.values())[:count]


def read_sources(root: Path, names: list[str]) -> dict[str, str]:
    return {name: (root / name).read_text(encoding="utf-8") for name in names}


@dataclass(frozen=True)
class _Place:
    function: str
    statement: int


class _Finder:
    """Walks a syntax tree and yields mutants."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.data = source.encode()
        self.lines = self.data.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        return (
            self.starts[first - 1] + node.col_offset,  # type: ignore[attr-defined]
            self.starts[last - 1] + node.end_col_offset,  # type: ignore[attr-defined]
        )

    def text(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.data[start:end].decode()

    def mutant(self, place: _Place, span: tuple[int, int], after: str) -> Mutant:
        line = bisect_right(self.starts, span[0])
        start, end = self.starts[line - 1], max(self.starts[line], span[1])
        before = self.data[start:end].decode()
        changed = (self.data[start : span[0]] + after.encode() + self.data[span[1] : end]).decode()
        text = " ".join(before.split()) + " -> " + " ".join(changed.split())
        return Mutant(self.path, place.function, text, line, place.statement, span, after)

    def visit(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        if isinstance(node, (ast.JoinedStr, ast.Raise)) or _is_type_checking(node):
            return
        if isinstance(node, ast.stmt):
            place = replace(place, statement=node.lineno)
        yield from self.own(node, place)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            place = replace(place, function=f"{place.function}.{node.name}".lstrip("."))
        for child in _children(node):
            yield from self.visit(child, place)

    def own(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        """The mutants of this node, without those of its children."""
        match node:
            case ast.Compare():
                operands = [node.left, *node.comparators]
                for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
                    before, changes = COMPARISONS[type(operator)]
                    for after in changes:
                        yield from self.between(left, right, before, after, place)
            case ast.BinOp() if type(node.op) in ARITHMETIC and not _is_text(node):
                yield from self.between(node.left, node.right, *ARITHMETIC[type(node.op)], place)
            case ast.AugAssign() if type(node.op) in ARITHMETIC:
                before, after = ARITHMETIC[type(node.op)]
                yield from self.between(node.target, node.value, f"{before}=", f"{after}=", place)
            case ast.BoolOp():
                before, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self.between(left, right, before, after, place)
            case ast.UnaryOp(op=ast.Not()):
                start, _ = self.span(node)
                yield self.mutant(place, (start, start + len("not ")), "")
            case ast.Constant(value=bool()):
                yield self.mutant(place, self.span(node), str(not node.value))
            case ast.Constant(value=int() | float() as number):
                for after in _other_numbers(number):
                    yield self.mutant(place, self.span(node), after)
            case ast.Call():
                yield from self.swaps(node, place)
            case ast.Slice():
                for end in (node.lower, node.upper):
                    if end is not None:
                        yield self.mutant(place, self.span(end), "")
        if _has_effect(node):
            yield self.mutant(place, self.span(node), "pass")

    def between(self, left: ast.expr, right: ast.expr, before: str, after: str, place: _Place) -> Iterator[Mutant]:
        """Replaces an operator, which has no position of its own."""
        (_, start), (end, _) = self.span(left), self.span(right)
        word = re.escape(before).replace(r"\ ", r"\s+")
        found = re.search(rf"\b{word}\b" if before[0].isalpha() else word, self.data[start:end].decode())
        if found:
            offset = len(found.string[: found.start()].encode())
            yield self.mutant(place, (start + offset, start + offset + len(found[0])), after)

    def swaps(self, node: ast.Call, place: _Place) -> Iterator[Mutant]:
        if _called(node) == "isinstance":  # a TypeError, whatever the test
            return
        for first, second in zip(node.args, node.args[1:], strict=False):
            if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred):
                (start, end), (start2, end2) = self.span(first), self.span(second)
                texts = (self.text(first), self.text(second))
                if texts[0] != texts[1]:
                    after = texts[1] + self.data[end:start2].decode() + texts[0]
                    yield self.mutant(place, (start, end2), after)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The children that may be mutated."""
    match node:
        case ast.Call() if _called(node) in NO_RESULT:
            return
        case ast.Call() if _called(node) == "zip":  # `strict` only repeats what the sizes are
            yield from node.args
        case ast.Assert():
            yield node.test
        case ast.AnnAssign():
            yield from [node.value] if node.value else []
        case ast.arguments():
            yield from [default for default in (*node.defaults, *node.kw_defaults) if default]
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            if any(isinstance(part, ast.Name) and part.id in NO_RESULT for part in node.decorator_list):
                return
            yield from (node.args, *node.decorator_list, *node.body)
        case _:
            yield from ast.iter_child_nodes(node)


def _has_effect(node: ast.AST) -> bool:
    """Whether a statement does something besides binding a local name."""
    match node:
        case ast.Expr(value=ast.Call() as call):
            return _called(call) not in NO_RESULT
        case ast.Assign():
            return any(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets)
        case ast.AugAssign():
            return True
    return False


def _is_text(node: ast.BinOp) -> bool:
    texts = (ast.JoinedStr, ast.Constant)
    return any(isinstance(side, texts) and not _is_number(side) for side in (node.left, node.right))


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _other_numbers(value: int | float) -> tuple[str, ...]:
    if isinstance(value, int):
        return str(value + 1), str(value - 1) if value else "(-1)"
    return (repr(value * 2) if value else "1.0",)
