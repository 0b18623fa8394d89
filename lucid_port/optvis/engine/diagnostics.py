"""Warnings about problems in a render that raise no error.

Statistics stay on the device and are read every 50 updates, so that other steps do not wait for it. Each problem is
reported once.
"""

from __future__ import annotations

import contextlib
import contextvars
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from converters.network.request import LayeredNetwork
from converters.stack_level import stack_level
from lucid_port.optvis.engine.coerce import layer_info

__all__ = [
    "EVERY",
    "PATIENCE",
    "Watch",
    "constant_norms",
    "constant_softmaxes",
    "failed_at",
    "failure_of",
    "first_run",
    "note_failure",
    "noted_failures",
    "refuse_failed",
    "still",
    "warn_if_training",
]

EVERY = 50
"""Updates between two readings."""

PATIENCE = 16
"""Consecutive updates without a gradient before a warning; random crops may cause shorter runs."""

SLACK = 1e-3
"""Tolerance around [0, 1]; far below the 1/255 that a picture can show."""


NORMALIZED = (
    "is the output of a LayerNorm, whose mean and mean square over the channels of a token are the same for every "
    "image, and the objective depends on nothing else of it: its gradient is zero up to rounding, and the picture "
    "shows nothing. Name one channel or a direction whose weights differ, or read the layer before the normalization."
)

PROBABILITIES = (
    "holds the probabilities of a softmax, which sum to 1 for every image, and the objective weighs all of them alike: "
    "its gradient is zero up to rounding, and the picture shows nothing. Name one of them, as "
    "objectives.neuron(layer, head, x=query, y=key) does in an attention map, or read the layer before the softmax."
)
"""Continues a sentence that starts with a layer's name."""


class Watch:
    """Records the updates of one render.

    Attributes:
        losses: The objective's value before each update, summed over images, on the device.
    """

    def __init__(self) -> None:
        self.losses: list[torch.Tensor] = []
        self._reached: list[torch.Tensor] = []
        self._extremes: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._silent = 0  # consecutive updates without a gradient, up to the last reading
        self._read = 0  # number of updates that were read
        self._said: dict[str, str] = {}

    def normalized(self, layers: Sequence[str]) -> None:
        """Warns that an objective reads nothing of a LayerNorm's output that depends on the image.

        Args:
            layers: Names of the layers; none if there is no such problem.
        """
        if layers:
            self._say("normalized", f"Layer {layers[0]!r} {NORMALIZED}")

    def probabilities(self, layers: Sequence[str]) -> None:
        """Warns that an objective sums probabilities whose sum is 1 for every image.

        Args:
            layers: Names of the layers; none if there is no such problem.
        """
        if layers:
            self._say("probabilities", f"Layer {layers[0]!r} {PROBABILITIES}")

    def record(
        self, loss: torch.Tensor, gradients: Sequence[torch.Tensor | None], transformed: torch.Tensor | None
    ) -> None:
        """Records an update. Every 50 updates, it reads the records and may warn.

        Args:
            loss: The objective's value.
            gradients: Gradients of the parameters.
            transformed: The image that the model got, which should be in [0, 1].
        """
        if transformed is not None and len(self.losses) % EVERY == 0:
            self._extremes.append(torch.aminmax(transformed.detach()))
        self.losses.append(loss.sum())
        some = [torch.count_nonzero(gradient) for gradient in gradients if gradient is not None]
        self._reached.append(torch.stack(some).any() if len(some) > 1 else some[0] if some else loss.new_zeros(()))
        if len(self.losses) % EVERY == 0:
            self.check()

    def state(self) -> dict[str, Any]:
        """Returns the state other than `losses`, as plain data for `restore`. Waits for the device."""
        self.check()
        return {"silent": self._silent, "said": dict(self._said)}

    def restore(self, losses: Sequence[torch.Tensor], state: Mapping[str, Any]) -> None:
        """Restores the records of an earlier process, and repeats its warnings."""
        self.losses, self._read = list(losses), len(losses)
        self._reached, self._extremes = [], []
        self._silent = state["silent"]
        for what, sentence in state["said"].items():
            self._say(what, sentence)

    def check(self) -> None:
        """Reads the records since the last reading, and warns about new problems. Waits for the device."""
        if self._read == len(self.losses):
            return
        losses = torch.stack(self.losses[self._read :]).float().cpu().numpy()
        self._check_losses(losses)
        self._check_gradients(torch.stack([one.bool() for one in self._reached]).cpu().numpy())
        for low, high in self._extremes:
            self._check_range(float(low), float(high))
        self._read = len(self.losses)
        self._reached, self._extremes = [], []

    def check_picture(self, picture: np.ndarray) -> None:
        """Warns about a picture that has NaN or infinite values, unless its objective had them before."""
        if not np.isfinite(picture).all():
            self._say(
                "finite",
                f"The picture has NaN or infinite values after update {len(self.losses)} and means nothing: use a "
                "smaller learning rate, or an objective whose gradient stays finite.",
            )

    def _check_losses(self, losses: np.ndarray) -> None:
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            self._say(
                "finite",
                f"The objective was {losses[wrong[0]]} before update {self._read + int(wrong[0]) + 1}; pictures from "
                "there on mean nothing: use a smaller learning rate, or an objective that stays finite.",
            )

    def _check_gradients(self, reached: np.ndarray) -> None:
        since = first_run(np.concatenate([np.zeros(self._silent, bool), reached]), PATIENCE)
        if since is not None and not {"normalized", "probabilities"} & set(self._said):  # which give the reason
            self._say(
                "gradient",
                f"No gradient reached the image in {PATIENCE} updates, from update "
                f"{self._read - self._silent + since + 1} on: the picture does not change. The unit may never fire "
                "(try the layer before its ReLU, as in 'mixed4a_pre_relu'), or the objective does not depend on the "
                "image.",
            )
        hits = np.flatnonzero(reached)
        self._silent = len(reached) - 1 - int(hits[-1]) if len(hits) else self._silent + len(reached)

    def _check_range(self, low: float, high: float) -> None:
        if low < -SLACK or high > 1 + SLACK:
            self._say(
                "range",
                f"The image that the model gets has values from {low:.3g} to {high:.3g}, outside the [0, 1] that is "
                "mapped to the network's input range: use a parameterization that stays inside, such as param.image, "
                "or to_valid_rgb.",
            )

    def _say(self, what: str, sentence: str) -> None:
        if what not in self._said:
            self._said[what] = sentence
            if what == "finite":
                note_failure(sentence)
            warnings.warn(sentence, RuntimeWarning, stacklevel=stack_level())


_noted: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("noted_failures", default=None)


@contextlib.contextmanager
def noted_failures() -> Iterator[list[str]]:
    """Context that lists a sentence for each render of this thread that became NaN or infinite in it."""
    sentences: list[str] = []
    token = _noted.set(sentences)
    try:
        yield sentences
    finally:
        _noted.reset(token)


def note_failure(sentence: str) -> None:
    """Adds a sentence to the list of the enclosing `noted_failures`, if there is one and the sentence is not empty."""
    sentences = _noted.get()
    if sentences is not None and sentence:
        sentences.append(sentence)


def failed_at(losses: np.ndarray, picture: np.ndarray) -> int | None:
    """Returns the number of the first update, from 1 on, at which a render stopped being finite; None if it is finite.

    Args:
        losses: The objective's value before each update.
        picture: The picture after the last update.
    """
    wrong = np.flatnonzero(~np.isfinite(losses))
    if len(wrong):
        return int(wrong[0]) + 1
    return None if np.isfinite(picture).all() else max(1, len(losses))


def refuse_failed(failed: Mapping[str, int | None]) -> None:
    """Raises an error about renders that have failed.

    Args:
        failed: Name of a unit -> result of `failed_at`.

    Raises:
        FloatingPointError: A render has failed.
    """
    sentence = failure_of(failed)
    if sentence:
        raise FloatingPointError(sentence)


def failure_of(failed: Mapping[str, int | None]) -> str:
    """Returns a sentence about renders that have failed; empty if none has. Arguments as for `refuse_failed`."""
    names = ", ".join(f"{name} (from update {update} on)" for name, update in failed.items() if update is not None)
    return names and (
        f"The objective or its gradient became NaN or infinite, so that the picture is meaningless, for {names}: use a "
        "smaller learning rate, or an objective that stays finite."
    )


def first_run(reached: np.ndarray, length: int) -> int | None:
    """Returns the index of the first run of `length` False values, or None."""
    index = reached.tobytes().find(bytes(length))  # False is a zero byte
    return None if index < 0 else index


_RANDOM = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.modules.dropout._DropoutNd)


def warn_if_training(network: object) -> None:
    """Warns about dropout or batch norm in training mode, with which every step computes a different function."""
    parts = network.named_modules() if isinstance(network, torch.nn.Module) else ()
    found = [
        f"{name or 'itself'} ({type(part).__name__})"
        for name, part in parts
        if isinstance(part, _RANDOM) and part.training
    ]
    if found:
        warnings.warn(
            f"The network is in training mode: {found[0]} changes what each step sees. Call its eval() first.",
            RuntimeWarning,
            stacklevel=stack_level(),
        )


def still(losses: np.ndarray) -> bool:
    """Returns whether an objective was constant in the last updates, most likely because the unit never fires."""
    last = losses[-PATIENCE:]
    return len(last) == PATIENCE and bool((last == last[0]).all())


# LayerNorm ------------------------------------------------------------------------------------

VANISHING = 1e-3
"""Length of a gradient behind a LayerNorm, relative to that before it, below which it counts as zero."""


def constant_norms(model: Any, values: Mapping[str, torch.Tensor], objective: torch.Tensor) -> list[str]:
    """Returns the LayerNorms, among some layers, whose input gets no gradient of an objective.

    A LayerNorm makes the mean over channels 0 and the mean square 1, so that its derivative takes these two directions
    out of a gradient.

    Args:
        model: The model.
        values: Layer -> the network's own tensor, from which the objective was computed.
        objective: Value of the objective. Its graph is kept.
    """
    norms = {name: norm for name in values if (norm := _layer_norm(model, name)) is not None}
    if not norms:
        return []
    wanted = [values[name] for name in norms]
    gradients = torch.autograd.grad(objective.sum(), wanted, retain_graph=True, allow_unused=True)
    found = []
    for (name, norm), value, gradient in zip(norms.items(), wanted, gradients, strict=True):
        axis = _normalized_axis(value, norm)
        if gradient is not None and axis is not None and _vanishes(norm, value, gradient, axis):
            found.append(name)
    return found


def _layer_norm(model: Any, name: str) -> torch.nn.LayerNorm | None:
    """Returns the LayerNorm over one axis that computes a layer, if there is one."""
    info = layer_info(model, name)
    if info is None or not info.module or not isinstance(model.network, LayeredNetwork):
        return None
    part = None
    with contextlib.suppress(NotImplementedError):  # a user's own network may only compute layers
        part = model.network.layer_module(name)
    return part if isinstance(part, torch.nn.LayerNorm) and len(part.normalized_shape) == 1 else None


def _normalized_axis(value: torch.Tensor, norm: torch.nn.LayerNorm) -> int | None:
    """Returns the axis that is normalized: the last, or the second in subclasses that normalize images (N, C, H, W)."""
    (size,) = norm.normalized_shape
    axes = (-1,) if type(norm) is torch.nn.LayerNorm else (-1, 1)
    fitting = [axis for axis in axes if value.ndim > 1 and value.shape[axis] == size]
    return fitting[0] if len(fitting) == 1 else None


def _vanishes(norm: torch.nn.LayerNorm, value: torch.Tensor, gradient: torch.Tensor, axis: int) -> bool:
    """Whether the derivative of a LayerNorm maps a gradient, which is not zero, to zero."""
    y, g = (one.detach().movedim(axis, -1).double() for one in (value, gradient))
    if norm.bias is not None:
        y = y - norm.bias.detach().double()
    if norm.weight is not None:
        weight = norm.weight.detach().double()
        if not weight.all():
            return False  # the normalized values cannot be told from the output
        y, g = y / weight, g * weight
    before = torch.linalg.vector_norm(g)
    behind = g - g.mean(-1, keepdim=True) - y * (g * y).mean(-1, keepdim=True)
    return bool(before > 0 and torch.linalg.vector_norm(behind) <= VANISHING * before)


# Softmax --------------------------------------------------------------------------------------

_BEHIND_SOFTMAX = frozenset(
    {"alias", "clone", "contiguous", "dropout", "float", "identity", "permute", "reshape", "to", "transpose",
     "type_as", "view"}
)  # fmt: skip
"""Ops, in small letters, that keep probabilities."""


def constant_softmaxes(model: Any, values: Sequence[tuple[str, torch.Tensor]], objective: torch.Tensor) -> list[str]:
    """Returns the layers of probabilities, among some layers, whose sum is all that an objective depends on.

    These are the softmax functions, and layers behind them that keep their values, such as dropout. Values that are not
    negative and sum to 1 along an axis tell them from other layers with these ops. The derivative of a softmax maps a
    gradient that is constant along this axis to zero.

    Args:
        model: The model.
        values: (layer, tensor) for each value from which the objective was computed: a whole layer, or one channel.
        objective: Value of the objective. Its graph is kept.
    """
    parts = [(name, value) for name, value in values if _may_be_probabilities(model, name)]
    if not parts:
        return []
    wanted = [value for _, value in parts]
    gradients = torch.autograd.grad(objective.sum(), wanted, retain_graph=True, allow_unused=True)
    return [
        name
        for (name, value), gradient in zip(parts, gradients, strict=True)
        if gradient is not None and any(_is_constant(gradient, axis) for axis in _summed_axes(value.detach()))
    ]


def _may_be_probabilities(model: Any, name: str) -> bool:
    info = layer_info(model, name)
    op = "" if info is None else info.op.lower()
    return op in _BEHIND_SOFTMAX or ("softmax" in op and "log" not in op)


def _summed_axes(value: torch.Tensor) -> list[int]:
    """Returns the axes along which values are probabilities."""
    if not value.is_floating_point() or bool((value < 0).any()):
        return []
    tolerance = max(1e-4, 8 * torch.finfo(value.dtype).eps)
    return [
        axis
        for axis in range(value.ndim)
        if value.shape[axis] > 1 and bool(((value.double().sum(axis) - 1).abs() <= tolerance).all())
    ]


def _is_constant(gradient: torch.Tensor, axis: int) -> bool:
    """Whether a gradient, which is not zero, is the same for all elements along an axis."""
    g = gradient.detach().double()
    length = torch.linalg.vector_norm(g)
    return bool(length > 0 and torch.linalg.vector_norm(g - g.mean(axis, keepdim=True)) <= VANISHING * length)
