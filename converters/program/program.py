"""A converted graph as plain data: ordered steps, each one layer with its arguments and inputs, and the tensors.

This is what the registry produces, what is saved as JSON and safetensors, and what a model is built from; it knows
nothing of TensorFlow's protos.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from torch import Tensor, nn

from converters.errors import GraphError
from converters.frozen.graph import LAYOUTS, NHWC, Output
from converters.layers import LAYERS
from converters.program.validation import check_arguments, check_outputs, is_count, is_outputs

State = Mapping[str, Tensor]
"""A model's tensors, by the keys of `nn.Module.state_dict()`."""


def _is_range(value: Any) -> bool:
    """Two numbers, or two rows of numbers."""
    rows = [side if isinstance(side, tuple) else (side,) for side in value] if isinstance(value, tuple) else []
    numbers = [number for row in rows for number in row]
    plain = all(isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    return len(rows) == 2 and bool(numbers) and plain


def _is_image_shape(value: Any) -> bool:
    sizes = value if isinstance(value, tuple) else ()
    return len(sizes) == 3 and all(n is None or (isinstance(n, int) and not isinstance(n, bool)) for n in sizes)


_METADATA_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "image_shape": _is_image_shape,
    "image_value_range": _is_range,
    "is_BGR": lambda value: isinstance(value, bool),
}


@dataclass(frozen=True)
class Metadata:
    """What a model wants to be fed.

    Attributes:
        input_name: TensorFlow's name of the input.
        image_shape: (height, width, channels); None where any size will do.
        image_value_range: (lowest, highest) value of the input for black and white; numbers, or one number for each
            channel in the input's own channel order. None: not known.
        is_BGR: whether the input's channels are blue, green, red.
    """

    input_name: str
    image_shape: tuple[int | None, ...] | None = None
    image_value_range: tuple[Any, Any] | None = None
    is_BGR: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metadata:
        """The metadata in parsed JSON; unknown keys are ignored."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        if not isinstance(known.get("input_name"), str):
            raise GraphError("The model's metadata name no input.")
        for key, check in _METADATA_CHECKS.items():
            value = _tuples(known.get(key))
            if value is not None and not check(value):
                raise GraphError(f"The model's metadata have {key} {value!r}, which makes no sense.")
            known[key] = value
        known["is_BGR"] = bool(known["is_BGR"])
        return cls(**known)


@dataclass(frozen=True)
class Step:
    """One layer of a program.

    Attributes:
        name: TensorFlow's name of the op.
        op: TensorFlow's op type.
        layer: class name in `layers.LAYERS`.
        arguments: the class's constructor arguments, plain data.
        inputs: the values the layer reads, in order.
        channels: size of the channel axis of its first output; None where it is not known.
        module: the name of its submodule, an identifier.
        layout: how rank-4 values lie in their tensors: NHWC where TensorFlow's axes N, H, W, C are turned to
            (N, C, H, W), NCHW where they are as in TensorFlow.
        outputs: how many it has; the layer returns a tuple where there are several.
        hidden: whether it is no op of the graph, but brings a value into the form that an op's layer wants.
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
            raise GraphError(f"Layer {self.name!r} has a layout, outputs or a mark that no layer has.")
        check_outputs(self.name, self.layer, self.arguments, self.outputs)

    def build(self) -> nn.Module:
        """The step's layer, its tensors not yet filled in."""
        return LAYERS[self.layer](**self.arguments)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["inputs"] = [str(source) for source in self.inputs]
        usual = {f.name: f.default for f in fields(self) if f.name in _OPTIONAL}
        return {key: value for key, value in data.items() if key not in usual or value != usual[key]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        try:
            inputs = tuple(Output.parse(text) for text in data["inputs"])
            arguments = {key: _tuples(value) for key, value in data["arguments"].items()}
            module, channels = data["module"], data["channels"]
            optional = {key: data[key] for key in _OPTIONAL if key in data}
            names = (str(data["name"]), str(data["op"]), str(data["layer"]))
            step = cls(*names, arguments, inputs, channels, module, **optional)
        except (KeyError, TypeError, AttributeError) as error:
            raise GraphError(f"The saved model's description is damaged: a step lacks or garbles {error}.") from error
        if not _is_module_name(module):
            raise GraphError(f"The saved model's layer {step.name!r} has the module name {module!r}.")
        return step


# Fields of a step that are written only where they are not as usual, and that older files lack.
_OPTIONAL = ("layout", "outputs", "hidden")


@dataclass(frozen=True)
class Program:
    """Steps in an order in which every value is made before it is read.

    Attributes:
        metadata: what the model wants to be fed.
        input_channels: channels of the input; None where any number will do.
        steps: the layers.
        outputs: names of the values that nothing reads: what the whole graph gives.
        fingerprint: the source graph's `Graph.fingerprint()`.
        source_sha256: SHA-256 of the source's bytes; None where the source was no file.
        input_layout: how the input's axes lie in its tensor, which is (N, C, H, W): NHWC or NCHW in TensorFlow.
        fold: whether an evaluation may fold batch norms and the like into the convolutions before them.
    """

    metadata: Metadata
    input_channels: int | None
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    fingerprint: str
    source_sha256: str | None = None
    input_layout: str = NHWC
    fold: bool = False

    def __post_init__(self) -> None:
        made = {self.metadata.input_name: 1}  # and how many outputs it has
        for step in self.steps:
            unknown = [str(source) for source in step.inputs if source.index >= made.get(source.node, 0)]
            if unknown or step.name in made:
                raise GraphError(f"The program's step {step.name!r} is out of order or stands twice.")
            made[step.name] = step.outputs
        if len({step.module for step in self.steps}) != len(self.steps):
            raise GraphError("Two layers of the program have one module name.")
        if not self.outputs or not all(isinstance(name, str) for name in self.outputs):
            raise GraphError("The program names no outputs.")
        if not (self.input_channels is None or is_count(self.input_channels)):
            raise GraphError(f"The program's input has {self.input_channels!r} channels.")
        if self.input_layout not in LAYOUTS:
            raise GraphError(f"The program's input has the layout {self.input_layout!r}.")
        lost = [name for name in self.outputs if Output.parse(name).node not in made]
        if lost:
            raise GraphError(f"The program has no step for its output {lost[0]!r}.")

    def needed(self, names: Iterable[str], sources: Mapping[str, tuple[Output, ...]]) -> tuple[Step, ...]:
        """The steps that some values are computed from, in order.

        Args:
            names: of the values; `name:1` is a step's second output.
            sources: by name of a step, what it reads instead of its own inputs.
        """
        steps = {step.name: step for step in self.steps}
        found, waiting = set(), [name if name in steps else Output.parse(name).node for name in names]
        while waiting:
            name = waiting.pop()
            if name in steps and name not in found:
                found.add(name)
                waiting.extend(source.node for source in sources.get(name, steps[name].inputs))
        return tuple(step for step in self.steps if step.name in found)

    def from_source(self, sha256: str) -> Program:
        """The same program, saying which file it came from."""
        return replace(self, source_sha256=sha256)

    def folded(self) -> Program:
        """The same program, evaluated with batch norms folded into convolutions."""
        return replace(self, fold=True)

    def to_json(self) -> dict[str, Any]:
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        return data | {"metadata": self.metadata.to_json(), "steps": [step.to_json() for step in self.steps]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Program:
        try:
            return cls(
                metadata=Metadata.from_json(data["metadata"]),
                input_channels=data["input_channels"],
                steps=tuple(Step.from_json(step) for step in data["steps"]),
                outputs=tuple(data["outputs"]),
                fingerprint=data["fingerprint"],
                source_sha256=data["source_sha256"],
                input_layout=data.get("input_layout", NHWC),
                fold=bool(data.get("fold", False)),
            )
        except (KeyError, TypeError) as error:
            raise GraphError(f"The saved model's description is damaged: it lacks or garbles {error}.") from error


# What a model has besides its layers; no layer may take these names.
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


def module_names(names: Iterable[str]) -> dict[str, str]:
    """A Python identifier for each TensorFlow name, all different.

    Names that are identifiers stay as they are; other characters become underscores (`a/b` gives `a__b`). Names
    that a module already has, keywords and repetitions get a prefix or a number.
    """
    used, found = set(RESERVED_NAMES), {}
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


def _tuples(value: Any) -> Any:
    """Lists as tuples, at any depth (JSON has no tuples)."""
    return tuple(_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value
