"""The deliberate defects: what each breaks, how, and which tests have to fail.

Each patch is a few lines that write the mistake down as someone would make it. It changes the modules where the name is
looked up, so that every caller gets the mistake.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from converters import functional, layers
from converters.lowering import lower

# `Patches.everywhere` replaces a function in every module that is loaded: these hold copies of names that are patched.
from converters.lowering.ops import elementwise, linear  # noqa: F401 - so that patches reach them
from converters.tracing.traced import LayerGraph
from lucid_port.modelzoo import hooks, vision_base, vision_models  # noqa: F401 - so that patches reach its classes
from lucid_port.optvis import objectives, optimizer, render, resampling, sampling, style, transform
from lucid_port.optvis.engine.step import Evaluation
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives import images, reading
from lucid_port.optvis.overrides import smoothed_maxpool_grad
from lucid_port.optvis.param import color, lowres, spatial
from parity_tests.mutations.patching import Patches

# Functions of these names hide the modules, as in Lucid.
cppn = importlib.import_module("lucid_port.optvis.param.cppn")
redirected_relu_grad = importlib.import_module("lucid_port.optvis.overrides.redirected_relu_grad")


@dataclass(frozen=True)
class Mutation:
    """One defect.

    Attributes:
        name: short name.
        breaks: what is wrong with it, in a few words.
        patch: makes the defect, given where to register patches.
        tests: files below `parity_tests` that have to notice.
        expression: what of them to run, for pytest's `-k`.
    """

    name: str
    breaks: str
    patch: Callable[[Patches], None]
    tests: tuple[str, ...]
    expression: str


MUTATIONS: dict[str, Mutation] = {}
Patch = Callable[[Patches], None]


def mutation(tests: str, expression: str) -> Callable[[Patch], Patch]:
    """Decorator: the function's name and docstring are the mutation's."""

    def add(patch: Patch) -> Patch:
        name, breaks = patch.__name__, " ".join((patch.__doc__ or "").split())
        MUTATIONS[name] = Mutation(name, breaks, patch, tuple(tests.split()), expression)
        return patch

    return add


TRANSFORMS = "optvis/test_transforms_oracle.py"
PARAMS = "optvis/test_params_oracle.py"
OBJECTIVES = "optvis/test_objectives_oracle.py"
OVERRIDES = "optvis/test_overrides_oracle.py"
PARTS = "optvis/test_parts.py"
RENDER = "optvis/test_render.py"
OPS = "converters/test_op_parity.py"
NETWORK = "converters/test_network_parity.py"
MODELS = "modelzoo/test_models.py"
CONTRACT = "modelzoo/test_network_contract.py"
NOTEBOOKS = "notebooks"


# Transforms -----------------------------------------------------------------------------------


@mutation(TRANSFORMS, "rotat")
def bilinear_rotation(p: Patches) -> None:
    """Rotation interpolates bilinearly instead of taking the nearest pixel."""

    def rotate(image: torch.Tensor, angle: float) -> torch.Tensor:
        height, width = image.shape[2:]
        matrix = torch.from_numpy(resampling._rotation_matrix(angle, height, width))
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        at = torch.stack([x, y, torch.ones_like(x)], -1).float() @ matrix.T
        grid = 2 * at / (torch.tensor([width, height]) - 1) - 1
        return F.grid_sample(image, grid.expand(len(image), -1, -1, -1), align_corners=True)

    p.everywhere(resampling.rotate_nearest, rotate)


@mutation(TRANSFORMS, "rotat")
def rotation_gradient_is_the_adjoint(p: Patches) -> None:
    """The gradient of rotation is the exact adjoint, not TensorFlow's inverse rotation."""

    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        height, width = gradient.shape[2:]
        index = resampling._rotation_table(ctx.angle, height, width, False, gradient.device)
        sums = gradient.new_zeros(*gradient.shape[:2], height * width + 1).index_add_(2, index, gradient.flatten(2))
        return sums[:, :, :-1].reshape(gradient.shape), None

    p.attribute(resampling._RotateNearest, "backward", staticmethod(backward))


@mutation(TRANSFORMS, "rotat")
def true_pi(p: Patches) -> None:
    """Degrees are converted with pi, not with Lucid's 3.14."""
    radians = transform.RandomRotate._radians

    def convert(self: Any, angle: float) -> float:
        in_degrees = self.units.lower() not in transform._RADIANS
        return float(np.pi * angle / 180) if in_degrees else radians(self, angle)

    p.attribute(transform.RandomRotate, "_radians", convert)


@mutation(TRANSFORMS, "rotat")
def rotation_fills_with_grey(p: Patches) -> None:
    """What a rotation moves in from outside is grey, not zero."""

    def gather(image: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        flat = torch.nn.functional.pad(image.flatten(0, 1).flatten(1), (0, 1), value=0.5)
        return flat.index_select(1, index).reshape(image.shape)

    p.everywhere(resampling._gather_pixels, gather)


def _resize_with(p: Patches, position: Callable[[np.ndarray, int, int], np.ndarray]) -> None:
    @cache
    def table(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.clip(position(np.arange(target), source, target), 0, source - 1).astype(np.float32)
        low = np.floor(at).astype(np.int64)
        return low, np.minimum(low + 1, source - 1), at - low.astype(np.float32)

    p.everywhere(resampling._bilinear_table, table)


@mutation(f"{TRANSFORMS} {PARAMS}", "scale or lowres or resize")
def half_pixel_resize(p: Patches) -> None:
    """Bilinear resizing has half-pixel centres, as torch's `align_corners=False`."""
    _resize_with(p, lambda i, source, target: (i + 0.5) * source / target - 0.5)


@mutation(f"{TRANSFORMS} {PARAMS}", "scale or lowres or resize")
def aligned_corners_resize(p: Patches) -> None:
    """Bilinear resizing aligns corners, as torch's `align_corners=True`."""
    _resize_with(p, lambda i, source, target: i * (source - 1) / max(target - 1, 1))


@mutation(TRANSFORMS, "scale or standard")
def scale_rounded(p: Patches) -> None:
    """Sizes are rounded, not truncated, when an image is scaled."""
    p.everywhere(resampling.scaled_size, lambda size, scale: round(size * scale))


@mutation(PARTS, "jitter")
def jitter_excludes_the_last_offset(p: Patches) -> None:
    """The largest crop offset never occurs."""

    def draw(self: Any, source: Any, shape: Any) -> tuple[int, ...]:
        return tuple(int(v) for v in source.reseeded(self.seed).integers("offset", self.d, 2))

    p.attribute(transform.Jitter, "make_params", draw)


@mutation(TRANSFORMS, "pad")
def symmetric_pad_reflects(p: Patches) -> None:
    """SYMMETRIC padding does not repeat the edge, as torch's only mirror mode."""
    original = resampling.pad_image

    def pad(image: torch.Tensor, width: int, mode: str, value: float = 0.0) -> torch.Tensor:
        return original(image, width, "reflect" if mode == "symmetric" else mode, value)

    p.everywhere(original, pad)


@mutation(TRANSFORMS, "crop_or_pad")
def crop_or_pad_larger_half_first(p: Patches) -> None:
    """An odd number of rows is split with the larger half before the image."""

    def apply(self: Any, image: torch.Tensor, params: Any) -> torch.Tensor:
        for axis, size in ((2, self.height), (3, self.width)):
            missing = size - image.shape[axis]
            if missing < 0:
                image = image.narrow(axis, -(missing // 2), size)
            else:
                before = -(-missing // 2)
                amounts = (before, missing - before)
                image = F.pad(image, (0, 0, *amounts) if axis == 2 else amounts)
        return image

    p.attribute(transform.CropOrPadTo, "apply", apply)


@mutation(TRANSFORMS, "normalize_gradient")
def gradient_norm_of_the_whole_batch(p: Patches) -> None:
    """Gradients are normalised over the batch, not image by image."""

    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        scaled = gradient if ctx.scales is None else gradient * ctx.scales[:, None, None, None]
        return scaled / gradient.norm(), None, None

    p.attribute(transform._NormalizeGradient, "backward", staticmethod(backward))


# Parameterizations ----------------------------------------------------------------------------


@mutation(PARAMS, "fft or image")
def fft_odd_width_cropped(p: Patches) -> None:
    """Odd widths are transformed back to their own width, without Lucid's extra column."""

    def inverse(spectrum: torch.Tensor, scale: torch.Tensor, height: int, width: int) -> torch.Tensor:
        scaled = torch.complex(spectrum[0] * scale, spectrum[1] * scale)
        return torch.fft.irfft2(scaled, s=(height, width)) / 4.0

    p.everywhere(spatial._inverse, inverse)


@mutation(PARAMS, "fft or image")
def fft_without_quarter(p: Patches) -> None:
    """The division of the image by 4 is missing."""
    original = spatial._inverse
    p.everywhere(original, lambda *args: 4 * original(*args))


@mutation(PARAMS, "fft or image")
def fft_without_pixel_count(p: Patches) -> None:
    """The factor sqrt(width * height) of the spectrum is missing."""
    original = spatial.fft_scale

    def scale(height: int, width: int, decay_power: float = 1) -> np.ndarray:
        return (original(height, width, decay_power) / np.sqrt(width * height)).astype(np.float32)

    p.everywhere(original, scale)


@mutation(PARAMS, "fft or image")
def fft_floor_from_the_shorter_side(p: Patches) -> None:
    """The lowest frequency is taken from the shorter side of the image."""

    def scale(height: int, width: int, decay_power: float = 1) -> np.ndarray:
        decay = np.maximum(spatial.rfft2d_freqs(height, width), 1.0 / min(width, height)) ** decay_power
        return (np.sqrt(width * height) / decay).astype(np.float32)

    p.everywhere(spatial.fft_scale, scale)


@mutation(PARAMS, "to_valid_rgb or image")
def colour_matrix_transposed(p: Patches) -> None:
    """The colour matrix is applied from the other side."""
    matrix = color.color_correlation_normalized
    p.everywhere(matrix, np.ascontiguousarray(matrix.T))


@mutation(PARAMS, "to_valid_rgb or image")
def colour_norm_by_rows(p: Patches) -> None:
    """The colour matrix is divided by its largest row norm, not its largest column norm."""
    matrix = color.color_correlation_svd_sqrt
    norm = np.linalg.norm(matrix, axis=1).max()
    p.everywhere(color.color_correlation_normalized, (matrix / norm).astype(np.float32))


@mutation(PARAMS, "lowres")
def lowres_offset_without_the_edge(p: Patches) -> None:
    """An offset tensor mirrors without repeating its edge."""

    def shifted(tensor: torch.Tensor, offsets: Any) -> torch.Tensor:
        for axis, offset in enumerate(offsets):
            size = tensor.shape[axis]
            if offset and size > offset:
                index = torch.cat([torch.arange(1, offset + 1).flip(0), torch.arange(size)])[:size]
                tensor = tensor.index_select(axis, index)
        return tensor

    p.everywhere(lowres.offset_tensor, shifted)


@mutation(PARAMS, "cppn")
def cppn_x_and_y_swapped(p: Patches) -> None:
    """The first coordinate of a CPPN counts rows."""
    original = cppn.coordinate_grid
    p.everywhere(original, lambda width: original(width).flip(1))


@mutation(NOTEBOOKS, "cppn")
def cppn_starts_with_a_pattern(p: Patches) -> None:
    """The last layer of a CPPN does not start at zero, so that its first image is not flat."""
    original = cppn._Layer.reset
    p.attribute(cppn._Layer, "reset", lambda self, source, last: original(self, source, False))


@mutation(NOTEBOOKS, "initial")
def cppn_untruncated(p: Patches) -> None:
    """Initial weights of a CPPN are not cut at two standard deviations."""
    p.everywhere(cppn._truncated_normal, lambda source, name, size: torch.from_numpy(source.normal(name, size)))


# Objectives -----------------------------------------------------------------------------------


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


# Draws ----------------------------------------------------------------------------------------


@mutation(PARTS, "draw")
def draws_depend_on_other_draws(p: Patches) -> None:
    """All draws come from one stream, so that one more draw changes all later ones."""
    original = sampling.RandomSource._stream
    p.attribute(sampling.RandomSource, "_stream", lambda self, seed, key: original(self, seed, ""))


@mutation(f"{PARTS} {RENDER}", "images or batch")
def images_of_a_batch_share_a_seed(p: Patches) -> None:
    """Every image of a batch draws from the seed of the first."""
    p.attribute(sampling.RandomSource, "image_seed", lambda self, index: self.seed)


# Gradient overrides ---------------------------------------------------------------------------


@mutation(OVERRIDES, "redirected_relu")
def redirection_for_the_whole_batch(p: Patches) -> None:
    """Gradients are redirected only where no image of the batch has any, not image by image."""
    p.everywhere(
        redirected_relu_grad._choose,
        lambda passed, redirected: passed if (passed.square().sum() > 0) else redirected,
    )


@mutation(OVERRIDES, "redirected_relu")
def leak_is_always_on(p: Patches) -> None:
    """Gradients are redirected also where some already pass."""
    p.everywhere(redirected_relu_grad._choose, lambda passed, redirected: redirected)


@mutation(f"{OVERRIDES} {PARTS}", "relu")
def override_never_ends(p: Patches) -> None:
    """Gradients are redirected in every update."""
    p.attribute(redirected_relu_grad, "REDIRECTED_UPDATES", 10**9)


@mutation(f"{OVERRIDES} {RENDER}", "relu or lucid")
def override_ends_an_update_early(p: Patches) -> None:
    """Gradients are redirected in 16 updates, not 17."""
    p.attribute(redirected_relu_grad, "REDIRECTED_UPDATES", 16)


@mutation(f"{OVERRIDES} {PARTS}", "relu")
def native_relu_after_the_override(p: Patches) -> None:
    """After the override ReLUs pass nothing at zero, as torch's do."""
    original = redirected_relu_grad.redirection
    limit = redirected_relu_grad.REDIRECTED_UPDATES
    p.everywhere(original, lambda step=0: original(step) if step < limit else contextlib.nullcontext())


@mutation(f"{OVERRIDES} {PARTS}", "relu")
def relu6_redirected_as_relu(p: Patches) -> None:
    """ReLU6 has no way down from above 6."""

    def gradient(op: Any, grad: torch.Tensor) -> torch.Tensor:
        passed = redirected_relu_grad.plain_relu6_grad(op, grad)
        redirected = grad.masked_fill((op.inputs[0] < 0) & (grad > 0), 0).masked_fill(op.inputs[0] > 6, 0)
        return redirected_relu_grad._choose(passed, redirected)

    p.everywhere(redirected_relu_grad.redirected_relu6_grad, gradient)


@mutation(OVERRIDES, "smoothed")
def smoothed_pool_counts_padding(p: Patches) -> None:
    """The average pool that stands in for a max pool counts its padding."""
    original = smoothed_maxpool_grad._valid_average
    p.everywhere(original, lambda value, valid, op: original(value, torch.ones_like(valid), op))


# Optimiser, style, render ---------------------------------------------------------------------


@mutation(f"{OVERRIDES} {RENDER}", "adam or lucid")
def torchs_adam_epsilon(p: Patches) -> None:
    """Adam adds epsilon after the bias correction, as torch's."""

    def update(self: Any, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        (beta1, beta2), state = group["betas"], self.state[parameter]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
        state["step"] += 1
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        mean = state["exp_avg"] / (1 - beta1 ** state["step"])
        deviation = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt()
        parameter.sub_(group["lr"] * mean / (deviation + group["eps"]))

    p.attribute(optimizer.TFAdam, "_update", update)


@mutation(OVERRIDES, "style")
def style_average_corrected(p: Patches) -> None:
    """The moving average of styles is corrected for its start at zero."""
    original = style.StyleLoss._averaged

    def averaged(self: Any, grams: list[torch.Tensor]) -> list[torch.Tensor]:
        found = original(self, grams)
        if self.ema_decay is None:
            return found
        self.calls = getattr(self, "calls", 0) + 1
        return [value / (1 - self.ema_decay**self.calls) for value in found]

    p.attribute(style.StyleLoss, "_averaged", averaged)


@mutation(RENDER, "thresholds or lucid")
def one_update_too_few(p: Patches) -> None:
    """`max(thresholds)` updates are made, not one more."""
    p.attribute(render, "range", lambda count: builtins.range(count - 1))


@mutation(NOTEBOOKS, "regularization")
def input_is_transformed(p: Patches) -> None:
    """T("input") is the image after the transforms."""
    original = Evaluation.__init__

    def init(self: Any, *args: Any) -> None:
        original(self, *args)
        self.image = self.transformed

    p.attribute(Evaluation, "__init__", init)


@mutation(RENDER, "lucid")
def image_is_not_an_ascent(p: Patches) -> None:
    """The objective is minimised."""
    original = VisT.value_and_gradients

    def wrong(self: Any) -> Any:
        value, gradients = original(self)
        return value, [-gradient for gradient in gradients]

    p.attribute(VisT, "value_and_gradients", wrong)


# Models ---------------------------------------------------------------------------------------


@mutation(MODELS, "bgr")
def no_bgr_flip(p: Patches) -> None:
    """Models of blue, green and red get red, green and blue."""
    p.attribute(vision_base.Model, "create_input", lambda self, image: self._low + image * self._span)


@mutation(MODELS, "bgr")
def bgr_flip_after_the_range(p: Patches) -> None:
    """The range of values is applied before the channels are reversed."""

    def create_input(self: Any, image: torch.Tensor) -> torch.Tensor:
        mapped = self._low + image * self._span
        return mapped.flip(1) if self.is_BGR else mapped

    p.attribute(vision_base.Model, "create_input", create_input)


# Converted graphs -----------------------------------------------------------------------------


@mutation(OPS, "lrn")
def lrn_constants_swapped(p: Patches) -> None:
    """LRN takes bias for beta."""
    original = functional.local_response_norm
    p.everywhere(original, lambda x, band, bias, beta: original(x, band, beta, bias))


@mutation(OPS, "lrn")
def lrn_alpha_divided_by_the_window(p: Patches) -> None:
    """LRN divides alpha by the number of channels in the window, as Caffe and torch do."""
    original = functional.lrn_band
    p.everywhere(original, lambda channels, radius, alpha: original(channels, radius, alpha / (2 * radius + 1)))


@mutation(NETWORK, "every_layer_has and seeded-97x161")
def lrn_left_out(p: Patches) -> None:
    """InceptionV1 without its local response normalisation, as in other ports."""
    p.attribute(layers.LocalResponseNorm, "forward", lambda self, x: x)


@mutation(OPS, "conv-7 or conv-3-stride or Pool-3")
def symmetric_same_padding(p: Patches) -> None:
    """SAME padding is the same on both sides, as a fixed `padding=` in torch."""

    def amounts(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
        half = (kernel - 1) * dilation // 2
        return half, half

    p.everywhere(functional.padding_amounts, amounts)


@mutation(OPS, "conv-7 or conv-3-stride or Pool-3")
def same_padding_starts_with_the_larger_half(p: Patches) -> None:
    """An odd row of SAME padding goes to the top instead of the bottom."""
    original = functional.padding_amounts
    p.everywhere(original, lambda *args: original(*args)[::-1])


@mutation(OPS, "MaxPool")
def max_pool_padded_with_zeros(p: Patches) -> None:
    """A max pool's padding is zero, which wins over negative values."""

    def pool(x: torch.Tensor, kernel: Any, stride: Any, padding: Any = "SAME") -> torch.Tensor:
        top, bottom, left, right = functional.spatial_padding(x.shape[-2:], kernel, stride, (1, 1), padding)
        return F.max_pool2d(F.pad(x, (left, right, top, bottom)), tuple(kernel), tuple(stride))

    p.everywhere(functional.max_pool2d, pool)


@mutation(OPS, "AvgPool")
def avg_pool_counts_padding(p: Patches) -> None:
    """An average pool divides by the whole window at the border, too."""

    def pool(x: torch.Tensor, kernel: Any, stride: Any, padding: Any = "SAME") -> torch.Tensor:
        top, bottom, left, right = functional.spatial_padding(x.shape[-2:], kernel, stride, (1, 1), padding)
        return F.avg_pool2d(F.pad(x, (left, right, top, bottom)), tuple(kernel), tuple(stride))

    p.everywhere(functional.avg_pool2d, pool)


@mutation(OPS, "dense or reshape")
def flatten_in_nchw_order(p: Patches) -> None:
    """Images are flattened channel by channel before fully connected layers."""

    def reshape(x: torch.Tensor, shape: Any, *layouts: str) -> torch.Tensor:
        flat = x.reshape(tuple(shape))
        return flat.permute(0, 3, 1, 2) if flat.dim() == 4 else flat

    p.everywhere(functional.reshape, reshape)


@mutation(f"{OPS} {NETWORK}", "Concat or (every_layer_has and seeded-97x161)")
def concat_order_swapped(p: Patches) -> None:
    """The last two towers of a concatenation change places."""

    def forward(self: Any, *towers: torch.Tensor) -> torch.Tensor:
        return torch.cat((*towers[:-2], towers[-1], towers[-2]), self.dim)

    p.attribute(layers.Concat, "forward", forward)


@mutation(f"{OPS} {NETWORK}", "Concat or (every_layer_has and seeded-97x161)")
def pre_relu_of_relus(p: Patches) -> None:
    """`_pre_relu` concatenates what comes after the ReLUs."""
    p.everywhere(lower._before_relu, lambda graph, tower: tower)


@mutation(OPS, "BatchNorm")
def torchs_batch_norm_epsilon(p: Patches) -> None:
    """Batch norm takes torch's epsilon, not the graph's."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias)

    p.attribute(layers.BatchNorm, "forward", forward)


@mutation(OPS, "ResizeBilinear")
def resized_by_half_pixels(p: Patches) -> None:
    """Bilinear resizing has half-pixel centres in every convention, as in torch."""
    original = functional.resize
    p.everywhere(original, lambda x, size, method, convention: original(x, size, method, "half_pixel"))


@mutation(OPS, "DepthToSpace or SpaceToDepth")
def depth_in_torchs_order(p: Patches) -> None:
    """Blocks of positions are laid out within each channel, as torch's pixel shuffle does."""
    p.everywhere(functional.depth_to_space, F.pixel_shuffle)
    p.everywhere(functional.space_to_depth, F.pixel_unshuffle)


@mutation(OPS, "NCHW")
def layout_is_not_looked_at(p: Patches) -> None:
    """Every graph is taken for NHWC at its input."""
    p.everywhere(lower._input_layout, lambda graph, reached: "NHWC")


@mutation(OPS, "transposed")
def transposed_convolution_cut_at_the_end(p: Patches) -> None:
    """All rows of SAME padding are cut off a transposed convolution's end."""
    original = functional.conv2d_transpose

    def transpose(x: torch.Tensor, weight: torch.Tensor, size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
        if padding == "SAME":
            full = F.conv_transpose2d(x, weight, stride=tuple(stride), dilation=tuple(dilation))
            return F.pad(full, (0, size[1] - full.shape[-1], 0, size[0] - full.shape[-2]))
        return original(x, weight, size, stride, padding, dilation)

    p.everywhere(original, transpose)


@mutation(OPS, "sizes-resize-by-fraction")
def sizes_in_double_precision(p: Patches) -> None:
    """Sizes that a graph scales are computed in float64, where 10 * 0.7 is less than 7."""
    p.everywhere(functional.float32, lambda number: number)


@mutation(OPS, "ties-M")
def ties_share_the_gradient(p: Patches) -> None:
    """Where two values are equal, both get half of the maximum's gradient, as in torch."""
    p.everywhere(functional.maximum, torch.maximum)


@mutation(OPS, "depthwise")
def depthwise_multiplier_first(p: Patches) -> None:
    """Depthwise filters are laid out multiplier by multiplier, not channel by channel."""
    original = layers.Conv2d.forward

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = original(self, x)
        if self.groups == 1:
            return y
        count, _, height, width = y.shape
        return y.reshape(count, self.groups, -1, height, width).transpose(1, 2).reshape(y.shape)

    p.attribute(layers.Conv2d, "forward", forward)


# Networks -------------------------------------------------------------------------------------


@mutation(CONTRACT, "gradients_between_layers")
def traced_layers_off_the_path(p: Patches) -> None:
    """Of a traced network's layer that is overwritten, a copy is handed out, which nothing behind it reads."""
    original = LayerGraph._handed_out

    def handed_out(self: Any, piece: Any, value: Any, *rest: Any) -> Any:
        first, second = original(self, piece, value, *rest)
        return second, first

    p.attribute(LayerGraph, "_handed_out", handed_out)


@mutation(CONTRACT, "gradients_between_layers")
def hooked_layers_off_the_path(p: Patches) -> None:
    """Hooks hand out a copy of what a layer gave, which nothing behind it reads."""
    p.attribute(hooks._Reading, "_kept", lambda self, name, output: output.clone())


@mutation(CONTRACT, "together")
def overwritten_layers_stay(p: Patches) -> None:
    """What hooks read is handed out as the pass left it, also where something worked on it in place."""
    p.attribute(hooks._Reading, "overwritten", lambda self: set())
