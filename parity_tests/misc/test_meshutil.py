"""Meshes, their files, and matrices of cameras."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from converters.errors import MissingPackageError
from lucid_port.misc.gl import meshutil
from lucid_port.misc.gl.shapes import torus

PYRAMID = b"""
# five corners; the texture coordinates of its sides differ
v -1 -1 0
v 1 -1 0
v 1 1 0
v -1 1 0
v 0 0 1.5
vt 0 0
vt 1 0
vt 0.5 1
f 1/1 2/2 5/3
f 2/1 3/2 5/3
f 3/2 4/1 5/3
f 4/2 1/1 5/3
"""
"""Lucid's test counts vertices of a file with several texture coordinates at one position, too."""


def corners(mesh, key):
    """A mesh's values at the corners of its triangles, in an order that does not depend on that of its vertices."""
    return mesh[key][mesh["face"].reshape(-1, 3)]


def test_an_obj_file_has_a_vertex_for_each_pair_of_position_and_texture_coordinate():
    mesh = meshutil.load_obj(io.BytesIO(PYRAMID))
    pairs = {(1, 1), (2, 2), (2, 1), (3, 2), (4, 1), (4, 2), (5, 3)}
    assert mesh["position"].shape == (len(pairs), 3)
    assert mesh["uv"].shape == (len(pairs), 2)
    assert mesh["face"].shape == (12,)
    assert {key: array.dtype.name for key, array in mesh.items()} == {
        "position": "float32", "uv": "float32", "face": "int32",
    }  # fmt: skip
    np.testing.assert_array_equal(corners(mesh, "position")[:, 2], [[0, 0, 1.5]] * 4)
    np.testing.assert_array_equal(corners(mesh, "uv")[2], [[1, 0], [0, 0], [0.5, 1]])


def test_polygons_of_an_obj_file_become_triangles_and_normals_split_vertices():
    text = "v 0 0 0\nv 1 0 0\nv 2 1 0\nv 1 2 0\nv 0 1 0\nvn 0 0 2\nvn 0 0 -2\n"
    faces = "f 1//1 2//1 3//1 4//1 5//1\nf 1//2 2//2 3//2 4//2\n"
    mesh = meshutil.load_obj(io.StringIO(text + faces))
    assert len(mesh["position"]) == 9
    triangles = corners(mesh, "position")
    areas = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])[:, 2] / 2
    assert (areas > 0).all()
    assert areas.sum() == 2.5 + 2, "those of the pentagon and of the quadrangle"
    assert set(np.unique(mesh["normal"][:, 2])) == {-2, 2}
    assert "uv" not in mesh


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
def test_a_mesh_survives_its_file(tmp_path, suffix):
    ring = torus(7, 5)
    loaded = meshutil.load_mesh(meshutil.save_mesh(ring, tmp_path / "new" / f"ring{suffix}"))
    for key in ("position", "uv"):
        np.testing.assert_allclose(corners(loaded, key), corners(ring, key), atol=1e-6)  # .obj holds 8 digits


def test_a_texture_survives_in_a_glb_file(tmp_path):
    import trimesh

    texture = np.random.RandomState(0).randint(0, 256, (6, 5, 3)).astype(np.uint8)
    path = meshutil.save_mesh(torus(4, 3), tmp_path / "ring.glb", texture)
    (mesh,) = trimesh.load(path, force="scene").geometry.values()
    np.testing.assert_array_equal(np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")), texture)


def test_lookat_puts_the_eye_at_the_origin_and_the_target_before_it():
    random = np.random.RandomState(0)
    for _ in range(20):
        eye, target = random.normal(size=(2, 3))
        matrix = meshutil.lookat(eye, target)
        np.testing.assert_allclose(meshutil.homotrans(matrix, eye), [0, 0, 0, 1], atol=1e-6)
        distance = meshutil.anorm(target - eye)
        np.testing.assert_allclose(meshutil.homotrans(matrix, target), [0, 0, -distance, 1], atol=1e-6)
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-6)
        assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-6)
        assert meshutil.homotrans(matrix, target + np.float64([0, 1, 0]))[1] > 0, "up is up"


@pytest.mark.parametrize("eye", [[0, 5, 0], [0, -5, 0]])
def test_lookat_along_its_up_axis(eye):
    matrix = meshutil.lookat(eye)
    assert np.isfinite(matrix).all()
    np.testing.assert_allclose(meshutil.homotrans(matrix, [0, 0, 0]), [0, 0, -5, 1], atol=1e-6)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-6)


def test_perspective_is_lucids():
    expected = [[0.5, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1.0202, -1], [0, 0, -0.2020, 0]]
    np.testing.assert_allclose(meshutil.perspective(90, 2, 0.1, 10), expected, atol=5e-5)


def test_views_are_seeded_and_keep_numpys_state():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = (
        [meshutil.sample_view(10, 12, generator) for _ in range(8)]
        for generator in (np.random.default_rng(5), np.random.default_rng(5))
    )
    np.testing.assert_array_equal(one, other)
    loose = [meshutil.sample_view(10, 12) for _ in range(3)]
    assert len(np.unique(np.stack(loose), axis=0)) == 3
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    origins = np.stack([view[:3, 3] for view in one])
    np.testing.assert_allclose(origins[:, :2], 0, atol=1e-5)  # the camera looks at the origin
    assert (origins[:, 2] >= -12).all()
    assert (origins[:, 2] <= -10).all()
    assert np.ptp(origins[:, 2]) > 0.3
    assert meshutil.sample_view(7)[2, 3] == pytest.approx(-7, abs=1e-5)


def test_normalize_takes_rows():
    rows = np.float64([[3, 4], [0, 0], [5, 12]])
    np.testing.assert_allclose(meshutil.anorm(rows, axis=1), [5, 0, 13])
    np.testing.assert_allclose(meshutil.normalize(rows, axis=1), [[0.6, 0.8], [0, 0], [5 / 13, 12 / 13]])
    np.testing.assert_allclose(meshutil.normalize([3.0, 4.0]), [0.6, 0.8])


@pytest.mark.parametrize(("values", "axis"), [([], 1), ([3.0, 4.0], 1), (np.ones((2, 3)), -3)])
def test_an_axis_that_is_missing_is_named(values, axis):
    with pytest.raises(ValueError, match=f"Each axis is a whole number from .*, not {axis}"):
        meshutil.normalize(values, axis=axis)


def test_an_axis_is_named_once():
    with pytest.raises(ValueError, match=r"axis names an axis twice: \(1, -1\)"):
        meshutil.anorm(np.ones((2, 3)), axis=(1, -1))


def test_normalize_mesh_centres_and_scales():
    position = np.float32([[1, 2, 3], [5, 2, 3], [1, 4, 3]])
    kept = position.copy()
    mesh = meshutil.normalize_mesh({"position": position, "face": np.arange(3)})
    np.testing.assert_allclose(mesh["position"], [[-1, -0.5, 0], [1, -0.5, 0], [-1, 0.5, 0]])
    np.testing.assert_array_equal(position, kept)


def test_the_ring_is_closed_and_its_texture_covers_it_once():
    ring = torus(9, 7)
    position, uv, triangles = meshutil.check_mesh(ring)
    _, places = np.unique(position.round(5), axis=0, return_inverse=True)
    edges = np.sort(places.reshape(-1)[triangles][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all(), "each edge joins two triangles"
    flat = uv[triangles][..., :2].astype(np.float64)
    areas = np.cross(*(np.pad(flat[:, k] - flat[:, 0], ((0, 0), (0, 1))) for k in (1, 2)))[:, 2] / 2
    np.testing.assert_allclose(areas, 1 / (2 * 9 * 7), rtol=1e-4)
    outward = np.cross(*(position[triangles][:, k] - position[triangles][:, 0] for k in (1, 2)))
    assert ((outward * ring["normal"][triangles].mean(1)).sum(1) > 0).all(), "faces and normals point outwards"
    np.testing.assert_allclose(meshutil.anorm(ring["normal"], axis=1), 1, rtol=1e-6)


# Bad input ---------------------------------------------------------------------------------------

CORNER = {"position": np.eye(3), "uv": np.zeros((3, 2)), "face": np.arange(3)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"uv": None}, "no texture coordinates"),
        ({"position": None}, "no position: it has uv, face"),
        ({"uv": np.zeros((2, 2))}, r"uv has the shape \[3, 2\]"),
        ({"uv": np.full((3, 2), np.nan)}, "uv contains NaN"),
        ({"position": np.full((3, 3), np.inf)}, "position contains NaN or infinity"),
        ({"position": np.zeros((3, 2))}, r"position has the shape \[vertices, 3\]"),
        ({"position": np.zeros((3, 3))}, "degenerate"),
        ({"face": np.int32([0, 1, 3])}, "names vertex 3, and its vertices are 0 to 2"),
        ({"face": np.int32([0, -1, 2])}, "names vertex -1"),
        ({"face": np.int32([0, 1])}, "three for each triangle"),
        ({"face": np.float32([0, 1, 2])}, "whole numbers"),
        ({"face": np.int32([0, 0, 1])}, "degenerate"),
    ],
)
def test_a_mesh_that_cannot_be_rendered(changes, words):
    mesh = {key: array for key, array in {**CORNER, **changes}.items() if array is not None}
    with pytest.raises(ValueError, match=words) as error:
        meshutil.check_mesh(mesh)
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.obj", b"hello", "a.obj holds no triangles"),
        ("a.obj", b"", "a.obj holds no triangles"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", r"a.obj cannot be read as a mesh \(.obj\)"),
        ("a.obj", b"v 0 0 0\nv 1 nan 0\nv 0 1 0\nf 1 2 3\n", "a.obj holds a damaged mesh: .*position contains NaN"),
        ("a.ply", b"hello", r"a.ply cannot be read as a mesh \(.ply\)"),
        ("a.glb", b"hello", r"a.glb cannot be read as a mesh \(.glb\)"),
        ("a.png", b"hello", "a.png is no mesh's name: meshes end in .glb"),
    ],
)
def test_files_that_hold_no_mesh(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        meshutil.load_mesh(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.obj"):
        meshutil.load_mesh(tmp_path / "a.obj")


def test_without_trimesh(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    for call in (
        lambda: meshutil.load_obj(io.BytesIO(PYRAMID)),
        lambda: meshutil.save_mesh(torus(), tmp_path / "a.glb"),
    ):
        with pytest.raises(MissingPackageError, match=r"trimesh: pip install -e '.\[mesh\]'"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: meshutil.perspective(180, 1, 0.1, 1), "below 180"),
        (lambda: meshutil.perspective(10, 1, 1, 0.5), "zfar"),
        (lambda: meshutil.lookat([1, 2, 3], [1, 2, 3]), "one point"),
        (lambda: meshutil.lookat([1, 2]), "three numbers"),
        (lambda: meshutil.sample_view(5, 4), "below the least"),
        (lambda: meshutil.sample_view(0), "above 0"),
        (lambda: meshutil.view_from([0, 0, 0], 2), "is zero"),
        (lambda: meshutil.homotrans(np.eye(4), [1.0, 2.0]), "cannot transform"),
        (lambda: meshutil.normalize_mesh({"position": np.ones((4, 3))}), "one point"),
        (lambda: torus(2), "torus's around"),
        (lambda: torus(radius=1.0), "below 1"),
        (lambda: meshutil.save_mesh(torus(), "a.stl"), "written as .glb"),
        (lambda: meshutil.save_mesh(torus(), "a.obj", np.zeros((2, 2, 3))), "cannot hold the texture"),
        (lambda: meshutil.save_mesh(torus(), "a.glb", np.zeros((2, 2))), r"\[height, width, 3\]"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path, monkeypatch, call, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=words):
        call()
