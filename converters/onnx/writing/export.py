"""Writes converted models as ONNX files whose values have TensorFlow's names."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from converters.atomic import check_writable, write_bytes, write_chunks
from converters.errors import GraphError, SaveError
from converters.frozen.graph import Output
from converters.layers import LAYERS
from converters.onnx.nodes import NodeWriter
from converters.onnx.packages import import_onnx
from converters.onnx.writing.exporters import EXPORTERS, NOT_EXPORTED, OPSET, Call, Value
from converters.onnx.writing.exporters.elementwise import KINDS
from converters.paths import user_path
from converters.program.layer_info import Layers, layers_of
from converters.program.program import Program, State, Step

if TYPE_CHECKING:
    import onnx
    from torch import Tensor


IR_VERSION = 8  # file format of ONNX 1.12, the release that introduced opset 17
PROPERTY = "lucid_port."  # prefix of the names of a file's properties

# Protobuf messages are smaller than 2 GiB. 16 MiB are reserved for everything but weights.
MAX_INLINE = 2**31 - 2**24
# Tensors with fewer bytes stay in the model, because tools read small tensors (axes, shapes) there.
MIN_EXTERNAL = 1024


def to_onnx(
    program: Program,
    state: State,
    path: str | os.PathLike[str],
    layers: Sequence[str] | None = None,
    *,
    properties: Mapping[str, str] | None = None,
    external_data: bool | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a converted graph as an ONNX file (opset 17).

    Its input is (N, C, H, W) of any size, in the model's own value range and channel order; its values and nodes have
    TensorFlow's names. The file's properties state the value range, the channel order and the source of the model
    (`lucid_port.image_value_range`, `lucid_port.is_BGR`, ...).

    Args:
        program: the layers.
        state: their tensors.
        path: path of the file, which is written atomically.
        layers: TensorFlow's names of the outputs, in order; None for the graph's own outputs. Layers that they do not
            depend on are left out.
        properties: further properties of the file, such as the model's name.
        external_data: whether the weights go into a file `<path>.data` beside it; None to do so only if one file
            cannot hold them (2 GiB).
        overwrite: replace an existing file.

    Returns:
        The path.

    Raises:
        MissingPackageError: the package `onnx` is not installed.
        LayerNotFoundError: a name is not that of a layer.
        GraphError: a layer cannot be written: another module replaced it, or ONNX has no equivalent.
        SaveError: the file exists already, or cannot be written.
    """
    target = user_path(path)
    check_file(target, overwrite)
    proto = onnx_model(program, state, layers, properties)
    weights = sum(len(tensor.raw_data) for tensor in proto.graph.initializer)
    if external_data is None:
        external_data = weights > MAX_INLINE
    if weights > MAX_INLINE and not external_data:
        raise SaveError(f"The weights have {weights} bytes, more than one ONNX file can hold: allow external data.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if external_data:
            write_chunks(target.with_name(f"{target.name}.data"), _moved_out(proto, f"{target.name}.data"))
        return write_bytes(target, proto.SerializeToString(deterministic=True))
    except OSError as error:
        raise SaveError(f"The model could not be written to {target}: {error.strerror or error}.") from error


def check_file(target: Path, overwrite: bool = False) -> None:
    """Checks, before any other work, that `to_onnx` may write a file.

    Raises:
        SaveError: the file exists and `overwrite` is false, it is a folder, or it cannot be created.
    """
    if target.is_dir():
        raise SaveError(f"{target} is a folder: name a file.")
    if not overwrite and (target.exists() or target.is_symlink()):
        raise SaveError(f"{target} exists already: name another file, or pass overwrite=True (--overwrite).")
    try:
        check_writable(target)
    except OSError as error:
        raise SaveError(str(error)) from error


def onnx_model(
    program: Program,
    state: State,
    layers: Sequence[str] | None = None,
    properties: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Returns the ONNX model that `to_onnx` writes, with all weights inside.

    Raises:
        MissingPackageError: the package `onnx` is not installed.
        LayerNotFoundError: a name is not that of a layer.
        GraphError: a layer cannot be written.
    """
    helper = import_onnx().helper
    known = layers_of(program)
    entry = program.metadata.input_name
    names = _wanted(program, known, layers)
    steps = program.needed(names)
    _check_steps(steps)
    writer = NodeWriter([entry, *(name for step in program.steps for name in _outputs(step))])
    values = {entry: Value(entry, 4)}
    tensors = _by_module(state)
    for step in steps:
        writer.layer = step.name
        made = EXPORTERS[step.layer](_call(tensors, step, values), writer)
        values.update((value.name, value) for value in made)
    graph = helper.make_graph(
        writer.nodes,
        "lucid_port",
        [_declared(values[entry], ["batch", program.input_channels, "height", "width"])],
        [_declared(values[name], _sizes(values[name].rank, known[name].channels)) for name in names],
        writer.constants,
    )
    proto = helper.make_model(
        graph, producer_name="lucid_port", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    helper.set_model_props(proto, _properties(program, properties or {}))
    return proto


def _wanted(program: Program, known: Layers, layers: Sequence[str] | None) -> list[str]:
    """Returns the graph's names of the outputs to write."""
    given = program.outputs if layers is None else [layers] if isinstance(layers, str) else layers
    names = list(dict.fromkeys(known[name].name for name in given))
    if not names:
        raise GraphError("The list of layers is empty: name at least one layer.")
    if program.metadata.input_name in names:
        raise GraphError(f"{program.metadata.input_name!r} is the model's input; name layers after it.")
    return names


def _check_steps(steps: Iterable[Step]) -> None:
    for step in steps:
        if step.layer not in EXPORTERS:
            reason = NOT_EXPORTED.get(step.layer, "its layer type has no exporter")
            raise GraphError(f"Layer {step.name!r} ({step.op}) cannot be written to ONNX: {reason}.")


def _by_module(state: State) -> dict[str, dict[str, Tensor]]:
    """Groups tensors by the path of their module."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        module, _, name = key.rpartition(".")
        found.setdefault(module, {})[name] = tensor
    return found


def _outputs(step: Step) -> list[str]:
    """Returns the names of a step's outputs."""
    return [str(Output(step.name, index)) for index in range(step.outputs)]


def _call(tensors: Mapping[str, State], step: Step, values: Mapping[str, Value]) -> Call:
    """Returns a step with all its arguments and tensors."""
    bound = inspect.signature(LAYERS[step.layer]).bind(**step.arguments)
    bound.apply_defaults()
    arrays = {
        key: tensor.detach().cpu().float().contiguous().numpy() for key, tensor in tensors.get(step.module, {}).items()
    }
    inputs = [values[str(source)] for source in step.inputs]
    return Call(step.name, bound.arguments, inputs, arrays, _outputs(step))


def _declared(value: Value, sizes: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    return import_onnx().helper.make_tensor_value_info(value.name, KINDS[value.kind], list(sizes))


def _sizes(rank: int, channels: int | None) -> list[int | str | None]:
    """Returns the sizes of a layer's axes: None if unknown. Only the number of an image's channels is known."""
    sizes: list[int | str | None] = [None] * rank
    if rank == 4:
        sizes[1] = channels
    return sizes


def _properties(program: Program, more: Mapping[str, str]) -> dict[str, str]:
    """Returns the properties of the file: JSON by name."""
    stated = {**program.metadata.to_json(), "fingerprint": program.fingerprint, "source_sha256": program.source_sha256}
    known = {key: json.dumps(value) for key, value in {**stated, **more}.items() if value is not None}
    return {f"{PROPERTY}{key}": text for key, text in known.items()}


def _moved_out(proto: onnx.ModelProto, location: str) -> Iterator[bytes]:
    """Yields the data of large tensors, and replaces them in the model by their positions in the file."""
    external = import_onnx().TensorProto.EXTERNAL
    offset = 0
    for tensor in proto.graph.initializer:
        data = tensor.raw_data
        if len(data) < MIN_EXTERNAL:
            continue
        tensor.ClearField("raw_data")
        tensor.data_location = external
        for key, value in (("location", location), ("offset", offset), ("length", len(data))):
            tensor.external_data.add(key=key, value=str(value))
        offset += len(data)
        yield data
