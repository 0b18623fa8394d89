"""Makes the pictures of the documentation, each by the code that its page shows.

    python docs/make_pictures.py                      # all of them
    python docs/make_pictures.py objectives           # one folder
    python docs/make_pictures.py objectives/neuron    # one picture
    python docs/make_pictures.py --missing            # those that are not there
    python docs/make_pictures.py --list

`InceptionV1_caffe` has to be in a folder of LUCID_PORT_MODELZOO, scikit-image has to be installed (for the cat), and
one thread is used, so that a processor of the same kind makes the same bits.
"""

from __future__ import annotations

import argparse
import ast
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lucid_port.cli import main as lucid_port
from lucid_port.misc.io import load, save
from lucid_port.optvis.many.picture_folder import MANIFEST
from lucid_port.optvis.render import Renders
from lucid_port.optvis.sampling import RandomSource

FOLDER = Path(__file__).parent / "images"
QUALITY = 88
GAP = 4  # white pixels between the pictures of a row

PREFACE = """
from functools import partial

import numpy as np
import torch
from skimage import data

from lucid_port.modelzoo import vision_models
from lucid_port.optvis import objectives, param, render, transform
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import load_image

model = vision_models.InceptionV1_caffe()
render_vis = partial(render.render_vis, model, thresholds=(255,), verbose=False)
cat = load_image(data.chelsea()[:, 75:375], 128)
cats = torch.from_numpy(cat).permute(2, 0, 1).repeat(4, 1, 1, 1)
source = RandomSource(0, per_image=True)
"""
"""What comes before the code of every picture; the pages that show pictures show it, too."""


@dataclass(frozen=True)
class Picture:
    """A picture of the documentation.

    Attributes:
        name: of its file below docs/images, without the extension.
        page: the page that shows it, and its code.
        code: Python, whose last line gives what `render_vis` returns, or a batch of pictures; or a `lucid-port`
            command that ends in the name of the folder that it fills.
        across: how many of a batch's pictures stand side by side; all by default.
    """

    name: str
    page: str
    code: str
    across: int | None = None

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.jpg"


PICTURES: list[Picture] = []


def page(name: str, folder: str) -> Callable[..., None]:
    """A function that registers a picture of a page."""

    def register(picture: str, code: str, across: int | None = None) -> None:
        PICTURES.append(Picture(f"{folder}/{picture}", name, code.strip(), across))

    return register


# README and start page ---------------------------------------------------------------------------

shown = page("README.md", "readme")

shown("units", "lucid-port run docs/units.toml -o units", across=4)

# Objectives --------------------------------------------------------------------------------------

shown = page("objectives.md", "objectives")

shown("neuron", 'render_vis(objectives.neuron("inception_4a_output", 300))')
shown("channel", 'render_vis("inception_4a_output:300")')
shown(
    "direction",
    """
both = np.zeros(512)
both[[300, 11]] = 1
render_vis(objectives.direction("inception_4a_output", both))
""",
)
shown(
    "direction_cossim",
    """
seen = model.get_activations("inception_4c_output", cat).mean((0, 1))
render_vis(objectives.direction_cossim("inception_4c_output", seen, cossim_pow=2))
""",
)
shown(
    "direction_neuron",
    """
eye = model.get_activations("inception_4c_output", cat)[3, 3]
render_vis(objectives.direction_neuron("inception_4c_output", eye, cossim_pow=1))
""",
)
shown(
    "tensor_direction",
    """
seen = model.get_activations("inception_4c_output", cat)
render_vis(
    objectives.tensor_direction("inception_4c_output", seen, cossim_pow=1),
    transforms=[],
)
""",
)
shown(
    "deepdream",
    """
render_vis(
    objectives.deepdream("inception_4c_output"),
    param_f=lambda: param.image(128, init=cat),
)
""",
)
shown(
    "class_logit",
    """
robust = [*transform.standard_transforms, transform.crop_or_pad_to(224, 224)]
render_vis(
    objectives.class_logit("loss3_classifier/loss3_classifier", "goldfish"),
    param_f=lambda: param.image(224),
    transforms=robust,
)
""",
)
shown(
    "channel_interpolate",
    """
eyes, flowers = ("inception_4a_output", 300), ("inception_4b_output", 100)
render_vis(
    objectives.channel_interpolate(*eyes, *flowers),
    param_f=lambda: param.image(96, batch=4),
)
""",
)
shown(
    "alignment",
    """
eyes, flowers = ("inception_4a_output", 300), ("inception_4b_output", 100)
between = objectives.channel_interpolate(*eyes, *flowers)
render_vis(
    between + 0.1 * objectives.alignment("inception_3b_output"),
    param_f=lambda: param.image(96, batch=4),
)
""",
)
shown(
    "diversity",
    """
flowers = objectives.channel("inception_4b_output", 100)
render_vis(
    flowers - 100 * objectives.diversity("inception_3b_output"),
    param_f=lambda: param.image(96, batch=4),
)
""",
)
shown(
    "total_variation",
    """
eyes = objectives.channel("inception_4a_output", 300)
render_vis(eyes - 0.02 * objectives.total_variation())
""",
)
shown(
    "L1",
    """
eyes = objectives.channel("inception_4a_output", 300)
render_vis(eyes - 0.05 * objectives.L1(constant=0.5))
""",
)
shown(
    "L2",
    """
eyes = objectives.channel("inception_4a_output", 300)
render_vis(eyes - 20 * objectives.L2(constant=0.5))
""",
)
shown(
    "blur_input_each_step",
    """
eyes = objectives.channel("inception_4a_output", 300)
render_vis(
    eyes - 10 * objectives.blur_input_each_step(),
    param_f=lambda: param.image(128, fft=False),
)
""",
)
shown(
    "blur_alpha_each_step",
    """
eyes = objectives.channel("inception_4a_output", 300)
alpha = objectives.as_objective(lambda T: T("input")[:, 3].mean())
render_vis(
    eyes * (1 - alpha) - 100 * objectives.blur_alpha_each_step(),
    param_f=lambda: param.image(128, alpha=True),
    transforms=[transform.collapse_alpha_random(), *transform.standard_transforms],
)
""",
)
shown(
    "penalize_boundary_complexity",
    """
shape = [1, 128, 128, 3]
border = objectives.penalize_boundary_complexity(shape, w=24, C=1.0)
render_vis(objectives.neuron("inception_4d_output", 200) + 0.1 * border)
""",
)
shown(
    "input_diff",
    """
eyes = objectives.channel("inception_4a_output", 300)
render_vis(
    eyes - 2000 * objectives.input_diff(cat),
    param_f=lambda: param.image(128, init=cat),
)
""",
)
shown(
    "sum",
    """
eyes = objectives.channel("inception_4a_output", 300)
flowers = objectives.channel("inception_4b_output", 100)
render_vis(eyes + flowers)
""",
)
shown(
    "own",
    """
@objectives.wrap_objective
def upper_half(layer, channel):
    return lambda T: T(layer)[:, channel, : T(layer).shape[2] // 2].mean()


render_vis(upper_half("inception_4a_output", 300))
""",
)

# Parameterizations -------------------------------------------------------------------------------

shown = page("parameterizations.md", "param")

shown(
    "no_fft",
    """
render_vis(
    "inception_4a_output:300",
    param_f=lambda: param.image(128, fft=False),
)
""",
)
shown(
    "no_decorrelation",
    """
render_vis(
    "inception_4a_output:300",
    param_f=lambda: param.image(128, decorrelate=False),
)
""",
)
shown(
    "pixels",
    """
render_vis(
    "inception_4a_output:300",
    param_f=lambda: param.image(128, fft=False, decorrelate=False),
)
""",
)
shown(
    "grayscale",
    """
render_vis(
    "inception_4a_output:300",
    param_f=lambda: param.grayscale_image_rgb(128),
)
""",
)
shown(
    "smooth",
    """
spectrum = param.fft_image([1, 128, 128, 3], decay_power=1.25)
image = param.to_valid_rgb(spectrum, decorrelate=True)
render_vis("inception_4a_output:300", param_f=image)
""",
)
shown(
    "pyramid",
    """
pyramid = param.laplacian_pyramid_image([1, 128, 128, 3], n_levels=5)
image = param.to_valid_rgb(pyramid, decorrelate=True)
render_vis("inception_4a_output:300", param_f=image)
""",
)
shown(
    "cppn",
    """
render_vis(
    "inception_4a_output:300",
    param_f=lambda: param.cppn(128),
    optimizer=lambda parameters: TFAdam(parameters, lr=0.01),
    transforms=[],
)
""",
)
shown(
    "lowres",
    """
shared = param.lowres_tensor([4, 96, 96, 3], [1, 12, 12, 3])
own = param.fft_image([4, 96, 96, 3])
eyes, flowers = ("inception_4a_output", 300), ("inception_4b_output", 100)
render_vis(
    objectives.channel_interpolate(*eyes, *flowers),
    param_f=param.to_valid_rgb(shared + own, decorrelate=True),
)
""",
)
shown("sample", "param.image_sample([4, 128, 128, 3], sd=0.2, decay_power=1.5)()")
shown(
    "texture",
    """
places = np.stack(
    np.meshgrid(np.linspace(0, 2, 128), np.linspace(2, 0, 128)),
    -1,
)


def tiled(image):
    texture = image[0].permute(1, 2, 0)
    return param.bilinearly_sampled_image(texture, places).permute(2, 0, 1)[None]


render_vis(
    "inception_4a_output:300",
    param_f=param.image(64).map(tiled),
)
""",
)
shown(
    "interpolation",
    """
basis = param.multi_interpolation_basis(2, 5, 64)
eyes, flowers = ("inception_4a_output", 300), ("inception_4b_output", 100)
render_vis(
    objectives.channel_interpolate(*eyes, *flowers),
    param_f=param.to_valid_rgb(basis[0, 1], decorrelate=True),
)
""",
)
shown(
    "ball",
    """
change = param.unit_ball_L_inf([1, 128, 128, 3], direction="descent")
near = (cat + 0.08 * change).map(lambda image: image.clamp(0, 1))
render_vis("inception_4a_output:300", param_f=near)
""",
)

# Transforms --------------------------------------------------------------------------------------

shown = page("transforms.md", "transform")

shown("jitter", "transform.jitter(32)(cats, source)")
shown(
    "pad",
    """
[transform.pad(24, mode)(cats[:1]) for mode in ("reflect", "symmetric", "constant")]
""",
)
shown(
    "random_scale",
    """
[transform.random_scale([scale])(cats[:1]) for scale in (0.8, 0.9, 1, 1.1)]
""",
)
shown("random_rotate", "transform.random_rotate(range(-45, 46))(cats, source)")
shown(
    "crop_or_pad_to",
    """
[transform.crop_or_pad_to(*size)(cats[:1]) for size in ((96, 96), (128, 160))]
""",
)
shown(
    "collapse_alpha_random",
    """
rows, columns = np.indices((128, 128)) - 64
disc = torch.as_tensor(rows**2 + columns**2 < 50**2).expand(4, 1, 128, 128)
transform.collapse_alpha_random()(torch.cat([cats, disc], 1), source)
""",
)
shown("standard", "transform.compose(transform.standard_transforms)(cats, source)")
shown(
    "none_jitter_standard",
    """
robust = [], [transform.jitter(8)], transform.standard_transforms
made = [render_vis("inception_4a_output:300", transforms=these) for these in robust]
np.concatenate([pictures[-1] for pictures in made])
""",
)


# Attribution -------------------------------------------------------------------------------------

shown = page("attribution.md", "attribution")

shown(
    "cat",
    """
from lucid_port.attribution import attribute

photo, layer = data.chelsea()[:, 75:375], "inception_4d_output"
found = attribute(model, photo, layer=layer, method="conductance", n_steps=24)
found.picture(icons=True, count=5, steps=96)[None]
""",
)
shown(
    "methods",
    """
from lucid_port.attribution import attribute
from lucid_port.attribution.drawing import over

photo = data.chelsea()[:, 75:375]
options = {"occlusion": {"sliding_window_shapes": 48, "strides": 16}, "grad_cam": {}}
methods = {"integrated_gradients": {"n_steps": 24}, **options}
results = [attribute(model, photo, method=name, **given) for name, given in methods.items()]
np.stack([over(one.photos[0], one.maps[0]) for one in results])
""",
)

# Making them -------------------------------------------------------------------------------------


def namespace() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(PREFACE, names)
    return names


def run(code: str, names: dict[str, Any]) -> Any:
    """The value of the code's last line."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    names = {**names, "source": RandomSource(0, per_image=True)}  # whatever pictures came before
    exec(compile(tree, "<page>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<page>", "eval"), names)


def make(picture: Picture, names: dict[str, Any]) -> None:
    picture.file.parent.mkdir(parents=True, exist_ok=True)
    if picture.code.startswith("lucid-port "):
        _make_by_command(picture)
        return
    made = run(picture.code, names)
    if carries_recipe(made):
        made.save(picture.file)
        picture.file.with_name(f"{picture.file.name}.json").unlink()  # the file itself carries the recipe
        return
    pictures = [one for batch in _batches(made) for one in on_checks(batch)]
    save(_sheet(pictures, picture.across or len(pictures)), picture.file, domain=(0, 1), quality=QUALITY)


def _batches(made: Any) -> list[np.ndarray]:
    """Batches [N, H, W, C] of what a picture's code gives: renders, a tensor (N, C, H, W), an array, or several."""
    if isinstance(made, Renders):
        return [made[-1]]
    if isinstance(made, torch.Tensor):
        return [made.detach().permute(0, 2, 3, 1).numpy()]
    if isinstance(made, list):
        return [batch for one in made for batch in _batches(one)]
    return [made]


def carries_recipe(made: Any) -> bool:
    """Whether it is one picture, which is saved as it is, rather than several side by side."""
    return isinstance(made, Renders) and len(made[-1]) == 1 and made[-1].shape[-1] == 3


def _make_by_command(picture: Picture) -> None:
    root = FOLDER.parent.parent
    _, *words, name = shlex.split(picture.code)
    with tempfile.TemporaryDirectory() as folder:
        there = [str(root / word) if (root / word).is_file() else word for word in words]
        code = lucid_port([*there, str(Path(folder) / name)])
        if code:
            raise SystemExit(f"{picture.code} ended with {code}.")
        units = json.loads((Path(folder) / name / MANIFEST).read_text(encoding="utf-8"))["units"]
        made = [load(str(Path(folder) / name / unit["file"])) for unit in units]
    save(_sheet(made, picture.across or len(made)), picture.file, domain=(0, 1), quality=QUALITY)


def on_checks(batch: np.ndarray, side: int = 8) -> np.ndarray:
    """RGBA pictures on a chequered ground, [N, H, W, 3]; others as they are."""
    if batch.shape[-1] != 4:
        return batch
    rows, columns = np.indices(batch.shape[1:3]) // side
    ground = np.where((rows + columns) % 2, 0.75, 1.0)[None, ..., None]
    alpha = batch[..., 3:]
    return batch[..., :3] * alpha + ground * (1 - alpha)


def _sheet(pictures: list[np.ndarray], across: int) -> np.ndarray:
    """Pictures in rows, white between and around them."""
    height, width = np.max([one.shape[:2] for one in pictures], axis=0)
    rows = -(-len(pictures) // across)
    sheet = np.ones((rows * (height + GAP) - GAP, across * (width + GAP) - GAP, 3), np.float32)
    for index, one in enumerate(pictures):
        top = index // across * (height + GAP) + (height - one.shape[0]) // 2
        left = index % across * (width + GAP) + (width - one.shape[1]) // 2
        sheet[top : top + one.shape[0], left : left + one.shape[1]] = one
    return sheet


def chosen(wanted: list[str]) -> list[Picture]:
    """The pictures of the given names and folders; all if none is given."""
    found = [p for p in PICTURES if not wanted or p.name in wanted or p.name.split("/")[0] in wanted]
    known = {p.name for p in PICTURES} | {p.name.split("/")[0] for p in PICTURES}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SystemExit(f"There is no picture {unknown[0]}; --list shows all.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a picture or a folder of pictures")
    parser.add_argument("--missing", action="store_true", help="only pictures that are not there")
    parser.add_argument("--list", action="store_true", help="show all names")
    options = parser.parse_args()
    if options.list:
        print("\n".join(picture.name for picture in PICTURES))
        return
    torch.set_num_threads(1)
    names = namespace()
    for picture in chosen(options.names):
        if options.missing and picture.file.exists():
            continue
        start = time.perf_counter()
        make(picture, names)
        size = picture.file.stat().st_size / 1024
        print(f"{picture.name}: {size:.0f} kB, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
