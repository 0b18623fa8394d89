"""`--check`: a converted network against TensorFlow's values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from converters import ConvertedModel, Metadata
from converters.reference.check import LayerCheck, check_model, default_inputs, make_references
from converters.reference.store import References, find_references
from converters.tensorflow.freeze import HOW_TO_INSTALL
from converters.tensorflow.process import ENVIRONMENT, find_tensorflow


def check_network(network: ConvertedModel, graph: Path | None, **options: Any) -> None:
    """Compares every layer with TensorFlow's, prints the worst, and refuses a network beyond the bound.

    Args:
        network: the converted network.
        graph: file of its graph, to be run in TensorFlow where there are no references of it.
        **options: further ones of `references_of`.

    Raises:
        ValueError: there is nothing to compare with, or a layer is beyond its bound.
    """
    references = references_of(network, graph, **options)
    rows = check_model(network, references)
    failed = [row for row in rows if not row.passed]
    if failed:
        order = {name: position for position, name in enumerate(network.layers)}
        first = min(failed, key=lambda row: order[row.layer])  # the culprit: later layers follow from it
        raise ValueError(
            f"{len(failed)} of {len(rows)} comparisons with TensorFlow fail; the first layer is {first}, "
            f"the worst is {failed[0]}."
        )
    typer.echo(_summary(rows, references))


def _summary(rows: Sequence[LayerCheck], references: References) -> str:
    versions = sorted({reference.tensorflow for reference in references.inputs.values()})
    layers = len({row.layer for row in rows})
    return (
        f"checked: {layers} layers, {len({row.input for row in rows})} inputs, against TensorFlow "
        f"{', '.join(versions)}; the worst is {rows[0]}"
    )


def references_of(
    network: ConvertedModel,
    graph: Path | None,
    python: str | Path | None = None,
    constants: Mapping[str, Any] | None = None,
) -> References:
    """The references of a network, made now in TensorFlow where there are none.

    Args:
        network: the converted network.
        graph: file of its graph.
        python: a Python that has TensorFlow; otherwise the one that LUCID_PORT_TENSORFLOW names, the reference
            environment's, or this one.
        constants: what the network was converted with.

    Raises:
        ValueError: there are none, and none can be made.
    """
    from lucid_port.modelzoo.files import PACKAGE_REFERENCES

    found = find_references(network.program.fingerprint, [PACKAGE_REFERENCES])
    if found is not None:
        return found
    if graph is None:
        raise ValueError(
            "There is nothing to check against: no references of this network in reference_outputs/, and it comes from "
            "no TensorFlow graph that could be run. The project's checkout has some, and TinyInceptionV1 comes with "
            "its own."
        )
    tensorflow = find_tensorflow(python)
    if tensorflow is None:
        named = python or os.environ.get(ENVIRONMENT)
        raise ValueError(
            "There is nothing to check against: no references of this graph in reference_outputs/, and no TensorFlow "
            f"{f'in {named}' if named else 'here'}. {HOW_TO_INSTALL} In a checkout, tox -e reference makes one."
        )
    metadata: Metadata = network.metadata
    low, high = metadata.image_value_range or (-1.0, 1.0)
    height, width, _ = metadata.image_shape or (None, None, None)
    stated = None if height is None or width is None else (height, width)
    specs = default_inputs(_numbers(low), _numbers(high), network.program.input_channels or 3, stated)
    return make_references(graph, metadata.input_name, specs, tensorflow, constants)


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)
