"""A converted graph as plain data: ordered steps, each of them one layer with its arguments and inputs.

The lowering makes programs. They are saved as JSON, and models are built from them; the tensors are kept apart.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypedDict

from torch import Tensor, nn

from converters import schema
from converters.dependencies import with_dependencies
from converters.errors import GraphError
from converters.frozen.graph import LAYOUTS, NHWC, Output
from converters.layers import LAYERS
from converters.program.validation import check_arguments, check_outputs, is_count, is_outputs
from converters.signatures import checked

State = Mapping[str, Tensor]
"""A model's tensors, by the keys of `nn.Module.state_dict()`."""


def _is_range(value: object) -> bool:
    """Returns whether a value is two numbers, or two rows of numbers."""
    rows = [side if isinstance(side, tuple) else (side,) for side in value] if isinstance(value, tuple) else []
    numbers = [number for row in rows for number in row]
    plain = all(isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    return len(rows) == 2 and bool(numbers) and plain


def _is_image_shape(value: object) -> bool:
    sizes = value if isinstance(value, tuple) else ()
    return len(sizes) == 3 and all(n is None or (isinstance(n, int) and not isinstance(n, bool)) for n in sizes)


_METADATA_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "image_shape": _is_image_shape,
    "image_value_range": _is_range,
    "is_BGR": lambda value: isinstance(value, bool),
}


@checked
@dataclass(frozen=True)
class Metadata:
    """A model's input.

    Attributes:
        input_name: TensorFlow's name of the input.
        image_shape: (height, width, channels); an entry of None accepts any size. None if the shape is unknown.
        image_value_range: (value of black, value of white): two numbers, or two tuples with one number for each channel
            in the input's own channel order. None if it is not known.
        is_BGR: whether the input's channels are blue, green, red.

    Example:
        >>> Metadata("input", image_shape=(224, 224, 3), image_value_range=(-117, 138)).to_json()["image_value_range"]
        (-117, 138)
    """

    input_name: str
    image_shape: tuple[int | None, ...] | None = None
    image_value_range: tuple[Any, Any] | None = None
    is_BGR: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metadata:
        """Reads the metadata from parsed JSON; unknown keys are ignored."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        if not isinstance(known.get("input_name"), str):
            raise GraphError("The model's metadata lack input_name, the name of the input.")
        for key, check in _METADATA_CHECKS.items():
            value = as_tuples(known.get(key))
            if value is not None and not check(value):
                raise GraphError(f"The model's metadata have {key} {value!r}, which is not valid.")
            known[key] = value
        known["is_BGR"] = known["is_BGR"] or False  # None if it is not stated
        return cls(**known)


class _MetadataKeys(TypedDict, total=False):
    input_name: str
    image_shape: Sequence[int | None] | None
    image_value_range: Sequence[float | Sequence[float]] | None
    is_BGR: bool


@dataclass(frozen=True)
class Step:
    """One layer of a program.

    Attributes:
        name: TensorFlow's name of the op.
        op: TensorFlow's op type.
        layer: class name in `layers.LAYERS`.
        arguments: the class's constructor arguments, plain data.
        inputs: the values that the layer reads, in order.
        channels: size of the channel axis of its first output; None if it is not known.
        module: the name of its submodule, an identifier.
        layout: axis order of rank-4 values in TensorFlow. NHWC: tensors are transposed to (N, C, H, W). NCHW: tensors
            have TensorFlow's order.
        outputs: number of outputs; the layer returns a tuple if there are several.
        hidden: whether the step is not an op of the graph, but was inserted to adapt an input (layout, rank, dtype).
    """

    name: str
    op: str
    layer: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Output, ...] = ()
    channels: int | None = None
    module: str = ""
    layout: str = NHWC
    outputs: int = 1
    hidden: bool = False

    def __post_init__(self) -> None:
        check_arguments(self.name, self.layer, self.arguments, len(self.inputs))
        if not (self.channels is None or is_count(self.channels)):
            raise GraphError(f"Layer {self.name!r} has {self.channels!r} channels, more than any image network.")
        if self.layout not in LAYOUTS or not isinstance(self.hidden, bool) or not is_outputs(self.outputs):
            raise GraphError(f"Layer {self.name!r} has an invalid layout, number of outputs, or hidden mark.")
        check_outputs(self.name, self.layer, self.arguments, self.outputs)

    def build(self) -> nn.Module:
        """Makes the step's layer; its tensors are not yet loaded."""
        return LAYERS[self.layer](**self.arguments)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["inputs"] = [str(source) for source in self.inputs]
        defaults = {f.name: f.default for f in fields(self) if f.name in _OPTIONAL}
        return {key: value for key, value in data.items() if key not in defaults or value != defaults[key]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        _check_keys(data, _STEP_KEYS, "A step of the saved model")
        try:
            inputs = tuple(Output.parse(text) for text in data["inputs"])
            arguments = {key: as_tuples(value) for key, value in data["arguments"].items()}
            module, channels = data["module"], data["channels"]
            optional = {key: data[key] for key in _OPTIONAL if key in data}
            names = (data["name"], data["op"], data["layer"])
            step = cls(*names, arguments, inputs, channels, module, **optional)
        except (KeyError, TypeError, AttributeError) as error:
            raise GraphError(f"The saved model's description is damaged: a step lacks a valid {error}.") from error
        if not _is_module_name(module):
            raise GraphError(f"The saved model's layer {step.name!r} has the module name {module!r}.")
        return step


_STEP_KEYS: Mapping[str, Any] = {
    "name": str,
    "op": str,
    "layer": str,
    "arguments": Mapping[str, Any],
    "inputs": Sequence[str],
    "channels": int | None,
    "module": str,
    "layout": str,
    "outputs": int,
    "hidden": bool,
}

# Fields of a step that are written only if they differ from their default. Older files lack them.
_OPTIONAL = ("layout", "outputs", "hidden")


@dataclass(frozen=True)
class Program:
    """Steps in topological order: every value is computed before it is read.

    Attributes:
        metadata: metadata of the input.
        input_channels: number of channels of the input; None accepts any number.
        steps: the layers.
        outputs: names of the graph's outputs: the values that no node reads.
        fingerprint: the source graph's `Graph.fingerprint()`.
        source_sha256: SHA-256 of the source's bytes; None if the source was no file.
        input_layout: the input's axis order in TensorFlow, NHWC or NCHW. Its tensor is (N, C, H, W) in any case.
        fold: whether batch norms and other per-channel layers may be folded into the convolutions before them.
        left_out: name of a node that depends on the input but is no step -> the reason, as a clause.
    """

    metadata: Metadata
    input_channels: int | None
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    fingerprint: str
    source_sha256: str | None = None
    input_layout: str = NHWC
    fold: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        made = {self.metadata.input_name: 1}  # name -> number of outputs
        for step in self.steps:
            unknown = [str(source) for source in step.inputs if source.index >= made.get(source.node, 0)]
            if unknown or step.name in made:
                raise GraphError(f"The program's step {step.name!r} is out of order or occurs twice.")
            made[step.name] = step.outputs
        if len({step.module for step in self.steps}) != len(self.steps):
            raise GraphError("Two layers of the program have one module name.")
        if not self.outputs or not all(isinstance(name, str) for name in self.outputs):
            raise GraphError("The program names no outputs.")
        if not (self.input_channels is None or is_count(self.input_channels)):
            raise GraphError(f"The program's input has {self.input_channels!r} channels.")
        if self.input_layout not in LAYOUTS:
            raise GraphError(f"The program's input has the layout {self.input_layout!r}.")
        if not all(isinstance(text, str) for pair in self.left_out.items() for text in pair):
            raise GraphError("The program's layers that were left out have reasons that are no text.")
        lost = [name for name in self.outputs if Output.parse(name).node not in made]
        if lost:
            raise GraphError(f"The program has no step for its output {lost[0]!r}.")

    def needed(self, names: Iterable[str], sources: Mapping[str, tuple[Output, ...]] | None = None) -> tuple[Step, ...]:
        """Returns the steps that compute some values, in order.

        Args:
            names: names of the values; `name:1` is a step's second output.
            sources: name of a step -> inputs that replace its own.
        """
        inputs = {self.metadata.input_name: (), **{step.name: step.inputs for step in self.steps}}
        inputs.update(sources or {})
        nodes = (name if name in inputs else Output.parse(name).node for name in names)
        found = with_dependencies(nodes, lambda node: (source.node for source in inputs[node]))
        return tuple(step for step in self.steps if step.name in found)

    def from_source(self, sha256: str) -> Program:
        """Returns the program with the SHA-256 of the file that it came from."""
        return replace(self, source_sha256=sha256)

    def folded(self) -> Program:
        """Returns the program with `fold` set."""
        return replace(self, fold=True)

    def to_json(self) -> dict[str, Any]:
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        if not self.left_out:  # files of complete graphs have no such key
            del data["left_out"]
        return data | {"metadata": self.metadata.to_json(), "steps": [step.to_json() for step in self.steps]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Program:
        """Reads a saved model's description, strictly: unknown keys and values of other types are refused.

        Raises:
            GraphError: the description is damaged.
        """
        _check_keys(data, _PROGRAM_KEYS, "The saved model's description")
        try:
            return cls(
                metadata=Metadata.from_json(data["metadata"]),
                input_channels=data["input_channels"],
                steps=tuple(Step.from_json(step) for step in data["steps"]),
                outputs=tuple(data["outputs"]),
                fingerprint=data["fingerprint"],
                source_sha256=data["source_sha256"],
                input_layout=data.get("input_layout", NHWC),
                fold=data.get("fold", False),
                left_out=dict(data.get("left_out", {})),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, GraphError):
                raise
            raise GraphError(f"The saved model's description is damaged: it lacks a valid {error}.") from error


_PROGRAM_KEYS: Mapping[str, Any] = {
    "format": str,
    "version": int,
    "metadata": _MetadataKeys,
    "input_channels": int | None,
    "steps": Sequence[Mapping[str, Any]],
    "outputs": Sequence[str],
    "fingerprint": str,
    "source_sha256": str | None,
    "input_layout": str,
    "fold": bool,
    "left_out": Mapping[str, str],
}


def _check_keys(data: object, hints: Mapping[str, Any], what: str) -> None:
    try:
        schema.check_table(data, hints, what)
    except ValueError as error:
        raise GraphError(str(error)) from None


# Attributes of models other than their layers; no layer may have these names.
RESERVED_NAMES = frozenset(dir(nn.Module())) | {
    "activations",
    "layers",
    "metadata",
    "outputs",
    "program",
    "run",
    "save",
    "self",
    "subgraph",
    "to_onnx",
    "x",
}


# Names that are reserved in new models only, because saved models may have layers of these names.
_RESERVED_NOW = RESERVED_NAMES | {"compute", "layer_module", "left_out", "supports"}


def module_names(names: Iterable[str]) -> dict[str, str]:
    """Returns a unique Python identifier for each TensorFlow name.

    Identifiers are kept; other characters become underscores (`a/b` becomes `a__b`). Reserved names, keywords and
    repetitions get a prefix or a number.
    """
    used, found = set(_RESERVED_NOW), {}
    next_number: dict[str, int] = {}
    for name in names:
        base = re.sub(r"\W", "_", name.replace("/", "__"), flags=re.ASCII) or "_"
        if base[0].isdigit() or base.startswith("_") or keyword.iskeyword(base):
            base = "layer_" + base.lstrip("_")
        identifier, number = base, next_number.get(base, 2)
        while identifier in used:
            identifier, number = f"{base}_{number}", number + 1
        next_number[base] = number
        used.add(identifier)
        found[name] = identifier
    return found


def _is_module_name(name: Any) -> bool:
    plain = isinstance(name, str) and name.isidentifier() and name.isascii()
    return plain and not keyword.iskeyword(name) and not name.startswith("_") and name not in RESERVED_NAMES


def as_tuples(value: Any) -> Any:
    """Converts lists to tuples, at any depth (JSON has no tuples)."""
    return tuple(as_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value
