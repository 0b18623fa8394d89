"""Passes that call a converted network's layers one by one, for tracers and for tools that hook layers.

The tracers are `torch.fx.symbolic_trace`, `torch.export` and `torch.jit.trace`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from converters.errors import InputSizeError, reason
from converters.frozen.graph import Output
from converters.functional import check_rows
from converters.program.program import Program


def value_of(values: Mapping[Output, Any], name: str) -> Any:
    """Returns the value of a layer: `a:1` is the second output of an op `a`, or the only one of an op `a:1`."""
    only = Output(name)
    return values[only] if only in values else values[Output.parse(name)]


is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
"""Returns whether `torch.export` runs. Versions of torch without this function only say that they compile."""


def call_layers(program: Program, model: nn.Module, x: Tensor | fx.Proxy, names: Sequence[str]) -> list[Any]:
    """Calls the layers that some layers need in order, so that a tracer records each of them under its name.

    Args:
        program: the program of the model.
        model: the module that has the layers.
        x: the input.
        names: the layers to return, by the names of the program.

    Returns:
        Their values, in the order of `names`.

    Raises:
        InputSizeError: a layer cannot be computed at this input size; the error names it.
    """
    values: dict[Output, Any] = {Output(program.metadata.input_name): x}
    for step in program.needed(names):
        try:
            layer, inputs = model.get_submodule(step.module), [values[source] for source in step.inputs]
            if layer._forward_pre_hooks:
                # A view of its own: hooks on its gradient see the part of this layer, not those of other readers.
                inputs = [value.view_as(value) for value in inputs]
            if isinstance(layer, nn.Linear) and not isinstance(x, fx.Proxy):
                check_rows(inputs[0], layer.in_features)
            result = layer(*inputs)
        except InputSizeError as error:
            raise InputSizeError(f"Layer {step.name!r} cannot be computed: {reason(error)}.") from error
        for index in range(step.outputs):
            values[Output(step.name, index)] = result if step.outputs == 1 else result[index]
    return [value_of(values, name) for name in names]


@contextlib.contextmanager
def fixed_size(x: Tensor, is_batch_fixed: bool = False) -> Iterator[Tensor]:
    """Context manager for a pass that `torch.jit.trace` records: the trace refuses images of other sizes.

    The padding depends on the size of the image, and a trace holds it as numbers. The number of images may vary,
    unless `is_batch_fixed`.

    Yields:
        The images, after the recorded operations that check their size.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        sizes = [int(length) for length in x.shape]
        for dim, length in list(enumerate(sizes))[0 if is_batch_fixed else 1 :]:
            (x,) = x.split([length], dim)  # refuses an axis of another length
        yield x
