"""A converted graph as plain data: ordered steps, each one layer with its arguments and inputs, and the tensors.

This is what the registry produces, what is saved as JSON and safetensors, and what a model is built from; it knows
nothing of TensorFlow's protos.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from torch import nn

from converters.errors import GraphError
from converters.graph import Output
from converters.layers import LAYERS

# No layer of an image network is larger; a damaged or hostile file must not be able to ask for more.
MAX_CHANNELS = 2**17


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
        for key in ("image_shape", "image_value_range"):
            if known.get(key) is not None:
                known[key] = _tuples(known[key])
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
    """

    name: str
    op: str
    layer: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Output, ...] = ()
    channels: int | None = None
    module: str = ""

    def build(self) -> nn.Module:
        """The step's layer, its tensors not yet filled in."""
        return LAYERS[self.layer](**self.arguments)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["inputs"] = [str(source) for source in self.inputs]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        try:
            layer = data["layer"]
            if layer not in LAYERS:
                raise GraphError(f"The saved model has a layer of unknown kind {layer!r}.")
            inputs = tuple(Output.parse(text) for text in data["inputs"])
            arguments = {key: _tuples(value) for key, value in data["arguments"].items()}
            module = data["module"]
            step = cls(str(data["name"]), str(data["op"]), layer, arguments, inputs, data["channels"], module)
        except (KeyError, TypeError, AttributeError) as error:
            raise GraphError(f"The saved model's description is damaged: a step lacks or garbles {error}.") from error
        if any(isinstance(n, int) and n > MAX_CHANNELS for n in _flat(arguments.values())):
            raise GraphError(f"The saved model's layer {step.name!r} claims a size above {MAX_CHANNELS}.")
        if not _is_module_name(module):
            raise GraphError(f"The saved model's layer {step.name!r} has the module name {module!r}.")
        return step


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
    """

    metadata: Metadata
    input_channels: int | None
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    fingerprint: str
    source_sha256: str | None = None

    def __post_init__(self) -> None:
        made = {self.metadata.input_name}
        for step in self.steps:
            unknown = [str(source) for source in step.inputs if source.node not in made]
            if unknown or step.name in made:
                raise GraphError(f"The program's step {step.name!r} is out of order or stands twice.")
            made.add(step.name)
        if len({step.module for step in self.steps}) != len(self.steps):
            raise GraphError("Two layers of the program have one module name.")
        lost = [name for name in self.outputs if Output.parse(name).node not in made]
        if lost:
            raise GraphError(f"The program has no step for its output {lost[0]!r}.")

    def from_source(self, sha256: str) -> Program:
        """The same program, saying which file it came from."""
        return replace(self, source_sha256=sha256)

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
    "save",
    "self",
    "subgraph",
    "x",
}


def module_names(names: Iterable[str]) -> dict[str, str]:
    """A Python identifier for each TensorFlow name, all different.

    Names that are identifiers stay as they are; other characters become underscores (`a/b` gives `a__b`). Names
    that a module already has, keywords and repetitions get a prefix or a number.
    """
    used, found = set(RESERVED_NAMES), {}
    for name in names:
        base = re.sub(r"\W", "_", name.replace("/", "__"), flags=re.ASCII) or "_"
        if base[0].isdigit() or base.startswith("_") or keyword.iskeyword(base):
            base = "layer_" + base.lstrip("_")
        identifier, number = base, 2
        while identifier in used:
            identifier, number = f"{base}_{number}", number + 1
        used.add(identifier)
        found[name] = identifier
    return found


def _is_module_name(name: Any) -> bool:
    plain = isinstance(name, str) and name.isidentifier() and name.isascii()
    return plain and not keyword.iskeyword(name) and not name.startswith("_") and name not in RESERVED_NAMES


def _tuples(value: Any) -> Any:
    """Lists as tuples, at any depth (JSON has no tuples)."""
    return tuple(_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Sequence) and not isinstance(value, str):
            yield from _flat(value)
        else:
            yield value
