"""Layers that join, split, move, reduce and multiply values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters import functional
from converters.functional import Expression


class Linear(nn.Linear):
    """MatMul with a constant matrix."""

    def __init__(self, in_features: int, out_features: int) -> None:
        nn.Module.__init__(self)  # torch's own constructor draws random weights
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return ""


class Concat(nn.Module):
    """Concat and ConcatV2 along torch's axis `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *towers: Tensor) -> Tensor:
        return functional.concat(towers, self.dim)


class Reshape(nn.Module):
    """Reshape of the first input; `shape` and the order of the elements are TensorFlow's.

    The shape may contain size expressions over all inputs (`functional.sizes`).
    """

    def __init__(self, shape: Sequence[Expression], source: str = "NHWC", target: str = "NHWC") -> None:
        super().__init__()
        self.shape, self.source, self.target = tuple(shape), source, target

    def forward(self, *inputs: Tensor) -> Tensor:
        shape = functional.evaluate_sizes(self.shape, inputs)
        return functional.reshape(inputs[0], shape, self.source, self.target)


class Squeeze(nn.Module):
    """Squeeze of torch's axes `dims`."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def forward(self, x: Tensor) -> Tensor:
        return functional.squeeze(x, self.dims)


class SqueezeAll(nn.Module):
    """Squeeze of all axes of length 1; `rank` axes remain."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank

    def forward(self, x: Tensor) -> Tensor:
        return functional.squeeze_all(x, self.rank)


class Unsqueeze(nn.Module):
    """ExpandDims: a new axis `dim`, and then a permutation of the axes to `order`."""

    def __init__(self, dim: int, order: Sequence[int] | None = None) -> None:
        super().__init__()
        self.dim, self.order = dim, order

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(self.dim)
        return x if self.order is None else functional.transpose(x, self.order)


class Mean(nn.Module):
    """Mean over torch's axes `dims`."""

    def __init__(self, dims: Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.dims, self.keepdim = tuple(dims), keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dims, self.keepdim)


class Pad(nn.Module):
    """Pad with a constant; `padding` is in the order of `torch.nn.functional.pad` (last axis first)."""

    def __init__(self, padding: Sequence[Expression], value: float = 0.0) -> None:
        super().__init__()
        self.padding, self.value = tuple(padding), value

    def forward(self, *inputs: Tensor) -> Tensor:
        return F.pad(inputs[0], functional.evaluate_sizes(self.padding, inputs), value=self.value)


class MirrorPad(nn.Module):
    """MirrorPad; `padding` is in the order of `torch.nn.functional.pad` (last axis first)."""

    def __init__(self, padding: Sequence[Expression], repeats_border: bool) -> None:
        super().__init__()
        self.padding, self.repeats_border = tuple(padding), repeats_border

    def forward(self, *inputs: Tensor) -> Tensor:
        padding = functional.evaluate_sizes(self.padding, inputs)
        return functional.mirror_pad(inputs[0], padding, self.repeats_border)


class Tile(nn.Module):
    """Tile: repeats torch's axes `times` times."""

    def __init__(self, times: Sequence[Expression]) -> None:
        super().__init__()
        self.times = tuple(times)

    def forward(self, *inputs: Tensor) -> Tensor:
        return functional.tile(inputs[0], functional.evaluate_sizes(self.times, inputs))


class Fill(nn.Module):
    """Fill: a tensor of one value, whose shape depends on the inputs' sizes."""

    def __init__(self, shape: Sequence[Expression], value: float) -> None:
        super().__init__()
        self.shape, self.value = tuple(shape), value

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].new_full(functional.evaluate_sizes(self.shape, inputs), self.value)


class Stack(nn.Module):
    """Pack: stacks values along a new axis `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *values: Tensor) -> Tensor:
        return functional.stack(values, self.dim)


class Index(nn.Module):
    """Slice and StridedSlice; `items` as for `functional.index_axes`, with size expressions as bounds."""

    def __init__(self, items: Sequence[tuple[Expression, ...]]) -> None:
        super().__init__()
        self.items = tuple(items)

    def forward(self, *inputs: Tensor) -> Tensor:
        items = [(kind, *[functional.evaluate_size(bound, inputs) for bound in bounds]) for kind, *bounds in self.items]
        return functional.index_axes(inputs[0], items)


class Take(nn.Module):
    """Gather of constant `positions` along torch's axis `dim`."""

    def __init__(self, positions: Sequence[int], dim: int) -> None:
        super().__init__()
        self.positions, self.dim = tuple(positions), dim

    def forward(self, x: Tensor) -> Tensor:
        return functional.take(x, self.positions, self.dim)


class MatMul(nn.Module):
    """MatMul and BatchMatMul of two values."""

    def __init__(self, transpose_a: bool = False, transpose_b: bool = False) -> None:
        super().__init__()
        self.transpose_a, self.transpose_b = transpose_a, transpose_b

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return functional.matmul(x.mT if self.transpose_a else x, y.mT if self.transpose_b else y)


class Resize(nn.Module):
    """ResizeBilinear and ResizeNearestNeighbor to `size`, (height, width), which may be size expressions."""

    def __init__(self, size: Sequence[Expression], method: str, convention: str) -> None:
        super().__init__()
        self.size, self.method, self.convention = tuple(size), method, convention

    def forward(self, *inputs: Tensor) -> Tensor:
        return functional.resize(inputs[0], functional.evaluate_sizes(self.size, inputs), self.method, self.convention)


class SpaceToBatch(nn.Module):
    """SpaceToBatchND over torch's axes `dims`."""

    def __init__(self, block: Sequence[int], padding: Sequence[Expression], dims: Sequence[int]) -> None:
        super().__init__()
        self.block, self.padding, self.dims = tuple(block), tuple(padding), tuple(dims)

    def forward(self, *inputs: Tensor) -> Tensor:
        padding = functional.evaluate_sizes(self.padding, inputs)
        return functional.space_to_batch(inputs[0], self.block, padding, self.dims)


class BatchToSpace(nn.Module):
    """BatchToSpaceND over torch's axes `dims`."""

    def __init__(self, block: Sequence[int], crops: Sequence[Expression], dims: Sequence[int]) -> None:
        super().__init__()
        self.block, self.crops, self.dims = tuple(block), tuple(crops), tuple(dims)

    def forward(self, *inputs: Tensor) -> Tensor:
        crops = functional.evaluate_sizes(self.crops, inputs)
        return functional.batch_to_space(inputs[0], self.block, crops, self.dims)


class SpaceToDepth(nn.Module):
    """SpaceToDepth."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return functional.space_to_depth(x, self.block)


class DepthToSpace(nn.Module):
    """DepthToSpace."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return functional.depth_to_space(x, self.block)


REDUCTIONS: dict[str, Callable[[Tensor, tuple[int, ...], bool], Tensor]] = {
    "sum": torch.sum,
    "max": torch.amax,
    "min": torch.amin,
    "prod": functional.reduce_prod,
}


class Reduce(nn.Module):
    """Sum, Max, Min and Prod over torch's axes `dims`."""

    def __init__(self, function: str, dims: Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.function, self.dims, self.keepdim = function, tuple(dims), keepdim

    def forward(self, x: Tensor) -> Tensor:
        return REDUCTIONS[self.function](x, self.dims, self.keepdim)

    def extra_repr(self) -> str:
        return repr(self.function)


class ArgMax(nn.Module):
    """ArgMax along torch's axis `dim`; of equal values, the first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(self.dim)


class ArgMin(nn.Module):
    """ArgMin along torch's axis `dim`; of equal values, the first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.argmin(self.dim)


class Split(nn.Module):
    """Split and SplitV into parts of `sizes` along torch's axis `dim`; one size may be -1 for the rest."""

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.sizes, self.dim = tuple(sizes), dim

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return functional.split(x, self.sizes, self.dim)


class Chunk(nn.Module):
    """Split into `count` equal parts along torch's axis `dim`, whose length depends on the image."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.count, self.dim = count, dim

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return functional.chunk(x, self.count, self.dim)


class Unbind(nn.Module):
    """Unpack: `count` values along torch's axis `dim`, which is removed."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.count, self.dim = count, dim

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return functional.unbind(x, self.count, self.dim)


class Arrange(nn.Module):
    """Adds `lead` leading axes of length 1, and then permutes the axes to `dims`."""

    def __init__(self, dims: Sequence[int], lead: int = 0) -> None:
        super().__init__()
        self.dims, self.lead = tuple(dims), lead

    def forward(self, x: Tensor) -> Tensor:
        return functional.arrange(x, self.dims, self.lead)


class Constant(nn.Module):
    """A constant of a given `shape`."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(tuple(shape)))

    def forward(self) -> Tensor:
        return self.value


class Numbers(nn.Module):
    """A tensor of size expressions over the inputs, of a given `shape`."""

    def __init__(self, numbers: Sequence[Expression], shape: Sequence[int]) -> None:
        super().__init__()
        self.numbers, self.shape = tuple(numbers), tuple(shape)

    def forward(self, *inputs: Tensor) -> Tensor:
        return functional.sizes_as_tensor(self.numbers, inputs).reshape(self.shape)
