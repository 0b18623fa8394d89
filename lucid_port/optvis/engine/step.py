"""One evaluation of a render's objective: the image, its transforms, and the layers that the objective reads."""

from __future__ import annotations

import contextlib
import copy
import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from converters.errors import UnsupportedRequestError
from converters.network.request import LayerRequest
from lucid_port.misc import checks
from lucid_port.misc.stack_level import stack_level
from lucid_port.optvis.engine.coerce import Computing, Model, ReluOverride, as_computing
from lucid_port.optvis.engine.compilation import Compilation, obstacle
from lucid_port.optvis.engine.precision import check_precision, tf32
from lucid_port.optvis.objectives.reading import channel_of
from lucid_port.optvis.overrides import redirection
from lucid_port.optvis.overrides.redirected_relu_grad import PASSING_AT_LIMITS, REDIRECTED_UPDATES
from lucid_port.optvis.sampling import RandomSource

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["Evaluation", "Forward", "Reads"]

Read: TypeAlias = str | tuple[str, int]
"""A layer, or one channel of it."""

_RELU_RULE = tuple(PASSING_AT_LIMITS.items())


# What is read ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reads:
    """The layers that an objective reads, and the requests for them.

    Attributes:
        layers: layers that it reads whole.
        channels: (layer, channel) of layers of which it reads single channels.
    """

    layers: tuple[str, ...] = ()
    channels: tuple[tuple[str, int], ...] = ()

    def including(self, read: Read) -> Reads:
        """These reads and another one."""
        if isinstance(read, str):
            return replace(self, layers=(*self.layers, read))
        return replace(self, channels=(*self.channels, read))

    @cached_property
    def whole(self) -> LayerRequest:
        """The request for all of these layers, whole."""
        return LayerRequest(tuple(dict.fromkeys((*self.layers, *(layer for layer, _ in self.channels)))))

    @cached_property
    def selected(self) -> LayerRequest:
        """The request for the channels that are read; the same as `whole` if a layer or a negative number is read."""
        chosen: dict[str, tuple[int, ...]] = {}
        for layer, number in self.channels:
            if layer not in self.layers:
                chosen[layer] = (*chosen.get(layer, ()), number)
        if any(number < 0 for _, number in self.channels):
            return self.whole
        return replace(self.whole, channels=tuple(chosen.items()))

    def values(self, found: Mapping[str, torch.Tensor], request: LayerRequest) -> dict[Read, torch.Tensor]:
        """The tensors that are read.

        Args:
            found: the values of the request.
            request: `whole` or `selected`.
        """
        values: dict[Read, torch.Tensor] = {name: found[name] for name in self.layers}
        chosen = dict(request.channels)
        for layer, number in self.channels:
            if layer in chosen:
                values[layer, number] = found[layer][:, chosen[layer].index(number)]
            else:
                values[layer, number] = channel_of(found[layer], number, layer)
        return values


class _NewRead(Exception):
    """An objective read a layer that the pass of this evaluation left out."""


class Evaluation:
    """`T` of one step: activations of one transformed image.

    All layers come from one pass, which ends behind the last of them, so that an objective may take gradients between
    layers. (Not with `compile` or in "bf16", where torch says that a layer was not used in the graph.) The first
    evaluation of a render discovers which layers the objective reads: at each new one the pass is made again. Later
    evaluations start from these reads and make one pass.

    Args:
        vis: the render.
        source: draws of the transforms.
        reads: the reads that are known.
        repeated: whether many evaluations with the same reads follow, so that a compilation may pay.

    Attributes:
        image: (N, C, H, W) in [0, 1].
        transformed: the image that the model gets.
        reads: the reads that are known by now.
    """

    def __init__(self, vis: VisT, source: RandomSource, reads: Reads, repeated: bool = False) -> None:
        self._vis = vis
        self.reads = reads
        self.image = vis.param.evaluate({})  # all of its parts have values: `VisT` draws them
        self.transformed = vis.transform(self.image, source)
        self._values: Mapping[Read, torch.Tensor] = {}
        if reads.layers or reads.channels:
            self._compute(reads, reads.selected if vis.forward.selects else reads.whole, repeated)

    def value(self, objective: Callable[[Evaluation], Any]) -> Any:
        """The value of a function of `T`."""
        while True:
            try:
                return objective(self)
            except _NewRead as new:
                self._discover(*new.args)

    def channel(self, name: str, number: int) -> torch.Tensor:
        """One channel of a layer, without its channel axis; once the reads are known, no other channel is computed.

        Raises:
            IndexError: the layer has no such channel.
        """
        value = self._values.get((name, number))
        if value is not None:
            return value
        if name == "input" or name in self.reads.layers:
            return channel_of(self(name), number, name)
        return self._read((name, number))

    def __call__(self, name: str) -> Any:
        if name == "input":
            return self.image
        if name == "labels":
            return self._vis.model.labels
        return self._read(name)

    def _read(self, read: Read) -> torch.Tensor:
        if read not in self._values:
            if self._values:
                raise _NewRead(read)
            self._discover(read)
        return self._values[read]

    def _discover(self, read: Read) -> None:
        """Adds a read. Its layer is computed whole, which shows whether the channel exists, and is not compiled."""
        reads = self.reads.including(read)
        self._compute(reads, reads.whole, False)
        self.reads = reads  # only now: the name of no layer is not kept

    def _compute(self, reads: Reads, request: LayerRequest, compilable: bool) -> None:
        self._values = reads.values(self._vis.forward(self.transformed, request, self._vis.steps, compilable), request)


# How it is computed ---------------------------------------------------------------------------


def is_redirected(update: int | None) -> bool:
    """Whether an update is one of the first, in which ReLU gradients are redirected."""
    return update is not None and update < REDIRECTED_UPDATES


def compute_under_rule(
    model: Computing, image: torch.Tensor, request: LayerRequest, update: int | None
) -> Mapping[str, torch.Tensor]:
    """The values of layers under Lucid's ReLU rule for an update, or under none (None).

    After the first updates, networks that support it compute the rule's formulas themselves; for others, a mode looks
    at every call of a function.
    """
    if update is None:
        return model.compute(image, request)
    if update >= REDIRECTED_UPDATES:
        with contextlib.suppress(UnsupportedRequestError):
            return model.compute(image, replace(request, relu_rule=_RELU_RULE))
    with redirection(update):
        return model.compute(image, request)


class Forward:
    """Computes the layers that a render reads: in its precision, compiled or not, under Lucid's ReLU rule.

    Args:
        model: the model.
        device: the device that it is on.
        precision: one of `PRECISIONS`; with "bf16", a copy of the model is computed, made now.
        compile: whether to compile the network's part of the steps. If that cannot work, a warning says why, and the
            steps are made without.
        relu_gradient_override: whether Lucid's ReLU rule holds; "always" redirects gradients in all updates.

    Attributes:
        precision: as above.
        compilation: the compiled steps; None if they are not compiled. With CUDA graphs, each step overwrites the
            results of the step before: results that are kept have to be copied.
        selects: whether the network computes single channels of a layer.
        settings: makes the context for a whole step, forward and backward: TF32 as asked for, on a GPU.

    Raises:
        ValueError: there is no such precision.
        TypeError: `compile` is neither True nor False.
    """

    def __init__(
        self,
        model: Model,
        device: torch.device,
        precision: str = "float32",
        compile: bool = False,
        relu_gradient_override: ReluOverride = False,
    ) -> None:
        check_precision(precision, device)
        if not isinstance(compile, bool):
            raise TypeError(f"compile is True or False, not {checks.shown(compile)}.")
        self._model = as_computing(_rounded(model) if precision == "bf16" else model)
        self._device = device
        self._override = relu_gradient_override
        self.precision = precision
        reason = obstacle(device) if compile else None
        if reason is not None:
            warnings.warn(f"compile=True has no effect: {reason}.", stacklevel=stack_level())
        self.compilation = Compilation(self._under_rule, device) if compile and reason is None else None
        self.selects = self._model.supports(LayerRequest((), channels=(("", ()),)))
        self.settings: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        if device.type == "cuda":
            self.settings = functools.partial(tf32, precision == "tf32")

    @property
    def compiles(self) -> bool:
        """Whether steps are compiled."""
        return self.compilation is not None

    def __call__(
        self, image: torch.Tensor, request: LayerRequest, steps: int, compilable: bool = False
    ) -> Mapping[str, torch.Tensor]:
        """The values of the requested layers for a transformed image, in the image's precision.

        Args:
            image: (N, C, H, W) in [0, 1].
            request: the layers.
            steps: number of updates made, on which the ReLU rule depends.
            compilable: whether this is one of many calls with this request.
        """
        update = None if not self._override else 0 if self._override == "always" else steps
        if self.compilation is None and self.precision != "bf16":
            return compute_under_rule(self._model, image, request, update)
        compiled = self.compilation if compilable and not is_redirected(update) else None
        with self._autocast():
            function = None if compiled is None else compiled.function(image, request, update is not None)
            if function is not None:
                torch.compiler.cudagraph_mark_step_begin()
                values: Mapping[str, torch.Tensor] = dict(zip(request.names, function(image), strict=True))
            else:
                values = compute_under_rule(self._model, image, request, update)
        return {name: _as_precise(value, image.dtype) for name, value in values.items()}

    def _under_rule(self, image: torch.Tensor, request: LayerRequest, overridden: bool) -> Mapping[str, torch.Tensor]:
        return compute_under_rule(self._model, image, request, REDIRECTED_UPDATES if overridden else None)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)


def _rounded(model: Model) -> Model:
    """A copy of a model whose network's weights are bfloat16. Its mapping of images to the input stays as it is.

    Autocast would round frozen weights in every step, and functions with a gradient of their own would not see rounded
    weights.
    """
    twin = copy.deepcopy(model)
    twin.network.to(torch.bfloat16)
    return twin


def _as_precise(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype) if value.dtype == torch.bfloat16 else value
