"""Defects of objectives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from lucid_port.optvis import objectives
from lucid_port.optvis.objectives import images, reading
from parity_tests.mutations.patching import Patches
from parity_tests.mutations.registry import OBJECTIVES, mutation


@mutation(OBJECTIVES, "neuron")
def x_and_y_swapped(p: Patches) -> None:
    """A neuron's x counts columns."""
    original = reading.position_in
    p.everywhere(original, lambda tensor, x, y: original(tensor, y, x))


@mutation(OBJECTIVES, "neuron")
def centre_before_the_middle(p: Patches) -> None:
    """The centre of an even number of rows is the one before the middle."""

    def position(tensor: torch.Tensor, x: int | None, y: int | None) -> torch.Tensor:
        row = (tensor.shape[1] - 1) // 2 if x is None else x
        column = (tensor.shape[2] - 1) // 2 if y is None else y
        return tensor[:, row : row + 1, column : column + 1]

    p.everywhere(reading.position_in, position)


@mutation(OBJECTIVES, "direction")
def cosine_without_floor(p: Patches) -> None:
    """The cosine is not kept above 0.1."""

    def dot(x: torch.Tensor, y: torch.Tensor, cossim_pow: float) -> torch.Tensor:
        product = (x * y).sum(-1)
        if cossim_pow == 0:
            return product
        cosine = product / (1e-4 + x.norm(dim=-1)) / (1e-4 + y.norm(dim=-1))
        return product * cosine.clamp(min=0) ** cossim_pow

    p.everywhere(reading.dot_product, dot)


@mutation(OBJECTIVES, "direction")
def direction_averages_channels(p: Patches) -> None:
    """A direction's dot product is a mean over the channels, as before Lucid 0.3.10."""
    original = reading.dot_product
    p.everywhere(original, lambda x, y, cossim_pow: original(x, y, cossim_pow) / x.shape[-1])


@mutation(OBJECTIVES, "blur")
def blur_kernel_is_flat(p: Patches) -> None:
    """The blur's kernel has the same weight on its rim as inside."""

    def blur(image: torch.Tensor, w: int) -> torch.Tensor:
        return F.avg_pool2d(image, w, 1, w // 2, count_include_pad=False)

    p.everywhere(images.blur, blur)


@mutation(OBJECTIVES, "blur")
def blur_passes_gradient(p: Patches) -> None:
    """The blurred image is not held fixed: its gradient counts, too."""

    def blur_input_each_step() -> Any:
        def value(T: Any) -> torch.Tensor:
            return 0.5 * ((T("input") - images.blur(T("input"), 3)) ** 2).sum()

        return objectives.Objective(value, "blur_input_each_step", "Blur_Input_Each_Step []")

    p.everywhere(objectives.blur_input_each_step, blur_input_each_step)


@mutation(OBJECTIVES, "total_variation")
def total_variation_of_the_batch(p: Patches) -> None:
    """`total_variation` is one number, not one for each image."""
    original = objectives.total_variation

    def total_variation(layer: str = "input") -> Any:
        made = original(layer)
        return objectives.Objective(lambda T: made(T).sum(), made.name, made.description)

    p.everywhere(original, total_variation)


def _replace_objective(p: Patches, name: str, value: Callable[..., Any]) -> None:
    """Gives an objective another value: `value(T, original, *arguments)`."""
    original = getattr(objectives, name)

    def make(*args: Any, **kwargs: Any) -> objectives.Objective:
        made, arguments = original(*args, **kwargs), inspect.signature(original).bind(*args, **kwargs).args
        return objectives.Objective(lambda T: value(T, made, *arguments), made.name, made.description)

    p.everywhere(original, make)


@mutation(OBJECTIVES, "channel_interpolate")
def interpolation_never_arrives(p: Patches) -> None:
    """The weights of `channel_interpolate` are n / N, so that the last image is not at the end."""

    def value(T: Any, _: Any, layer1: str, n_channel1: int, layer2: str, n_channel2: int) -> torch.Tensor:
        first, second = T(layer1)[:, n_channel1].mean((1, 2)), T(layer2)[:, n_channel2].mean((1, 2))
        weight = torch.arange(len(first)) / len(first)
        return ((1 - weight) * first + weight * second).sum()

    _replace_objective(p, "channel_interpolate", value)


@mutation(OBJECTIVES, "diversity")
def diversity_counts_images_with_themselves(p: Patches) -> None:
    """`diversity` counts the pairs of an image with itself, too."""
    _replace_objective(p, "diversity", lambda T, made, layer: made(T) + 1)


@mutation(OBJECTIVES, "class_logit")
def class_logit_averages(p: Patches) -> None:
    """`class_logit` averages over the batch, as the other objectives do."""

    def value(T: Any, made: Any, layer: str, *_: Any) -> torch.Tensor:
        return made(T) / len(T(layer))

    _replace_objective(p, "class_logit", value)
