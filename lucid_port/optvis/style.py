"""Style losses: distances between the statistics of activations.

See Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style" (2015).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.layouts import described
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.objectives.readers import Reader, as_reader

if TYPE_CHECKING:
    from lucid_port.optvis.engine.coerce import Model

__all__ = ["StyleLoss", "gram_style", "mean_l1_loss", "mean_l2_loss"]


def gram_style(a: torch.Tensor) -> torch.Tensor:
    """Returns the Gram matrix of an activation, averaged over images and positions.

    Args:
        a: [N, C, ...].

    Returns:
        [C, C].

    Raises:
        ValueError: The activation has fewer than 2 axes.

    Example:
        >>> gram_style(torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4))
        tensor([[1., 2.],
                [2., 4.]])
    """
    if a.ndim < 2:
        raise ValueError(f"gram_style takes an activation [N, C, ...], not one of shape {list(a.shape)}.")
    flat = a.movedim(1, -1).reshape(-1, a.shape[1])
    return flat.T @ flat / flat.shape[0]


def mean_l1_loss(g1: torch.Tensor, g2: torch.Tensor) -> torch.Tensor:
    """Returns the mean absolute difference of two tensors of one shape.

    Example:
        >>> mean_l1_loss(torch.zeros(2, 2), 3 * torch.eye(2))
        tensor(1.5000)
    """
    _check_alike(g1, g2)
    return (g1 - g2).abs().mean()


def mean_l2_loss(g1: torch.Tensor, g2: torch.Tensor) -> torch.Tensor:
    """Returns the root mean square difference of two tensors of one shape; the gradient is 0 if they are equal.

    Example:
        >>> mean_l2_loss(torch.zeros(2, 2), 3 * torch.ones(2, 2))
        tensor(3.)
    """
    _check_alike(g1, g2)
    return torch.linalg.vector_norm(g1 - g2) / (g1.numel() ** 0.5)


def _check_alike(g1: torch.Tensor, g2: torch.Tensor) -> None:
    if g1.shape != g2.shape:
        raise ValueError(
            f"Statistics of the shapes {list(g1.shape)} and {list(g2.shape)} cannot be compared: set the style with "
            "the model and layers of the render, and use a style_func whose result does not depend on the size."
        )


LayerActivations: TypeAlias = Mapping[str, torch.Tensor] | Callable[[str], Any]
"""Activations by layer: a mapping, or a function of the layer's name such as `T`."""


class StyleLoss:
    """Distance between the styles of the optimized image and of a picture, in some layers.

    Calling it with `T` returns the loss, which is minimized; `objective` returns an objective for it.

    Args:
        style_layers: Names of the layers.
        ema_decay: Decay, in [0, 1], of moving averages of the statistics. The averages are compared
            in place of the statistics, for renders whose steps see only a part of the image. Gradients flow
            as if there were no average. The averages start at 0, without bias correction, and are
            updated before they are used.
        style_func: Function from an activation (NCHW) to its statistics.
        loss_func: Function from two statistics to a scalar.

    Raises:
        TypeError, ValueError: The layers are not a list of names, or the decay is not in [0, 1].

    Attributes:
        target_vars: Statistics of the style, None before `set_style`.
        input_grams: Statistics of the latest call.
        effective_grams: Statistics that the latest call compared with the style.
        style_losses: Losses of the layers of the latest call.
        style_loss: Sum of `style_losses`.

    Example:
        >>> style = StyleLoss(["conv2d2"])
        >>> style.set_style({"conv2d2": torch.ones(1, 4, 9, 9)})
        >>> style({"conv2d2": torch.zeros(1, 4, 9, 9)}.get)
        tensor(1.)
    """

    @checked
    def __init__(
        self,
        style_layers: Sequence[str],
        ema_decay: float | None = None,
        style_func: Callable[[torch.Tensor], torch.Tensor] = gram_style,
        loss_func: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = mean_l1_loss,
    ) -> None:
        if ema_decay is not None and not 0 <= checks.number(ema_decay, "ema_decay") <= 1:
            raise ValueError(f"ema_decay is between 0 and 1, not {ema_decay}.")
        wanted = "a list of layer names"
        self.style_layers = [
            checks.text(layer, "Each of style_layers", "a layer's name")
            for layer in checks.items(style_layers, "style_layers", wanted)
        ]
        if not self.style_layers:
            raise ValueError(f"style_layers is {wanted}, and it is empty.")
        for function, name in ((style_func, "style_func"), (loss_func, "loss_func")):
            if not callable(function):
                raise TypeError(f"{name} is a function, not {checks.shown(function)}.")
        self.ema_decay = ema_decay
        self.style_func, self.loss_func = style_func, loss_func
        self._moved = True  # whether the channels of the style are known to be the second axis
        self.target_vars: list[torch.Tensor] | None = None
        self.averages: list[torch.Tensor] | None = None
        self.input_grams: list[torch.Tensor] = []
        self.effective_grams: list[torch.Tensor] = []
        self.style_losses: list[torch.Tensor] = []
        self.style_loss: torch.Tensor | None = None

    @checked
    def set_style(self, activations: LayerActivations, model: Model | None = None) -> None:
        """Sets the style.

        Args:
            activations: Activations by layer. For a picture, use
                `model.activations(image, style.style_layers)`.
            model: The model that gave them, whose layers may have the channels on another axis than the second. None if
                the activations are (N, C, ...).

        Raises:
            KeyError: A layer is missing.
            converters.ChannelAxisError: The model does not know the axes of a layer.
            TypeError: `activations` is neither a mapping nor a function.
        """
        if isinstance(activations, Mapping):
            missing = [layer for layer in self.style_layers if layer not in activations]
            if missing:
                raise KeyError(f"The activations lack the style's layer {missing[0]!r}: they have {list(activations)}.")
        elif not callable(activations):
            raise TypeError(
                "set_style takes activations by layer, as model.activations(image, style.style_layers) gives them, not "
                f"{checks.shown(activations)}."
            )
        read = activations.__getitem__ if isinstance(activations, Mapping) else activations
        self._moved = model is not None or not isinstance(activations, Mapping)
        self.target_vars = [g.detach() for g in self._grams(read if model is None else _first(read, model))]

    def __call__(self, T: Callable[[str], Any]) -> torch.Tensor:
        """Returns the loss for the activations of `T`, a scalar tensor.

        Raises:
            RuntimeError: `set_style` was not called.
            ValueError: A layer has its channels on another axis than the second, and `set_style` got no model.
        """
        if self.target_vars is None:
            raise RuntimeError("No style to compare with: call set_style first.")
        if not self._moved:
            self._check_axes(as_reader(T))
        self.input_grams = self._grams(T)
        self.effective_grams = self._averaged(self.input_grams)
        self.style_losses = [
            self.loss_func(gram, target) for gram, target in zip(self.effective_grams, self.target_vars, strict=True)
        ]
        self.style_loss = torch.stack(self.style_losses).sum()
        return self.style_loss

    def objective(self) -> Objective:
        """Returns minus the loss as an objective."""
        return Objective(lambda T: -self(T), "style", f"Style [{', '.join(self.style_layers)}]")

    def _check_axes(self, T: Reader) -> None:
        for layer in self.style_layers:
            axes = T.layout(layer).axes
            if axes[:2] != "NC":
                raise ValueError(
                    f"The tensor of layer {layer!r} has the axes {axes}: give set_style the model as well, which moves "
                    "the channels, as in set_style(model.activations(image, layers), model)."
                )
        self._moved = True

    def _grams(self, read: Callable[[str], Any]) -> list[torch.Tensor]:
        return [self.style_func(read(layer)) for layer in self.style_layers]

    def _averaged(self, grams: list[torch.Tensor]) -> list[torch.Tensor]:
        if self.ema_decay is None:
            return grams
        if self.averages is None:
            self.averages = [torch.zeros_like(gram) for gram in grams]
        rest = 1.0 - self.ema_decay
        self.averages = [
            average - (average - gram.detach()) * rest for average, gram in zip(self.averages, grams, strict=True)
        ]
        return [gram + (average - gram).detach() for gram, average in zip(grams, self.averages, strict=True)]


def _first(read: Callable[[str], Any], model: Model) -> Callable[[str], torch.Tensor]:
    """Returns a function of a layer's name that moves the axes of the activations of a model to (N, C, ...)."""

    def moved(layer: str) -> torch.Tensor:
        info = described(model, layer)
        value: torch.Tensor = read(layer)
        return value if info is None else info.channels_first(value)

    return moved
