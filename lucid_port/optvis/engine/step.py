"""One evaluation of a render's objective: the image, its transforms, and the layers that the objective reads."""

from __future__ import annotations

import abc
import contextlib
import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from converters import checks
from converters.errors import LayerNotFoundError, UnsupportedRequestError
from converters.network.request import LayerRequest
from converters.stack_level import stack_level
from lucid_port.modelzoo.classes import logits_layer
from lucid_port.modelzoo.layouts import Layout, layout_of, plain_layout
from lucid_port.optvis.engine.coerce import Computing, Model, ReluOverride, as_computing, layer_info
from lucid_port.optvis.engine.compilation import Compilation, obstacle
from lucid_port.optvis.engine.precision import STRICT, as_stated, check_precision, settings_of_cpu
from lucid_port.optvis.objectives.readers import BESIDE_LAYERS, Reader
from lucid_port.optvis.objectives.reading import channel_of
from lucid_port.optvis.overrides import redirection
from lucid_port.optvis.overrides.redirected_relu_grad import PASSING_AT_LIMITS, REDIRECTED_UPDATES
from lucid_port.optvis.param.base import DrawingMemo
from lucid_port.optvis.sampling import RandomSource

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["Evaluation", "Forward", "ModelReader", "Reads"]

Read: TypeAlias = str | tuple[str, int]
"""A layer, or one channel of it."""

_RELU_RULE = tuple(PASSING_AT_LIMITS.items())


# Reads ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reads:
    """The layers that an objective reads, and the requests for them.

    Attributes:
        layers: Layers that it reads whole.
        channels: (layer, channel) pairs of the single channels that it reads.
        plain: Layers whose tensors are known to be (N, C, ...), so that later steps do not look at their descriptions.
    """

    layers: tuple[str, ...] = ()
    channels: tuple[tuple[str, int], ...] = ()
    plain: frozenset[str] = frozenset()

    def including(self, read: Read) -> Reads:
        """Returns these reads and another one."""
        if isinstance(read, str):
            return replace(self, layers=(*self.layers, read))
        return replace(self, channels=(*self.channels, read))

    @cached_property
    def whole(self) -> LayerRequest:
        """Request for all of these layers, whole."""
        return LayerRequest(tuple(dict.fromkeys((*self.layers, *(layer for layer, _ in self.channels)))))

    @cached_property
    def selected(self) -> LayerRequest:
        """Request for single channels of layers that are not read whole; `whole` if a channel number is negative."""
        chosen: dict[str, tuple[int, ...]] = {}
        for layer, number in self.channels:
            if layer not in self.layers:
                chosen[layer] = (*chosen.get(layer, ()), number)
        if any(number < 0 for _, number in self.channels):
            return self.whole
        return replace(self.whole, channels=tuple(chosen.items()))

    def values(
        self, found: Mapping[str, torch.Tensor], request: LayerRequest, model: Model, images: int
    ) -> dict[Read, torch.Tensor]:
        """Returns the tensors that are read: the network's own of a whole layer, and single channels (N, ...).

        Args:
            found: Values of the request.
            request: `whole` or `selected`.
            model: The model, which describes the axes of its layers.
            images: Number of images in the batch.
        """
        values: dict[Read, torch.Tensor] = {name: found[name] for name in self.layers}
        chosen = dict(request.channels)
        for layer, number in self.channels:
            value = found[layer] if layer in self.plain else _channels_first(model, layer, found[layer], images)
            if layer in chosen:
                values[layer, number] = value[:, chosen[layer].index(number)]
            else:
                values[layer, number] = channel_of(value, number, layer)
        return values


def _channels_first(model: Model, layer: str, value: torch.Tensor, images: int | None) -> torch.Tensor:
    info = layer_info(model, layer)
    return value if info is None else info.channels_first(value, images)


class _NewRead(Exception):
    """An objective read a layer that this evaluation has not computed."""


class ModelReader(Reader):
    """`T` of a model and an image that it gets.

    Args:
        model: The model.
        image: (N, C, H, W) in [0, 1], the value of `T("input")`.
        seen: The image that the network gets, by default the same.
    """

    def __init__(self, model: Model, image: torch.Tensor, seen: torch.Tensor | None = None) -> None:
        self._model = model
        self.image = image
        self.transformed = image if seen is None else seen
        self.images = self.transformed.shape[0]
        self._first: dict[str, torch.Tensor] = {}

    @abc.abstractmethod
    def _read(self, name: str) -> torch.Tensor:
        """Returns the network's own tensor of a layer."""

    def __call__(self, name: str, /) -> Any:
        if name in BESIDE_LAYERS:
            return self.raw(name)
        value = self._read(name)
        first = self._first.get(name)
        if first is None:  # each call returns the same tensor, so that an objective may differentiate by it
            first = self._first[name] = self._moved(name, value)
        return first

    def _moved(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Returns a layer's tensor as (N, C, ...)."""
        return _channels_first(self._model, name, value, self.images)

    def raw(self, name: str, /) -> Any:
        if name == "input":
            return self.image
        if name == "labels":
            return self._model.labels
        if name == "global_step":
            return self.steps
        return self._read(name)

    def layout(self, name: str, /) -> Layout:
        if name == "input":
            return plain_layout(name, self.image.ndim)
        height, width = self.transformed.shape[2:]
        return layout_of(layer_info(self._model, name), name, self._read(name), (height, width), self.images)


class Evaluation(ModelReader):
    """`T` of one step: activations of one transformed image.

    All layers come from one pass, which ends at the last of them, so that an objective may differentiate between
    layers: by the network's own tensor, `T.raw(layer)`, which is `T(layer)` if the channels are its second axis. (With
    `compile` or in "bf16" it cannot: torch raises that a layer was not used in the graph.) The first evaluation of a
    render discovers the layers that the objective reads: each new layer repeats the pass. Later evaluations start from
    these reads and make one pass.

    Args:
        vis: The render.
        source: Random source of the transforms.
        reads: The reads known so far.
        repeated: Whether many evaluations with the same reads follow, so that compiling pays.

    Attributes:
        image: (N, C, H, W) in [0, 1].
        transformed: The image after the transforms, which the model gets.
        reads: The reads known by now.
    """

    def __init__(self, vis: VisT, source: RandomSource, reads: Reads, repeated: bool = False) -> None:
        self._vis = vis
        self.reads = reads
        memo = DrawingMemo()
        memo.source = source
        image = vis.param.evaluate(memo)  # `VisT` has drawn all initial values
        super().__init__(vis.model, image, vis.transform(image, source))
        self.steps = vis.steps
        self._values: Mapping[Read, torch.Tensor] = {}
        if reads.layers or reads.channels:
            self._compute(reads, reads.selected if vis.forward.selects else reads.whole, repeated)

    def value(self, objective: Callable[[Evaluation], Any]) -> Any:
        """Returns the value of a function of `T`.

        Raises:
            ValueError: The function differentiates by a layer whose channels `T` has moved.
        """
        while True:
            try:
                return objective(self)
            except _NewRead as new:
                self._discover(*new.args)
            except RuntimeError as error:
                moved = [name for name, first in self._first.items() if first is not self._values.get(name)]
                if UNUSED not in str(error) or not moved:
                    raise
                names = " and ".join(f"T({name!r})" for name in moved)
                raise ValueError(
                    f"The channels of {names} were moved to the second axis, so that later layers do not depend on it: "
                    "differentiate by the network's own tensor, T.raw(layer)."
                ) from error

    def channel(self, layer: str, number: int, /) -> torch.Tensor:
        """Returns one channel of a layer, without the channel axis.

        If the reads are known, only this channel is computed.

        Raises:
            IndexError: The layer has no such channel.
        """
        value = self._values.get((layer, number))
        if value is not None:
            return value
        if layer == "input" or layer in self.reads.layers:
            return channel_of(self(layer), number, layer)
        return self._find((layer, number))

    def read_whole(self) -> dict[str, torch.Tensor]:
        """Returns the network's own tensors of the layers that were read whole."""
        return {name: self._values[name] for name in dict.fromkeys(self.reads.layers)}

    def read_parts(self) -> list[tuple[str, torch.Tensor]]:
        """Returns (layer, tensor) of all reads: the network's own tensor, or a single channel (N, ...)."""
        parts = [(layer, self._values[layer, number]) for layer, number in dict.fromkeys(self.reads.channels)]
        return [*self.read_whole().items(), *parts]

    def __call__(self, name: str, /) -> Any:
        return self._values[name] if name in self.reads.plain and name in self._values else super().__call__(name)

    def _moved(self, name: str, value: torch.Tensor) -> torch.Tensor:
        first = super()._moved(name, value)
        if first is value:
            self.reads = replace(self.reads, plain=self.reads.plain | {name})
        return first

    def _read(self, name: str) -> torch.Tensor:
        return self._find(name)

    def _find(self, read: Read) -> torch.Tensor:
        if read not in self._values:
            if self._values:
                raise _NewRead(read)
            self._discover(read)
        return self._values[read]

    def _discover(self, read: Read) -> None:
        """Adds a read. The pass computes the whole layer, to check that the channel exists, and is not compiled."""
        reads = self.reads.including(read)
        try:
            self._compute(reads, reads.whole, False)
        except LayerNotFoundError as error:
            if (read if isinstance(read, str) else read[0]) == "labels":
                error.args = (f"{error}{_logits_hint(self._vis.model, read)}",)
            raise
        self.reads = reads  # after the pass, which raises if there is no such layer
        if isinstance(read, tuple):
            self._moved(read[0], self._found[read[0]])

    def _compute(self, reads: Reads, request: LayerRequest, compilable: bool) -> None:
        found = self._vis.forward(self.transformed, request, self._vis.steps, compilable)
        self._values = reads.values(found, request, self._vis.model, self.transformed.shape[0])
        self._found = found
        self._first = {}


def _logits_hint(model: Any, read: Read) -> str:
    """Returns the advice on "labels:3", with Lucent's name of InceptionV1's logits."""
    number = 0 if isinstance(read, str) else read[1]
    try:
        logits = f"{logits_layer(model)}:{number}"
    except ValueError:  # several outputs
        return f" The classes' logits are read as in 'class:{number}'."
    return f" The classes' logits are read as in {logits!r} or 'class:{number}'."


UNUSED = "not have been used in the graph"
"""Part of torch's message if a value does not depend on the tensor that it is differentiated by."""


# Computing layers -----------------------------------------------------------------------------


def is_redirected(update: int | None) -> bool:
    """Returns whether an update is one of the first, in which ReLU gradients are redirected."""
    return update is not None and update < REDIRECTED_UPDATES


def compute_under_rule(
    model: Computing, image: torch.Tensor, request: LayerRequest, update: int | None
) -> Mapping[str, torch.Tensor]:
    """Returns the values of layers under Lucid's ReLU rule for an update; None means no rule.

    After the first updates, networks that support the rule compute its formulas themselves. For other networks, a
    torch function mode intercepts their calls.
    """
    if update is None:
        return model.compute(image, request)
    if update >= REDIRECTED_UPDATES:
        with contextlib.suppress(UnsupportedRequestError):
            return model.compute(image, replace(request, relu_rule=_RELU_RULE))
    with redirection(update):
        return model.compute(image, request)


class Forward:
    """Computes the layers that a render reads, in its precision, compiled or not, under Lucid's ReLU rule.

    Args:
        model: The model.
        device: Device of the model.
        precision: One of `PRECISIONS`. "bf16" copies the model.
        compile: Whether to compile the network's part of the steps. If this is impossible, a warning says why.
        relu_gradient_override: Whether Lucid's ReLU rule applies; "always" redirects gradients in all updates.

    Attributes:
        precision: See above.
        compilation: The compiled steps; None if they are not compiled. With CUDA graphs, each step overwrites the
            results of the previous step, so clone results to keep them.
        selects: Whether the network can compute single channels of a layer.

    Raises:
        ValueError: There is no such precision.
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
        self._strict = () if device.type != "cpu" else settings_of_cpu()

    def settings(self) -> contextlib.AbstractContextManager[None]:
        """Returns the context for a whole step, forward and backward.

        It allows or forbids TF32, and disables the caller's autocast and inference mode. On a CPU it usually has
        nothing to do.
        """
        is_plain = self._strict and not (torch.is_autocast_enabled("cpu") or torch.is_inference_mode_enabled())
        if is_plain and all(read() in STRICT for read in self._strict):
            return contextlib.nullcontext()
        return as_stated(self._device, self.precision == "tf32")

    @property
    def compiles(self) -> bool:
        """Whether steps are compiled."""
        return self.compilation is not None

    def __call__(
        self, image: torch.Tensor, request: LayerRequest, steps: int, compilable: bool = False
    ) -> Mapping[str, torch.Tensor]:
        """Returns the values of the requested layers for a transformed image, in the image's dtype.

        Args:
            image: (N, C, H, W) in [0, 1].
            request: The layers.
            steps: Number of updates made, on which the ReLU rule depends.
            compilable: Whether this is one of many calls with this request.
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

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)


def _rounded(model: Model) -> Model:
    """Returns a copy of a model whose network has bfloat16 weights. The mapping of images to the input stays float32.

    Autocast would round frozen weights in every step, and custom autograd functions would get float32 weights.
    """
    twin = copy.deepcopy(model)
    twin.network.to(torch.bfloat16)
    return twin


def _as_precise(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype) if value.dtype == torch.bfloat16 else value
