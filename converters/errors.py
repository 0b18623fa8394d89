"""The converters' errors; each message is one sentence on one line."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Sequence


class ConverterError(Exception):
    """Base class of the converters' errors; the message is one printable line, even if it quotes a damaged file."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class GraphError(ConverterError, ValueError):
    """The source is not a frozen graph that can be converted."""


class UnsupportedOpsError(GraphError):
    """The graph has ops that cannot be converted.

    Attributes:
        ops: op type -> names of the nodes of this type.

    Example:
        >>> str(UnsupportedOpsError({"Frobnicate": ["a", "b"]}))
        'The graph has ops that cannot be converted: Frobnicate (a, b).'
    """

    def __init__(self, ops: dict[str, list[str]]) -> None:
        self.ops = ops
        listing = "; ".join(f"{op} ({_some(names)})" for op, names in sorted(ops.items()))
        super().__init__(f"The graph has ops that cannot be converted: {listing}.")


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


def nearest_names(name: str, known: Iterable[str], limit: int = 5) -> str:
    """Returns " Did you mean A, B?" with the known names closest to `name`, or "" if none is close."""
    known = list(known)
    wanted = name.lower()
    close = difflib.get_close_matches(wanted, [k.lower() for k in known], n=limit, cutoff=0.5)
    contain = [k for k in known if wanted and wanted in k.lower()]
    ranked = [k for k in known if k.lower() in close]
    ranked.sort(key=lambda k: close.index(k.lower()))
    offered = list(dict.fromkeys([*ranked, *contain]))[:limit]
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
