"""Renders of texture coordinates: against geometry, against OpenGL, and between the backends."""

from __future__ import annotations

import json
import sys
from itertools import permutations

import numpy as np
import pytest
import torch

from lucid_port.misc.gl import egl, zbuffer
from lucid_port.misc.gl.glrenderer import BACKENDS, MeshRenderer, backends, find_backend
from lucid_port.misc.gl.mesh import check_mesh
from lucid_port.misc.gl.meshutil import lookat, sample_view, torus, view_from
from parity_tests.misc.make_references import FOLDER, scenes
from parity_tests.misc.mesh_pixels import Scene, pixel_distances, with_numbers

INSIDE = 0.02
"""Maximum distance of texture coordinates inside of faces, in pixels."""

SIZES = [(31, 17), (16, 45), (1, 1), (2, 3)]


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "egl" and egl.obstacle():
        pytest.skip("needs EGL, which this machine does not have")
    return request.param


def tilted(size=(31, 17)):
    """One triangle that is seen at a flat angle, larger than the picture in parts."""
    position = np.float32([[-0.9, -0.6, 1.5], [1.4, -0.2, -2.0], [-0.1, 0.9, -0.5]])
    uv = np.float32([[0.1, 0.2], [0.9, 0.1], [0.4, 0.95]])
    return Scene({"position": position, "uv": uv, "face": np.arange(3)}, lookat([0.3, 0.2, 9]), size)


def inside_triangle(scene, margin=0.0):
    """For each pixel of a scene of one triangle, whether it lies in it by more than a margin, in pixels."""
    position = scene.mesh["position"]
    clip = np.hstack([position, np.ones((3, 1))]).astype(np.float64) @ scene.projection().T
    width, height = scene.size
    points = (clip[:, :2] / clip[:, 3:] * [1, -1] + 1) / 2 * [width, height]
    y, x = np.mgrid[:height, :width] + 0.5
    turn = np.sign(np.cross(np.append(points[1] - points[0], 0), np.append(points[2] - points[0], 0))[2])
    distances = []
    for start, end in ((0, 1), (1, 2), (2, 0)):
        edge = points[end] - points[start]
        across = edge[0] * (y - points[start][1]) - edge[1] * (x - points[start][0])
        distances.append(turn * across / np.hypot(*edge))
    return np.min(distances, 0) > margin


@pytest.mark.parametrize("size", SIZES)
def test_a_triangle_is_seen_in_perspective(backend, size):
    scene = tilted(size)
    picture = scene.render(backend)
    assert picture.shape == (size[1], size[0], 4)
    assert picture.dtype == np.float32
    assert (picture[..., 3][inside_triangle(scene, 0.01)] > 0.5).all()
    assert (picture[..., 3][~inside_triangle(scene, -0.01)] == 0).all()
    rows, columns = np.nonzero(picture[..., 3] > 0.5)
    expected = scene.coordinates(np.zeros(len(rows), int), columns + 0.5, rows + 0.5)
    # OpenGL rounds vertices to fractions of a pixel, 1/256 with Mesa.
    np.testing.assert_allclose(picture[rows, columns, :2], expected, atol=2e-7 if backend == "torch" else 5e-4)
    np.testing.assert_allclose(picture[rows, columns, 3], 1, atol=1e-6)


def test_perspective_is_not_linear():
    """The middle of a plane that tilts away is nearer to its front edge in the picture than a linear rule says."""
    position = np.float32([[-1, -1, 4], [1, -1, 4], [1, 1, -4], [-1, 1, -4]])
    uv = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]])
    mesh = {"position": position, "uv": uv, "face": np.int32([0, 1, 2, 0, 2, 3])}
    picture = Scene(mesh, lookat([0, 0, 14]), (65, 65)).render("torch")
    column = picture[:, 32]
    covered = column[column[:, 3] > 0.5][:, 1]
    assert (np.diff(covered) < 0).all(), "v decreases from the upper row on"
    assert covered[len(covered) // 2] == pytest.approx(1 / (1 + 18 / 10), abs=0.12)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_nearest_triangle_is_seen_in_any_order(backend, order):
    big = np.float32([[-2, -2, 0], [2, -2, 0], [0, 3, 0]])
    depths, colours = (-1.0, 0.0, 1.0), (0.25, 0.5, 0.75)
    layers = [
        (big * (1.3 - 0.3 * depth) + np.float32([0, 0, depth]), colour)
        for depth, colour in zip(depths, colours, strict=True)
    ]
    position = np.concatenate([layers[k][0] for k in order])
    uv = np.repeat(np.float32([layers[k][1] for k in order]), 3)[:, None].repeat(2, 1)
    renderer = MeshRenderer((9, 7), backend)
    front = renderer.render_mesh(position, uv, modelview=lookat([0, 0, 10]))
    back = renderer.render_mesh(position, uv, modelview=lookat([0, 0, -10]))
    np.testing.assert_allclose(front[..., 0], 0.75, atol=1e-6)
    np.testing.assert_allclose(back[..., 0], 0.25, atol=1e-6)


def test_triangles_that_cut_each_other(backend):
    """Each is nearer on one side of the picture."""
    position = np.float32([[-9, -9, -1], [9, -9, 1], [0, 14, 0], [-9, -9, 1], [9, -9, -1], [0, 14, 0]])
    uv = np.repeat(np.float32([[0, 0], [1, 1]]), 3, axis=0)
    picture = MeshRenderer((16, 10), backend).render_mesh(position, uv, modelview=lookat([0, 0, 12]))
    np.testing.assert_allclose(picture[:, :7, 0], 1, atol=1e-6)
    np.testing.assert_allclose(picture[:, 9:, 0], 0, atol=1e-6)


def test_a_triangle_that_reaches_behind_the_camera(backend):
    """A floor below the camera: the rows below the horizon show it, at the places where the rays meet it."""
    position = np.float32([[-90, -0.2, 40], [90, -0.2, 40], [0, -0.2, -90]])
    mesh = {"position": position, "uv": position[:, [0, 2]] / 100, "face": np.arange(3)}
    scene = Scene(mesh, np.eye(4, dtype=np.float32), (15, 41))
    picture = scene.render(backend)
    covered = picture[..., 3] > 0.5
    assert not covered[:20].any()
    assert covered[24:].all()
    rows, columns = np.nonzero(covered)
    expected = scene.coordinates(np.zeros(len(rows), int), columns + 0.5, rows + 0.5)
    np.testing.assert_allclose(picture[rows, columns, :2], expected, atol=1e-3)


@pytest.mark.parametrize("distance", [99.5, 100.5, -1.0])
def test_the_far_plane_and_what_is_behind(backend, distance):
    position = np.float32([[-99, -99, 0], [99, -99, 0], [0, 99, 0]]) + np.float32([0, 0, -distance])
    picture = MeshRenderer((5, 4), backend).render_mesh(position, np.zeros((3, 2)))
    assert (picture[..., 3] > 0.5).all() == (distance == 99.5)
    assert (picture[..., 3] > 0.5).any() == (distance == 99.5)


def test_an_empty_view_is_the_clear_colour(backend):
    renderer = MeshRenderer((6, 5), backend)
    ring = torus(5, 4)
    away = lookat([0, 0, 9], [0, 0, 20])
    picture = renderer.render_mesh(ring["position"], ring["uv"], ring["face"], [0.25, 0.5, 0.75, 0.125], away)
    np.testing.assert_array_equal(picture, np.broadcast_to(np.float32([0.25, 0.5, 0.75, 0.125]), (5, 6, 4)))


@pytest.mark.parametrize("components", [2, 3, 4])
def test_components_of_texture_coordinates(backend, components):
    position = np.float32([[-9, -9, 0], [9, -9, 0], [0, 9, 0]])
    uv = np.tile(np.float32([0.1, 0.2, 0.3, 0.4])[:components], (3, 1))
    picture = MeshRenderer((3, 2), backend).render_mesh(position, uv, modelview=lookat([0, 0, 9]))
    expected = np.float32([0.1, 0.2, 0, 1])
    expected[:components] = uv[0]
    np.testing.assert_allclose(picture, np.broadcast_to(expected, (2, 3, 4)), atol=1e-6)


def test_equal_bits_in_parts_and_each_time(monkeypatch):
    scene = Scene(torus(12, 9), sample_view(12, 12, np.random.default_rng(2)), (37, 29))
    whole = scene.render("torch")
    np.testing.assert_array_equal(scene.render("torch"), whole)
    monkeypatch.setattr(zbuffer, "AT_ONCE", 40)
    np.testing.assert_array_equal(scene.render("torch"), whole)


def test_nothing_shows_between_triangles():
    """A plane of many triangles, whose edges meet many pixels' middles exactly, has no holes."""
    side = np.linspace(-4, 4, 33)
    y, x = np.meshgrid(side, side, indexing="ij")
    position = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    low = (np.arange(32)[:, None] * 33 + np.arange(32)).reshape(-1)
    face = np.stack([low, low + 1, low + 34, low, low + 34, low + 33], -1)
    for eye in ([0, 0, 9], [0.7, -0.4, 9], [2, 3, 7]):
        picture = MeshRenderer((64, 64), "torch").render_mesh(
            position, np.zeros((len(position), 2)), face.reshape(-1), modelview=lookat(eye)
        )
        assert (picture[..., 3] == 1).all()


def test_arguments_are_left_as_they_are(backend):
    ring = torus(5, 4)
    kept = {key: array.copy() for key, array in ring.items()}
    for array in ring.values():
        array.flags.writeable = False
    view = lookat([0, 0, 13])
    view.flags.writeable = False
    MeshRenderer((8, 6), backend).render_mesh(ring["position"], ring["uv"], ring["face"], modelview=view)
    for key, array in kept.items():
        np.testing.assert_array_equal(ring[key], array)


# OpenGL -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", scenes())
def test_the_z_buffer_is_what_opengl_has_drawn(name):
    """The reference was drawn by OpenGL; see make_references.py."""
    scene = scenes()[name]
    with np.load(FOLDER / "opengl.npz") as stored:
        expected = stored[name]
    _compare(scene, scene.render("torch"), expected)
    assert json.loads((FOLDER / "opengl.json").read_text())["renderer"]


@pytest.mark.parametrize("name", scenes())
def test_the_z_buffer_is_what_opengl_draws_here(name):
    if egl.obstacle():
        pytest.skip("needs EGL, which this machine does not have")
    scene = scenes()[name]
    _compare(scene, scene.render("torch"), scene.render("egl"))


def _compare(scene, found, expected):
    distances = pixel_distances(scene, found, expected)
    assert len(distances) > 100
    assert distances.max() <= INSIDE  # measured 9.3e-4, and 3.5e-3 on the bunny of 69,451 triangles at 512 pixels
    others = (found[..., 3] > 0.5) != (expected[..., 3] > 0.5)
    same = (found[..., 3] > 0.5) & (expected[..., 3] > 0.5) & (abs(found[..., 2] - expected[..., 2]) < 0.5)
    covered = (expected[..., 3] > 0.5).sum()
    assert others.sum() <= 0.002 * covered + 2, "pixels on the outline"
    assert same.sum() >= 0.99 * covered - 2, "pixels on edges show the neighbor"


# Bad input ----------------------------------------------------------------------------------------


def test_backends_are_named():
    assert backends()[-1] == "torch"
    assert find_backend() == backends()[0] == MeshRenderer((2, 2)).backend
    with pytest.raises(ValueError, match="backend is one of 'egl', 'torch'"):
        find_backend("vulkan")


def test_a_backend_that_is_not_here(monkeypatch):
    monkeypatch.setattr(egl, "obstacle", lambda: "EGL cannot be opened on this machine: libEGL.so not loaded.")
    assert backends() == ("torch",)
    assert MeshRenderer((2, 2)).backend == "torch"
    with pytest.raises(ValueError, match=r"libEGL.so not loaded; choose the backend 'torch'\.$"):
        MeshRenderer((2, 2), "egl")


def test_without_moderngl(monkeypatch):
    monkeypatch.setitem(sys.modules, "moderngl", None)
    assert egl.obstacle.__wrapped__() == "The backend 'egl' needs the package moderngl: pip install -e '.[mesh]'."


@pytest.mark.parametrize(
    ("size", "options", "words"),
    [
        ((0, 4), {}, "size"),
        ((4,), {}, "size"),
        ((4, 4), {"modelview": np.eye(3)}, r"modelview is a matrix of shape \[4, 4\]"),
        ((4, 4), {"modelview": np.full((4, 4), np.nan)}, "modelview"),
        ((4, 4), {"clear_color": [1, 2, 3]}, "clear_color is four numbers"),
        ((4, 4), {"clear_color": [1, 2, 3, np.inf]}, "clear_color"),
        ((4, 4), {"face": np.int32([0, 1, 7])}, "names vertex 7"),
        ((4, 4), {"uv": np.zeros((3, 5))}, "uv"),
    ],
)
def test_arguments_that_make_no_sense(size, options, words):
    arguments = {"position": np.eye(3), "uv": np.zeros((3, 2)), **options}
    with pytest.raises((TypeError, ValueError), match=words):
        MeshRenderer(size, "torch").render_mesh(**arguments)


@pytest.mark.gpu
def test_the_z_buffer_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    ring = check_mesh(with_numbers(torus()))
    view = view_from([1, 2, 3], 12)
    here, there = (MeshRenderer((129, 97), "torch", device).draw(ring, view).cpu() for device in ("cpu", "cuda"))
    same = (here[..., 2] == there[..., 2]) & (here[..., 3] == there[..., 3])
    assert same.float().mean() > 0.999
    torch.testing.assert_close(here[same], there[same], atol=1e-6, rtol=0)
