"""`--check`: compares a converted network with TensorFlow's values."""

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


def check_network(
    network: ConvertedModel,
    graph: Path | None,
    python: str | Path | None = None,
    constants: Mapping[str, Any] | None = None,
) -> None:
    """Compares every layer with TensorFlow's values and prints the largest error.

    Args:
        network: the converted network.
        graph: file of its graph, which TensorFlow runs if there are no references.
        python, constants: as for `references_of`.

    Raises:
        ValueError: there are no values to compare with, or an error is above its bound.
    """
    references = references_of(network, graph, python, constants)
    rows = check_model(network, references)
    failed = [row for row in rows if not row.passed]
    if failed:
        order = {name: position for position, name in enumerate(network.layers)}
        first = min(failed, key=lambda row: order[row.layer])  # the cause: later layers inherit its error
        raise ValueError(
            f"{len(failed)} of {len(rows)} comparisons with TensorFlow fail; the first layer is {first}, "
            f"the worst is {failed[0]}."
        )
    typer.echo(_summary(rows, references))


def _summary(rows: Sequence[LayerCheck], references: References) -> str:
    layers, inputs = len({row.layer for row in rows}), len({row.input for row in rows})
    return (
        f"checked: {layers} layers, {inputs} inputs, against TensorFlow {versions(references)}; the worst is {rows[0]}"
    )


def versions(references: References) -> str:
    """The versions of TensorFlow that references were recorded with, comma-separated."""
    return ", ".join(sorted({one.tensorflow for one in references.inputs.values()}))


def references_of(
    network: ConvertedModel,
    graph: Path | None,
    python: str | Path | None = None,
    constants: Mapping[str, Any] | None = None,
) -> References:
    """The references of a network; if there are none, TensorFlow computes them now.

    Args:
        network: the converted network.
        graph: file of its graph.
        python: a Python that has TensorFlow; by default the one in LUCID_PORT_TENSORFLOW, the reference environment's,
            or this one.
        constants: placeholder values that the network was converted with.

    Raises:
        ValueError: there are none, and TensorFlow cannot compute them.
    """
    from lucid_port.modelzoo.files import PACKAGE_REFERENCES

    found = find_references(network.program.fingerprint, [PACKAGE_REFERENCES])
    if found is not None:
        return found
    if graph is None:
        raise ValueError(
            "There is nothing to check against: reference_outputs/ has no values of this network, and it is not a "
            "TensorFlow graph that could be run. Check the graph that it was made from, if there is one."
        )
    tensorflow = find_tensorflow(python)
    if tensorflow is None:
        named = python or os.environ.get(ENVIRONMENT)
        raise ValueError(
            "There is nothing to check against: reference_outputs/ has no values of this graph, and there is no "
            f"TensorFlow {f'in {named}' if named else 'here'}. {HOW_TO_INSTALL} In a checkout, tox -e reference makes "
            "an environment that has it."
        )
    metadata: Metadata = network.metadata
    low, high = metadata.image_value_range or (-1.0, 1.0)
    height, width, _ = metadata.image_shape or (None, None, None)
    stated = None if height is None or width is None else (height, width)
    specs = default_inputs(_numbers(low), _numbers(high), network.program.input_channels or 3, stated)
    return make_references(graph, metadata.input_name, specs, tensorflow, constants, list(network.layers))


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)
