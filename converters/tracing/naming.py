"""Names of the values of a torch network: paths of modules, and names of the functions between them.

The same rule names the values of a traced network and those of a running one: the first value of a module has the
module's path, and the first call of a function inside of the module at `path` is `path.function`. Further ones end in
`_1`, `_2` and so on. Functions have the names that `torch.fx` gives them.
"""

from __future__ import annotations

import dis
import functools
import operator
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from types import CodeType, FrameType

OUTPUT = "output"


class Numbering:
    """Gives each value of one pass a unique name.

    Args:
        modules: the paths of all modules; no function gets one of these names.

    Example:
        >>> numbering = Numbering({"conv", "relu"})
        >>> [numbering.name("conv", "conv"), numbering.name("add"), numbering.name("add"), numbering.name("relu")]
        ['conv', 'add', 'add_1', 'relu_1']
    """

    def __init__(self, modules: Collection[str]) -> None:
        self._modules = modules
        self._found: set[str] = set()
        self._runs: Counter[str] = Counter()

    def name(self, base: str, path: str = "") -> str:
        """Returns the name of the next value.

        Args:
            base: the path of the module that returned it, or `path.function`.
            path: the path of the module that returned it; empty for functions.
        """
        name = base
        while name in self._found or (name in self._modules and name != path):
            self._runs[base] += 1
            name = f"{base}_{self._runs[base]}"
        self._found.add(name)
        return name


def output_name(modules: Collection[str]) -> str:
    """Returns the layer name of the value that a network returns: "output", numbered if a module is called so."""
    return Numbering(modules).name(OUTPUT)


def plain_name(name: str) -> str:
    """Returns the name of a function of `operator` for its augmented assignment, and other names unchanged.

    Example:
        >>> plain_name("iadd"), plain_name("itruediv"), plain_name("interpolate")
        ('add', 'truediv', 'interpolate')
    """
    if not (name.startswith("i") and hasattr(operator, f"__{name}__")):
        return name
    plain = getattr(operator, f"__{name[1:].rstrip('_')}__", None)
    return name if plain is None else plain.__name__


def function_name(function: Callable[..., object], frame: FrameType | None) -> str:
    """Returns the name that `torch.fx` gives a call.

    Args:
        function: the function as a `TorchFunctionMode` gets it.
        frame: the frame of the caller; tells `x / y` from `x.div(y)`, which are the same function.
    """
    schema = getattr(function, "_schema", None)
    packet = getattr(function, "_qualified_op_name", "")
    if schema is not None or packet:  # operators of `torch.ops`
        return str(getattr(schema, "name", packet)).rpartition("::")[2]
    name = str(getattr(function, "__name__", type(function).__name__))
    if name == "__get__":
        return "getattr"
    if name.startswith("__") and name.endswith("__"):
        return _operator_name(name)
    if name in _OPERATORS and frame is not None and _is_operator(frame):
        return _OPERATORS[name]
    return name


_OPERATORS = {
    "div": "truediv",
    "remainder": "mod",
    **{f"{name}_": name for name in ("add", "sub", "mul", "pow", "matmul")},
    "div_": "truediv",
    "floor_divide_": "floordiv",
    "remainder_": "mod",
    "bitwise_and_": "and_",
    "bitwise_or_": "or_",
    "bitwise_xor_": "xor",
}


def _operator_name(name: str) -> str:
    """Returns the name in `operator` of a special method, without its reflected or augmented form.

    Example:
        >>> [_operator_name(name) for name in ("__getitem__", "__rsub__", "__iand__", "__rdiv__")]
        ['getitem', 'sub', 'and_', 'truediv']
    """
    bare = name[2:-2]
    for known in (bare[1:] if bare[:1] in ("r", "i") else bare, bare):
        known = "truediv" if known == "div" else known
        function = getattr(operator, f"__{known}__", None)
        if function is not None:
            return str(function.__name__)
    return name


def _is_operator(frame: FrameType) -> bool:
    """Returns whether the current instruction of a frame is an operator or an augmented assignment."""
    if frame.f_lasti < 0:
        return False
    return dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith(("BINARY_", "INPLACE_"))


def unpacked(frame: FrameType | None) -> Sequence[int]:
    """Returns the indices of a call's result that its caller takes right away: `a, b = call()`, or `call()[1]`.

    `torch.fx` gives each of these elements a name.

    Args:
        frame: a frame that is in the call; frames of torch itself are skipped.
    """
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "torch":
        frame = frame.f_back
    return () if frame is None else _unpackings(frame.f_code).get(frame.f_lasti, ())


@functools.lru_cache(maxsize=1024)
def _unpackings(code: CodeType) -> dict[int, Sequence[int]]:
    """Returns offset of an instruction -> indices that the instructions after it take of its result."""
    steps = list(dis.get_instructions(code))
    found: dict[int, Sequence[int]] = {}
    for step, after, last in zip(steps, steps[1:], [*steps[2:], None], strict=False):
        if after.opname == "UNPACK_SEQUENCE":
            found[step.offset] = range(int(after.arg or 0))
        elif after.opname == "LOAD_CONST" and isinstance(after.argval, int) and _is_index(last):
            found[step.offset] = (after.argval,)
    return found


def _is_index(step: dis.Instruction | None) -> bool:
    return step is not None and (step.opname == "BINARY_SUBSCR" or step.argrepr == "[]")
