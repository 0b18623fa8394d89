"""Converts and checks the arguments of a render: model, parameterization, transforms and optimizer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import torch

from converters import checks
from converters.network.request import LayerRequest, unsupported
from converters.program.layer_info import LayerInfo
from converters.signatures import checked, register
from lucid_port.modelzoo.layouts import described
from lucid_port.optvis import param
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import Parameterization, as_parameterization
from lucid_port.optvis.transform import Transform, TransformLike, as_transform, compose, standard_transforms

__all__ = [
    "Computing",
    "ImageLike",
    "Model",
    "OptimizerLike",
    "ParamLike",
    "ReluOverride",
    "TransformsLike",
    "as_computing",
    "check_model",
    "check_optimizer",
    "check_value",
    "image_shape",
    "layer_info",
    "make_optimizer",
    "make_param",
    "make_transform_f",
]

# Models -----------------------------------------------------------------------------------------


class Model(Protocol):
    """The interface of a model that can be rendered; `modelzoo.vision_base.Model` has it."""

    @property
    def network(self) -> Any:
        """The network, a `torch.nn.Module`."""

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes."""

    def activations(self, image: torch.Tensor, names: Sequence[str]) -> Mapping[str, torch.Tensor]:
        """Returns the activations of layers for images (N, C, H, W) in [0, 1]."""


def layer_info(model: Model, name: str) -> LayerInfo | None:
    """Returns the description of a layer; None if the model's network does not describe its layers.

    Raises:
        converters.LayerNotFoundError: The network describes its layers, and has no layer of this name.
    """
    return described(model, name)


def image_shape(model: Model) -> tuple[int | None, int | None, int | None]:
    """Returns (height, width, channels) that a model was trained on; None for sizes that it does not state."""
    height, width, channels = getattr(model, "image_shape", (None, None, 3))
    return height, width, channels


@runtime_checkable
class Computing(Protocol):
    """Computes requested layers for images in [0, 1]."""

    def supports(self, request: LayerRequest) -> bool:
        """Returns whether `compute` honors the channels and the ReLU rule of a request."""

    def compute(self, image: torch.Tensor, request: LayerRequest) -> Mapping[str, torch.Tensor]:
        """Returns the values of the requested layers."""


class _NamesOnly:
    """Adapter for a model that only has `activations`, which computes whole layers without a ReLU rule."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def supports(self, request: LayerRequest) -> bool:
        return not (request.channels or request.relu_rule)

    def compute(self, image: torch.Tensor, request: LayerRequest) -> Mapping[str, torch.Tensor]:
        if not self.supports(request):
            raise unsupported(request)
        return self._model.activations(image, request.names)


def as_computing(model: Model) -> Computing:
    """Returns the model itself if it computes requests, otherwise an adapter."""
    return model if isinstance(model, Computing) else _NamesOnly(model)


def check_model(model: object) -> None:
    """Checks that an argument is a model, not a class or a bare network.

    Raises:
        TypeError: It is not a model.
    """
    if isinstance(model, type):
        raise TypeError(f"{model.__name__} is a class of models: call it, as in {model.__name__}().")
    if not hasattr(model, "activations"):
        raise TypeError(
            f"A {type(model).__name__} is no model: wrap a PyTorch network with modelzoo.from_torch.from_torch, or "
            "open one by its name with modelzoo.nets_factory.get_model."
        )
    if not hasattr(model, "network"):
        raise TypeError(
            f"A {type(model).__name__} is the network of a model and does not map images to its input range: give the "
            "model itself, or make one with modelzoo.from_torch.from_torch."
        )


def _model(value: object, what: str) -> object:
    check_model(value)
    return value


register(Model, "a model", _model)


# The image --------------------------------------------------------------------------------------

ImageLike: TypeAlias = Parameterization | torch.nn.Module | torch.Tensor
"""A parameterization, a module without inputs that returns NCHW, or a tensor NCHW."""

ParamLike: TypeAlias = ImageLike | Callable[[], ImageLike] | None
"""An image, or a function without arguments that returns one; None for `param.image(128)`."""


@checked
def make_param(param_f: ParamLike = None) -> Parameterization:
    """Returns the parameterization of a render.

    Args:
        param_f: None for `param.image(128)`; a parameterization, which keeps its values if it has
            any; a module without inputs or a tensor that gives NCHW; or a function without
            arguments that returns one of these and is called once.

    Raises:
        TypeError: `param_f` has another type, or is a function that needs arguments.

    Example:
        >>> make_param().shape, make_param(lambda: param.image(32, batch=2)).shape
        ((1, 128, 128, 3), (2, 32, 32, 3))
    """
    if param_f is None:
        return param.image(128)
    if not callable(param_f) or isinstance(param_f, (torch.nn.Module, torch.Tensor)):
        return as_parameterization(param_f)
    missing = _needed_arguments(param_f)
    if missing:
        name = getattr(param_f, "__name__", type(param_f).__name__)
        raise TypeError(
            f"param_f is called without arguments, but {name} needs {', '.join(missing)}: wrap it in a function "
            f"without arguments, as in lambda: param.image(128)."
        )
    return as_parameterization(param_f())


def _needed_arguments(function: Callable[..., Any]) -> list[str]:
    """Returns the names of the arguments without a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some functions written in C have no signature
        return []
    collects = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in collects]


# Transforms -------------------------------------------------------------------------------------

TransformsLike: TypeAlias = TransformLike | Iterable[TransformLike] | None
"""A transform or several, each a `Transform` or a function from NCHW to NCHW; None for `standard_transforms`."""


@checked
def make_transform_f(transforms: TransformsLike = None) -> Transform:
    """Composes transforms into one.

    Args:
        transforms: A transform or a list of transforms. None means `standard_transforms`; an
            empty list for no transform.

    Raises:
        TypeError: `transforms` has another type.

    Example:
        >>> flipped = make_transform_f([lambda image: image.flip(3), lambda image: image.flip(2)])
        >>> flipped(torch.arange(4.0).reshape(1, 1, 2, 2)).flatten()
        tensor([3., 2., 1., 0.])
    """
    if transforms is None:
        return compose(standard_transforms)
    if isinstance(transforms, Transform) or callable(transforms):
        return as_transform(transforms)
    if isinstance(transforms, Iterable):
        return compose(transforms)
    raise TypeError(f"transforms is None, a transform or a list of transforms, not {checks.shown(transforms)}.")


# The optimizer ----------------------------------------------------------------------------------

ReluOverride: TypeAlias = bool | Literal["always"]
"""Whether ReLU gradients are redirected in the first 17 updates; "always" in all of them."""

OptimizerLike: TypeAlias = torch.optim.Optimizer | Callable[[list[torch.Tensor]], torch.optim.Optimizer] | None
"""An optimizer, or a function that makes one for a list of parameters; None for TensorFlow's Adam, rate 0.05."""


@checked
def make_optimizer(optimizer: OptimizerLike, parameters: Sequence[torch.Tensor]) -> torch.optim.Optimizer:
    """Returns the optimizer of a render.

    Args:
        optimizer: None for TensorFlow's Adam with a learning rate of 0.05; a function from the list
            of parameters to an optimizer; or an optimizer of these parameters.
        parameters: Leaf tensors to optimize.

    Raises:
        TypeError: `optimizer` has another type.

    Example:
        >>> values = [torch.zeros(3, requires_grad=True)]
        >>> type(make_optimizer(None, values)).__name__
        'TFAdam'
        >>> make_optimizer(lambda parameters: torch.optim.SGD(parameters, lr=1.0), values).defaults["lr"]
        1.0
    """
    leaves = checks.items(parameters, "make_optimizer's parameters", "a list of tensors")
    if not leaves:
        raise ValueError("make_optimizer's parameters is a list of tensors, and this one is empty.")
    if optimizer is None:
        return TFAdam(leaves, lr=0.05)
    if isinstance(optimizer, torch.optim.Optimizer):
        return optimizer
    if callable(optimizer):
        return optimizer(leaves)
    raise TypeError(
        "optimizer is None, a torch optimizer, or a function from the list of parameters to one, not "
        f"{checks.shown(optimizer)}."
    )


def check_optimizer(optimizer: object, parameters: Sequence[torch.Tensor]) -> None:
    """Checks that an optimizer can update the image.

    Raises:
        TypeError: It is not an optimizer, or its `step` needs a closure.
        ValueError: It owns none of the parameters.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"The optimizer function returned a {type(optimizer).__name__}, not a torch optimizer.")
    # Inspect the class: a learning rate scheduler wraps the instance's `step`.
    if _needed_arguments(functools.partial(type(optimizer).step, optimizer)):
        raise TypeError(
            f"{type(optimizer).__name__} evaluates the objective itself, several times for an update (its step needs a "
            "closure), which a render does not offer: use an optimizer such as Adam or SGD."
        )
    owned = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not owned & {id(parameter) for parameter in parameters}:
        raise ValueError(
            "The optimizer does not own any of the image's parameters: pass a function that makes it for them, as in "
            "optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0)."
        )


def check_value(value: object, objective: str) -> None:
    """Checks that the value of an objective has a gradient.

    Args:
        value: The value.
        objective: Description of the objective, for the error.

    Raises:
        ValueError: The value does not depend on the image.
    """
    if value is None:
        raise ValueError(f"The objective {objective!r} returned None: is its `return` missing?")
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        raise ValueError(
            f"The objective {objective!r} does not depend on the image: it returned {checks.shown(value)}."
        )
