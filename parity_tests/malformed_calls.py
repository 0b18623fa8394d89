"""Malformed calls of the public API: does each end in an answer, or in a sentence of the project's own?

    python -m parity_tests.malformed_calls --count 500 --seed 0

The callables are those of `parity_tests.public_api`. The valid call of each is the first one in its documented example;
a case replaces one or two of its arguments. An error is raw if no `raise` statement of the project made it: its message
comes from Python, NumPy or torch, and does not name the argument. An answer is silent if an argument has another type
than its annotation. Calls run in a child process with a limited memory,
and each has a limited time.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import dis
import doctest
import importlib
import inspect
import io
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converters.signatures import rules_of
from parity_tests import public_api
from parity_tests.malformed_examples import CALLS

OWN = tuple(str(Path(importlib.import_module(name).__file__ or "").parent) for name in ("converters", "lucid_port"))
SECONDS = 20.0
"""Time limit of one call."""
HARD_SECONDS = 180.0
"""Time limit of one call and its example in native code, after which the parent ends the child."""
EXAMPLE = "<example>"
"""File name of the code of examples."""
MEMORY = 2**31
"""Bytes that the child may allocate beyond those it starts with."""

# Values ------------------------------------------------------------------------------------------


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    return value


class _Class:
    """A user's class, which can be called with any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass


VALUES: Mapping[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "a whole number": lambda: 3,
    "a fraction": lambda: 2.5,
    "a complex number": lambda: 1j,
    "zero": lambda: 0,
    "a negative number": lambda: -1,
    "a huge number": lambda: 10**9,
    "a number of 100 bits": lambda: 2**100,
    "a number of 400 digits": lambda: -(10**400),
    "1e300": lambda: 1e300,
    "NaN": lambda: math.nan,
    "NumPy's NaN": lambda: np.float32("nan"),
    "infinity": lambda: math.inf,
    "a text": lambda: "abc",
    "no text": lambda: "",
    "a text of digits": lambda: "3",
    "bytes": lambda: b"abc",
    "a snowman": lambda: "\u2603\u202e/\U0001f9b4",
    "half a character": lambda: "\udcff",
    "a null character": lambda: "a\0b",
    "a long text": lambda: "x" * 5000,
    "braces": lambda: "%s{}{0!r}:*,-1",
    "a unit without a number": lambda: "mixed4a:",
    "a channel that does not exist": lambda: "mixed4a:99999999999999999999",
    "an unfinished sum": lambda: "mixed4a:3 - ",
    "a class that does not exist": lambda: "class:abc",
    "an open bracket": lambda: "mixed4a:3[1,",
    "a folder that nobody can write": lambda: "/proc/nothing/here",
    "an empty list": list,
    "an empty tuple": tuple,
    "an empty table": dict,
    "an empty set": set,
    "a list of texts": lambda: ["a", "b"],
    "a list of None": lambda: [None, None, None],
    "a list of NaN": lambda: [math.nan, 1.0, 2.0],
    "a list of negative numbers": lambda: [-1, -2, -3],
    "a list of huge numbers": lambda: [10**9, 10**9, 10**9, 3],
    "a list of 400 digits": lambda: [10**400, 1],
    "channels first": lambda: (3, 224, 224),
    "a ragged list": lambda: [[1.0, 2.0], [3.0]],
    "a deep list": _deep,
    "a table of objects": lambda: {"x": object(), "": None},
    "a table of numbers": lambda: {1: 2, None: 3},
    "an object": object,
    "a class": lambda: _Class,
    "a module": lambda: math,
    "a function": lambda: lambda *args, **kwargs: None,
    "an exception": lambda: ValueError("x"),
    "an empty array": lambda: np.empty(0, np.float32),
    "a batch of no image": lambda: np.empty((0, 8, 8, 3), np.float32),
    "an image without columns": lambda: np.empty((8, 0, 3), np.float32),
    "an array of NaN": lambda: np.full((8, 8, 3), np.nan, np.float32),
    "an array of texts": lambda: np.array([["a", "b"], ["c", "d"]]),
    "an array of objects": lambda: np.array([None, {}], dtype=object),
    "an array of complex numbers": lambda: np.ones((8, 8, 3), np.complex64),
    "an array of dates": lambda: np.array(["2020-01-01"], "datetime64[D]"),
    "an array of seven axes": lambda: np.ones((1, 2, 1, 2, 1, 2, 3), np.float32),
    "a tensor of nothing": lambda: torch.empty(0),
    "a tensor of complex numbers": lambda: torch.ones(2, 3, 8, 8, dtype=torch.complex64),
    "a tensor on the meta device": lambda: torch.ones(1, 3, 8, 8, device="meta"),
    "a sparse tensor": lambda: torch.eye(8).to_sparse(),
}

UNBOUNDED = frozenset({"steps", "n_steps", "frames", "attempts", "octaves", "total", "num_workers", "thresholds"})
"""Parameters that state an amount of work: a huge number is a valid wish, and takes as long as it says."""
HUGE = frozenset({"a huge number", "a list of huge numbers"})

ENGINE = re.compile(
    r"(_grad|gram_style|mean_l[12]_loss)$|(Transform|Compose|RandomSource|TFAdam|Objective|StyleLoss)\.\w+$"
    r"|(LiveSheet|LiveView|ManyProgress|ProgressBar|TensorBoardLog|LayerInfo)\.\w+$"
    r"|Parameterization\.(compute|draw|evaluate|forward|is_leaf|leaves|nhwc|reset)$|Model\.(forward|compute|supports|apply|create_input)$|LayerInfo$|overrides\.Op$|is_recipe$"
)
"""Functions and methods that a render loop or torch calls in every step, with arguments of the package's own."""

# The public callables ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A public callable.

    Attributes:
        name: its public name.
        function: the function that its users call; for a class, the class.
        code: the code of the function that has the parameters.
        examples: docstrings with a valid call, the best first.
        module: the module in which the examples run.
        method: whether it is a method.
    """

    name: str
    function: Callable[..., Any]
    code: types.CodeType
    examples: tuple[str, ...]
    module: types.ModuleType
    method: bool = False

    @property
    def is_class(self) -> bool:
        return inspect.isclass(self.function)

    @property
    def takes_arguments(self) -> bool:
        return self.code.co_argcount + self.code.co_kwonlyargcount > int(self.method or self.is_class)


DOCUMENTED: Mapping[str, Sequence[str]] = {
    "lucid_port.misc.io.films": ("check_film_path", "even_frames", "save_film"),
    "lucid_port.modelzoo.classes": ("class_number", "logits_layer", "probabilities_layer"),
    "lucid_port.optvis.grammar": ("parse", "parse_one"),
    "lucid_port.optvis.many.contact_sheet": ("contact_sheet",),
    "lucid_port.optvis.objectives.from_text": ("text_objective",),
}
"""Functions outside the public modules whose arguments users give in texts and options."""


def targets() -> list[Target]:
    """The public functions, classes and methods, and `DOCUMENTED`, each once, sorted by name."""
    found: dict[types.CodeType, Target] = {}
    for module_name, names in {**dict.fromkeys(public_api.modules()), **DOCUMENTED}.items():
        module = importlib.import_module(module_name)
        for name in public_api.names_of(module) if names is None else names:
            thing = getattr(module, name)
            for target in _targets_of(f"{module_name}.{name}", thing):
                if target.takes_arguments and not ENGINE.search(target.name):
                    found.setdefault(target.code, target)
    return sorted(found.values(), key=lambda target: target.name)


def _targets_of(name: str, thing: Any) -> Iterator[Target]:
    home = sys.modules.get(getattr(thing, "__module__", None) or "")
    if home is None or not str(getattr(home, "__file__", "")).startswith(OWN):
        return
    others = tuple(doc for doc in map(inspect.getdoc, vars(home).values()) if doc)
    own = inspect.getdoc(thing) or ""
    if inspect.isclass(thing):
        if issubclass(thing, BaseException) or getattr(thing, "_is_protocol", False):
            return
        code = _code(vars(thing).get("__init__"))
        if code is not None and not _is_record(thing):
            yield Target(name, thing, code, (own, *others), home)
        for key, member in vars(thing).items():
            code = _code(member)
            if code is not None and not key.startswith("_") and isinstance(member, types.FunctionType):
                yield Target(f"{name}.{key}", member, code, (inspect.getdoc(member) or "", own, *others), home, True)
    elif callable(thing):
        code = _code(thing)
        if code is not None:
            yield Target(name, thing, code, (own, *others), home)


def _is_record(kind: type) -> bool:
    """Whether a class only holds results, which may be NaN."""
    of_recipe = kind.__module__.startswith(public_api.RECIPES) and kind.__name__ != "Networks"
    return dataclasses.is_dataclass(kind) and (of_recipe or kind.__name__ == "UnitRender")


def _code(thing: Any) -> types.CodeType | None:
    code = getattr(inspect.unwrap(thing), "__code__", None) if callable(thing) else None
    return code if isinstance(code, types.CodeType) else None


# Valid calls -------------------------------------------------------------------------------------

Call = dict[str, Any]
"""Argument values by parameter, in order; those of `*args` are a tuple, those of `**kwargs` a dict."""


class _Seen(BaseException):
    """Ends an example after the call that was looked for."""


def valid_call(target: Target) -> Call | None:
    """The arguments of the first call of a target in its examples; None if no example calls it."""
    for text in dict.fromkeys(
        (*CALLS.get(target.name, ()), *target.examples[:2], *(doc for doc in target.examples if _mentions(doc, target)))
    ):
        found = _called(target, text)
        if found is not None:
            return found
    return None


def _mentions(text: str, target: Target) -> bool:
    return ">>>" in text and target.name.rpartition(".")[2] in text


def _called(target: Target, text: str) -> Call | None:
    found: list[Call] = []

    def watch(frame: types.FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code is target.code and not found:
            names, var, keywords, values = inspect.getargvalues(frame)
            kinds = (*names, *(() if var is None else (var,)), *(() if keywords is None else (keywords,)))
            found.append({name: values[name] for name in kinds})

    scope = dict(vars(target.module))
    for example in doctest.DocTestParser().get_examples(text):
        try:
            compiled = compile(example.source, EXAMPLE, "single")
            sys.setprofile(watch)
            exec(compiled, scope)
        except Exception:
            pass  # examples show errors, too
        finally:
            sys.setprofile(None)
        if found:
            return found[0]
    return None


def parameters(target: Target, call: Call) -> list[str]:
    """The parameters of a valid call that a case may replace."""
    names = list(call)[int(target.method or target.is_class) :]
    code, flags = target.code, target.code.co_flags
    last = len(call) - bool(flags & inspect.CO_VARKEYWORDS) - bool(flags & inspect.CO_VARARGS)
    named = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount][:last])
    return [name for name in names if name in named]


def perform(target: Target, call: Call) -> None:
    """Calls a target; starts generators, enters contexts and makes the images of parameterizations."""
    code = target.code
    names = list(call)[1:] if target.is_class else list(call)
    keywords = set(code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount])
    positional = set(code.co_varnames[: code.co_argcount])
    args = [call[name] for name in names if name in positional]
    kwargs = {name: call[name] for name in names if name in keywords}
    for name in names:
        if name not in positional and name not in keywords:
            kwargs.update(call[name]) if isinstance(call[name], dict) else args.extend(call[name])
    result = target.function(*args, **kwargs)
    if isinstance(result, contextlib.AbstractContextManager) and hasattr(result, "gen"):
        with result:
            pass
    elif inspect.isgenerator(result):
        list(islice(result, 3))
    elif isinstance(result, _parameterization()):
        result.numpy() if hasattr(result, "numpy") else result()


def _parameterization() -> type:
    from lucid_port.optvis.param import Parameterization

    return Parameterization


# Outcomes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """The end of a case: `kind` is "answer", "sentence", "raw", "silent", "too long" or "ended"."""

    target: str
    case: str
    kind: str
    message: str = ""

    @property
    def failed(self) -> bool:
        return self.kind not in ("answer", "sentence")


class _TooLong(BaseException):
    pass


def judge(target: Target, call: Call, case: str) -> Outcome:
    """Performs a call and says how it ended."""

    def late(*_: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        perform(target, call)
        wrong = accepted(target, call)
        return Outcome(target.name, case, "silent" if wrong else "answer", wrong)
    except _TooLong:
        return Outcome(target.name, case, "too long", f"over {SECONDS:.0f} s")
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        message = f"{type(error).__name__}: {str(error)[:300]}"
        if _is_of_example(error):
            return Outcome(target.name, case, "answer", f"a function of the caller raised {message}")
        return Outcome(target.name, case, "sentence" if is_sentence(error) else "raw", f"{message} ({_place(error)})")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def accepted(target: Target, call: Call) -> str:
    """What is wrong with the first argument whose type is not that of its annotation; empty if all are right."""
    function = target.function.__init__ if target.is_class else target.function
    for name, rule in rules_of(inspect.unwrap(function)).items():
        try:
            if name in call and not isinstance(call[name], Iterator):  # the call has consumed an iterator
                rule.take(call[name], name)
        except TypeError as error:
            return str(error)
        except ValueError:
            pass
    return ""


def is_sentence(error: BaseException) -> bool:
    """Whether a `raise` statement of the project made an error, with one line of text, or the system names a file."""
    last = _last(error)
    if isinstance(error, OSError) and error.filename:  # the system names the file and the reason
        return True
    if last is None or not isinstance(error, Exception) or not str(error).strip() or "\n" in str(error).strip():
        return False
    code = last.tb_frame.f_code
    raised = code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raised and code.co_filename.startswith(OWN)


def _is_of_example(error: BaseException) -> bool:
    """Whether a function of the example raised an error, which the project's code hands on."""
    last = _last(error)
    return isinstance(error, Exception) and last is not None and last.tb_frame.f_code.co_filename == EXAMPLE


def _last(error: BaseException) -> types.TracebackType | None:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last


def _place(error: BaseException) -> str:
    """The last line of the project that an error passed through."""
    place, step = "", error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if file.startswith(OWN):
            place = f"{Path(file).name}:{step.tb_lineno}"
        step = step.tb_next
    return place


# Cases -------------------------------------------------------------------------------------------


def cases(seed: int, count: int, names: Sequence[str]) -> dict[str, list[random.Random]]:
    """How often each target is called, as one source of random numbers for each case."""
    draw = random.Random(seed)
    order = (
        [names[number % len(names)] for number in range(count)] if count >= len(names) else draw.sample(names, count)
    )
    found: dict[str, list[random.Random]] = {}
    for number, name in enumerate(order):
        found.setdefault(name, []).append(random.Random(f"{seed}/{number}/{name}"))
    return found


def malformed(target: Target, call: Call, draw: random.Random) -> tuple[Call, str]:
    """A valid call with one argument replaced, or two, and a description of it."""
    names = parameters(target, call)
    chosen = draw.sample(names, min(len(names), draw.choice((1, 1, 1, 2))))
    changed, words = dict(call), []
    for name in chosen:
        value = draw.choice([one for one in VALUES if not (name in UNBOUNDED and one in HUGE)])
        changed[name] = VALUES[value]()
        words.append(f"{name} is {value}")
    return changed, ", ".join(words)


def outcomes(
    chosen: Iterable[tuple[Target, Sequence[random.Random]]], starts: Callable[[str], None]
) -> Iterator[Outcome]:
    """The outcomes of cases, in this process; `starts` is told of each before it starts."""
    for target, draws in chosen:
        starts(target.name)
        call = valid_call(target)
        if call is None or not parameters(target, call):
            yield Outcome(target.name, "", "unknown", "no example calls it: add a call to CALLS")
            continue
        for draw in draws:
            changed, words = malformed(target, call, draw)
            starts(f"{target.name}: {words}")
            yield judge(target, changed, words)


# Child and parent --------------------------------------------------------------------------------


def _child(path: Path, seed: int, count: int, only: Sequence[str], skip: int) -> None:
    """Appends an outcome for each case to a file, and the name of each case before it starts."""
    import resource

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    every = {target.name: target for target in targets() if not only or any(one in target.name for one in only)}
    _limit_memory(resource)
    with path.open("a", encoding="utf-8") as file, tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):

        def write(**line: Any) -> None:
            print(json.dumps(line), file=file, flush=True)

        chosen = [(every[name], draws) for name, draws in cases(seed, count, list(every)).items()]
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            for outcome in outcomes(chosen[skip:], lambda name: write(starts=name)):
                write(**asdict(outcome))
                quiet.truncate(0)
        write(done=True)


def _limit_memory(resource: Any) -> None:
    used = sum(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        if line.startswith("VmData")
    )
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, hard))


def run(count: int, seed: int, only: Sequence[str] = ()) -> list[Outcome]:
    """Runs cases in children: one that ends, or is ended, is replaced by the next after the case."""
    with tempfile.TemporaryDirectory() as folder:
        path, skip = Path(folder) / "outcomes", 0
        while True:
            command = [sys.executable, "-m", "parity_tests.malformed_calls", "--child", str(path)]
            command += ["--count", str(count), "--seed", str(seed), "--skip", str(skip)]
            process = subprocess.Popen([*command, *(f"--only={one}" for one in only)], env={**os.environ, **_OFFLINE})
            _wait(process, path)
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if lines[-1].get("done"):
                return [Outcome(**line) for line in lines if "kind" in line]
            started = [line["starts"] for line in lines if "starts" in line]
            lost = {"target": started[-1].partition(": ")[0], "case": started[-1].partition(": ")[2]}
            with path.open("a", encoding="utf-8") as file:
                print(json.dumps({**lost, "kind": "ended", "message": f"exit status {process.returncode}"}), file=file)
            skip = len({name for name in started if ": " not in name})


_OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}


def _wait(process: subprocess.Popen[bytes], path: Path) -> None:
    """Waits for a child, and ends it when it writes nothing for `HARD_SECONDS`."""
    size = -1
    while process.poll() is None:
        now = path.stat().st_size if path.exists() else 0
        if now == size:
            process.kill()
            process.wait()
            return
        size = now
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(HARD_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m parity_tests.malformed_calls", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="calls in all (500)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (0)")
    parser.add_argument("--only", action="append", default=[], help="only callables with this text in their name")
    parser.add_argument("--show", action="store_true", help="print every case")
    parser.add_argument("--record", type=Path, help="JSON file to write the numbers to, by seed")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--skip", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _child(arguments.child, arguments.seed, arguments.count, arguments.only, arguments.skip)
        return 0
    found = run(arguments.count, arguments.seed, arguments.only)
    for outcome in found:
        if outcome.failed or arguments.show:
            print(f"{outcome.target}: {outcome.case}: {outcome.kind}: {outcome.message}")
    print(", ".join(f"{number} {kind}" for kind, number in Counter(outcome.kind for outcome in found).items()))
    if arguments.record:
        record(found, arguments.seed, arguments.record)
    return int(any(outcome.failed for outcome in found))


def record(found: Sequence[Outcome], seed: int, path: Path) -> None:
    """Writes the numbers of a seed to a file, beside those of other seeds."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kinds = Counter(outcome.kind for outcome in found)
    known[str(seed)] = {"calls": len(found), "callables": len({outcome.target for outcome in found}), **kinds}
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
