"""Random image transformations, to which a visualization should be robust.

A transform is a frozen dataclass with two steps. `Transform.make_params` draws random parameters
from a `RandomSource`, as plain numbers on the host. `Transform.apply` applies them. Calling a
transform does both. The lower-case functions have the names, arguments and defaults of
`lucid.optvis.transform`.

Transforms act on NCHW images in [0, 1], before the model maps them to its own range. One draw is
shared by the whole batch, as in Lucid, unless the source has `per_image`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, TypeAlias, overload

import numpy as np
import torch

from converters import checks
from converters.schema import Least, Natural, Positive
from converters.signatures import checked
from lucid_port.misc.tensors import as_tensor, constant
from lucid_port.optvis import serialization
from lucid_port.optvis.gradient_norm import UnitGradient
from lucid_port.optvis.param.base import Parameterization
from lucid_port.optvis.param.color import to_valid_rgb_tensor
from lucid_port.optvis.param.operations import transformed
from lucid_port.optvis.param.spatial import fft_to_image, rfft2d_freqs
from lucid_port.optvis.resampling import pad_image, resize_bilinear_legacy, rotate_nearest, scaled_size
from lucid_port.optvis.sampling import RandomSource

__all__ = [
    "Compose",
    "Transform",
    "as_transform",
    "collapse_alpha_random",
    "compose",
    "crop_or_pad_to",
    "jitter",
    "normalize_gradient",
    "pad",
    "random_rotate",
    "random_scale",
    "standard_transforms",
]

Shape: TypeAlias = tuple[int, ...]

Params: TypeAlias = Any
"""Drawn parameters of a transform: numbers, tuples or an array; a list has one item for each image."""


@dataclass(frozen=True)
class Transform:
    """Base class of all transforms.

    Subclasses are frozen dataclasses that set `kind` and implement `apply`. Random transforms
    also implement `make_params`. Transforms that change the size also implement `output_shape`.

    Example:
        >>> @dataclass(frozen=True)
        ... class Brighten(Transform):
        ...     kind = "brighten"
        ...     by: float
        ...
        ...     def apply(self, image, params):
        ...         return image + self.by
        >>> Brighten(0.25)(torch.zeros(1, 3, 8, 8)).max()
        tensor(0.2500)
    """

    kind: ClassVar[str]

    def make_params(self, source: RandomSource, shape: Shape) -> Params:
        """Draws the parameters for a batch of NCHW `shape`: plain numbers, or None."""
        return None

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        """Transforms an NCHW batch with parameters from `make_params`."""
        raise NotImplementedError

    def output_shape(self, shape: Shape, params: Params) -> Shape:
        """Returns the NCHW shape of the result for a batch of `shape`."""
        return shape

    @overload
    def __call__(self, image: torch.Tensor, source: RandomSource | None = None) -> torch.Tensor: ...

    @overload
    def __call__(self, image: Parameterization, source: None = None) -> Parameterization: ...

    def __call__(self, image: Any, source: RandomSource | None = None) -> Any:
        """Draws parameters and applies them.

        Args:
            image: NCHW, or a parameterization: the result is one, for which each step of a render draws anew.
            source: Random source; by default a new one with the default seed.

        Raises:
            ValueError: The image does not have 4 axes, or `source` is given for a parameterization.
        """
        if isinstance(image, Parameterization):
            if source is not None:
                raise ValueError("A transform of a parameterization draws from the render's source: give none.")
            return transformed(image, self)
        _check_batch(image)
        return self._run(image, RandomSource() if source is None else source)

    def _run(self, image: torch.Tensor, source: RandomSource) -> torch.Tensor:
        return self.apply(image, self.make_params(source.scope(self.kind), tuple(image.shape)))

    def to_data(self) -> dict[str, Any]:
        """Returns the plain-data form, `{"transform": kind, "args": {...}}`."""
        args = {f.name: serialization.to_data(getattr(self, f.name)) for f in fields(self)}
        return {"transform": self.kind, "args": args}


def _check_batch(image: torch.Tensor) -> None:
    if image.ndim != 4:
        raise ValueError(
            f"Transforms take a batch of images, 4 axes, not one of shape {list(image.shape)} (channels first): make "
            "the parameterization's shape [batch, height, width, channels], or add the axis with its [None]."
        )


def _per_image(
    image: torch.Tensor, params: Sequence[Any], apply: Callable[[torch.Tensor, Any], torch.Tensor]
) -> torch.Tensor:
    """Applies the k-th parameters to the k-th image."""
    return torch.cat([apply(image[k : k + 1], p) for k, p in enumerate(params)])


@dataclass(frozen=True)
class Jitter(Transform):
    """Random crop by `d` pixels; see `jitter`."""

    kind: ClassVar[str] = "jitter"
    d: int
    seed: int | None = None

    def make_params(self, source: RandomSource, shape: Shape) -> Params:
        images = source.images(shape[0])
        drawn = source.reseeded(self.seed).integers("offset", self.d + 1, 2, images=images).tolist()
        return tuple(drawn) if images is None else [tuple(one) for one in drawn]

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        if isinstance(params, list):
            return _per_image(image, params, self.apply)
        height, width = image.shape[2] - self.d, image.shape[3] - self.d
        if height < 1 or width < 1:
            raise ValueError(
                f"jitter({self.d}) leaves nothing of an image of {image.shape[2]} x "
                f"{image.shape[3]} pixels: use a smaller jitter or pad first."
            )
        y, x = params
        return image[:, :, y : y + height, x : x + width]

    def output_shape(self, shape: Shape, params: Params) -> Shape:
        return (*shape[:2], shape[2] - self.d, shape[3] - self.d)


_PAD_MODES = ("reflect", "symmetric", "constant")


@dataclass(frozen=True)
class Pad(Transform):
    """Padding on all sides; see `pad`."""

    kind: ClassVar[str] = "pad"
    w: int
    mode: str = "REFLECT"
    constant_value: float | str = 0.5

    def __post_init__(self) -> None:
        if str(self.mode).lower() not in _PAD_MODES:
            raise ValueError(f"Unknown pad mode {checks.shown(self.mode)}: use one of {', '.join(_PAD_MODES)}.")
        if isinstance(self.constant_value, str) and self.constant_value != "uniform":
            raise ValueError(f"constant_value is a number or 'uniform', not {checks.shown(self.constant_value)}.")
        if not isinstance(self.constant_value, str):
            checks.number(self.constant_value, "pad's constant_value")

    def make_params(self, source: RandomSource, shape: Shape) -> Params:
        if self.constant_value != "uniform":
            return float(self.constant_value)
        images = source.images(shape[0])
        return source.uniform("constant_value", images=images).tolist()

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        if isinstance(params, list):
            return _per_image(image, params, self.apply)
        return pad_image(image, self.w, self.mode.lower(), params)

    def output_shape(self, shape: Shape, params: Params) -> Shape:
        return (*shape[:2], shape[2] + 2 * self.w, shape[3] + 2 * self.w)


@dataclass(frozen=True)
class RandomScale(Transform):
    """Bilinear resize by a random factor; see `random_scale`."""

    kind: ClassVar[str] = "random_scale"
    scales: tuple[float, ...]
    seed: int | None = None

    def make_params(self, source: RandomSource, shape: Shape) -> float:
        # Always shared: the images of a batch have one size.
        choice = source.reseeded(self.seed).integers("choice", len(self.scales))
        return self.scales[int(choice)]

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        height, width = image.shape[2:]
        return resize_bilinear_legacy(image, (scaled_size(height, params), scaled_size(width, params)))

    def output_shape(self, shape: Shape, params: Params) -> Shape:
        return (*shape[:2], scaled_size(shape[2], params), scaled_size(shape[3], params))


_RADIANS = ("radians", "rads", "rad")


@dataclass(frozen=True)
class RandomRotate(Transform):
    """Nearest-neighbor rotation by a random angle; see `random_rotate`."""

    kind: ClassVar[str] = "random_rotate"
    angles: tuple[float, ...]
    units: str = "degrees"
    seed: int | None = None
    exact_pi: bool = False

    def __post_init__(self) -> None:
        if str(self.units).lower() not in ("degrees", *_RADIANS):
            raise ValueError(f"Unknown units {checks.shown(self.units)}: use 'degrees' or 'radians'.")

    def make_params(self, source: RandomSource, shape: Shape) -> Params:
        images = source.images(shape[0])
        drawn = source.reseeded(self.seed).integers("choice", len(self.angles), images=images).tolist()
        if images is None:
            return self._radians(self.angles[drawn])
        return [self._radians(self.angles[index]) for index in drawn]

    def _radians(self, angle: float) -> float:
        if self.units.lower() in _RADIANS:
            return float(angle)
        pi = np.float32(np.pi) if self.exact_pi else np.float32(3.14)
        return float(pi * np.float32(angle) / np.float32(180))

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        if isinstance(params, list):
            return _per_image(image, params, self.apply)
        return rotate_nearest(image, params)


@dataclass(frozen=True)
class NormalizeGradient(Transform):
    """Identity whose gradient has a fixed norm for each image; see `normalize_gradient`."""

    kind: ClassVar[str] = "normalize_gradient"
    grad_scales: tuple[float, ...] | None = None
    zero_safe: bool = True

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        scales = None
        if self.grad_scales is not None:
            if len(self.grad_scales) not in (1, image.shape[0]):
                raise ValueError(
                    f"normalize_gradient got {len(self.grad_scales)} grad_scales for a batch of {image.shape[0]} "
                    "images: give one for each."
                )
            scales = constant(np.array, (self.grad_scales,), image.device, image.dtype)
        return UnitGradient.apply(image, scales, self.zero_safe)


@dataclass(frozen=True)
class CollapseAlphaRandom(Transform):
    """Blend of an RGBA image with random backgrounds; see `collapse_alpha_random`."""

    kind: ClassVar[str] = "collapse_alpha_random"
    sd: float | None = 0.5

    def make_params(self, source: RandomSource, shape: Shape) -> np.ndarray:
        count, _, height, width = shape
        size = (2, 3, *rfft2d_freqs(height, width).shape)
        # As in Lucid, each image has its own noise, also without `per_image`.
        return source.normal("noise", size, images=count).astype(np.float32)

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        if image.shape[1] != 4:
            raise ValueError(
                f"collapse_alpha_random needs an image of 4 channels (RGBA), not {image.shape[1]}: "
                "make it with param.image(..., alpha=True)."
            )
        noise = as_tensor(params).to(image.device, image.dtype)
        spectrum = (0.01 if self.sd is None else self.sd) * noise.transpose(0, 1)
        background = to_valid_rgb_tensor(fft_to_image(spectrum, image.shape[2], image.shape[3]), decorrelate=True)
        alpha = image[:, 3:4]
        return alpha * image[:, :3] + (1 - alpha) * background

    def output_shape(self, shape: Shape, params: Params) -> Shape:
        return (shape[0], 3, *shape[2:])


@dataclass(frozen=True)
class CropOrPadTo(Transform):
    """Central crop or zero padding to a fixed size; see `crop_or_pad_to`."""

    kind: ClassVar[str] = "crop_or_pad_to"
    height: int
    width: int

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        missing_y, missing_x = self.height - image.shape[2], self.width - image.shape[3]
        top, left = max(-missing_y, 0) // 2, max(-missing_x, 0) // 2
        image = image[:, :, top : top + self.height, left : left + self.width]
        missing_y, missing_x = max(missing_y, 0), max(missing_x, 0)
        before_y, before_x = missing_y // 2, missing_x // 2
        amounts = (before_x, missing_x - before_x, before_y, missing_y - before_y)
        return torch.nn.functional.pad(image, amounts) if any(amounts) else image

    def output_shape(self, shape: Shape, params: Params) -> Shape:
        return (*shape[:2], self.height, self.width)


@dataclass(frozen=True)
class Custom(Transform):
    """A user's own function of an NCHW batch, which cannot be serialized."""

    kind: ClassVar[str] = "custom"
    function: Callable[[torch.Tensor], torch.Tensor]

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        result = self.function(image)
        if not isinstance(result, torch.Tensor) or result.ndim != 4:
            name = getattr(self.function, "__name__", type(self.function).__name__)
            raise TypeError(f"The transform {name} returned {checks.shown(result)}, not a batch of images (NCHW).")
        return result


@checked
@dataclass(frozen=True)
class Compose(Transform):
    """Several transforms, applied in order; see `compose`.

    Attributes:
        transforms: The transforms.

    Example:
        >>> both = Compose((pad(4), jitter(8)))
        >>> both(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 3, 32, 32])
    """

    kind: ClassVar[str] = "compose"
    transforms: tuple[Transform, ...] = ()

    def make_params(self, source: RandomSource, shape: Shape) -> list[Any] | tuple[Any, ...]:
        params = []
        for index, transform in enumerate(self.transforms):
            drawn = transform.make_params(source.scope(f"{index}.{transform.kind}"), shape)
            shape = transform.output_shape(shape, drawn)
            params.append(drawn)
        return tuple(params)

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        for transform, drawn in zip(self.transforms, params, strict=True):
            image = transform.apply(image, drawn)
        return image

    def output_shape(self, shape: Shape, params: Params) -> Shape:
        for transform, drawn in zip(self.transforms, params, strict=True):
            shape = transform.output_shape(shape, drawn)
        return shape

    def _run(self, image: torch.Tensor, source: RandomSource) -> torch.Tensor:
        # Draw after each step: the size that a user's own transform returns is not known in advance.
        for index, transform in enumerate(self.transforms):
            params = transform.make_params(source.scope(f"{index}.{transform.kind}"), tuple(image.shape))
            image = transform.apply(image, params)
        return image


TransformLike: TypeAlias = Transform | Callable[[torch.Tensor], torch.Tensor]
"""A transform, or a function of an NCHW batch."""

# Lucid's names --------------------------------------------------------------------------------


@checked
def jitter(d: Natural, seed: Natural | None = None) -> Jitter:
    """Crops at a random offset, uniform in 0..d, so that the image becomes `d` pixels smaller.

    Args:
        d: Number of pixels by which height and width shrink.
        seed: Seed of the draws, in place of the render's.

    Raises:
        TypeError, ValueError: `d` is not an integer from 0 on, or (on call) not smaller than the image.

    Example:
        >>> jitter(8)(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 3, 24, 24])
    """
    return Jitter(d, seed)


@checked
def pad(w: Natural, mode: str = "REFLECT", constant_value: float | str = 0.5) -> Pad:
    """Pads by `w` pixels on each side.

    Args:
        w: Number of pixels.
        mode: "REFLECT", "SYMMETRIC" or "CONSTANT", in upper or lower case.
        constant_value: Value for "CONSTANT"; "uniform" draws a new number in [0, 1) each time.

    Raises:
        TypeError, ValueError: An argument is out of range, or (on call) the image is too small to be mirrored.

    Example:
        >>> pad(4, "constant", 0.5)(torch.zeros(1, 3, 8, 8))[0, 0, 0, :3]
        tensor([0.5000, 0.5000, 0.5000])
    """
    return Pad(w, mode, constant_value)


@checked
def random_scale(scales: Iterable[float], seed: Natural | None = None) -> RandomScale:
    """Resizes by one of `scales`, by TensorFlow's legacy bilinear rule.

    Args:
        scales: Positive factors to choose from. The new height and width are truncated to integers.
        seed: Seed of the draws, in place of the render's.

    Raises:
        TypeError, ValueError: `scales` is empty, or does not consist of positive numbers.

    Example:
        >>> random_scale([0.75])(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 3, 24, 24])
    """
    return RandomScale(_numbers(scales, "random_scale's scales", above=0), seed)


@checked
def random_rotate(
    angles: Iterable[float],
    units: str = "degrees",
    seed: Natural | None = None,
    *,
    exact_pi: bool = False,
) -> RandomRotate:
    """Rotates by one of `angles`, with nearest-neighbor interpolation and zeros outside of the image.

    Args:
        angles: Angles to choose from; positive angles turn counterclockwise.
        units: "degrees", or "radians", "rads", "rad".
        seed: Seed of the draws, in place of the render's.
        exact_pi: Whether to convert degrees with pi; Lucid uses 3.14.

    Raises:
        TypeError, ValueError: An argument is out of range.

    Example:
        >>> random_rotate([90], exact_pi=True)(torch.eye(2)[None, None])[0, 0]
        tensor([[0., 1.],
                [1., 0.]])
    """
    return RandomRotate(_numbers(angles, "random_rotate's angles"), units, seed, exact_pi)


@checked
def normalize_gradient(grad_scales: Sequence[float] | None = None, *, zero_safe: bool = True) -> NormalizeGradient:
    """Leaves the image unchanged and scales the gradient of each image to a fixed norm.

    Args:
        grad_scales: Norm for each image, or one for all; 1 by default.
        zero_safe: Whether gradients of norm 0 stay 0. With False they become NaN, as in Lucid.

    Raises:
        TypeError, ValueError: `grad_scales` does not consist of finite numbers, or (on call) has
            another length than the batch.

    Example:
        >>> x = torch.ones(1, 3, 2, 2, requires_grad=True)
        >>> (5 * normalize_gradient()(x)).sum().backward()
        >>> x.grad.norm().round(decimals=3)
        tensor(1.)
    """
    if grad_scales is None:
        return NormalizeGradient(None, zero_safe)
    scales = _numbers(grad_scales, "normalize_gradient's grad_scales")
    return NormalizeGradient(tuple(float(scale) for scale in scales), zero_safe)


@checked
def collapse_alpha_random(sd: Annotated[float, Least(0)] | None = 0.5) -> CollapseAlphaRandom:
    """Blends an RGBA image with colored 1/f noise, drawn anew for each image and step.

    Args:
        sd: Standard deviation of the spectrum of the noise; None means 0.01.

    Raises:
        TypeError, ValueError: `sd` is not a number from 0 on, or (on call) the image does not have 4 channels.

    Example:
        >>> collapse_alpha_random()(torch.ones(2, 4, 16, 16)).shape
        torch.Size([2, 3, 16, 16])
    """
    return CollapseAlphaRandom(sd)


@checked
def crop_or_pad_to(height: Positive, width: Positive) -> CropOrPadTo:
    """Crops or pads with zeros, symmetrically, to a fixed size; an odd pixel is added at the end.

    Args:
        height: New height in pixels.
        width: New width in pixels.

    Raises:
        TypeError, ValueError: A size is not an integer from 1 on.

    Example:
        >>> crop_or_pad_to(4, 4)(torch.ones(1, 3, 1, 9))[0, 0]
        tensor([[0., 0., 0., 0.],
                [1., 1., 1., 1.],
                [0., 0., 0., 0.],
                [0., 0., 0., 0.]])
    """
    return CropOrPadTo(height, width)


@checked
def compose(transforms: Iterable[TransformLike]) -> Compose:
    """Combines transforms, which are applied in order; an empty list is the identity.

    Args:
        transforms: Transforms, or functions of an NCHW batch.

    Raises:
        TypeError: An item is not a transform.

    Example:
        >>> augment = compose([pad(4), jitter(8), lambda image: image.flip(-1)])
        >>> augment(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 3, 32, 32])
    """
    wanted = "a list of transforms, as in [transform.jitter(8)]"
    return Compose(tuple(as_transform(t) for t in checks.items(transforms, "transforms", wanted)))


@checked
def as_transform(transform: TransformLike) -> Transform:
    """Converts a function of an NCHW batch to a transform; returns a transform unchanged.

    Raises:
        TypeError: `transform` has another type, or is a factory such as `jitter`.

    Example:
        >>> as_transform(lambda image: image.flip(-1))(torch.tensor([[[[1.0, 2.0]]]]))
        tensor([[[[2., 1.]]]])
    """
    if isinstance(transform, Transform):
        return transform
    if isinstance(transform, type) or any(transform is factory for factory in _FACTORIES):
        name = transform.__name__
        raise TypeError(f"{name} makes transforms: call it with its arguments, as in {name}(...).")
    if callable(transform) and not hasattr(transform, "to_data"):  # objectives and parameterizations have it
        return Custom(transform)
    raise TypeError(f"A transform is a Transform or a function of an image, not {checks.shown(transform)}.")


def _numbers(values: Any, what: str, above: float | None = None) -> tuple[float, ...]:
    given = checks.items(values, what, "a list of numbers")
    if not given:
        raise ValueError(f"{what} are empty: there is nothing to choose from.")
    return tuple(checks.number(value, f"Each of {what}", above=above) for value in given)


standard_transforms: list[Transform] = [
    pad(12, mode="constant", constant_value=0.5),
    jitter(8),
    random_scale([1 + (i - 5) / 50.0 for i in range(11)]),
    random_rotate(list(range(-10, 11)) + 5 * [0]),
    jitter(4),
]
"""Lucid's default: small shifts, scales of 0.9 to 1.1 and rotations of up to 10 degrees."""

_FACTORIES: tuple[Callable[..., Transform], ...] = (
    *(jitter, pad, random_scale, random_rotate, normalize_gradient, collapse_alpha_random, crop_or_pad_to),
    compose,
)
for _factory in _FACTORIES:
    serialization.register("transform", _factory.__name__, _factory)
