"""The converters' errors; each message is one sentence on one line."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence


class ConverterError(Exception):
    """Base class of the converters' errors; the message is one printable line, even if it quotes a damaged file."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class GraphError(ConverterError, ValueError):
    """The source is not a frozen graph that can be converted."""


class UnsupportedOpsError(GraphError):
    """The graph has ops that cannot be converted.

    Args:
        ops: op type -> names of the nodes of this type.
        more: a sentence of advice, after a space.

    Attributes:
        ops: the argument.

    Example:
        >>> str(UnsupportedOpsError({"Frobnicate": ["a", "b"]}))
        'The graph has ops that cannot be converted: Frobnicate (a, b).'
    """

    def __init__(self, ops: dict[str, list[str]], more: str = "") -> None:
        self.ops = ops
        listing = "; ".join(f"{op} ({_some(names)})" for op, names in sorted(ops.items()))
        super().__init__(f"The graph has ops that cannot be converted: {listing}.{more}")


class UnsupportedNodeError(GraphError):
    """A node cannot be converted in this form; the nodes that do not depend on it convert without it."""


class UndecidedError(GraphError):
    """Part of the graph depends on a value that has to be set first, such as `is_training`."""


class TrainingModeError(UndecidedError):
    """A node trains or drops values at random.

    Attributes:
        dtype, value: dtype of the placeholders that may turn this off, and the value that does so.
        advice: what to do to the graph if it has no such placeholder.
    """

    def __init__(self, message: str, dtype: str, value: str, advice: str = "freeze") -> None:
        super().__init__(message)
        self.dtype, self.value, self.advice = dtype, value, advice


class LayerNotFoundError(ConverterError, KeyError):
    """The model has no layer of this name; the message suggests similar names.

    Example:
        >>> str(LayerNotFoundError("mixd4a", ["mixed4a", "head0"]))
        "No layer is called 'mixd4a'. Did you mean mixed4a?"
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"No layer is called {name!r}.{nearest_names(name, known)}")

    def __str__(self) -> str:  # KeyError shows the repr of its argument
        return one_line(str(self.args[0]))


class LayerLeftOutError(LayerNotFoundError):
    """The layer is part of the source, but was left out of the network; the message says why.

    Example:
        >>> str(LayerLeftOutError("boxes", "the op TopKV2 of 'top' cannot be converted"))
        "Layer 'boxes' was left out, because the op TopKV2 of 'top' cannot be converted."
    """

    def __init__(self, name: str, reason: str) -> None:
        KeyError.__init__(self, f"Layer {name!r} was left out, because {reason}.")


class ChannelAxisError(ConverterError, ValueError):
    """The channel axis of a layer is not known; the message says how to state it."""


class InputSizeError(ConverterError, ValueError):
    """A layer cannot be computed at this input size; TensorFlow refuses this size, too."""


class UnsupportedRequestError(ConverterError, ValueError):
    """A network does not support the channels or the ReLU rule of a request; nothing was computed."""


class MissingPackageError(ConverterError, ImportError):
    """An optional package is not installed; the message says how to install it."""


class TensorFlowMissingError(ConverterError, RuntimeError):
    """TensorFlow is not installed, and these weights can only be read with it."""


class SaveError(ConverterError, OSError):
    """A model could not be written; no partial files remain."""


def op_reason(op: str, node: str) -> str:
    """Returns the reason, as a clause, for which a node of an unsupported op is left out, and all nodes behind it."""
    return f"the op {op} of {node!r} cannot be converted"


def not_needed(outputs: Sequence[str]) -> str:
    """Returns the reason, as a clause, for which a layer is left out that none of the wanted outputs depends on."""
    shown = ", ".join(outputs[:3]) + (", ..." if len(outputs) > 3 else "")
    return f"the outputs that were asked for ({shown}) do not depend on it"


def clause(error: Exception) -> str:
    """Returns an error's message as a clause, to follow "because"."""
    text = reason(error)
    return text[:1].lower() + text[1:]


def left_out_sentence(left_out: Mapping[str, str], limit: int = 3) -> str:
    """Returns one sentence about the layers that were left out of a network; empty if there are none.

    Args:
        left_out: name of a layer -> the reason, as a clause.
        limit: largest number of reasons to quote.

    Example:
        >>> reason = "the op TopKV2 of 'top' cannot be converted"
        >>> left_out_sentence({"top": reason, "boxes": reason})
        "Left out: 2 layers (top, boxes), because the op TopKV2 of 'top' cannot be converted."
    """
    if not left_out:
        return ""
    groups = []
    for why, count in Counter(left_out.values()).most_common():
        names = [name for name, other in left_out.items() if other == why]
        groups.append(f"{count} layer{'s' * (count > 1)} ({_some(names, 3)}), because {why}")
    more = f"; and {len(groups) - limit} more reasons" if len(groups) > limit else ""
    return one_line(f"Left out: {'; '.join(groups[:limit])}{more}.")


def require_supported(nodes: Iterable[tuple[str, str]], supported: Container[str]) -> None:
    """Checks that every op can be converted.

    Args:
        nodes: (name, op type) of each node.
        supported: the op types that can be converted.

    Raises:
        UnsupportedOpsError: lists every other op type and its nodes.
    """
    missing: dict[str, list[str]] = {}
    for name, op in nodes:
        if op not in supported:
            missing.setdefault(op, []).append(name)
    if missing:
        raise UnsupportedOpsError(missing)


_LEAST = 0.75
"""Share of a name that its start has, so that the rest is a suffix: "mixed4a" is too little of "mixed4a_prerelu"."""


def nearest_names(name: str, known: Iterable[str], limit: int = 5) -> str:
    """Returns " Did you mean A, B?" with the known names closest to `name`, or "" if none is close.

    The longest name that `name` starts with comes first: other libraries append a suffix to the same layer's name.
    """
    known = list(known)
    wanted = name.lower()
    starts = sorted((k for k in known if len(k) >= _LEAST * len(wanted) and wanted.startswith(k.lower())), key=len)[-1:]
    close = difflib.get_close_matches(wanted, [k.lower() for k in known], n=limit, cutoff=0.5)
    contain = [k for k in known if wanted and wanted in k.lower()]
    ranked = [k for k in known if k.lower() in close]
    ranked.sort(key=lambda k: close.index(k.lower()))
    offered = list(dict.fromkeys([*starts, *ranked, *contain]))[:limit]
    return f" Did you mean {_some(offered, limit)}?" if offered else ""


def one_line(text: str, length: int = 1500) -> str:
    """Returns the text as one line of at most `length` characters, with unprintable characters escaped."""
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return plain if len(plain) <= length else plain[: length - 4] + " ..."


def _some(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def reason(error: BaseException) -> str:
    """Returns an error's message on one line of at most 300 characters, without a period at its end."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
