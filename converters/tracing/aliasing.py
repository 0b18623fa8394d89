"""Finds in-place changes and aliases in torch.fx graphs, ReLUs, and numbers of channels.

If node A changes a value in place and node B reads the value afterwards, then B depends on A, although A is not among
the arguments of B.
"""

from __future__ import annotations

import inspect
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from converters.tracing.naming import plain_name


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _modules(names: str) -> tuple[type[nn.Module], ...]:
    return tuple(getattr(nn, name) for name in names.split())


_SHARING_MODULES = _modules(
    """Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout Flatten Unflatten"""
)
_SHARING_CALLS = _names(
    """adjoint alpha_dropout as_strided atleast_1d atleast_2d atleast_3d bfloat16 broadcast_tensors broadcast_to chunk
    contiguous cpu cuda detach diagonal double dropout dropout1d dropout2d dropout3d dsplit expand expand_as
    feature_alpha_dropout flatten float getattr getitem half hsplit imag movedim moveaxis narrow permute pin_memory
    positive ravel real reshape reshape_as resolve_conj select split split_with_sizes squeeze stochastic_depth swapaxes
    swapdims t tensor_split to transpose type type_as unbind unflatten unfold unsqueeze view view_as view_as_complex
    view_as_real vsplit"""
)
_SIZES = _names(
    """data_ptr dim element_size get_device is_complex is_contiguous is_floating_point ndimension numel size
    storage_offset stride"""
)
_PROPERTIES = _names("device dtype is_cuda itemsize layout ndim shape")

_RELUS: Mapping[Any, str] = {
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, F.relu_, "relu", "relu_"), "Relu"),
    **dict.fromkeys((F.relu6, torch._C._nn.relu6), "Relu6"),
}
_RELU_MODULES: Mapping[type[nn.Module], str] = {nn.ReLU: "Relu", nn.ReLU6: "Relu6"}


def call_name(node: fx.Node) -> str:
    """Returns the name of the function or method that a node calls; `x += y` is called "add", as `x + y` is."""
    if isinstance(node.target, str):
        return node.target
    name = getattr(node.target, "__name__", type(node.target).__name__)
    return plain_name(name) if _is_augmented(node.target) else name


def called_module(node: fx.Node, root: nn.Module) -> nn.Module | None:
    """Returns the module that a node calls, or None if it calls none."""
    return root.get_submodule(str(node.target)) if node.op == "call_module" else None


def relu_kind(node: fx.Node, root: nn.Module) -> str | None:
    """Returns "Relu" or "Relu6" if a node computes it (as module, function or method, in place or not), else None."""
    module = called_module(node, root)
    if module is not None:
        if type(module) is nn.Hardtanh:
            return "Relu6" if (module.min_val, module.max_val) == (0, 6) else None
        return _RELU_MODULES.get(type(module))
    if node.target in (F.hardtanh, F.hardtanh_):
        call = _arguments(node)
        return "Relu6" if (call.get("min_val", -1.0), call.get("max_val", 1.0)) == (0, 6) else None
    return _RELUS.get(node.target) if node.op in ("call_function", "call_method") else None


def is_opaque(node: fx.Node, root: nn.Module) -> bool:
    """Returns whether a node runs unknown code, which may contain ReLUs and in-place changes."""
    module = called_module(node, root)
    if module is not None:
        kind = type(module)
        own = kind.__module__.startswith("torch.nn.modules.") and "forward" not in module.__dict__
        return not own or (kind is not nn.MultiheadAttention and next(module.children(), None) is not None)
    return node.op == "call_function" and not (_is_torchs(node.target) or _is_pythons(node.target))


def changed_in_place(node: fx.Node, root: nn.Module) -> tuple[fx.Node, ...]:
    """Returns the values that a node overwrites. Modules overwrite their input if their attribute `inplace` is true."""
    written = node.kwargs.get("out")
    first = node.args[0] if node.args else node.kwargs.get("input")
    changes = _works_in_place(node, root)
    return tuple(value for value in (written, first if changes else None) if isinstance(value, fx.Node))


def shared_with(node: fx.Node, root: nn.Module) -> Sequence[fx.Node]:
    """Returns the inputs of a node that its output may alias: as a view, or as the same tensor."""
    if is_opaque(node, root):
        return node.all_input_nodes
    module = called_module(node, root)
    if _works_in_place(node, root):
        return changed_in_place(node, root) or node.all_input_nodes
    shares = isinstance(module, _SHARING_MODULES) if module is not None else call_name(node) in _SHARING_CALLS
    return node.all_input_nodes if shares else ()


@dataclass(frozen=True)
class Changes:
    """The in-place changes and aliases of a graph.

    Attributes:
        before: node -> the earlier nodes that changed its inputs in place.
        seen: nodes that change memory in place, and whose change later nodes read through a value older than it.
        memory: node -> the nodes whose memory its value may alias, including itself.
        written: node -> the nodes whose memory it overwrites.
        exposed: node -> the nodes whose memory it may overwrite. For a node that runs unknown code, this is the
            memory of all its inputs; for other nodes it is the same as `written`.
    """

    before: Mapping[fx.Node, set[fx.Node]]
    seen: set[fx.Node]
    memory: Mapping[fx.Node, frozenset[fx.Node]]
    written: Mapping[fx.Node, frozenset[fx.Node]]
    exposed: Mapping[fx.Node, frozenset[fx.Node]]


def find_changes(nodes: Iterable[fx.Node], root: nn.Module) -> Changes:
    """Finds the in-place changes of a graph.

    Args:
        nodes: nodes of the graph, in its order.
        root: the module whose submodules they call.
    """
    position: dict[fx.Node, int] = {}
    memory: dict[fx.Node, frozenset[fx.Node]] = {}
    written: dict[fx.Node, frozenset[fx.Node]] = {}
    exposed: dict[fx.Node, frozenset[fx.Node]] = {}
    writers: defaultdict[fx.Node, set[fx.Node]] = defaultdict(set)
    before: dict[fx.Node, set[fx.Node]] = {}
    seen: set[fx.Node] = set()
    for index, node in enumerate(nodes):
        position[node], before[node] = index, set()
        for source in node.all_input_nodes:
            changes = set().union(*(writers[place] for place in memory[source]))
            before[node] |= changes
            seen |= {change for change in changes if position[source] < position[change]}
        memory[node] = _joined(memory, shared_with(node, root)) | {node}
        written[node] = _joined(memory, changed_in_place(node, root))
        exposed[node] = _joined(memory, node.all_input_nodes) if is_opaque(node, root) else written[node]
        for place in written[node]:
            writers[place].add(node)
    return Changes(before, seen, memory, written, exposed)


def no_tensors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """Returns the nodes whose value cannot be a tensor: sizes, arithmetic on sizes, and assertions."""
    found: set[fx.Node] = set()
    for node in nodes:
        sources = node.all_input_nodes
        is_property = node.target is getattr and node.args[1] in _PROPERTIES
        computes = node.op == "call_function" and _is_pythons(node.target) and bool(sources)
        is_call = node.op in ("call_function", "call_method")
        is_size = is_call and (call_name(node) in _SIZES or node.target is torch._assert)
        if is_property or is_size or (computes and found.issuperset(sources)):
            found.add(node)
    return found


def channels(nodes: Iterable[fx.Node], root: nn.Module) -> dict[fx.Node, int | None]:
    """Returns the number of channels of each node's value; None if it is known only at run time.

    Modules state the number (`out_channels`, `out_features`, `num_features`); elementwise functions and pools keep it.
    """
    found: dict[fx.Node, int | None] = {}
    for node in nodes:
        before = [found[source] for source in node.all_input_nodes]
        module = called_module(node, root)
        if module is None:
            rule = _CHANNEL_RULES.get(call_name(node))
            found[node] = None if rule is None else rule(node, before)
        else:
            keeps = isinstance(module, _KEEPING_MODULES)
            found[node] = _keep(node, before) if keeps else stated_channels(module)
    return found


def stated_channels(module: nn.Module) -> int | None:
    """Returns the number of channels that a module states for its output, or None."""
    for attribute in ("out_channels", "out_features", "num_features"):
        value = getattr(module, attribute, None)
        if isinstance(value, int):
            return value
    return None


# Channels -------------------------------------------------------------------------------------

Rule = Callable[[fx.Node, Sequence["int | None"]], "int | None"]

_KEEPING_MODULES = _modules(
    """Identity ReLU Hardtanh LeakyReLU ELU SELU GELU SiLU Mish Sigmoid Tanh Hardswish Hardsigmoid Softplus
    PReLU Softmax Dropout Dropout2d MaxPool2d AvgPool2d AdaptiveAvgPool2d AdaptiveMaxPool2d LocalResponseNorm
    GroupNorm Upsample"""
)


def _keep(node: fx.Node, before: Sequence[int | None]) -> int | None:
    """Returns the number of channels of the inputs if it is the same for all, else None."""
    return before[0] if before and len(set(before)) == 1 else None


def _concatenated(node: fx.Node, before: Sequence[int | None]) -> int | None:
    axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    sizes = [size for size in before if size is not None]
    listed = node.args[0] if node.args else node.kwargs.get("tensors")
    complete = isinstance(listed, (list, tuple)) and len(listed) == len(sizes) == len(before)
    return sum(sizes) if axis == 1 and complete else None


_CHANNEL_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        _names(
            """adaptive_avg_pool2d adaptive_max_pool2d add avg_pool2d batch_norm clamp clone contiguous dropout elu gelu
            hardsigmoid hardswish hardtanh interpolate leaky_relu local_response_norm max_pool2d mish mul relu relu6
            relu_ selu sigmoid silu softplus sub tanh truediv"""
        ),
        _keep,
    ),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenated),
}


# Helpers --------------------------------------------------------------------------------------


def _joined(memory: Mapping[fx.Node, frozenset[fx.Node]], nodes: Iterable[fx.Node]) -> frozenset[fx.Node]:
    return frozenset[fx.Node]().union(*(memory[node] for node in nodes))


def _works_in_place(node: fx.Node, root: nn.Module) -> bool:
    module = called_module(node, root)
    if module is not None:
        return getattr(module, "inplace", False) is True
    if node.op not in ("call_function", "call_method"):
        return False
    if _is_pythons(node.target):
        return node.target is operator.setitem or _is_augmented(node.target)
    name = call_name(node)
    if name.endswith("__"):
        return name == "__setitem__" or plain_name(name.strip("_")) != name.strip("_")
    if name.endswith("_"):
        return True
    return _arguments(node).get("inplace", False) is not False


def _is_augmented(target: object) -> bool:
    """Returns whether a function of `operator` is an augmented assignment, such as `iadd` for +=."""
    name = getattr(target, "__name__", "")
    return name.startswith("i") and hasattr(operator, f"__{name}__") and hasattr(operator, name[1:].rstrip("_"))


def _arguments(node: fx.Node) -> Mapping[str, Any]:
    """Returns the arguments of a call by name. Positional ones are left out if the function has no signature."""
    if node.op != "call_function" or not inspect.isfunction(node.target):
        return node.kwargs
    try:
        return inspect.signature(node.target).bind_partial(*node.args, **node.kwargs).arguments
    except TypeError:  # torch reports wrong arguments when the graph runs
        return node.kwargs


def _is_pythons(function: object) -> bool:
    """Returns whether a function is a builtin, an operator, or from `math`."""
    return getattr(function, "__module__", None) in ("_operator", "math", "builtins")


def _is_torchs(function: object) -> bool:
    """Returns whether a function belongs to torch or torchvision.ops; these functions contain no ReLU."""
    home = getattr(function, "__module__", None) or ""
    is_builtin = not inspect.isfunction(function) and not home
    return is_builtin or home == "torch" or home.startswith(("torch.", "torchvision.ops."))
