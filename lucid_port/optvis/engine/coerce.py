"""What a render is made of: a model, a parameterization, transforms, an optimiser; and what is refused as one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from converters.network.request import LayerRequest, unsupported
from lucid_port.optvis import param
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import Parameterization, as_parameterization
from lucid_port.optvis.transform import Transform, as_transform, compose, standard_transforms

__all__ = [
    "Computing",
    "Model",
    "OptimizerLike",
    "ParamLike",
    "ReluOverride",
    "TransformsLike",
    "as_computing",
    "check_model",
    "check_optimizer",
    "check_value",
    "make_optimizer",
    "make_param",
    "make_transform_f",
]


class Model(Protocol):
    """What a render needs of a model."""

    @property
    def network(self) -> Any: ...

    @property
    def labels(self) -> Sequence[str]: ...

    def activations(self, image: torch.Tensor, names: Sequence[str]) -> Mapping[str, torch.Tensor]: ...


@runtime_checkable
class Computing(Protocol):
    """Computes requested layers for images in [0, 1]."""

    def supports(self, request: LayerRequest) -> bool:
        """Whether `compute` honors the channels and the ReLU rule of a request."""
        ...

    def compute(self, image: torch.Tensor, request: LayerRequest) -> Mapping[str, torch.Tensor]:
        """The values of the requested layers."""
        ...


class _NamesOnly:
    """A model that has `activations` alone: it computes whole layers as they are."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def supports(self, request: LayerRequest) -> bool:
        return not (request.channels or request.relu_rule)

    def compute(self, image: torch.Tensor, request: LayerRequest) -> Mapping[str, torch.Tensor]:
        if not self.supports(request):
            raise unsupported(request)
        return self._model.activations(image, request.names)


def as_computing(model: Model) -> Computing:
    """The model itself if it computes requests, else an adapter that asks it for names."""
    return model if isinstance(model, Computing) else _NamesOnly(model)


ParamLike = Any
TransformsLike = Any
OptimizerLike = Any
ReluOverride = bool | Literal["always"]


def make_param(param_f: ParamLike = None) -> Parameterization:
    """The parameterization of a render.

    Args:
        param_f: None for `param.image(128)`; a parameterization (which keeps its values if it
            has any); a module or tensor that gives an NCHW image; or a function without
            arguments that returns one of these, called once.

    Raises:
        TypeError: something else was given.
    """
    if param_f is None:
        return param.image(128)
    if not callable(param_f) or isinstance(param_f, (torch.nn.Module, torch.Tensor)):
        return as_parameterization(param_f)
    missing = _needed_arguments(param_f)
    if missing:
        name = getattr(param_f, "__name__", type(param_f).__name__)
        raise TypeError(
            f"param_f is called without arguments, but {name} needs {', '.join(missing)}: give it them in a function "
            f"without arguments, as in lambda: param.image(128)."
        )
    return as_parameterization(param_f())


def _needed_arguments(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a function cannot be called without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some functions written in C do not tell
        return []
    collects = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in collects]


def make_transform_f(transforms: TransformsLike = None) -> Transform:
    """One transform from a list: None stands for `standard_transforms`, an empty list for none.

    Raises:
        TypeError: no transform, function or iterable of these was given.
    """
    if transforms is None:
        return compose(standard_transforms)
    if isinstance(transforms, Transform) or callable(transforms):
        return as_transform(transforms)
    if isinstance(transforms, Iterable):
        return compose(transforms)
    raise TypeError(f"transforms is None, a transform or a list of transforms, not {transforms!r}.")


def make_optimizer(optimizer: OptimizerLike, parameters: Sequence[torch.Tensor]) -> torch.optim.Optimizer:
    """The optimiser of a render.

    Args:
        optimizer: None for TensorFlow's Adam with a rate of 0.05; a function of the list of
            parameters (`lambda p: torch.optim.SGD(p, lr=1.0)`); or an optimiser made for them.
        parameters: what is optimised.

    Raises:
        TypeError: something else was given.
    """
    if optimizer is None:
        return TFAdam(parameters, lr=0.05)
    if isinstance(optimizer, torch.optim.Optimizer):
        return optimizer
    if callable(optimizer):
        return optimizer(parameters)
    raise TypeError(
        f"optimizer is None, a torch optimizer, or a function from the list of parameters to one, not {optimizer!r}."
    )


def check_value(value: Any, objective: str) -> None:
    """Refuses an objective's value that no gradient can be taken of.

    Raises:
        ValueError: it does not depend on the image.
    """
    if value is None:
        raise ValueError(f"The objective {objective!r} gave nothing: is its `return` missing?")
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        raise ValueError(f"The objective {objective!r} does not depend on the image: it gave {value!r}.")


def check_model(model: Any) -> None:
    """Refuses what people give for a model by mistake."""
    if isinstance(model, type):
        raise TypeError(f"{model.__name__} is a class of models: call it, as in {model.__name__}().")
    if not hasattr(model, "activations"):
        raise TypeError(
            f"A {type(model).__name__} is no model: wrap a PyTorch network with modelzoo.from_torch.from_torch, or "
            "open one by its name with modelzoo.nets_factory.get_model."
        )
    if not hasattr(model, "network"):
        raise TypeError(
            f"A {type(model).__name__} is the network of a model, which does not know how images are prepared for it: "
            "give the model itself, or make one with modelzoo.from_torch.from_torch."
        )


def check_optimizer(optimizer: Any, parameters: Sequence[torch.Tensor]) -> None:
    """Refuses an optimiser that would leave the image as it is."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"The optimizer function gave a {type(optimizer).__name__}, not a torch optimizer.")
    # Of the class: a learning rate schedule puts a wrapper around the instance's own.
    if _needed_arguments(functools.partial(type(optimizer).step, optimizer)):
        raise TypeError(
            f"{type(optimizer).__name__} evaluates the objective itself, several times for an update (its step needs a "
            "closure), which a render does not offer: use an optimizer such as Adam or SGD."
        )
    owned = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not owned & {id(parameter) for parameter in parameters}:
        raise ValueError(
            "The optimizer does not own any of the image's parameters: give a function that makes it for them, as in "
            "optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0)."
        )
