"""Textures of meshes: a feature painted onto a surface, and the style of a picture transferred to it.

Mordvintsev, Pezzotti, Schubert, Olah: Differentiable Image Parameterizations (Distill, 2018),
https://distill.pub/2018/differentiable-parameterizations, section "Efficient Texture Optimization through 3D
Rendering"; Lucid's notebooks differentiable-parameterizations/texture_synth_3d and style_transfer_3d.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.gl.cameras import normalize, turned_view
from lucid_port.misc.gl.files import texture_pixels
from lucid_port.misc.gl.glrenderer import MeshRenderer
from lucid_port.misc.gl.mesh import Mesh, check_mesh
from lucid_port.misc.tensors import as_tensor
from lucid_port.optvis import param
from lucid_port.optvis.engine.coerce import Model, ReluOverride
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.mesh_view import MeshLike, as_mesh, mesh_view, sampled
from lucid_port.optvis.objectives.readers import Activations, as_reader, by_image
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.style import StyleLoss
from lucid_port.recipes.inputs import ImageLike, ObjectiveLike, as_batch, height_and_width, load_image, named_objectives
from lucid_port.recipes.steps import run

__all__ = [
    "CONTENT_LAYERS",
    "STYLE_LAYERS",
    "StyledMesh",
    "TexturedMesh",
    "mesh_views",
    "style_transfer_3d",
    "texture_3d",
    "turntable",
]

UNIT = "mixed4b_pool_reduce_pre_relu:17"
"""The notebook's unit of InceptionV1."""

CONTENT_LAYERS = ("mixed3b",)
STYLE_LAYERS = ("conv2d2", "mixed3a", "mixed3b", "mixed4a", "mixed4b", "mixed4c")
CONTENT_WEIGHT = 100.0
DECAY = 0.95
"""Decay of the moving averages of Gram matrices: a step sees one side of the mesh only."""

DISTANCE = 14.5
SHADE = 0.45
"""Share of the light that comes from the camera, in pictures of meshes."""


@dataclass(frozen=True)
class TexturedMesh:
    """A mesh with an optimized texture.

    Attributes:
        name: name of the objective.
        mesh: the mesh, as `as_mesh` returns it.
        texture: [H, W, 3] in [0, 1].
        losses: objective values before each update, [steps].
        backend: the renderer, "egl" or "torch".
        recipe: the recipe, whose `render` makes the texture again.
    """

    name: str
    mesh: Mesh
    texture: np.ndarray
    losses: np.ndarray
    backend: str
    recipe: Recipe


@dataclass(frozen=True)
class StyledMesh:
    """A mesh with a texture in the style of a picture.

    Attributes:
        mesh: the mesh, as `as_mesh` returns it.
        content: the mesh's own texture, [H, W, 3] in [0, 1].
        style: the picture, [h, w, 3] in [0, 1].
        texture: the new texture, [H, W, 3] in [0, 1].
        losses: negative distances to content and style before each update, [steps].
        backend: the renderer, "egl" or "torch".
    """

    mesh: Mesh
    content: np.ndarray
    style: np.ndarray
    texture: np.ndarray
    losses: np.ndarray
    backend: str


@checked
def texture_3d(
    model: Model,
    wanted: ObjectiveLike = UNIT,
    mesh: MeshLike = "torus",
    *,
    texture_size: int | Sequence[int] = 1024,
    size: int | Sequence[int] = 512,
    min_dist: float = 11.0,
    max_dist: float = 13.0,
    lr: float = 0.03,
    steps: int = 400,
    relu_gradient_override: ReluOverride = False,
    backend: str | None = None,
    seed: int = 0,
    verbose: bool = False,
) -> TexturedMesh:
    """Optimizes the texture of a mesh for an objective, as in Lucid's notebook texture_synth_3d.

    Each update shows the network the mesh from a random direction, before a black background.

    Args:
        model: the model.
        wanted: an objective, or `"layer:channel"`; by default the notebook's channel of InceptionV1.
        mesh: "torus", the path of a file, or a mesh; see `as_mesh`.
        texture_size: (height, width) of the texture, or one number for both.
        size: (height, width) of the views.
        min_dist: least distance of the camera from the middle of the mesh.
        max_dist: greatest distance.
        lr: learning rate of Adam.
        steps: number of updates.
        relu_gradient_override: as for `render_vis`; the notebook leaves gradients as they are.
        backend: the renderer, see `find_backend`: "egl" where it is there, else "torch".
        seed: seed of all random draws.
        verbose: show progress.

    Raises:
        TypeError, ValueError: the mesh cannot be rendered with a texture, it is not in view, or another argument has
            the wrong type or is out of range.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> made = texture_3d(TinyInceptionV1(), "mixed4a:8", texture_size=32, size=48, steps=2)
        >>> made.texture.shape, made.losses.shape
        ((32, 32, 3), (2,))
    """
    ((name, objective),) = named_objectives([wanted], model)
    height, width = height_and_width(texture_size)
    view = mesh_view(_loaded(mesh), size, min_dist, max_dist, backend)
    vis = VisT(
        model,
        objective,
        param.image(width, None if height == width else height),
        lambda parameters: TFAdam(parameters, lr=lr),
        [view],
        relu_gradient_override,
        seed=seed,
    )
    losses = run(vis, steps, verbose)
    return TexturedMesh(name, as_mesh(view.mesh), vis.image()[0], losses, view.backend, Recipe.of(vis))


@checked
def style_transfer_3d(
    model: Model,
    content: ImageLike,
    style: ImageLike,
    mesh: MeshLike = "torus",
    *,
    content_layers: Sequence[str] = CONTENT_LAYERS,
    style_layers: Sequence[str] = STYLE_LAYERS,
    content_weight: float = CONTENT_WEIGHT,
    ema_decay: float = DECAY,
    texture_size: int | Sequence[int] = 1024,
    size: int | Sequence[int] = 512,
    min_dist: float = 10.0,
    max_dist: float = 12.0,
    lr: float = 0.05,
    steps: int = 400,
    backend: str | None = None,
    seed: int = 0,
    verbose: bool = False,
) -> StyledMesh:
    """Paints the texture of a mesh in the style of a picture, as in Lucid's notebook style_transfer_3d.

    Each update compares two views of the mesh from one random direction, with the new texture and with its own one: the
    distance to the content is the mean absolute difference of their activations. The distance to the style is the mean
    absolute difference of Gram matrices, which are averaged over the views.

    Args:
        model: the model.
        content: the mesh's own texture, a path or an array [H, W, C] in [0, 1]; it is resized to `texture_size`.
        style: the picture, like `content`. It keeps its size, which should be near that of the views.
        mesh: "torus", the path of a file, or a mesh; see `as_mesh`.
        content_layers: layers in which the content is compared; by default that of Lucid's InceptionV1.
        style_layers: layers in which the style is compared.
        content_weight: weight of the distance to the content.
        ema_decay: decay of the moving averages of Gram matrices, in [0, 1].
        texture_size, size, min_dist, max_dist, lr, steps, backend, seed, verbose: as for `texture_3d`.

    Raises:
        TypeError, ValueError: as for `texture_3d`, or a picture cannot be read.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> content, style = np.full((16, 16, 3), 0.5), np.full((48, 48, 3), 0.2)
        >>> made = style_transfer_3d(TinyInceptionV1(), content, style, texture_size=32, size=48, steps=2)
        >>> made.texture.shape, made.losses.shape
        ((32, 32, 3), (2,))
    """
    picture, own = load_image(style), load_image(content, height_and_width(texture_size))
    loss = StyleLoss(style_layers, ema_decay)
    of_content = [
        checks.text(layer, "Each of content_layers", "a layer's name")
        for layer in checks.items(content_layers, "content_layers", "a list of layers")
    ]
    checks.number(content_weight, "content_weight", 0)
    view = mesh_view(_loaded(mesh), size, min_dist, max_dist, backend)
    with torch.no_grad():
        loss.set_style(model.activations(as_batch(model, picture), loss.style_layers), model)
    assert loss.target_vars is not None
    textures = _Textures(own, [torch.zeros_like(one) for one in loss.target_vars])
    vis = VisT(
        model,
        _negative_distance(textures, loss, of_content, content_weight),
        textures,
        lambda parameters: TFAdam(parameters, lr=lr),
        [view],
        seed=seed,
    )
    losses = run(vis, steps, verbose)
    return StyledMesh(as_mesh(view.mesh), own, picture, vis.image()[0], losses, view.backend)


def _loaded(mesh: MeshLike) -> MeshLike:
    """The name of a mesh of this package, or the mesh, so that a file is read once."""
    return mesh if mesh == "torus" else as_mesh(mesh)


class _Textures(Parameterization):
    """The optimized texture and the mesh's own one, and the moving averages of Gram matrices.

    The averages are buffers, so that checkpoints keep them.
    """

    def __init__(self, content: np.ndarray, averages: Sequence[torch.Tensor]) -> None:
        super().__init__()
        height, width = content.shape[:2]
        self.texture = param.image(width, height)
        own = as_tensor(np.ascontiguousarray(content.transpose(2, 0, 1)[None]))
        self.register_buffer("content", own, persistent=False)
        self._names = [f"average{number}" for number in range(len(averages))]
        for name, average in zip(self._names, averages, strict=True):
            self.register_buffer(name, average)

    @property
    def averages(self) -> list[torch.Tensor]:
        return [getattr(self, name) for name in self._names]

    def compute(self, memo: Memo) -> torch.Tensor:
        content = self.content
        assert isinstance(content, torch.Tensor)
        return torch.cat([self.texture.evaluate(memo), content])


def _negative_distance(
    textures: _Textures, loss: StyleLoss, content: Sequence[str], weight: float
) -> Callable[[Activations], torch.Tensor]:
    """The objective: minus the distances of the first image to the second one's content, and to the style."""

    def value(T: Activations) -> torch.Tensor:
        read = as_reader(T)
        total = torch.zeros(())
        for layer in content:
            activation = by_image(read, layer)
            total = total.to(activation) + weight * (activation[0] - activation[1].detach()).abs().mean()
        loss.averages = textures.averages
        total = total + loss(lambda layer: read(layer)[:1])
        for kept, average in zip(textures.averages, loss.averages, strict=True):
            kept.copy_(average)
        return -total

    return value


# Pictures ----------------------------------------------------------------------------------------


@checked
def mesh_views(
    mesh: MeshLike,
    texture: np.ndarray,
    views: Sequence[np.ndarray],
    size: int | Sequence[int] = 256,
    *,
    background: float = 1.0,
    shade: float = SHADE,
    backend: str | None = None,
) -> np.ndarray:
    """Pictures of a mesh with a texture, smoothed at its edges.

    Args:
        mesh: "torus", the path of a file, or a mesh; see `as_mesh`.
        texture: [H, W, 3] in [0, 1].
        views: matrices [4, 4], as from `meshutil.turned_view` or `meshutil.sample_view`.
        size: (height, width) of the pictures, or one number for both.
        background: gray value behind the mesh.
        shade: share of the light that comes from the camera, in [0, 1]; 0 shows the colors of the texture as they are.
        backend: the renderer, see `find_backend`.

    Returns:
        float32 [N, height, width, 3] in [0, 1].

    Raises:
        TypeError, ValueError: the mesh cannot be rendered with a texture, it is not in view, or another argument is out
            of range.

    Example:
        >>> from lucid_port.misc.gl.meshutil import turned_view
        >>> mesh_views("torus", np.zeros((8, 8, 3)), [turned_view(0, 13)], size=(24, 32)).shape
        (1, 24, 32, 3)
    """
    height, width = height_and_width(size)
    made = as_mesh(mesh)
    pixels = as_tensor(texture_pixels(texture)).movedim(-1, 0)[None].float() / 255
    behind = checks.number(background, "background", 0, most=1)
    light = checks.number(shade, "shade", 0, most=1)
    renderer = MeshRenderer((2 * width, 2 * height), backend)
    surface, normals = check_mesh(made), check_mesh({**made, "uv": _normals(made)})
    pictures = []
    for view in checks.items(views, "views", "a list of matrices"):
        coordinates = renderer.draw(surface, view)
        covered = (coordinates[..., 3] > 0.5).float()
        normal = renderer.draw(normals, view)[..., :3].double()
        frontal = torch.nn.functional.normalize(normal, dim=-1) @ as_tensor(np.float64(view[2, :3]))
        lit = sampled(pixels, coordinates) * (1 - light + light * frontal.abs().float())
        pictures.append(torch.lerp(torch.full_like(lit, behind), lit, covered))
    # Each pixel is the mean of four.
    return torch.nn.functional.avg_pool2d(torch.cat(pictures), 2).movedim(1, -1).contiguous().numpy()


def _normals(mesh: Mesh) -> np.ndarray:
    """The normals of a mesh's vertices, [V, 3]: its own, or the means of the triangles around each position."""
    if "normal" in mesh:
        return mesh["normal"]
    position, _, triangles = check_mesh(mesh)
    corners = position[triangles].astype(np.float64)
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    _, places = np.unique(position, axis=0, return_inverse=True)  # vertices at one place differ in their uv only
    places = places.reshape(-1)
    sums = np.zeros((places.max() + 1, 3))
    for corner in range(3):
        np.add.at(sums, places[triangles[:, corner]], faces)
    return normalize(sums[places], axis=1)


@checked
def turntable(
    mesh: MeshLike,
    texture: np.ndarray,
    frames: int = 36,
    size: int | Sequence[int] = 256,
    *,
    distance: float = DISTANCE,
    elevation: float = 20.0,
    backend: str | None = None,
) -> np.ndarray:
    """The pictures of a mesh that turns once around its vertical axis, for `lucid_port.misc.io.films.save_film`.

    Args:
        mesh, texture, size, backend: as for `mesh_views`.
        frames: number of pictures.
        distance: distance of the camera from the middle of the mesh.
        elevation: angle of the camera above the horizontal plane in degrees.

    Returns:
        float32 [frames, height, width, 3] in [0, 1].

    Raises:
        TypeError, ValueError: as for `mesh_views`.

    Example:
        >>> turntable("torus", np.zeros((8, 8, 3)), frames=3, size=16).shape
        (3, 16, 16, 3)
    """
    count = checks.whole(frames, "frames", 1)
    views = [turned_view(number / count, distance, elevation) for number in range(count)]
    return mesh_views(mesh, texture, views, size, backend=backend)
