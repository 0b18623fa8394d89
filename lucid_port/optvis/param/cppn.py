"""Compositional pattern producing networks: images computed from pixel coordinates by a small network.

See Stanley, "Compositional pattern producing networks" (2007), and Mordvintsev et al.,
"Differentiable Image Parameterizations" (Distill 2018).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.param.base import Memo, Parameterization, parameterization
from lucid_port.optvis.sampling import RandomSource

__all__ = [
    "ACTIVATIONS",
    "composite_activation",
    "coordinate_grid",
    "cppn",
    "relu_normalized_activation",
    "unbiased_composite_activation",
]


def composite_activation(x: torch.Tensor) -> torch.Tensor:
    """`[atan(x) / 0.67, atan(x)^2 / 0.6]`, which doubles the channels (axis 1)."""
    x = torch.atan(x)
    return torch.cat([x / 0.67, (x * x) / 0.6], 1)


def unbiased_composite_activation(x: torch.Tensor) -> torch.Tensor:
    """`composite_activation` with a second half of mean 0 and standard deviation 1 for normal input."""
    x = torch.atan(x)
    return torch.cat([x / 0.67, (x * x - 0.45) / 0.396], 1)


def relu_normalized_activation(x: torch.Tensor) -> torch.Tensor:
    """A ReLU with mean 0 and standard deviation 1 for normal input."""
    return (torch.relu(x) - 0.40) / 0.58


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "composite": composite_activation,
    "unbiased_composite": unbiased_composite_activation,
    "relu_normalized": relu_normalized_activation,
}
"""Activations by the name that recipes use."""


def coordinate_grid(width: int) -> torch.Tensor:
    """Returns x (columns) and y (rows) from -sqrt(3) to sqrt(3), [1, 2, width, width] float32."""
    limit = np.float32(3.0**0.5)
    step = (limit + limit) / np.float32(max(width - 1, 1))
    line = -limit + np.arange(width, dtype=np.float32) * step
    line[-1] = limit if width > 1 else -limit
    x, y = np.meshgrid(line, line)
    return torch.from_numpy(np.stack([x, y])[None])


def _truncated_normal(source: RandomSource, name: str, size: tuple[int, ...]) -> torch.Tensor:
    """Draws normal numbers truncated at two standard deviations, by inverse transform sampling."""
    uniform = torch.from_numpy(np.asarray(source.uniform(name, size)))
    edge = torch.special.ndtr(torch.tensor(-2.0, dtype=torch.float64))
    return torch.special.ndtri(edge + uniform * (1 - 2 * edge))


# Standard deviation of a normal distribution truncated at two standard deviations.
_TRUNCATED_SD = 0.87962566103423978


class _Layer(torch.nn.Module):
    """1x1 convolution with an optional instance norm."""

    def __init__(self, inputs: int, outputs: int, normalize: bool) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(outputs, inputs, 1, 1))
        self.bias = torch.nn.Parameter(torch.zeros(outputs))
        self.gamma = torch.nn.Parameter(torch.ones(outputs)) if normalize else None
        self.beta = torch.nn.Parameter(torch.zeros(outputs)) if normalize else None

    def reset(self, source: RandomSource, last: bool) -> None:
        with torch.no_grad():
            if last:
                self.weight.zero_()
            else:
                deviation = (1.0 / self.weight.shape[1]) ** 0.5 / _TRUNCATED_SD
                drawn = _truncated_normal(source, "weight", tuple(self.weight.shape))
                self.weight.copy_(deviation * drawn)
            self.bias.copy_(torch.from_numpy(0.1 * source.normal("bias", tuple(self.bias.shape))))
            if self.gamma is not None and self.beta is not None:
                self.gamma.fill_(1.0)
                self.beta.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.conv2d(x, self.weight, self.bias)
        if self.gamma is not None:
            x = F.instance_norm(x, weight=self.gamma, bias=self.beta, eps=1e-6)
        return x


class _CPPN(Parameterization):
    grid: torch.Tensor

    def __init__(
        self,
        width: int,
        batch: int,
        outputs: int,
        hidden: int,
        layers: int,
        activation: Callable[[torch.Tensor], torch.Tensor],
        normalize: bool,
    ) -> None:
        super().__init__()
        self._batch, self._activation = batch, activation
        self.register_buffer("grid", coordinate_grid(width).to(torch.get_default_dtype()), persistent=False)
        grown = activation(torch.zeros(1, hidden, 1, 1)).shape[1]
        self.hidden = torch.nn.ModuleList(
            _Layer(2 if index == 0 else grown, hidden, normalize) for index in range(layers)
        )
        self.last = _Layer(grown if layers else 2, outputs, False)

    def draw(self, source: RandomSource) -> None:
        for index, layer in enumerate(self.hidden):
            layer.reset(source.scope(str(index)), last=False)  # type: ignore[operator]
        self.last.reset(source.scope("last"), last=True)

    def compute(self, memo: Memo) -> torch.Tensor:
        x = self.grid
        for layer in self.hidden:
            x = self._activation(layer(x))
        image = torch.sigmoid(self.last(x))
        return image.expand(self._batch, -1, -1, -1)


@parameterization
@checked(instead={"size": "width is its name here"})
def cppn(
    width: int,
    batch: int = 1,
    num_output_channels: int = 3,
    num_hidden_channels: int = 24,
    num_layers: int = 8,
    activation_func: str | Callable[[torch.Tensor], torch.Tensor] = "composite",
    normalize: bool = False,
) -> Parameterization:
    """A square image computed from pixel coordinates by a network of 1x1 convolutions.

    Initially, the image has one uniform color. All images of a batch are equal, as in Lucid.

    Args:
        width: Width and height in pixels.
        batch: Number of images.
        num_output_channels: Number of channels of the image.
        num_hidden_channels: Number of channels of each hidden layer, before the activation.
        num_layers: Number of hidden layers.
        activation_func: Name in `ACTIVATIONS`, or a function of an NCHW tensor (which cannot be
            serialized).
        normalize: Whether to apply instance normalization after each hidden convolution.

    Returns:
        A parameterization of shape [batch, width, width, num_output_channels] with values in (0, 1).

    Raises:
        TypeError, ValueError: The activation is unknown, or a number is out of range.

    Example:
        >>> cppn(32, num_layers=2).shape
        (1, 32, 32, 3)
    """
    width, batch, outputs, hidden, layers = (
        checks.whole(width, "cppn's width", 1),
        checks.whole(batch, "cppn's batch", 1),
        checks.whole(num_output_channels, "cppn's num_output_channels", 1),
        checks.whole(num_hidden_channels, "cppn's num_hidden_channels", 1),
        checks.whole(num_layers, "cppn's num_layers", 0),
    )
    if isinstance(activation_func, str) and activation_func not in ACTIVATIONS:
        raise ValueError(f"Unknown activation {checks.shown(activation_func)}: use {', '.join(ACTIVATIONS)}.")
    activation = ACTIVATIONS[activation_func] if isinstance(activation_func, str) else activation_func
    if not callable(activation):
        raise TypeError(f"cppn's activation_func is a name or a function, not {checks.shown(activation)}.")
    return _CPPN(width, batch, outputs, hidden, layers, activation, normalize)
