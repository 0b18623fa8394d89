"""Contents of the fixtures, defined by the public API alone: renders, draws, networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import converters
from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.caricature import dot_compare

LAYER = "mixed3a"
UNIT = f"{LAYER}:3"
HEIGHT, WIDTH = 33, 41
"""An odd size that is not square."""

Factory = Callable[[], Any]


def wave(*shape: int) -> np.ndarray:
    """Values in [0, 1] that every machine computes alike."""
    return (np.arange(np.prod(shape)) * 37 % 101 / 101).reshape(shape).astype(np.float32)


def odd(**options: Any) -> Any:
    """An image of an odd size."""
    return param.image(WIDTH, HEIGHT, **options)


# Parts of a render -------------------------------------------------------------------------------

PARAMS: dict[str, Factory] = {
    "image": lambda: param.image(32),
    "image-odd": odd,
    "image-batch": lambda: odd(batch=2),
    "image-sd": lambda: param.image(32, sd=0.05),
    "image-correlated": lambda: odd(decorrelate=False),
    "image-pixels": lambda: odd(fft=False),
    "image-alpha": lambda: odd(alpha=True),
    "image-alpha-pixels": lambda: odd(alpha=True, fft=False, batch=2),
    "image-init": lambda: param.image(24, 20, init=wave(20, 24, 3)),
    "grayscale": lambda: param.grayscale_image_rgb(WIDTH, HEIGHT),
    "grayscale-alpha-pixels": lambda: param.grayscale_image_rgb(32, batch=2, fft=False, alpha=True, decorrelate=False),
    "fft_image": lambda: param.to_valid_rgb(param.fft_image((1, HEIGHT, WIDTH, 3), decay_power=1.5), decorrelate=True),
    "fft_image-init": lambda: param.to_valid_rgb(param.fft_image((1, 20, 24, 3), init_val=wave(1, 20, 24, 3) * 2 - 1)),
    "pixel_image": lambda: param.to_valid_rgb(param.pixel_image((2, HEIGHT, WIDTH, 3), sd=0.1), sigmoid=False),
    "naive-init": lambda: param.to_valid_rgb(param.naive((1, 20, 24, 3), init_val=wave(1, 20, 24, 3))),
    "laplacian_pyramid_image": lambda: param.to_valid_rgb(param.laplacian_pyramid_image((2, 40, 48, 3), n_levels=3)),
    "laplacian_pyramid": lambda: param.to_valid_rgb(param.laplacian_pyramid((1, 32, 32, 3), sd=0.2)),
    "lowres_tensor": lambda: param.to_valid_rgb(
        param.lowres_tensor((1, HEIGHT, WIDTH, 3), (1, 6, 8, 3)), decorrelate=True
    ),
    "lowres_tensor-offset": lambda: param.to_valid_rgb(
        param.lowres_tensor((2, 32, 32, 3), (2, 9, 9, 3), offset=(0, 3, 1, 0), sd=0.3)
    ),
    "cppn": lambda: param.cppn(24),
    "cppn-batch": lambda: param.cppn(16, batch=2, num_hidden_channels=6, num_layers=3, normalize=True),
    "cppn-unbiased": lambda: param.cppn(16, num_hidden_channels=6, num_layers=3, activation_func="unbiased_composite"),
    "cppn-relu": lambda: param.cppn(16, num_hidden_channels=6, num_layers=3, activation_func="relu_normalized"),
    "multi_interpolation_basis": lambda: param.to_valid_rgb(
        param.multi_interpolation_basis(2, 2, 24).reshape(-1, 24, 24, 3), decorrelate=True
    ),
    "multi_interpolation_basis-asymmetric": lambda: param.to_valid_rgb(
        param.multi_interpolation_basis(2, 2, 24, symmetric=False).reshape(-1, 24, 24, 3)
    ),
    "unit_ball_L2": lambda: param.constant(wave(1, 24, 32, 3)) + param.unit_ball_L2((1, 24, 32, 3)),
    "unit_ball_L_inf": lambda: 0.5 + 0.1 * param.unit_ball_L_inf((2, 24, 32, 3)),
    "unit_ball_L_inf-plain": lambda: 0.5 + 0.2 * param.unit_ball_L_inf((1, 24, 32, 3), precondition=False),
    "arithmetic": lambda: (1 - param.image(32)) * wave(1, 32, 32, 3) / 2 + odd(batch=1, fft=False)[:, :32, :32] * 0.3,
    "image_sample": lambda: 0.7 * param.image(32) + 0.3 * param.image_sample((1, 32, 32, 3), sd=0.05),
    "concat": lambda: param.concat([param.image(32, fft=False), odd()[:, :32, 40:8:-1]], axis=0),
    "stack": lambda: param.stack([param.image(24)[0], param.grayscale_image_rgb(24, fft=False)[0]]),
    "reshape": lambda: param.image(32).reshape(1, 64, 16, 3)[:, ::2, :, :],
}

TRANSFORMS: dict[str, Factory] = {
    "none": list,
    "standard": lambda: transform.standard_transforms,
    "jitter": lambda: [transform.jitter(5)],
    "jitter-seed": lambda: [transform.jitter(5, seed=11)],
    "pad": lambda: [transform.pad(3), transform.pad(2, "SYMMETRIC"), transform.pad(2, "CONSTANT", 0.2)],
    "pad-uniform": lambda: [transform.pad(4, "constant", "uniform")],
    "random_scale": lambda: [transform.random_scale([0.9, 1, 1.1]), transform.random_scale([1, 1.2], seed=3)],
    "random_rotate": lambda: [transform.random_rotate([-5, 3, 8]), transform.random_rotate([0.1, -0.2], "radians")],
    "random_rotate-pi": lambda: [transform.random_rotate([7, -9], seed=5, exact_pi=True)],
    "normalize_gradient": lambda: [transform.normalize_gradient([2.0]), transform.normalize_gradient(zero_safe=False)],
    "crop_or_pad_to": lambda: [transform.crop_or_pad_to(27, 48)],
    "compose": lambda: [transform.compose([transform.jitter(2), transform.pad(1)]), transform.jitter(3)],
}

ALPHA_TRANSFORMS: dict[str, Factory] = {
    "collapse_alpha_random": lambda: [transform.collapse_alpha_random(), transform.jitter(2)],
    "collapse_alpha_random-sd": lambda: [transform.jitter(3), transform.collapse_alpha_random(sd=0.2)],
}
"""For images of four channels."""

OBJECTIVES: dict[str, Factory] = {
    "channel": lambda: objectives.channel(LAYER, 3),
    "channel-batch": lambda: objectives.channel(LAYER, 3, batch=1),
    "neuron": lambda: objectives.neuron(LAYER, 5, x=1, y=2),
    "direction": lambda: objectives.direction(LAYER, wave(64) - 0.5, cossim_pow=1.5),
    "direction_cossim": lambda: objectives.direction_cossim(LAYER, wave(64) - 0.5, cossim_pow=2),
    "direction_neuron": lambda: objectives.direction_neuron(LAYER, wave(64) - 0.5, x=2, cossim_pow=1),
    "tensor_direction": lambda: objectives.tensor_direction(LAYER, wave(3, 3, 64) - 0.5),
    "deepdream": lambda: objectives.deepdream(LAYER),
    "alignment": lambda: objectives.channel(LAYER, 3) + objectives.alignment("conv2d2", decay_ratio=3) * 0.1,
    "diversity": lambda: objectives.channel(LAYER, 3) - 10 * objectives.diversity("conv2d2"),
    "channel_interpolate": lambda: objectives.channel_interpolate(LAYER, 3, LAYER, 7),
    "input_diff": lambda: objectives.channel(LAYER, 3) - 3 * objectives.input_diff(wave(HEIGHT, WIDTH, 3)),
    "L1": lambda: objectives.channel(LAYER, 3) - 0.01 * objectives.L1(constant=0.5),
    "L2": lambda: objectives.channel(LAYER, 3) - 0.1 * objectives.L2("input", constant=0.5, epsilon=1e-4),
    "total_variation": lambda: objectives.channel(LAYER, 3) - 0.01 * objectives.total_variation(),
    "blur_input": lambda: objectives.channel(LAYER, 3) + objectives.blur_input_each_step(),
    "penalize_boundary_complexity": lambda: (
        objectives.channel(LAYER, 3) - 1e-3 * objectives.penalize_boundary_complexity([1, HEIGHT, WIDTH, 3], w=3)
    ),
    "arithmetic": lambda: (
        (objectives.channel(LAYER, 3) * objectives.deepdream(LAYER) + 2) / 3 + -objectives.neuron("conv2d2", 1)
    ),
    "quotient": lambda: objectives.channel(LAYER, 3) / (objectives.deepdream(LAYER) + 1),
    "sum": lambda: objectives.Objective.sum([objectives.channel(LAYER, n, batch=n - 1) for n in (1, 2)]),
    "dot_compare": lambda: dot_compare(LAYER, batch=1, cossim_pow=1.0),
}
BATCHED = ("channel-batch", "alignment", "diversity", "channel_interpolate", "sum", "dot_compare")
"""Objectives of several images."""

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "TFAdam": lambda parameters: TFAdam(parameters, lr=0.02, betas=(0.8, 0.99), eps=1e-6),
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=2.0, momentum=0.9, nesterov=True),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.05, betas=(0.7, 0.99)),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.01),
}


# Renders -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Render:
    """Arguments of a render.

    Attributes:
        objective, param, transforms, optimizer, relu: as `render_vis` takes them; `objective` is made by a function.
        steps: number of updates.
        seed: makes the source of draws.
        picture: index of the kept picture in its batch.
        ending: of the picture's file.
        stated: parts of the recipe as plain data, instead of the arguments: for names that no public function has.
    """

    objective: Factory = lambda: objectives.channel(LAYER, 3)
    param: Factory = odd
    transforms: Any = ()
    optimizer: Any = None
    relu: Any = True
    steps: int = 2
    seed: Callable[[], Any] = lambda: RandomSource(7)
    picture: int = 0
    ending: str = "png"
    stated: dict[str, Any] = field(default_factory=dict)


def _of_logit() -> Any:
    return objectives.class_logit("softmax2_pre_activation", "heart")


def _stated(name: str, **args: Any) -> dict[str, Any]:
    return {"param": name, "args": args}


_IMAGE = _stated("image", w=24, h=20)
_CHANNEL = {"objective": "channel", "args": {"layer": LAYER, "n_channel": 3}}


def renders() -> dict[str, Render]:
    """All renders by name."""
    found = {f"param-{name}": Render(param=make) for name, make in PARAMS.items() if not name.startswith("image-alpha")}
    found |= {
        f"param-{name}": Render(param=make, transforms=[transform.collapse_alpha_random()])
        for name, make in PARAMS.items()
        if name.startswith("image-alpha")
    }
    found |= {f"transform-{name}": Render(transforms=make()) for name, make in TRANSFORMS.items()}
    alpha = {"param": lambda: odd(alpha=True)}
    found |= {f"transform-{name}": Render(transforms=make(), **alpha) for name, make in ALPHA_TRANSFORMS.items()}
    for name, make in OBJECTIVES.items():
        batch = {"param": lambda: odd(batch=2), "picture": 1} if name in BATCHED else {}
        found[f"objective-{name}"] = Render(make, **batch)
    found["objective-blur_alpha"] = Render(
        lambda: objectives.channel(LAYER, 3) + objectives.blur_alpha_each_step(),
        transforms=[transform.collapse_alpha_random()],
        **alpha,
    )
    whole = [transform.pad(31)]  # to 96 pixels; zeros around the image would make ties, which rounding decides
    found["objective-class_logit"] = Render(_of_logit, lambda: param.image(34), whole)
    found["objective-class_logit-number"] = Render(
        lambda: objectives.class_logit("softmax2", 3, batch=1), lambda: param.image(34, batch=2), whole, picture=1
    )
    found |= {f"optimizer-{name}": Render(optimizer=make, steps=3) for name, make in OPTIMIZERS.items()}
    standard = {"transforms": None, "param": lambda: param.image(32)}
    found["everything-default"] = Render(lambda: UNIT, None, None, seed=lambda: 0)
    # A neuron that does not fire at first, nor in update 18, the first without redirection: all three pictures differ.
    for name, relu in {"true": True, "always": "always", "false": False}.items():
        found[f"relu-{name}"] = Render(
            lambda: objectives.neuron("mixed4a", 12), relu=relu, steps=20, seed=lambda: 1, **standard
        )
    found["relu-false-firing"] = Render(lambda: objectives.neuron("mixed4a", 0), relu=False, steps=3, **standard)
    two = {"param": lambda: odd(batch=2), "transforms": None, "picture": 1}
    found["seeds-batch"] = Render(**two)
    found["seeds-per-image"] = Render(**two, seed=lambda: RandomSource(4, per_image=True))
    found["seeds-given"] = Render(**two, seed=lambda: RandomSource(seeds=[8, 3], shared=2, per_image=True))
    found["seeds-given-shared"] = Render(**two, seed=lambda: RandomSource(seeds=[8, 8]))
    found["file-jpg"] = Render(ending="jpg")
    found["file-webp"] = Render(ending="webp")
    sample = _stated("rand_fft_image", shape=[1, 20, 24, 3], sd=0.05)
    sample = _stated("arithmetic", operation="add", left=_IMAGE, right=_stated("to_valid_rgb", t=sample))
    found["stated-rand_fft_image"] = Render(stated={"image": sample})
    joined = _stated("joined", parts=[_IMAGE, {**_IMAGE, "args": {**_IMAGE["args"], "fft": False}}])
    found["stated-each_channel"] = Render(
        stated={
            "image": joined,
            "objective": {"objective": "each_channel", "args": {"layer": LAYER, "channels": [3, 8]}},
        },
        picture=1,
    )
    found["stated-each_for_itself"] = Render(
        stated={
            "image": joined,
            "objective": {"objective": "each_for_itself", "args": {"objectives": [_CHANNEL, _CHANNEL]}},
        },
        picture=1,
    )
    return found


WITH_SIDECAR = ("param-image", "everything-default", "file-jpg", "file-webp")
"""Renders whose recipe is kept beside the picture, too."""


# Draws -------------------------------------------------------------------------------------------

SOURCES: dict[str, Callable[[], RandomSource]] = {
    "seed": lambda: RandomSource(7, record=True),
    "per-image": lambda: RandomSource(7, per_image=True, record=True),
    "seeds": lambda: RandomSource(seeds=[8, 3, 3, 5], shared=2, per_image=True, record=True),
}


def drawn_by_param(name: str, source: RandomSource) -> list[list[Any]]:
    """Resets a parameterization, and evaluates it twice.

    Returns:
        Shape and first values of its parameters, in order.
    """
    made = PARAMS[name]()
    made.reset(source)
    with torch.no_grad():
        made()
        made()
    return [[list(one.shape), one.detach().double().flatten()[:3].tolist()] for one in made.parameters()]


def drawn_by_transforms(name: str, source: RandomSource) -> None:
    """Applies transforms twice to a batch of two."""
    channels = 4 if name in ALPHA_TRANSFORMS else 3
    image = torch.from_numpy(wave(2, channels, 21, 26))
    make = {**TRANSFORMS, **ALPHA_TRANSFORMS}[name]
    for _ in range(2):
        transform.compose(make())(image, source)


def first_numbers(source: RandomSource) -> dict[str, Any]:
    """Shapes and first numbers of a recording source's draws, by name."""
    return {
        name: [[list(one.shape), np.asarray(one, np.float64).ravel()[:3].tolist()] for one in drawn]
        for name, drawn in source.draws.items()
    }


# Networks ----------------------------------------------------------------------------------------


def image(height: int, width: int, channels: int) -> torch.Tensor:
    """A batch of two inputs, (2, C, H, W), in [-2, 2]."""
    return torch.from_numpy(wave(2, height, width, channels) * 4 - 2).permute(0, 3, 1, 2)


IMPORTED: dict[str, Callable[[Path], converters.ConvertedModel]] = {
    "small.pb": lambda folder: converters.convert(folder / "small.pb"),
    "small.onnx": lambda folder: converters.from_onnx(folder / "small.onnx"),
    "small.caffemodel": lambda folder: converters.from_caffe(folder / "small.caffemodel", folder / "small.prototxt"),
}
"""Files of other programs in a folder, and the functions that read them."""

IMPORTED_SIZE = (12, 16, 3)
"""Height, width and channels of the imported files' input."""


class Residual(nn.Module):
    """A small network with the parts that networks of torch have: a module that runs twice, an addition, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(6, 4)
        for number, tensor in enumerate(self.state_dict().values(), 1):
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(wave(*tensor.shape)) / 2 + 0.1 / number - 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.relu(self.body(x) + x)
        x = self.relu(self.pool(x) - 0.1)
        return self.head(x.mean((2, 3)))


# Figures and plans -------------------------------------------------------------------------------

FIGURES: dict[str, list[str]] = {
    "fv-channel": ["--units", "mixed3a:3,mixed3b:5", "--steps", "2", "--seed", "1"],
    "bb-channel-attribution": ["--steps", "2"],
    "cd-synthetic-curves": [],
}
"""Names of figures and their options: a figure of renders, one of gradients and one of activations."""

PLANS = {
    "units": """\
model = "TinyInceptionV1"
units = ["mixed3a:1-2", "conv2d2:4"]
size = 28
steps = 3
seeds = [4, 5, 6]
per_image = true
sheet = true
batch_size = 2
""",
    "channel": """\
model = "TinyInceptionV1"
units = "mixed3a:3"
size = 28
steps = 3
lr = 0.02
seed = 5
""",
    "objective": """\
model = "TinyInceptionV1"
steps = 2
relu_gradient_override = "always"
precision = "float32"
compile = false

[objective]
objective = "neuron"
args = { layer_name = "mixed3a", channel_n = 5, x = 1 }

[image]
param = "image"
args = { w = 33, h = 29, fft = false }

[optimizer]
optimizer = "SGD"
args = { lr = 2.0, momentum = 0.5 }

[[transforms]]
transform = "jitter"
args = { d = 3 }

[[transforms]]
transform = "pad"
args = { w = 2, mode = "SYMMETRIC" }
""",
}
"""Recipe files by name: a folder with a sheet, one unit, and an objective with everything stated."""
