"""The training network of TinyInceptionV1: InceptionV1 at a quarter of its width, with batch normalization.

The exported graph has InceptionV1's convolutions with a bias: the batch normalization is folded into them (`folded`).
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
from lucid_port.modelzoo.seeded import HEAD_AFTER, MODULES, POOL_AFTER, InceptionModule

WIDTH = 0.25
SIZE = 96
"""Height and width of the training images in pixels."""

FINAL_POOL = 3
"""Window of the last average pool: the whole map of a 96 pixel image (7 in InceptionV1, for 224 pixels)."""

BLACK, WHITE = -117.0, 138.0
"""InceptionV1's input values for black and white."""

# InceptionV1's local response normalization divides by the root of 2 + 1e-4 * (sum of squares), and has an effect at
# InceptionV1's activations, which are tens to hundreds. This factor scales batch-normalized activations to that range.
GAIN = 32.0

LRN = {"depth_radius": 5, "bias": 2.0, "alpha": 1e-4, "beta": 0.5}


def scaled(channels: int, width: float = WIDTH) -> int:
    """Scales a number of channels, rounded up."""
    return math.ceil(channels * width)


class Convolution(nn.Module):
    """Convolution, batch normalization and ReLU.

    Attributes:
        name: name of the layer in the graph.
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
        """Returns weights (out, in, rows, columns) and bias of the equivalent convolution in evaluation mode."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None  # None only with track_running_stats=False
        assert variance is not None
        scale = GAIN * self.norm.weight.double() / torch.sqrt(variance.double() + self.norm.eps)
        weight = self.weight.double() * scale[:, None, None, None]
        bias = GAIN * self.norm.bias.double() - mean.double() * scale
        return weight.float(), bias.float()


class _StridedConvolution(torch.autograd.Function):
    """`functional.conv2d` with a stride and padding "SAME", with a fixed order of summation in its gradient.

    `functional.conv2d` may change its order of summation for speed. Training amplifies the last bit, so that each
    change would lead to a different network.
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
        # The gradient of a convolution over blocks of stride x stride pixels, which has stride 1.
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
        name: name of the layer in the graph.
        gain: scale of the output: `GAIN` for hidden layers, 1 for logits.
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
        """Returns weights (outputs, inputs) and bias of the equivalent layer without scaling."""
        return self.weight * (self.gain / GAIN), self.bias * self.gain


class Inception(nn.Module):
    """One inception module: four parallel towers, concatenated."""

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
        window = min(5, *x.shape[-2:])  # smaller for images below `SIZE`, as in the first phase of training
        x = functional.avg_pool2d(x, (window, window), (3, 3), "VALID")
        x = as_rows(self.bottleneck(x))
        return self.logits(F.relu(self.hidden(x)))


def as_rows(x: Tensor) -> Tensor:
    """Reshapes (N, C, H, W) to (N * H * W, C), as the graph does."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class TinyInception(nn.Module):
    """The training network.

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
            if module.name in HEAD_AFTER:
                self.heads[module.name] = Head(HEAD_AFTER[module.name], channels, classes)
        self.softmax2 = Dense("softmax2", channels, classes)
        for layer in self.layers():
            if layer.name.startswith("softmax"):
                nn.init.zeros_(layer.weight)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Computes the logits of the auxiliary heads and, last, of the network.

        Args:
            pictures: (N, 3, H, W) in [0, 1].

        Returns:
            Logits, (rows, classes) each. There is one row for each image of `SIZE`, more for larger images.
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
        """Yields all layers with weights."""
        for module in self.modules():
            if isinstance(module, Convolution | Dense):
                yield module

    def _lrn(self, x: Tensor) -> Tensor:
        band = functional.lrn_band(x.shape[1], int(LRN["depth_radius"]), LRN["alpha"])
        return functional.local_response_norm(x, band, LRN["bias"], LRN["beta"])
