"""Opening the network of a file or of an entry of the catalogue."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

import converters
from converters.signatures import checked
from converters.sources import FROZEN, open_source, take_options
from lucid_port.modelzoo import files, seeded
from lucid_port.modelzoo.catalogue import Entry, catalogue

__all__ = ["read_network"]

GENERATORS: dict[str, Callable[[], GraphDef]] = {"seeded_inceptionv1": seeded.seeded_inceptionv1}


@checked
def read_network(
    path: str | os.PathLike[str] | None, entry: Entry | None, input_name: str | None, **options: Any
) -> Any:
    """Opens a network from a file, or the network of an entry of the catalogue.

    Args:
        path: a path that `converters.open_source` reads; None for the file of the entry.
        entry: an entry of the catalogue, or None.
        input_name: the graph's input, if it has several.
        **options: further options of `converters.open_source`.

    Raises:
        FileNotFoundError: the file was not found.
        ValueError: the file cannot be converted, or takes no `input_name`.
    """
    if path is None:
        if entry is None:
            raise ValueError("A model that is not in the catalogue needs the path of its graph.")
        if entry.generator is not None:
            given = take_options(f"{entry.name}, which is generated,", FROZEN, options).given()
            stated = replace(_metadata(entry), input_name=input_name or entry.input_name)
            return converters.convert(GENERATORS[entry.generator](), metadata=stated, **given)
        path = files.find_graph(entry)
    if entry is None or input_name is not None:
        return _with_known_metadata(open_source(path, input_name=input_name, **options), input_name)
    if Path(path).suffix in (".pb", ".caffemodel"):  # files of other formats have their own metadata
        options["metadata"] = _metadata(entry)
    return open_source(path, **options)


def _with_known_metadata(network: Any, input_name: str | None) -> Any:
    """Adds the catalogue's metadata to a network without metadata whose graph the catalogue knows.

    Args:
        network: the network.
        input_name: the requested input. The metadata is added only if the catalogue names the same input.
    """
    program = getattr(network, "program", None)
    if program is None or program.metadata.image_value_range is not None:
        return network
    for entry in catalogue().values():
        hashes = {hash for file in entry.downloads for hash in (file.hash, file.member_hash)}
        known = program.fingerprint == entry.fingerprint or f"sha256:{program.source_sha256}" in hashes
        if known and (input_name is None or program.metadata.input_name == entry.input_name):
            stated = replace(_metadata(entry), input_name=program.metadata.input_name)
            network.program = replace(program, metadata=stated)
    return network


def _metadata(entry: Entry) -> converters.Metadata:
    return converters.Metadata(entry.input_name, entry.image_shape, entry.image_value_range, entry.is_BGR)
