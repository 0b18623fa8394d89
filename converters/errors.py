"""What can go wrong between a graph file and a PyTorch model, each with one clear sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ConverterError(Exception):
    """Base of every error that the converters raise about their input: one line, whatever a file put into it."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class GraphError(ConverterError, ValueError):
    """The source is not a usable frozen graph."""


class UnsupportedOpsError(GraphError):
    """The graph has ops that the registry lacks.

    Attributes:
        ops: TensorFlow op type -> names of the nodes that have it.
    """

    def __init__(self, ops: dict[str, list[str]]) -> None:
        self.ops = ops
        listing = "; ".join(f"{op} ({_some(names)})" for op, names in sorted(ops.items()))
        newer = any(" of opset " in op for op in ops)
        advice = (
            " Exporting it again with a lower opset helps (opset_version=17 in torch.onnx.export)." if newer else ""
        )
        super().__init__(f"The graph has ops that cannot be converted: {listing}.{advice}")


class LayerNotFoundError(ConverterError, KeyError):
    """No layer answers to that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"No layer is called {name!r}.{nearest_names(name, known)}")

    def __str__(self) -> str:  # KeyError shows the repr of its argument
        return one_line(str(self.args[0]))


class InputSizeError(ConverterError, ValueError):
    """A layer cannot be computed at this input size; TensorFlow refuses it too."""


class MissingPackageError(ConverterError, ImportError):
    """A route needs a package that is not installed; the error says how to install it."""


class TensorFlowMissingError(ConverterError, RuntimeError):
    """Only TensorFlow can read the weights, and there is none."""


class SaveError(ConverterError, OSError):
    """A model could not be written; nothing of it is left behind."""


def nearest_names(name: str, known: Iterable[str], limit: int = 5) -> str:
    """A sentence offering the known names closest to `name`, or nothing if none comes close."""
    known = list(known)
    wanted = name.lower()
    close = difflib.get_close_matches(wanted, [k.lower() for k in known], n=limit, cutoff=0.5)
    contain = [k for k in known if wanted and wanted in k.lower()]
    ranked = [k for k in known if k.lower() in close]
    ranked.sort(key=lambda k: close.index(k.lower()))
    offered = list(dict.fromkeys([*ranked, *contain]))[:limit]
    return f" Did you mean {_some(offered, limit)}?" if offered else ""


def one_line(text: str, length: int = 1500) -> str:
    """A sentence fit for one line, whatever a file put into it."""
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)  # as Python writes them
    return plain if len(plain) <= length else plain[: length - 4] + " ..."


def _some(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def reason(error: BaseException) -> str:
    """Returns an error's message on one line of at most 300 characters, without a period at its end."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
