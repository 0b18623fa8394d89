"""Mutation of one file, by its name and kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from google.protobuf.message import Message
from tensorboard.compat.proto.graph_pb2 import GraphDef

from parity_tests.fuzzing.documents import change_json, change_toml, change_weights
from parity_tests.fuzzing.mutations import change_message_file, change_text
from parity_tests.fuzzing.pictures import change_picture
from parity_tests.fuzzing.texts import change_units

_BY_SUFFIX: Mapping[str, Callable[[bytes, Random], bytes]] = {
    ".json": change_json,
    ".toml": change_toml,
    ".prototxt": change_text,
    ".safetensors": change_weights,
    ".png": change_picture,
    ".jpg": change_picture,
    ".webp": change_picture,
    ".units": change_units,
}


def mutate(kind: str, name: str, data: bytes, random: Random) -> bytes:
    """Returns a changed file.

    Args:
        kind: of the source (`bases.KINDS`).
        name: of the file.
        data: its content.
        random: decides.
    """
    change = _BY_SUFFIX.get(Path(name).suffix)
    return change_message_file(_message_type(kind), data, random) if change is None else change(data, random)


def _message_type(kind: str) -> type[Message]:
    """The class of the message that a kind's file holds."""
    if kind == "caffe":
        from converters.caffe.messages import net_parameter

        return net_parameter()
    if kind == "onnx":
        import onnx

        return onnx.ModelProto
    return GraphDef
