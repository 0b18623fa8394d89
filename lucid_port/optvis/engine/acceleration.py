"""How the network's part of a step is computed: in which precision, and compiled or not.

A render keeps its image, transforms, parameterization, objective and optimiser in float32 whatever is chosen here. By
default the network is computed in float32, too, without TF32, one layer after the other: that is what is compared with
Lucid. `docs/speed.md` says what the other choices do to the numbers, and when they pay.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

import torch

from lucid_port.misc import checks
from lucid_port.optvis.overrides import redirection
from lucid_port.optvis.overrides.redirected_relu_grad import PASSING_AT_LIMITS, REDIRECTED_UPDATES

__all__ = ["PRECISIONS", "Acceleration", "find_device", "strictly", "tf32"]

PRECISIONS = ("float32", "tf32", "bf16")
"""What `precision` may be: strict; TF32 in convolutions and matrix products of a GPU; bfloat16 in the network."""

MOST_SIZES = 16
"""Image sizes that one render compiles for; `standard_transforms` give 11."""

P = ParamSpec("P")
R = TypeVar("R")
Values = Mapping[str, torch.Tensor]
Selected = Mapping[str, Sequence[int]] | None  # channels that are wanted of some layers
Compiled = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]


class ActivationsModel(Protocol):
    """What is computed here: `lucid_port.modelzoo.vision_base.Model`, or what has its `activations`."""

    def activations(self, image: torch.Tensor, names: Sequence[str]) -> Values: ...


# Devices --------------------------------------------------------------------------------------


def find_device(device: torch.device | str) -> torch.device:
    """A device by its name.

    Raises:
        TypeError: it is no name.
        ValueError: there is no such device, or not on this machine.
    """
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"device is a name such as 'cpu' or 'cuda:0', not {checks.shown(device)}.")
    try:
        found = torch.device(device)
    except RuntimeError:  # what torch raises for any name that it cannot read
        raise ValueError(f"There is no device {device!r}: use 'cpu', 'cuda', 'cuda:1' or 'mps'.") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        seen = f"{count} CUDA device{'s' * (count != 1)}" if torch.cuda.is_available() else "no CUDA device"
        raise ValueError(
            f"Device {str(device)!r} cannot be used: torch finds {seen} here. Use 'cpu' or another device."
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("Device 'mps' cannot be used: torch finds no Metal device here. Use 'cpu'.")
    return found


# Precision ------------------------------------------------------------------------------------


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Context in which CUDA's convolutions and matrix products may use TF32, or may not; afterwards all is as before.

    The setting is the process's, not the thread's: do not enter it with different values in several threads.
    """
    convolutions = torch.backends.cudnn
    precisions = _new_precisions()
    matmul, of_convolutions = _read(torch.get_float32_matmul_precision), _read(lambda: convolutions.allow_tf32)
    try:
        torch.set_float32_matmul_precision("high" if allowed else "highest")
        convolutions.allow_tf32 = allowed
        for owner, _ in precisions:  # where they are not set themselves, a setting for all of them counts
            owner.fp32_precision = "tf32" if allowed else "ieee"
        yield
    finally:
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)
        if of_convolutions is not None:
            convolutions.allow_tf32 = of_convolutions
        for owner, precision in precisions:
            owner.fp32_precision = precision


def strictly(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator for what computes with a network outside of a render: without TF32, as renders do by default."""

    @functools.wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with tf32(False):
            return function(*args, **kwargs)

    return within


def _read(setting: Callable[[], Any]) -> Any:
    """A setting; None where torch refuses to read it, because only the newer settings below were made."""
    try:
        return setting()
    except RuntimeError:
        return None


def _new_precisions() -> list[tuple[Any, str]]:
    """The settings that torch has since 2.9, with their values; those above write them, too."""
    cudnn = torch.backends.cudnn
    owners: tuple[Any, ...] = (torch.backends.cuda.matmul, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None))
    return [(owner, str(owner.fp32_precision)) for owner in owners if hasattr(cudnn, "conv")]


def check_precision(precision: str, device: torch.device) -> None:
    """Refuses names that are none of `PRECISIONS`; warns where one does nothing.

    Raises:
        ValueError: another name.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(map(repr, PRECISIONS))}, not {checks.shown(precision)}.")
    if precision == "tf32" and device.type != "cuda":
        warnings.warn(
            f"precision='tf32' does nothing on device {str(device)!r}: TF32 is a mode of NVIDIA GPUs.", stacklevel=5
        )


# Compilation ----------------------------------------------------------------------------------


def obstacle(device: torch.device) -> str | None:
    """Why torch.compile cannot work for a device here, or None."""
    from torch._inductor import cpp_builder, exc

    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return None if has_triton() else "the package triton is missing or does not support this GPU"
    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return "no C++ compiler was found; install g++ or name one in the variable CXX"
    return None


class _Compilation:
    """The network, compiled once for each size of the image: exact, as nothing is padded to a common size.

    Args:
        model: the network with its input mapping.
        device: where it is.
    """

    def __init__(self, model: ActivationsModel, device: torch.device) -> None:
        self._model = model
        self.has_cuda_graphs = device.type == "cuda"
        self._mode = "reduce-overhead" if self.has_cuda_graphs else None
        self._functions: dict[tuple[Any, ...], Compiled | None] = {}
        self._warned = False

    def function(
        self, image: torch.Tensor, names: Sequence[str], overridden: bool, channels: Selected = None
    ) -> Compiled | None:
        """What computes layers for images of this shape; None for one shape too many."""
        autocast = torch.is_autocast_enabled(image.device.type)
        key = (
            tuple(image.shape),
            tuple(names),
            overridden,
            autocast,
            tuple((n, tuple(c)) for n, c in (channels or {}).items()),
        )
        if key not in self._functions:
            self._functions[key] = None if self._is_full(key) else self._compiled(tuple(names), overridden, channels)
        return self._functions[key]

    def _is_full(self, key: tuple[Any, ...]) -> bool:
        full = sum(other[1:] == key[1:] for other in self._functions) >= MOST_SIZES
        if full and not self._warned:
            self._warned = True
            warnings.warn(
                f"The transforms give images of more than {MOST_SIZES} sizes: those beyond are computed without "
                "compilation, as each size needs a compilation of its own.",
                stacklevel=2,
            )
        return full

    def _compiled(self, names: tuple[str, ...], overridden: bool, channels: Selected) -> Compiled:
        model, update = self._model, REDIRECTED_UPDATES if overridden else None

        def compute(image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            # The override is entered inside: from outside, it would not see the calls of a compiled function.
            return tuple(overridden_activations(model, image, names, update, channels).values())

        compiled: Compiled = torch.compile(compute, dynamic=False, mode=self._mode)
        return _prepared(compute, compiled, recompile_limit=8 * MOST_SIZES)


def _prepared(function: Compiled, compiled: Compiled, recompile_limit: int) -> Compiled:
    """A compiled function whose first call, which compiles, may be one of many of its source line."""
    from torch._dynamo import config

    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    ready = False

    def call(image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        nonlocal ready
        if ready:
            return compiled(image)
        with torch.no_grad():
            function(image)  # what a model sets up when it is first asked would be traced as well, in pieces
        with config.patch({name: max(recompile_limit, getattr(config, name))}):
            values = compiled(image)
        ready = True
        return values

    return call


# Gradient override ----------------------------------------------------------------------------


def is_redirected(update: int | None) -> bool:
    """Whether an update is one of the first, in which ReLU gradients are redirected."""
    return update is not None and update < REDIRECTED_UPDATES


def overridden_activations(
    model: ActivationsModel,
    image: torch.Tensor,
    names: Sequence[str],
    update: int | None,
    channels: Selected = None,
) -> Values:
    """Layers' values under the gradient override of an update, or under none (None).

    Converted networks compute the later rule's formulas themselves; for others, a mode looks at every call.
    `channels` are for models that have `can_select`.
    """
    extra: dict[str, Any] = {} if channels is None else {"channels": channels}
    able: Any = model
    if update is None:
        return able.activations(image, names, **extra)
    if not is_redirected(update) and getattr(model, "can_replace", False):
        return able.activations(image, names, instead=PASSING_AT_LIMITS, **extra)
    with redirection(update):
        return able.activations(image, names, **extra)


# Both -----------------------------------------------------------------------------------------


class Acceleration:
    """Computes the layers that a render reads.

    Args:
        model: the model.
        device: where it is.
        precision: one of `PRECISIONS`; with "bf16", a copy of the model is computed, made now.
        compile: whether to compile the network's part of the steps. Where that cannot work, a warning says why, and
            steps are made without.

    Raises:
        ValueError: the precision is another.
        TypeError: `compile` is neither True nor False.
    """

    def __init__(
        self, model: ActivationsModel, device: torch.device, precision: str = "float32", compile: bool = False
    ) -> None:
        check_precision(precision, device)
        if not isinstance(compile, bool):
            raise TypeError(f"compile is True or False, not {checks.shown(compile)}.")
        model = _rounded(model) if precision == "bf16" else model
        self._model = model
        self._device = device
        self.precision = precision
        reason = obstacle(device) if compile else None
        if reason is not None:
            warnings.warn(f"compile=True has no effect: {reason}.", stacklevel=4)
        self._compilation = _Compilation(model, device) if compile and reason is None else None

    @property
    def compiles(self) -> bool:
        """Whether steps are compiled."""
        return self._compilation is not None

    @property
    def reuses_memory(self) -> bool:
        """Whether what a step computed is overwritten by the next (by CUDA graphs): what is kept has to be copied."""
        return self._compilation is not None and self._compilation.has_cuda_graphs

    def settings(self) -> contextlib.AbstractContextManager[None]:
        """Context for a whole step, forward and backward: TF32 as asked for. Nothing where there is no GPU."""
        return tf32(self.precision == "tf32") if self._device.type == "cuda" else contextlib.nullcontext()

    def activations(
        self,
        image: torch.Tensor,
        names: Sequence[str],
        update: int | None = None,
        compilable: bool = False,
        channels: Selected = None,
    ) -> Values:
        """Layers' values for a transformed image, in the image's precision.

        Args:
            image: (N, C, H, W) in [0, 1].
            names: of the layers.
            update: number of updates made, which the gradient override depends on; None for no override.
            compilable: whether this is one of many calls with these layers.
            channels: of some of the layers, the channels that are wanted, for models that have `can_select`.
        """
        compilation = self._compilation if compilable and not is_redirected(update) else None
        with self._autocast():
            function = None if compilation is None else compilation.function(image, names, update is not None, channels)
            if function is not None:
                torch.compiler.cudagraph_mark_step_begin()
                values: Values = dict(zip(names, function(image), strict=True))
            else:
                values = overridden_activations(self._model, image, names, update, channels)
        if self.precision != "bf16":
            return values
        return {name: _as_precise(value, image.dtype) for name, value in values.items()}

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)


def _rounded(model: ActivationsModel) -> ActivationsModel:
    """A copy of a model whose network's weights are bfloat16; how an image is mapped to its input stays as it is.

    Autocast would round frozen weights anew in every step, and what has a gradient of its own sees them as they are.
    """
    twin: Any = copy.deepcopy(model)
    twin.network.to(torch.bfloat16)
    return twin


def _as_precise(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype) if value.dtype == torch.bfloat16 else value
