"""Chooses the tests of a mutant by the coverage of its line."""

from __future__ import annotations

import ast
import difflib
import re
from collections import defaultdict
from collections.abc import Iterable

from coverage import CoverageData

from parity_tests.mutants.collecting import WHOLE_FILE
from parity_tests.mutants.contexts import Contexts
from parity_tests.mutants.making import Mutant
from parity_tests.mutants.sources import ROOT

FILE_SECONDS = 0.4  # a test file's import
SIGNATURES = "parity_tests/test_public_api.py"  # reads defaults without a call


class Chooser:
    """Tests of lines, from measured contexts and the present sources."""

    def __init__(self, contexts: Contexts, sources: dict[str, str]) -> None:
        self.contexts, self.sources = contexts, sources
        data = CoverageData(str(contexts.folder / "contexts.coverage"))
        data.read()
        self.lines = {path: data.contexts_by_lineno(str(ROOT / path)) for path in contexts.sources}
        self.files: dict[str, list[str]] = defaultdict(list)
        for test in contexts.seconds:
            self.files[test.split("::")[0]].append(test)

    def tests(self, mutant: Mutant) -> list[str]:
        """All tests that run the mutated line; those for which it only ran in a shared fixture come last."""
        own = self._of(self._measured(mutant.path, range(mutant.statement, mutant.line + 1)))
        if own:
            return own
        used = self._of(self._uses(mutant)) or self._of({mutant.path: set(self.lines[mutant.path])})
        return [*dict.fromkeys([*self.files[SIGNATURES], *used])]

    def _of(self, lines: dict[str, set[int]]) -> list[str]:
        contexts = {
            context for path, numbers in lines.items() for n in numbers for context in self.lines[path].get(n, ())
        }
        own = [context for context in contexts if context in self.contexts.seconds]
        shared = [
            test
            for context in contexts
            if context.endswith(f"::{WHOLE_FILE}")
            for test in self.files[context.split("::")[0]]
        ]
        return [*sorted(own), *sorted(set(shared) - set(own))]

    def _measured(self, path: str, lines: Iterable[int]) -> dict[str, set[int]]:
        """The numbers that present lines of a file had when they were measured."""
        if path not in self.contexts.sources:
            return {}
        old, new = self.contexts.sources[path].splitlines(), self.sources[path].splitlines()
        blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
        numbers = {block.b + i: block.a + i for block in blocks for i in range(block.size)}
        return {path: {numbers[line - 1] + 1 for line in lines if line - 1 in numbers}}

    def _uses(self, mutant: Mutant) -> dict[str, set[int]]:
        """Lines that use a name defined by a line that runs at import: a constant, a default, a class, a decorator."""
        line = self.sources[mutant.path].splitlines()[mutant.statement - 1]
        defined = re.match(r"\s*(?:async )?(?:def|class) (\w+)|(\w+)\s*(?::[^=]*)?=(?!=)", line)
        name = (defined[1] or defined[2]) if defined else mutant.function.split(".")[0]
        uses = self._measured(mutant.path, self._definition(mutant))
        if not name:
            return uses
        pattern = re.compile(rf"\b{name}\b")
        for path, source in self.sources.items():
            lines = [number for number, line in enumerate(source.splitlines(), 1) if pattern.search(line)]
            for file, measured in self._measured(path, lines).items():
                uses[file] = uses.get(file, set()) | measured
        return uses

    def _definition(self, mutant: Mutant) -> range:
        """The lines of the function or class whose head is mutated, such as a default."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        for node in ast.walk(ast.parse(self.sources[mutant.path])):
            if isinstance(node, kinds) and node.lineno == mutant.statement:
                return range(node.lineno, (node.end_lineno or node.lineno) + 1)
        return range(0)


def within(tests: list[str], seconds: dict[str, float], budget: float) -> list[str]:
    """Takes tests up to a CPU time: one case of each test function, the quickest first, then the second cases ...

    The test of signatures, if it is among them, comes before all others.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        groups[test.split("[")[0]].append(test)
    ranked = []
    for group in groups.values():
        ranked += [(not test.startswith(SIGNATURES), rank, seconds[test], test) for rank, test in enumerate(group)]
    chosen: list[str] = []
    files: set[str] = set()
    for *_, cost, test in sorted(ranked):
        file = test.split("::")[0]
        cost += FILE_SECONDS * (file not in files)
        if cost <= budget:
            budget -= cost
            files.add(file)
            chosen.append(test)
    return chosen
