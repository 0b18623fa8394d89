"""InceptionV1 at a quarter of its width, as it is trained.

Every convolution is followed by batch normalisation while it is trained; the graph that is exported has convolutions
with a bias, as InceptionV1's, into which the normalisation is folded (`folded`), so that it computes the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from converters import functional
from lucid_port.modelzoo.seeded import MODULES, InceptionModule

WIDTH = 0.25
SIZE = 96
"""Height and width of the pictures that it is trained on."""

FINAL_POOL = 3
"""The map of a 96 pixel picture is 3 x 3 where that of InceptionV1's 224 pixels is 7 x 7, and pooled as a whole."""

BLACK, WHITE = -117.0, 138.0
"""What InceptionV1 is fed for black and for white."""

# Activations of InceptionV1 are tens to hundreds, at which its local response normalisation bends (it divides by the
# root of 2 + 1e-4 * sum of squares). Normalised activations are scaled by this, so that it does here, too.
GAIN = 32.0

LRN = {"depth_radius": 5, "bias": 2.0, "alpha": 1e-4, "beta": 0.5}
AUXILIARY = {"mixed4a": 0, "mixed4d": 1}
POOL_AFTER = ("mixed3b", "mixed4e")


def scaled(channels: int, width: float = WIDTH) -> int:
    """Channels at a width, rounded up."""
    return math.ceil(channels * width)


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU.

    Attributes:
        name: of the layer in the graph.
    """

    def __init__(self, name: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.name, self.stride = name, stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.normal_(self.weight, std=math.sqrt(2.0 / (inputs * kernel * kernel)))
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            x = functional.conv2d(x, self.weight, (1, 1), "SAME")
        else:
            x = _StridedConvolution.apply(x, self.weight, self.stride)
        norm = self.norm
        x = F.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight * GAIN, norm.bias * GAIN, self.training, 0.05, norm.eps
        )
        return F.relu(x, inplace=True)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weights (out, in, rows, columns) and bias of the convolution that computes the same in evaluation."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None  # it is None only for a norm that tracks nothing
        assert variance is not None
        scale = GAIN * self.norm.weight.double() / torch.sqrt(variance.double() + self.norm.eps)
        weight = self.weight.double() * scale[:, None, None, None]
        bias = GAIN * self.norm.bias.double() - mean.double() * scale
        return weight.float(), bias.float()


class _StridedConvolution(torch.autograd.Function):
    """`functional.conv2d` with a stride and padding "SAME", its gradient always summed in the same order.

    That of `functional.conv2d` is summed in whatever order is fastest. Training amplifies the last bit, so that every
    time it became faster, the same command would make another network.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        kernel = weight.shape[-2:]
        ctx.pads = top, bottom, left, right = functional.spatial_padding(
            x.shape[-2:], kernel, (stride, stride), (1, 1), "SAME"
        )
        x = F.pad(x, (left, right, top, bottom)).contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None]:
        (grad,), (x, weight), stride = grads, ctx.saved_tensors, ctx.stride
        of_weight = conv2d_weight(x, weight.shape, grad, stride)
        if not ctx.needs_input_grad[0]:
            return None, of_weight, None
        # Of blocks of stride x stride pixels, whose convolution has no stride.
        missing = [-length % stride for length in weight.shape[-2:]]
        blocks = F.pixel_unshuffle(F.pad(weight, (0, missing[1], 0, missing[0])), stride)
        of_blocks = F.conv_transpose2d(grad, blocks.contiguous(memory_format=torch.channels_last))
        of_x = F.pixel_shuffle(of_blocks, stride)
        (height, width), (top, bottom, left, right) = x.shape[-2:], ctx.pads
        of_x = F.pad(of_x, (0, width - of_x.shape[-1], 0, height - of_x.shape[-2]))
        return of_x[..., top : height - bottom, left : width - right], of_weight, None


class Dense(nn.Module):
    """A fully connected layer.

    Attributes:
        name: of the layer in the graph.
        gain: what the result is scaled by: `GAIN` for one whose result is an activation.
        weight: (outputs, inputs).
    """

    def __init__(self, name: str, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        self.name, self.gain = name, gain
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * math.sqrt(1.0 / inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x / GAIN, self.weight, self.bias) * self.gain

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weights (outputs, inputs) and bias of what multiplies and adds only."""
        return self.weight * (self.gain / GAIN), self.bias * self.gain


class Inception(nn.Module):
    """One inception module: four towers side by side."""

    def __init__(self, module: InceptionModule, inputs: int) -> None:
        super().__init__()
        name = module.name
        self.outputs = sum(map(scaled, (module.conv1x1, module.conv3x3, module.conv5x5, module.pool_reduce)))
        three, five = scaled(module.bottleneck3x3), scaled(module.bottleneck5x5)
        self.one = Convolution(f"{name}_1x1", inputs, scaled(module.conv1x1), 1)
        self.three_bottleneck = Convolution(f"{name}_3x3_bottleneck", inputs, three, 1)
        self.three = Convolution(f"{name}_3x3", three, scaled(module.conv3x3), 3)
        self.five_bottleneck = Convolution(f"{name}_5x5_bottleneck", inputs, five, 1)
        self.five = Convolution(f"{name}_5x5", five, scaled(module.conv5x5), 5)
        self.pool_reduce = Convolution(f"{name}_pool_reduce", inputs, scaled(module.pool_reduce), 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = functional.max_pool2d(x, (3, 3), (1, 1))
        towers = [self.one(x), self.three(self.three_bottleneck(x)), self.five(self.five_bottleneck(x))]
        return torch.cat([*towers, self.pool_reduce(pooled)], 1)


class Head(nn.Module):
    """An auxiliary classifier: pool, 1x1 convolution, hidden layer, logits."""

    def __init__(self, index: int, inputs: int, classes: int) -> None:
        super().__init__()
        self.bottleneck = Convolution(f"head{index}_bottleneck", inputs, scaled(128), 1)
        self.hidden = Dense(f"nn{index}", scaled(128), scaled(1024), gain=GAIN)
        self.logits = Dense(f"softmax{index}", scaled(1024), classes)

    def forward(self, x: Tensor) -> Tensor:
        window = min(5, *x.shape[-2:])  # smaller where pictures are smaller than `SIZE`, as they are at first
        x = functional.avg_pool2d(x, (window, window), (3, 3), "VALID")
        x = as_rows(self.bottleneck(x))
        return self.logits(F.relu(self.hidden(x)))


def as_rows(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N * H * W, C), as the graph reshapes."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class TinyInception(nn.Module):
    """The network that is trained.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv2d0 = Convolution("conv2d0", 3, scaled(64), 7, stride=2)
        self.conv2d1 = Convolution("conv2d1", scaled(64), scaled(64), 1)
        self.conv2d2 = Convolution("conv2d2", scaled(64), scaled(192), 3)
        self.modules_by_name = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        channels = scaled(192)
        for module in MODULES:
            inception = Inception(module, channels)
            self.modules_by_name[module.name], channels = inception, inception.outputs
            if module.name in AUXILIARY:
                self.heads[module.name] = Head(AUXILIARY[module.name], channels, classes)
        self.softmax2 = Dense("softmax2", channels, classes)
        for layer in self.layers():
            if layer.name.startswith("softmax"):
                nn.init.zeros_(layer.weight)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Logits of the auxiliary heads and, last, of the network.

        Args:
            pictures: (N, 3, H, W) in [0, 1].

        Returns:
            (rows, classes) each; one row for each picture of `SIZE`.
        """
        x = (pictures * (WHITE - BLACK) + BLACK).contiguous(memory_format=torch.channels_last)
        x = functional.max_pool2d(self.conv2d0(x), (3, 3), (2, 2))
        x = self.conv2d2(self.conv2d1(self._lrn(x)))
        x = functional.max_pool2d(self._lrn(x), (3, 3), (2, 2))
        logits = []
        for name, module in self.modules_by_name.items():
            x = module(x)
            if name in self.heads:
                logits.append(self.heads[name](x))
            if name in POOL_AFTER:
                x = functional.max_pool2d(x, (3, 3), (2, 2))
        window = min(FINAL_POOL, *x.shape[-2:])
        x = functional.avg_pool2d(x, (window, window), (1, 1), "VALID")
        return [*logits, self.softmax2(as_rows(x))]

    def layers(self) -> Iterator[Convolution | Dense]:
        """Every layer with weights."""
        for module in self.modules():
            if isinstance(module, Convolution | Dense):
                yield module

    def _lrn(self, x: Tensor) -> Tensor:
        band = functional.lrn_band(x.shape[1], int(LRN["depth_radius"]), LRN["alpha"])
        return functional.local_response_norm(x, band, LRN["bias"], LRN["beta"])
