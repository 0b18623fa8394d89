"""Figures of Differentiable Image Parameterizations (2018)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from converters import checks
from converters.atomic import write_bytes
from lucid_port.figures.base import Panel, Result, Settings, Takes, figure
from lucid_port.figures.common import (
    CAFFE,
    CHANNELS,
    INCEPTION,
    SHOWN,
    TINY,
    a_layer,
    caffe_units,
    for_models,
    lucid_units,
    render_options,
    short,
)
from lucid_port.figures.meshes import find_mesh
from lucid_port.figures.photographs import photograph
from lucid_port.misc.gl.files import trimesh_package
from lucid_port.misc.gl.viewer import mesh_page
from lucid_port.misc.io.films import save_film
from lucid_port.recipes import cppn
from lucid_port.recipes.inputs import ImageLike, load_image, named_unit
from lucid_port.recipes.interpolation import interpolations
from lucid_port.recipes.style_transfer import CONTENT_LAYERS, CONTENT_WEIGHT, STYLE_LAYERS, style_transfer
from lucid_port.recipes.textured_meshes import texture_3d, turntable
from lucid_port.recipes.transparency import checkerboard, over, transparent


@figure(
    "dp-aligned-interpolation",
    "Interpolation between units, aligned and not",
    of="figures 2 and 3",
    steps=512,
    options=for_models(lucid_units("4a:476 4a:460"), caffe_units("4a:300 4a:41"), lucid_units("4a:73 4a:48"), frames=5),
    takes=Takes("two units, layer:channel", [named_unit], least=2, most=2),
    fast_options={"frames": 4, "size": 64},
    see="Pictures rendered one by one show their objects at unrelated positions. With shared parameters, objects keep "
    "their positions and change gradually from the first unit's to the second unit's.",
)
def aligned_interpolation(settings: Settings) -> Result:
    """A row without shared parameters, and a row with them, also split into unshared and shared images."""
    first, second = settings.units
    frames = settings.options["frames"]
    options = render_options(settings)
    alone, together = (
        interpolations(settings.model, [(first, second)], frames, sharing=sharing, **options)[0]
        for sharing in ("none", "pyramid")
    )
    names = [short(first), *[""] * (frames - 2), short(second)]
    panels = [
        Panel(alone.pictures, names, "Each picture separately"),
        Panel(together.pictures, names, "With shared parameters"),
        Panel(together.unique, [], "The unshared images"),
        Panel(together.shared, [], "The shared images"),
    ]
    values = {"alone": alone.losses[-1], "together": together.losses[-1]}
    return Result(panels, {"units": [first, second], "values": values})


CAFFE_STYLE = ["conv2_3x3/conv2_3x3", *(f"inception_{block}_output" for block in ("3a", "4a", "4b", "4c"))]


@figure(
    "dp-style-transfer",
    "Style transfer with GoogLeNet, in pixels and in a decorrelated Fourier basis",
    of="figure 4",
    steps=512,
    options={
        **{name: {"units": CONTENT_LAYERS, "style_layers": STYLE_LAYERS} for name in INCEPTION},
        CAFFE: {"units": ["inception_3b_output"], "style_layers": CAFFE_STYLE},
        TINY: {"units": CONTENT_LAYERS, "style_layers": STYLE_LAYERS, "content_weight": 30.0},
    },
    takes=Takes("layers that the content is compared in", [a_layer]),
    fast_options={"size": 112},
    see="The same objective in pixels and in a decorrelated Fourier basis. The article finds that pixels fail with "
    "InceptionV1. InceptionV1_caffe paints gravel in pixels, too, but with less contrast and spots of wrong color (in "
    "the eye). TinyInceptionV1 was trained on drawings in arbitrary colors: it transfers shapes, not colors.",
    of_picture=True,
)
def style(settings: Settings) -> Result:
    """A picture in the style of another, by both parameterizations. The units are the layers of the content."""
    content = photograph(settings, "one thing")
    painting = photograph_of_style(settings)
    options = {
        **render_options(settings, max(content.shape[:2])),
        "content_layers": settings.units,
        "style_layers": list(settings.options["style_layers"]),
        "content_weight": settings.options.get("content_weight", CONTENT_WEIGHT),
    }
    made = {
        kind: style_transfer(settings.model, content, painting, parameterization=kind, **options)
        for kind in ("pixel", "decorrelated")
    }
    shown = made["decorrelated"]
    seen = load_image(shown.styles[0], shown.content.shape[:2])
    pictures = [shown.content, seen, *(one.pictures[0] for one in made.values())]
    captions = ["content", "style", "pixels", "decorrelated"]
    return Result([Panel(pictures, captions)], {"distances": {kind: one.losses[0, -1] for kind, one in made.items()}})


def photograph_of_style(settings: Settings) -> ImageLike:
    """The picture of the style: the option `style`, or the model's picture of a texture."""
    own = settings.options.get("style")
    return photograph(replace(settings, image=None), "a texture") if own is None else own  # --image is the content


@figure(
    "dp-cppn",
    "Pictures painted by a small network",
    of="figures 7 and 8",
    steps=512,
    options=for_models(
        lucid_units("4b_3x3:77 4d_3x3_bottleneck:139 4a_pool_reduce:52"),
        ["inception_4b_3x3/BiasAdd:77", "inception_4d_3x3_reduce/BiasAdd:10", "inception_4a_pool_proj/BiasAdd:52"],
        lucid_units("4a:40 4a:111 4a:97"),
    ),
    takes=CHANNELS,
    fast_options={"size": 96, "shown": 128},
    see="A network from coordinates to colors has no pixels. It paints smooth shapes with sharp edges, light on dark, "
    "and shows the same picture at any size.",
)
def paintings(settings: Settings) -> Result:
    """The painting of each unit after several numbers of updates, and the last one at a larger size."""
    units = settings.units
    counts = sorted({max(1, settings.steps * part // 16) for part in (1, 4, 16)})
    options = {**render_options(settings, 224), "thresholds": counts}
    made = cppn.paint(settings.model, units, **options)
    side = checks.whole(settings.options.get("shown", 400), "shown", 1)
    large = made.networks[-1].paint(side)
    rows = [
        Panel(made.pictures[:, number], [f"{count} steps" for count in made.thresholds], short(unit))
        for number, unit in enumerate(units)
    ]
    final = Panel(large, [short(unit) for unit in units], "The same networks at a larger size")
    return Result([*rows, final], {"units": units, "values": made.losses[:, -1]})


@figure(
    "dp-transparency",
    "Pictures with transparency",
    of="figure 11",
    steps=1000,
    options=for_models(
        lucid_units("4d_3x3_bottleneck:139 4b_pool_reduce:16 4b_pool_reduce:27 4a_pool_reduce:15"),
        caffe_units("4a:300 4b:100 4c:55"),
        lucid_units("5a:19 5a:45 4a:97 4b:34"),
    ),
    takes=CHANNELS,
    fast_steps=256,
    fast_options={"size": 96},
    see="With transparency, the picture of a unit is opaque only where the unit needs it. Elsewhere, the checkerboard "
    "behind it is visible.",
)
def transparency(settings: Settings) -> Result:
    """The picture of each unit over a checkerboard, and its alpha channel."""
    units = settings.units
    made = transparent(settings.model, units, **render_options(settings, 320))
    side = made.pictures.shape[1]
    board = checkerboard(side)
    shown = [over(picture[None], board)[0] for picture in made.pictures]
    covered = made.pictures[..., 3]
    names = [short(unit) for unit in units]
    panels = [Panel(shown, names, "Over a checkerboard"), Panel(list(covered[..., None]), names, "Opacity")]
    return Result(panels, {"units": units, "covered": covered.mean((1, 2))})


@figure(
    "dp-3d-texture",
    "Units painted onto a surface",
    of="figures 13 and 15",
    steps=400,
    options=for_models(
        lucid_units("4b_pool_reduce:17 4a:476"), caffe_units("4a:300 4b:100"), lucid_units("4a:97 4b:34")
    ),
    takes=CHANNELS,
    fast_options={"size": 128, "texture_size": 256, "frames": 12},
    see="The texture of a mesh is optimized for a unit, seen from a random direction in each step. Patterns wrap "
    "around the surface, and continue across the edges of the texture. The mesh is the article's bunny if the "
    "article's published files are at hand, otherwise a ring. It turns in the film, and by the mouse in its pages.",
)
def textured_mesh(settings: Settings) -> Result:
    """Four sides of the mesh for each unit, a film that turns it, and a page for each unit to turn it by hand."""
    trimesh_package()  # a missing package fails before anything is rendered
    units = settings.units
    name, mesh = find_mesh(settings.options.get("mesh"))
    frames = checks.whole(settings.options.get("frames", 36), "frames", 2)
    options = {**render_options(settings, 512), "texture_size": settings.options.get("texture_size", 1024)}
    made = [texture_3d(settings.model, unit, mesh, **options) for unit in units]
    turns = [turntable(mesh, one.texture, frames, SHOWN) for one in made]
    sides = [round(frames * part / 4) % frames for part in range(4)]
    panels = [Panel(list(turn[sides]), [], short(unit)) for unit, turn in zip(units, turns, strict=True)]
    files: dict[str, Callable[[Path], object]] = {
        "-turning.webp": lambda path: save_film(list(np.concatenate(turns, 2)), path)
    }
    for number, (unit, one) in enumerate(zip(units, made, strict=True), 1):
        page = mesh_page(mesh, one.texture, title=f"{short(unit)} on a mesh")
        files[f"-{number}.html"] = functools.partial(write_bytes, data=page.encode())
    data = {"units": units, "mesh": name, "renderer": made[0].backend, "values": [one.losses[-1] for one in made]}
    return Result(panels, data, files)
